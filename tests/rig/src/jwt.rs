//! A token issuer, as careless as a test wants: it signs whatever it is given.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD};
use ed25519_dalek::Signer as _;
use hmac::{Hmac, Mac};
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use rsa::pkcs1::EncodeRsaPublicKey;
use rsa::pkcs8::der::Document;
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, LineEnding};
use rsa::rand_core::OsRng;
use rsa::sha2::{Digest, Sha256, Sha384, Sha512};
use rsa::traits::PublicKeyParts;
use rsa::{Pkcs1v15Sign, Pss, RsaPrivateKey};
use serde_json::{Value, json};

/// A key pair, or a secret.
#[derive(Clone, Debug)]
pub struct Key(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Ed25519(ed25519_dalek::SigningKey),
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    P521(p521::ecdsa::SigningKey),
    Rsa(RsaPrivateKey),
    Secret(Vec<u8>),
}

impl Key {
    /// A new RSA key of 2048 bits.
    pub fn generate() -> Self {
        Self(Kind::Rsa(RsaPrivateKey::new(&mut OsRng, 2048).expect("an RSA key")))
    }

    /// The RSA keys of `tests/rig/keys`: `a` and `b` have 2048 bits, `short` has 1024. `p256`, `p384`, `p521` and `ed25519` are
    /// keys of these curves, `secret32`, `secret48` and `secret64` are secrets of so many bytes; with `_b` behind it, another one.
    /// Of `p256_short_x` and `p256_short_y` that coordinate begins with a zero, of `p521_b` both do.
    pub fn fixed(name: &str) -> Self {
        let (kind, seed) = name.strip_suffix("_b").map_or((name, 0x11), |kind| (kind, 0x2b));
        let small = |scalar: u16| {
            let scalar = [[0; 30].as_slice(), &scalar.to_be_bytes()].concat();
            Kind::P256(p256::ecdsa::SigningKey::from_slice(&scalar).expect("a key"))
        };
        Self(match kind {
            "p256_short_x" => small(379),
            "p256_short_y" => small(43),
            "a" => return Self::from_pkcs8_pem(include_str!("../keys/a.pem")),
            "b" => return Self::from_pkcs8_pem(include_str!("../keys/b.pem")),
            "short" => return Self::from_pkcs8_pem(include_str!("../keys/short.pem")),
            "ed25519" => Kind::Ed25519(ed25519_dalek::SigningKey::from_bytes(&[seed; 32])),
            "p256" => Kind::P256(p256::ecdsa::SigningKey::from_slice(&[seed; 32]).expect("a key")),
            "p384" => Kind::P384(p384::ecdsa::SigningKey::from_slice(&[seed; 48]).expect("a key")),
            "p521" => {
                let scalar = [&[0], [seed; 65].as_slice()].concat();
                Kind::P521(p521::ecdsa::SigningKey::from_slice(&scalar).expect("a key"))
            }
            "secret32" => Kind::Secret(vec![seed; 32]),
            "secret48" => Kind::Secret(vec![seed; 48]),
            "secret64" => Kind::Secret(vec![seed; 64]),
            _ => panic!("no test key is called {name}"),
        })
    }

    /// A secret of these bytes, whatever else they are.
    pub const fn secret(bytes: Vec<u8>) -> Self {
        Self(Kind::Secret(bytes))
    }

    /// An RSA private key in PKCS#8 PEM.
    pub fn from_pkcs8_pem(pem: &str) -> Self {
        Self(Kind::Rsa(RsaPrivateKey::from_pkcs8_pem(pem).expect("a private key in PKCS#8 PEM")))
    }

    fn rsa(&self) -> &RsaPrivateKey {
        match &self.0 {
            Kind::Rsa(key) => key,
            other => panic!("no RSA key: {other:?}"),
        }
    }

    /// The RSA private key in PKCS#8 PEM.
    pub fn pkcs8_pem(&self) -> String {
        self.rsa().to_pkcs8_pem(LineEnding::LF).expect("PEM").to_string()
    }

    /// `BEGIN PUBLIC KEY`: `SubjectPublicKeyInfo` (RFC 5280).
    pub fn public_pem(&self) -> String {
        pem("PUBLIC KEY", self.spki())
    }

    /// `BEGIN RSA PUBLIC KEY`: PKCS#1.
    pub fn public_pkcs1_pem(&self) -> String {
        self.rsa().to_public_key().to_pkcs1_pem(LineEnding::LF).expect("PEM")
    }

    /// `SubjectPublicKeyInfo` in standard base64, on one line.
    pub fn public_der_base64(&self) -> String {
        BASE64_STANDARD.encode(self.spki())
    }

