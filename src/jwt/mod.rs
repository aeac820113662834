//! JSON Web Tokens: parsing, keys, signatures and claims. Nothing here knows of HTTP or of a host.
//!
//! A token passes through three types: [`Jws`] (well-formed; its payload cannot be read), [`Genuine`]
//! (a key of the provider signed it), [`VerifiedJwt`] (its claims hold, too). Each has one maker.

mod algorithm;
mod claim_name;
pub mod claims;
mod fetched;
mod issuer;
mod json;
mod jwk;
mod jwk_set;
mod jws;
mod key;
mod provider;
mod required;
mod revocations;
pub mod self_test;
mod signature;
mod verifier;
mod verify_error;

pub use algorithm::{Algorithm, Hash, sha256};
pub use claim_name::ClaimName;
pub use claims::{Claims, Clock, NumericDate};
pub use fetched::{FetchedKeys, SkippedKey, Skipping};
pub use issuer::Issuer;
pub use json::{Json, is_duplicate, same_json};
pub use jwk::{JwkFault, KeyUse, jwk, key_type, secret_jwk};
pub use jwk_set::{JwkSet, JwkSetFault, jwk_set};
pub use jws::{Base64Url, Genuine, Jws, JwsFault, Wanted};
pub use key::{Curve, EcKey, Ed25519Key, Key, KeyFault, RsaKey, Secret, VerifyingKey};
pub use provider::{Profile, Provider, Times};
pub use required::{Comparison, RequiredClaim, Term, Text};
pub use revocations::{DenyFault, DenyList, FetchedList, Revocation, Revocations};
pub use signature::{RustCrypto, Signatures};
pub use verifier::{Budget, TokenHash, VerifiedJwt, Verifier};
pub use verify_error::VerifyError;
