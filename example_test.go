package herald_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/herald-events/herald"
)

// A server is made, run and mounted. Here a client opens a stream and hears what is said on it.
func Example() {
	srv, err := herald.New(herald.Config{})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()

	mux := http.NewServeMux()
	mux.Handle("/live/", http.StripPrefix("/live", srv.Handler()))
	web := httptest.NewServer(mux) // http.ListenAndServe, in an application

	res, err := openStream(web.URL + "/live/events?channels=orders")
	if err != nil {
		log.Fatal(err)
	}
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if strings.Contains(lines.Text(), `"subscription_succeeded"`) {
			if err := srv.Broadcast(ctx, "orders", "created", map[string]int{"id": 1}); err != nil {
				log.Fatal(err)
			}
		}
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok && strings.Contains(data, `"created"`) {
			fmt.Println(data)
			break
		}
	}
	_ = res.Body.Close()
	stop() // drains; keep the HTTP server up until Run has returned
	if err := <-ended; err != nil {
		log.Fatal(err)
	}
	web.Close()
	// Output: {"type":"event","channel":"orders","event":"created","data":{"id":1}}
}

// openStream asks until the server takes connections: before that it tells streams to come back.
func openStream(url string) (*http.Response, error) {
	for {
		res, err := http.Get(url)
		if err != nil || res.ContentLength < 0 {
			return res, err
		}
		_ = res.Body.Close()
	}
}

func ExampleNew() {
	_, err := herald.New(herald.Config{
		AuthSecrets: []string{"too short"},
		Limits:      herald.Limits{MaxChannels: -1},
	})
	fmt.Println(err)
	// Output:
	// AuthSecrets: secret 1 has 9 characters; at least 16 are needed
	// Limits.MaxChannels: must be at least 0
}

func ExampleServer_Handler() {
	srv, err := herald.New(herald.Config{})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/live/", http.StripPrefix("/live", srv.Handler())) // /live/ws, /live/events, …
	mux.Handle("/socket", srv.WebSocketHandler())                  // or single handlers

	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/live/healthz", nil))
	fmt.Println(answer.Body)
	// Output: {"status":"ok"}
}

func ExampleServer_Broadcast() {
	srv, err := herald.New(herald.Config{})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	fmt.Println(srv.Broadcast(ctx, "orders", "created", map[string]any{"id": 1, "total": 9.95}))
	fmt.Println(srv.Broadcast(ctx, "not a channel", "created", nil))
	// Output:
	// <nil>
	// a channel's name has ' '; allowed are A-Z a-z 0-9 _ - = @ , . ;
}

func ExampleServer_BroadcastExcept() {
	srv, err := herald.New(herald.Config{})
	if err != nil {
		log.Fatal(err)
	}
	// The page that caused a message sends its socket id along, and is spared its own echo.
	addTodo := func(w http.ResponseWriter, r *http.Request) {
		err := srv.BroadcastExcept(r.Context(), "todos", "added", r.FormValue("todo"), r.Header.Get("X-Socket-Id"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/todos?todo=milk", nil)
	r.Header.Set("X-Socket-Id", "137204873.482911")
	answer := httptest.NewRecorder()
	addTodo(answer, r)
	fmt.Println(answer.Code)
	// Output: 200
}

func ExampleServer_BroadcastToMany() {
	srv, err := herald.New(herald.Config{})
	if err != nil {
		log.Fatal(err)
	}
	channels := []string{"private-user.1", "private-user.2"}
	fmt.Println(srv.BroadcastToMany(context.Background(), channels, "maintenance", map[string]string{"at": "22:00"}))
	// Output: <nil>
}

func ExampleServer_Publish() {
	srv, err := herald.New(herald.Config{})
	if err != nil {
		log.Fatal(err)
	}
	print := func(_ context.Context, e herald.Event) error {
		fmt.Printf("%s of %q: %s\n", e.Type, e.UserID, e.Payload)
		return nil
	}
	if _, err := srv.SubscribeAll(print, herald.Synchronously()); err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	_ = srv.Publish(ctx, herald.UserRegistered{UserID: "u-1"})
	_ = srv.Publish(ctx, herald.Event{ // sets more than the payload
		ID:      "login-77",
		UserID:  "u-1",
		IP:      "192.0.2.1",
		Payload: herald.LoginSuccess{UserID: "u-1", Email: "ann@example.com"},
	})
	_ = srv.Publish(ctx, herald.Event{ID: "login-77", Payload: herald.Logout{}}) // known already: changes nothing
	// Output:
	// user.registered of "": {"userId":"u-1"}
	// login.success of "u-1": {"userId":"u-1","email":"ann@example.com"}
}

func ExampleOn() {
	srv, err := herald.New(herald.Config{})
	if err != nil {
		log.Fatal(err)
	}
	greet := func(_ context.Context, e herald.Typed[herald.UserRegistered]) error {
		fmt.Println("welcome,", e.Payload.UserID)
		return nil
	}
	if _, err := herald.On(srv, greet); err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	_ = srv.Publish(ctx, herald.UserRegistered{UserID: "u-1"})
	_ = srv.Publish(ctx, herald.UserDeleted{UserID: "u-2"}) // another type
	_ = srv.Close(ctx)                                      // waits for the handlers
	// Output: welcome, u-1
}

func ExampleServer_Subscribe() {
	srv, err := herald.New(herald.Config{})
	if err != nil {
		log.Fatal(err)
	}
	sub, err := srv.Subscribe("login.*", func(_ context.Context, e herald.Event) error {
		var who struct{ Email string }
		if err := json.Unmarshal(e.Payload.(json.RawMessage), &who); err != nil {
			return err
		}
		fmt.Println(e.Type, who.Email)
		return nil
	}, herald.Named("alerts"), herald.Queue(1000), herald.WhenFull(herald.DropOldest))
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	_ = srv.Publish(ctx, herald.LoginFailed{Email: "ann@example.com"})
	_ = srv.Publish(ctx, herald.LoginSuccess{UserID: "u-1", Email: "ann@example.com"})
	_ = srv.Publish(ctx, herald.Logout{UserID: "u-1"})
	_ = srv.Close(ctx) // waits for the handlers
	fmt.Println(sub.Stats().Delivered, "delivered")
	// Output:
	// login.failed ann@example.com
	// login.success ann@example.com
	// 2 delivered
}

// invoicePaid is a type of the application's own: a struct that names its type.
type invoicePaid struct {
	InvoiceID string `json:"invoiceId"`
	Cents     int    `json:"cents"`
}

func (invoicePaid) EventType() string { return "invoice.paid" }

func ExamplePayload() {
	srv, err := herald.New(herald.Config{})
	if err != nil {
		log.Fatal(err)
	}
	book := func(_ context.Context, e herald.Typed[invoicePaid]) error {
		fmt.Printf("%s: %s, %d cents\n", e.Type, e.Payload.InvoiceID, e.Payload.Cents)
		return nil
	}
	// A synchronous handler's error is what Publish returns.
	if _, err := herald.On(srv, book, herald.Synchronously()); err != nil {
		log.Fatal(err)
	}
	if err := srv.Publish(context.Background(), invoicePaid{InvoiceID: "i-1", Cents: 995}); err != nil {
		log.Fatal(err)
	}
	// Output: invoice.paid: i-1, 995 cents
}
