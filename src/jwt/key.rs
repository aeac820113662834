//! Public keys: from PEM and DER to a key that can verify.

use std::fmt;

use rsa::pkcs8::der::asn1::{AnyRef, BitStringRef, UintRef};
use rsa::pkcs8::der::{Decode, Reader, SliceReader, Tag, Tagged};
use rsa::pkcs8::{EncodePublicKey, ObjectIdentifier};
use rsa::traits::PublicKeyParts;
use rsa::{BoxedUint, PublicKey};

use super::Algorithm;

/// RFC 7518 section 3.3: "A key of size 2048 bits or larger MUST be used with these algorithms."
const MIN_BITS: usize = 2048;
/// What BoringSSL verifies at the most, and a bound on the cost of one check.
const MAX_BITS: usize = 8192;
/// FIPS 186-5 section 5.4: the exponent is odd and larger than 2^16.
const MIN_EXPONENT: u64 = 65_537;

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// An RSA public key of 2048 to 8192 bits with an odd exponent of at least 65537.
#[derive(Clone, PartialEq, Eq)]
pub struct RsaKey {
    rsa: PublicKey,
    spki: Vec<u8>,
}

impl RsaKey {
    /// Reads DER: a SubjectPublicKeyInfo (RFC 5280 section 4.1), an RSAPublicKey (RFC 8017 appendix A.1.1) or a
    /// certificate, of which only the key is taken: neither its dates nor its issuer are looked at.
    ///
    /// # Errors
    /// A private key, a key of another type, a weak key, or anything else.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyFault> {
        let members = sequence(der).ok_or(KeyFault::NoKey)?;
        match members.as_slice() {
            [n, e] if n.tag() == Tag::Integer && e.tag() == Tag::Integer => Self::from_pkcs1(n, e),
            // A private key of any kind starts with its version.
            [version, ..] if version.tag() == Tag::Integer => Err(KeyFault::Private),
            [algorithm, key] if key.tag() == Tag::BitString => Self::from_spki(algorithm, key),
            // A certificate: tbsCertificate, signatureAlgorithm, signature.
            [tbs, _, signature] if signature.tag() == Tag::BitString => {
                let tbs = members_of(tbs).ok_or(KeyFault::NoKey)?;
                let versioned = tbs.first().is_some_and(|first| first.tag().is_context_specific());
                // serialNumber, signature, issuer, validity and subject come before the key.
                let key = tbs.get(if versioned { 6 } else { 5 }).and_then(members_of);
                match key.as_deref() {
                    Some([algorithm, key]) => Self::from_spki(algorithm, key),
                    Some(_) | None => Err(KeyFault::NoKey),
                }
            }
            _ => Err(KeyFault::NoKey),
        }
    }

    fn from_spki(algorithm: &AnyRef<'_>, key: &AnyRef<'_>) -> Result<Self, KeyFault> {
        let algorithm = members_of(algorithm).ok_or(KeyFault::NoKey)?;
        let oid = algorithm.first().and_then(|oid| oid.decode_as::<ObjectIdentifier>().ok());
        if oid.ok_or(KeyFault::NoKey)? != RSA_ENCRYPTION {
            return Err(KeyFault::NotRsa);
        }
        let bits = key.decode_as::<BitStringRef<'_>>().map_err(|_| KeyFault::NoKey)?;
        match bits.as_bytes().and_then(sequence).as_deref() {
            Some([n, e]) => Self::from_pkcs1(n, e),
            Some(_) | None => Err(KeyFault::NoKey),
        }
    }

    fn from_pkcs1(n: &AnyRef<'_>, e: &AnyRef<'_>) -> Result<Self, KeyFault> {
        match (n.decode_as::<UintRef<'_>>(), e.decode_as::<UintRef<'_>>()) {
            (Ok(n), Ok(e)) => Self::from_components(n.as_bytes(), e.as_bytes()),
            _ => Err(KeyFault::NoKey),
        }
    }

    /// Builds a key from its modulus and exponent, unsigned and big-endian.
    ///
    /// # Errors
    /// A weak or impossible key.
    pub fn from_components(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyFault> {
        let modulus = trimmed(modulus);
        let bits = bits(modulus);
        if bits < MIN_BITS {
            return Err(KeyFault::TooShort { bits });
        }
        if bits > MAX_BITS {
            return Err(KeyFault::TooLong { bits });
        }
        let exponent = exponent_of(exponent).ok_or(KeyFault::Exponent)?;
        if exponent < MIN_EXPONENT || exponent.is_multiple_of(2) {
            return Err(KeyFault::Exponent);
        }
        if modulus.last().is_none_or(|byte| byte.is_multiple_of(2)) {
            return Err(KeyFault::NoKey);
        }
        let modulus = BoxedUint::from_be_slice_vartime(modulus);
        // The crate also bounds the exponent from above (2^33 - 1, as BoringSSL does).
        let rsa = PublicKey::new_with_size_limits(modulus, exponent.into(), MIN_BITS..=MAX_BITS)
            .map_err(|_| KeyFault::Exponent)?;
        let spki = rsa.to_public_key_der().map_err(|_| KeyFault::NoKey)?.into_vec();
        Ok(Self { rsa, spki })
    }

    /// The key as DER SubjectPublicKeyInfo.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The size of the modulus in bits.
    #[must_use]
    pub fn bits(&self) -> usize {
        bits(&self.rsa.n_bytes())
    }

    pub(super) const fn rsa(&self) -> &PublicKey {
        &self.rsa
    }
}

