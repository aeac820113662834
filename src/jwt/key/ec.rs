//! ECDSA with the curves of NIST (RFC 7518 section 3.4).

use std::fmt;

use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::elliptic_curve::point::AffineCoordinates;

use super::{Algorithm, KeyFault, trimmed};

/// A curve (RFC 7518 section 6.2.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// P-256.
    P256,
    /// P-384.
    P384,
    /// P-521.
    P521,
}

impl Curve {
    /// The curve of that name in a JWK.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "P-256" => Some(Self::P256),
            "P-384" => Some(Self::P384),
            "P-521" => Some(Self::P521),
            _ => None,
        }
    }

    /// Its name in a JWK.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    /// The one algorithm that uses it.
    pub(super) const fn algorithms(self) -> &'static [Algorithm] {
        match self {
            Self::P256 => &[Algorithm::Es256],
            Self::P384 => &[Algorithm::Es384],
            Self::P521 => &[Algorithm::Es512],
        }
    }

    /// The size in bytes of a coordinate, and of each half of a signature.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    /// Of SubjectPublicKeyInfo (RFC 5480 section 2), what stands before the point.
    const fn spki(self) -> &'static [u8] {
        match self {
            Self::P256 => {
                b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00"
            }
            Self::P384 => {
                b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00"
            }
            Self::P521 => {
                b"\x30\x81\x9b\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23\x03\x81\x86\x00"
            }
        }
    }
}

/// A point of a curve, other than that at infinity.
#[derive(Clone)]
enum Point {
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    P521(p521::ecdsa::VerifyingKey),
}

/// An EC public key.
#[derive(Clone)]
pub struct EcKey {
    point: Point,
    spki: Vec<u8>,
}

/// What is on the curve `$curve`; none for anything else.
macro_rules! on_curve {
    ($curve:ident, $x:expr, $y:expr) => {{
        let coordinate = |bytes: &[u8]| $curve::FieldBytes::try_from(bytes).ok();
        let affine =
            $curve::AffinePoint::from_coordinates(&coordinate($x)?, &coordinate($y)?).into_option()?;
        $curve::ecdsa::VerifyingKey::from_affine(affine).ok()?
    }};
}

impl Point {
    fn new(curve: Curve, x: &[u8], y: &[u8]) -> Option<Self> {
        Some(match curve {
            Curve::P256 => Self::P256(on_curve!(p256, x, y)),
            Curve::P384 => Self::P384(on_curve!(p384, x, y)),
            Curve::P521 => Self::P521(on_curve!(p521, x, y)),
        })
    }
}

impl EcKey {
    /// Builds a key from its coordinates (RFC 7518 section 6.2.1), unsigned and big-endian. They are numbers: some libraries
    /// leave out their leading zeros, others write one too many.
    ///
    /// # Errors
    /// No point of the curve.
    pub fn from_coordinates(curve: Curve, x: &[u8], y: &[u8]) -> Result<Self, KeyFault> {
        let sized = |number: &[u8]| {
            let digits = trimmed(number);
            let zeros = curve.size().checked_sub(digits.len()).ok_or(KeyFault::Point)?;
            Ok([vec![0; zeros].as_slice(), digits].concat())
        };
        let (x, y) = (sized(x)?, sized(y)?);
        let point = Point::new(curve, &x, &y).ok_or(KeyFault::Point)?;
        Ok(Self { point, spki: [curve.spki(), &[4], &x, &y].concat() })
    }

    /// Reads an uncompressed point (SEC 1 section 2.3.3).
    pub(super) fn from_point(curve: Curve, bytes: &[u8]) -> Result<Self, KeyFault> {
        match bytes.split_first() {
            Some((4, both)) => {
                let halves = both.split_at_checked(curve.size());
                let (x, y) = halves.filter(|(_, y)| y.len() == curve.size()).ok_or(KeyFault::Point)?;
                Self::from_coordinates(curve, x, y)
            }
            Some(_) | None => Err(KeyFault::Point),
        }
    }

    /// Its curve.
    #[must_use]
    pub const fn curve(&self) -> Curve {
        match self.point {
            Point::P256(_) => Curve::P256,
            Point::P384(_) => Curve::P384,
            Point::P521(_) => Curve::P521,
        }
    }

    /// The key as DER SubjectPublicKeyInfo.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The key as an uncompressed point.
    #[must_use]
    pub fn point(&self) -> &[u8] {
        self.spki.get(self.curve().spki().len()..).unwrap_or_default()
    }

    /// Tells whether the key made `signature`: r and s, each of the full size (RFC 7518 section 3.4).
    #[must_use]
    pub fn made(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let Some(hash) = algorithm.hash().filter(|_| self.curve().algorithms().contains(&algorithm)) else {
            return false;
        };
        let hash = hash.of(message);
        match &self.point {
            Point::P256(key) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_prehash(&hash, &signature).is_ok()),
            Point::P384(key) => p384::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_prehash(&hash, &signature).is_ok()),
            Point::P521(key) => p521::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_prehash(&hash, &signature).is_ok()),
        }
    }

    /// A JWS signature as others want it: Ecdsa-Sig-Value (RFC 3279 section 2.2.3). None for one of another size, or
    /// with a zero, which no key makes.
    #[must_use]
    pub fn signature_der(&self, signature: &[u8]) -> Option<Vec<u8>> {
        let size = self.curve().size();
        let (r, s) = signature.split_at_checked(size).filter(|(_, s)| s.len() == size)?;
        let content = [integer(r)?, integer(s)?].concat();
        let mut der = vec![0x30];
        push_length(&mut der, content.len())?;
        der.extend(content);
        Some(der)
    }
}

