//! The journey: every step is a request and the effect it must have.

use std::process::ExitCode;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rig::upstream::Upstream;

use crate::Issuer;
use crate::walk::{Ask, Effect, Walk, passes, redirects, refuses};

/// Walks all of it. Fails if a step has another effect than it must have.
pub(crate) fn walk(port: u16, upstream: &Upstream, issuer: &Issuer) -> ExitCode {
    let mut walk = Walk::start(port, upstream);
    let token = issuer.token("alice");
    let bearer = format!("Bearer {token}");
    let notes = "/notes?page=2";
    let here = format!("http://127.0.0.1:{port}{notes}");
    let login = format!("/login?redirectUrl={}", utf8_percent_encode(&here, UNRESERVED));

    walk.step("No token, from a script", &Ask::script("GET", notes), &refuses(401, "missing_token"));
    walk.step(
        "No token, from a browser",
        &Ask::browser("GET", notes, "none"),
        &Effect { set_cookie: Some(LED_AWAY.into()), ..redirects(302, &login) },
    );
    walk.step(
        "Token in a header",
        &Ask::script("GET", notes).with("authorization", &bearer),
        &passes(notes, Some("alice")),
    );
    walk.step(
        "Token in the query",
        &Ask::script("GET", &format!("/notes?token={token}&page=2")),
        &passes(notes, Some("alice")),
    );
    let signed_in = walk.step(
        "Sign-in: the token becomes a cookie",
        &Ask::browser("GET", &format!("/jwt/auth?token={token}&redirectUrl=/notes"), "same-origin"),
        &Effect { set_cookie: Some(SET.into()), ..redirects(303, "/notes") },
    );
    let session =
        signed_in.header("set-cookie").and_then(|cookie| cookie.split(';').next()).unwrap_or_default();
    let cookies = format!("theme=dark; {session}");
    let themed = |mut effect: Effect| {
        effect.upstream.iter_mut().for_each(|seen| seen.cookie = Some("theme=dark".into()));
        effect
    };
    walk.step(
        "Cookie, and one that is not ours",
        &Ask::browser("GET", notes, "none").with("cookie", &cookies),
        &themed(passes(notes, Some("alice"))),
    );
    walk.step(
        "Token in the address bar does not stay there",
        &Ask::browser("GET", &format!("{notes}&token={token}"), "none"),
        &Effect { set_cookie: Some(SET.into()), ..redirects(303, notes) },
    );
    walk.step(
        "A client that claims to be somebody else",
        &Ask::script("GET", notes).with("authorization", &bearer).with("x-jwt-sub", "mallory"),
        &passes(notes, Some("alice")),
    );
    walk.step(
        "Forged: another key signed it",
        &Ask::script("GET", notes).with("authorization", &format!("Bearer {}", issuer.forged("mallory"))),
        &refuses(401, "invalid_signature"),
    );
    walk.step(
        "Expired",
        &Ask::script("GET", notes).with("authorization", &format!("Bearer {}", issuer.expired("alice"))),
        &refuses(401, "token_expired"),
    );
    walk.step(
        "Made for another place",
        &Ask::script("GET", notes).with("authorization", &format!("Bearer {}", issuer.elsewhere("alice"))),
        &refuses(403, "audience_mismatch"),
    );
    walk.step(
        "Another site posts with the cookie",
        &Ask::fetch("POST", "/notes", "cross-site")
            .with("origin", "https://evil.example")
            .with("cookie", &cookies),
        &refuses(403, "csrf"),
    );
    walk.step(
        "Public path, and still no false name",
        &Ask::script("GET", "/healthz").with("x-jwt-sub", "mallory"),
        &passes("/healthz", None),
    );
    walk.step(
        "Sign-out",
        &Ask::browser("POST", "/jwt/logout", "same-origin").with("cookie", &cookies),
        &Effect { set_cookie: Some(CLEARED.into()), ..redirects(303, "/") },
    );
    walk.end()
}

/// RFC 3986 section 2.3.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Remembers that the login page has its turn, so that nobody is led in circles.
const LED_AWAY: &str = "access_token.login=1-a3481f75-; Path=/; Max-Age=…; HttpOnly; SameSite=Lax";
const SET: &str = "access_token=eyJhb…; Path=/; Max-Age=…; HttpOnly; SameSite=Lax";
const CLEARED: &str = "access_token=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax";
