//! The words that host and core share: the head of a request, its edits, and an answer.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::jwt::Budget;

/// A header line as the host delivers it: a lower-case name and raw bytes.
pub type Field = (String, Vec<u8>);

/// The head of a request. Header values are bytes: nothing says that they are UTF-8.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'r> {
    method: &'r [u8],
    authority: &'r [u8],
    target: &'r [u8],
    fields: &'r [Field],
    form: Option<&'r [u8]>,
    /// The [marks](mark) of all names.
    marks: u64,
    budget: Budget,
    has_body: bool,
    may_wait: bool,
}

impl<'r> RequestHead<'r> {
    /// Takes the header map of a request, `:method`, `:authority` and `:path` included; one that is missing is empty.
    #[must_use]
    pub fn new(fields: &'r [Field]) -> Self {
        let mut head = Self {
            method: b"",
            authority: b"",
            target: b"",
            fields,
            form: None,
            marks: 0,
            has_body: false,
            budget: Budget::FULL,
            may_wait: true,
        };
        for (name, value) in fields {
            head.marks |= mark(name);
            match name.as_str() {
                ":method" => head.method = value,
                ":authority" => head.authority = value,
                ":path" => head.target = value,
                _ => {}
            }
        }
        head
    }

    /// The same with the body of the request, which is a form.
    #[must_use]
    pub const fn with_form(self, form: &'r [u8]) -> Self {
        Self { form: Some(form), ..self }
    }

    /// The same, of a request that has waited: this is what it may still spend.
    #[must_use]
    pub const fn with_budget(self, budget: Budget) -> Self {
        Self { budget, ..self }
    }

    /// How many signatures may be checked for it.
    #[must_use]
    pub const fn budget(&self) -> Budget {
        self.budget
    }

    /// The same, of a request whose head is all there is of it, or is not: over HTTP/2 nothing in it need say so.
    #[must_use]
    pub const fn with_body(self, has_body: bool) -> Self {
        Self { has_body, ..self }
    }

    /// Whether something may follow the head.
    #[must_use]
    pub const fn has_body(&self) -> bool {
        self.has_body
    }

    /// The same, of a request that has waited long enough.
    #[must_use]
    pub const fn without_waiting(self) -> Self {
        Self { may_wait: false, ..self }
    }

    /// Whether the request may wait for what is being fetched.
    #[must_use]
    pub const fn may_wait(&self) -> bool {
        self.may_wait
    }

    /// The form that came with it, where it was read.
    #[must_use]
    pub const fn form(&self) -> Option<&'r [u8]> {
        self.form
    }

    /// The method; names are case-sensitive (RFC 9110 section 9.1).
    #[must_use]
    pub const fn method(&self) -> &'r [u8] {
        self.method
    }

    /// Host and port that the client asked for (`Host` or `:authority`).
    #[must_use]
    pub const fn authority(&self) -> &'r [u8] {
        self.authority
    }

    /// Path and query as they came.
    #[must_use]
    pub const fn target(&self) -> &'r [u8] {
        self.target
    }

    /// The path as it came, without the query.
    #[must_use]
    pub fn path(&self) -> &'r [u8] {
        cut(self.target, b'?').0
    }

    /// The query as it came, without its `?`.
    #[must_use]
    pub fn query(&self) -> Option<&'r [u8]> {
        cut(self.target, b'?').1
    }

    /// Whether the query or the cookies have so many pairs that to look at each would take long, and that no application does.
    #[must_use]
    pub fn has_too_many_pairs(&self) -> bool {
        let bytes = self.values("cookie").fold(0, |sum: usize, line| sum.saturating_add(line.len()));
        let mut cookies = self.values("cookie").flat_map(|line| memchr::memchr_iter(b';', line));
        has_many(self.target) || bytes > MOST_PAIRS && cookies.nth(MOST_PAIRS).is_some()
    }

    /// Every value of a header, in order.
    pub fn values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'r [u8]> + use<'r, 'n> {
        self.lines_like(name)
            .iter()
            .filter(move |(found, _)| found == name)
            .map(|(_, value)| value.as_slice())
    }

    /// The first value of a header.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&'r [u8]> {
        self.values(name).next()
    }

    /// The names of all headers, or none if no name is that one, or one that differs from it only in case and in signs: most of
    /// what is asked for does not come.
    pub fn names_like(&self, name: &str) -> impl Iterator<Item = &'r str> + use<'r> {
        self.lines_like(name).iter().map(|(found, _)| found.as_str())
    }

    /// All lines, or none, as for [`Self::names_like`].
    fn lines_like(&self, name: &str) -> &'r [Field] {
        // Where one name ends in a sign, the other may end in another one, with another mark.
        let ends_in_sign = name.bytes().next_back().is_none_or(|byte| !byte.is_ascii_alphanumeric());
        if ends_in_sign || self.marks & mark(name) != 0 { self.fields } else { &[] }
    }

    /// The names of all headers.
    pub fn names(&self) -> impl Iterator<Item = &'r str> + use<'r> {
        self.fields.iter().map(|(name, _)| name.as_str())
    }
}

