// Command mailpit stands in for Mailpit where its image can't be pulled. It receives mails on port 1025, and answers
// GET /api/v1/messages on port 8025 with the part of Mailpit's API that drill.sh reads.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"souk/pkg/devstack/mailsink"
)

type address struct {
	Address string
}

type message struct {
	ID      string
	To      []address
	Subject string
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	sink, err := mailsink.Start(ctx, mailsink.Options{Host: "0.0.0.0", Port: 1025})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/messages", func(w http.ResponseWriter, _ *http.Request) {
		messages := []message{}
		for _, m := range sink.Messages() {
			out := message{ID: m.ID, Subject: m.Subject}
			for _, to := range m.To {
				out.To = append(out.To, address{to})
			}
			messages = append(messages, out)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).
			Encode(map[string]any{"total": len(messages), "messages": messages})
		// the client is gone
	})
	server := &http.Server{Addr: ":8025", Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.ListenAndServe(); ctx.Err() == nil {
		return err
	}
	return nil
}
