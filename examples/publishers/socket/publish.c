// Publish an event and wait until it is on disk. Nothing but C and POSIX sockets.
//
//     cc -o publish publish.c && ./publish 127.0.0.1:4222 orders order-4711 '{"n": 1}'
//
// Arguments: server, flow (or a subject with a dot in it), idempotency key, event as JSON.
// Prints the server's answer; exits 1 if the event was refused or nobody answered.
#define _POSIX_C_SOURCE 200809L
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int fail(const char *reason) {
    fprintf(stderr, "not published: %s\n", reason);
    return 1;
}

static FILE *dial(char *server) {
    char *colon = strrchr(server, ':');
    struct addrinfo *found, hints = {.ai_socktype = SOCK_STREAM};
    struct timeval patience = {.tv_sec = 10};
    if (!colon) return NULL;
    *colon = 0;
    if (getaddrinfo(server, colon + 1, &hints, &found)) return NULL;
    int fd = socket(found->ai_family, found->ai_socktype, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    int refused = connect(fd, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return refused ? NULL : fdopen(fd, "r+");
}

int main(int argc, char **argv) {
    if (argc != 5) return fprintf(stderr, "usage: publish HOST:PORT FLOW|SUBJECT KEY JSON\n"), 2;
    const char *to = argv[2], *key = argv[3], *event = argv[4], *events = strchr(to, '.') ? "" : "events.";
    FILE *server = dial(argv[1]);
    if (!server) return fail("no server there");
    size_t head = strlen("NATS/1.0\r\nNats-Msg-Id: -\r\n\r\n") + strlen(to) + strlen(key);
    setvbuf(server, NULL, _IOFBF, 1 << 16);
    fprintf(server, "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true,\"name\":\"publish.c\"}\r\nSUB _INBOX.%d 1\r\n", getpid());
    fprintf(server, "HPUB %s%s _INBOX.%d %zu %zu\r\n", events, to, getpid(), head, head + strlen(event));
    fprintf(server, "NATS/1.0\r\nNats-Msg-Id: %s-%s\r\n\r\n%s\r\n", to, key, event);
    fflush(server);
    for (char line[4096]; fgets(line, sizeof line, server);) {
        if (!strncmp(line, "-ERR", 4) || strstr(line, "\"error\"")) return fail(line);
        if (!strncmp(line, "NATS/1.0 503", 12)) return fail("nobody takes it: no coordinator was ever started here, or no flow listens");
        if (!strncmp(line, "{\"stream\"", 9)) return fputs(line, stdout), 0;
    }
    return fail("no answer: it may be stored; publish it again with the same key");
}
