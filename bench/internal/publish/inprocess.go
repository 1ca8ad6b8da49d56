package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
)

// InProcess is the path of the benchmarks' own call, which has a server carry out a plan by itself.
const InProcess = "/bench/publish"

// Ask has the server at the port carry out the plan within its own process.
func Ask(ctx context.Context, port int, plan Plan) (Result, error) {
	body, err := json.Marshal(plan)
	if err != nil {
		return Result{}, err
	}
	url := "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) + InProcess
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return Result{}, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return Result{}, fmt.Errorf("publish: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, text)
	}
	var result Result
	if err == nil {
		err = json.Unmarshal(text, &result)
	}
	if err != nil {
		return Result{}, fmt.Errorf("publish: %w", err)
	}
	return result, nil
}
