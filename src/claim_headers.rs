//! Claims as request headers for the upstream.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::http::{HeadEdit, RequestHead, hex};
use crate::jwt::{ClaimName, Claims, VerifiedJwt};
use crate::lenient::{is_twin, twins};

/// A claim as a header.
#[derive(Clone, Debug)]
pub struct ClaimHeader {
    /// The name of the header, in lower case.
    pub name: String,
    /// The claim, perhaps a member within one.
    pub claim: ClaimName,
    /// How it is written.
    pub format: Format,
}

/// How a claim is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// An array as its elements with commas between them, or as JSON where that could be read in another way. Anything else
    /// plain.
    CommaList,
    /// As JSON of ASCII.
    Json,
    /// Plain, percent-encoded (RFC 3986 section 2.1).
    PercentEncoded,
    /// A string as it is, in UTF-8, anything else as JSON.
    #[default]
    Plain,
}

/// Which claims become which headers. Whatever a client sends under one of these names is removed, always.
#[derive(Clone, Debug, Default)]
pub struct ClaimHeaders {
    /// Every header name of every provider, in lower case.
    names: Vec<String>,
    by_provider: Vec<Vec<ClaimHeader>>,
}

impl ClaimHeaders {
    /// Takes those of each provider.
    #[must_use]
    pub fn new(by_provider: Vec<Vec<ClaimHeader>>) -> Self {
        let mut names: Vec<String> = Vec::new();
        for ClaimHeader { name, .. } in by_provider.iter().flatten() {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        Self { names, by_provider }
    }

    /// Whether a claim of any provider becomes that header.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.names.iter().any(|own| own == name)
    }

    /// Whether some reader takes a header of that name for one that a claim becomes.
    #[must_use]
    pub fn has_twin(&self, name: &str) -> bool {
        self.names.iter().any(|own| is_twin(name, own))
    }

    /// Removes what a client sent under a name that CGI and its heirs read as this one: `x_jwt_uid` for `x-jwt-uid`.
    pub fn remove_twins<'e>(
        &'e self,
        head: &'e RequestHead<'e>,
        name: &'e str,
    ) -> impl Iterator<Item = HeadEdit<'e>> + 'e {
        twins(head, name).filter(move |found| *found != name && !self.has(found)).map(HeadEdit::Remove)
    }

    /// What the headers of a verified token say; the same at every request that brings it.
    #[must_use]
    pub fn prepare(&self, jwt: &VerifiedJwt, claims: &Claims<'_>) -> PreparedHeaders {
        let headers = self.by_provider.get(jwt.provider()).map(Vec::as_slice).unwrap_or_default();
        let value = |name: &String| {
            let header = headers.iter().find(|header| header.name == *name)?;
            Some(text(claims.find(&header.claim)?, header.format)?.into_bytes())
        };
        PreparedHeaders(self.names.iter().map(value).collect())
    }

    /// Sets the headers of a verified token, and removes what the client sent under any of the names.
    pub fn edit<'e>(
        &'e self,
        head: &'e RequestHead<'e>,
        prepared: Option<&'e PreparedHeaders>,
        edits: &mut Vec<HeadEdit<'e>>,
    ) {
        let mut values = prepared.map(|prepared| prepared.0.iter()).unwrap_or_default();
        for name in &self.names {
            let came = head.value(name).is_some();
            match values.next().and_then(Option::as_deref) {
                Some(value) if came => edits.push(HeadEdit::Set(name, Cow::Borrowed(value))),
                // Of two calls that do the same here this one costs a host less.
                Some(value) => edits.push(HeadEdit::Add(name, Cow::Borrowed(value))),
                None if came => edits.push(HeadEdit::Remove(name)),
                None => {}
            }
            edits.extend(self.remove_twins(head, name));
        }
    }
}

/// What each header of a [`ClaimHeaders`] says of one token, in its order; none: it is not set.
#[derive(Clone, Debug)]
pub struct PreparedHeaders(Vec<Option<Vec<u8>>>);

impl PreparedHeaders {
    /// The size of the values, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.iter().flatten().map(Vec::len).sum()
    }
}

/// From 2^53 on a double no longer holds every integer.
const ROUNDED: f64 = 9_007_199_254_740_992.0;

/// The value of a header; `None` for what would not arrive as it was signed: numbers that a double has rounded, and, where
/// nothing is escaped, control characters and white space at the ends, which every reader trims.
fn text(claim: &Value, format: Format) -> Option<String> {
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    if let Value::Number(number) = claim
        && number.is_f64()
        && number.as_f64().is_some_and(|own| own.abs() >= ROUNDED)
    {
        return None;
    }
    match format {
        Format::CommaList => match claim.as_array() {
            Some(items) => comma_list(items).or_else(|| ascii_json(claim)),
            None => plain(claim).filter(|text| arrives(text)),
        },
        Format::Json => ascii_json(claim),
        Format::PercentEncoded => plain(claim).map(|text| utf8_percent_encode(&text, RESERVED).to_string()),
        Format::Plain => plain(claim).filter(|text| arrives(text)),
    }
}

fn arrives(text: &str) -> bool {
    !text.chars().any(char::is_control) && text.trim() == text
}

/// A string as it is, anything else as JSON; null is nothing.
fn plain(claim: &Value) -> Option<String> {
    match claim {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        // The Display of a value can indent, too, and brings along what that needs.
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            serde_json::to_string(claim).ok()
        }
    }
}

/// `None` where who splits it at the commas would not find the elements again, or take it for JSON.
fn comma_list(items: &[Value]) -> Option<String> {
    let element = |item: &Value| {
        let is_scalar = !matches!(item, Value::Null | Value::Array(_) | Value::Object(_));
        let text = plain(item).filter(|_| is_scalar)?;
        (!text.is_empty() && !text.contains(',') && !text.starts_with('[') && arrives(&text)).then_some(text)
    };
    let elements: Vec<String> = items.iter().map(element).collect::<Option<_>>()?;
    (!elements.is_empty()).then(|| elements.join(","))
}

/// JSON in which every character that is no printable ASCII is escaped (RFC 8259 section 7).
fn ascii_json(claim: &Value) -> Option<String> {
    let json = serde_json::to_string(claim).ok()?;
    if json.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Some(json);
    }
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if matches!(character, ' '..='~') {
            escaped.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                escaped.push_str("\\u");
                escaped.push_str(&hex(&unit.to_be_bytes()));
            }
        }
    }
    Some(escaped)
}
