//! What is measured, as a table, and which of it is set against which.

use crate::filters::Filter;
use crate::requests::{Protocol, Route, Source};

/// Which token the requests of a slice carry.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Load {
    /// One and the same.
    Warm,
    /// A valid one that this filter has never seen, each time.
    Cold,
    /// One of a thousand, the n-th of them 1/n as often as the first.
    Mixed,
    /// One and the same, with a wrong signature.
    ForgedSame,
    /// A different one each time, with a wrong signature.
    ForgedFlood,
    /// No JWT.
    NotAToken,
    /// Three parts that hold nothing.
    Junk,
}

impl Load {
    /// Whether a request gets through.
    pub(crate) const fn is_good(self) -> bool {
        matches!(self, Self::Warm | Self::Cold | Self::Mixed)
    }
}

/// One kind of request through one filter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// What it is called everywhere.
    pub(crate) name: &'static str,
    /// The filter.
    pub(crate) filter: Filter,
    /// The tokens.
    pub(crate) load: Load,
    /// Where they stand.
    pub(crate) source: Source,
    /// How it is asked.
    pub(crate) protocol: Protocol,
    /// Who answers.
    pub(crate) route: Route,
    /// The length of its body, in bytes; none: a GET.
    pub(crate) body: usize,
}

/// HTTP/1.1, a bearer token, answered by Envoy itself.
const fn plain(name: &'static str, filter: Filter, load: Load) -> Case {
    let (source, protocol, route) = (Source::Bearer, Protocol::Http1, Route::Direct);
    Case { name, filter, load, source, protocol, route, body: 0 }
}

const fn from(source: Source, case: Case) -> Case {
    Case { source, ..case }
}

const fn proxied(case: Case) -> Case {
    Case { route: Route::Upstream, ..case }
}

/// A form, as an application has them.
const fn posted(case: Case) -> Case {
    Case { body: 2048, ..proxied(case) }
}

const fn http2(case: Case) -> Case {
    Case { protocol: Protocol::Http2, ..case }
}

/// All of them, in the order of the tables and of each round. Those that are set against each other stand together.
pub(crate) const CASES: &[Case] = &[
    // Without a filter, a request carries a token all the same: reading it is not what a filter costs.
    plain("no filter", Filter::None, Load::Warm),
    plain("no-op", Filter::Noop, Load::Warm),
    plain("ours, warm", Filter::Ours, Load::Warm),
    plain("jwt_authn cached, warm", Filter::JwtAuthnCached, Load::Warm),
    plain("ours, 100 keys, warm", Filter::OursManyKeys, Load::Warm),
    plain("ours, mixed", Filter::Ours, Load::Mixed),
    plain("jwt_authn cached, mixed", Filter::JwtAuthnCached, Load::Mixed),
    plain("jwt_authn, warm", Filter::JwtAuthn, Load::Warm),
    plain("jwt_authn, cold", Filter::JwtAuthn, Load::Cold),
    plain("ours, cold", Filter::Ours, Load::Cold),
    plain("ours, 100 keys, cold", Filter::OursManyKeys, Load::Cold),
    plain("jwt_authn cached, cold", Filter::JwtAuthnCached, Load::Cold),
    plain("ours, forged flood", Filter::Ours, Load::ForgedFlood),
    plain("jwt_authn, forged flood", Filter::JwtAuthn, Load::ForgedFlood),
    plain("ours, forged", Filter::Ours, Load::ForgedSame),
    plain("jwt_authn, forged", Filter::JwtAuthn, Load::ForgedSame),
    plain("ours, no JWT", Filter::Ours, Load::NotAToken),
    plain("jwt_authn, no JWT", Filter::JwtAuthn, Load::NotAToken),
    plain("ours, junk", Filter::Ours, Load::Junk),
    plain("jwt_authn, junk", Filter::JwtAuthn, Load::Junk),
    from(Source::Cookie, plain("no filter, cookie", Filter::None, Load::Warm)),
    from(Source::Cookie, plain("ours, cookie", Filter::OursWeb, Load::Warm)),
    from(Source::Cookie, plain("jwt_authn cached, cookie", Filter::JwtAuthnWeb, Load::Warm)),
    from(Source::Query, plain("no filter, query", Filter::None, Load::Warm)),
    from(Source::Query, plain("ours, query", Filter::OursWeb, Load::Warm)),
    from(Source::Query, plain("jwt_authn cached, query", Filter::JwtAuthnWeb, Load::Warm)),
    plain("ours, crate rsa, cold", Filter::OursCrate, Load::Cold),
    proxied(plain("no filter, proxied", Filter::None, Load::Warm)),
    proxied(plain("no-op, proxied", Filter::Noop, Load::Warm)),
    proxied(plain("ours, warm, proxied", Filter::Ours, Load::Warm)),
    proxied(plain("jwt_authn cached, warm, proxied", Filter::JwtAuthnCached, Load::Warm)),
    proxied(plain("jwt_authn, cold, proxied", Filter::JwtAuthn, Load::Cold)),
    proxied(plain("ours, cold, proxied", Filter::Ours, Load::Cold)),
    posted(plain("no filter, POST", Filter::None, Load::Warm)),
    posted(plain("ours, POST", Filter::Ours, Load::Warm)),
    posted(plain("ours without bodies, POST", Filter::OursWithoutBodies, Load::Warm)),
    http2(plain("no filter, HTTP/2", Filter::None, Load::Warm)),
    http2(plain("no-op, HTTP/2", Filter::Noop, Load::Warm)),
    http2(plain("ours, warm, HTTP/2", Filter::Ours, Load::Warm)),
    http2(plain("jwt_authn cached, warm, HTTP/2", Filter::JwtAuthnCached, Load::Warm)),
    http2(plain("jwt_authn, cold, HTTP/2", Filter::JwtAuthn, Load::Cold)),
    http2(plain("ours, cold, HTTP/2", Filter::Ours, Load::Cold)),
];

