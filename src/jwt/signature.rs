//! The signature port: who checks a signature, the host or the crate `rsa`.

use std::iter;

use crypto_bigint::BoxedUint;
use crypto_bigint::modular::BoxedMontyForm;
use rsa::sha2::{Digest, Sha256, Sha384, Sha512};
use rsa::traits::PublicKeyParts;
use rsa::{Pkcs1v15Sign, PublicKey};

use super::RsaKey;

/// SHA-256 (FIPS 180-4).
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// A JWS signature algorithm (RFC 7518 section 3.3): RSASSA-PKCS1-v1_5 with a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// With SHA-256.
    Rs256,
    /// With SHA-384.
    Rs384,
    /// With SHA-512.
    Rs512,
}

impl Algorithm {
    /// Every algorithm there is, in the order of their names.
    pub const ALL: [Self; 3] = [Self::Rs256, Self::Rs384, Self::Rs512];

    /// The value of `alg` in a header or a JWK.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
        }
    }

    /// Finds the algorithm of that name; names are case-sensitive (RFC 7515 section 4.1.1).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// Checks signatures. A `true` means that `key` made `signature` over `message`; anything else is `false`.
pub trait Signatures {
    /// Verifies one signature (RFC 8017 section 8.2.2).
    fn verify(&self, key: &RsaKey, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool;
}

impl<S: Signatures + ?Sized> Signatures for &S {
    fn verify(&self, key: &RsaKey, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        (**self).verify(key, algorithm, message, signature)
    }
}

/// The crate `rsa`: for hosts that verify nothing themselves, and for native tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct RustCrypto;

impl Signatures for RustCrypto {
    fn verify(&self, key: &RsaKey, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let (scheme, hash) = match algorithm {
            Algorithm::Rs256 => (Pkcs1v15Sign::new::<Sha256>(), Sha256::digest(message).to_vec()),
            Algorithm::Rs384 => (Pkcs1v15Sign::new::<Sha384>(), Sha384::digest(message).to_vec()),
            Algorithm::Rs512 => (Pkcs1v15Sign::new::<Sha512>(), Sha512::digest(message).to_vec()),
        };
        let rsa = key.rsa();
        if signature.len() != rsa.size() {
            return false;
        }
        let encoded = encode(&scheme.prefix, &hash, rsa.size());
        let precision = rsa.n_bits_precision();
        match [signature, &encoded].map(|number| BoxedUint::from_be_slice(number, precision)) {
            [Ok(signature), Ok(encoded)] => signature < *rsa.n().as_ref() && power(signature, rsa) == encoded,
            _ => false,
        }
    }
}

/// EMSA-PKCS1-v1_5 (RFC 8017 section 9.2) in `length` bytes.
fn encode(prefix: &[u8], hash: &[u8], length: usize) -> Vec<u8> {
    let padding = length.saturating_sub(3).saturating_sub(prefix.len()).saturating_sub(hash.len());
    let mut encoded = vec![0, 1];
    encoded.extend(iter::repeat_n(0xff, padding));
    encoded.push(0);
    encoded.extend_from_slice(prefix);
    encoded.extend_from_slice(hash);
    encoded
}

/// `base` to the public exponent. The crate's own way to it hides the exponent, which is no secret here, at more than
/// twice the cost.
fn power(base: BoxedUint, key: &PublicKey) -> BoxedUint {
    let exponent = key.e();
    let base = BoxedMontyForm::new(base, key.n_params());
    let mut power = base.clone();
    for bit in (0..exponent.bit_width_vartime().saturating_sub(1)).rev() {
        power = power.square();
        if exponent.bit_vartime(bit) {
            power = power.mul(&base);
        }
    }
    power.retrieve()
}

/// Asks `signatures` what is known beforehand: a good signature, a bad one and the wrong hash, for each
/// algorithm. Only who answers all of them rightly is trusted with a token.
#[must_use]
pub fn passes_self_test(signatures: &impl Signatures) -> bool {
    let Ok(key) = RsaKey::from_der(known::PUBLIC_KEY) else { return false };
    Algorithm::ALL.into_iter().all(|algorithm| {
        let good = known::signature(algorithm);
        let mut bad = good.to_vec();
        if let Some(byte) = bad.last_mut() {
            *byte ^= 1;
        }
        signatures.verify(&key, algorithm, known::MESSAGE, good)
            && !signatures.verify(&key, algorithm, known::MESSAGE, &bad)
            && !signatures.verify(&key, algorithm, b"another message", good)
            && !signatures.verify(&key, algorithm, known::MESSAGE, &[])
            && Algorithm::ALL
                .into_iter()
                .filter(|other| *other != algorithm)
                .all(|other| !signatures.verify(&key, other, known::MESSAGE, good))
    })
}

/// Known answers, made with `openssl dgst -sign` and a 2048-bit key that was thrown away.
mod known {
    use super::Algorithm;

