//! Ed25519 (RFC 8032).

use ed25519_dalek::{Signature, VerifyingKey};

use super::{Algorithm, KeyFault};

/// Of SubjectPublicKeyInfo (RFC 8410 section 4), what stands before the key.
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// An Ed25519 public key.
#[derive(Clone, Debug)]
pub struct Ed25519Key {
    point: VerifyingKey,
    spki: Vec<u8>,
}

impl Ed25519Key {
    /// Reads the 32 bytes of a key (RFC 8032 section 5.1.5).
    ///
    /// # Errors
    /// Another length, no point of the curve, one in another than its only encoding, or a point of small order, for which
    /// anybody could sign.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyFault> {
        let array = <&[u8; 32]>::try_from(bytes).map_err(|_| KeyFault::Point)?;
        if !is_canonical(array) {
            return Err(KeyFault::Point);
        }
        let point = VerifyingKey::from_bytes(array).map_err(|_| KeyFault::Point)?;
        if point.is_weak() {
            return Err(KeyFault::Point);
        }
        Ok(Self { point, spki: [&SPKI, bytes].concat() })
    }

    /// The key as DER SubjectPublicKeyInfo.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The 32 bytes of the key.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        self.point.as_bytes()
    }

    /// Tells whether the key made `signature`, which must be canonical (RFC 8032 section 5.1.7).
    #[must_use]
    pub fn made(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        algorithm == Algorithm::EdDsa
            && Signature::from_slice(signature)
                .is_ok_and(|signature| self.point.verify_strict(message, &signature).is_ok())
    }
}

/// Whether `y` is below p = 2^255 - 19, as it must be (RFC 8032 section 5.1.3). The crate would take it modulo p, and others read
/// another key. Of the points with `x` zero, whose sign could be wrong, all are of small order.
fn is_canonical(bytes: &[u8; 32]) -> bool {
    let [first, middle @ .., last] = bytes;
    *first < 0xed || last & 0x7f != 0x7f || middle.iter().any(|byte| *byte != 0xff)
}
