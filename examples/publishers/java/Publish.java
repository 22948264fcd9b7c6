// Start a run by an event, with the client library of NATS:
//
//     mvn -q dependency:copy-dependencies && java -cp 'target/dependency/*' Publish.java nats://127.0.0.1:4222 orders order-4711 '{"n": 1}'
//
// Arguments: server, flow (or a subject with a dot in it), idempotency key, event as JSON. Prints the server's answer.
import io.nats.client.Nats;
import io.nats.client.Options;
import io.nats.client.PublishOptions;

import static java.nio.charset.StandardCharsets.UTF_8;

public class Publish {
    public static void main(String[] args) throws InterruptedException {
        var options = new Options.Builder().server(args[0]).inboxPrefix(System.getenv().getOrDefault("NATS_INBOX_PREFIX", "_INBOX"));
        var user = System.getenv("NATS_USER");
        if (user != null) options.userInfo(user.toCharArray(), System.getenv("NATS_PASSWORD").toCharArray());
        var subject = args[1].contains(".") ? args[1] : "events." + args[1];
        var id = PublishOptions.builder().messageId(args[1] + "-" + args[2]).build();
        try (var connection = Nats.connect(options.build())) {
            System.out.println(connection.jetStream().publish(subject, args[3].getBytes(UTF_8), id));
        } catch (java.io.IOException | io.nats.client.JetStreamApiException error) {
            System.err.println("not published: " + error.getMessage());
            System.exit(1);
        }
    }
}
