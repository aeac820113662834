//! The rig against a real Envoy that has no filter: what the tests of the filter take for granted.

use rig::envoy::{Envoy, Options, binary_version, validate};
use rig::http::{self, Connection};
use rig::upstream::Upstream;
use rig::{jwt, shipped};
use serde_json::{Value, json};

/// The shipped Envoy, without the plugin.
fn bootstrap(upstream: &Upstream) -> Value {
    let mut bootstrap = shipped::bootstrap("envoy.yaml");
    shipped::free_ports(&mut bootstrap);
    shipped::set_cluster_port(&mut bootstrap, "upstream", upstream.port());
    let filters = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters";
    bootstrap.pointer_mut(filters).unwrap().as_array_mut().unwrap().remove(0);
    bootstrap
}

#[test]
fn what_is_sent_is_what_the_upstream_says_it_saw() {
    let upstream = Upstream::start();
    let envoy = Envoy::start(bootstrap(&upstream));
    let port = envoy.port("workspace");

    let headers: &[(&str, &[u8])] = &[("cookie", b"a=1"), ("cookie", b"b=2"), ("x-odd", b"\xff\xfe")];
    let answer = http::request(port, "POST", "/a%2Fb?c=d", headers, b"body \xff");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("server"), Some("envoy"));
    let seen = answer.json();
    assert_eq!((&seen["method"], &seen["path"]), (&json!("POST"), &json!("/a%2Fb?c=d")));
    assert_eq!(seen["body"], "body ÿ");
    let seen_headers = seen["headers"].as_array().unwrap();
    for header in [json!(["cookie", "a=1"]), json!(["cookie", "b=2"]), json!(["x-odd", "ÿþ"])] {
        assert!(seen_headers.contains(&header), "{header} in {seen_headers:?}");
    }

    let head = http::request(port, "HEAD", "/", &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    let chunked =
        b"PUT / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
    assert_eq!(http::send(port, chunked).json()["body"], "abc");
    assert_eq!(http::send(port, b"GET / HTTP/1.1\r\nhost: x\r\nbad header: \x01\r\n\r\n").status, 400);
    assert_eq!(upstream.requests(), 3);

    let mut kept = Connection::open(port);
    for _ in 0..2 {
        assert_eq!(kept.send(&http::raw(port, "GET", "/", &[], b"")).status, 200);
    }
    assert!(
        envoy.log_with("/a%2Fb").contains(r#""method":"POST","path":"/a%2Fb","#),
        "the access log names no query"
    );
}

#[test]
fn a_websocket_opens_and_tells_what_it_saw() {
    let upstream = Upstream::start();
    let envoy = Envoy::start(bootstrap(&upstream));
    let port = envoy.port("workspace");
    let headers: &[(&str, &[u8])] = &[
        ("connection", b"Upgrade"),
        ("upgrade", b"websocket"),
        ("sec-websocket-version", b"13"),
        ("sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let mut socket = Connection::open(port);
    let answer = socket.send(&http::raw(port, "GET", "/ws", headers, b""));
    assert_eq!(answer.status, 101);
    assert_eq!(
        answer.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        "RFC 6455 section 1.3"
    );
    let seen: Value = serde_json::from_slice(&socket.frame()).unwrap();
    assert_eq!(seen["path"], "/ws");
}

#[test]
fn an_envoy_that_cannot_start_says_why() {
    let bad = json!({"static_resources": {"clusters": [{"name": "x", "no_such_field": 1}]}});
    let (accepted, said) = validate(bad.clone());
    assert!(!accepted && said.contains("no_such_field"), "{said}");
    let error = Envoy::try_start(bad, &Options::default()).unwrap_err();
    assert!(error.contains("no_such_field"), "{error}");

    let upstream = Upstream::start();
    let (accepted, said) = validate(bootstrap(&upstream));
    assert!(accepted, "{said}");
}

#[test]
fn an_envoy_ends_with_its_value() {
    let upstream = Upstream::start();
    let mut envoy =
        Envoy::start_with(bootstrap(&upstream), &Options { concurrency: 2, ..Options::default() });
    assert!(envoy.is_alive());
    let info: Value = serde_json::from_str(&envoy.admin("/server_info")).unwrap();
    assert_eq!(info["command_line_options"]["concurrency"], 2);
    assert!(info["version"].as_str().unwrap().contains(binary_version()), "{info}");
    let port = envoy.port("workspace");
    drop(envoy);
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    assert!(jwt::now() > 1_700_000_000);
}
