//! An HTTP/2 client (RFC 9113) that knows one thing: to send requests on one connection, each header line as given, and
//! to read the bodies of the answers. Header compression (RFC 7541) is left out on the way there and not understood on
//! the way back: what must be compared stands in the bodies.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Sends requests one after the other on one connection to 127.0.0.1, without TLS, and returns the bodies of the
/// answers; none where the stream was reset or the connection ended.
pub fn bodies(port: u16, requests: &[Vec<(&str, &[u8])>]) -> Vec<Option<Vec<u8>>> {
    converse(port, requests).unwrap_or_else(|error| panic!("HTTP/2 on port {port}: {error}"))
}

fn converse(port: u16, requests: &[Vec<(&str, &[u8])>]) -> Result<Vec<Option<Vec<u8>>>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
    stream.write_all(&frame(SETTINGS, 0, 0, b""))?;
    let mut bodies = Vec::new();
    for (id, request) in (1_u32..).step_by(2).zip(requests) {
        let sent = stream.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, id, &header_block(request)));
        bodies.push(match sent.and_then(|()| body(&mut stream, id)) {
            Err(error) if is_end(error.kind()) => None,
            body => body?,
        });
    }
    Ok(bodies)
}

/// A peer that closes while there is something to read for it resets the connection.
fn is_end(error: ErrorKind) -> bool {
    matches!(error, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof)
}

fn body(stream: &mut TcpStream, id: u32) -> Result<Option<Vec<u8>>> {
    let mut bodies: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let [a, b, c, kind, flags, id_bytes @ ..] = head;
        let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c])).expect("a length")];
        stream.read_exact(&mut payload)?;
        let of = u32::from_be_bytes(id_bytes);
        match kind {
            SETTINGS if flags & ACK == 0 => stream.write_all(&frame(SETTINGS, ACK, 0, b""))?,
            DATA => bodies.entry(of).or_default().extend(payload),
            GOAWAY => return Ok(None),
            RST_STREAM if of == id => return Ok(None),

            _ => {}
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 && of == id {
            return Ok(Some(bodies.remove(&id).unwrap_or_default()));
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a length").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Literal fields that are not indexed, their names and values as they are (RFC 7541 section 6.2.2).
fn header_block(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name.as_bytes(), value] {
            block.extend(integer(text.len()));
            block.extend(text);
        }
    }
    block
}

/// An integer with a prefix of seven bits (RFC 7541 section 5.1).
fn integer(value: usize) -> Vec<u8> {
    const PREFIX: usize = 0x7f;
    let byte = |value: usize| u8::try_from(value).expect("seven bits");
    if value < PREFIX {
        return vec![byte(value)];
    }
    let (mut bytes, mut rest) = (vec![byte(PREFIX)], value - PREFIX);
    while rest > PREFIX {
        bytes.push(byte(rest & PREFIX) | 0x80);
        rest >>= 7;
    }
    bytes.push(byte(rest));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_those_of_the_rfc() {
        assert_eq!(integer(10), [10]);
        assert_eq!(integer(126), [126]);
        assert_eq!(integer(127), [127, 0]);
        assert_eq!(integer(127 + 1306), [127, 0x9a, 0x0a]);
    }
}
