// Publish an event and wait until it is on disk. Nothing but Go's standard library.
//
//	go run publish.go 127.0.0.1:4222 orders order-4711 '{"n": 1}'
//
// Arguments: server, flow (or a subject with a dot in it), idempotency key, event as JSON.
// Prints the server's answer; exits 1 if the event was refused or nobody answered.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: publish HOST:PORT FLOW|SUBJECT KEY JSON")
		os.Exit(2)
	}
	answer, err := publish(os.Args[1], os.Args[2], os.Args[3], os.Args[4])
	if err != nil {
		fmt.Fprintln(os.Stderr, "not published:", err)
		os.Exit(1)
	}
	fmt.Println(answer)
}

func publish(server, to, key, event string) (string, error) {
	conn, err := net.Dial("tcp", server)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	subject := to
	if !strings.Contains(to, ".") {
		subject = "events." + to
	}
	inbox := fmt.Sprintf("_INBOX.%d.%d", os.Getpid(), time.Now().UnixNano())
	header := fmt.Sprintf("NATS/1.0\r\nNats-Msg-Id: %s-%s\r\n\r\n", to, key)
	fmt.Fprintf(conn, "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true,\"name\":\"publish.go\"}\r\nSUB %s 1\r\n", inbox)
	fmt.Fprintf(conn, "HPUB %s %s %d %d\r\n%s%s\r\n", subject, inbox, len(header), len(header)+len(event), header, event)
	lines := bufio.NewReader(conn)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return "", fmt.Errorf("no answer, it may be stored: publish it again with the same key (%w)", err)
		}
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "-ERR"), strings.Contains(line, `"error"`):
			return "", fmt.Errorf("%s", line)
		case strings.HasPrefix(line, "NATS/1.0 503"):
			return "", fmt.Errorf("nobody takes %s: no coordinator was ever started here, or no flow listens", subject)
		case strings.HasPrefix(line, `{"stream"`):
			return line, nil
		}
	}
}
