//! The worst requests that a client can send: each as large as Envoy takes it by default, 60 KiB of head in a hundred lines,
//! and of one kind.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jwtproxy_wasm::Field;
use serde_json::{Value, json};

/// What a request may fill: with the lines of a browser it is just below what Envoy takes.
const SIZE: usize = 57_000;
/// A form may be longer.
const FORM: usize = 65_536;

/// One of them.
#[derive(Debug)]
pub struct Worst {
    /// Its name.
    pub name: &'static str,
    make: fn(&str) -> Request,
}

/// A request with its body, which is a form.
#[derive(Debug)]
pub struct Request {
    /// Its lines, pseudo-headers included.
    pub fields: Vec<Field>,
    /// Its form; none: it has no body.
    pub form: Option<Vec<u8>>,
}

impl Worst {
    /// The request. Where it needs a good token, that is this one.
    pub fn request(&self, good: &str) -> Request {
        (self.make)(good)
    }
}

/// A refusal as most are: a fetch, without a token.
pub const PLAIN: Worst = worst("a plain refusal", |_| fetch("/notes?page=2", &[]));

/// All of them.
pub const WORST: &[Worst] = &[
    worst("parts of one token", |_| cookies(&fill("access_token.1=2:aaaaaaaa:;"))),
    worst("parts of one token, navigation", |_| {
        navigation("/notes", &[("cookie", &fill("access_token.1=2:aaaaaaaa:;"))])
    }),
    worst("parts of many tokens", |_| cookies(&numbered(|n| format!("access_token.1=2:{n:08}:;")))),
    worst("halves of many tokens", |_| {
        cookies(&numbered(|n| format!("access_token.1=2:{n:08}:a.;access_token.2=2:{n:08}:b.;")))
    }),
    worst("parts of four, all there", |_| {
        cookies(
            &[1, 2, 3, 4].map(|n| fill_to(&format!("access_token.{n}=4:aaaaaaaa:a.;"), SIZE / 4)).concat(),
        )
    }),
    worst("parts behind a good token", |good| {
        fetch("/notes", &[bearer(good), ("cookie", &fill("access_token.1=2:aaaaaaaa:;"))])
    }),
    worst("parts at the public path", |_| {
        fetch("/docs/", &[("cookie", &fill("access_token.1=2:aaaaaaaa:;"))])
    }),
    worst("parts at the sign-in", |_| {
        navigation("/jwt/auth", &[("cookie", &fill("access_token.1=2:aaaaaaaa:;"))])
    }),
    worst("parts behind a link", |good| {
        navigation(
            &format!("/notes?token={good}"),
            &[("cookie", &fill_to("access_token.1=2:aaaaaaaa:;", SIZE - 1_000))],
        )
    }),
    worst("parts at the sign-out", |_| {
        posted("/jwt/logout", &[("cookie", &fill("access_token.1=2:aaaaaaaa:;"))])
    }),
    worst("parts in ninety lines", |_| {
        fetch("/notes", &vec![("cookie", fill_to("access_token.1=2:aaaaaaaa:;", SIZE / 75).as_str()); 75])
    }),
    worst("whole cookies", |_| cookies(&fill("access_token=a.b.c;"))),
    worst("whole cookies, navigation", |_| navigation("/notes", &[("cookie", &fill("access_token=a.b.c;"))])),
    worst("empty cookies", |_| cookies(&fill("access_token=;"))),
    worst("cookies of others", |_| cookies(&fill("a=b;"))),
    worst("semicolons", |_| cookies(&fill(";"))),
    worst("spaces in cookies", |_| cookies(&fill("access_token   "))),
    worst("equals signs", |_| cookies(&fill("="))),
    worst("spaces and equals signs", |good| {
        fetch(
            "/notes",
            &[
                bearer(good),
                ("cookie", &format!("{}{}", fill_to("\u{a0}", SIZE / 2), fill_to("=.", SIZE / 2 - 1_000))),
            ],
        )
    }),
    worst("equals signs, let through", |good| {
        fetch("/notes", &[bearer(good), ("cookie", &fill_to("access_token=.", SIZE - 1_000))])
    }),
    worst("spaces, let through", |good| {
        fetch("/notes", &[bearer(good), ("cookie", &fill_to(" t=%2e", SIZE - 1_000))])
    }),
    worst("commas, let through", |good| {
        fetch("/notes", &[bearer(good), ("cookie", &fill_to("access_token=a.b,", SIZE - 1_000))])
    }),
    worst("one cookie of dots, let through", |good| {
        fetch(
            "/notes",
            &[bearer(good), ("cookie", &format!("access_token={}", fill_to("\\056", SIZE - 1_000)))],
        )
    }),
    worst("semicolons in the query", |_| fetch(&format!("/notes?{}", fill(";")), &[])),
    worst("semicolons in the query, let through", |good| {
        fetch(&format!("/notes?{}", fill_to("t%6fken=.;", SIZE - 1_000)), &[bearer(good)])
    }),
    worst("brackets and escapes in the query", |_| fetch(&format!("/notes?{}", fill("token[=.%;")), &[])),
    worst("the same in the page's address", |good| {
        let query = fill_to("token[=.%;", SIZE - 1_000);
        fetch("/notes", &[bearer(good), ("referer", &format!("https://workspace.example.com/?{query}"))])
    }),
    worst("a thousand parameters", |good| {
        fetch(
            &format!(
                "/notes?{}",
                fill_to("%74%6f%6b%65%6e=%2e%2ea%2ea%2ea%2ea%2ea%2ea%2ea%2ea%2ea%2ea%2ea&", SIZE - 1_000)
            ),
            &[bearer(good)],
        )
    }),
    worst("a thousand cookies", |good| {
        fetch(
            "/notes",
            &[
                bearer(good),
                (
                    "cookie",
                    &fill_to("%61ccess_token=%2e%2ea%2ea%2ea%2ea%2ea%2ea%2ea%2ea%2ea%2ea;", SIZE - 1_000),
                ),
            ],
        )
    }),
    worst("a thousand parts", |good| {
        fetch(
            "/notes",
            &[
                bearer(good),
                (
                    "cookie",
                    &numbered_to(
                        |n| format!("access_token.1=2:{n:08}:aaaaaaaaaaaaaaaaaaaaaaaaaaaaa;"),
                        SIZE - 1_000,
                    ),
                ),
            ],
        )
    }),
    worst("schemes", |_| fetch("/notes", &[("authorization", &fill("Bearer"))])),
    worst("schemes, let through", |good| {
        fetch(&format!("/notes?token={good}"), &[("authorization", &fill_to("aBearer", SIZE - 1_000))])
    }),
    worst("words in credentials, let through", |good| {
        fetch(&format!("/notes?token={good}"), &[("authorization", &fill_to("e.a, ", SIZE - 1_000))])
    }),
    worst("ampersands", |_| fetch(&format!("/notes?{}", fill("&")), &[])),
    worst("ampersands that are let by", |_| fetch(&format!("/notes?{}", fill_to("&", 16_384)), &[])),
    worst("semicolons that are let by", |good| {
        fetch("/notes", &[bearer(good), ("cookie", &fill_to(";", 16_384))])
    }),
    worst("parameters of others", |_| fetch(&format!("/notes?{}", fill("a&")), &[])),
    worst("empty parameters", |_| fetch(&format!("/notes?{}", fill("token=&")), &[])),
    worst("tokens in the query", |_| fetch(&format!("/notes?{}", fill("token=a.b.c&")), &[])),
    worst("tokens in the query, navigation", |_| {
        navigation(&format!("/notes?{}", fill("token=a.b.c&")), &[])
    }),
    worst("escaped names", |_| fetch(&format!("/notes?{}", fill("t%6fken=a.b.c&")), &[])),
    worst("escaped tokens", |_| fetch(&format!("/notes?{}", fill("%74%6f%6b%65%6e=%2e%2e&")), &[])),
    worst("one escaped token", |_| fetch(&format!("/notes?token={}", fill("%61")), &[])),
    worst("tokens in the page's address", |_| {
        fetch("/notes", &[("referer", &format!("https://workspace.example.com/?{}", fill("token=a.b.c&")))])
    }),
    worst("tokens in the page's address, let through", |good| {
        fetch(
            "/notes",
            &[
                bearer(good),
                (
                    "referer",
                    &format!("https://workspace.example.com/?{}", fill_to("t%6fken=a.b.c&", SIZE - 1_000)),
                ),
            ],
        )
    }),
    worst("queries let through", |good| {
        fetch(&format!("/notes?{}", fill_to("t%6fken=a.b.c&", SIZE - 1_000)), &[bearer(good)])
    }),
    worst("quotes in the page's address", |_| {
        fetch("/notes", &[("referer", &format!("https://workspace.example.com/{}", fill("\"")))])
    }),
    worst("a long path", |_| navigation(&format!("/{}", fill("a")), &[])),
    worst("quotes in a path", |_| navigation(&format!("/{}", fill("\"")), &[])),
    worst("quotes in a path, again", |_| {
        navigation(&format!("/{}", fill("\"")), &[("cookie", "access_token.login=3-00000000-")])
    }),
    worst("escapes in a path", |_| navigation(&format!("/{}", fill("%22")), &[])),
    worst("dot segments", |_| fetch(&fill("/a/.."), &[])),
    worst("slashes", |_| fetch(&fill("/"), &[])),
    worst("escaped dots", |_| fetch(&format!("/{}", fill("%2e")), &[])),
    worst("escaped slashes", |_| fetch(&format!("/{}", fill("%2f")), &[])),
    worst("segments", |_| fetch(&fill("/a;b"), &[])),
    worst("a path for an expression", |_| fetch(&format!("/api/{}", fill("a/")), &[])),
    worst("a path for a rule", |good| {
        fetch(&format!("/user/{}", fill_to("a/", SIZE - 1_000)), &[bearer(good)])
    }),
    worst("twins of claim headers", twins),
    worst("short names", |good| {
        let names: Vec<_> = (0..75).map(|n| format!("x-other-{n}")).collect();
        let mut lines: Vec<_> = names.iter().map(|name| (name.as_str(), "a")).collect();
        lines.push(bearer(good));
        fetch("/notes", &lines)
    }),
    worst("commas in credentials", |_| authorized(&fill(",Bearer a.b.c"))),
    worst("dots in credentials", |_| authorized(&format!("Bearer {}", fill(".")))),
    worst("letters in credentials", |_| authorized(&format!("Bearer {}", fill("a")))),
    worst("no base64", |_| authorized(&format!("Bearer e30.{}.*", fill("a")))),
    worst("ninety lines of credentials", |_| {
        fetch("/notes", &vec![("authorization", fill_to("Bearer a.b.c,", SIZE / 75).as_str()); 75])
    }),
    worst("one forged token", |_| authorized(&format!("Bearer {}", forged(r#""a":""#, "a", "\"", 41_000)))),
    worst("forged without a kid", |_| authorized(&format!("Bearer {}", forged_without_kid(41_000)))),
    worst("eight forged tokens", |_| cookies(&several(8, 5_100))),
    worst("thirty-two forged tokens", |_| cookies(&several(32, 1_100))),
    worst("many forged tokens", |_| cookies(&several(130, 100))),
    worst("many forged tokens in a link", |_| {
        navigation(
            &format!("/notes?{}", several(130, 100).replace("access_token", "token").replace(';', "&")),
            &[],
        )
    }),
    worst("tokens of nobody", |_| {
        cookies(&fill(&format!(
            "access_token={};",
            encoded(r#"{"alg":"RS256"}"#, r#"{"iss":"https://a.example"}"#)
        )))
    }),
    worst("nested arrays", |_| {
        authorized(&format!("Bearer {}", forged(r#""a":["#, "[[[[[[[[[[]]]]]]]]]],", "0]", 41_000)))
    }),
    worst("an array of arrays", |_| {
        authorized(&format!("Bearer {}", forged(r#""a":["#, "[],", "0]", 41_000)))
    }),
    worst("objects", |_| authorized(&format!("Bearer {}", forged(r#""a":["#, "{},", "0]", 41_000)))),
    worst("objects of one member", |_| {
        authorized(&format!("Bearer {}", forged(r#""a":["#, r#"{"a":0},"#, "0]", 41_000)))
    }),
    worst("members", |_| authorized(&format!("Bearer {}", members(|n| format!(r#""{n}":0,"#))))),
    worst("members with escapes", |_| {
        authorized(&format!("Bearer {}", members(|n| format!(r#""\u0061{n}":0,"#))))
    }),
    worst("members that are alike", |_| {
        authorized(&format!(
            "Bearer {}",
            members(|n| format!(r#""aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa{n}":0,"#))
        ))
    }),
    worst("escapes", |_| authorized(&format!("Bearer {}", forged(r#""a":""#, r"\u0061", "\"", 41_000)))),
    worst("escapes in a claim that counts", |_| {
        authorized(&format!("Bearer {}", forged(r#""sub":""#, r"\n", "\"", 41_000)))
    }),
    worst("digits", |_| authorized(&format!("Bearer {}", forged(r#""a":"#, "1", "", 41_000)))),
    worst("digits behind a point", |_| {
        authorized(&format!("Bearer {}", forged(r#""a":0."#, "1", "", 41_000)))
    }),
    worst("floats", |_| {
        authorized(&format!("Bearer {}", forged(r#""a":["#, "1.7976931348623157e-300,", "0]", 41_000)))
    }),
    worst("short floats", |_| authorized(&format!("Bearer {}", forged(r#""a":["#, "1e9,", "0]", 41_000)))),
    worst("audiences", |_| authorized(&format!("Bearer {}", forged(r#""aud":["#, r#""a","#, "0]", 41_000)))),
    worst("a claim of arrays", |_| {
        authorized(&format!("Bearer {}", forged(r#""realm_access":["#, "[],", "0]", 41_000)))
    }),
    worst("a claim of objects", |_| {
        authorized(&format!("Bearer {}", forged(r#""realm_access":["#, r#"{"a":0},"#, "0]", 41_000)))
    }),
    worst("a claim of members", |_| {
        let members = numbered_to(|n| format!(r#""{n}":0,"#), 41_000);
        authorized(&format!("Bearer {}", forged(&format!(r#""realm_access":{{{members}"a":"#), "0", "}", 1)))
    }),
    worst("a large header", |_| {
        authorized(&format!(
            "Bearer {}",
            encoded(&format!(r#"{{"alg":"RS256","a":"{}"}}"#, "a".repeat(41_000)), "{}")
        ))
    }),
    worst("members of a header", |_| {
        let members = numbered_to(|n| format!(r#""{n}":0,"#), 41_000);
        authorized(&format!("Bearer {}", encoded(&format!(r#"{{{members}"alg":"RS256"}}"#), "{}")))
    }),
    worst("a large kid", |_| {
        authorized(&format!(
            "Bearer {}",
            encoded(
                &format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "a".repeat(41_000)),
                &format!(r#"{{"iss":"{ISSUER}"}}"#)
            )
        ))
    }),
    worst("a large signature", |_| {
        authorized(&format!(
            "Bearer {}.{}",
            encoded(HEADER, &format!(r#"{{"iss":"{ISSUER}"}}"#)).rsplit_once('.').expect("a token").0,
            fill("A")
        ))
    }),
    worst("kinds to accept", |_| fetch_without_metadata("/notes", &[("accept", &fill("a,"))])),
    worst("kinds to accept, spaces", |_| fetch_without_metadata("/notes", &[("accept", &fill(", ;"))])),
    worst("a long origin", |_| fetch("/notes", &[("origin", &format!("https://{}", fill("a")))])),
    worst("a posted origin", |good| {
        posted(
            "/notes",
            &[
                ("origin", &format!("https://{}", fill_to("A.", SIZE - 1_000))),
                ("cookie", &format!("access_token={good}")),
            ],
        )
    }),
    worst("a long host", |_| {
        let mut request = navigation("/notes", &[]);
        request.fields[0].1 = fill("A.").into_bytes();
        request
    }),
    worst("protocols", |_| {
        navigation("/notes", &vec![("x-forwarded-proto", fill_to("https,", SIZE / 75).as_str()); 75])
    }),
    worst("a long type", |_| posted("/jwt/auth", &[("content-type", &fill(" ;"))])),
    worst("a return address", |good| {
        navigation(&format!("/jwt/auth?token={good}&redirectUrl=/{}", fill_to("%22", SIZE - 1_000)), &[])
    }),
    worst("a return address, refused", |_| {
        navigation(&format!("/jwt/auth?redirectUrl=/{}", fill("%22")), &[])
    }),
    worst("an absolute return address", |_| {
        navigation(&format!("/jwt/auth?redirectUrl=https://workspace.example.com/{}", fill("%26")), &[])
    }),
    worst("return addresses", |_| navigation(&format!("/jwt/auth?{}", fill("redirectUrl=/&")), &[])),
    worst("a return address with tokens", |good| {
        navigation(
            &format!("/jwt/auth?token={good}&redirectUrl=/?{}", fill_to("token%3da.b.c%26", SIZE - 1_000)),
            &[],
        )
    }),
    worst("a return address behind the sign-out", |_| {
        navigation(&format!("/jwt/logout?redirectUrl=/{}", fill("%3c")), &[])
    }),
    worst("a form of tokens", |_| form(&fill_to("token=a.b.c&", FORM))),
    worst("a form of escapes", |_| form(&fill_to("t%6fken=%2e%2e&", FORM))),
    worst("a form of fields", |_| form(&fill_to("a&", FORM))),
    worst("a form of ampersands", |_| form(&fill_to("&", FORM))),
    worst("a form and cookies", |_| {
        let mut request = form(&fill_to("token=a.b.c&", FORM));
        request.fields.push(("cookie".into(), fill("access_token.1=2:aaaaaaaa:;").into()));
        request
    }),
    worst("a return address in a form", |_| form(&format!("redirectUrl=/{}", fill_to("%22", FORM - 20)))),
];

/// The name of the issuer of the tokens.
pub const ISSUER: &str = "https://login.example.com";
const HEADER: &str = r#"{"alg":"RS256","kid":"2026-11-a7Kq0cVt"}"#;

/// A configuration in which much is asked of each request, with these keys of [`ISSUER`].
pub fn config(keys: &Value) -> Value {
    let claims: serde_json::Map<String, Value> = [
        ("sub", "sub"),
        ("email", "email"),
        ("name", "name"),
        ("scope", "scope"),
        ("jti", "jti"),
        ("azp", "azp"),
        ("user", "preferred_username"),
        ("roles", "realm_access.roles"),
        ("groups", "groups"),
        ("verified", "email_verified"),
    ]
    .iter()
    .map(|(name, claim)| (format!("x-jwt-{name}"), json!(claim)))
    .collect();
    json!({
        "providers": [
            {"name": "login", "issuer": ISSUER, "audiences": ["workspace"], "keys": keys, "claim_headers": claims},
            {"name": "second", "issuer": "https://second.example.com", "keys": keys, "claim_headers": claims},
        ],
        "forward_token": {"header": "x-token"},
        "public_paths": [
            {"exact": "/healthz"},
            {"regex": "^/api/(liveness|readiness)$"},
            {"regex": "^/api/([a-z]+/)*[0-9]$"},
            {"prefix": "/docs/", "identity": "optional"},
        ],
        "rules": [
            {"paths": ["/user/{name}/**"], "required_claims": {"preferred_username": "{name}"}},
            {"paths": ["/admin/**"], "deny": true},
            {"paths": ["/**"]},
        ],
        "session": {
            "login_url": "https://login.example.com/start",
            "allowed_origins": ["https://login.example.com"],
            "info_path": "/jwt/info",
            "revoke_on_logout": true,
        },
    })
}

const fn worst(name: &'static str, make: fn(&str) -> Request) -> Worst {
    Worst { name, make }
}

fn fill(unit: &str) -> String {
    fill_to(unit, SIZE)
}

/// As often as it fits.
fn fill_to(unit: &str, size: usize) -> String {
    unit.repeat(size / unit.len())
}

fn numbered(unit: fn(usize) -> String) -> String {
    numbered_to(unit, SIZE)
}

fn numbered_to(unit: fn(usize) -> String, size: usize) -> String {
    let mut text = String::with_capacity(size);
    for number in 0.. {
        let next = unit(number);
        if text.len() + next.len() > size {
            break;
        }
        text.push_str(&next);
    }
    text
}

fn encoded(header: &str, payload: &str) -> String {
    let [header, payload] = [header, payload].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
    // 256 bytes, as a key of 2048 bits makes them.
    format!("{header}.{payload}.{}", "A".repeat(342))
}

/// Right but for its signature, with that much of that in its payload.
fn forged(before: &str, unit: &str, after: &str, size: usize) -> String {
    encoded(HEADER, &format!(r#"{{"iss":"{ISSUER}",{before}{}{after}}}"#, fill_to(unit, size)))
}

fn forged_without_kid(size: usize) -> String {
    encoded(r#"{"alg":"RS256"}"#, &format!(r#"{{"iss":"{ISSUER}","a":"{}"}}"#, "a".repeat(size)))
}

fn members(unit: fn(usize) -> String) -> String {
    encoded(HEADER, &format!(r#"{{{}"iss":"{ISSUER}"}}"#, numbered_to(unit, 41_000)))
}

/// So many different forged tokens, each with a payload of that size, in cookies.
fn several(count: usize, size: usize) -> String {
    let token = |n: usize| forged(&format!(r#""a":"{n}"#), "a", "\"", size);
    let cookies = (0..count).map(|n| format!("access_token={};", token(n)));
    let mut line = String::new();
    for cookie in cookies {
        if line.len() + cookie.len() <= SIZE {
            line.push_str(&cookie);
        }
    }
    line
}

fn bearer(good: &str) -> (&'static str, &str) {
    ("x-good", good)
}

fn head(method: &str, path: &str, kinds: &[(&str, &str)], more: &[(&str, &str)]) -> Request {
    let common = [
        (":authority", "workspace.example.com"),
        (":path", path),
        (":method", method),
        (":scheme", "https"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"),
        ("accept-language", "en-GB,en;q=0.8,de;q=0.5"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("priority", "u=1, i"),
        ("x-request-id", "b1a0f5d4-7a3e-4f3c-9c55-0d6a4f1f2b11"),
    ];
    let line = |(name, value): &(&str, &str)| match *name {
        "x-good" => ("authorization".to_owned(), format!("Bearer {value}").into_bytes()),
        _ => ((*name).to_owned(), value.as_bytes().to_vec()),
    };
    let fields = common.iter().chain(kinds).chain(more).map(line).collect();
    Request { fields, form: None }
}

fn fetch(path: &str, more: &[(&str, &str)]) -> Request {
    let kinds = [
        ("accept", "application/json, text/plain, */*"),
        ("sec-fetch-dest", "empty"),
        ("sec-fetch-mode", "cors"),
        ("sec-fetch-site", "same-origin"),
    ];
    head("GET", path, &kinds, more)
}

/// Without Fetch metadata, so that what is accepted tells who asks.
fn fetch_without_metadata(path: &str, more: &[(&str, &str)]) -> Request {
    head("GET", path, &[], more)
}

fn navigation(path: &str, more: &[(&str, &str)]) -> Request {
    let kinds = [
        ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("sec-fetch-dest", "document"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-site", "same-origin"),
    ];
    head("GET", path, &kinds, more)
}

fn posted(path: &str, more: &[(&str, &str)]) -> Request {
    head("POST", path, &[("accept", "*/*")], more)
}

fn cookies(line: &str) -> Request {
    fetch("/notes", &[("cookie", line)])
}

fn authorized(line: &str) -> Request {
    fetch("/notes", &[("authorization", line)])
}

fn form(body: &str) -> Request {
    let lines = [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
    let mut request = posted("/jwt/auth", &lines);
    request.fields.push(("content-length".into(), body.len().to_string().into()));
    request.form = Some(body.into());
    request
}

/// Lines whose names are ours with an underscore in each place in turn.
fn twins(good: &str) -> Request {
    let names: Vec<String> = (0..75)
        .map(|n| {
            let own = ["sub", "email", "name", "scope", "jti", "azp", "user", "roles", "groups", "verified"];
            format!("x{}jwt{}{}", ["-", "_"][n % 2], ["_", "-"][n / 2 % 2], own[n / 4 % own.len()])
        })
        .collect();
    let value = "a".repeat(SIZE / 75 - 60);
    let mut lines: Vec<_> = names.iter().map(|name| (name.as_str(), value.as_str())).collect();
    lines.push(bearer(good));
    fetch("/notes", &lines)
}