    /// The public key as a JWK for signatures, or the secret.
    pub fn jwk(&self, kid: &str) -> Value {
        let mut jwk = match &self.0 {
            Kind::Rsa(key) => {
                let [n, e] = [key.n(), key.e()].map(|number| base64url(&number.to_bytes_be()));
                json!({"kty": "RSA", "n": n, "e": e})
            }
            Kind::Ed25519(_) => json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(&self.raw())}),
            Kind::Secret(secret) => json!({"kty": "oct", "k": base64url(secret)}),
            Kind::P256(_) | Kind::P384(_) | Kind::P521(_) => {
                let point = self.raw();
                let (x, y) = point[1..].split_at(point.len() / 2);
                let curve = match x.len() {
                    32 => "P-256",
                    48 => "P-384",
                    _ => "P-521",
                };
                json!({"kty": "EC", "crv": curve, "x": base64url(x), "y": base64url(y)})
            }
        };
        jwk["use"] = json!("sig");
        jwk["kid"] = json!(kid);
        jwk
    }

    /// `BEGIN CERTIFICATE`: the public key in an X.509 certificate, valid until 2049, which an RSA key signs itself, and `a`
    /// for another.
    pub fn certificate_pem(&self) -> String {
        const SHA256_WITH_RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b";
        const COMMON_NAME: &[u8] = b"\x55\x04\x03";
        let algorithm = der(0x30, &[&der(0x06, &[SHA256_WITH_RSA]), &der(0x05, &[])]);
        let name =
            der(0x30, &[&der(0x31, &[&der(0x30, &[&der(0x06, &[COMMON_NAME]), &der(0x0c, &[b"rig"])])])]);
        let validity = der(0x30, &[&der(0x17, &[b"240101000000Z"]), &der(0x17, &[b"491231235959Z"])]);
        let version = der(0xa0, &[&der(0x02, &[&[2]])]);
        let serial = der(0x02, &[&[1]]);
        let content = der(0x30, &[&version, &serial, &algorithm, &name, &validity, &name, &self.spki()]);
        let signer = if matches!(self.0, Kind::Rsa(_)) { self.clone() } else { Self::fixed("a") };
        let signature = der(0x03, &[&[0], &signer.sign("RS256", &content)]);
        pem("CERTIFICATE", der(0x30, &[&content, &algorithm, &signature]))
    }

    /// The signature of an `alg` that the key has (RFC 7518 section 3). `PS256:20` has a salt of 20 bytes.
    pub fn sign(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        let (alg, salt) = alg.split_once(':').map_or((alg, None), |(alg, salt)| (alg, Some(salt)));
        let salt = salt.map(|salt| salt.parse::<usize>().expect("a number of bytes"));
        let hash = match alg.get(2..).unwrap_or_default() {
            "256" => Sha256::digest(message).to_vec(),
            "384" => Sha384::digest(message).to_vec(),
            "512" => Sha512::digest(message).to_vec(),
            _ => Vec::new(),
        };
        match (&self.0, alg) {
            (Kind::Rsa(key), "RS256") => key.sign(Pkcs1v15Sign::new::<Sha256>(), &hash).expect("a signature"),
            (Kind::Rsa(key), "RS384") => key.sign(Pkcs1v15Sign::new::<Sha384>(), &hash).expect("a signature"),
            (Kind::Rsa(key), "RS512") => key.sign(Pkcs1v15Sign::new::<Sha512>(), &hash).expect("a signature"),
            (Kind::Rsa(key), "PS256" | "PS384" | "PS512") => {
                let salt = salt.unwrap_or(hash.len());
                let scheme = match alg {
                    "PS256" => Pss::new_with_salt::<Sha256>(salt),
                    "PS384" => Pss::new_with_salt::<Sha384>(salt),
                    _ => Pss::new_with_salt::<Sha512>(salt),
                };
                key.sign_with_rng(&mut OsRng, scheme, &hash).expect("a signature")
            }
            (Kind::P256(key), "ES256" | "ES384" | "ES512") => {
                let signature: p256::ecdsa::Signature = key.sign_prehash(&hash).expect("a signature");
                signature.to_bytes().to_vec()
            }
            (Kind::P384(key), "ES256" | "ES384" | "ES512") => {
                let signature: p384::ecdsa::Signature = key.sign_prehash(&hash).expect("a signature");
                signature.to_bytes().to_vec()
            }
            (Kind::P521(key), "ES384" | "ES512") => {
                let signature: p521::ecdsa::Signature = key.sign_prehash(&hash).expect("a signature");
                signature.to_bytes().to_vec()
            }
            (Kind::Ed25519(key), "EdDSA" | "Ed25519") => key.sign(message).to_bytes().to_vec(),
            (Kind::Secret(secret), "HS256") => hmac::<Hmac<sha2::Sha256>>(secret, message),
            (Kind::Secret(secret), "HS384") => hmac::<Hmac<sha2::Sha384>>(secret, message),
            (Kind::Secret(secret), "HS512") => hmac::<Hmac<sha2::Sha512>>(secret, message),
            _ => panic!("this key cannot sign with {alg}"),
        }
    }

    /// `SubjectPublicKeyInfo` in DER.
    pub fn spki(&self) -> Vec<u8> {
        const EC: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01";
        let algorithm: &[&[u8]] = match &self.0 {
            Kind::Rsa(key) => return key.to_public_key().to_public_key_der().expect("DER").into_vec(),
            Kind::Ed25519(_) => &[b"\x06\x03\x2b\x65\x70"],
            Kind::P256(_) => &[EC, b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"],
            Kind::P384(_) => &[EC, b"\x06\x05\x2b\x81\x04\x00\x22"],
            Kind::P521(_) => &[EC, b"\x06\x05\x2b\x81\x04\x00\x23"],
            Kind::Secret(_) => panic!("a secret has no public half"),
        };
        der(0x30, &[&der(0x30, algorithm), &der(0x03, &[&[0], &self.raw()])])
    }

    /// The bare public key: a modulus, a point, or the 32 bytes of Ed25519. Of a secret its bytes.
    pub fn raw(&self) -> Vec<u8> {
        match &self.0 {
            Kind::Ed25519(key) => key.verifying_key().to_bytes().to_vec(),
            Kind::P256(key) => key.verifying_key().to_sec1_point(false).as_bytes().to_vec(),
            Kind::P384(key) => key.verifying_key().to_sec1_point(false).as_bytes().to_vec(),
            Kind::P521(key) => key.verifying_key().to_sec1_point(false).as_bytes().to_vec(),
            Kind::Rsa(key) => key.n().to_bytes_be(),
            Kind::Secret(secret) => secret.clone(),
        }
    }
}

