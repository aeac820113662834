//! An HTTP/2 client (RFC 9113) that sends requests on one connection, each header line as given: bytes that a library would not
//! send. Header compression (RFC 7541) is left out on the way there.

use std::io::{ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread::sleep;
use std::time::Duration;

use loona_hpack::Decoder;

use crate::http::Response;
use crate::wire::latin1;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
/// An extension of Envoy's.
const METADATA: u8 = 0x4d;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// What fits into one frame, unless the peer says more.
const FRAME: usize = 16_384;
/// What may be sent before the peer gives credit.
const WINDOW: usize = 65_535;

/// A request: every header line, the pseudo-headers first, and the body.
pub type Request<'r> = (Vec<(&'r str, &'r [u8])>, &'r [u8]);

/// Sends requests one after the other on one connection to 127.0.0.1, without TLS, and returns the answers; none where the
/// stream was reset or the connection ended. Of a body no more is sent than the first window.
pub fn responses(port: u16, requests: &[Request<'_>]) -> Vec<Option<Response>> {
    converse(port, requests).unwrap_or_else(|error| panic!("HTTP/2 on port {port}: {error}"))
}

/// What of a request comes behind its head.
#[derive(Clone, Copy, Debug)]
pub enum Piece<'p> {
    /// A part of the body.
    Data(&'p [u8]),
    /// The end, in an empty frame.
    End,
    /// A frame of the kind METADATA, which Envoy knows.
    Metadata,
    /// A moment, in which what was sent arrives.
    Pause,
    /// The stream is given up: no answer comes.
    Reset,
    /// Trailers, and so the end.
    Trailers(&'p [(&'p str, &'p [u8])]),
}

/// Sends a head that does not end the stream, and these pieces. None: there was no answer.
///
/// # Panics
/// Nobody speaks HTTP/2 on that port.
pub fn in_pieces(port: u16, fields: &[(&str, &[u8])], pieces: &[Piece<'_>]) -> Option<Response> {
    let mut stream = open(port).unwrap_or_else(|error| panic!("HTTP/2 on port {port}: {error}"));
    let mut decoder = Decoder::new();
    // A peer that has answered may close while the rest is sent.
    let _ = stream.write_all(&frame(HEADERS, END_HEADERS, 1, &header_block(fields)));
    for piece in pieces {
        let _ = match piece {
            Piece::Data(data) => stream.write_all(&frame(DATA, 0, 1, data)),
            Piece::End => stream.write_all(&frame(DATA, END_STREAM, 1, b"")),
            Piece::Metadata => {
                stream.write_all(&frame(METADATA, END_HEADERS, 1, &header_block(&[("a", b"b")])))
            }
            Piece::Pause => {
                sleep(Duration::from_millis(50));
                Ok(())
            }
            Piece::Reset => {
                let _ = stream.write_all(&frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes()));
                sleep(Duration::from_millis(50));
                return None;
            }
            Piece::Trailers(fields) => {
                stream.write_all(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &header_block(fields)))
            }
        };
    }
    response(&mut stream, &mut decoder, 1).ok().flatten()
}

fn open(port: u16) -> Result<TcpStream> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_mins(2)))?;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
    stream.write_all(&frame(SETTINGS, 0, 0, b""))?;
    Ok(stream)
}

fn converse(port: u16, requests: &[Request<'_>]) -> Result<Vec<Option<Response>>> {
    let mut stream = open(port)?;
    let mut decoder = Decoder::new();
    let mut responses = Vec::new();
    for (id, (fields, body)) in (1_u32..).step_by(2).zip(requests) {
        let sent = stream.write_all(&request(id, fields, body));
        responses.push(match sent.and_then(|()| response(&mut stream, &mut decoder, id)) {
            Err(error) if is_end(error.kind()) => None,
            response => response?,
        });
    }
    Ok(responses)
}

fn request(id: u32, fields: &[(&str, &[u8])], body: &[u8]) -> Vec<u8> {
    let block = header_block(fields);
    let mut frames = Vec::new();
    for (index, part) in block.chunks(FRAME).enumerate() {
        let kind = if index == 0 { HEADERS } else { CONTINUATION };
        let end_stream = if index == 0 && body.is_empty() { END_STREAM } else { 0 };
        let end_headers = if (index + 1) * FRAME >= block.len() { END_HEADERS } else { 0 };
        frames.extend(frame(kind, end_stream | end_headers, id, part));
    }
    let sent = body.len().min(WINDOW);
    for (index, part) in body[..sent].chunks(FRAME).enumerate() {
        let flags = if (index + 1) * FRAME >= body.len() { END_STREAM } else { 0 };
        frames.extend(frame(DATA, flags, id, part));
    }
    frames
}

/// A peer that closes while there is something to read for it resets the connection.
fn is_end(error: ErrorKind) -> bool {
    matches!(error, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof)
}

fn response(stream: &mut TcpStream, decoder: &mut Decoder<'_>, id: u32) -> Result<Option<Response>> {
    let (mut block, mut fields, mut body) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let [a, b, c, kind, flags, id_bytes @ ..] = head;
        let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c])).expect("a length")];
        stream.read_exact(&mut payload)?;
        let of = u32::from_be_bytes(id_bytes);
        match kind {
            SETTINGS if flags & ACK == 0 => stream.write_all(&frame(SETTINGS, ACK, 0, b""))?,
            // Of a stream before, what comes late counts for the state of the decoder alone.
            HEADERS | CONTINUATION => {
                block.extend(payload);
                if flags & END_HEADERS != 0 {
                    let lines = decoder.decode(&block).expect("a header block");
                    block.clear();
                    if of == id && fields.is_empty() {
                        fields = lines;
                    }
                }
            }
            DATA if of == id => body.extend(payload),
            GOAWAY => return Ok(None),
            RST_STREAM if of == id && fields.is_empty() => return Ok(None),
            _ => {}
        }
        let is_end = matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 || kind == RST_STREAM;
        if is_end && of == id {
            return Ok(Some(read(fields, body)));
        }
    }
}

fn read(fields: Vec<(Vec<u8>, Vec<u8>)>, body: Vec<u8>) -> Response {
    let status = fields.iter().find(|(name, _)| name == b":status");
    let status = status.and_then(|(_, status)| latin1(status).parse().ok()).expect("a status");
    let lines = fields.into_iter().filter(|(name, _)| !name.starts_with(b":"));
    Response { status, headers: lines.map(|(name, value)| (latin1(&name), value)).collect(), body }
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
