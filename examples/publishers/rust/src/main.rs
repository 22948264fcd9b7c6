// Start a run by an event, with the client library of NATS:
//
//     cargo run -- nats://127.0.0.1:4222 orders order-4711 '{"n": 1}'
//
// Arguments: server, flow (or a subject with a dot in it), idempotency key, event as JSON. Prints the server's answer.
use std::env::{args, var};

use async_nats::jetstream::{self, message::PublishMessage};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    if let Err(error) = publish(args().skip(1).collect()).await {
        eprintln!("not published: {error}");
        std::process::exit(1);
    }
}

async fn publish(args: Vec<String>) -> Result<(), Box<dyn std::error::Error>> {
    let [server, to, key, event] = args.try_into().map_err(|_| "say SERVER FLOW|SUBJECT KEY JSON")?;
    let mut options = async_nats::ConnectOptions::new();
    if let (Ok(user), Ok(password)) = (var("NATS_USER"), var("NATS_PASSWORD")) {
        options = options.user_and_password(user, password);
    }
    if let Ok(ca) = var("NATS_CA") {
        options = options.add_root_certificates(ca.into());
    }
    options = options.custom_inbox_prefix(var("NATS_INBOX_PREFIX").unwrap_or("_INBOX".into()));
    let jetstream = jetstream::new(options.connect(server).await?);
    let subject = if to.contains('.') { to.clone() } else { format!("events.{to}") };
    let message = PublishMessage::build().payload(event.into()).message_id(format!("{to}-{key}"));
    println!("{:?}", jetstream.send_publish(subject, message).await?.await?);
    Ok(())
}
