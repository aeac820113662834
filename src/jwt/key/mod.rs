//! Keys: from PEM, DER and JWK to something that can verify, bound to what it may verify.

mod der;
mod ec;
mod ed25519;
mod rsa;
mod secret;

use std::fmt;

pub use ec::{Curve, EcKey};
pub use ed25519::Ed25519Key;
pub use rsa::RsaKey;
pub use secret::Secret;

use super::Algorithm;

/// What verifies signatures. Each type has algorithms of its own, so that no key can be taken for one of another type.
#[derive(Clone, Debug)]
pub enum Key {
    /// For ECDSA.
    Ec(EcKey),
    /// For Ed25519.
    Ed25519(Ed25519Key),
    /// For RSASSA-PKCS1-v1_5 and RSASSA-PSS.
    Rsa(RsaKey),
    /// For HMAC.
    Secret(Secret),
}

impl Key {
    /// Reads DER: a SubjectPublicKeyInfo (RFC 5280 section 4.1), an RSAPublicKey (RFC 8017 appendix A.1.1) or a
    /// certificate, of which only the key is taken: neither its dates nor its issuer are looked at.
    ///
    /// # Errors
    /// A private key, a key of another type, a weak key, or anything else.
    pub fn from_der(bytes: &[u8]) -> Result<Self, KeyFault> {
        der::public_key(bytes)
    }

    /// What a key of its type and curve can verify (RFC 7518 section 3.1: each curve has one algorithm).
    #[must_use]
    pub const fn algorithms(&self) -> &'static [Algorithm] {
        match self {
            Self::Ec(key) => key.curve().algorithms(),
            Self::Ed25519(_) => &[Algorithm::EdDsa],
            Self::Rsa(_) => {
                use Algorithm::{Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
                &[Rs256, Rs384, Rs512, Ps256, Ps384, Ps512]
            }
            Self::Secret(_) => &Algorithm::HS,
        }
    }

    /// The key as DER SubjectPublicKeyInfo; none for a secret.
    #[must_use]
    pub fn spki(&self) -> Option<&[u8]> {
        match self {
            Self::Ec(key) => Some(key.spki()),
            Self::Ed25519(key) => Some(key.spki()),
            Self::Rsa(key) => Some(key.spki()),
            Self::Secret(_) => None,
        }
    }

    /// What it is, for an operator.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Ec(key) => match key.curve() {
                Curve::P256 => "an EC key of the curve P-256",
                Curve::P384 => "an EC key of the curve P-384",
                Curve::P521 => "an EC key of the curve P-521",
            },
            Self::Ed25519(_) => "an Ed25519 key",
            Self::Rsa(_) => "an RSA key",
            Self::Secret(_) => "a secret",
        }
    }
}

/// A key with the `kid` and the algorithms that it is bound to.
#[derive(Clone, Debug)]
pub struct VerifyingKey {
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
    key: Key,
}

impl VerifyingKey {
    /// Binds a key to a `kid` (none: it fits any) and to the algorithms that it may be used with.
    ///
    /// # Errors
    /// No algorithm, one that a key of this type does not have, or one that needs a longer secret.
    pub fn new(kid: Option<String>, algorithms: Vec<Algorithm>, key: Key) -> Result<Self, KeyFault> {
        let fits = |algorithm: &Algorithm| key.algorithms().contains(algorithm);
        if algorithms.is_empty() || !algorithms.iter().all(fits) {
            return Err(KeyFault::Algorithm { kind: key.kind(), needs: key.algorithms() });
        }
        if let Key::Secret(secret) = &key {
            secret.check_length(&algorithms)?;
        }
        Ok(Self { kid, algorithms, key })
    }

    /// The `kid` of the key (RFC 7517 section 4.5).
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Tells whether the key is bound to `algorithm`.
    #[must_use]
    pub fn allows(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// The key itself.
    #[must_use]
    pub const fn key(&self) -> &Key {
        &self.key
    }
}

/// A big-endian number without its leading zeros.
fn trimmed(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// Why something is no key for verifying signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// None of the algorithms that it is to be used with is one of its type.
    Algorithm {
        /// What it is.
        kind: &'static str,
        /// What it could verify.
        needs: &'static [Algorithm],
    },
    /// An EC key of a curve that no algorithm uses.
    Curve,
    /// The exponent is even, below 65537 or above 2^33 - 1.
    Exponent,
    /// Neither a key nor a certificate.
    NoKey,
    /// No point of the curve, or one of small order.
    Point,
    /// A private key, which has no business in a proxy.
    Private,
    /// A secret that is shorter than the output of the hash (RFC 7518 section 3.2).
    SecretTooShort {
        /// Its size.
        bytes: usize,
        /// The algorithm that needs more.
        algorithm: Algorithm,
        /// What that needs.
        least: usize,
    },
    /// More than 8192 bits.
    TooLong {
        /// Size of the modulus.
        bits: usize,
    },
    /// Fewer than 2048 bits (RFC 7518 section 3.3).
    TooShort {
        /// Size of the modulus.
        bits: usize,
    },
    /// A key of a type that verifies nothing here.
    Type,
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Algorithm { kind, needs } => {
                write!(f, "this is {kind}, which verifies {} and nothing else", Algorithm::listed(needs))
            }
            Self::Curve => f.write_str("the curve of this key is none of P-256, P-384 and P-521"),
            Self::Exponent => f.write_str("the RSA exponent must be odd, at least 65537 and below 2^33"),
            Self::NoKey => f.write_str("this is no public key; write SPKI, PKCS#1 or a certificate"),
            Self::Point => f.write_str("this key is no uncompressed point of its curve, or a weak one"),
            Self::Private => {
                f.write_str("this is a private key; write the public one (openssl pkey -in key.pem -pubout)")
            }
            Self::SecretTooShort { bytes, algorithm, least } => write!(
                f,
                "a secret of {bytes} bytes is too short for {}; at least {least}, or an `alg` beside it that needs less",
                algorithm.name()
            ),
            Self::TooLong { bits } => {
                write!(f, "an RSA key of {bits} bits is too long; at most {}", rsa::MAX_BITS)
            }
            Self::TooShort { bits } => {
                write!(f, "an RSA key of {bits} bits is too short; at least {}", rsa::MIN_BITS)
            }
            Self::Type => f.write_str("this key is of none of the types RSA, EC and Ed25519"),
        }
    }
}
