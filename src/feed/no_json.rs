//! What an answer is that should be JSON: whoever reads the log does not see it.

use std::fmt;

use crate::jwt::is_duplicate;

/// Something of an answer for a log: the first 200 characters of printable ASCII, others as `?`.
#[must_use]
pub fn shown(bytes: &[u8]) -> String {
    let fits = |byte: &u8| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '?' };
    bytes.iter().take(200).map(fits).collect()
}

/// What an answer is that is no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoJson {
    /// It begins with a byte order mark, of UTF-8 or UTF-16.
    ByteOrderMark,
    /// It is compressed.
    Compressed,
    /// It has a member twice, at that line and column.
    Duplicate(usize, usize),
    /// It has no bytes.
    Empty,
    /// It is a page.
    Markup,
    /// It is PEM.
    Pem,
    /// It is something else.
    Other,
}

impl NoJson {
    /// Looks at the first bytes, and at why it was not read.
    #[must_use]
    pub fn of(answer: &[u8], fault: &serde_json::Error) -> Self {
        /// Of gzip (RFC 1952), zlib (RFC 1950) and Zstandard (RFC 8878). Brotli begins with nothing of its own.
        const COMPRESSED: [&[u8]; 5] =
            [b"\x1f\x8b", b"\x78\x01", b"\x78\x9c", b"\x78\xda", b"\x28\xb5\x2f\xfd"];
        const MARKS: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xfe\xff", b"\xff\xfe"];
        let begins = |prefix: &&[u8]| answer.starts_with(prefix);
        let text = answer.trim_ascii_start();
        if text.is_empty() {
            Self::Empty
        } else if COMPRESSED.iter().any(begins) {
            Self::Compressed
        } else if MARKS.iter().any(begins) {
            Self::ByteOrderMark
        } else if text.starts_with(b"<") {
            Self::Markup
        } else if text.starts_with(b"-----BEGIN") {
            Self::Pem
        } else if is_duplicate(fault) {
            Self::Duplicate(fault.line(), fault.column())
        } else {
            Self::Other
        }
    }
}

impl fmt::Display for NoJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByteOrderMark => {
                f.write_str("it begins with a byte order mark, which JSON has not (RFC 8259 section 8.1)")
            }
            Self::Compressed => {
                f.write_str("it is compressed, though nobody asked for that, and is not unpacked")
            }
            Self::Duplicate(line, column) => {
                write!(f, "it has a member twice, the second time at line {line}, column {column}")
            }
            Self::Empty => f.write_str("it is empty"),
            Self::Markup => f.write_str("it is a page (HTML or XML), and no JSON"),
            Self::Pem => {
                f.write_str("it is PEM; keys are fetched as a JWK Set, and PEM is written in `keys`")
            }
            Self::Other => f.write_str("it is no JSON"),
        }
    }
}
