//! Trailers: servers and CGI gateways that merge them into the headers believe them as if they had been judged.

use crate::extract::ForwardToken;
use crate::lenient::{is_twin, overrides_method};
use crate::policy::Policy;

/// What a trailer may not say (RFC 9110 section 6.5.1): how the message is framed, routed and answered.
const OF_THE_HEAD: [&str; 23] = [
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "origin",
    "proxy-connection",
    "range",
    "referer",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
];
/// So do whole families: proxies say by them where a request came from, and browsers who made it.
const FAMILIES: [&str; 3] = ["sec-", "x-envoy-", "x-forwarded-"];
const CREDENTIALS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

impl Policy {
    /// Whether a trailer of that name must not reach the upstream: claim headers and the header of the token always; in every
    /// profile what belongs into the head; and credentials, unless everything is forwarded as it came.
    #[must_use]
    pub fn forbids_trailer(&self, name: &str) -> bool {
        let is_one_of = |names: &[&str]| names.iter().any(|own| is_twin(name, own));
        let is_of_a_family = FAMILIES
            .iter()
            .any(|family| name.get(..family.len()).is_some_and(|start| is_twin(start, family)));
        let is_ours = self.claim_headers.has_twin(name)
            || matches!(&self.forward_token, ForwardToken::Header { name: own, .. } if is_twin(name, own));
        let is_credential = || is_one_of(&CREDENTIALS) || self.sources.has_header_like(name);
        name.starts_with(':')
            || is_ours
            || is_of_a_family
            || overrides_method(name)
            || is_one_of(&OF_THE_HEAD)
            || self.forward_token != ForwardToken::Everything && is_credential()
    }
}
