//! What no row can say of a request: over HTTP/2 a body needs no header that announces it.

use rig::h2;
use rig::http::{self, Connection};
use rig::place::{Place, bearer, bytes, good, seen};
use rig::shipped;
use serde_json::json;

#[test]
fn an_options_with_a_body_is_no_preflight() {
    let place = Place::start();
    let lines: [(&str, &[u8]); 7] = [
        (":method", b"OPTIONS"),
        (":scheme", b"http"),
        (":authority", b"app.example.com"),
        (":path", b"/app?_method=DELETE"),
        ("origin", b"https://evil.example"),
        ("access-control-request-method", b"PUT"),
        ("x-http-method-override", b"DELETE"),
    ];
    let answers = h2::responses(place.port, &[(lines.to_vec(), b"a=1"), (lines.to_vec(), b"")]);
    let [with_body, preflight] = answers.as_slice() else { panic!("two answers") };
    assert_eq!(with_body.as_ref().expect("an answer").status, 401);
    let preflight = preflight.as_ref().expect("an answer");
    assert_eq!((preflight.status, place.upstream.requests()), (200, 1));
    let request = preflight.json();
    assert_eq!((&request["path"], seen(&request, "x-http-method-override")), (&"/app".into(), Vec::new()));
}

/// Go's reverse proxy, for one, drops what `Connection` names.
#[test]
fn an_upgrade_names_no_claim_header() {
    let place = Place::start();
    let authorization = bearer(&good());
    let fields = bytes(&[
        ("host", "app.example.com"),
        ("authorization", &authorization),
        ("connection", "Upgrade, x-jwt-sub"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]);
    let mut socket = Connection::open(place.port);
    assert_eq!(socket.send(&http::raw(place.port, "GET", "/app", &fields, b"")).status, 101);
    let request = serde_json::from_slice(&socket.frame()).expect("JSON");
    assert_eq!(
        (seen(&request, "connection"), seen(&request, "x-jwt-sub")),
        (vec!["upgrade".to_owned()], vec!["alice".to_owned()])
    );
}

/// A method is compared exactly; one that is no token (RFC 9110 section 9.1) would be another one to a lenient reader.
#[test]
fn a_method_with_a_space_is_no_other_one() {
    let place = Place::start_changed(1, |bootstrap| {
        let mut config = shipped::plugin_config(bootstrap);
        config["rules"] = json!([{"methods": ["DELETE"], "deny": true}, {"methods": ["GET"]}]);
        shipped::set_plugin_config(bootstrap, &config.to_string());
    });
    let authorization = bearer(&good());
    let status = |method: &str| {
        let fields = bytes(&[
            (":method", method),
            (":scheme", "http"),
            (":authority", "app.example.com"),
            (":path", "/app"),
            ("authorization", &authorization),
        ]);
        h2::responses(place.port, &[(fields, b"")]).into_iter().next().flatten().map(|answer| answer.status)
    };
    assert_eq!((status("GET"), status("DELETE")), (Some(200), Some(403)));
    let seen = place.upstream.requests();
    for method in ["GET ", " GET", "GET\t", "DELETE ", " DELETE", "DELETE\t", "DEL ETE", "DELETE,GET"] {
        assert_ne!(status(method), Some(200), "{method:?}");
    }
    assert_eq!(place.upstream.requests(), seen);
}
