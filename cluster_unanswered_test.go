package herald_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// withUnanswered is a broker over which one node more is asked than answers.
type withUnanswered struct{ herald.Broker }

func (b withUnanswered) Ask(ctx context.Context, question []byte, answer func([]byte) bool) error {
	enough := false
	err := b.Broker.Ask(ctx, question, func(said []byte) bool {
		enough = answer(said)
		return enough
	})
	if err == nil && !enough {
		err = &herald.Error{Code: herald.CodeUnavailable, Message: "a node has not answered"}
	}
	return err
}

// withSpeechless is a broker whose node says nothing when it is asked.
type withSpeechless struct{ herald.Broker }

func (b withSpeechless) Run(ctx context.Context, n herald.Node) error {
	return b.Broker.Run(ctx, speechless{n})
}

type speechless struct{ herald.Node }

func (speechless) Answer(context.Context, []byte) []byte { return nil }

func nodesUnanswered(t *testing.T, redis *heraldtest.Redis) {
	whole := func(b herald.Broker) herald.Broker { return b }
	for name, spoil := range map[string][2]func(herald.Broker) herald.Broker{
		"a node does not answer":   {func(b herald.Broker) herald.Broker { return withUnanswered{b} }, whole},
		"a node answers with none": {whole, func(b herald.Broker) herald.Broker { return withSpeechless{b} }},
	} {
		t.Run(name, func(t *testing.T) {
			own := *redis
			own.Prefix += name[len(name)-4:]
			asked, other := startNodeWith(t, &own, herald.Config{}, spoil[0]), startNodeWith(t, &own, herald.Config{}, whole)
			startNodeWith(t, &own, herald.Config{}, spoil[1])
			isNotDenied(t, asked, other)
		})
	}
}

// isNotDenied asks a node for what is on none that has answered, and for what is on the other.
func isNotDenied(t *testing.T, asked, other *heraldtest.Server) {
	t.Helper()
	st, c := other.Stream(t), other.Dial(t)
	c.Subscribe("orders")
	publish(t, asked, fact("order-17", "order.paid", ""))
	for path, want := range map[string]int{
		"/channels":                    http.StatusServiceUnavailable,
		"/channels/orders":             http.StatusServiceUnavailable,
		"/channels/orders/subscribers": http.StatusServiceUnavailable,
		"/events/order-17":             http.StatusServiceUnavailable,
	} {
		if answer := apiCall(t, asked, http.MethodGet, path, ""); answer.Status != want {
			t.Errorf("GET %s: got %d %s, want %d", path, answer.Status, answer.Body, want)
		}
	}
	for _, verb := range []string{"subscribe", "unsubscribe"} {
		if answer := streamCall(t, asked, verb, noStream, "a"); answer.Status != http.StatusServiceUnavailable {
			t.Errorf("%s: got %d %s, want 503", verb, answer.Status, answer.Body)
		}
		streamCall(t, asked, verb, st.ConnectionID, "a").check(t, http.StatusOK, `{"success":true}`)
	}
	apiPost(t, asked, "/connections/1.1/disconnect", object{}, http.StatusServiceUnavailable)
	apiPost(t, asked, "/users/ann/disconnect", object{}, http.StatusServiceUnavailable)
	isUnavailable := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, &herald.Error{Code: herald.CodeUnavailable}) {
			t.Errorf("%s: got %v, want UNAVAILABLE", what, err)
		}
	}
	_, err := asked.SubscriberCount(t.Context(), "orders")
	isUnavailable("SubscriberCount", err)
	_, err = asked.HasSubscribers(t.Context(), "nobody")
	isUnavailable("HasSubscribers", err)
	if has, err := asked.HasSubscribers(t.Context(), "orders"); !has || err != nil {
		t.Errorf("HasSubscribers: got %v, %v, want true", has, err)
	}
	if n, err := asked.Disconnect(t.Context(), c.SocketID); n != 1 || err != nil {
		t.Errorf("Disconnect: got %d, %v, want 1", n, err)
	}
}
