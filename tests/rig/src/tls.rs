//! TLS in front of a server of a test: certificates, good and bad, and what ends TLS with them.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rsa::pkcs8::LineEnding;
use rsa::pkcs8::der::Document;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::envoy::Envoy;
use crate::jwt::{Key, der};
use crate::shipped;

/// An authority, which signs the certificates of servers by an RSA key. All authorities have the same name.
#[derive(Debug)]
pub struct Authority(Key);

/// How long a certificate is valid.
#[derive(Clone, Copy, Debug)]
pub enum Valid {
    /// Until 2049.
    Long,
    /// In January of 2024.
    Once,
}

const COMMON_NAME: &[u8] = b"\x55\x04\x03";
const BASIC_CONSTRAINTS: &[u8] = b"\x55\x1d\x13";
const SUBJECT_ALTERNATIVE_NAME: &[u8] = b"\x55\x1d\x11";
const SHA256_WITH_RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b";

impl Authority {
    /// The authority of that key.
    pub const fn new(key: Key) -> Self {
        Self(key)
    }

    /// Its own certificate, in PEM.
    pub fn certificate(&self) -> String {
        let is_authority = der(0x30, &[&der(0x01, &[&[0xff]])]);
        self.sign("authority", &self.0, (BASIC_CONSTRAINTS, &is_authority), Valid::Long)
    }

    /// A certificate for the key of a server with that DNS name, in PEM.
    pub fn certify(&self, server: &Key, host: &str, valid: Valid) -> String {
        let names = der(0x30, &[&der(0x82, &[host.as_bytes()])]);
        self.sign("server", server, (SUBJECT_ALTERNATIVE_NAME, &names), valid)
    }

    /// RFC 5280 section 4.1.
    fn sign(&self, subject: &str, key: &Key, extension: (&[u8], &[u8]), valid: Valid) -> String {
        let algorithm = der(0x30, &[&der(0x06, &[SHA256_WITH_RSA]), &der(0x05, &[])]);
        let name = |name: &str| {
            let attribute = der(0x30, &[&der(0x06, &[COMMON_NAME]), &der(0x0c, &[name.as_bytes()])]);
            der(0x30, &[&der(0x31, &[&attribute])])
        };
        let end = match valid {
            Valid::Long => b"491231235959Z",
            Valid::Once => b"240131235959Z",
        };
        let validity = der(0x30, &[&der(0x17, &[b"240101000000Z"]), &der(0x17, &[end])]);
        let extension = der(0x30, &[&der(0x06, &[extension.0]), &der(0x04, &[extension.1])]);
        let content = der(
            0x30,
            &[
                &der(0xa0, &[&der(0x02, &[&[2]])]),
                &der(0x02, &[&[1]]),
                &algorithm,
                &name("authority"),
                &validity,
                &name(subject),
                &key.spki(),
                &der(0xa3, &[&der(0x30, &[&extension])]),
            ],
        );
        let signature = der(0x03, &[&[0], &self.0.sign("RS256", &content)]);
        let certificate = Document::try_from(der(0x30, &[&content, &algorithm, &signature])).expect("DER");
        certificate.to_pem("CERTIFICATE", LineEnding::LF).expect("PEM")
    }
}

/// Ends TLS in front of a server on this machine, with a certificate that can be exchanged. Each connection is for one
/// request, so that none lives on from before.
#[derive(Debug)]
pub struct TlsServer {
    envoy: Envoy,
    folder: TempDir,
}

impl TlsServer {
    /// Starts one with that certificate, in PEM, and its key.
    pub fn start(certificate: &str, key: &Key, behind: u16) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let file = folder.path().join(FILE);
        shipped::publish(&file, &secret(certificate, key));
        let mut bootstrap = shipped::bootstrap("envoy.yaml");
        shipped::free_ports(&mut bootstrap);
        shipped::set_cluster_port(&mut bootstrap, "upstream", behind);
        // Discovery wants a name to send, even to a file.
        bootstrap["node"] = json!({"id": "rig", "cluster": "rig"});
        let manager = shipped::manager(&mut bootstrap);
        // Without the filter.
        manager["http_filters"].as_array_mut().expect("filters").remove(0);
        manager["common_http_protocol_options"] = json!({"max_requests_per_connection": 1});
        let listener = &mut bootstrap["static_resources"]["listeners"][0];
        listener["name"] = json!("tls");
        listener["stat_prefix"] = json!("tls");
        listener["filter_chains"][0]["transport_socket"] = json!({
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": {"tls_certificate_sds_secret_configs": [{
                    "name": SECRET,
                    "sds_config": {"path_config_source": {"path": file}, "resource_api_version": "V3"},
                }]},
            },
        });
        Self { envoy: Envoy::start(bootstrap), folder }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.envoy.port("tls")
    }

    /// From now on it shows that certificate.
    pub fn show(&self, certificate: &str, key: &Key) {
        let before = self.exchanges();
        let file = self.folder.path().join(FILE);
        shipped::publish(&file, &secret(certificate, key));
        let give_up = Instant::now() + Duration::from_mins(1);
        while self.exchanges() == before {
            assert!(Instant::now() < give_up, "the certificate of {} was not taken", file.display());
            sleep(Duration::from_millis(10));
        }
    }

    fn exchanges(&self) -> String {
        let stats = self.envoy.admin("/stats?filter=ssl_context_update_by_sds");
        assert!(!stats.is_empty(), "the exchanges are not counted");
        stats
    }
}

const FILE: &str = "certificate.json";
const SECRET: &str = "certificate";

fn secret(certificate: &str, key: &Key) -> Value {
    json!({"resources": [{
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": SECRET,
        "tls_certificate": {
            "certificate_chain": {"inline_string": certificate},
            "private_key": {"inline_string": key.pkcs8_pem()},
        },
    }]})
}
