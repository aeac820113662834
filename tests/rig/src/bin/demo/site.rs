//! The sample service: a page that shows what reaches it, and the login page it sends people to.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rig::upstream::{Answer, Request};

use crate::Issuer;

/// The service's answer to a request.
pub(crate) fn answer(issuer: Issuer) -> impl Fn(&Request) -> Answer + Send + Sync + 'static {
    move |request| {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        match path {
            "/healthz" => Answer { status: 200, content_type: "text/plain", body: "ok\n".into() },
            "/login" => page("Sign in", &login(&issuer, &parameter(query, "redirectUrl"))),
            _ if wants_page(request) => page("Notes", &home(request)),
            _ => {
                Answer { status: 200, content_type: "application/json", body: request.to_json().to_string() }
            }
        }
    }
}

fn wants_page(request: &Request) -> bool {
    request.header("accept").is_some_and(|accept| accept.contains("text/html"))
}

fn page(title: &str, body: &str) -> Answer {
    let body = include_str!("page.html").replace("{title}", title).replace("{body}", body);
    Answer { status: 200, content_type: "text/html; charset=utf-8", body }
}

fn home(request: &Request) -> String {
    let row = |(name, value): &(String, Vec<u8>)| {
        format!("<tr><th>{}</th><td>{}</td></tr>", escape(name), escape(&String::from_utf8_lossy(value)))
    };
    let rows: Vec<_> = request.headers.iter().map(row).collect();
    include_str!("home.html")
        .replace("{subject}", &escape(&request.header("x-jwt-sub").unwrap_or_else(|| "nobody".into())))
        .replace("{headers}", &rows.concat())
}

fn login(issuer: &Issuer, back: &str) -> String {
    let back = if back.is_empty() { "/" } else { back };
    let link = |text: &str, token: &str| {
        let back = utf8_percent_encode(back, NON_ALPHANUMERIC);
        let address = format!("/jwt/auth?redirectUrl={back}&token={token}");
        format!("<li><a href=\"{}\">{text}</a></li>", escape(&address))
    };
    include_str!("login.html")
        .replace(
            "{good}",
            &(link("Sign in as Alice", &issuer.token("alice"))
                + &link("Sign in as Bob", &issuer.token("bob"))),
        )
        .replace(
            "{bad}",
            &(link("an expired token", &issuer.expired("alice"))
                + &link("a forged one", &issuer.forged("mallory"))
                + &link("one for another place", &issuer.elsewhere("alice"))),
        )
        .replace("{back}", &escape(back))
}

/// A parameter of a query, decoded; empty where it is absent.
fn parameter(query: &str, name: &str) -> String {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let value = pairs.find(|(other, _)| *other == name).map_or("", |(_, value)| value).replace('+', " ");
    percent_decode_str(&value).decode_utf8_lossy().into_owned()
}

/// Text as HTML, also inside a quoted attribute.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_return_address_cannot_leave_its_place_in_the_page() {
        let hostile = "\"><script>alert(1)</script>&token=x";
        let query = format!("a=b&redirectUrl={}", utf8_percent_encode(hostile, NON_ALPHANUMERIC));
        assert_eq!(parameter(&query, "redirectUrl"), hostile);
        let page = login(&Issuer::new(), hostile);
        assert!(!page.contains("<script>") && !page.contains("&token=x"), "{page}");
        assert!(page.contains("redirectUrl=%22%3E%3Cscript%3E"), "{page}");
    }
}
