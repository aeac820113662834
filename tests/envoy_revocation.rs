//! Revoked tokens in a real Envoy: by a sign-out, by a list that is fetched, in every worker, and at once.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test that panics says what is wrong")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rig::http::{self, Connection};
use rig::issuer::{Issuer, Serve};
use rig::jwt::{Key, mint, now};
use rig::place::{Place, TICK, bearer, cookie, token};
use rig::shipped;
use rig::time::{PATIENCE, soon};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);
const LIST: &str = "/revoked";
/// More than the list has entries.
const FLOOD: i64 = 4_200;

fn changed(workers: u32, change: impl Fn(&mut Value)) -> Place {
    Place::start_changed(workers, |bootstrap| {
        let mut config = shipped::plugin_config(bootstrap);
        change(&mut config);
        shipped::set_plugin_config(bootstrap, &config.to_string());
    })
}

/// With a list of that server, asked for every second.
fn with_list(issuer: &Issuer, workers: u32) -> Place {
    let port = issuer.port();
    Place::start_changed(workers, |bootstrap| {
        let mut config = shipped::plugin_config(bootstrap);
        config["stream_expiry"] = json!({});
        config["providers"][0]["revoked"] = json!({"remote": {
            "uri": format!("http://127.0.0.1:{port}{LIST}"), "cluster": "issuer", "allow_http": true,
            "refresh_seconds": 1, "timeout_seconds": 1,
        }});
        shipped::set_plugin_config(bootstrap, &config.to_string());
        shipped::add_cluster(bootstrap, "issuer", port);
    })
}

/// Each on a connection of its own, so that every worker is asked.
fn statuses(place: &Place, token: &str) -> Vec<u16> {
    (0..16).map(|_| place.get("/app", &[("authorization", &bearer(token))]).status).collect()
}

#[test]
fn a_session_that_is_signed_out_of_is_over_in_every_worker_at_once() {
    let place = Place::start_changed(4, |_| {});
    let (mine, other) = (token("a", 3600), token("a", 3601));
    for token in [&mine, &other] {
        assert_eq!(statuses(&place, token), [200; 16]);
    }
    assert_eq!(place.send("POST", "/jwt/logout", &[("cookie", &cookie(&mine))], b"").status, 204);
    soon("every worker knows", || statuses(&place, &mine) == [401; 16]);
    let refused = place.get("/app", &[("cookie", &cookie(&mine))]);
    assert_eq!((refused.status, &refused.json()["reason"]), (401, &json!("token_revoked")));
    assert_eq!(statuses(&place, &mine), [401; 16]);
    assert_eq!(statuses(&place, &other), [200; 16]);
    // No way back with the same token.
    let again = place.get(&format!("/jwt/auth?token={mine}"), &[]);
    assert_eq!((again.status, again.header("set-cookie")), (401, None));
}

#[test]
fn where_a_sign_out_revokes_nothing_the_token_may_come_again() {
    let place = changed(2, |config| {
        config["stream_expiry"] = json!({});
        config["session"]["revoke_on_logout"] = json!(false);
    });
    let mine = token("a", 3600);
    let before = open(&place, &mine);
    sleep(TICK);
    assert_eq!(place.send("POST", "/jwt/logout", &[("cookie", &cookie(&mine))], b"").status, 204);
    assert!(ends_within(before, PATIENCE), "the stream of the session that ended");
    assert_eq!(statuses(&place, &mine), [200; 16]);
    let after = open(&place, &mine);
    assert!(!ends_within(after, 3 * SECOND), "a stream that was opened later");
}

