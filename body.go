package herald

import (
	"io"
	"net/http"
	"time"
)

// bodyTime is how long a request's body may take: a mebibyte over a slow phone's line.
const bodyTime = 30 * time.Second

// bounded gives a request's body so long whether anybody reads it or not: before an answer goes out,
// net/http itself reads on in what the handler has left. Streams and WebSockets take the deadline off.
func bounded(h http.Handler, within time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(within)) // where there are any
		}
		h.ServeHTTP(w, r)
	})
}

// readBody reads a request's whole body, bounded in bytes and, where the connection knows deadlines,
// in time. A body that is too large gives an [http.MaxBytesError]. After any error the deadline stays:
// net/http reads on in what is left before it answers.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	rc := http.NewResponseController(w)
	bounded := rc.SetReadDeadline(time.Now().Add(bodyTime)) == nil
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		w.Header().Set("Connection", "close")
		return nil, err
	}
	if bounded {
		_ = rc.SetReadDeadline(time.Time{}) // it worked a moment ago
	}
	return body, nil
}
