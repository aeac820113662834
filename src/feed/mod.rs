//! What is fetched from elsewhere and kept: when, by whom of all workers, and what a request may wait for.
//!
//! The workers share one [`Record`] for each feed. Whoever replaces it by one that is [claimed](Record::claimed) fetches for
//! all of them.

mod no_json;
mod record;

use std::cell::Cell;
use std::fmt;

pub use no_json::{NoJson, shown};
pub use record::{Occasion, Record};

/// Where something is fetched, and how often. It is the policy's [`take`](crate::Policy::take) that knows what it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Feed {
    /// What it is, for the log: `the keys of provider che`.
    pub name: String,
    /// What it is a feed of.
    pub kind: FeedKind,
    /// Where it is to be had.
    pub source: Source,
    /// The cluster of Envoy that leads there.
    pub cluster: String,
    /// How often, in seconds.
    pub refresh: f64,
    /// How long one answer may take, in seconds.
    pub timeout: f64,
}

/// What a feed is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedKind {
    /// The keys of a provider, by its index.
    Keys(usize),
    /// The revoked tokens of a provider, by its index.
    Revocations(usize),
}

/// Where a feed is to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// At an address.
    At(Uri),
    /// Where the issuer's discovery document says (`OpenID` Connect Discovery 1.0 section 4).
    Discovered(Discovery),
}

/// How to find the keys of an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// The issuer, as it must stand in the document.
    pub issuer: String,
    /// The address of the document.
    pub document: Uri,
    /// Whether keys may come by plain http.
    pub allow_http: bool,
    /// The cluster that leads to the keys, where that is another one.
    pub jwks_cluster: Option<String>,
}

/// An http or https address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    /// Whether it is https.
    pub https: bool,
    /// Host and port.
    pub authority: String,
    /// Path and query.
    pub target: String,
}

impl Uri {
    /// Reads an absolute http or https address without userinfo and fragment.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<' | b'>' | b'#');
        let (scheme, rest) = text.split_once("://").filter(|_| text.bytes().all(fits))?;
        let https = match scheme {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(end)?;
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        let has_host = !authority.is_empty() && !authority.starts_with(':') && !authority.contains('@');
        has_host.then(|| Self { https, authority: authority.to_owned(), target })
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.target)
    }
}

impl Feed {
    /// The longest answer that is taken, in bytes.
    #[must_use]
    pub const fn most_bytes(&self) -> usize {
        match self.kind {
            FeedKind::Keys(_) => 256 * 1024,
            FeedKind::Revocations(_) => 1024 * 1024,
        }
    }

    /// How long it may take to fetch it, in seconds.
    #[must_use]
    pub fn patience(&self) -> f64 {
        /// For the way through a busy worker.
        const SLACK: f64 = 1.0;
        let answers = if matches!(self.source, Source::Discovered(_)) { 2.0 } else { 1.0 };
        self.timeout * answers + SLACK
    }

    /// How many seconds after a success it is fetched again: `refresh`, or sooner if the answer says so (RFC 9111 section
    /// 5.2.2.1), and up to a tenth less, by `chance` from 0 to 1, so that a fleet does not ask at once.
    #[must_use]
    pub fn interval(&self, max_age: Option<f64>, chance: f64) -> f64 {
        const SHORTEST: f64 = 10.0;
        let shortest = SHORTEST.min(self.refresh);
        // What clamp says of impossible limits can print a float: 20 kB.
        let wanted = max_age.unwrap_or(self.refresh).max(shortest).min(self.refresh);
        wanted * (1.0 - chance.clamp(0.0, 1.0) / 10.0)
    }
}

/// The seconds that an answer may be kept by its `Cache-Control` and `Age` (RFC 9111 sections 4.2 and 5.2.2); none if it does
/// not say.
#[must_use]
pub fn max_age(cache_control: &[u8], age: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(cache_control).ok()?.to_ascii_lowercase();
    let mut directives = text.split(',').map(str::trim);
    if directives.clone().any(|directive| matches!(directive, "no-store" | "no-cache")) {
        return Some(0.0);
    }
    let seconds: u32 = directives.find_map(|directive| {
        directive.strip_prefix("max-age=").and_then(|seconds| seconds.trim_matches('"').parse().ok())
    })?;
    let age: u32 = std::str::from_utf8(age).ok().and_then(|age| age.trim().parse().ok()).unwrap_or_default();
    Some(seconds.saturating_sub(age).into())
}

