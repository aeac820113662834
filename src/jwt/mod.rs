//! JSON Web Tokens: parsing, keys, signatures and claims. Nothing here knows of HTTP or of a host.
//!
//! A token passes through three types: [`Jws`] (well-formed; its payload cannot be read), [`Genuine`]
//! (a key of the provider signed it), [`VerifiedJwt`] (its claims hold, too). Each has one maker.

pub mod claims;
mod json;
mod jwk;
mod jws;
mod key;
mod provider;
mod required;
pub mod signature;
mod verifier;

pub use claims::{Claims, Clock, NumericDate};
pub use json::{Json, same_json};
pub use jwk::{JwkFault, KeyUse, jwk, key_type};
pub use jws::{Genuine, Jws, JwsFault, Wanted};
pub use key::{KeyFault, RsaKey, VerifyingKey};
pub use provider::{Profile, Provider, Times};
pub use required::{RequiredClaim, says, says_text};
pub use signature::{Algorithm, RustCrypto, Signatures, sha256};
pub use verifier::{Budget, TokenHash, VerifiedJwt, Verifier, VerifyError};