#[test]
fn a_list_is_followed_within_seconds_and_kept_while_nobody_serves_it() {
    let list = Issuer::start();
    let serve = |document: &Value| list.serve(LIST, Serve::json(document));
    serve(&json!({}));
    let place = with_list(&list, 4);
    let (mine, other) = (token("a", 3600), token("a", 3601));
    assert_eq!(statuses(&place, &mine), [200; 16]);
    let stream = open(&place, &mine);

    serve(&json!({"subjects": ["alice"]}));
    let began = Instant::now();
    while statuses(&place, &mine) != [401; 16] {
        assert!(began.elapsed() < PATIENCE, "the list is followed");
    }
    assert!(ends_within(stream, PATIENCE));
    place.envoy.log_with("streams ended with their session");
    let refused = place.get("/app", &[("authorization", &bearer(&other))]);
    assert_eq!((refused.status, &refused.json()["reason"]), (401, &json!("token_revoked")));

    for broken in [
        Serve::Status(500),
        Serve::Close,
        Serve::Body("{\"subject\": []}".into(), Vec::new()),
        Serve::Body("x".repeat(2_000_000), Vec::new()),
        Serve::Silence,
    ] {
        let asked = list.requests(LIST);
        list.serve(LIST, broken);
        let began = Instant::now();
        while list.requests(LIST) < asked + 2 {
            assert!(began.elapsed() < 10 * SECOND);
            sleep(SECOND / 10);
        }
        assert_eq!(statuses(&place, &mine), [401; 16]);
    }
    sleep(TICK);
    assert!(place.stat("wasmcustom.jwtproxy_revocations_stale_total").is_some_and(|count| count >= 5));
    serve(&json!({"subjects": ["eve"]}));
    let began = Instant::now();
    while statuses(&place, &mine) != [200; 16] {
        assert!(began.elapsed() < 10 * SECOND);
    }
}

#[test]
fn before_the_list_was_there_nobody_is_let_in() {
    let list = Issuer::start();
    list.serve(LIST, Serve::Status(503));
    let place = with_list(&list, 2);
    let mine = token("a", 3600);
    let refused = place.get("/app", &[("authorization", &bearer(&mine))]);
    assert_eq!((refused.status, &refused.json()["reason"]), (503, &json!("revocations_unavailable")));
    list.serve(LIST, Serve::json(&json!({"jti": []})));
    let began = Instant::now();
    while statuses(&place, &mine) != [200; 16] {
        assert!(began.elapsed() < 10 * SECOND);
    }
}

/// People of many sessions sign out, one of them over and over: what is remembered of it is bounded, and nobody is let in
/// again by it.
#[test]
fn many_sign_outs_are_remembered() {
    let place = Place::start_changed(2, |_| {});
    let first = token("a", 10_000);
    let all: Vec<String> = (0..40).map(|number| token("a", 5000 + number)).collect();
    for mine in &all {
        for token in [mine, &first] {
            assert_eq!(place.send("POST", "/jwt/logout", &[("cookie", &cookie(token))], b"").status, 204);
        }
    }
    soon("every worker knows the last one", || {
        all.last().is_some_and(|last| statuses(&place, last) == [401; 16])
    });
    for mine in &all {
        assert_eq!(place.get("/app", &[("authorization", &bearer(mine))]).status, 401);
    }
    assert_eq!(statuses(&place, &first), [401; 16]);
}

/// One person signs more tokens out than the list has room for: it forgets nobody else's, nor theirs.
#[test]
fn a_flood_of_sign_outs_lets_nobody_in_again() {
    let place = Place::start_changed(2, |_| {});
    let issued = |subject: &str, number: i64| {
        let now = i64::try_from(now()).expect("fits");
        let claims = json!({
            "iss": "https://login.example.com", "aud": "workspace", "sub": subject,
            "iat": now - FLOOD + number, "exp": now + 3600,
        });
        mint(&Key::fixed("a"), "RS256", json!({"alg": "RS256"}), claims)
    };
    let of_another = issued("bob", 0);
    assert_eq!(place.send("POST", "/jwt/logout", &[("cookie", &cookie(&of_another))], b"").status, 204);
    let flood: Vec<String> = (0..FLOOD).map(|number| issued("alice", number)).collect();
    let mut lane = Connection::open(place.port);
    for token in &flood {
        let host = ("host", &b"app.example.com"[..]);
        let cookie = cookie(token);
        let raw = http::raw(place.port, "POST", "/jwt/logout", &[host, ("cookie", cookie.as_bytes())], b"");
        // Each is younger than those that are dead already.
        assert_eq!(lane.send(&raw).status, 204);
    }
    soon("every worker knows the last one", || {
        flood.last().is_some_and(|last| statuses(&place, last) == [401; 16])
    });
    assert_eq!(statuses(&place, &of_another), [401; 16]);
    for token in flood.iter().step_by(97) {
        assert_eq!(place.get("/app", &[("authorization", &bearer(token))]).status, 401);
    }
    assert_eq!(statuses(&place, &issued("alice", FLOOD)), [200; 16]);
}

