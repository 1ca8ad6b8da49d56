package herald_test

import (
	"os"
	"slices"
	"testing"

	"github.com/herald-events/herald/heraldtest"
)

// overStores runs a test over each kind of store, which is empty.
func overStores(t *testing.T, test func(t *testing.T, storeURL string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, inMemory) })
	t.Run("postgres", func(t *testing.T) { test(t, newDatabase(t)) })
}

// newDatabase is an empty database of Postgres.
func newDatabase(t *testing.T) string {
	t.Helper()
	if sharedPostgres == nil {
		sharedPostgres = heraldtest.StartPostgres(lasting{t})
	}
	return sharedPostgres.Database()
}

// A Postgres needs seconds to come up, so all tests share one.
var sharedPostgres *heraldtest.Postgres

// lasting outlives the test that it is of: what is started for it ends after all tests.
type lasting struct{ testing.TB }

var afterAll []func()

func (lasting) Cleanup(f func()) { afterAll = append(afterAll, f) }

func TestMain(m *testing.M) {
	code := m.Run()
	for _, f := range slices.Backward(afterAll) {
		f()
	}
	os.Exit(code)
}
