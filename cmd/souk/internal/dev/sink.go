package dev

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"sync"
)

const (
	// sinkSize is how many messages a sink keeps.
	sinkSize = 1000
	// sinkMessage is the largest message in bytes.
	sinkMessage = 64 << 10
)

// sink keeps the text or push messages that would have been sent, for a developer to read.
type sink struct {
	mu       sync.Mutex
	messages []map[string]string // oldest first
}

// take keeps a message. One that comes twice is kept once.
func (s *sink) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, sinkMessage))
	var m map[string]string
	if err != nil || json.Unmarshal(body, &m) != nil {
		writeProblem(w, http.StatusBadRequest, "invalid_argument", "the message is not JSON")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known := func(other map[string]string) bool { return other["id"] == m["id"] }
	if !slices.ContainsFunc(s.messages, known) {
		s.messages = append(s.messages, m)
	}
	s.messages = s.messages[max(len(s.messages)-sinkSize, 0):]
	w.WriteHeader(http.StatusNoContent)
}

// list shows the messages, newest first. The parameter to selects a number or a device.
func (s *sink) list(w http.ResponseWriter, r *http.Request) {
	to := r.URL.Query().Get("to")
	s.mu.Lock()
	found := slices.DeleteFunc(slices.Clone(s.messages), func(m map[string]string) bool {
		return to != "" && m["to"] != to && m["device"] != to
	})
	s.mu.Unlock()
	slices.Reverse(found)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string]any{"messages": found}) // an error means that the reader is gone
}
