package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

// answer is a response of souk, which the bare handler gives to every request.
type answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// serveBare serves the limit: a net/http handler that reads the request's body and writes the answer that it
// has read from in. It serves until in ends, so that it never outlives the program that started it.
func serveBare(in io.Reader, out io.Writer) error {
	r := bufio.NewReader(in)
	line, err := r.ReadBytes('\n')
	if err != nil {
		return err
	}
	var a answer
	if err := json.Unmarshal(line, &a); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{
		ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			_, _ = io.Copy(io.Discard, req.Body) // an error means that the client has gone
			h := w.Header()
			for k, v := range a.Header {
				h[k] = v
			}
			w.WriteHeader(a.Status)
			_, _ = w.Write(a.Body) // as above
		}),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	fmt.Fprintln(out, ln.Addr())
	_, _ = io.Copy(io.Discard, r) // any end of the input is the signal to stop
	if err := server.Close(); err != nil {
		return err
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// bare is a running bare handler in a process of its own.
type bare struct {
	addr  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
}

// startBare starts a bare handler that gives the answer. Its GOGC is the highest that souk sets for itself,
// so that the measured limit is not too low.
func startBare(a answer) (*bare, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	b := &bare{cmd: exec.Command(self, "-bare")}
	b.cmd.Env = append(os.Environ(), "GOGC=400")
	b.cmd.Stderr = os.Stderr
	if b.stdin, err = b.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := b.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := b.cmd.Start(); err != nil {
		return nil, err
	}
	err = json.NewEncoder(b.stdin).Encode(a)
	if err == nil {
		var line string
		line, err = bufio.NewReader(stdout).ReadString('\n')
		b.addr = strings.TrimSpace(line)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bare handler: %w", err), b.stop())
	}
	return b, nil
}

func (b *bare) stop() error { return errors.Join(b.stdin.Close(), b.cmd.Wait()) }

// capture sends one request to souk and returns the answer for the bare handler.
func capture(ctx context.Context, method, url, token, body string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	client := &http.Client{
		Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true},
		Timeout:   10 * time.Second,
	}
	res, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = res.Body.Close() }() // the body has been read
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{}, err
	}
	if res.StatusCode >= 300 {
		return answer{}, fmt.Errorf("%s %s: %s: %s", method, url, res.Status, raw)
	}
	h := res.Header.Clone()
	h.Del("Date") // net/http sets it
	h.Del("Connection")
	return answer{Status: res.StatusCode, Header: h, Body: raw}, nil
}
