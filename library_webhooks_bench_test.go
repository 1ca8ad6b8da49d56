package herald_test

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
	"github.com/herald-events/herald/sqlstore"
)

// BenchmarkWebhookDeliveries delivers to a receiver on loopback, from a SQLite file: published, signed, posted, noted.
func BenchmarkWebhookDeliveries(b *testing.B) {
	store, err := sqlstore.Open(b.Context(), "sqlite:"+filepath.Join(b.TempDir(), "herald.db"), sqlstore.Config{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	srv := heraldtest.Start(b, herald.Config{Store: store, Webhooks: herald.WebhookConfig{AllowPrivate: true}})
	var came sync.WaitGroup
	came.Add(b.N)
	web := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { came.Done() }))
	b.Cleanup(web.Close)
	answer := apiCall(b, srv, http.MethodPost, "/webhooks", `{"url":"`+web.URL+`"}`)
	if answer.Status != http.StatusCreated {
		b.Fatalf("got %d %s", answer.Status, answer.Body)
	}
	b.ResetTimer()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := srv.Publish(b.Context(), herald.Logout{UserID: "u-1"}); err != nil {
				b.Error(err)
			}
		}
	})
	came.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
}
