//! Do the filters do the same? Asked once, of a service that tells what it saw.

use rig::envoy::Envoy;
use rig::http;
use rig::upstream::Upstream;

use crate::filters::{self, Filter};
use crate::load::Fault;
use crate::requests::{self, Source};
use crate::tokens::{FAVOURITE, Tokens};

/// Every filter lets a valid token through, with its subject in a header and without the token.
///
/// # Errors
///
/// One does not.
pub(crate) fn same_work(envoy: &Envoy, tokens: &Tokens) -> Result<(), Fault> {
    let token = tokens.valid(FAVOURITE);
    for filter in Filter::ALL.into_iter().filter(|filter| filter.reads_tokens()) {
        let sources: &[Source] = match filter {
            Filter::OursWeb | Filter::JwtAuthnWeb => &[Source::Cookie, Source::Query],
            Filter::None
            | Filter::Noop
            | Filter::JwtAuthn
            | Filter::JwtAuthnCached
            | Filter::Ours
            | Filter::OursManyKeys
            | Filter::OursCrate
            | Filter::OursWithoutBodies => &[Source::Bearer],
        };
        for &source in sources {
            let fault = |what: &str| Err(format!("{}, {source:?}: {what}", filter.name()));
            // Twice: the second may come from a cache.
            for _ in 0..2 {
                let answer = ask(envoy, filter, source, &token);
                if answer.status != 200 {
                    return fault(&format!("{} {}", answer.status, answer.text()));
                }
                let subject = format!("[\"x-jwt-sub\",\"{}\"]", Tokens::subject(FAVOURITE));
                if !answer.text().contains(&subject) {
                    return fault(&format!("no subject in {}", answer.text()));
                }
                // Envoy's own filter leaves cookies as they are.
                let stays = filter == Filter::JwtAuthnWeb && source == Source::Cookie;
                if answer.text().contains(&token) != stays {
                    return fault(&format!("the token in {}", answer.text()));
                }
            }
        }
    }
    caches(envoy)
}

/// Where it is said to have a cache, Envoy's own filter uses it, and elsewhere it does not.
fn caches(envoy: &Envoy) -> Result<(), Fault> {
    for (filter, hits) in
        [(Filter::JwtAuthn, false), (Filter::JwtAuthnCached, true), (Filter::JwtAuthnWeb, true)]
    {
        let name = format!("http.{}.jwt_authn.jwt_cache_hit", filter.name());
        if (stat(envoy, &name).unwrap_or(0) > 0) != hits {
            return Err(format!("{name} should be {}", if hits { "more than 0" } else { "0" }));
        }
    }
    Ok(())
}

/// The module verifies signatures as this case says: with the host's help, or without.
///
/// # Errors
///
/// It does not.
pub(crate) fn signatures(envoy: &Envoy, by_host: bool) -> Result<(), Fault> {
    // The last writer's, so it tells only of an Envoy with this one filter.
    let gauge = stat(envoy, "wasmcustom.jwtproxy_signatures_by_host");
    if gauge == Some(by_host.into()) {
        Ok(())
    } else {
        Err(format!("jwtproxy_signatures_by_host is {gauge:?}"))
    }
}

fn ask(envoy: &Envoy, filter: Filter, source: Source, token: &str) -> http::Response {
    let path = format!("/witness{}", requests::path(source, token));
    let own = requests::header(source, token);
    let common = requests::COMMON.iter().map(|&(name, value)| (name, value.as_bytes()));
    let own = own.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let headers: Vec<_> = common.chain(own).collect();
    http::request(envoy.port(filter.name()), "GET", &path, &headers, b"")
}

/// A statistic of Envoy, if it is there.
fn stat(envoy: &Envoy, name: &str) -> Option<u64> {
    let stats = envoy.admin(&format!("/stats?filter=^{}$", name.replace('.', "\\.")));
    stats.trim().strip_prefix(name)?.strip_prefix(": ")?.parse().ok()
}

/// The services behind every Envoy that is measured. They end with this value.
#[derive(Debug)]
pub(crate) struct Services {
    upstream: Envoy,
    witness: Upstream,
}

impl Services {
    /// Starts them.
    pub(crate) fn start() -> Self {
        Self { upstream: filters::start_upstream(), witness: Upstream::start() }
    }

    /// An Envoy in front of them, with a listener for each filter.
    pub(crate) fn behind(&self, filters: &[Filter], workers: u32) -> Envoy {
        filters::start(filters, workers, filters::upstream_port(&self.upstream), self.witness.port())
    }
}
