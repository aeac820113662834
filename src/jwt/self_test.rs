//! Whether a host that offers to verify signatures knows a good one from bad ones.

use super::{Algorithm, Key, Signatures};

/// What the known answers sign.
pub(super) const MESSAGE: &[u8] = b"jwtproxy-wasm self-test";

/// Known answers for one algorithm, made with `openssl dgst -sign` and keys that were thrown away.
pub(super) struct Known {
    /// SubjectPublicKeyInfo.
    pub(super) key: &'static [u8],
    /// A good signature.
    pub(super) good: &'static [u8],
    /// Signatures of the same key and message that are good with another hash.
    pub(super) other_hash: &'static [&'static [u8]],
}

/// The known answers; none for what no host is asked.
pub(super) const fn known(algorithm: Algorithm) -> Option<Known> {
    const RS: [&[u8]; 3] = [
        include_bytes!("self_test/rs256.sig"),
        include_bytes!("self_test/rs384.sig"),
        include_bytes!("self_test/rs512.sig"),
    ];
    let [rs256, rs384, rs512] = RS;
    let rsa = include_bytes!("self_test/public_key.der");
    Some(match algorithm {
        Algorithm::Rs256 => Known { key: rsa, good: rs256, other_hash: &[RS[1], RS[2]] },
        Algorithm::Rs384 => Known { key: rsa, good: rs384, other_hash: &[RS[0], RS[2]] },
        Algorithm::Rs512 => Known { key: rsa, good: rs512, other_hash: &[RS[0], RS[1]] },
        Algorithm::Es256 => Known {
            key: include_bytes!("self_test/es256_public_key.der"),
            good: include_bytes!("self_test/es256.sig"),
            other_hash: &[include_bytes!("self_test/es256_other_hash.sig")],
        },
        Algorithm::Es384 => Known {
            key: include_bytes!("self_test/es384_public_key.der"),
            good: include_bytes!("self_test/es384.sig"),
            other_hash: &[include_bytes!("self_test/es384_other_hash.sig")],
        },
        Algorithm::Es512 => Known {
            key: include_bytes!("self_test/es512_public_key.der"),
            good: include_bytes!("self_test/es512.sig"),
            other_hash: &[include_bytes!("self_test/es512_other_hash.sig")],
        },
        Algorithm::EdDsa
        | Algorithm::Hs256
        | Algorithm::Hs384
        | Algorithm::Hs512
        | Algorithm::Ps256
        | Algorithm::Ps384
        | Algorithm::Ps512 => return None,
    })
}

/// Whether a host is asked for signatures of that algorithm.
#[must_use]
pub const fn is_asked(algorithm: Algorithm) -> bool {
    known(algorithm).is_some()
}

/// Asks `signatures` what is known beforehand: a good signature, bad ones, the wrong message and the wrong hash. Only
/// who answers all of them rightly is trusted with a token of that algorithm.
#[must_use]
pub fn passes_self_test(signatures: &impl Signatures, algorithm: Algorithm) -> bool {
    let Some(known) = known(algorithm) else { return false };
    let Ok(key) = Key::from_der(known.key) else { return false };
    let verify = |message: &[u8], signature: &[u8]| signatures.verify(&key, algorithm, message, signature);
    let mut bad = known.good.to_vec();
    if let Some(byte) = bad.last_mut() {
        *byte ^= 1;
    }
    verify(MESSAGE, known.good)
        && !verify(MESSAGE, &bad)
        && !verify(b"another message", known.good)
        && !verify(MESSAGE, &[])
        && !known.other_hash.iter().any(|signature| verify(MESSAGE, signature))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::RustCrypto;

    const ASKED: [Algorithm; 6] = [
        Algorithm::Rs256,
        Algorithm::Rs384,
        Algorithm::Rs512,
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::Es512,
    ];

    /// A host that answers by a rule of its own.
    struct Answers<F>(F);

    impl<F: Fn(&[u8], &[u8]) -> bool> Signatures for Answers<F> {
        fn verify(&self, key: &Key, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
            (self.0)(message, signature) || RustCrypto.verify(key, algorithm, message, signature)
        }
    }

    struct Never;
    impl Signatures for Never {
        fn verify(&self, _: &Key, _: Algorithm, _: &[u8], _: &[u8]) -> bool {
            false
        }
    }

    #[test]
    fn the_crates_pass_where_there_is_something_to_ask() {
        for (name, algorithm) in Algorithm::NAMES {
            assert_eq!(passes_self_test(&RustCrypto, algorithm), ASKED.contains(&algorithm), "{name}");
        }
    }

    #[test]
    fn a_host_that_says_yes_too_often_or_never_fails() {
        for algorithm in ASKED {
            let answers = known(algorithm).unwrap();
            assert!(!passes_self_test(&Never, algorithm));
            assert!(!passes_self_test(&Answers(|_: &[u8], _: &[u8]| true), algorithm));
            assert!(!passes_self_test(
                &Answers(|_: &[u8], signature: &[u8]| signature.is_empty()),
                algorithm
            ));
            for other in answers.other_hash {
                let takes_it = Answers(|_: &[u8], signature: &[u8]| signature == *other);
                assert!(!passes_self_test(&takes_it, algorithm));
            }
            let of_any_message = Answers(|_: &[u8], signature: &[u8]| signature == answers.good);
            assert!(!passes_self_test(&of_any_message, algorithm));
            let of_the_right_size = Answers(|message: &[u8], signature: &[u8]| {
                message == MESSAGE && signature.len() == answers.good.len()
            });
            assert!(!passes_self_test(&of_the_right_size, algorithm));
        }
    }
}
