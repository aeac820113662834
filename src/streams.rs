//! What lasts longer than a request: streams end with their token, and pages can know when.

use std::borrow::Cow;

use crate::access;
use crate::http::{HeadEdit, RequestHead};
use crate::jwt::{NumericDate, VerifiedJwt};

/// Envoy's router ends a stream after so many milliseconds; zero would be no limit. It believes clients that it takes for
/// internal.
const DURATION: &str = "x-envoy-upstream-stream-duration-ms";

/// What follows from the expiry of a token for what it opened.
#[derive(Clone, Debug, Default)]
pub struct Expiry {
    /// So many seconds later streams end; none: they live on.
    pub grace: Option<f64>,
    /// Whether answers tell the seconds that are left.
    pub tells: bool,
}

impl Expiry {
    /// Whether the time of a request matters.
    #[must_use]
    pub const fn is_told(&self) -> bool {
        self.tells || self.grace.is_some()
    }

    /// Whether this request opens a stream that ends with its session.
    #[must_use]
    pub fn ends_stream(&self, head: &RequestHead<'_>) -> bool {
        self.grace.is_some() && access::opens_stream(head)
    }

    /// Limits a stream to the life of its token. Anything else is not limited: who downloads a file has asked for it in time.
    #[must_use]
    pub fn edit<'e>(
        &self,
        head: &RequestHead<'e>,
        jwt: Option<&VerifiedJwt>,
        now: Option<NumericDate>,
    ) -> Option<HeadEdit<'e>> {
        let grace = self.grace?;
        let expires = jwt.and_then(VerifiedJwt::expires).filter(|_| access::opens_stream(head));
        match (expires, now) {
            (Some(expires), Some(now)) => {
                let left = milliseconds(expires.plus(grace).seconds() - now.seconds());
                Some(HeadEdit::Set(DURATION, Cow::Owned(left.to_string().into_bytes())))
            }
            _ => head.value(DURATION).map(|_| HeadEdit::Remove(DURATION)),
        }
    }
}

/// From one millisecond to ten years.
fn milliseconds(seconds: f64) -> u64 {
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded on both sides"
    )]
    let whole = (seconds * 1000.0).clamp(1.0, 315_360_000_000.0) as u64;
    whole
}
