//! A token issuer, as careless as a test wants: it signs whatever it is given.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use rsa::pkcs1::EncodeRsaPublicKey;
use rsa::pkcs8::der::Document;
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, LineEnding};
use rsa::sha2::{Digest, Sha256, Sha384, Sha512};
use rsa::traits::PublicKeyParts;
use rsa::{Pkcs1v15Sign, RsaPrivateKey, RsaPublicKey};
use serde_json::{Value, json};

/// An RSA key pair.
#[derive(Clone, Debug)]
pub struct Key {
    private: RsaPrivateKey,
    public: RsaPublicKey,
}

impl Key {
    /// A new key of 2048 bits.
    pub fn generate() -> Self {
        Self::from(RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).expect("an RSA key"))
    }

    /// The test keys of `tests/rig/keys`: `a` and `b` have 2048 bits, `short` has 1024.
    pub fn fixed(name: &str) -> Self {
        Self::from_pkcs8_pem(match name {
            "a" => include_str!("../keys/a.pem"),
            "b" => include_str!("../keys/b.pem"),
            "short" => include_str!("../keys/short.pem"),
            _ => panic!("no test key is called {name}"),
        })
    }

    /// A private key in PKCS#8 PEM.
    pub fn from_pkcs8_pem(pem: &str) -> Self {
        Self::from(RsaPrivateKey::from_pkcs8_pem(pem).expect("a private key in PKCS#8 PEM"))
    }

    /// The private key in PKCS#8 PEM.
    pub fn pkcs8_pem(&self) -> String {
        self.private.to_pkcs8_pem(LineEnding::LF).expect("PEM").to_string()
    }

    /// `BEGIN PUBLIC KEY`: `SubjectPublicKeyInfo` (RFC 5280).
    pub fn public_pem(&self) -> String {
        self.public.to_public_key_pem(LineEnding::LF).expect("PEM")
    }

    /// `BEGIN RSA PUBLIC KEY`: PKCS#1.
    pub fn public_pkcs1_pem(&self) -> String {
        self.public.to_pkcs1_pem(LineEnding::LF).expect("PEM")
    }

    /// `SubjectPublicKeyInfo` in standard base64, on one line.
    pub fn public_der_base64(&self) -> String {
        BASE64_STANDARD.encode(self.spki())
    }

    /// The public key as a JWK for signatures.
    pub fn jwk(&self, kid: &str) -> Value {
        let [n, e] = [self.public.n(), self.public.e()]
            .map(|number| BASE64_URL_SAFE_NO_PAD.encode(number.to_bytes_be()));
        json!({"kty": "RSA", "use": "sig", "kid": kid, "n": n, "e": e})
    }

    /// `BEGIN CERTIFICATE`: the public key in a self-signed X.509 certificate, valid until 2049.
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
        let signature = der(0x03, &[&[0], &self.sign("RS256", &content)]);
        let certificate = der(0x30, &[&content, &algorithm, &signature]);
        Document::try_from(certificate)
            .and_then(|der| der.to_pem("CERTIFICATE", LineEnding::LF))
            .expect("PEM")
    }

    /// The signature of `RS256`, `RS384` or `RS512` (RFC 7518 section 3.3).
    pub fn sign(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        let (padding, digest) = match alg {
            "RS256" => (Pkcs1v15Sign::new::<Sha256>(), Sha256::digest(message).to_vec()),
            "RS384" => (Pkcs1v15Sign::new::<Sha384>(), Sha384::digest(message).to_vec()),
            "RS512" => (Pkcs1v15Sign::new::<Sha512>(), Sha512::digest(message).to_vec()),
            _ => panic!("this issuer cannot sign with {alg}"),
        };
        self.private.sign(padding, &digest).expect("a signature")
    }

    fn spki(&self) -> Vec<u8> {
        self.public.to_public_key_der().expect("DER").into_vec()
    }
}

impl From<RsaPrivateKey> for Key {
    fn from(private: RsaPrivateKey) -> Self {
        Self { public: private.to_public_key(), private }
    }
}

/// A token of exactly this header and these claims. Nothing is added, not even `alg` to the header.
#[expect(clippy::needless_pass_by_value, reason = "json!(…) reads better without a borrow")]
pub fn mint(key: &Key, alg: &str, header: Value, claims: Value) -> String {
    mint_raw(key, alg, header.to_string().as_bytes(), claims.to_string().as_bytes())
}

/// A token of exactly these bytes, JSON or not.
pub fn mint_raw(key: &Key, alg: &str, header: &[u8], payload: &[u8]) -> String {
    let input =
        format!("{}.{}", BASE64_URL_SAFE_NO_PAD.encode(header), BASE64_URL_SAFE_NO_PAD.encode(payload));
    let signature = BASE64_URL_SAFE_NO_PAD.encode(key.sign(alg, input.as_bytes()));
    format!("{input}.{signature}")
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs()
}

/// One DER element (X.690).
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
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
            key.public.verify(padding, &digest, &BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
        }
    }

    #[test]
    fn a_new_key_survives_its_pem() {
        let key = Key::generate();
        assert_eq!(Key::from_pkcs8_pem(&key.pkcs8_pem()).public_pem(), key.public_pem());
        assert_eq!(key.public.size(), 256);
        assert_eq!(Key::fixed("short").public.size(), 128);
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
        key.public.verify(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(content), &rest[15 + 5..]).unwrap();
    }
}
