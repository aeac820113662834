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

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231 section 4.3, whose key is too short for a JWS.
    #[test]
    fn the_known_answer_and_nothing_else() {
        let secret = Secret::new(b"Jefe".to_vec());
        let message = b"what do ya want for nothing?";
        let good = [
            0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a, 0x04, 0x24, 0x26, 0x08, 0x95, 0x75, 0xc7,
            0x5a, 0x00, 0x3f, 0x08, 0x9d, 0x27, 0x39, 0x83, 0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43,
        ];
        assert!(secret.made(Algorithm::Hs256, message, &good));
        for (name, algorithm) in Algorithm::NAMES.into_iter().filter(|(name, _)| *name != "HS256") {
            assert!(!secret.made(algorithm, message, &good), "{name}");
        }
        for length in 0..good.len() {
            assert!(!secret.made(Algorithm::Hs256, message, &good[..length]), "{length}");
        }
        assert_eq!(
            secret.check_length(&[Algorithm::Hs256]).unwrap_err().to_string(),
            "a secret of 4 bytes is too short for HS256; at least 32, or an `alg` beside it that needs less"
        );
    }

    #[test]
    fn it_is_not_shown() {
        assert_eq!(format!("{:?}", Secret::new(b"hunter2".to_vec())), "Secret(7 bytes)");
    }
}
