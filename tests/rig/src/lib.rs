//! What the tests and the demo stand on, and nothing of the product: a real [Envoy](envoy), an [upstream]
//! that tells what it saw, a bare [HTTP client](http), a token [issuer](jwt) and the [shipped] configuration
//! files, changed by structure and not by text.
//!
//! Everything binds 127.0.0.1 on ports the kernel chose, so any number of tests run side by side. What goes
//! wrong in the rig itself panics and says why.

pub mod driver;
mod each;
pub mod envoy;
pub mod h2;
pub mod http;
pub mod issuer;
pub mod jwt;
pub mod place;
pub mod process;
pub mod recording;
pub mod shipped;
pub mod table;
pub mod time;
pub mod tls;
pub mod upstream;
mod wire;

use std::io::Write;
use std::path::{Path, PathBuf};

/// A path of the repository.
pub fn repository(path: impl AsRef<Path>) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// Tells how a run went. The test runner keeps what tests print, unless they fail; this it lets through.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
