//! Claims as request headers for the upstream.

use std::borrow::Cow;

use serde_json::Value;

use crate::http::{HeadEdit, RequestHead};
use crate::jwt::{Claims, VerifiedJwt};

/// Which claims become which headers. Whatever a client sends under one of these names is removed, always.
#[derive(Clone, Debug, Default)]
pub struct ClaimHeaders {
    /// Every header name of every provider, in lower case.
    names: Vec<String>,
    /// For each provider: header name and claim.
    by_provider: Vec<Vec<(String, String)>>,
}

impl ClaimHeaders {
    /// Takes, for each provider, pairs of header name (in lower case) and claim.
    #[must_use]
    pub fn new(by_provider: Vec<Vec<(String, String)>>) -> Self {
        let mut names: Vec<String> = Vec::new();
        for (name, _) in by_provider.iter().flatten() {
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

    /// Removes what a client sent under a name that CGI and its heirs read as this one: `x_jwt_uid` for `x-jwt-uid`.
    pub fn remove_twins<'e>(
        &'e self,
        head: &'e RequestHead<'e>,
        name: &'e str,
    ) -> impl Iterator<Item = HeadEdit<'e>> + 'e {
        head.names()
            .filter(move |found| is_twin(found, name) && *found != name && !self.has(found))
            .map(HeadEdit::Remove)
    }

    /// What the headers of a verified token say; the same at every request that brings it.
    #[must_use]
    pub fn prepare(&self, jwt: &VerifiedJwt, claims: &Claims<'_>) -> PreparedHeaders {
        let headers = self.by_provider.get(jwt.provider()).map(Vec::as_slice).unwrap_or_default();
        let value = |name: &String| {
            let (_, claim) = headers.iter().find(|(own, _)| own == name)?;
            Some(text(claims.value(claim)?)?.into_bytes())
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

fn is_twin(found: &str, name: &str) -> bool {
    let normal = |byte: u8| if byte == b'_' { b'-' } else { byte };
    found.len() == name.len() && found.bytes().map(normal).eq(name.bytes().map(normal))
}

/// A string as it is, anything else as JSON; `None` for what would not arrive as it was signed: control characters,
/// white space at the ends, which every reader trims, and numbers that a double has rounded.
fn text(claim: &Value) -> Option<String> {
    let text = match claim {
        Value::Null => return None,
        Value::Number(number)
            if number.is_f64() && number.as_f64().is_some_and(|own| own.abs() >= ROUNDED) =>
        {
            return None;
        }
        Value::String(text) => text.clone(),
        // The Display of a value can indent, too, and brings along what that needs.
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            serde_json::to_string(claim).ok()?
        }
    };
    (!text.chars().any(char::is_control) && text.trim() == text).then_some(text)
}
