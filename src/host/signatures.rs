//! Envoy's foreign function `verify_signature`, if it proves itself, else the crate `rsa`.

use std::fmt;

use proxy_wasm::hostcalls;

use crate::jwt::signature::passes_self_test;
use crate::jwt::{Algorithm, RsaKey, RustCrypto, Signatures};

/// Who verifies signatures in this worker.
pub(super) enum HostOrCrate {
    Crate,
    Host,
}

impl HostOrCrate {
    /// Takes the host if it knows a good signature from bad ones.
    pub(super) fn choose() -> Self {
        if passes_self_test(&Host) { Self::Host } else { Self::Crate }
    }

    pub(super) const fn is_host(&self) -> bool {
        matches!(self, Self::Host)
    }
}

impl Signatures for HostOrCrate {
    fn verify(&self, key: &RsaKey, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Crate => RustCrypto.verify(key, algorithm, message, signature),
            Self::Host => Host.verify(key, algorithm, message, signature),
        }
    }
}

impl fmt::Display for HostOrCrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crate => "the crate rsa, since the host does not verify them, or not rightly",
            Self::Host => "the host",
        })
    }
}

struct Host;

impl Signatures for Host {
    /// Calls with a `VerifySignatureArguments`: `hash_function = 1`, `public_key = 2` (SubjectPublicKeyInfo),
    /// `signature = 3`, `text = 4`. The answer is a `VerifySignatureResult`: `result = 1`, `error = 2`.
    fn verify(&self, key: &RsaKey, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        /// `result: true` and nothing else.
        const VERIFIED: &[u8] = &[0x08, 0x01];

        let hash: &[u8] = match algorithm {
            Algorithm::Rs256 => b"sha256",
            Algorithm::Rs384 => b"sha384",
            Algorithm::Rs512 => b"sha512",
        };
        // A key, a signature and a token of the usual sizes.
        let mut arguments = Vec::with_capacity(2048);
        for (tag, value) in [(0x0a, hash), (0x12, key.spki()), (0x1a, signature), (0x22, message)] {
            arguments.push(tag);
            push_varint(&mut arguments, value.len());
            arguments.extend_from_slice(value);
        }
        let answer = hostcalls::call_foreign_function("verify_signature", Some(&arguments));
        answer.is_ok_and(|answer| answer.as_deref() == Some(VERIFIED))
    }
}

/// A length in base 128, the least significant group first.
fn push_varint(bytes: &mut Vec<u8>, mut length: usize) {
    loop {
        let group = u8::try_from(length & 0x7f).unwrap_or_default();
        length >>= 7;
        if length == 0 {
            return bytes.push(group);
        }
        bytes.push(group | 0x80);
    }
}
