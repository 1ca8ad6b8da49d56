package herald_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http/httptest"
	"strings"

	"github.com/herald-events/herald"
)

// withStream runs a server, opens a stream on a channel, and calls f with the stream's connection id
// when its subscription stands.
func withStream(config herald.Config, channel string, f func(srv *herald.Server, connectionID string)) {
	config.AuthSecrets = []string{"a secret of the examples"}
	config.Logger = slog.New(slog.DiscardHandler)
	srv, err := herald.New(config)
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	web := httptest.NewServer(srv.Handler())
	defer web.Close()

	res, err := openStream(web.URL + "/events?channels=" + channel)
	if err != nil {
		log.Fatal(err)
	}
	var greeting struct {
		Data struct{ ConnectionID string }
	}
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		data, _ := strings.CutPrefix(lines.Text(), "data: ")
		if strings.Contains(data, `"connectionId"`) {
			if err := json.Unmarshal([]byte(data), &greeting); err != nil {
				log.Fatal(err)
			}
		}
		if strings.Contains(data, `"subscription_error"`) {
			log.Fatal(data)
		}
		if strings.Contains(data, `"subscription_succeeded"`) {
			break
		}
	}
	f(srv, greeting.Data.ConnectionID)
	_ = res.Body.Close()
	stop()
	if err := <-ended; err != nil {
		log.Fatal(err)
	}
}

func ExampleServer_SubscriberCount() {
	withStream(herald.Config{}, "orders", func(srv *herald.Server, _ string) {
		for _, channel := range []string{"orders", "invoices"} {
			fmt.Println(srv.SubscriberCount(context.Background(), channel))
		}
	})
	// Output:
	// 1 <nil>
	// 0 <nil>
}

func ExampleServer_HasSubscribers() {
	withStream(herald.Config{}, "orders", func(srv *herald.Server, _ string) {
		for _, channel := range []string{"orders", "statistics"} {
			seen, err := srv.HasSubscribers(context.Background(), channel)
			if err != nil {
				log.Fatal(err)
			}
			if seen { // and only then do what is costly
				fmt.Println("somebody looks at the", channel)
			}
		}
	})
	// Output: somebody looks at the orders
}

// asAnn lets everybody into every channel, as the member ann.
var asAnn = herald.AuthorizerFunc(func(context.Context, herald.AccessRequest) (herald.Access, error) {
	return herald.Access{Authorized: true, Member: &herald.Member{ID: "ann"}}, nil
})

func ExampleServer_Channels() {
	withStream(herald.Config{Authorizer: asAnn}, "presence-room", func(srv *herald.Server, _ string) {
		channels, err := srv.Channels(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		for _, channel := range channels {
			fmt.Println(channel.Name, channel.Type, channel.Subscribers, *channel.Members)
		}
	})
	// Output: presence-room presence 1 1
}

func ExampleServer_PresenceMembers() {
	withStream(herald.Config{Authorizer: asAnn}, "presence-room", func(srv *herald.Server, _ string) {
		members, err := srv.PresenceMembers(context.Background(), "presence-room")
		if err != nil {
			log.Fatal(err)
		}
		for _, member := range members {
			fmt.Println(member.ID)
		}
	})
	// Output: ann
}

func ExampleServer_Disconnect() {
	withStream(herald.Config{}, "orders", func(srv *herald.Server, connectionID string) {
		ctx := context.Background()
		fmt.Println(srv.Disconnect(ctx, connectionID))
		fmt.Println(srv.Disconnect(ctx, "137204873.482911")) // nobody's
		fmt.Println(srv.SubscriberCount(ctx, "orders"))
	})
	// Output:
	// 1 <nil>
	// 0 <nil>
	// 0 <nil>
}

func ExampleServer_DisconnectUser() {
	withStream(herald.Config{}, "orders", func(srv *herald.Server, _ string) {
		fmt.Println(srv.DisconnectUser(context.Background(), "ann")) // the stream is nobody's
	})
	// Output: 0 <nil>
}

func ExampleParseChannel() {
	channel, err := herald.ParseChannel("private-user.1")
	fmt.Println(channel, channel.Type(), err)

	_, err = herald.ParseChannel("user 1")
	fmt.Println(errors.Is(err, &herald.Error{Code: herald.CodeBadChannel}))
	// Output:
	// private-user.1 private <nil>
	// true
}
