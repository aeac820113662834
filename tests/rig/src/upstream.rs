//! The service behind the filter: it answers with what it saw.

use std::io::{BufReader, Result, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use crate::wire::{Head, find, latin1};

/// A request as it reached the upstream.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The path, with its query.
    pub path: String,
    /// Every header line, in its order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body without its transfer coding.
    pub body: Vec<u8>,
}

impl Request {
    /// The first value of that header.
    pub fn header(&self, name: &str) -> Option<String> {
        find(&self.headers, name).map(latin1)
    }

    /// `{"method", "path", "headers": [[name, value], …], "body"}`, with one character for each byte of a
    /// value.
    pub fn to_json(&self) -> Value {
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| json!([name, latin1(value)])).collect();
        json!({"method": self.method, "path": self.path, "headers": headers, "body": latin1(&self.body)})
    }

    fn read(from: &mut BufReader<TcpStream>) -> Result<Option<Self>> {
        let Some(head) = Head::read(from)? else { return Ok(None) };
        let body = head.body(from)?.unwrap_or_default();
        let mut words = head.start.split(' ').map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        Ok(Some(Self { method, path, headers: head.headers, body }))
    }
}

/// An answer with status 200, or another.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The media type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

/// A server on 127.0.0.1. It ends with this value.
#[derive(Debug)]
pub struct Upstream {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    requests: AtomicUsize,
    stopped: AtomicBool,
}

impl Upstream {
    /// A server that answers 200 with [what it saw](Request::to_json).
    pub fn start() -> Self {
        Self::serve(|request| Answer {
            status: 200,
            content_type: "application/json",
            body: request.to_json().to_string(),
        })
    }

    /// A server that answers so. A WebSocket it accepts by itself, and sends [what it saw](Request::to_json)
    /// as the one text frame; an event stream, and a gRPC call of `/stream`, it never ends.
    pub fn serve(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("a bound port").port();
        let shared = Arc::new(Shared::default());
        let (answer, of_thread) = (Arc::new(answer), Arc::clone(&shared));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if of_thread.stopped.load(Ordering::Relaxed) {
                    break;
                }
                let (answer, shared) = (Arc::clone(&answer), Arc::clone(&of_thread));
                // An error here is a client that went away.
                thread::spawn(move || converse(stream, &*answer, &shared.requests));
            }
        });
        Self { port, shared }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many requests have reached it.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn converse(stream: TcpStream, answer: &impl Fn(&Request) -> Answer, requests: &AtomicUsize) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(request) = Request::read(&mut stream)? {
        requests.fetch_add(1, Ordering::Relaxed);
        if request.header("upgrade").is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket")) {
            return websocket(stream, &request);
        }
        let wants = |name: &str, kind: &str| request.header(name).is_some_and(|value| value == kind);
        if wants("accept", "text/event-stream") {
            return events(stream.get_mut(), "text/event-stream");
        }
        if wants("content-type", "application/grpc") && request.path == "/stream" {
            return events(stream.get_mut(), "application/grpc");
        }
        let Answer { status, content_type, body } = answer(&request);
        let head = format!(
            "HTTP/1.1 {status} \r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let body = if request.method == "HEAD" { "" } else { &body };
        stream.get_mut().write_all((head + body).as_bytes())?;
    }
    Ok(())
}

/// An event ten times a second, until nobody listens.
fn events(stream: &mut TcpStream, kind: &str) -> Result<()> {
    let head = format!("HTTP/1.1 200 \r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    loop {
        stream.write_all(b"9\r\ndata: x\n\n\r\n")?;
        thread::sleep(Duration::from_millis(100));
    }
}

/// RFC 6455 sections 4.2.2 and 5.2.
fn websocket(mut stream: BufReader<TcpStream>, request: &Request) -> Result<()> {
    let key = request.header("sec-websocket-key").unwrap_or_default();
    let accept = BASE64_STANDARD.encode(Sha1::digest(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    let head = format!(
        "HTTP/1.1 101 \r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {accept}\r\n\r\n"
    );
    let seen = request.to_json().to_string();
    let mut frame = vec![0x81];
    if let Ok(short @ 0..126) = u8::try_from(seen.len()) {
        frame.push(short);
    } else {
        frame.push(126);
        frame.extend(u16::try_from(seen.len()).expect("less than 64 kB of headers").to_be_bytes());
    }
    stream.get_mut().write_all(&[head.as_bytes(), &frame, seen.as_bytes()].concat())?;
    std::io::copy(&mut stream, &mut std::io::sink())?;
    Ok(())
}