/// One change to the head of a request on its way to the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadEdit<'e> {
    /// Adds a line, and keeps those of the same name.
    Add(&'e str, Cow<'e, [u8]>),
    /// Removes every line of that name.
    Remove(&'e str),
    /// Replaces every line of that name by this one.
    Set(&'e str, Cow<'e, [u8]>),
}

/// An answer of the filter's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header lines, `Set-Cookie` perhaps more than once.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The body; empty for none.
    pub body: Vec<u8>,
    /// The gRPC status, where gRPC asked; `body` is then its message and `status` what it would be otherwise.
    pub grpc: Option<GrpcStatus>,
}

impl Response {
    /// An answer that no cache keeps.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { status, headers: vec![("cache-control", "no-store".into())], body: Vec::new(), grpc: None }
    }

    /// Adds a header line.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Adds a header line for each value.
    #[must_use]
    pub fn with_each(mut self, name: &'static str, values: Vec<String>) -> Self {
        for value in values {
            self.headers.push((name, value.into()));
        }
        self
    }

    /// Sets the body and its media type.
    #[must_use]
    pub fn with_body(mut self, media_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.with("content-type", media_type)
    }
}

/// The status codes of gRPC that a refusal can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrpcStatus {
    /// 3
    InvalidArgument,
    /// 7
    PermissionDenied,
    /// 16
    Unauthenticated,
    /// 14
    Unavailable,
}

impl GrpcStatus {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::InvalidArgument => 3,
            Self::PermissionDenied => 7,
            Self::Unauthenticated => 16,
            Self::Unavailable => 14,
        }
    }
}

/// One bit of 64, by the length of a name and its last letter or digit, in either case.
fn mark(name: &str) -> u64 {
    let [length, ..] = name.len().to_le_bytes();
    let last = name.bytes().next_back().unwrap_or_default() & 0x1f;
    1_u64.wrapping_shl(u32::from(length.wrapping_mul(5) ^ last))
}

/// Cuts `text` at the first `separator`, which belongs to neither part.
pub(crate) fn cut(text: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    let parts = memchr::memchr(separator, text).and_then(|at| text.split_at_checked(at));
    parts.map_or((text, None), |(before, rest)| (before, rest.get(1..)))
}

/// Whether that is a token (RFC 9110 section 5.6.2): a method, or the name of a header.
pub(crate) fn is_token(text: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(fits)
}

/// So many parameters or cookies of a request are looked at. Only who sends separators alone has more in 60 KiB.
const MOST_PAIRS: usize = 16_384;

/// Whether a query or a form has more.
pub(crate) fn has_many(text: &[u8]) -> bool {
    text.len() > MOST_PAIRS && memchr::memchr2_iter(b'&', b';', text).nth(MOST_PAIRS).is_some()
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
