package wire_test

import (
	"errors"
	"fmt"

	"github.com/herald-events/herald/internal/wire"
)

func ExampleDecode() {
	r, err := wire.Decode([]byte(`{"type":"subscribe","channel":"orders","since":{"epoch":"e1","offset":41}}`))
	fmt.Println(r.Kind, r.Channel, *r.Since, err)

	_, err = wire.Decode([]byte(`{"type":"subscribe","channel":7}`))
	if bad, ok := errors.AsType[*wire.BadMessage](err); ok {
		fmt.Printf("%s\n", wire.Error("bad_message", bad.Message))
	}
	// Output:
	// subscribe channel orders e1-41 <nil>
	// {"type":"error","code":"bad_message","message":"\"channel\" must be a string","error":"\"channel\" must be a string"}
}

func ExampleSubscribed() {
	members := []wire.Member{{ID: "ann"}}
	fmt.Printf("%s\n", wire.Subscribed{Channel: "presence-room", Members: &members}.Encode())
	// Output:
	// {"type":"subscription_succeeded","channel":"presence-room","data":{"members":[{"id":"ann"}]}}
}

func ExampleChannelEvent() {
	fmt.Printf("%s\n", wire.ChannelEvent("orders", "created", []byte(`{"total":10.00}`)))
	// Output:
	// {"type":"event","channel":"orders","event":"created","data":{"total":10.00}}
}

func ExampleBlock() {
	fmt.Printf("%s", wire.Block("event", "e1-42", wire.ChannelEvent("orders", "created", []byte(`1`))))
	// Output:
	// event: event
	// id: e1-42
	// data: {"type":"event","channel":"orders","event":"created","data":1}
}
