//! The table of cases: `tests/vectors/*.json`, each file with configurations, tokens and cases. One table, two
//! drivers: what a case expects is compared with what the core decides and with what a real Envoy does.
//!
//! `docs/testing.md` describes the format.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use crate::jwt::{Key, der, mint_padded, mint_raw, now};
use crate::{each, repository};

/// One case.
#[derive(Clone, Debug)]
pub struct Case {
    /// File and name.
    pub name: String,
    /// The name of its configuration, unique over all files.
    pub config: String,
    /// The header map as Envoy hands it to a filter.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The body of the request.
    pub body: Vec<u8>,
    /// What must become of the request.
    pub expect: Value,
    /// The time of the check in seconds since the epoch, where it is frozen.
    pub now: Option<f64>,
    /// Why a real Envoy cannot show it.
    pub native_only: Option<String>,
}

/// All files of the table.
#[derive(Debug, Default)]
pub struct Table {
    /// Configurations by name.
    pub configs: BTreeMap<String, Value>,
    /// Cases in the order of files and lines.
    pub cases: Vec<Case>,
}

/// What became of a request.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The filter answered.
    Answered {
        /// Its status code.
        status: u16,
        /// Its header lines.
        headers: Vec<(String, String)>,
        /// Its body.
        body: String,
    },
    /// The upstream got it, with this path and these header lines.
    Forwarded {
        /// Path and query.
        path: String,
        /// Header lines, each byte of a value as one character.
        headers: Vec<(String, String)>,
    },
}

/// The environment of the VM in every case.
pub fn env() -> Vec<(&'static str, String)> {
    let key = Key::fixed("a");
    vec![
        ("TABLE_WORKSPACE", "workspace123".into()),
        ("TABLE_ALGORITHM", "RSA".into()),
        ("TABLE_RS512", "RS512".into()),
        ("TABLE_EMPTY", String::new()),
        ("TABLE_DER", key.public_der_base64()),
        ("TABLE_PEM", key.public_pem()),
        ("TABLE_ESCAPED_PEM", key.public_pem().replace('\n', "\\n")),
        ("TABLE_JWK", key.jwk("env-key").to_string()),
        ("TABLE_JWKS", json!({"keys": [key.jwk("env-key")]}).to_string()),
        ("TABLE_BLANK", " \n".into()),
        ("TABLE_CERTIFICATE", key.certificate_pem()),
        ("TABLE_ONE_LINE_PEM", one_line(&key.public_pem())),
        ("TABLE_PKCS1", key.public_pkcs1_pem()),
        ("TABLE_PRIVATE", key.pkcs8_pem()),
        ("TABLE_WRAPPED_DER", body(&key.public_pem())),
        ("TABLE_EC_PEM", Key::fixed("p256").public_pem()),
        ("TABLE_SECRET", BASE64_STANDARD.encode(Key::fixed("secret64").raw())),
        ("TABLE_SECRET_TEXT", "super-secret-jwt-token-with-at-least-32-characters-long".into()),
        ("TABLE_SECRET_OF_A_PEM", BASE64_STANDARD.encode(key.public_pem())),
        ("TABLE_SECRET_JWK", Key::fixed("secret64").jwk("s").to_string()),
    ]
}

/// Reads the whole table.
pub fn load() -> Table {
    let folder = repository("tests/vectors");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .expect("tests/vectors")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("cases_")))
        .collect();
    // Some tokens of that one are valid a minute after they are made: they come first, before they are.
    files.sort_by_key(|path| (!path.ends_with("cases_jwtproxy.json"), path.clone()));
    let mut table = Table::default();
    for path in files {
        let stem = path.file_stem().expect("a name").to_string_lossy().replace("cases_", "");
        add(&mut table, &stem, &read(&path));
    }
    table
}

/// The texts of a list in `tests/vectors/cases_<stem>.json`.
pub fn list(stem: &str, name: &str) -> Vec<String> {
    let file = read(&repository(format!("tests/vectors/cases_{stem}.json")));
    let list = substituted(&file["lists"][name], &tokens(&file, now()));
    let list = list.as_array().unwrap_or_else(|| panic!("cases_{stem}.json has no list {name}"));
    list.iter().map(|text| text.as_str().expect("a text").to_owned()).collect()
}

fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).expect("a file of cases");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The configurations of `tests/vectors/config_refused.json`, each with the words that refuse it, or none.
pub fn configurations() -> Vec<Value> {
    let text = fs::read_to_string(repository("tests/vectors/config_refused.json")).expect("configurations");
    serde_json::from_str(&text).expect("a list")
}

/// Checks these cases, prints a summary, and fails with all that differ.
pub fn run<'t>(
    run: &str,
    cases: impl Iterator<Item = &'t Case>,
    check: impl Fn(&Case) -> Result<(), String>,
) {
    let (mut all, mut failures) = (0, Vec::new());
    for case in cases {
        all += 1;
        if let Err(difference) = check(case) {
            failures.push(format!("{}\n    {difference}", case.name));
        }
    }
    crate::say(&format!("{} of {all} cases through {run}", all - failures.len()));
    assert!(failures.is_empty(), "{} of {all} cases differ:\n{}", failures.len(), failures.join("\n"));
}

fn add(table: &mut Table, stem: &str, file: &Value) {
    let now = now();
    let tokens = tokens(file, now);
    for (name, config) in members(&file["configs"]) {
        table.configs.insert(format!("{stem}/{name}"), filled(config, now));
    }
    for case in each::cases(file, &tokens) {
        let name = format!("{stem}: {}", case["name"].as_str().expect("a name"));
        let config =
            format!("{stem}/{}", case["config"].as_str().unwrap_or_else(|| panic!("{name}: config")));
        assert!(table.configs.contains_key(&config), "{name}: no configuration {config}");
        let request = substituted(&case["request"], &tokens);
        table.cases.push(Case {
            fields: fields(&request),
            body: latin1(request["body"].as_str().unwrap_or_default()),
            expect: substituted(&case["expect"], &tokens),
            now: case["now"].as_f64(),
            native_only: case["native_only"].as_str().map(str::to_owned),
            name,
            config,
        });
    }
}

