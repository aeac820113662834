//! A hundred thousand tokens, all different and all valid.
//!
//! Signing is slow, so the signatures are kept in cargo's target folder for some days; what they sign is made anew from
//! the number of the token.

use std::fs;
use std::path::PathBuf;
use std::thread;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use rig::jwt::{Key, now};
use rig::repository;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde_json::{Value, json};

/// Who issues the tokens.
pub(crate) const ISSUER: &str = "https://login.example.com";
/// Whom they are for.
pub(crate) const AUDIENCE: &str = "workspace";
/// The name of the key that signs them.
pub(crate) const KEY_ID: &str = "2026-11-a7Kq0cVt";

/// How many tokens there are for requests with a new one each.
pub(crate) const FRESH: u32 = 100_000;
/// How many tokens the case `mixed` draws from. They are not among the fresh ones.
pub(crate) const REGULARS: u32 = 1_000;
/// The number of the token that every request of a warm case carries.
pub(crate) const FAVOURITE: u32 = FRESH + REGULARS;

const ALL: u32 = FAVOURITE + 1;
/// Bytes of a signature by a key of 2048 bits.
const SIGNATURE: usize = 256;
const DAY: u64 = 24 * 60 * 60;
const LIFETIME: u64 = 7 * DAY;
/// Signatures older than this are made again, so that no token expires during a run.
const KEPT: u64 = 5 * DAY;

/// The issuer with the tokens it has signed.
#[derive(Debug)]
pub(crate) struct Tokens {
    issued: u64,
    signatures: Vec<u8>,
}

impl Tokens {
    /// Those of an earlier run if they still hold, else new ones.
    pub(crate) fn get() -> Self {
        if let Some(kept) = Self::kept() {
            return kept;
        }
        println!("signing {ALL} tokens, which are then kept for some days");
        let tokens = Self::sign(now());
        let file = file();
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder for the signatures");
        fs::write(&file, [&tokens.issued.to_be_bytes(), &*tokens.signatures].concat())
            .expect("a file of signatures");
        tokens
    }

    /// A valid token.
    pub(crate) fn valid(&self, number: u32) -> String {
        self.token(number, |_| ())
    }

    /// The same with a wrong signature: all else is as it should be.
    pub(crate) fn forged(&self, number: u32) -> String {
        self.token(number, |signature| signature[SIGNATURE / 2] ^= 1)
    }

    /// Whom a token is about.
    pub(crate) fn subject(number: u32) -> String {
        format!("7c9e6679-7425-40de-944b-{number:012x}")
    }

    /// The public key, as both filters get it, behind `others` that nobody could sign with.
    pub(crate) fn jwks(others: u32) -> Value {
        let mut keys: Vec<_> = (0..others).map(other_key).collect();
        keys.push(issuer().jwk(KEY_ID));
        for key in &mut keys {
            key["alg"] = json!("RS256");
        }
        json!({"keys": keys})
    }

    fn kept() -> Option<Self> {
        let bytes = fs::read(file()).ok()?;
        let (issued, signatures) = bytes.split_at_checked(8)?;
        let issued = u64::from_be_bytes(issued.try_into().ok()?);
        let tokens = Self { issued, signatures: signatures.to_vec() };
        let fits = signatures.len() == place(ALL) && now().checked_sub(issued)? < KEPT;
        // The key or the claims may be others by now.
        let holds = || {
            let key = key_pair();
            UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public().as_ref())
                .verify(tokens.signed_part(FAVOURITE).as_bytes(), &signatures[place(FAVOURITE)..])
                .is_ok()
        };
        (fits && holds()).then_some(tokens)
    }

    fn sign(issued: u64) -> Self {
        let mut tokens = Self { issued, signatures: Vec::new() };
        let mut signatures = vec![0; place(ALL)];
        let (key, random) = (key_pair(), SystemRandom::new());
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let share = ALL.div_ceil(threads.try_into().expect("few threads"));
        thread::scope(|scope| {
            for (first, part) in
                (0..).step_by(place(share) / SIGNATURE).zip(signatures.chunks_mut(place(share)))
            {
                let (key, random, tokens) = (&key, &random, &tokens);
                scope.spawn(move || {
                    for (number, signature) in (first..).zip(part.chunks_mut(SIGNATURE)) {
                        let message = tokens.signed_part(number);
                        key.sign(&RSA_PKCS1_SHA256, random, message.as_bytes(), signature)
                            .expect("a signature");
                    }
                });
            }
        });
        tokens.signatures = signatures;
        tokens
    }

    fn token(&self, number: u32, change: impl FnOnce(&mut [u8])) -> String {
        let mut signature = self.signatures[place(number)..][..SIGNATURE].to_vec();
        change(&mut signature);
        format!("{}.{}", self.signed_part(number), BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    /// Header and payload, as a common identity provider writes them: some 0.9 kB with the signature.
    fn signed_part(&self, number: u32) -> String {
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": KEY_ID});
        let payload = json!({
            "iss": ISSUER,
            "sub": Self::subject(number),
            "aud": AUDIENCE,
            "iat": self.issued,
            "nbf": self.issued,
            "exp": self.issued + LIFETIME,
            "jti": format!("0f8fad5b-d9cb-469f-a165-{number:012x}"),
            "azp": "workspace-web",
            "scope": "openid profile email",
            "name": "Alice Example",
            "preferred_username": format!("alice{number}"),
            "email": format!("alice{number}@example.com"),
            "email_verified": true,
        });
        let [header, payload] = [header, payload].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string()));
        format!("{header}.{payload}")
    }
}

fn place(number: u32) -> usize {
    usize::try_from(number).expect("a number that fits") * SIGNATURE
}

fn issuer() -> Key {
    Key::fixed("a")
}

fn key_pair() -> RsaKeyPair {
    let pem = issuer().pkcs8_pem();
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    RsaKeyPair::from_pkcs8(&BASE64_STANDARD.decode(base64).expect("PEM")).expect("a private key")
}

/// An odd number of 2048 bits, which is all that can be told from a public key: finding primes for a hundred would
/// take a minute.
fn other_key(number: u32) -> Value {
    let mut modulus: Vec<u8> = (0u8..8)
        .flat_map(|part| {
            let seed = [&number.to_be_bytes()[..], &[part]].concat();
            ring::digest::digest(&ring::digest::SHA256, &seed).as_ref().to_vec()
        })
        .collect();
    modulus[0] |= 0x80;
    modulus[SIGNATURE - 1] |= 1;
    let modulus = BASE64_URL_SAFE_NO_PAD.encode(modulus);
    json!({"kty": "RSA", "use": "sig", "kid": format!("other-{number}"), "n": modulus, "e": "AQAB"})
}

fn file() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository("target"), PathBuf::from);
    target.join("side_by_side/signatures")
}
