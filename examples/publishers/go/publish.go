// Start a run by an event, with the client library of NATS:
//
//	go run . nats://127.0.0.1:4222 orders order-4711 '{"n": 1}'
//
// Arguments: server, flow (or a subject with a dot in it), idempotency key, event as JSON. Prints the server's answer.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func publish(server, to, key, event string) (*jetstream.PubAck, error) {
	options := []nats.Option{nats.CustomInboxPrefix(cmp.Or(os.Getenv("NATS_INBOX_PREFIX"), "_INBOX"))}
	if ca := os.Getenv("NATS_CA"); ca != "" {
		options = append(options, nats.RootCAs(ca))
	}
	options = append(options, nats.UserInfo(os.Getenv("NATS_USER"), os.Getenv("NATS_PASSWORD")))
	conn, err := nats.Connect(server, options...)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	subject := to
	if !strings.Contains(to, ".") {
		subject = "events." + to
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return js.Publish(ctx, subject, []byte(event), jetstream.WithMsgID(to+"-"+key))
}

func main() {
	answer, err := publish(os.Args[1], os.Args[2], os.Args[3], os.Args[4])
	if err != nil {
		log.Fatalln("not published:", err)
	}
	fmt.Printf("%+v\n", *answer)
}
