//! From the JSON that an operator writes to a [`Policy`], or to the reason why not.

mod claims;
mod error;
mod feeds;
mod keys;
mod paths;
mod providers;
mod reader;
mod rules;
mod secrets;
mod session;
mod sources;

use std::cell::Cell;

use serde_json::Value;

use crate::ended::EndedSessions;
use crate::feed::{Feed, Feeds};
use crate::jwt::{Json, Key, Profile, Provider, Secret, SkippedKey, Verifier, sha256};
use crate::lifetimes::Lifetimes;
use crate::path::PlainPath;
use crate::policy::Policy;
use crate::streams::Expiry;
use crate::token_cache::TokenCache;

pub use error::ConfigError;
use error::Result;
use reader::Node;

/// Looks up the environment variables of the VM.
pub trait Env {
    /// The value of a variable that is set.
    fn var(&self, name: &str) -> Option<String>;
}

impl<F: Fn(&str) -> Option<String>> Env for F {
    fn var(&self, name: &str) -> Option<String> {
        self(name)
    }
}

/// What the whole configuration has in common while it is read.
struct Reading<'e> {
    env: &'e dyn Env,
    profile: Profile,
    /// Every secret, and where it stands.
    secrets: Vec<(String, Secret)>,
    warnings: Vec<String>,
    feeds: Vec<Feed>,
    /// The keys of the sets of the provider that is being read which are of no use.
    skipped: Vec<SkippedKey>,
}

impl Reading<'_> {
    /// Reads a variable that the configuration names: an empty one is a mistake as much as one that is not set.
    fn env_var(&self, node: &Node<'_>) -> Result<String> {
        let name = node.non_empty_text()?;
        match self.env.var(name) {
            Some(value) if !value.trim().is_empty() => Ok(value),
            Some(_) => node.refuse(format!("the environment variable {name} is empty")),
            None => node.refuse(format!(
                "the environment variable {name} is not set in the VM; list it in vm_config.environment_variables \
                 (Envoy) or vmConfig.env (Istio)"
            )),
        }
    }

    /// A secret is compared with all keys when all are read.
    fn remember_secret(&mut self, path: &str, key: &Key) {
        if let Key::Secret(secret) = key {
            self.secrets.push((path.to_owned(), secret.clone()));
        }
    }

    fn warn(&mut self, node: &Node<'_>, message: &str) {
        self.warnings.push(format!("{}: {message}", node.path()));
    }
}

impl Policy {
    /// Reads a configuration: JSON, in UTF-8.
    ///
    /// # Errors
    /// The first thing that is wrong, with the path of the field and what to write instead.
    pub fn from_json(text: &[u8], env: &impl Env) -> std::result::Result<Self, ConfigError> {
        const FIELDS: &[&str] = &[
            "profile",
            "providers",
            "token_sources",
            "forward_token",
            "public_paths",
            "open",
            "rules",
            "session",
            "stream_expiry",
            "expires_in",
        ];
        const PROFILES: &[(&str, Profile)] = &[("strict", Profile::Strict), ("jwtproxy", Profile::JwtProxy)];

        let value = parse(text)?;
        let root = Node::root(&value);
        let fields = root.fields(FIELDS)?;
        let profile = fields.read("profile", |node| node.word(PROFILES))?.unwrap_or(Profile::Strict);
        let mut reading = Reading {
            env,
            profile,
            secrets: Vec::new(),
            warnings: Vec::new(),
            feeds: Vec::new(),
            skipped: Vec::new(),
        };
        let (mut providers, claim_headers, fingerprint) = match fields.get("providers") {
            Some(node) => {
                let (providers, claim_headers) = providers::providers(&node, &mut reading)?;
                (providers, claim_headers, fingerprint(node.value()))
            }
            None => return fields.refuse("providers", "write at least one provider, with a key"),
        };
        let mut session = fields.read("session", |node| session::session(node, profile))?;
        let rules = rules::rules(&fields, &providers, &mut reading)?;
        let public_paths = paths::public_paths(&fields, &providers, &mut reading)?;
        for provider in &mut providers {
            provider.kept_claims.extend(rules.iter().flat_map(|rules| rules.claims().iter().cloned()));
            let told = session.as_ref().and_then(|session| session.info.as_ref());
            provider.kept_claims.extend(told.into_iter().flat_map(|(_, claims)| claims.iter().cloned()));
        }
        fields.refuse_null(&["stream_expiry"])?;
        let grace = fields.read("stream_expiry", |node| {
            node.fields(&["grace_seconds"])?.read("grace_seconds", Node::seconds)
        })?;
        let expiry = Expiry {
            grace: grace.map(Option::unwrap_or_default),
            tells: fields.flag("expires_in")?.unwrap_or_default(),
        };
        let sources = sources::token_sources(&fields, session.as_ref(), profile)?;
        if let Some(session) = &mut session {
            session.cookie.scheme = sources.cookie_scheme().map(str::to_owned);
            reading.warnings.extend(sources::unkept_tokens(session, &sources));
        }
        let forward_token = sources::forward_token(&fields, &claim_headers, profile)?;
        if let Some(page) =
            session.as_ref().and_then(|session| session.login.as_ref()).map(|login| &login.address)
            && let Some(page) = PlainPath::new(page.as_bytes())
            && !public_paths.0.iter().any(|public| public.pattern.matches(page.as_str()))
        {
            reading.warnings.push(format!(
                "session.login_url: no public path covers {}; whoever is not signed in could not open it here",
                page.as_str()
            ));
        }
        if let (Profile::Strict, Some(session)) = (profile, &session) {
            reading.warnings.extend(session::narrow_cookie(session));
        }
        Ok(Self {
            verifier: Verifier::new(providers, profile),
            tokens: TokenCache::default(),
            sources,
            forward_token,
            public_paths,
            rules,
            session,
            claim_headers,
            expiry,
            feeds: Feeds::new(reading.feeds),
            ended: EndedSessions::default(),
            revocations: Cell::new(1),
            lifetimes: Lifetimes::default(),
            fingerprint,
            warnings: reading.warnings,
        })
    }
}

