//! An HTTP/1.1 client that sends exactly the given bytes: header values that are no UTF-8, two `cookie`
//! lines, paths that nobody normalised.

use std::io::{BufReader, ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::wire::Head;

/// Longer than anything here takes; a test that hangs shall say where.
const PATIENCE: Duration = Duration::from_mins(2);

/// What came back.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Every header line, in its order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body without its transfer coding.
    pub body: Vec<u8>,
}

impl Response {
    /// The first value of that header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_all(name).into_iter().next()
    }

    /// Every value of that header. For bytes that are no UTF-8, look at `headers`.
    pub fn header_all(&self, name: &str) -> Vec<&str> {
        let values = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        values.map(|(_, value)| str::from_utf8(value).expect("a header value in UTF-8")).collect()
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("a body in UTF-8")
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}) with status {}: {:?}", self.status, self.body))
    }
}

/// Sends these bytes on a connection of their own and reads one answer.
pub fn send(port: u16, raw_request: &[u8]) -> Response {
    Connection::open(port).send(raw_request)
}

/// Sends a request, with `host` and `content-length` added where they are missing.
pub fn request(port: u16, method: &str, path: &str, headers: &[(&str, &[u8])], body: &[u8]) -> Response {
    send(port, &raw(port, method, path, headers, body))
}

/// The bytes of that request.
pub fn raw(port: u16, method: &str, path: &str, headers: &[(&str, &[u8])], body: &[u8]) -> Vec<u8> {
    let given = |name: &str| headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
    let mut raw = format!("{method} {path} HTTP/1.1\r\n").into_bytes();
    let mut line = |name: &str, value: &[u8]| raw.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    if !given("host") {
        line("host", format!("127.0.0.1:{port}").as_bytes());
    }
    for (name, value) in headers {
        line(name, value);
    }
    if !(given("content-length")
        || given("transfer-encoding")
        || (body.is_empty() && matches!(method, "GET" | "HEAD" | "OPTIONS")))
    {
        line("content-length", body.len().to_string().as_bytes());
    }
    raw.extend(b"\r\n");
    raw.extend(body);
    raw
}

/// A connection that is kept: for several requests, or for a WebSocket.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects to 127.0.0.1.
    pub fn open(port: u16) -> Self {
        Self::try_open(port).unwrap_or_else(|error| panic!("nobody listens on port {port}: {error}"))
    }

    /// Sends these bytes and reads one answer: a final one, or the 101 that turns this into a WebSocket.
    pub fn send(&mut self, raw_request: &[u8]) -> Response {
        self.try_send(raw_request).unwrap_or_else(|error| {
            panic!("no answer ({error}) to {:?}", String::from_utf8_lossy(raw_request))
        })
    }

    /// The same where nobody may listen.
    ///
    /// # Errors
    /// Nobody did.
    pub fn try_open(port: u16) -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// The same where no answer may come.
    ///
    /// # Errors
    /// None came, or half of one.
    pub fn try_send(&mut self, raw_request: &[u8]) -> Result<Response> {
        // A server may answer and close before it has read all of it: then the answer counts.
        let _ = self.stream.get_mut().write_all(raw_request);
        loop {
            let head = Head::read(&mut self.stream)?.ok_or(ErrorKind::UnexpectedEof)?;
            let status = head.start.split(' ').nth(1).and_then(|code| code.parse().ok());
            let status = status.ok_or(ErrorKind::InvalidData)?;
            let bodiless = matches!(status, 100..200 | 204 | 304) || raw_request.starts_with(b"HEAD ");
            if matches!(status, 101 | 200..) {
                let body = if bodiless { Vec::new() } else { self.body(&head)? };
                return Ok(Response { status, headers: head.headers, body });
            }
        }
    }

    fn body(&mut self, head: &Head) -> Result<Vec<u8>> {
        if let Some(body) = head.body(&mut self.stream)? {
            return Ok(body);
        }
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest)?;
        Ok(rest)
    }

    /// The next bytes after a 101, up to that many; fewer where the peer closed.
    pub fn read(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = self.stream.by_ref().take(length.try_into().expect("a length")).read_to_end(&mut bytes);
        bytes
    }

    /// The payload of the next WebSocket frame (RFC 6455), as the [upstream](crate::upstream) sends one when
    /// it is opened.
    pub fn frame(&mut self) -> Vec<u8> {
        let length = match *self.read(2) {
            [_, 126] => usize::from(u16::from_be_bytes(self.read(2).try_into().expect("a frame"))),
            [_, short] => usize::from(short),
            _ => panic!("the WebSocket was closed before a frame came"),
        };
        self.read(length)
    }
}
