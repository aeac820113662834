//! RSASSA-PKCS1-v1_5 and RSASSA-PSS (RFC 7518 sections 3.3 and 3.5).

use std::{fmt, iter};

use crypto_bigint::modular::BoxedMontyForm;
use rsa::pkcs8::EncodePublicKey;
use rsa::sha2::{Sha256, Sha384, Sha512};
use rsa::traits::PublicKeyParts;
use rsa::{BoxedUint, Pkcs1v15Sign, PublicKey};

use super::{Algorithm, KeyFault, trimmed};

/// RFC 7518 section 3.3: "A key of size 2048 bits or larger MUST be used with these algorithms."
pub(super) const MIN_BITS: usize = 2048;
/// What BoringSSL verifies at the most, and a bound on the cost of one check.
pub(super) const MAX_BITS: usize = 8192;
/// FIPS 186-5 section 5.4: the exponent is odd and larger than 2^16.
const MIN_EXPONENT: u64 = 65_537;

/// An RSA public key of 2048 to 8192 bits with an odd exponent of at least 65537.
#[derive(Clone, PartialEq, Eq)]
pub struct RsaKey {
    rsa: PublicKey,
    spki: Vec<u8>,
}

impl RsaKey {
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

    /// The modulus, unsigned and big-endian.
    #[must_use]
    pub fn modulus(&self) -> Vec<u8> {
        self.rsa.n_bytes().to_vec()
    }

    /// The size of its modulus, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.rsa.size()
    }

    /// Tells whether the key made `signature`.
    #[must_use]
    pub fn made(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let pkcs1 = |scheme: &Pkcs1v15Sign| {
            algorithm.hash().is_some_and(|hash| self.made_pkcs1(&scheme.prefix, &hash.of(message), signature))
        };
        // The salt is as long as the hash (RFC 7518 section 3.5), which the crate insists on.
        match algorithm {
            Algorithm::Ps256 => self.rsa.pss_verify::<Sha256>(message, signature).is_ok(),
            Algorithm::Ps384 => self.rsa.pss_verify::<Sha384>(message, signature).is_ok(),
            Algorithm::Ps512 => self.rsa.pss_verify::<Sha512>(message, signature).is_ok(),
            Algorithm::Rs256 => pkcs1(&Pkcs1v15Sign::new::<Sha256>()),
            Algorithm::Rs384 => pkcs1(&Pkcs1v15Sign::new::<Sha384>()),
            Algorithm::Rs512 => pkcs1(&Pkcs1v15Sign::new::<Sha512>()),
            Algorithm::EdDsa
            | Algorithm::Es256
            | Algorithm::Es384
            | Algorithm::Es512
            | Algorithm::Hs256
            | Algorithm::Hs384
            | Algorithm::Hs512 => false,
        }
    }

    /// RFC 8017 section 8.2.2.
    fn made_pkcs1(&self, prefix: &[u8], hash: &[u8], signature: &[u8]) -> bool {
        let rsa = &self.rsa;
        if signature.len() != rsa.size() {
            return false;
        }
        let encoded = encode(prefix, hash, rsa.size());
        let precision = rsa.n_bits_precision();
        match [signature, &encoded].map(|number| BoxedUint::from_be_slice(number, precision)) {
            [Ok(signature), Ok(encoded)] => signature < *rsa.n().as_ref() && power(signature, rsa) == encoded,
            _ => false,
        }
    }
}

/// EMSA-PKCS1-v1_5 (RFC 8017 section 9.2) in `length` bytes.
fn encode(prefix: &[u8], hash: &[u8], length: usize) -> Vec<u8> {
    let padding = length.saturating_sub(3).saturating_sub(prefix.len()).saturating_sub(hash.len());
    let mut encoded = vec![0, 1];
    encoded.extend(iter::repeat_n(0xff, padding));
    encoded.push(0);
    encoded.extend_from_slice(prefix);
    encoded.extend_from_slice(hash);
    encoded
}

/// `base` to the public exponent. The crate's own way to it hides the exponent, which is no secret here, at more than
/// twice the cost.
fn power(base: BoxedUint, key: &PublicKey) -> BoxedUint {
    let exponent = key.e();
    let base = BoxedMontyForm::new(base, key.n_params());
    let mut power = base.clone();
    for bit in (0..exponent.bit_width_vartime().saturating_sub(1)).rev() {
        power = power.square();
        if exponent.bit_vartime(bit) {
            power = power.mul(&base);
        }
    }
    power.retrieve()
}

impl fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RsaKey({} bits)", self.bits())
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::algorithm::Hash;
    use crate::jwt::self_test::{MESSAGE, known};
    use crate::jwt::{Key, RustCrypto, Signatures};

    /// The power is computed here, so the crate's own way to it must come to the same.
    #[test]
    fn the_crate_itself_agrees() {
        let key = Key::from_der(include_bytes!("../self_test/public_key.der")).unwrap();
        let Key::Rsa(rsa) = &key else { panic!("an RSA key") };
        let modulus = rsa.modulus();
        let schemes: [(_, fn() -> Pkcs1v15Sign); 3] = [
            (Hash::Sha256, Pkcs1v15Sign::new::<Sha256>),
            (Hash::Sha384, Pkcs1v15Sign::new::<Sha384>),
            (Hash::Sha512, Pkcs1v15Sign::new::<Sha512>),
        ];
        for (algorithm, (hash, scheme)) in Algorithm::RS.into_iter().zip(schemes) {
            let good = known(algorithm).unwrap().good.to_vec();
            let mut signatures = vec![
                good.clone(),
                Vec::new(),
                vec![0; 256],
                vec![0xff; 256],
                [&[0], good.as_slice()].concat(),
                good[1..].to_vec(),
                modulus.clone(),
                [&modulus[..255], &[modulus[255] ^ 2]].concat(),
                [[0; 255].as_slice(), &[1]].concat(),
            ];
            signatures.extend((0..256).map(|at| {
                let mut bad = good.clone();
                bad[at] ^= 1 << (at % 8);
                bad
            }));
            for signature in signatures {
                let theirs = rsa.rsa.verify(scheme(), &hash.of(MESSAGE), &signature).is_ok();
                let ours = RustCrypto.verify(&key, algorithm, MESSAGE, &signature);
                assert_eq!(ours, theirs, "{algorithm:?} {signature:02x?}");
                assert_eq!(ours, signature == good);
            }
        }
    }
}
