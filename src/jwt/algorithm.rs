//! The algorithms of signatures.

use rsa::sha2::{Digest, Sha256, Sha384, Sha512};

/// A JWS signature algorithm (RFC 7518 section 3.1, RFC 8037 section 3.1, RFC 9864 section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519, whose names are `EdDSA` and `Ed25519`.
    EdDsa,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// ECDSA with P-384 and SHA-384.
    Es384,
    /// ECDSA with P-521 and SHA-512.
    Es512,
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
}

/// A hash function (FIPS 180-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// HMAC, with a secret.
    pub const HS: [Self; 3] = [Self::Hs256, Self::Hs384, Self::Hs512];
    /// RSASSA-PKCS1-v1_5, with an RSA key.
    pub const RS: [Self; 3] = [Self::Rs256, Self::Rs384, Self::Rs512];

    /// Every name of every algorithm, the usual ones first.
    pub const NAMES: [(&str, Self); 14] = [
        ("RS256", Self::Rs256),
        ("RS384", Self::Rs384),
        ("RS512", Self::Rs512),
        ("PS256", Self::Ps256),
        ("PS384", Self::Ps384),
        ("PS512", Self::Ps512),
        ("ES256", Self::Es256),
        ("ES384", Self::Es384),
        ("ES512", Self::Es512),
        ("EdDSA", Self::EdDsa),
        ("Ed25519", Self::EdDsa),
        ("HS256", Self::Hs256),
        ("HS384", Self::Hs384),
        ("HS512", Self::Hs512),
    ];

    /// The value of `alg` in a header or a JWK; of two the older one.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
        }
    }

    /// Finds the algorithm of that name; names are case-sensitive (RFC 7515 section 4.1.1).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(own, _)| *own == name).map(|(_, algorithm)| algorithm)
    }

    /// The type of the keys that it takes, as a JWK names it (`kty`, RFC 7517 section 4.1).
    #[must_use]
    pub const fn key_type(self) -> &'static str {
        match self {
            Self::EdDsa => "OKP",
            Self::Es256 | Self::Es384 | Self::Es512 => "EC",
            Self::Hs256 | Self::Hs384 | Self::Hs512 => "oct",
            Self::Ps256 | Self::Ps384 | Self::Ps512 | Self::Rs256 | Self::Rs384 | Self::Rs512 => "RSA",
        }
    }

    /// The hash of the message that is signed. Ed25519 has its own way.
    #[must_use]
    pub const fn hash(self) -> Option<Hash> {
        match self {
            Self::EdDsa => None,
            Self::Es256 | Self::Hs256 | Self::Ps256 | Self::Rs256 => Some(Hash::Sha256),
            Self::Es384 | Self::Hs384 | Self::Ps384 | Self::Rs384 => Some(Hash::Sha384),
            Self::Es512 | Self::Hs512 | Self::Ps512 | Self::Rs512 => Some(Hash::Sha512),
        }
    }

    /// Their names in a sentence: `RS256, RS384 or RS512`.
    #[must_use]
    pub fn listed(algorithms: &[Self]) -> String {
        let names: Vec<_> = algorithms.iter().map(|algorithm| algorithm.name()).collect();
        match names.split_last() {
            Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
            Some(_) | None => names.concat(),
        }
    }
}

impl Hash {
    /// The hash of a message.
    #[must_use]
    pub fn of(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(message).to_vec(),
            Self::Sha384 => Sha384::digest(message).to_vec(),
            Self::Sha512 => Sha512::digest(message).to_vec(),
        }
    }

    /// Its size in bytes.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// SHA-256 (FIPS 180-4).
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