fn hmac<M: Mac + hmac::KeyInit>(secret: &[u8], message: &[u8]) -> Vec<u8> {
    let mac = <M as hmac::KeyInit>::new_from_slice(secret).expect("a secret of any length");
    mac.chain_update(message).finalize().into_bytes().to_vec()
}

fn pem(label: &'static str, der: Vec<u8>) -> String {
    Document::try_from(der).and_then(|der| der.to_pem(label, LineEnding::LF)).expect("PEM")
}

fn base64url(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// A token of exactly this header and these claims. Nothing is added, not even `alg` to the header.
#[expect(clippy::needless_pass_by_value, reason = "json!(…) reads better without a borrow")]
pub fn mint(key: &Key, alg: &str, header: Value, claims: Value) -> String {
    mint_raw(key, alg, header.to_string().as_bytes(), claims.to_string().as_bytes())
}

/// A token of exactly these bytes, JSON or not.
pub fn mint_raw(key: &Key, alg: &str, header: &[u8], payload: &[u8]) -> String {
    mint_in(&BASE64_URL_SAFE_NO_PAD, key, alg, header, payload)
}

/// The same with all parts padded, before it is signed.
pub fn mint_padded(key: &Key, alg: &str, header: &[u8], payload: &[u8]) -> String {
    mint_in(&BASE64_URL_SAFE, key, alg, header, payload)
}

fn mint_in(base64: &impl Engine, key: &Key, alg: &str, header: &[u8], payload: &[u8]) -> String {
    let input = format!("{}.{}", base64.encode(header), base64.encode(payload));
    let signature = base64.encode(key.sign(alg, input.as_bytes()));
    format!("{input}.{signature}")
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs()
}

/// One DER element (X.690).
pub(crate) fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut element = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short @ 0..0x80) => element.push(short),
        Ok(length) => element.extend([0x81, length]),
        Err(_) => {
            element.push(0x82);
            element.extend(u16::try_from(content.len()).expect("less than 64 kB").to_be_bytes());
        }
    }
    element.extend(content);
    element
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_carry_the_given_bytes_and_their_signature() {
        let key = Key::fixed("a");
        for (alg, padding) in [
            ("RS256", Pkcs1v15Sign::new::<Sha256>()),
            ("RS384", Pkcs1v15Sign::new::<Sha384>()),
            ("RS512", Pkcs1v15Sign::new::<Sha512>()),
        ] {
            let token = mint_raw(&key, alg, b"{ }", b"\xff");
            let (input, signature) = token.rsplit_once('.').unwrap();
            assert_eq!(input, "eyB9._w");
            let digest = match alg {
                "RS256" => Sha256::digest(input).to_vec(),
                "RS384" => Sha384::digest(input).to_vec(),
                _ => Sha512::digest(input).to_vec(),
            };
            key.rsa()
                .to_public_key()
                .verify(padding, &digest, &BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap())
                .unwrap();
        }
    }

    #[test]
    fn a_new_key_survives_its_pem() {
        let key = Key::generate();
        assert_eq!(Key::from_pkcs8_pem(&key.pkcs8_pem()).public_pem(), key.public_pem());
        assert_eq!(key.rsa().size(), 256);
        assert_eq!(Key::fixed("short").rsa().size(), 128);
    }

    #[test]
    fn a_certificate_holds_the_key_and_its_own_signature() {
        let key = Key::fixed("b");
        let (_, certificate) = Document::from_pem(&key.certificate_pem()).unwrap();
        let certificate = certificate.as_bytes();
        let spki = key.spki();
        assert!(certificate.windows(spki.len()).any(|window| window == spki));
        // SEQUENCE { tbsCertificate, algorithm (15 bytes), signature (5 bytes and 256) }
        let (content, rest) = certificate[4..].split_at(certificate.len() - 4 - 15 - 5 - 256);
        key.rsa()
            .to_public_key()
            .verify(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(content), &rest[15 + 5..])
            .unwrap();
    }
}