/// A positive DER INTEGER (X.690 section 8.3): without zeros before it, but for the one that tells it from a negative one.
fn integer(number: &[u8]) -> Option<Vec<u8>> {
    let digits = trimmed(number);
    let sign = *digits.first()? >= 0x80;
    let mut der = vec![0x02];
    push_length(&mut der, digits.len().checked_add(sign.into())?)?;
    if sign {
        der.push(0);
    }
    der.extend(digits);
    Some(der)
}

/// A length of less than 256 (X.690 section 8.1.3).
fn push_length(der: &mut Vec<u8>, length: usize) -> Option<()> {
    let length = u8::try_from(length).ok()?;
    if length >= 0x80 {
        der.push(0x81);
    }
    der.push(length);
    Some(())
}

impl fmt::Debug for EcKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EcKey({:?})", self.curve())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::Key;

    fn key() -> EcKey {
        let Ok(Key::Ec(key)) = Key::from_der(include_bytes!("../self_test/es256_public_key.der")) else {
            panic!("an EC key")
        };
        key
    }

    #[test]
    fn a_signature_in_der_has_the_shortest_integers() {
        let half = |bytes: &[u8]| [vec![0; 32 - bytes.len()], bytes.to_vec()].concat();
        let der = |r: &[u8], s: &[u8]| key().signature_der(&[half(r), half(s)].concat());
        assert_eq!(der(&[1], &[0x7f]), Some(vec![0x30, 6, 2, 1, 1, 2, 1, 0x7f]));
        assert_eq!(der(&[0x80], &[0x12, 0]), Some(vec![0x30, 8, 2, 2, 0, 0x80, 2, 2, 0x12, 0]));
        let longest = der(&[0xff; 32], &[0xff; 32]).unwrap();
        assert_eq!((longest.len(), &longest[..5]), (2 + 2 * 35, &[0x30, 70, 2, 33, 0][..]));
        assert_eq!(der(&[0], &[1]), None);
        assert_eq!(der(&[1], &[0]), None);
        for length in [0, 1, 32, 63, 65, 70] {
            assert_eq!(key().signature_der(&vec![1; length]), None);
        }
        let Ok(Key::Ec(long)) = Key::from_der(include_bytes!("../self_test/es512_public_key.der")) else {
            panic!("an EC key")
        };
        assert_eq!(long.signature_der(&[0xff; 132]).unwrap()[..6], [0x30, 0x81, 138, 2, 67, 0]);
    }

    /// What is written here by hand is what OpenSSL writes.
    #[test]
    fn spki_comes_out_as_it_went_in() {
        for der in [
            include_bytes!("../self_test/es256_public_key.der").as_slice(),
            include_bytes!("../self_test/es384_public_key.der"),
            include_bytes!("../self_test/es512_public_key.der"),
        ] {
            let Ok(Key::Ec(key)) = Key::from_der(der) else { panic!("an EC key") };
            assert_eq!(key.spki(), der);
            assert_eq!((key.point()[0], key.point().len()), (4, 1 + 2 * key.curve().size()));
        }
    }

    #[test]
    fn what_is_not_on_the_curve_is_no_key() {
        let point = key().point().to_vec();
        let (x, y) = point[1..].split_at_checked(32).unwrap();
        let refused = |x: &[u8], y: &[u8]| EcKey::from_coordinates(Curve::P256, x, y).unwrap_err();
        let mut beside = y.to_vec();
        beside[31] ^= 1;
        assert_eq!(refused(x, &beside), KeyFault::Point);
        assert_eq!(refused(y, x), KeyFault::Point);
        assert_eq!(refused(&[0; 32], &[0; 32]), KeyFault::Point);
        assert_eq!(refused(&[0xff; 32], y), KeyFault::Point);
        assert_eq!(refused(&x[1..], y), KeyFault::Point);
        assert_eq!(refused(&[x, &[0]].concat(), y), KeyFault::Point);
        assert_eq!(refused(&[&[1], x].concat(), y), KeyFault::Point);
        for bytes in [&[][..], &[0], &point[..64], &[&[2], x].concat(), &[&point[..], &[0]].concat()] {
            assert_eq!(EcKey::from_point(Curve::P256, bytes).unwrap_err(), KeyFault::Point);
        }
        EcKey::from_coordinates(Curve::P256, x, y).unwrap();
        let longer = EcKey::from_coordinates(Curve::P256, &[&[0; 9], x].concat(), y).unwrap();
        assert_eq!(longer.spki(), key().spki());
    }
}
