#!/usr/bin/env bash
# Publish an event and wait until it is on disk. Nothing but bash.
#
#     bash publish.sh 127.0.0.1:4222 orders order-4711 '{"n": 1}'
#
# Arguments: server, flow (or a subject with a dot in it), idempotency key, event as JSON.
# Prints the server's answer; exits 1 if the event was refused or nobody answered.
# With the `nats` command line tool it is one line:
#     nats request events.orders '{"n": 1}' --header Nats-Msg-Id:orders-order-4711
set -euo pipefail
export LC_ALL=C # lengths are counted in bytes

[ $# -eq 4 ] || { echo "usage: publish.sh HOST:PORT FLOW|SUBJECT KEY JSON" >&2; exit 2; }
server=$1 to=$2 key=$3 event=$4
case $to in *.*) subject=$to ;; *) subject=events.$to ;; esac
fail() { echo "not published: $1" >&2; exit 1; }

exec 3<>"/dev/tcp/${server%:*}/${server##*:}" || fail "no server at $server"
inbox="_INBOX.$$.$RANDOM$RANDOM"
header=$'NATS/1.0\r\n'"Nats-Msg-Id: $to-$key"$'\r\n\r\n'
{
    printf 'CONNECT {"verbose":false,"headers":true,"no_responders":true,"name":"publish.sh"}\r\nSUB %s 1\r\n' "$inbox"
    printf 'HPUB %s %s %d %d\r\n%s%s\r\n' "$subject" "$inbox" ${#header} $((${#header} + ${#event})) "$header" "$event"
} >&3

while IFS= read -r -t 10 line <&3; do
    line=${line%$'\r'}
    case $line in
        -ERR* | *'"error"'*) fail "$line" ;;
        'NATS/1.0 503'*) fail "nobody takes $subject: no coordinator was ever started here, or no flow listens" ;;
        '{"stream"'*) echo "$line"; exit 0 ;;
    esac
done
fail "no answer: it may be stored; publish it again with the same key"
