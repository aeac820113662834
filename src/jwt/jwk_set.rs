//! A JWK Set (RFC 7517 section 5) as an issuer hands it out: what cannot be used is left out.

use std::fmt;

use serde_json::{Map, Value};

use super::{Algorithm, SkippedKey, VerifyingKey, jwk};

/// How many keys are taken, and how many descriptions of others are kept.
const MOST: usize = 100;
/// How long a `kid` may be that is shown to somebody, in bytes.
const LONGEST_SHOWN: usize = 64;

/// The keys of a set that can be used.
#[derive(Clone, Debug)]
pub struct JwkSet {
    /// At least one and at most a hundred, each bound to its `kid` and to the algorithms that it may be used with.
    pub keys: Vec<VerifyingKey>,
    /// The others.
    pub skipped: Vec<SkippedKey>,
}

/// Reads a set that somebody else wrote. Every member of it that cannot be used, for whatever reason, is skipped; so is one
/// with an `alg` other than the `allowed` ones, and whatever comes behind the hundredth key.
///
/// # Errors
/// There is no list `keys`, or no key in it that can be used.
pub fn jwk_set(json: &Value, allowed: &[Algorithm]) -> Result<JwkSet, JwkSetFault> {
    let Some(members) = json.get("keys").and_then(Value::as_array) else {
        let is_pem = |value: &Value| value.as_str().is_some_and(|text| text.starts_with("-----BEGIN"));
        let pems = json.as_object().is_some_and(|members| members.values().any(is_pem));
        return Err(if pems { JwkSetFault::Pem } else { JwkSetFault::NoList });
    };
    let mut set = JwkSet { keys: Vec::new(), skipped: Vec::new() };
    for (index, member) in members.iter().enumerate() {
        if set.keys.len() >= MOST || set.skipped.len() >= MOST {
            let left = members.len().saturating_sub(index);
            set.skipped.push(SkippedKey::new(None, format!("{left} more, which are too many")));
            break;
        }
        match member.as_object().ok_or_else(|| "it is no object".to_owned()).and_then(|it| key(it, allowed)) {
            Ok(key) => set.keys.push(key),
            Err(why) => {
                let kid = member.get("kid").and_then(Value::as_str).filter(|kid| !kid.is_empty());
                let name = kid.filter(|kid| is_shown(kid));
                let name = name.map_or_else(|| format!("keys[{index}]"), |kid| format!("kid {kid}"));
                set.skipped.push(SkippedKey::new(kid.map(str::to_owned), format!("{name}: {why}")));
            }
        }
    }
    if set.keys.is_empty() { Err(JwkSetFault::NoKey { skipped: set.skipped }) } else { Ok(set) }
}

fn key(members: &Map<String, Value>, allowed: &[Algorithm]) -> Result<VerifyingKey, String> {
    let (key, key_use) = jwk(members).map_err(|fault| fault.to_string())?;
    let fits = |algorithm: &Algorithm| {
        key.algorithms().contains(algorithm) && key_use.algorithm.is_none_or(|own| own == *algorithm)
    };
    let algorithms: Vec<_> = allowed.iter().copied().filter(fits).collect();
    if algorithms.is_empty() {
        let own =
            key_use.algorithm.map_or_else(|| Algorithm::listed(key.algorithms()), |own| own.name().into());
        return Err(format!("it verifies {own}, which is not allowed here"));
    }
    VerifyingKey::new(key_use.kid, algorithms, key).map_err(|fault| fault.to_string())
}

