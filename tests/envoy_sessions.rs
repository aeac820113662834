//! What of a session outlasts one request: the form that is read before it is judged, streams that end with their token,
//! the time that is left.

#![expect(clippy::expect_used, reason = "a test that panics says what is wrong")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::mpsc;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use rig::h2;
use rig::http::{self, Connection, Response};
use rig::place::{Place, TICK, bearer, bytes, cookie, good, token};
use rig::shipped;
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);

fn form_head(length: &str) -> String {
    format!(
        "POST /jwt/auth HTTP/1.1\r\nhost: app.example.com\r\nsec-fetch-site: same-origin\r\n\
         content-type: application/x-www-form-urlencoded\r\n{length}\r\n\r\n"
    )
}

fn is_signed_in(response: &Response, token: &str) {
    assert_eq!((response.status, response.header("location")), (303, Some("/app")), "{response:?}");
    let set = response.header("set-cookie").expect("a cookie");
    assert!(set.starts_with(&cookie(token)), "{set}");
}

#[test]
fn a_form_may_come_in_any_pieces() {
    let place = Place::start();
    let token = good();
    let form = format!("token={token}&redirectUrl=%2Fapp");
    let with_length = form_head(&format!("content-length: {}", form.len()));

    // A byte or so at a time, longer than any patience with forms that do not come.
    let mut slow = TcpStream::connect((Ipv4Addr::LOCALHOST, place.port)).expect("a connection");
    slow.write_all(with_length.as_bytes()).expect("a head");
    sleep(2 * SECOND);
    for piece in form.as_bytes().chunks(form.len() / 8 + 1) {
        slow.write_all(piece).expect("a piece");
        sleep(SECOND);
    }
    let mut answer = [0; 12];
    slow.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 303");

    let (first, second) = form.split_at_checked(100).expect("more than that");
    let chunked = format!("{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n", first.len(), second.len());
    is_signed_in(
        &http::send(place.port, (form_head("transfer-encoding: chunked") + &chunked).as_bytes()),
        &token,
    );
    // All at once, and again on the same connection.
    let mut connection = Connection::open(place.port);
    for _ in 0..2 {
        is_signed_in(&connection.send((with_length.clone() + &form).as_bytes()), &token);
    }
    assert_eq!(place.upstream.requests(), 0, "a form at the sign-in endpoint is nobody else's");
}

/// Without a length it can only be told while it comes.
#[test]
fn a_form_without_end_is_cut_off() {
    let place = Place::start();
    let piece = format!("1000\r\n{}\r\n", "x".repeat(4096));
    let endless = form_head("transfer-encoding: chunked") + &piece.repeat(64);
    let refused = http::send(place.port, endless.as_bytes());
    assert_eq!((refused.status, &refused.json()["reason"]), (413, &json!("form_too_large")));
    is_alive(&place);
}

#[test]
fn a_form_that_never_ends_is_refused() {
    let place = Place::start();
    let token = good();
    let form = format!("token={token}&redirectUrl=/app");
    // Envoy drops the trailers of HTTP/1.1 unless it is told not to: this one has an end.
    let with_trailers = format!("{:x}\r\n{form}\r\n0\r\nx-trailer: a\r\n\r\n", form.len());
    let whole = form_head("transfer-encoding: chunked") + &with_trailers;
    let mut unfinished = TcpStream::connect((Ipv4Addr::LOCALHOST, place.port)).expect("a connection");
    unfinished.write_all((form_head("content-length: 10") + "token").as_bytes()).expect("a part");
    is_signed_in(&http::send(place.port, whole.as_bytes()), &token);
    unfinished.set_read_timeout(Some(45 * SECOND)).expect("a limit");
    let mut answer = [0; 12];
    unfinished.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 501");
    is_alive(&place);
}

