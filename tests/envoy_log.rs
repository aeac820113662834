//! No token in Envoy's default access log, which writes the address of each request, nor in the log of the filter.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test that panics says what is wrong")]

use rig::jwt::{Key, mint, now};
use rig::place::{Place, good, token};
use rig::{h2, http, shipped};
use serde_json::{Value, json};

/// A request, and what the log tells of it.
struct Row {
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    status: u16,
    logged: &'static str,
}

fn row(method: &'static str, path: &str, headers: &[(&'static str, &str)], told: (u16, &'static str)) -> Row {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Row { method, path: path.into(), headers, status: told.0, logged: told.1 }
}

/// The shipped Envoy with the access log that it has by default, and the address of a page in it.
fn place(change: impl FnOnce(&mut Value)) -> Place {
    Place::start_changed(1, |bootstrap| {
        let log = |format: Value| {
            json!({
                "name": "envoy.access_loggers.stdout",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
                    "log_format": format,
                },
            })
        };
        let mut by_default = log(json!(null));
        by_default["typed_config"].as_object_mut().expect("an object").remove("log_format");
        let referer = log(json!({"text_format_source": {"inline_string": "referer %REQ(REFERER)%\n"}}));
        let manager = shipped::manager(bootstrap);
        manager["access_log"] = json!([by_default, referer]);
        // From elsewhere Envoy takes no x-envoy-original-path.
        manager["internal_address_config"] =
            json!({"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]});
        let mut config = shipped::plugin_config(bootstrap);
        change(&mut config);
        shipped::set_plugin_config(bootstrap, &config.to_string());
    })
}

/// Sends all of it over HTTP/1.1 and HTTP/2.
fn check(place: &Place, rows: &[Row], secrets: &[String]) {
    let mut faults = Vec::new();
    for protocol in ["HTTP/1.1", "HTTP/2"] {
        for row in rows {
            let headers: Vec<(&str, &[u8])> =
                row.headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
            let response = if protocol == "HTTP/2" {
                let pseudo: [(&str, &[u8]); 4] = [
                    (":method", row.method.as_bytes()),
                    (":scheme", b"http"),
                    (":authority", b"app.example.com"),
                    (":path", row.path.as_bytes()),
                ];
                let lines = pseudo.into_iter().chain(headers).collect();
                h2::responses(place.port, &[(lines, b"")]).into_iter().flatten().next().expect("an answer")
            } else {
                http::request(place.port, row.method, &row.path, &headers, b"")
            };
            let found = format!("{} {} {}", response.status, row.method, row.logged);
            let wanted = format!("{} {} {}", row.status, row.method, row.logged);
            faults.extend((found != wanted).then(|| format!("{protocol}: {found}, not {wanted}")));
            place
                .envoy
                .log_with(&format!(r#""{} {} {protocol}" {}"#, row.method, row.logged, response.status));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    let log = place.envoy.log();
    for secret in secrets {
        assert!(!log.contains(secret), "{secret} in\n{log}");
    }
}

/// Claims and signature of tokens; the header is the same in each.
fn secrets(tokens: &[&str]) -> Vec<String> {
    let parts = tokens.iter().flat_map(|token| token.split('.').skip(1));
    parts.chain(["sEcReT"]).map(str::to_owned).collect()
}

#[test]
fn no_token_is_in_the_default_access_log() {
    let (good, left, expired, forged) = (good(), token("a", 1800), token("a", -3600), token("b", 3600));
    let in_octets = forged.replace('.', "%2E");
    let page = ("accept", "text/html");
    let navigation = [page, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    let none = [];
    let rows = [
        row(
            "GET",
            &format!("/jwt/auth?n=1&token={good}&redirectUrl=/x"),
            &navigation,
            (303, "/jwt/auth?n=1&redirectUrl=/x"),
        ),
        row("GET", &format!("/jwt/auth?token={expired}&n=2"), &navigation, (401, "/jwt/auth?n=2")),
        row("GET", &format!("/jwt/auth?token={forged}&n=3"), &none, (401, "/jwt/auth?n=3")),
        row("GET", &format!("/jwt/auth?token={forged}"), &none, (401, "/jwt/auth")),
        row("GET", &format!("/jwt/logout?token={good}&n=4"), &none, (403, "/jwt/logout?n=4")),
        row("POST", &format!("/jwt/logout?token={left}&n=22"), &none, (204, "/jwt/logout?n=22")),
        row("PUT", &format!("/jwt/auth?n=5&token={good}"), &none, (405, "/jwt/auth?n=5")),
        row(
            "OPTIONS",
            &format!("/jwt/auth?n=6&token={good}"),
            &[("origin", "https://a.example"), ("access-control-request-method", "GET")],
            (204, "/jwt/auth?n=6"),
        ),
        row(
            "POST",
            &format!("/a.B/C?n=7&token={forged}"),
            &[("content-type", "application/grpc")],
            (200, "/a.B/C?n=7"),
        ),
        row("GET", &format!("/app?n=8&token={forged}"), &none, (401, "/app?n=8")),
        row("GET", &format!("/app?n=9&token={good}"), &navigation, (303, "/app?n=9")),
        row("GET", "/app?n=10&token=sEcReT", &none, (401, "/app?n=10")),
        row("GET", &format!("/app?n=11&t%6fken={forged}&Token[]={in_octets}"), &none, (401, "/app?n=11")),
        row("GET", &format!("/app?n=12&a=1;token={forged}"), &none, (401, "/app?n=12")),
        row("GET", &format!("/jwt/auth?n=13&redirectUrl=/x?token={forged}"), &none, (401, "/jwt/auth?n=13")),
        row(
            "GET",
            &format!("/jwt/auth?n=14&redirectUrl=%2Fx%3Fa%3D1%26token%3D{forged}&token={good}"),
            &navigation,
            (303, "/jwt/auth?n=14"),
        ),
        row(
            "GET",
            &format!("/app?n=15&next=/login%3Fback%3D%252Fx%253Ftoken%253D{in_octets}"),
            &none,
            (401, "/app?n=15"),
        ),
        row("GET", &format!("/app?n=16&a?token={forged}"), &none, (401, "/app?n=16")),
        row("GET", &format!("/app?n=17&a=%25252525252525253Ftoken={forged}"), &none, (401, "/app?n=17")),
        row("GET", &format!("/app?n=18&token={}{forged}", "x".repeat(9000)), &none, (401, "/app")),
        row(
            "GET",
            &format!("/app?token={forged}"),
            &[("x-envoy-original-path", &format!("/before?n=19&token={forged}"))],
            (401, "/before?n=19"),
        ),
        row(
            "GET",
            "/app?n=20",
            &[("referer", &format!("http://app.example.com/page?m=20&token={forged}"))],
            (401, "/app?n=20"),
        ),
        row(
            "GET",
            "/app?n=21&q=a%20b%3Fc+d&sort=token&r=%2F",
            &none,
            (401, "/app?n=21&q=a%20b%3Fc+d&sort=token&r=%2F"),
        ),
    ];
    let place = place(|_| {});
    let form = [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
    let waited = place.send("POST", &format!("/jwt/auth?n=23&token={forged}"), &form, b"token=sEcReT");
    place.envoy.log_with(&format!(r#""POST /jwt/auth?n=23 HTTP/1.1" {}"#, waited.status));
    check(&place, &rows, &secrets(&[&good, &left, &expired, &forged, &in_octets]));
    let log = place.envoy.log_with("referer http://app.example.com/page?m=20\n");
    assert!(log.contains("jwtproxy: invalid_signature: "), "the log at debug tells more:\n{log}");
}

#[test]
fn nor_with_a_page_for_another_session() {
    let good = good();
    let claims = json!({
        "iss": "https://login.example.com",
        "aud": "workspace",
        "sub": "bob",
        "exp": now() + 3600,
    });
    let other = mint(&Key::fixed("a"), "RS256", json!({"alg": "RS256"}), claims);
    let headers = [
        ("accept", "text/html"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
        ("sec-fetch-site", "cross-site"),
        ("cookie", &format!("access_token={good}")),
    ];
    let path = format!("/jwt/auth?n=1&token={other}");
    check(&place(|_| {}), &[row("GET", &path, &headers, (409, "/jwt/auth?n=1"))], &secrets(&[&good, &other]));
}

#[test]
fn nor_in_the_profile_jwtproxy() {
    let claims = json!({
        "iss": "https://login.example.com",
        "aud": "workspace",
        "sub": "alice",
        "jti": "1",
        "iat": now() - 60,
        "nbf": -1,
        "exp": now() + 600,
    });
    let signed =
        |key: &str| mint(&Key::fixed(key), "RS256", json!({"alg": "RS256", "kid": "a"}), claims.clone());
    let (good, forged) = (signed("a"), signed("b"));
    let place = place(|config| {
        config["profile"] = json!("jwtproxy");
        config["providers"][0]["keys"][0]["kid"] = json!("a");
        config["providers"][0].as_object_mut().expect("a provider").remove("claim_headers");
    });
    let rows = [
        row("GET", &format!("/jwt/auth?token={good}&n=1"), &[], (204, "/jwt/auth?n=1")),
        row("GET", &format!("/jwt/auth?token={forged}&n=2"), &[], (302, "/jwt/auth?n=2")),
        row("GET", &format!("/app?t%6Fken={forged}&n=3"), &[], (302, "/app?n=3")),
        row("GET", &format!("/app?n=4&redirectUrl=/x%3Ftoken={forged}"), &[], (302, "/app?n=4")),
    ];
    let signed_in = place.get(&format!("/jwt/auth?token={good}&n=0"), &[]);
    assert!(signed_in.header("set-cookie").is_some_and(|line| line.contains(&good)), "{signed_in:?}");
    check(&place, &rows, &secrets(&[&good, &forged]));
}