fn tokens(file: &Value, now: u64) -> BTreeMap<&str, String> {
    members(&file["tokens"])
        .map(|(name, recipe)| (name.as_str(), token(recipe, &file["tokens"], now)))
        .collect()
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// Fills in keys and times: `{"$pem": "a"}` and its like, `"now+60"`.
pub fn filled(value: &Value, now: u64) -> Value {
    match value {
        Value::Object(object) if object.len() == 1 && object.keys().any(|name| name.starts_with('$')) => {
            let (form, key) = object.iter().next().expect("one member");
            key_in_form(form, key)
        }
        Value::Object(object) => {
            Value::Object(object.iter().map(|(name, value)| (name.clone(), filled(value, now))).collect())
        }
        Value::Array(items) => items.iter().map(|item| filled(item, now)).collect(),
        Value::String(text) => match text.strip_prefix("now") {
            Some("") => json!(now),
            Some(offset) => offset
                .parse::<i64>()
                .map_or_else(|_| json!(text), |offset| json!(now.saturating_add_signed(offset))),
            None => json!(text),
        },
        other => other.clone(),
    }
}

/// The key of that name, or a secret of the bytes of another in some form: `{"$pem": "a"}` and its like, `$spki`, `$raw`.
fn key_of(value: &Value) -> Key {
    let Some((form, key)) = members(value).next() else {
        return Key::fixed(value.as_str().expect("a key"));
    };
    let named = || Key::fixed(key.as_str().expect("a key"));
    Key::secret(match form.as_str() {
        "$spki" => named().spki(),
        "$raw" => named().raw(),
        "$text" => key.as_str().expect("a text").into(),
        _ => match key_in_form(form, key) {
            Value::String(text) => text.into_bytes(),
            json => json.to_string().into_bytes(),
        },
    })
}

fn key_in_form(form: &str, key: &Value) -> Value {
    match form {
        "$secret_base64" => return json!(BASE64_STANDARD.encode(key_of(key).raw())),
        "$secret_base64url" => return json!(URL_SAFE_NO_PAD.encode(key_of(key).raw())),
        _ => {}
    }
    let members_to_set = &key[1];
    let (name, kid) = match key {
        Value::Array(pair) => (pair[0].as_str().expect("a key"), pair[1].as_str()),
        name => (name.as_str().expect("a key"), None),
    };
    let key = Key::fixed(name);
    match form {
        "$certificate" => json!(key.certificate_pem()),
        "$der_base64" => json!(key.public_der_base64()),
        // `["a", {members}]`: a JWK with these members set, or left out where they are `"$none"`, or as `rewritten` says.
        "$jwk_with" => {
            let own = key.jwk("");
            let mut jwk = own.clone();
            let members_of_jwk = jwk.as_object_mut().expect("an object");
            members_of_jwk.remove("kid");
            overlay(members_of_jwk, members_to_set);
            for (name, value) in members_of_jwk {
                if let Some(how) = value.as_str().and_then(|how| how.strip_prefix('$')) {
                    *value = rewritten(&key, own[name].as_str().unwrap_or_default(), how);
                }
            }
            jwk
        }
        "$jwk" => {
            let mut jwk = key.jwk(kid.unwrap_or_default());
            if kid.is_none() {
                jwk.as_object_mut().expect("an object").remove("kid");
            }
            jwk
        }
        "$crlf_pem" => json!(key.public_pem().replace('\n', "\r\n")),
        "$escaped_pem" => json!(key.public_pem().replace('\n', "\\n")),
        "$one_line_pem" => json!(one_line(&key.public_pem())),
        "$pem" => json!(key.public_pem()),
        "$private_der_base64" => json!(body(&key.pkcs8_pem()).replace('\n', "")),
        "$two_pems" => json!(key.public_pem().repeat(2)),
        "$unpadded_der_base64" => json!(key.public_der_base64().trim_end_matches('=')),
        "$url_safe_der_base64" => json!(key.public_der_base64().replace('+', "-").replace('/', "_")),
        "$wrapped_der_base64" => json!(body(&key.public_pem())),
        "$pkcs1_pem" => json!(key.public_pkcs1_pem()),
        "$private_pem" => json!(key.pkcs8_pem()),
        other => panic!("no key in the form {other}"),
    }
}

/// A member of the JWK of that key, written otherwise: `padded`, `wrapped` as PEM is, `stripped` of its leading zeros, with
/// `a_zero_before` it, in the `standard_alphabet`; or `x5c`, a chain of its certificate.
fn rewritten(key: &Key, own: &str, how: &str) -> Value {
    let bytes = || URL_SAFE_NO_PAD.decode(own).expect("base64url");
    let certificate = |key: &Key| {
        let pem = key.certificate_pem();
        body(pem.trim_end()).replace('\n', "")
    };
    match how {
        "padded" => {
            let padded = BASE64_STANDARD.encode(bytes());
            json!(padded.replace('+', "-").replace('/', "_"))
        }
        "wrapped" => {
            let lines: Vec<_> = own.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
            json!(lines.join("\r\n") + "\n")
        }
        "stripped" => {
            let digits: Vec<u8> = bytes().into_iter().skip_while(|byte| *byte == 0).collect();
            assert!(digits.len() < bytes().len(), "there is no zero before it");
            json!(URL_SAFE_NO_PAD.encode(digits))
        }
        "a_zero_before" => json!(URL_SAFE_NO_PAD.encode([&[0], bytes().as_slice()].concat())),
        "standard_alphabet" => json!(own.replace('-', "+").replace('_', "/")),
        "x5c" => json!([certificate(key), certificate(&Key::fixed("b"))]),
        other => panic!("no way to write a member: {other}"),
    }
}

/// Mints a token: `header` and `claims` (or `raw_header` and `raw_claims` as text), signed with `key` by `sign`. `like`
/// names another recipe whose members hold where these are silent; a member that is `"$none"` is left out. The header's
/// `alg` is `sign` if it says nothing else. `filler` adds a claim of that many characters; `$nested` in a raw part stands
/// for `depth` lists in each other, `$many` for `times` numbers; `encode_dots` writes them as in a query. `text` is that text,
/// `times` over, and no token. `part` is that part (1 or 2) of the token `part_of`, as in a
/// cookie, or the `tag` that stands before both.
fn token(recipe: &Value, all: &Value, now: u64) -> String {
    if let Some(text) = recipe["text"].as_str() {
        let times = usize::try_from(recipe["times"].as_u64().unwrap_or(1)).expect("a number");
        return text.repeat(times);
    }
    if let Some(whole) = recipe["part_of"].as_str() {
        let whole = token(&all[whole], all, now);
        let (first, second) = whole.split_at(whole.len() / 2);
        let tag = &whole[whole.len() - 8..];
        return match &recipe["part"] {
            Value::String(_) => tag.to_owned(),
            part => format!("2:{tag}:{}", if *part == 1 { first } else { second }),
        };
    }
    if let Some(raw) = recipe["random_bytes"].as_u64() {
        let length = usize::try_from(raw).expect("a length");
        return "x".repeat(length);
    }
    let like = recipe["like"].as_str().map_or(&Value::Null, |name| &all[name]);
    let pick =
        |member: &str| if recipe[member].is_null() { like[member].clone() } else { recipe[member].clone() };
    let part = |member: &str, raw: &str| {
        if let Some(text) = recipe[raw].as_str() {
            let depth = usize::try_from(recipe["depth"].as_u64().unwrap_or_default()).expect("a depth");
            let nested = "[".repeat(depth) + &"]".repeat(depth);
            let times = usize::try_from(recipe["times"].as_u64().unwrap_or_default()).expect("a number");
            let many = vec!["0"; times].join(",");
            return text.replace("$nested", &nested).replace("$many", &many).into_bytes();
        }
        let mut merged: Map<String, Value> =
            members(&like[member]).map(|(n, v)| (n.clone(), v.clone())).collect();
        if member == "header" {
            let sign = pick("sign");
            let alg = sign.as_str().unwrap_or("RS256").split(':').next();
            merged.insert("alg".into(), alg.into());
        }
        overlay(&mut merged, &recipe[member]);
        if let (Some(length), "claims") = (recipe["filler"].as_u64(), member) {
            merged.insert("filler".into(), "x".repeat(usize::try_from(length).expect("a length")).into());
        }
        filled(&Value::Object(merged), now).to_string().into_bytes()
    };
    let key = match pick("key") {
        Value::Null => Key::fixed("a"),
        key => key_of(&key),
    };
    let sign = pick("sign").as_str().unwrap_or("RS256").to_owned();
    let mint = if pick("padded") == true { mint_padded } else { mint_raw };
    let token = mint(&key, &sign, &part("header", "raw_header"), &part("claims", "raw_claims"));
    let token = mangled(token, recipe["mangle"].as_str());
    if recipe["encode_dots"] == true { token.replace('.', "%2E") } else { token }
}

/// Sets members, or leaves them out where they are `"$none"`.
fn overlay(object: &mut Map<String, Value>, changes: &Value) {
    for (name, value) in members(changes) {
        if value == "$none" {
            object.remove(name);
        } else {
            object.insert(name.clone(), value.clone());
        }
    }
}

/// What stands between the first and the last line.
fn body(pem: &str) -> String {
    let (_, rest) = pem.split_once('\n').expect("a line");
    rest.trim_end().rsplit_once('\n').expect("a line").0.to_owned()
}

/// As Che writes it: the whole of the base64 on one line, and no line break at the end.
fn one_line(pem: &str) -> String {
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", body(pem).replace('\n', ""))
}

fn mangled(token: String, how: Option<&str>) -> String {
    let (input, signature) = token.rsplit_once('.').expect("a token");
    match how {
        None => token,
        Some("flip_signature") => {
            let mut bytes = URL_SAFE_NO_PAD.decode(signature).expect("a signature");
            bytes[7] ^= 1;
            format!("{input}.{}", URL_SAFE_NO_PAD.encode(bytes))
        }
        Some("zero_signature") => {
            let length = URL_SAFE_NO_PAD.decode(signature).expect("a signature").len();
            format!("{input}.{}", URL_SAFE_NO_PAD.encode(vec![0; length]))
        }
        // The other form of an ECDSA signature, in which each half loses its zeros.
        Some("der_signature") => {
            let bytes = URL_SAFE_NO_PAD.decode(signature).expect("a signature");
            let integers = bytes.chunks(bytes.len() / 2).map(|half| {
                let digits: Vec<u8> = half.iter().copied().skip_while(|byte| *byte == 0).collect();
                let sign: &[u8] = if digits[0] >= 0x80 { &[0] } else { &[] };
                der(0x02, &[sign, &digits])
            });
            format!(
                "{input}.{}",
                URL_SAFE_NO_PAD.encode(der(0x30, &[&integers.collect::<Vec<_>>().concat()]))
            )
        }
        // S of Ed25519 and the order of its group on top: the same number to the curve, and no canonical one.
        Some("s_plus_order") => {
            let order = b"\xed\xd3\xf5\x5c\x1a\x63\x12\x58\xd6\x9c\xf7\xa2\xde\xf9\xde\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10";
            let mut bytes = URL_SAFE_NO_PAD.decode(signature).expect("a signature");
            let mut carry = 0;
            for (byte, add) in bytes[32..].iter_mut().zip(order) {
                let sum = u16::from(*byte) + u16::from(*add) + carry;
                [*byte, _] = sum.to_le_bytes();
                carry = sum >> 8;
            }
            format!("{input}.{}", URL_SAFE_NO_PAD.encode(bytes))
        }
        Some("short_signature") => {
            let mut bytes = URL_SAFE_NO_PAD.decode(signature).expect("a signature");
            bytes.pop();
            format!("{input}.{}", URL_SAFE_NO_PAD.encode(bytes))
        }
        Some("long_signature") => {
            let bytes = [URL_SAFE_NO_PAD.decode(signature).expect("a signature"), vec![0]].concat();
            format!("{input}.{}", URL_SAFE_NO_PAD.encode(bytes))
        }
        Some("no_signature") => format!("{input}."),
        Some("pad_signature") => format!("{token}=="),
        Some("standard_alphabet") => format!("{input}.{}", signature.replace('-', "+").replace('_', "/")),
        Some("two_parts") => input.to_owned(),
        Some("unpad") => token.replace('=', ""),
        Some("unpad_signature") => token.trim_end_matches('=').to_owned(),
        Some("unpad_header") => token.replacen("=.", ".", 1),
        Some("pad_header") => input.replacen('.', "=.", 1) + "." + signature,
        Some("pad_payload") => format!("{input}=.{signature}"),
        Some("space_in_signature") => format!("{input}.{} {}", &signature[..9], &signature[9..]),
        Some("spare_bits") => format!("{input}.{}", spare_bits(signature)),
        Some("spare_bits_header") => {
            let (header, payload) = input.split_once('.').expect("two parts");
            format!("{}.{payload}.{signature}", spare_bits(header))
        }
        Some("spare_bits_payload") => format!("{}.{signature}", spare_bits(input)),
        Some("tamper_payload") => {
            let (header, payload) = input.split_once('.').expect("two parts");
            let mut claims: Value =
                serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("a payload")).expect("claims");
            claims["sub"] = json!("mallory");
            format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(claims.to_string()))
        }
        Some(other) => panic!("no way to mangle a token: {other}"),
    }
}