/// What one case may cost at the most, as a share of another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ratio {
    /// The name of the case.
    pub(crate) of: &'static str,
    /// The name of the case it is divided by.
    pub(crate) by: &'static str,
    /// At the most.
    pub(crate) limit: f64,
    /// What would be better still.
    pub(crate) aim: Option<f64>,
}

const fn limit(of: &'static str, by: &'static str, limit: f64, aim: Option<f64>) -> Ratio {
    Ratio { of, by, limit, aim }
}

/// All that are promised.
pub(crate) const RATIOS: &[Ratio] = &[
    limit("ours, warm", "jwt_authn cached, warm", 1.15, Some(1.08)),
    limit("ours, warm, proxied", "jwt_authn cached, warm, proxied", 1.08, Some(1.03)),
    limit("ours, cold", "jwt_authn, cold", 0.95, Some(0.85)),
    limit("ours, warm", "no-op", 1.25, None),
    limit("ours, forged", "jwt_authn, forged", 1.0, None),
    limit("ours, forged flood", "jwt_authn, forged flood", 1.0, None),
    limit("ours, forged flood", "ours, cold", 1.0, None),
    limit("ours, 100 keys, warm", "ours, warm", 1.05, None),
    limit("ours, 100 keys, cold", "ours, cold", 1.05, None),
    limit("ours, POST", "ours without bodies, POST", 1.02, None),
];

/// Which cases are paced to see how long a request takes. Nothing else on the machine may need the client's core, so no
/// upstream.
pub(crate) const PACED: &[&str] =
    &["no filter", "no-op", "ours, warm", "jwt_authn cached, warm", "jwt_authn, cold", "ours, cold"];

/// Which cases are run with one worker and with two.
pub(crate) const SCALED: &[&str] =
    &["no filter", "no-op", "ours, warm", "jwt_authn cached, warm", "jwt_authn, cold", "ours, cold"];

/// The case of that name.
pub(crate) fn case(name: &str) -> &'static Case {
    CASES.iter().find(|case| case.name == name).unwrap_or_else(|| panic!("no case is called {name}"))
}