/// Whoever is told that they are signed out is: what it takes to know their token is waited for.
#[test]
fn a_sign_out_waits_for_what_is_not_there() {
    let issuer = Issuer::start();
    let port = issuer.port();
    let place = Place::start_changed(2, |bootstrap| {
        let mut config = shipped::plugin_config(bootstrap);
        let provider = config["providers"][0].as_object_mut().expect("a provider");
        provider.remove("keys");
        let remote = |path: &str| {
            json!({
                "uri": format!("http://127.0.0.1:{port}{path}"), "cluster": "issuer", "allow_http": true,
                "refresh_seconds": 1, "timeout_seconds": 1,
            })
        };
        provider.insert("remote_jwks".into(), remote("/certs"));
        provider.insert("revoked".into(), json!({"remote": remote(LIST)}));
        shipped::set_plugin_config(bootstrap, &config.to_string());
        shipped::add_cluster(bootstrap, "issuer", port);
    });
    let sign_out = |token: &str| {
        let answer = place.send("POST", "/jwt/logout", &[("cookie", &cookie(token))], b"");
        let reason = if answer.status == 204 { Value::Null } else { answer.json()["reason"].clone() };
        (answer.status, reason, answer.header("set-cookie").is_some())
    };
    let of_kid = |key: &str| {
        let now = i64::try_from(now()).expect("fits");
        let claims = json!({"iss": "https://login.example.com", "aud": "workspace", "sub": "alice", "exp": now + 3600});
        mint(&Key::fixed(key), "RS256", json!({"alg": "RS256", "kid": key}), claims)
    };
    let (first, second) = (of_kid("a"), of_kid("b"));
    assert_eq!(sign_out(&first), (503, json!("keys_unavailable"), false));
    issuer.serve_keys("/certs", &[Key::fixed("a").jwk("a")]);
    soon("the keys are there", || sign_out(&first) == (503, json!("revocations_unavailable"), false));
    issuer.serve(LIST, Serve::json(&json!({})));
    soon("the list is there", || sign_out(&first) == (204, Value::Null, true));
    // The first request with a new key is a sign-out.
    issuer.serve_keys("/certs", &[Key::fixed("a").jwk("a"), Key::fixed("b").jwk("b")]);
    assert_eq!(sign_out(&second), (204, Value::Null, true));
    soon("every worker knows both", || {
        [&first, &second].iter().all(|token| statuses(&place, token) == [401; 16])
    });
}

fn open(place: &Place, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, place.port)).expect("a connection");
    let head = format!(
        "GET /events HTTP/1.1\r\nhost: app.example.com\r\naccept: text/event-stream\r\nauthorization: {}\r\n\r\n",
        bearer(token)
    );
    stream.write_all(head.as_bytes()).expect("a request");
    let mut status = [0; 12];
    stream.read_exact(&mut status).expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 200");
    stream
}

fn ends_within(mut stream: TcpStream, limit: Duration) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a limit");
    let began = Instant::now();
    let mut bytes = [0; 4096];
    while began.elapsed() < limit {
        match stream.read(&mut bytes) {
            Ok(0) => return true,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return true,
            Ok(_) | Err(_) => {}
        }
    }
    false
}