/// Another last letter, the same bytes: unless the length is a multiple of four, some of its bits are not used.
fn spare_bits(part: &str) -> String {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (rest, last) = part.split_at(part.len() - 1);
    let at = alphabet.find(last).expect("base64url");
    format!("{rest}{}", alphabet.chars().nth(at + 1).expect("a letter"))
}

/// Replaces `{name}` by that token, wherever a string holds it.
pub(crate) fn substituted(value: &Value, tokens: &BTreeMap<&str, String>) -> Value {
    match value {
        Value::String(text) => {
            let mut text = text.clone();
            for (name, token) in tokens {
                text = text.replace(&format!("{{{name}}}"), token);
            }
            json!(text)
        }
        Value::Array(items) => items.iter().map(|item| substituted(item, tokens)).collect(),
        Value::Object(object) => Value::Object(
            object.iter().map(|(name, value)| (name.clone(), substituted(value, tokens))).collect(),
        ),
        other => other.clone(),
    }
}

/// The header map: pseudo-headers with their defaults, then the lines; a character is a byte.
fn fields(request: &Value) -> Vec<(String, Vec<u8>)> {
    let pseudo = |name: &str, default: &str| request[name].as_str().unwrap_or(default).to_owned();
    let mut fields = vec![
        (":authority".to_owned(), latin1(&pseudo("authority", "app.example.com"))),
        (":path".to_owned(), latin1(&pseudo("path", "/app"))),
        (":method".to_owned(), latin1(&pseudo("method", "GET"))),
        (":scheme".to_owned(), b"http".to_vec()),
    ];
    for line in request["headers"].as_array().into_iter().flatten() {
        let name = line[0].as_str().expect("a name");
        let times = usize::try_from(line[2].as_u64().unwrap_or(1)).expect("a number");
        let value = latin1(&line[1].as_str().expect("a value").repeat(times));
        fields.push((name.to_ascii_lowercase(), value));
    }
    if let Some(body) = request["body"].as_str() {
        fields.push(("content-length".to_owned(), latin1(body).len().to_string().into_bytes()));
    }
    fields
}

fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(character).expect("a byte")).collect()
}

impl Outcome {
    /// Compares with what a case expects: `forward` (`path`, `headers`) or `status` (`headers`, `body`, `reason`).
    ///
    /// # Errors
    /// What differs.
    pub fn check(&self, expect: &Value) -> Result<(), String> {
        match (self, expect.get("forward")) {
            (Self::Forwarded { path, headers }, Some(forward)) => {
                if let Some(wanted) = forward["path"].as_str() {
                    same("path", wanted, path)?;
                }
                check_headers(&forward["headers"], headers)
            }
            (Self::Answered { status, headers, body }, None) => {
                same("status", &expect["status"].to_string(), &status.to_string())?;
                check_headers(&expect["headers"], headers)?;
                check_body(expect, headers, body)
            }
            (Self::Forwarded { path, .. }, None) => Err(format!("was forwarded to {}", shortened(path))),
            (Self::Answered { status, headers, body }, Some(_)) => {
                Err(format!("was answered: {status} {headers:?} {body}"))
            }
        }
    }
}

fn same(what: &str, wanted: &str, found: &str) -> Result<(), String> {
    if matches(wanted, found) { Ok(()) } else { Err(format!("{what}: wanted {wanted:?}, found {found:?}")) }
}

/// `*` stands for anything where the expected text begins with `~`.
pub fn matches(wanted: &str, found: &str) -> bool {
    let Some(pattern) = wanted.strip_prefix('~') else { return wanted == found };
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| found.strip_prefix(first)) else { return false };
    let Some(last) = pattern.rsplit('*').next().filter(|_| pattern.contains('*')) else {
        return rest.is_empty();
    };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    found.ends_with(last)
}

