//! The claims of a token (RFC 7519 section 4).

use std::fmt;

use serde_json::Value;

use super::ClaimName;
use super::json::Members;

/// Seconds since 1970-01-01T00:00:00Z (RFC 7519 section 2); may be negative and fractional.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct NumericDate(f64);

impl NumericDate {
    /// A date from seconds since the epoch.
    #[must_use]
    pub const fn from_seconds(seconds: f64) -> Self {
        Self(seconds)
    }

    /// Seconds since the epoch.
    #[must_use]
    pub const fn seconds(self) -> f64 {
        self.0
    }

    /// The date that many seconds later.
    #[must_use]
    pub fn plus(self, seconds: f64) -> Self {
        Self(self.0 + seconds)
    }
}

impl fmt::Display for NumericDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whole seconds: the printer of floats weighs as much as a hash function.
        #[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "saturates")]
        let whole = self.0 as i64;
        whole.fmt(f)
    }
}

/// The time, as the host tells it.
pub trait Clock {
    /// The time.
    fn now(&self) -> NumericDate;

    /// The time, perhaps a second old, for less: to be told the time costs a host more than to compare two tokens.
    fn recent(&self) -> NumericDate {
        self.now()
    }
}

/// A clock that stands still.
impl Clock for NumericDate {
    fn now(&self) -> NumericDate {
        *self
    }
}

/// A claim that should have a certain type: it may be absent, or of another type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Claim<T> {
    /// The payload has no such member.
    Absent,
    /// The member is of another type.
    Invalid,
    /// What it holds.
    Present(T),
}

/// What of the payload of a token, a JSON object, the configuration speaks of.
#[derive(Clone, Debug, Default)]
pub struct Claims<'w>(Members<'w>);

impl<'w> Claims<'w> {
    pub(super) const fn new(members: Members<'w>) -> Self {
        Self(members)
    }

    /// Any claim.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    /// Any claim, or a member within one.
    #[must_use]
    pub fn find(&self, name: &ClaimName) -> Option<&Value> {
        name.find(&|own| self.value(own))
    }

    /// A claim that is a string.
    #[must_use]
    pub fn text(&self, name: &str) -> Claim<&str> {
        match self.value(name) {
            None => Claim::Absent,
            Some(value) => value.as_str().map_or(Claim::Invalid, Claim::Present),
        }
    }

    /// A claim that is a time.
    #[must_use]
    pub fn date(&self, name: &str) -> Claim<NumericDate> {
        match self.value(name) {
            None => Claim::Absent,
            Some(value) => {
                value.as_f64().map_or(Claim::Invalid, |seconds| Claim::Present(NumericDate(seconds)))
            }
        }
    }

    /// A claim that is a time, as a Go program of JwtProxy's age reads it: what does not fit 64 bits of seconds is
    /// a time in the far past.
    #[must_use]
    pub fn wrapped_date(&self, name: &str) -> Claim<NumericDate> {
        const FIRST_UNFIT: f64 = 9_223_372_036_854_775_808.0;
        match self.value(name) {
            None => Claim::Absent,
            Some(value) => match value.as_f64() {
                Some(seconds) if seconds.abs() < FIRST_UNFIT => Claim::Present(NumericDate(seconds)),
                Some(_) => Claim::Present(NumericDate(-FIRST_UNFIT)),
                None => Claim::Invalid,
            },
        }
    }

    /// The audiences (RFC 7519 section 4.1.3): a string or an array of strings.
    #[must_use]
    pub fn audiences(&self) -> Claim<Vec<&str>> {
        match self.value("aud") {
            None => Claim::Absent,
            Some(Value::String(one)) => Claim::Present(vec![one]),
            Some(Value::Array(many)) => {
                many.iter().map(Value::as_str).collect::<Option<_>>().map_or(Claim::Invalid, Claim::Present)
            }
            Some(Value::Bool(_) | Value::Null | Value::Number(_) | Value::Object(_)) => Claim::Invalid,
        }
    }
}
