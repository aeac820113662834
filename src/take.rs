//! What was fetched, put to use.

use std::fmt;

use serde_json::Value;

use crate::ended::EndedEntry;
use crate::feed::{Discovery, FeedKind, Feeds, NoJson, Uri, shown};
use crate::http::RequestHead;
use crate::jwt::{Clock, DenyFault, DenyList, Json, JwkSetFault, NumericDate, jwk_set};
use crate::policy::Policy;

impl Policy {
    /// What is fetched for this configuration.
    #[must_use]
    pub const fn feeds(&self) -> &Feeds {
        &self.feeds
    }

    /// Puts the answer of a feed, which came at that time, in place of the one before, and tells what of it is of no use.
    ///
    /// # Errors
    /// It is not what it should be; then what was there before stays.
    pub fn take(&self, feed: usize, answer: &[u8], now: NumericDate) -> Result<Vec<String>, FeedFault> {
        let kind = self.feeds.get(feed).ok_or(FeedFault::NoFeed)?.kind;
        let json = json(answer)?;
        let (FeedKind::Keys(provider) | FeedKind::Revocations(provider)) = kind;
        let provider = self.verifier.providers().get(provider).ok_or(FeedFault::NoFeed)?;
        match (kind, &provider.fetched, &provider.revoked) {
            (FeedKind::Keys(_), Some(fetched), _) => {
                let set = jwk_set(&json, &provider.algorithms).map_err(FeedFault::Keys)?;
                let skipped = set.skipped.iter().map(|key| key.why().to_owned()).collect();
                fetched.replace(set, now);
                // What the keys before had verified may be worth nothing now.
                self.tokens.clear();
                Ok(skipped)
            }
            (FeedKind::Revocations(_), _, Some(revoked)) => {
                let Value::Object(members) = &json else { return Err(FeedFault::NoObject) };
                revoked.replace(DenyList::from_json(members).map_err(FeedFault::Revocations)?);
                self.revocations_changed();
                Ok(Vec::new())
            }
            _ => Err(FeedFault::NoFeed),
        }
    }

    /// Takes note of the sessions that ended, and tells what of it is new since the last time.
    pub fn note_ended(&self, list: &[u8]) -> Vec<EndedEntry> {
        let new = self.ended.note(list);
        if !new.is_empty() {
            self.revocations_changed();
        }
        new
    }

    /// Whether the request may expect something new of that feed, and has the time. CONNECT has not: it may have no path, which
    /// is what holds others.
    #[must_use]
    pub fn is_worth_waiting(&self, feed: usize, head: &RequestHead<'_>, clock: &impl Clock) -> bool {
        head.may_wait()
            && !head.target().is_empty()
            && head.method() != b"CONNECT"
            && self.feeds.record(feed).is_worth_waiting(clock.now())
    }

    fn revocations_changed(&self) {
        // Zero is that of a token which was never compared.
        self.revocations.set(self.revocations.get().checked_add(1).unwrap_or(1));
    }
}

impl Discovery {
    /// Where the keys are, by the issuer's discovery document (`OpenID` Connect Discovery 1.0 section 3).
    ///
    /// # Errors
    /// It is no such document, or one of another issuer, or its keys are where they may not be fetched.
    pub fn jwks(&self, document: &[u8]) -> Result<Uri, FeedFault> {
        let json = json(document)?;
        let text = |name: &str| json.get(name).and_then(Value::as_str);
        match text("issuer") {
            Some(issuer) if issuer == self.issuer => {}
            found => {
                return Err(FeedFault::OtherIssuer {
                    found: found.map(|found| shown(found.as_bytes())),
                    wanted: shown(self.issuer.as_bytes()),
                });
            }
        }
        let uri = text("jwks_uri").and_then(Uri::parse).ok_or(FeedFault::NoUri)?;
        if !uri.https && !self.allow_http {
            return Err(FeedFault::Http);
        }
        // Its certificate would not be that of the other host.
        if self.jwks_cluster.is_none() && uri.authority != self.document.authority {
            return Err(FeedFault::OtherHost);
        }
        Ok(uri)
    }
}

fn json(answer: &[u8]) -> Result<Value, FeedFault> {
    Json::from_bytes(answer)
        .map(|Json(json)| json)
        .map_err(|fault| FeedFault::NoJson(NoJson::of(answer, &fault)))
}

/// Why an answer is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedFault {
    /// The keys would come by plain http.
    Http,
    /// It is no JWKS.
    Keys(JwkSetFault),
    /// There is no such feed.
    NoFeed,
    /// It is no JSON, or has a member twice.
    NoJson(NoJson),
    /// It is no JSON object.
    NoObject,
    /// The discovery document has no `jwks_uri` that is an address.
    NoUri,
    /// The keys are at another host than the discovery document.
    OtherHost,
    /// The discovery document is that of another issuer.
    OtherIssuer {
        /// The issuer of the document, if it names one.
        found: Option<String>,
        /// That of the provider.
        wanted: String,
    },
    /// It is no deny list.
    Revocations(DenyFault),
}

impl FeedFault {
    /// Whether it may be something else altogether, as what an answer says of its content type tells.
    #[must_use]
    pub const fn is_of_the_form(&self) -> bool {
        matches!(self, Self::NoJson(_) | Self::NoObject | Self::Keys(JwkSetFault::NoList | JwkSetFault::Pem))
    }
}

impl fmt::Display for FeedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http => f.write_str("the jwks_uri of the discovery document is not https"),
            Self::Keys(fault) => fault.fmt(f),
            Self::NoFeed => f.write_str("nothing is fetched there"),
            Self::NoJson(why) => why.fmt(f),
            Self::NoObject => f.write_str("it is no JSON object"),
            Self::NoUri => f.write_str("the discovery document has no jwks_uri"),
            Self::OtherHost => f.write_str(
                "the jwks_uri of the discovery document is at another host, to which `jwks_cluster` must lead",
            ),
            Self::OtherIssuer { found: None, .. } => f.write_str("the discovery document names no issuer"),
            Self::OtherIssuer { found: Some(found), wanted } => {
                let hint = if found.trim_end_matches('/') == wanted.trim_end_matches('/') {
                    ": they differ by a slash at the end; write `issuer` as the document and the tokens do"
                } else {
                    ""
                };
                write!(
                    f,
                    "the discovery document is not that of the provider's issuer `{wanted}`, but of `{found}`{hint}"
                )
            }
            Self::Revocations(fault) => write!(f, "it is no deny list: {fault}"),
        }
    }
}