/// A string is the one line of that name, a list are its lines in order, null is none.
fn check_headers(wanted: &Value, found: &[(String, String)]) -> Result<(), String> {
    for (name, wanted) in members(wanted) {
        let lines: Vec<&str> =
            found.iter().filter(|(own, _)| own == name).map(|(_, value)| value.as_str()).collect();
        let wanted: Vec<&str> = match wanted {
            Value::Null => Vec::new(),
            Value::String(line) => vec![line],
            Value::Array(many) => many.iter().map(|line| line.as_str().expect("a line")).collect(),
            other => panic!("no header line: {other}"),
        };
        if wanted.len() != lines.len()
            || !wanted.iter().zip(&lines).all(|(wanted, line)| matches(wanted, line))
        {
            return Err(format!("{name}: wanted {wanted:?}, found {lines:?}"));
        }
    }
    Ok(())
}

/// `body` is the whole text (or a pattern), an object some members of a JSON document; `reason` is that of a problem
/// document, where the answer is one.
fn check_body(expect: &Value, headers: &[(String, String)], body: &str) -> Result<(), String> {
    let is_problem =
        headers.iter().any(|(name, value)| name == "content-type" && value == "application/problem+json");
    if let (Some(reason), true) = (expect["reason"].as_str(), is_problem) {
        let problem: Value = serde_json::from_str(body).map_err(|error| format!("body: {error}"))?;
        same("reason", reason, problem["reason"].as_str().unwrap_or_default())?;
    }
    match &expect["body"] {
        Value::Null => Ok(()),
        Value::String(text) => same("body", text, body),
        Value::Object(wanted) => {
            let document: Value = serde_json::from_str(body).map_err(|error| format!("body: {error}"))?;
            for (name, wanted) in wanted {
                let found = &document[name];
                let fits = match (wanted.as_str(), found.as_str()) {
                    (Some(wanted), Some(found)) => matches(wanted, found),
                    _ => wanted == found,
                };
                if !fits {
                    return Err(format!("body.{name}: wanted {wanted}, found {found}"));
                }
            }
            Ok(())
        }
        other => panic!("no body: {other}"),
    }
}

pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}