/// Whether a `kid` can be shown to somebody as it is; else the key is told by its place in the list, counted from 0.
fn is_shown(kid: &str) -> bool {
    kid.len() <= LONGEST_SHOWN && kid.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Why a set is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwkSetFault {
    /// No key of it can be used.
    NoKey {
        /// Each: `kid` or index, and why.
        skipped: Vec<SkippedKey>,
    },
    /// There is no list `keys`.
    NoList,
    /// There is none, but PEM by `kid`.
    Pem,
}

impl fmt::Display for JwkSetFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKey { skipped } if skipped.is_empty() => f.write_str("the set is empty"),
            Self::NoKey { skipped } => {
                let skipped: Vec<_> = skipped.iter().map(SkippedKey::why).collect();
                write!(f, "no key of the set can be used ({})", skipped.join("; "))
            }
            Self::NoList => f.write_str("this is no JWK Set: it has no list `keys`"),
            Self::Pem => {
                f.write_str("these are certificates in PEM by their kid; the keys must be a JWK Set")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// RFC 7517 appendix A.1, RFC 8037 appendix A.2.
    fn ec(kid: &str) -> Value {
        json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"})
    }

    fn ed25519() -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
    }

    /// With a modulus of so many letters, three bytes in four.
    fn rsa(letters: usize) -> Value {
        json!({"kty": "RSA", "kid": "rsa", "n": "_".repeat(letters), "e": "AQAB"})
    }

    fn with(mut key: Value, name: &str, value: Value) -> Value {
        key[name] = value;
        key
    }

    fn why(set: &JwkSet) -> Vec<&str> {
        set.skipped.iter().map(SkippedKey::why).collect()
    }

    const ALL: [Algorithm; 3] = [Algorithm::Es256, Algorithm::Rs256, Algorithm::EdDsa];

    #[test]
    fn keys_are_bound_to_what_they_can_and_may() {
        let keys = json!([ec("1"), ed25519(), rsa(344), with(rsa(344), "alg", json!("RS256"))]);
        let set = jwk_set(&json!({"keys": keys, "more": 1}), &[ALL.as_slice(), &[Algorithm::Ps512]].concat())
            .unwrap();
        assert_eq!(why(&set), [""; 0]);
        let allowed: Vec<Vec<&str>> = set
            .keys
            .iter()
            .map(|key| {
                let names = Algorithm::NAMES.iter().filter(|(name, a)| *name == a.name() && key.allows(*a));
                names.map(|(name, _)| *name).collect()
            })
            .collect();
        assert_eq!(allowed, [vec!["ES256"], vec!["EdDSA"], vec!["RS256", "PS512"], vec!["RS256"]]);
        assert_eq!(set.keys[0].kid(), Some("1"));
    }

    /// RFC 8032 section 5.1.3: `y` is p + 3.
    #[test]
    fn a_point_in_another_encoding_is_skipped() {
        let other = json!("8P_______________________________________38");
        let set = jwk_set(&json!({"keys": [ed25519(), with(ed25519(), "x", other)]}), &ALL).unwrap();
        let weak = "kid ed: this key is no uncompressed point of its curve, or a weak one";
        assert_eq!((set.keys.len(), why(&set)), (1, vec![weak]));
    }

    #[test]
    fn what_cannot_be_used_is_skipped_and_described() {
        let strange = "a\nb";
        let members = [
            (
                with(ec("t"), "kty", json!("AKP")),
                "kid t: this key is of none of the types RSA, EC and Ed25519",
            ),
            (json!({}), "keys[1]: the key's kty is missing or malformed"),
            (
                with(ec("c"), "crv", json!("secp256k1")),
                "kid c: the curve of this key is none of P-256, P-384 and P-521",
            ),
            (
                with(ed25519(), "crv", json!("Ed448")),
                "kid ed: the curve of this key is none of P-256, P-384 and P-521",
            ),
            (
                with(ec(strange), "alg", json!("ECDH-ES")),
                "keys[4]: the key's alg is none that is verified here",
            ),
            (
                with(ec("m"), "alg", json!("RS256")),
                "kid m: this is an EC key of the curve P-256, which verifies ES256 and nothing else",
            ),
            (
                with(ec("e"), "use", json!("enc")),
                "kid e: the key's use says that it does not verify signatures",
            ),
            (
                with(ec("o"), "key_ops", json!(["sign"])),
                "kid o: the key's key_ops says that it does not verify signatures",
            ),
            (
                with(ec("y"), "y", json!("AAAA")),
                "kid y: this key is no uncompressed point of its curve, or a weak one",
            ),
            (with(ec("x"), "x", json!("===")), "kid x: the key's x is missing or malformed"),
            (
                with(ec("d"), "d", json!("AAAA")),
                "kid d: this is a private key; write the public one (openssl pkey -in key.pem -pubout)",
            ),
            (
                json!({"kty": "oct", "kid": "s", "k": "AAAA"}),
                "kid s: this is a secret (kty oct) and no public key",
            ),
            (rsa(168), "kid rsa: an RSA key of 1008 bits is too short; at least 2048"),
            (with(rsa(344), "alg", json!("PS256")), "kid rsa: it verifies PS256, which is not allowed here"),
            (with(ec(&"k".repeat(65)), "kid", json!(5)), "keys[14]: the key's kid is no string"),
            (
                with(ed25519(), "x", json!("AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")),
                "kid ed: this key is no uncompressed point of its curve, or a weak one",
            ),
        ];
        let keys: Vec<_> = members.iter().map(|(key, _)| key.clone()).chain([ec("good")]).collect();
        let set = jwk_set(&json!({"keys": keys}), &ALL).unwrap();
        assert_eq!(why(&set), members.map(|(_, why)| why));
        assert_eq!(set.keys.len(), 1);
    }

    #[test]
    fn a_set_without_a_key_is_none() {
        for json in [json!(null), json!([]), json!({}), json!({"keys": {}}), json!({"keys": null})] {
            assert_eq!(jwk_set(&json, &ALL).unwrap_err(), JwkSetFault::NoList, "{json}");
        }
        let pem = json!({"1": "-----BEGIN CERTIFICATE-----"});
        assert_eq!(jwk_set(&pem, &ALL).unwrap_err(), JwkSetFault::Pem);
        let no_key = |json: Value| jwk_set(&json, &ALL).unwrap_err().to_string();
        assert_eq!(no_key(json!({"keys": []})), "the set is empty");
        assert!(no_key(json!({"keys": [null, "a"]})).contains("(keys[0]: it is no object; keys[1]: it is"));
        assert!(
            no_key(json!({"keys": [{"kty": "EC", "kid": "a"}]})).contains("(kid a: the key's crv is missing")
        );
        assert!(matches!(jwk_set(&json!({"keys": [ec("a")]}), &[]), Err(JwkSetFault::NoKey { .. })));
    }

    #[test]
    fn a_hundred_are_enough() {
        let many = |key: Value, count: usize| vec![key; count];
        let set = jwk_set(&json!({"keys": many(ec("a"), 103)}), &ALL).unwrap();
        assert_eq!((set.keys.len(), why(&set)), (100, vec!["3 more, which are too many"]));
        let junk = [many(ec("a"), 1), many(json!({}), 100_000)].concat();
        let set = jwk_set(&json!({"keys": junk}), &ALL).unwrap();
        assert_eq!((set.keys.len(), set.skipped.len()), (1, 101));
    }
}
