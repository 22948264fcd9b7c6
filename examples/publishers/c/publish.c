// Start a run by an event, with the client library of NATS (Debian: libnats-dev):
//
//     cc -o publish publish.c -lnats && ./publish nats://127.0.0.1:4222 orders order-4711 '{"n": 1}'
//
// Arguments: server, flow (or a subject with a dot in it), idempotency key, event as JSON. Prints the server's answer.
#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    if (argc != 5) return fprintf(stderr, "usage: publish SERVER FLOW|SUBJECT KEY JSON\n"), 2;
    const char *user = getenv("NATS_USER"), *ca = getenv("NATS_CA"), *prefix = getenv("NATS_INBOX_PREFIX");
    char subject[256], id[256];
    int name = snprintf(subject, sizeof subject, "%s%s", strchr(argv[2], '.') ? "" : "events.", argv[2]);
    int key = snprintf(id, sizeof id, "%s-%s", argv[2], argv[3]);
    if (name >= (int)sizeof subject || key >= (int)sizeof id) return fprintf(stderr, "not published: too long a name or key\n"), 1;
    natsOptions *options = NULL;
    natsConnection *connection = NULL;
    jsCtx *js = NULL;
    jsPubAck *answer = NULL;
    jsPubOptions said = {.MsgId = id, .MaxWait = 10000};
    natsStatus s = natsOptions_Create(&options);
    if (s == NATS_OK) s = natsOptions_SetURL(options, argv[1]);
    if (s == NATS_OK && user) s = natsOptions_SetUserInfo(options, user, getenv("NATS_PASSWORD"));
    if (s == NATS_OK && ca) s = natsOptions_LoadCATrustedCertificates(options, ca);
    if (s == NATS_OK && prefix) s = natsOptions_SetCustomInboxPrefix(options, prefix);
    if (s == NATS_OK) s = natsConnection_Connect(&connection, options);
    if (s == NATS_OK) s = natsConnection_JetStream(&js, connection, NULL);
    if (s == NATS_OK) s = js_Publish(&answer, js, subject, argv[4], (int)strlen(argv[4]), &said, NULL);
    if (s != NATS_OK) return fprintf(stderr, "not published: %s %s\n", natsStatus_GetText(s), nats_GetLastError(NULL)), 1;
    printf("%s %llu%s\n", answer->Stream, (unsigned long long)answer->Sequence, answer->Duplicate ? " duplicate" : "");
    return 0;
}
