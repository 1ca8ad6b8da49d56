package main

import (
	_ "embed"
	"encoding/json"
	"net"
	"net/http"
	"time"

	"github.com/herald-events/herald/redisbroker"
)

// chat is the channel on which all talk.
const chat = "chat"

// chatPage is the page that the application serves.
//
//go:embed chat.html
var chatPage []byte

// app is the application, which is no node: it serves a page, and publishes what people say.
type app struct {
	web  *http.Server
	over chan struct{} // closed when it has ended
}

func serveApp(addr string, publisher *redisbroker.Publisher) (*app, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(chatPage) // who has left does not want it
	})
	mux.HandleFunc("POST /say", func(w http.ResponseWriter, r *http.Request) { say(w, r, publisher) })
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	a := &app{&http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}, make(chan struct{})}
	go func() {
		defer close(a.over)
		_ = a.web.Serve(l) // until close
	}()
	return a, nil
}

func (a *app) close() {
	_ = a.web.Close() // who is served now is gone anyway
	<-a.over
}

// said is what somebody says.
type said struct {
	From string `json:"from"`
	Text string `json:"text"`
}

func say(w http.ResponseWriter, r *http.Request, publisher *redisbroker.Publisher) {
	var s said
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10)).Decode(&s); err != nil {
		http.Error(w, "that is no message", http.StatusBadRequest)
		return
	}
	if err := publisher.Broadcast(r.Context(), chat, "said", s); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
