//go:build linux

package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/herald-events/herald/bench/internal/load"
)

// API makes a call of Herald's server API and returns the body of its answer. The call's own body may be nil.
func (s *Server) API(ctx context.Context, method, path string, body any) ([]byte, error) {
	var send io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		send = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("http://127.0.0.1:%d/api/v1%s", s.Port, path), send)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+s.Spec.key)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, res.Status, answer)
	}
	return answer, err
}

// Position is where a channel with history stands.
func (s *Server) Position(ctx context.Context, channel string) (at load.Position, err error) {
	answer, err := s.API(ctx, http.MethodGet, "/channels/"+channel+"/history?limit=1", nil)
	if err == nil {
		err = json.Unmarshal(answer, &at)
	}
	if err == nil && at.Epoch == "" {
		err = fmt.Errorf("%s has no history", channel)
	}
	return at, err
}
