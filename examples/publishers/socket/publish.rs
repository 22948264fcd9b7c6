// Publish an event and wait until it is on disk. Nothing but Rust's standard library.
//
//     rustc publish.rs && ./publish 127.0.0.1:4222 orders order-4711 '{"n": 1}'
//
// Arguments: server, flow (or a subject with a dot in it), idempotency key, event as JSON.
// Prints the server's answer; exits 1 if the event was refused or nobody answered.
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::exit;
use std::time::Duration;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [server, to, key, event] = args.as_slice() else {
        eprintln!("usage: publish HOST:PORT FLOW|SUBJECT KEY JSON");
        exit(2);
    };
    match publish(server, to, key, event) {
        Ok(answer) => println!("{answer}"),
        Err(reason) => {
            eprintln!("not published: {reason}");
            exit(1);
        }
    }
}

fn publish(server: &str, to: &str, key: &str, event: &str) -> Result<String, Box<dyn std::error::Error>> {
    let mut socket = TcpStream::connect(server)?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    let subject = if to.contains('.') { to.to_string() } else { format!("events.{to}") };
    let inbox = format!("_INBOX.{}.{}", std::process::id(), socket.local_addr()?.port());
    let header = format!("NATS/1.0\r\nNats-Msg-Id: {to}-{key}\r\n\r\n");
    let connect = r#"CONNECT {"verbose":false,"headers":true,"no_responders":true,"name":"publish.rs"}"#;
    let (head, all) = (header.len(), header.len() + event.len());
    write!(socket, "{connect}\r\nSUB {inbox} 1\r\nHPUB {subject} {inbox} {head} {all}\r\n{header}{event}\r\n")?;
    for line in BufReader::new(&socket).lines() {
        let line = line?;
        if line.starts_with("-ERR") || line.contains("\"error\"") {
            return Err(line.into());
        }
        if line.starts_with("NATS/1.0 503") {
            return Err(format!("nobody takes {subject}: no coordinator was ever started here, or no flow listens").into());
        }
        if line.starts_with("{\"stream\"") {
            return Ok(line);
        }
    }
    Err("no answer: it may be stored; publish it again with the same key".into())
}