/// A hash of the providers but for what they revoke: what was fetched for them is of use when somebody else is revoked, too.
fn fingerprint(providers: &Value) -> [u8; 32] {
    let mut providers = providers.clone();
    for provider in providers.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        if let Some(revoked) = provider.get_mut("revoked").and_then(Value::as_object_mut) {
            revoked.retain(|name, _| name == "remote");
        }
    }
    // The Display of a value can indent, too, and brings along what that needs.
    sha256(serde_json::to_string(&providers).unwrap_or_default().as_bytes())
}

fn parse(text: &[u8]) -> Result<Value> {
    if text.trim_ascii().is_empty() {
        return Err(ConfigError::new(
            "",
            "there is no configuration; at least `providers` with a key is needed",
        ));
    }
    let Json(value) = Json::from_bytes(text).map_err(|fault| {
        // A Struct starts with the tag of its first field, the length of that field and the tag of its name: 0x0a
        // twice, which in JSON are mere line breaks.
        let is_struct = |at: usize| text.starts_with(b"\n") && text.get(at) == Some(&b'\n');
        let message = if is_struct(2) || is_struct(3) {
            "this is not JSON; a google.protobuf.Struct reaches a plugin as protobuf bytes: write the configuration \
             as JSON in a google.protobuf.StringValue instead"
                .to_owned()
        } else {
            format!("this is not JSON: {fault}")
        };
        ConfigError::new("", message)
    })?;
    Ok(value)
}

/// The providers of those names, by their index.
fn provider_names(node: &Node<'_>, providers: &[Provider]) -> Result<Vec<usize>> {
    let index = |node: &Node<'_>| {
        let name = node.text()?;
        let found = providers.iter().position(|provider| provider.name == name);
        found.ok_or_else(|| node.fault(format!("no provider has the name `{name}`")))
    };
    node.non_empty_list("that admits nobody; leave it out for all of them")?.iter().map(index).collect()
}

/// Names of HTTP (RFC 9110 section 5.6.2): a token.
fn is_token(text: &str) -> bool {
    crate::http::is_token(text.as_bytes())
}

/// Headers that belong to one connection (RFC 9110 section 7.6.1), or to the framing of the message.
fn is_hop_by_hop(name: &str) -> bool {
    const NAMES: [&str; 11] = [
        "connection",
        "content-length",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "trailers",
        "transfer-encoding",
        "upgrade",
    ];
    NAMES.contains(&name)
}

/// Printable ASCII without spaces, as in a URL.
fn is_url_text(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<' | b'>'))
}
