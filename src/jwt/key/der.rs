//! Public keys in DER.

use ::rsa::pkcs8::ObjectIdentifier;
use ::rsa::pkcs8::der::asn1::{AnyRef, BitStringRef, UintRef};
use ::rsa::pkcs8::der::{Decode, Reader, SliceReader, Tag, Tagged};

use super::{Curve, EcKey, Ed25519Key, Key, KeyFault, RsaKey};

/// RFC 8017 appendix A.1.
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// RFC 5480 section 2.1.1.
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// RFC 8410 section 3.
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// RFC 5480 section 2.1.1.1.
const CURVES: [(ObjectIdentifier, Curve); 3] = [
    (ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"), Curve::P256),
    (ObjectIdentifier::new_unwrap("1.3.132.0.34"), Curve::P384),
    (ObjectIdentifier::new_unwrap("1.3.132.0.35"), Curve::P521),
];

pub(super) fn public_key(der: &[u8]) -> Result<Key, KeyFault> {
    let members = sequence(der).ok_or(KeyFault::NoKey)?;
    match members.as_slice() {
        [n, e] if n.tag() == Tag::Integer && e.tag() == Tag::Integer => from_pkcs1(n, e),
        // A private key of any kind starts with its version.
        [version, ..] if version.tag() == Tag::Integer => Err(KeyFault::Private),
        [algorithm, key] if key.tag() == Tag::BitString => from_spki(algorithm, key),
        // A certificate: tbsCertificate, signatureAlgorithm, signature.
        [tbs, _, signature] if signature.tag() == Tag::BitString => {
            let tbs = members_of(tbs).ok_or(KeyFault::NoKey)?;
            let versioned = tbs.first().is_some_and(|first| first.tag().is_context_specific());
            // serialNumber, signature, issuer, validity and subject come before the key.
            let key = tbs.get(if versioned { 6 } else { 5 }).and_then(members_of);
            match key.as_deref() {
                Some([algorithm, key]) => from_spki(algorithm, key),
                Some(_) | None => Err(KeyFault::NoKey),
            }
        }
        _ => Err(KeyFault::NoKey),
    }
}

fn from_spki(algorithm: &AnyRef<'_>, key: &AnyRef<'_>) -> Result<Key, KeyFault> {
    let algorithm = members_of(algorithm).ok_or(KeyFault::NoKey)?;
    let oid = |member: &AnyRef<'_>| member.decode_as::<ObjectIdentifier>().ok();
    let bits = key.decode_as::<BitStringRef<'_>>().map_err(|_| KeyFault::NoKey)?;
    let bytes = bits.as_bytes().ok_or(KeyFault::NoKey)?;
    match algorithm.first().and_then(oid).ok_or(KeyFault::NoKey)? {
        RSA_ENCRYPTION => match sequence(bytes).as_deref() {
            Some([n, e]) => from_pkcs1(n, e),
            Some(_) | None => Err(KeyFault::NoKey),
        },
        EC_PUBLIC_KEY => {
            let named = algorithm.get(1).and_then(oid).ok_or(KeyFault::Curve)?;
            let curve = CURVES.into_iter().find(|(oid, _)| *oid == named).ok_or(KeyFault::Curve)?.1;
            EcKey::from_point(curve, bytes).map(Key::Ec)
        }
        ED25519 => Ed25519Key::from_bytes(bytes).map(Key::Ed25519),
        _ => Err(KeyFault::Type),
    }
}

fn from_pkcs1(n: &AnyRef<'_>, e: &AnyRef<'_>) -> Result<Key, KeyFault> {
    match (n.decode_as::<UintRef<'_>>(), e.decode_as::<UintRef<'_>>()) {
        (Ok(n), Ok(e)) => RsaKey::from_components(n.as_bytes(), e.as_bytes()).map(Key::Rsa),
        _ => Err(KeyFault::NoKey),
    }
}

/// The members of a DER SEQUENCE that fills `der` to the end.
fn sequence(der: &[u8]) -> Option<Vec<AnyRef<'_>>> {
    members_of(&AnyRef::from_der(der).ok()?)
}

fn members_of<'a>(sequence: &AnyRef<'a>) -> Option<Vec<AnyRef<'a>>> {
    if sequence.tag() != Tag::Sequence {
        return None;
    }
    let mut reader = SliceReader::new(sequence.value()).ok()?;
    let mut members = Vec::new();
    while !reader.is_finished() {
        members.push(AnyRef::decode(&mut reader).ok()?);
    }
    Some(members)
}