impl fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RsaKey({} bits)", self.bits())
    }
}

/// A big-endian number without its leading zeros.
fn trimmed(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// The size in bits of a number without leading zeros.
fn bits(number: &[u8]) -> usize {
    let unused = number.first().map_or(0, |byte| byte.leading_zeros());
    number.len().saturating_mul(8).saturating_sub(usize::try_from(unused).unwrap_or_default())
}

fn exponent_of(number: &[u8]) -> Option<u64> {
    let number = trimmed(number);
    (number.len() <= size_of::<u64>())
        .then(|| number.iter().fold(0, |exponent, byte| exponent << 8 | u64::from(*byte)))
}

/// The members of a DER SEQUENCE that fills `der` to the end.
fn sequence(der: &[u8]) -> Option<Vec<AnyRef<'_>>> {
    members_of(&AnyRef::from_der(der).ok()?)
}

fn members_of<'a>(sequence: &AnyRef<'a>) -> Option<Vec<AnyRef<'a>>> {
    if sequence.tag() != Tag::Sequence {
        return None;
    }
    let mut reader = SliceReader::new(sequence.value()).ok()?;
    let mut members = Vec::new();
    while !reader.is_finished() {
        members.push(AnyRef::decode(&mut reader).ok()?);
    }
    Some(members)
}

/// A key with the `kid` and the algorithms that it is bound to.
#[derive(Clone, Debug)]
pub struct VerifyingKey {
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
    rsa: RsaKey,
}

impl VerifyingKey {
    /// Binds a key to a `kid` (none: it fits any) and to the algorithms that it may be used with.
    #[must_use]
    pub const fn new(kid: Option<String>, algorithms: Vec<Algorithm>, rsa: RsaKey) -> Self {
        Self { kid, algorithms, rsa }
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
    pub const fn rsa(&self) -> &RsaKey {
        &self.rsa
    }
}

/// Why something is no key for verifying RSA signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// The exponent is even, below 65537 or above 2^33 - 1.
    Exponent,
    /// Neither a key nor a certificate.
    NoKey,
    /// A key of another type.
    NotRsa,
    /// A private key, which has no business in a proxy.
    Private,
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
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exponent => f.write_str("the RSA exponent must be odd, at least 65537 and below 2^33"),
            Self::NoKey => f.write_str("this is no RSA public key; write SPKI, PKCS#1 or a certificate"),
            Self::NotRsa => {
                f.write_str("this key is not of type RSA, which the algorithms RS256, RS384 and RS512 need")
            }
            Self::Private => {
                f.write_str("this is a private key; write the public one (openssl pkey -in key.pem -pubout)")
            }
            Self::TooLong { bits } => write!(f, "an RSA key of {bits} bits is too long; at most {MAX_BITS}"),
            Self::TooShort { bits } => {
                write!(f, "an RSA key of {bits} bits is too short; at least {MIN_BITS}")
            }
        }
    }
}