/// The feeds of a configuration, and what this worker knows of each.
#[derive(Debug, Default)]
pub struct Feeds(Vec<(Feed, Cell<Record>)>);

impl Feeds {
    /// The feeds in the order of their numbers.
    #[must_use]
    pub fn new(feeds: Vec<Feed>) -> Self {
        Self(feeds.into_iter().map(|feed| (feed, Cell::default())).collect())
    }

    /// Each with its number.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Feed)> {
        self.0.iter().map(|(feed, _)| feed).enumerate()
    }

    /// The feed of that number.
    #[must_use]
    pub fn get(&self, feed: usize) -> Option<&Feed> {
        self.0.get(feed).map(|(feed, _)| feed)
    }

    /// What is known of it.
    #[must_use]
    pub fn record(&self, feed: usize) -> Record {
        self.0.get(feed).map(|(_, record)| record.get()).unwrap_or_default()
    }

    /// Takes note of what the workers agreed on.
    pub fn note(&self, feed: usize, new: Record) {
        if let Some((_, record)) = self.0.get(feed) {
            record.set(new);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::NumericDate;

    fn at(seconds: f64) -> NumericDate {
        NumericDate::from_seconds(seconds)
    }

    fn feed(refresh: f64) -> Feed {
        Feed {
            name: "the keys".into(),
            kind: FeedKind::Keys(0),
            source: Source::At(Uri::parse("https://issuer.example/jwks").unwrap()),
            cluster: "issuer".into(),
            refresh,
            timeout: 5.0,
        }
    }

    #[test]
    fn an_answer_may_ask_for_less_than_the_configuration_but_not_for_more() {
        let feed = feed(300.0);
        assert_eq!(at(feed.interval(None, 0.0)), at(300.0));
        assert_eq!(at(feed.interval(None, 1.0)), at(270.0));
        assert_eq!(at(feed.interval(Some(60.0), 0.0)), at(60.0));
        assert_eq!(at(feed.interval(Some(86_400.0), 0.0)), at(300.0));
        assert_eq!(at(feed.interval(Some(0.0), 0.0)), at(10.0));
        assert_eq!(at(self::feed(2.0).interval(Some(0.0), 0.0)), at(2.0));
        for (cache_control, age, seconds) in [
            ("public, max-age=60", "", Some(60.0)),
            ("Max-Age=60", "15", Some(45.0)),
            ("max-age=60", "100", Some(0.0)),
            ("no-store, max-age=60", "", Some(0.0)),
            ("no-cache", "", Some(0.0)),
            ("public", "", None),
            ("max-age=x", "", None),
            ("max-age=-1", "", None),
            ("", "", None),
        ] {
            assert_eq!(max_age(cache_control.as_bytes(), age.as_bytes()), seconds, "{cache_control}");
        }
    }

    #[test]
    fn addresses_are_absolute_and_have_no_userinfo() {
        let uri = Uri::parse("https://issuer.example:8443/realms/che/certs?x=1").unwrap();
        assert_eq!((uri.https, uri.authority.as_str()), (true, "issuer.example:8443"));
        assert_eq!(uri.target, "/realms/che/certs?x=1");
        assert_eq!(uri.to_string(), "https://issuer.example:8443/realms/che/certs?x=1");
        assert_eq!(Uri::parse("http://issuer.example").unwrap().target, "/");
        assert_eq!(Uri::parse("http://issuer.example?x").unwrap().target, "/?x");
        for text in
            ["", "issuer.example", "ftp://a/b", "https:///x", "https://a@b/", "https://a/#x", "https://a/ b"]
        {
            assert_eq!(Uri::parse(text), None, "{text}");
        }
    }
}
