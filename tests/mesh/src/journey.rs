//! The journey of the demo through a port of the mesh: every step is a request and what must become of it.

use rig::http::{self, Response};
use rig::place::{bearer, bytes, token};
use serde_json::Value;

use crate::report::ensure;
use crate::world::token_of;

/// What must become of a request.
enum Effect<'a> {
    /// The upstream got it, from that person.
    Passes(Option<&'a str>),
    /// A status and the reason in the body.
    Refused(u16, &'a str),
    /// A status, where it leads, and what the cookie begins with.
    Led(u16, &'a str, &'a str),
}
use Effect::{Led, Passes, Refused};

/// What becomes of the token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Token {
    /// It reaches the upstream in `Authorization`.
    IsHandedOn,
    /// It never reaches the upstream.
    Stays,
}

const BROWSER: [(&str, &str); 3] =
    [("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];

/// Walks it: how many steps there were.
///
/// # Errors
/// The first step that differs.
pub(crate) fn walk(port: u16, of_token: Token) -> Result<usize, String> {
    let mut steps = 0;
    let mut step = |what: &str, method: &str, path: &str, headers: &[(&str, &str)], effect: Effect<'_>| {
        steps += 1;
        let response = http::request(port, method, path, &bytes(headers), b"");
        compare(&response, &effect, of_token).map_err(|fault| format!("{what}: {fault}")).map(|()| response)
    };
    let from = |site: &'static str, more: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
        let own = BROWSER.iter().copied().chain([("sec-fetch-site", site)]);
        own.chain(more.iter().copied()).map(|(name, value)| (name, value.to_owned())).collect()
    };
    let token_of_alice = token_of("alice");
    let authorization = bearer(&token_of_alice);
    let notes = "/notes?page=2";

    step("no token, a script", "GET", notes, &[], Refused(401, "missing_token"))?;
    let navigation = from("none", &[]);
    step(
        "no token, a browser",
        "GET",
        notes,
        &borrowed(&navigation),
        Led(302, "/login?redirectUrl=http", "access_token.login="),
    )?;
    step("header", "GET", notes, &[("authorization", &authorization)], Passes(Some("alice")))?;
    step("query", "GET", &format!("/notes?token={token_of_alice}&page=2"), &[], Passes(Some("alice")))?;
    let sign_in = format!("/jwt/auth?token={token_of_alice}&redirectUrl=/notes");
    let same = from("same-origin", &[]);
    let signed_in =
        step("/jwt/auth", "GET", &sign_in, &borrowed(&same), Led(303, "/notes", "access_token=eyJ"))?;
    let session =
        signed_in.header("set-cookie").and_then(|cookie| cookie.split(';').next()).unwrap_or_default();
    let cookies = format!("theme=dark; {session}");
    let with_cookie = from("none", &[("cookie", &cookies)]);
    let answer = step("cookie", "GET", notes, &borrowed(&with_cookie), Passes(Some("alice")))?;
    ensure(rig::place::seen(&answer.json(), "cookie") == ["theme=dark"], || {
        "cookie: the upstream saw more than its own".into()
    })?;
    step(
        "the address bar",
        "GET",
        &format!("{notes}&token={token_of_alice}"),
        &borrowed(&navigation),
        Led(303, notes, "access_token=eyJ"),
    )?;
    step(
        "somebody else's name",
        "GET",
        notes,
        &[("authorization", &authorization), ("x-jwt-sub", "mallory")],
        Passes(Some("alice")),
    )?;
    step(
        "forged",
        "GET",
        notes,
        &[("authorization", &bearer(&token("b", 3600)))],
        Refused(401, "invalid_signature"),
    )?;
    step(
        "expired",
        "GET",
        notes,
        &[("authorization", &bearer(&token("a", -3600)))],
        Refused(401, "token_expired"),
    )?;
    let cross = [
        ("sec-fetch-mode", "no-cors"),
        ("sec-fetch-site", "cross-site"),
        ("origin", "https://evil.example"),
        ("cookie", cookies.as_str()),
    ];
    step("another site posts", "POST", "/notes", &cross, Refused(403, "csrf"))?;
    step("public path", "GET", "/healthz", &[("x-jwt-sub", "mallory")], Passes(None))?;
    let leaving = from("same-origin", &[("cookie", &cookies)]);
    step(
        "logout",
        "POST",
        "/jwt/logout",
        &borrowed(&leaving),
        Led(303, "/", "access_token=; Path=/; Max-Age=0"),
    )?;
    step("after logout", "GET", notes, &[("cookie", &cookies)], Refused(401, "token_revoked"))?;
    Ok(steps)
}

fn compare(response: &Response, effect: &Effect<'_>, of_token: Token) -> Result<(), String> {
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let text = |name: &str| response.header(name).unwrap_or_default().to_owned();
    let found = || {
        let shown: String = String::from_utf8_lossy(&response.body).chars().take(300).collect();
        format!(
            "{} location {:?} cookie {:?} body {shown:?}",
            response.status,
            text("location"),
            text("set-cookie")
        )
    };
    let so = match effect {
        Passes(person) => {
            let people = body["headers"].is_array().then(|| rig::place::seen(&body, "x-jwt-sub"));
            response.status == 200
                && people.is_some_and(|people| people == person.iter().copied().collect::<Vec<_>>())
                && body.to_string().contains("eyJ") == (of_token == Token::IsHandedOn && person.is_some())
        }
        Refused(status, reason) => response.status == *status && body["reason"] == *reason,
        Led(status, location, cookie) => {
            response.status == *status
                && text("location").starts_with(location)
                && text("set-cookie").starts_with(cookie)
        }
    };
    ensure(so, found)
}

fn borrowed<'a>(headers: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    headers.iter().map(|(name, value)| (*name, value.as_str())).collect()
}
