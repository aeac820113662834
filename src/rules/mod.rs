//! Who may do what where: `rules` of the configuration.

mod pattern;

use std::mem::size_of;

use serde_json::Value;

use crate::address::Origin;
use crate::http::{RequestHead, is_token};
use crate::jwt::{ClaimName, Claims, RequiredClaim};
use crate::path::PlainPath;
use crate::reply::Rejection;

pub use pattern::{Captures, Part, Pattern, segments};

/// The rules, in their order, and the claims that they speak of.
#[derive(Clone, Debug)]
pub struct Rules {
    rules: Vec<Rule>,
    claims: Vec<ClaimName>,
}

/// One rule. A condition that is none is met always.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The host looks like one of these.
    pub hosts: Option<Vec<Pattern>>,
    /// The path looks like one of these.
    pub paths: Option<Vec<Pattern>>,
    /// The method is one of these.
    pub methods: Option<Vec<String>>,
    /// What the token must be: one of these; none: nothing helps.
    pub any_of: Vec<Demand>,
}

/// What a token must be.
#[derive(Clone, Debug, Default)]
pub struct Demand {
    /// Of one of these providers, by their index; none: of any.
    pub providers: Option<Vec<usize>>,
    /// What its claims must say.
    pub claims: Vec<RequiredClaim>,
}

/// Of a verified token, the claims that the rules speak of, in their order.
#[derive(Clone, Debug, Default)]
pub struct RuleClaims(Vec<Option<Value>>);

impl RuleClaims {
    /// About what they take, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.iter().flatten().fold(0, |sum, value| sum.saturating_add(bytes(value)))
    }
}

fn bytes(value: &Value) -> usize {
    /// Of a tree, for each of its entries.
    const NODE: usize = 64;
    let inner = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().fold(0, |sum: usize, item| sum.saturating_add(bytes(item))),
        Value::Object(members) => members.iter().fold(0, |sum: usize, (name, value)| {
            sum.saturating_add(NODE).saturating_add(name.len()).saturating_add(bytes(value))
        }),
    };
    inner.saturating_add(size_of::<Value>())
}

/// So many segments a path may have for any rule to judge it.
const MOST_SEGMENTS: usize = 1024;

impl Rules {
    /// Rules, the first of which decides whose conditions are met.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        let mut claims: Vec<ClaimName> = Vec::new();
        let demands = rules.iter().flat_map(|rule| &rule.any_of);
        for required in demands.flat_map(|demand| &demand.claims) {
            if !claims.contains(&required.name) {
                claims.push(required.name.clone());
            }
        }
        Self { rules, claims }
    }

    /// The claims that they speak of.
    #[must_use]
    pub fn claims(&self) -> &[ClaimName] {
        &self.claims
    }

    /// Whether any of them is for some methods only.
    #[must_use]
    pub fn name_methods(&self) -> bool {
        self.rules.iter().any(|rule| rule.methods.is_some())
    }

    /// What is to be kept of a verified token.
    #[must_use]
    pub fn prepare(&self, claims: &Claims<'_>) -> RuleClaims {
        RuleClaims(self.claims.iter().map(|name| claims.find(name).cloned()).collect())
    }

    /// What they demand for a request. Nobody gets through where it cannot be known what the upstream makes of path, host or method:
    /// no rule would match, and so none would forbid it.
    #[must_use]
    pub fn of<'r>(&'r self, head: &RequestHead<'_>, path: Option<&PlainPath<'_>>) -> Demands<'r> {
        let unreadable = Demands { rules: self, of: None };
        let host = if self.rules.iter().any(|rule| rule.hosts.is_some()) {
            let Some(host) = host(head.authority()) else { return unreadable };
            host
        } else {
            String::new()
        };
        let is_readable = head.method() != b"CONNECT" && is_token(head.method());
        let Some(path) = path.filter(|_| is_readable) else { return unreadable };
        let host: Vec<&str> = host.split('.').collect();
        let mut of = Vec::new();
        for reading in path.readings() {
            let mut segments = segments(reading);
            if segments.len() > MOST_SEGMENTS {
                return unreadable;
            }
            of.extend(self.first(head.method(), &host, &segments, false));
            // Even if both are the same: `/a` is `/a/` to the patterns, too, then.
            segments.retain(|segment| !segment.is_empty());
            of.extend(self.first(head.method(), &host, &segments, true));
        }
        Demands { rules: self, of: Some(of) }
    }

    fn first<'r>(
        &'r self,
        method: &[u8],
        host: &[&str],
        path: &[&str],
        merged: bool,
    ) -> Option<Applying<'r>> {
        let look = |patterns: &'r Option<Vec<Pattern>>, found: &[&str], merged: bool| match patterns {
            None => Some(Captures::new()),
            Some(patterns) => patterns.iter().find_map(|pattern| pattern.captures(found, merged)),
        };
        self.rules.iter().enumerate().find_map(|(index, rule)| {
            let is_method = |own: &String| own.as_bytes() == method;
            if !rule.methods.as_ref().is_none_or(|methods| methods.iter().any(is_method)) {
                return None;
            }
            let mut captures = look(&rule.hosts, host, false)?;
            captures.extend(look(&rule.paths, path, merged)?);
            Some(Applying { index, rule, captures })
        })
    }
}

/// The host in lower case, without its port and the dot of the root; `None` if it is none.
fn host(authority: &[u8]) -> Option<String> {
    let origin = Origin::new(true, authority)?;
    let authority = origin.authority();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        Some(_) | None => authority,
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    (!host.split('.').any(str::is_empty)).then(|| host.to_owned())
}

/// What the rules demand for one request, whatever its tokens.
#[derive(Clone, Debug)]
pub struct Demands<'r> {
    rules: &'r Rules,
    /// The rules that decide, one for each way to read the path; none: nothing helps.
    of: Option<Vec<Applying<'r>>>,
}

#[derive(Clone, Debug)]
struct Applying<'r> {
    index: usize,
    rule: &'r Rule,
    captures: Captures<'r>,
}

impl Demands<'_> {
    /// Whether a token of that provider with those claims meets them.
    ///
    /// # Errors
    /// The first rule that does not permit it.
    pub fn permit(&self, provider: usize, claims: &RuleClaims) -> Result<(), Rejection> {
        let Some(of) = &self.of else { return Err(Rejection::NotPermitted { rule: None }) };
        let refusing = of.iter().find(|applying| {
            !applying.rule.any_of.iter().any(|demand| {
                let is_provider = |providers: &Vec<usize>| providers.contains(&provider);
                demand.providers.as_ref().is_none_or(is_provider)
                    && demand.claims.iter().all(|required| self.holds(required, claims, &applying.captures))
            })
        });
        refusing.map_or(Ok(()), |applying| Err(Rejection::NotPermitted { rule: Some(applying.index) }))
    }

    fn holds(&self, required: &RequiredClaim, claims: &RuleClaims, captures: &Captures<'_>) -> bool {
        let place = self.rules.claims.iter().position(|own| *own == required.name);
        let found = place.and_then(|place| claims.0.get(place)?.as_ref());
        found.is_some_and(|found| required.is_met(found, captures))
    }
}
