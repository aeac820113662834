//! Envoy's foreign function `verify_signature` where it proves itself, else crates.

use std::borrow::Cow;
use std::fmt;

use proxy_wasm::hostcalls;

use crate::jwt::self_test::{is_asked, passes_self_test};
use crate::jwt::{Algorithm, Curve, Hash, Key, RustCrypto, Signatures};

/// Who verifies which signatures in this worker.
pub(super) struct HostOrCrates {
    host: Vec<Algorithm>,
    crates: Vec<Algorithm>,
}

impl HostOrCrates {
    /// Takes the host for those of the algorithms for which it knows a good signature from bad ones.
    pub(super) fn choose(algorithms: Vec<Algorithm>) -> Self {
        let (host, crates) =
            algorithms.into_iter().partition(|algorithm| passes_self_test(&Host, *algorithm));
        Self { host, crates }
    }

    /// Whether the host does all that it could.
    pub(super) fn is_host(&self) -> bool {
        !self.host.is_empty() && self.failed().is_empty()
    }

    /// What the host should verify and does not.
    fn failed(&self) -> Vec<Algorithm> {
        self.crates.iter().copied().filter(|algorithm| is_asked(*algorithm)).collect()
    }
}

impl Signatures for HostOrCrates {
    fn verify(&self, key: &Key, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if self.host.contains(&algorithm) {
            Host.verify(key, algorithm, message, signature)
        } else {
            RustCrypto.verify(key, algorithm, message, signature)
        }
    }

    /// Some 0.4 ms each: what a request may spend is about 3 ms.
    fn cost(&self, key: &Key, algorithm: Algorithm) -> u8 {
        let by_host = self.host.contains(&algorithm);
        let is_pss = matches!(algorithm, Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512);
        match key {
            Key::Secret(_) => 1,
            Key::Ed25519(_) => 2,
            Key::Ec(key) => match (by_host, key.curve()) {
                (true, Curve::P256) => 1,
                (true, Curve::P384) => 3,
                (true, Curve::P521) | (false, _) => u8::MAX,
            },
            // By the size of their modulus, in bytes; Envoy is quick with all but the largest.
            Key::Rsa(key) => match (by_host, is_pss, key.size()) {
                (true, _, ..=512) | (false, false, ..=256) => 1,
                (true, _, _) | (false, true, ..=256) | (false, false, ..=512) => 2,
                (false, true, ..=512) => 4,
                (false, _, _) => u8::MAX,
            },
        }
    }
}

impl fmt::Display for HostOrCrates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |algorithms: &[Algorithm]| {
            algorithms.iter().map(|algorithm| algorithm.name()).collect::<Vec<_>>().join(", ")
        };
        if !self.host.is_empty() {
            write!(f, "the host ({})", names(&self.host))?;
        }
        if !self.crates.is_empty() {
            let and = if self.host.is_empty() { "" } else { " and by " };
            write!(f, "{and}crates ({})", names(&self.crates))?;
        }
        match self.failed().as_slice() {
            [] => Ok(()),
            failed => write!(f, ", since the host does not verify {}, or not rightly", names(failed)),
        }
    }
}

struct Host;

impl Signatures for Host {
    /// Calls with a `VerifySignatureArguments`: `hash_function = 1`, `public_key = 2` (SubjectPublicKeyInfo),
    /// `signature = 3`, `text = 4`. The answer is a `VerifySignatureResult`: `result = 1`, `error = 2`.
    fn verify(&self, key: &Key, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        /// `result: true` and nothing else.
        const VERIFIED: &[u8] = &[0x08, 0x01];

        let (Some(hash), Some(spki)) = (algorithm.hash(), key.spki()) else { return false };
        let hash: &[u8] = match hash {
            Hash::Sha256 => b"sha256",
            Hash::Sha384 => b"sha384",
            Hash::Sha512 => b"sha512",
        };
        let signature = match key {
            Key::Ec(key) => key.signature_der(signature).map(Cow::Owned),
            Key::Ed25519(_) | Key::Rsa(_) | Key::Secret(_) => Some(Cow::Borrowed(signature)),
        };
        let Some(signature) = signature else { return false };
        // A key, a signature and a token of the usual sizes.
        let mut arguments = Vec::with_capacity(2048);
        for (tag, value) in [(0x0a, hash), (0x12, spki), (0x1a, &*signature), (0x22, message)] {
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
