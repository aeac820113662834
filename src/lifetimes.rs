//! Tokens that last so long that nobody can mean it.

use std::cell::Cell;

use crate::jwt::{NumericDate, VerifiedJwt};

/// Whether such a token was seen.
#[derive(Debug, Default)]
pub(crate) struct Lifetimes(Cell<Seen>);

#[derive(Clone, Copy, Debug, Default)]
enum Seen {
    #[default]
    None,
    /// The provider of one.
    One(usize),
    Told,
}

impl Lifetimes {
    /// Takes note of a token that was verified.
    pub fn note(&self, jwt: &VerifiedJwt, now: NumericDate) {
        /// Thirty years. An `exp` in milliseconds is 50,000 years away.
        const TOO_LONG: f64 = 946_728_000.0;
        let start = jwt.issued().unwrap_or(now);
        let is_too_long = jwt.expires().is_some_and(|exp| exp.seconds() - start.seconds() > TOO_LONG);
        if is_too_long && matches!(self.0.get(), Seen::None) {
            self.0.set(Seen::One(jwt.provider()));
        }
    }

    /// The provider of the first one; said once.
    pub fn tell(&self) -> Option<usize> {
        match self.0.get() {
            Seen::One(provider) => {
                self.0.set(Seen::Told);
                Some(provider)
            }
            Seen::None | Seen::Told => None,
        }
    }
}
