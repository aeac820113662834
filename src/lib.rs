//! Token sign-in in front of a service, as an Envoy filter in WebAssembly.
//!
//! What happens to a request, in this order (profile strict):
//!
//! 1. A CORS preflight and a public path need no token; tokens that came all the same are taken out. A public path may have
//!    them judged before, to say whose the request is.
//! 2. Every token at every source is a candidate; the first valid one wins.
//! 3. At `auth_path` a valid token of a link, a form or a fetch becomes a cookie, and a person is led back to where they
//!    wanted to go. A link from elsewhere does not replace another person's session without asking.
//! 4. A link that carries a valid token becomes a cookie and the same address without the token. Any other request
//!    with a valid token is forwarded: tokens taken out, claim headers set. Where there are rules, only a token that they
//!    permit it to.
//! 5. A token in a cookie may not do what another site asks for.
//! 6. Without a valid token, who asks decides: a person is led to the login page, a script gets 401, gRPC status 16. Who
//!    comes back from the login page and is refused again is told why.
//! 7. `logout_path` clears the cookie, and ends the streams of the session where they end with it.
//! 8. A cookie that is good for nothing is cleared with the refusal.
//! 9. No answer of the filter's own is cached.
//! 10. A good token for another place, or for less than was asked, is answered by 403, not by the login page.
//!
//! The core ([`Policy::decide`]) takes values and returns a [`Decision`]; it knows no host and no clock. The adapter to
//! Envoy holds no rule. Modules depend on each other in one direction, which `tests/architecture.rs` holds:
//! `host`, `trailers`, `decide`, `strict`, `jwtproxy`, `config`, `sign_out`, `judge`, `refuse`, `take`, `policy`,
//! `token_cache`, `lifetimes`, `claim_headers`, `rules`, `ended`, `streams`, `session`, `extract`, `reply`, `page`, `access`, `path`,
//! `cookie`, `lenient`, `origins`, `address`, `http`, `feed`, `jwt`.

mod access;
mod address;
mod claim_headers;
mod config;
mod cookie;
mod decide;
mod ended;
mod extract;
pub mod feed;
#[cfg(target_family = "wasm")]
mod host;
pub mod http;
mod judge;
pub mod jwt;
mod jwtproxy;
mod lenient;
mod lifetimes;
mod origins;
mod page;
mod path;
mod policy;
mod refuse;
mod reply;
mod rules;
mod session;
mod sign_out;
mod streams;
mod strict;
mod take;
mod token_cache;
mod trailers;

pub use config::{ConfigError, Env};
pub use ended::{EndedEntry, EndedSession, EndedSessions};
pub use http::{Field, GrpcStatus, HeadEdit, RequestHead, Response};
pub use jwt::{Clock, NumericDate, RustCrypto, Signatures, TokenHash};
pub use policy::{Answer, Decision, Event, Forward, Policy};
pub use reply::Rejection;
pub use take::FeedFault;
