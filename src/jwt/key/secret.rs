//! Secrets, with which whoever verifies could sign as well.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use rsa::sha2::{Sha256, Sha384, Sha512};

use super::{Algorithm, KeyFault};

/// A secret for HMAC (RFC 7518 section 3.2).
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// A secret of these bytes.
    #[must_use]
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes themselves, to be compared and never to be shown.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// RFC 7518 section 3.2: "A key of the same size as the hash output … or larger MUST be used".
    pub(super) fn check_length(&self, algorithms: &[Algorithm]) -> Result<(), KeyFault> {
        let least = |algorithm: &Algorithm| Some((*algorithm, algorithm.hash()?.size()));
        match algorithms.iter().filter_map(least).max_by_key(|(_, least)| *least) {
            Some((algorithm, least)) if self.0.len() < least => {
                Err(KeyFault::SecretTooShort { bytes: self.0.len(), algorithm, least })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Tells whether it made `signature`, in a time that does not depend on where that differs.
    #[must_use]
    pub fn made(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match algorithm {
            Algorithm::Hs256 => self.mac::<Hmac<Sha256>>(message, signature),
            Algorithm::Hs384 => self.mac::<Hmac<Sha384>>(message, signature),
            Algorithm::Hs512 => self.mac::<Hmac<Sha512>>(message, signature),
            Algorithm::EdDsa
            | Algorithm::Es256
            | Algorithm::Es384
            | Algorithm::Es512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512
            | Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512 => false,
        }
    }

    fn mac<M: Mac + KeyInit>(&self, message: &[u8], signature: &[u8]) -> bool {
        <M as KeyInit>::new_from_slice(&self.0)
            .is_ok_and(|mac| mac.chain_update(message).verify_slice(signature).is_ok())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}
