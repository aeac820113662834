//! Reading HTTP/1.1 (RFC 9112): the part that client and server share.

use std::io::{BufRead, Error, ErrorKind, Read, Result};

/// Names as they were written, values as bytes: they need not be UTF-8.
pub(crate) type Headers = Vec<(String, Vec<u8>)>;

pub(crate) struct Head {
    /// The request line or the status line.
    pub(crate) start: String,
    pub(crate) headers: Headers,
}

impl Head {
    /// Whether there is a line of that name with that value.
    pub(crate) fn has(&self, name: &str, value: &str) -> bool {
        self.headers.iter().any(|(own, found)| own.eq_ignore_ascii_case(name) && found == value.as_bytes())
    }

    /// The next head, or `None` where the peer closed the connection instead.
    pub(crate) fn read(from: &mut impl BufRead) -> Result<Option<Self>> {
        let Some(start) = line(from)? else { return Ok(None) };
        let mut headers = Headers::new();
        loop {
            let line = line(from)?.ok_or(ErrorKind::UnexpectedEof)?;
            if line.is_empty() {
                return Ok(Some(Self { start: latin1(&start), headers }));
            }
            let colon = line
                .iter()
                .position(|&byte| byte == b':')
                .ok_or_else(|| malformed("a header without a colon"))?;
            headers.push((latin1(&line[..colon]), line[colon + 1..].trim_ascii().to_vec()));
        }
    }

    /// The body as the headers announce it, or `None` where they announce none.
    pub(crate) fn body(&self, from: &mut impl BufRead) -> Result<Option<Vec<u8>>> {
        if find(&self.headers, "transfer-encoding")
            .is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"))
        {
            return chunked(from).map(Some);
        }
        let Some(length) = find(&self.headers, "content-length") else { return Ok(None) };
        exactly(from, number(length, 10)?).map(Some)
    }
}

/// The first value of that name.
pub(crate) fn find<'a>(headers: &'a Headers, name: &str) -> Option<&'a [u8]> {
    headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
}

/// One character per byte, so that nothing is lost on the way into JSON.
pub(crate) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn line(from: &mut impl BufRead) -> Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    if from.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.pop() != Some(b'\n') {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    line.pop_if(|byte| *byte == b'\r');
    Ok(Some(line))
}

fn chunked(from: &mut impl BufRead) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = line(from)?.ok_or(ErrorKind::UnexpectedEof)?;
        let size = size.split(|&byte| byte == b';').next().unwrap_or_default();
        let size = number(size, 16)?;
        if size == 0 {
            while !line(from)?.ok_or(ErrorKind::UnexpectedEof)?.is_empty() {}
            return Ok(body);
        }
        body.extend(exactly(from, size)?);
        line(from)?;
    }
}

fn exactly(from: &mut impl BufRead, length: u64) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    from.take(length).read_to_end(&mut body)?;
    if u64::try_from(body.len()).is_ok_and(|read| read == length) {
        Ok(body)
    } else {
        Err(ErrorKind::UnexpectedEof.into())
    }
}

fn number(digits: &[u8], radix: u32) -> Result<u64> {
    u64::from_str_radix(latin1(digits).trim(), radix).map_err(|_| malformed("a length that is no number"))
}

fn malformed(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<(Head, Option<Vec<u8>>, Vec<u8>)> {
        let mut from = text;
        let head = Head::read(&mut from)?.ok_or(ErrorKind::UnexpectedEof)?;
        let body = head.body(&mut from)?;
        Ok((head, body, from.to_vec()))
    }

    #[test]
    fn a_body_ends_where_the_headers_say() {
        let (_, body, rest) = read(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /").unwrap();
        assert_eq!((body.unwrap(), rest), (b"abc".to_vec(), b"GET /".to_vec()));
        let chunks = b"2;x\r\nab\r\n1\r\nc\r\n0\r\nt: 1\r\n\r\nrest";
        let (_, body, rest) =
            read(&[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &chunks[..]].concat()).unwrap();
        assert_eq!((body.unwrap(), rest), (b"abc".to_vec(), b"rest".to_vec()));
        assert!(read(b"GET / HTTP/1.1\r\n\r\n").unwrap().1.is_none());
        assert!(read(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab").is_err());
    }

    #[test]
    fn values_keep_their_bytes() {
        let (head, ..) = read(b"GET / HTTP/1.1\r\nX: \xff\r\nx: b\r\n\r\n").unwrap();
        assert_eq!(head.headers, [("X".into(), vec![0xff]), ("x".into(), b"b".to_vec())]);
        assert_eq!(find(&head.headers, "x"), Some(&b"\xff"[..]));
        assert_eq!(latin1(b"\xff"), "ÿ");
    }
}
