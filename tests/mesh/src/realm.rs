//! A real Keycloak, which speaks TLS alone, with a realm, and its admin API.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rig::jwt::Key;
use rig::place::bearer;
use rig::tls::{Authority, Valid};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::manifests::ISSUER;
use crate::parts::{Part, bring, free_port};
use crate::report::ensure;

const START_LIMIT: Duration = Duration::from_mins(4);
const ADMIN: &str = "admin";
const PASSWORD: &str = "correct-horse";
/// The realm of `issuer.yaml`.
const REALM: &str = "people";

/// A running Keycloak with a realm, a client and a person.
#[derive(Debug)]
pub(crate) struct Keycloak {
    pub(crate) port: u16,
    part: Option<Part>,
    folder: TempDir,
}

impl Keycloak {
    pub(crate) fn start() -> Result<Self, String> {
        let folder = TempDir::new().expect("a temporary folder");
        let (authority, server) = (Authority::new(Key::fixed("a")), Key::fixed("b"));
        for (name, text) in [
            ("authority.pem", authority.certificate()),
            ("server.pem", authority.certify(&server, ISSUER, Valid::Long)),
            ("server.key", server.pkcs8_pem()),
        ] {
            fs::write(folder.path().join(name), text).expect("a file");
        }
        let mut keycloak = Self { port: free_port(), part: None, folder };
        keycloak.run()?;
        // Tokens that outlive what happens here.
        keycloak.make("", &json!({"realm": REALM, "enabled": true, "accessTokenLifespan": 3600}))?;
        keycloak.make(
            "/people/clients",
            &json!({
                "clientId": "desk", "publicClient": true, "directAccessGrantsEnabled": true,
                "protocolMappers": [{
                    "name": "audience", "protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper",
                    "config": {"included.custom.audience": "workspace", "access.token.claim": "true"},
                }],
            }),
        )?;
        keycloak.make(
            "/people/users",
            &json!({
                "username": "alice", "enabled": true, "email": "alice@example.com", "emailVerified": true,
                "firstName": "Alice", "lastName": "Arden",
                "credentials": [{"type": "password", "value": PASSWORD}],
            }),
        )?;
        Ok(keycloak)
    }

    /// Starts it, or starts it again, with what it knew.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let mut command = Command::new("unshare");
        // In a process namespace of its own its Java ends with it.
        command
            .args(["--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc", "bash"])
            .arg(bring("keycloak")?.join("bin/kc.sh"))
            .args(["start", "--optimized", "--cache=local", "--http-host=127.0.0.1"])
            .arg(format!("--https-port={}", self.port))
            .arg(format!("--https-certificate-file={}", path("server.pem")))
            .arg(format!("--https-certificate-key-file={}", path("server.key")))
            .arg(format!("--hostname=https://{ISSUER}"))
            .arg(format!("--db-url=jdbc:h2:file:{};NON_KEYWORDS=VALUE", path("data")))
            // For so short a life the better compiler does not pay.
            .env("JAVA_OPTS_APPEND", "-XX:TieredStopAtLevel=1")
            .env("KC_BOOTSTRAP_ADMIN_USERNAME", ADMIN)
            .env("KC_BOOTSTRAP_ADMIN_PASSWORD", ADMIN);
        let mut part = Part::start(&mut command, &self.folder.path().join("log"));
        part.wait("Keycloak", START_LIMIT, || self.ask("/realms/master", &[]).is_ok());
        self.part = Some(part);
        Ok(())
    }

    /// Ends it, without time to end.
    pub(crate) fn kill(&mut self) {
        self.part = None;
    }

    /// The certificate of who signed its own.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// A token of alice.
    pub(crate) fn token(&self) -> Result<String, String> {
        self.grant(REALM, &format!("client_id=desk&username=alice&password={PASSWORD}"))
    }

    /// A token of the administrator, who is of another realm.
    pub(crate) fn admin_token(&self) -> Result<String, String> {
        self.grant("master", &format!("client_id=admin-cli&username={ADMIN}&password={ADMIN}"))
    }

    /// A key that it signs with from now on, for its priority is the highest. Those before it stay in its JWKS.
    pub(crate) fn add_key(&self, priority: &str) -> Result<(), String> {
        self.make(
            "/people/components",
            &json!({
                "name": format!("key {priority}"), "providerId": "rsa-generated", "providerType": KEYS,
                "config": {"priority": [priority], "algorithm": ["RS256"]},
            }),
        )
    }

    /// Takes a key out of its JWKS.
    pub(crate) fn disable_key(&self, name: &str) -> Result<(), String> {
        let all = self.admin(&format!("/people/components?type={KEYS}"), &[])?;
        let found = all.as_array().and_then(|all| all.iter().find(|one| one["name"] == name));
        let mut key = found.ok_or_else(|| format!("no key {name}: {all}"))?.clone();
        key["config"]["enabled"] = json!(["false"]);
        let path = format!("/people/components/{}", key["id"].as_str().unwrap_or_default());
        self.admin(&path, &["--request", "PUT", "--json", &key.to_string()]).map(drop)
    }

    /// Makes something by the admin API.
    fn make(&self, path: &str, what: &Value) -> Result<(), String> {
        self.admin(path, &["--json", &what.to_string()]).map(drop)
    }

    fn admin(&self, path: &str, arguments: &[&str]) -> Result<Value, String> {
        // Asked for each time, for it lives for a minute.
        let authorization = format!("authorization: {}", bearer(&self.admin_token()?));
        self.ask(&format!("/admin/realms{path}"), &[&["--header", &authorization], arguments].concat())
    }

    fn grant(&self, realm: &str, fields: &str) -> Result<String, String> {
        let path = format!("/realms/{realm}/protocol/openid-connect/token");
        let body = format!("grant_type=password&scope=openid&{fields}");
        let token = self.ask(&path, &["--data", &body])?["access_token"].clone();
        token.as_str().map(str::to_owned).ok_or_else(|| "no access_token".into())
    }

    fn ask(&self, path: &str, arguments: &[&str]) -> Result<Value, String> {
        self.ask_by(self.port, path, arguments)
    }

    /// Asks for a path as any program does that verifies whom it talks to, by way of that port.
    pub(crate) fn ask_by(&self, port: u16, path: &str, arguments: &[&str]) -> Result<Value, String> {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--fail-with-body", "--max-time", "30", "--noproxy", "*"])
            .arg("--cacert")
            .arg(self.authority())
            .args(["--connect-to", &format!("{ISSUER}:443:127.0.0.1:{port}")])
            .arg(format!("https://{ISSUER}{path}"))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("curl: {error}"))?;
        ensure(output.status.success(), || {
            let said = [&*output.stderr, &*output.stdout].concat();
            format!("{path}: {}", String::from_utf8_lossy(&said))
        })?;
        Ok(serde_json::from_slice(&output.stdout).unwrap_or_default())
    }
}

const KEYS: &str = "org.keycloak.keys.KeyProvider";
