//! Secrets that are none: who writes a public key for one lets everybody sign.

use base64::Engine;
use serde_json::Value;

use super::error::{ConfigError, Result};
use super::keys::BASE64;
use crate::jwt::{Json, Key, KeyFault};

/// Refuses the secret at `path` if it is a public key in whatever form, or what any of the configured keys is made of.
pub(super) fn refuse_public(path: &str, secret: &[u8], keys: &[&Key]) -> Result<()> {
    let decoded = str::from_utf8(secret).ok().and_then(|text| decode(text).ok());
    for bytes in [Some(secret.trim_ascii()), Some(secret), decoded.as_deref()].into_iter().flatten() {
        if is_public(bytes) || keys.iter().any(|key| is_of(key, bytes)) {
            let message = "this is a public key, with which anybody could sign; write a secret that was made by chance \
                           (openssl rand -base64 64), or the key as `pem`, `der_base64` or `jwk`";
            return Err(ConfigError::new(path, message));
        }
    }
    Ok(())
}

/// Base64 of either alphabet, with or without padding.
pub(super) fn decode(text: &str) -> std::result::Result<Vec<u8>, base64::DecodeError> {
    let letter = |letter: char| match letter {
        '-' => '+',
        '_' => '/',
        other => other,
    };
    let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).map(letter).collect();
    BASE64.decode(text)
}

/// What a secret looks like that can be read as base64 and was hardly made so: digits of a hash, or words. What chance makes
/// of 32 bytes has letters of both cases and something else beside them, but for one in seven thousand.
pub(super) fn text_that_is_no_base64(text: &str, decoded: &[u8]) -> Option<String> {
    let text = text.trim().trim_end_matches('=');
    // Some write words in base64.
    if decoded.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\r')) {
        return None;
    }
    let has = |class: fn(&u8) -> bool| text.as_bytes().iter().any(class);
    let is_mixed = has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
        && has(|byte| !byte.is_ascii_alphabetic())
        && !text.contains(' ');
    match (text.bytes().all(|byte| byte.is_ascii_hexdigit()), is_mixed) {
        (true, _) => Some(format!("{} hex digits", text.len())),
        (false, false) => Some("words".to_owned()),
        (false, true) => None,
    }
}

/// PEM, a JWK or a set of them, DER.
fn is_public(bytes: &[u8]) -> bool {
    let is_json = || match Json::from_bytes(bytes) {
        Ok(Json(Value::Object(members))) => ["kty", "keys"].iter().any(|name| members.contains_key(*name)),
        Ok(_) | Err(_) => false,
    };
    memchr::memmem::find(bytes, b"-----BEGIN").is_some()
        || bytes.starts_with(b"{") && is_json()
        || !matches!(Key::from_der(bytes), Err(KeyFault::NoKey))
}

/// A number or a point of the key without anything around it.
fn is_of(key: &Key, bytes: &[u8]) -> bool {
    match key {
        Key::Ec(key) => {
            let point = key.point();
            let coordinates = point.get(1..).unwrap_or_default();
            bytes == point
                || bytes == coordinates
                || coordinates.chunks(key.curve().size()).any(|number| bytes == number)
        }
        Key::Ed25519(key) => bytes == key.bytes(),
        Key::Rsa(key) => bytes == key.modulus(),
        Key::Secret(_) => false,
    }
}
