// Start a run by an event, with the client library of NATS:
//
//	go run . nats://127.0.0.1:4222 orders order-4711 '{"n": 1}'
//
// Arguments: server, flow (or a subject with a dot in it), idempotency key, event as JSON. Prints the server's answer.
package main

import (
	"cmp"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/nats-io/nats.go"
)

func main() {
	server, to, key, event := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	options := []nats.Option{nats.UserInfo(os.Getenv("NATS_USER"), os.Getenv("NATS_PASSWORD"))}
	if ca := os.Getenv("NATS_CA"); ca != "" {
		options = append(options, nats.RootCAs(ca))
	}
	options = append(options, nats.CustomInboxPrefix(cmp.Or(os.Getenv("NATS_INBOX_PREFIX"), "_INBOX")))
	jetstream := must(must(nats.Connect(server, options...)).JetStream())
	subject := "events." + to
	if strings.Contains(to, ".") {
		subject = to
	}
	answer := must(jetstream.Publish(subject, []byte(event), nats.MsgId(to+"-"+key)))
	fmt.Printf("%+v\n", *answer)
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatalln("not published:", err)
	}
	return value
}