/// Envoy holds back the body of a paused request unless it is told not to: then nobody may wait for ever.
#[test]
fn where_the_host_holds_forms_back_it_is_said() {
    let place = Place::start_changed(1, |bootstrap| {
        let plugin = &mut shipped::manager(bootstrap)["http_filters"][0]["typed_config"]["config"];
        let removed = plugin.as_object_mut().expect("a plugin").remove("allow_on_headers_stop_iteration");
        assert!(removed.is_some(), "is shipped");
    });
    let token = good();
    let form = format!("token={token}");
    let began = Instant::now();
    let head = form_head(&format!("content-length: {}", form.len()));
    let refused = http::send(place.port, (head + &form).as_bytes());
    assert_eq!((refused.status, &refused.json()["reason"]), (501, &json!("form_unreadable")), "{refused:?}");
    assert!(began.elapsed() < 10 * SECOND, "{:?}", began.elapsed());
    place.envoy.log_with("allow_on_headers_stop_iteration: true");
    is_alive(&place);
    // A client that goes away while it waits leaves nothing behind.
    for _ in 0..3 {
        let mut gone = TcpStream::connect((Ipv4Addr::LOCALHOST, place.port)).expect("a connection");
        gone.write_all((form_head("content-length: 10") + "token").as_bytes()).expect("a head");
        sleep(SECOND / 2);
    }
    sleep(8 * SECOND);
    is_alive(&place);
    assert_eq!(place.stat("wasmcustom.jwtproxy_refused_form_unreadable_total"), Some(1));
}

fn is_alive(place: &Place) {
    assert_eq!(place.get("/app", &[("authorization", &bearer(&good()))]).status, 200);
}

fn with_config(change: impl Fn(&mut Value)) -> impl FnOnce(&mut Value) {
    move |bootstrap| {
        let mut config = shipped::plugin_config(bootstrap);
        change(&mut config);
        shipped::set_plugin_config(bootstrap, &config.to_string());
    }
}

const WEBSOCKET: &[(&str, &str)] = &[
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];
const EVENTS: &[(&str, &str)] = &[("accept", "text/event-stream")];

/// Opens a stream, and tells after which time it ended; none: it did not.
fn lifetime(port: u16, token: &str, headers: &[(&str, &str)], limit: Duration) -> Option<Duration> {
    let began = Instant::now();
    let mut stream = open(port, token, headers);
    stream.set_read_timeout(Some(limit)).expect("a limit");
    let mut bytes = [0; 4096];
    while began.elapsed() < limit {
        match stream.read(&mut bytes) {
            Ok(0) => return Some(began.elapsed()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                return Some(began.elapsed());
            }
            Err(_) => return None,
        }
    }
    None
}

/// The same of a gRPC call, which is HTTP/2.
fn lifetime_of_grpc(port: u16, token: &str, limit: Duration) -> Option<Duration> {
    let cookie = cookie(token);
    let (sender, end) = mpsc::channel();
    let began = Instant::now();
    thread::spawn(move || {
        let headers = bytes(&[
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "app.example.com"),
            (":path", "/stream"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("sec-fetch-site", "same-origin"),
            ("cookie", &cookie),
        ]);
        // An empty message, as gRPC frames it.
        sender.send(h2::responses(port, &[(headers, b"\0\0\0\0\0")]))
    });
    let answers = end.recv_timeout(limit).ok()?;
    let answer = answers.first()?.as_ref()?;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/grpc")), "{answer:?}");
    assert!(answer.body.len() > 100, "it did not even begin: {answer:?}");
    Some(began.elapsed())
}

fn open(port: u16, token: &str, headers: &[(&str, &str)]) -> TcpStream {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection");
    let cookie = cookie(token);
    let all = [headers, &[("cookie", cookie.as_str()), ("sec-fetch-site", "same-origin")]].concat();
    stream.write_all(&http::raw(port, "GET", "/stream", &bytes(&all), b"")).expect("a request");
    let mut status = [0; 12];
    stream.read_exact(&mut status).expect("an answer");
    let status = String::from_utf8_lossy(&status).into_owned();
    assert!(status.ends_with("200") || status.ends_with("101"), "{status}");
    stream
}

