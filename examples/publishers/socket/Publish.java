// Publish an event and wait until it is on disk. Nothing but Java 17.
//
//     java Publish.java 127.0.0.1:4222 orders order-4711 '{"n": 1}'
//
// Arguments: server, flow (or a subject with a dot in it), idempotency key, event as JSON.
// Prints the server's answer; exits 1 if the event was refused or nobody answered.
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.Socket;

import static java.nio.charset.StandardCharsets.UTF_8;

public class Publish {
    public static void main(String[] args) {
        if (args.length != 4) {
            System.err.println("usage: java Publish.java HOST:PORT FLOW|SUBJECT KEY JSON");
            System.exit(2);
        }
        try {
            System.out.println(publish(args[0].split(":"), args[1], args[2], args[3]));
        } catch (IOException error) {
            System.err.println("not published: " + error.getMessage());
            System.exit(1);
        }
    }

    static String publish(String[] server, String to, String key, String event) throws IOException {
        try (var socket = new Socket(server[0], Integer.parseInt(server[1]))) {
            socket.setSoTimeout(10_000);
            var subject = to.contains(".") ? to : "events." + to;
            var inbox = "_INBOX." + ProcessHandle.current().pid() + "." + System.nanoTime();
            var header = "NATS/1.0\r\nNats-Msg-Id: " + to + "-" + key + "\r\n\r\n";
            int headerBytes = header.getBytes(UTF_8).length, eventBytes = event.getBytes(UTF_8).length;
            var said = "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true,\"name\":\"Publish.java\"}\r\nSUB " + inbox + " 1\r\n"
                + "HPUB " + subject + " " + inbox + " " + headerBytes + " " + (headerBytes + eventBytes) + "\r\n" + header + event + "\r\n";
            socket.getOutputStream().write(said.getBytes(UTF_8));
            var lines = new BufferedReader(new InputStreamReader(socket.getInputStream(), UTF_8));
            for (String line; (line = lines.readLine()) != null; ) {
                if (line.startsWith("-ERR") || line.contains("\"error\"")) throw new IOException(line);
                if (line.startsWith("NATS/1.0 503")) throw new IOException("nobody takes " + subject + ": no coordinator was ever started here, or no flow listens");
                if (line.startsWith("{\"stream\"")) return line;
            }
            throw new IOException("no answer: it may be stored; publish it again with the same key");
        }
    }
}