    pub(super) const MESSAGE: &[u8] = b"jwtproxy-wasm self-test";
    pub(super) const PUBLIC_KEY: &[u8] = include_bytes!("self_test/public_key.der");

    pub(super) const fn signature(algorithm: Algorithm) -> &'static [u8] {
        match algorithm {
            Algorithm::Rs256 => include_bytes!("self_test/rs256.sig"),
            Algorithm::Rs384 => include_bytes!("self_test/rs384.sig"),
            Algorithm::Rs512 => include_bytes!("self_test/rs512.sig"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host that answers by a rule of its own.
    struct Answers<F>(F);

    impl<F: Fn(Algorithm, &[u8]) -> bool> Signatures for Answers<F> {
        fn verify(&self, key: &RsaKey, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
            (self.0)(algorithm, signature) || RustCrypto.verify(key, algorithm, message, signature)
        }
    }

    struct Never;
    impl Signatures for Never {
        fn verify(&self, _: &RsaKey, _: Algorithm, _: &[u8], _: &[u8]) -> bool {
            false
        }
    }

    #[test]
    fn the_crate_passes() {
        assert!(passes_self_test(&RustCrypto));
    }

    /// The power is computed here, so the crate's own way to it must come to the same.
    #[test]
    fn the_crate_itself_agrees() {
        let key = RsaKey::from_der(known::PUBLIC_KEY).unwrap();
        let modulus = key.rsa().n_bytes().to_vec();
        for algorithm in Algorithm::ALL {
            let good = known::signature(algorithm).to_vec();
            let mut signatures = vec![
                good.clone(),
                Vec::new(),
                vec![0; 256],
                vec![0xff; 256],
                [&[0], good.as_slice()].concat(),
                good[1..].to_vec(),
                modulus.clone(),
                [&modulus[..255], &[modulus[255] ^ 2]].concat(),
                [[0; 255].as_slice(), &[1]].concat(),
            ];
            signatures.extend((0..256).map(|at| {
                let mut bad = good.clone();
                bad[at] ^= 1 << (at % 8);
                bad
            }));
            for signature in signatures {
                let (scheme, hash) = match algorithm {
                    Algorithm::Rs256 => {
                        (Pkcs1v15Sign::new::<Sha256>(), Sha256::digest(known::MESSAGE).to_vec())
                    }
                    Algorithm::Rs384 => {
                        (Pkcs1v15Sign::new::<Sha384>(), Sha384::digest(known::MESSAGE).to_vec())
                    }
                    Algorithm::Rs512 => {
                        (Pkcs1v15Sign::new::<Sha512>(), Sha512::digest(known::MESSAGE).to_vec())
                    }
                };
                let theirs = key.rsa().verify(scheme, &hash, &signature).is_ok();
                let ours = RustCrypto.verify(&key, algorithm, known::MESSAGE, &signature);
                assert_eq!(ours, theirs, "{algorithm:?} {signature:02x?}");
                assert_eq!(ours, signature == good);
            }
        }
    }

    #[test]
    fn a_host_that_says_yes_too_often_or_never_fails() {
        assert!(!passes_self_test(&Answers(|_, _: &[u8]| true)));
        assert!(!passes_self_test(&Answers(|_, signature: &[u8]| signature.is_empty())));
        assert!(!passes_self_test(&Answers(|algorithm, signature: &[u8]| {
            algorithm == Algorithm::Rs512 && signature.len() == 256
        })));
        assert!(!passes_self_test(&Never));
    }
}