#[test]
fn streams_end_with_their_token() {
    let change = |config: &mut Value| {
        config["stream_expiry"] = json!({"grace_seconds": 1});
    };
    let place = Place::start_changed(1, with_config(change));
    let port = place.port;
    // Whole seconds: up to one of them has passed already.
    let spawn = |run: fn(u16, &str) -> Option<Duration>| thread::spawn(move || run(port, &token("a", 3)));
    let threads = [
        ("WebSocket", spawn(|port, token| lifetime(port, token, WEBSOCKET, 20 * SECOND))),
        ("event stream", spawn(|port, token| lifetime(port, token, EVENTS, 20 * SECOND))),
        ("gRPC", spawn(|port, token| lifetime_of_grpc(port, token, 20 * SECOND))),
    ];
    for (name, thread) in threads {
        let ended = thread.join().expect("no panic").unwrap_or_else(|| panic!("{name}: lives on"));
        // Envoy closes a connection of HTTP/1.1 a second after the stream.
        assert!((2 * SECOND..8 * SECOND).contains(&ended), "{name}: {ended:?}");
    }
    let log = place.envoy.log_with("upstream_max_stream_duration_reached");
    assert!(log.contains("UMSDR"), "{log}");
    is_alive(&place);
}

#[test]
fn streams_live_on_where_nothing_is_said() {
    let place = Place::start();
    assert_eq!(lifetime(place.port, &token("a", 1), WEBSOCKET, 5 * SECOND), None);
}

/// The WebSocket may be another worker's than the request that ends the session.
#[test]
fn streams_end_with_a_session_that_is_signed_out_of() {
    let place = Place::start_changed(2, with_config(|config| config["stream_expiry"] = json!({})));
    let (mine, other) = (token("a", 3600), token("a", 3601));
    let kinds = [WEBSOCKET, EVENTS].into_iter().cycle();
    let ours: Vec<TcpStream> = kinds.clone().take(12).map(|kind| open(place.port, &mine, kind)).collect();
    let others: Vec<TcpStream> = kinds.take(6).map(|kind| open(place.port, &other, kind)).collect();
    sleep(TICK);
    let session = cookie(&mine);
    let signed_out = place.send("POST", "/jwt/logout", &[("cookie", session.as_str())], b"");
    assert_eq!(signed_out.status, 204);

    sleep(4 * SECOND);
    for (index, stream) in ours.into_iter().enumerate() {
        assert!(is_closed(stream), "stream {index} lives on");
    }
    for (index, stream) in others.into_iter().enumerate() {
        assert!(!is_closed(stream), "stream {index} of another session ended");
    }
    assert_eq!(place.stat("wasmcustom.jwtproxy_streams_ended_total"), Some(12));
    is_alive(&place);
}

/// Whether there is an end behind what has come so far.
fn is_closed(mut stream: TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(300))).expect("a limit");
    let began = Instant::now();
    let mut bytes = [0; 4096];
    while began.elapsed() < SECOND {
        match stream.read(&mut bytes) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
    false
}

/// By a line of Envoy's own configuration: to be called for every answer would cost those who do not ask.
#[test]
fn an_answer_can_tell_the_time_that_is_left() {
    let change = |bootstrap: &mut Value| {
        with_config(|config| config["expires_in"] = json!(true))(bootstrap);
        shipped::manager(bootstrap)["route_config"]["response_headers_to_add"] = json!([{
            "header": {"key": "x-jwt-expires-in", "value": "%FILTER_STATE(wasm.jwt_expires_in:PLAIN)%"},
        }]);
    };
    let place = Place::start_changed(1, change);
    let answer = place.get("/app", &[("authorization", &bearer(&token("a", 100)))]);
    let left: u64 = answer.header("x-jwt-expires-in").expect("the header").parse().expect("seconds");
    assert!((97..=100).contains(&left), "{left}");
    assert_eq!(place.get("/healthz", &[]).header("x-jwt-expires-in"), None, "nothing is left of no token");
    assert_eq!(place.get("/app", &[]).header("x-jwt-expires-in"), None);
}

/// Envoy gives each request an id, and writes it into the access log: what a person quotes can be found.
#[test]
fn a_page_has_the_id_of_the_access_log() {
    let place = Place::start();
    let page = place.send("POST", "/app", &[("accept", "text/html")], b"");
    let (_, rest) = page.text().split_once("Request ").expect("an id on the page");
    let (id, _) = rest.split_once('<').expect("its end");
    assert_eq!(id.len(), 36, "{id}");
    place.envoy.log_with(id);
    let problem = place.get("/app", &[]).json();
    place.envoy.log_with(problem["request_id"].as_str().expect("an id in the problem"));
}
