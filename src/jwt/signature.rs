//! The signature port: who checks a signature, the host or a crate.

use super::{Algorithm, Key};

/// Checks signatures. A `true` means that `key` made `signature` over `message`; anything else is `false`.
pub trait Signatures {
    /// Verifies one signature in the form of a JWS (RFC 7518 section 3).
    fn verify(&self, key: &Key, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool;

    /// What one check takes of the [budget](super::Budget) of a request.
    fn cost(&self, _: &Key, _: Algorithm) -> u8 {
        1
    }
}

impl<S: Signatures + ?Sized> Signatures for &S {
    fn verify(&self, key: &Key, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        (**self).verify(key, algorithm, message, signature)
    }

    fn cost(&self, key: &Key, algorithm: Algorithm) -> u8 {
        (**self).cost(key, algorithm)
    }
}

/// The crates of `RustCrypto` and dalek: for what the host does not verify itself, and for native tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct RustCrypto;

impl Signatures for RustCrypto {
    fn verify(&self, key: &Key, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match key {
            Key::Ec(key) => key.made(algorithm, message, signature),
            Key::Ed25519(key) => key.made(algorithm, message, signature),
            Key::Rsa(key) => key.made(algorithm, message, signature),
            Key::Secret(secret) => secret.made(algorithm, message, signature),
        }
    }
}
