//! The providers and the headers that their claims become.

use std::rc::Rc;

use serde_json::Value;

use super::claims::{claim_name, required_claims};
use super::error::{ConfigError, Result};
use super::feeds::{Owner, remote_jwks, revoked};
use super::keys::keys;
use super::reader::Node;
use super::{Reading, is_hop_by_hop, is_token, secrets};
use crate::claim_headers::{ClaimHeader, ClaimHeaders, Format};
use crate::jwt::{Algorithm, Budget, ClaimName, Issuer, Profile, Provider, Skipping, VerifyingKey};

const DEFAULT_SKEW: f64 = 60.0;

pub(super) fn providers(node: &Node<'_>, reading: &mut Reading<'_>) -> Result<(Vec<Provider>, ClaimHeaders)> {
    let nodes = node.non_empty_list("without a provider nobody could ever sign in")?;
    let several = nodes.len() > 1;
    let mut providers: Vec<Provider> = Vec::new();
    let mut headers = Vec::new();
    for node in nodes {
        let (mut provider, claim_headers) = provider(&node, providers.len(), reading)?;
        if several && provider.issuer == Issuer::Any {
            if reading.profile == Profile::JwtProxy
                || providers.iter().any(|own| own.issuer == Issuer::Absent)
            {
                let message = "of several providers one at most has no `issuer`, for tokens without `iss`; the others are \
                               told apart by it";
                return Err(ConfigError::new(format!("{}.issuer", node.path()), message));
            }
            provider.issuer = Issuer::Absent;
        }
        if providers.iter().any(|other| other.name == provider.name) {
            let message = format!("another provider is named `{}` already; names are unique", provider.name);
            return Err(ConfigError::new(format!("{}.name", node.path()), message));
        }
        providers.push(provider);
        headers.push(claim_headers);
    }
    let keys: Vec<_> = providers.iter().flat_map(|provider| &provider.keys).map(VerifyingKey::key).collect();
    for (path, secret) in &reading.secrets {
        secrets::refuse_public(path, secret.bytes(), &keys)?;
    }
    Ok((providers, ClaimHeaders::new(headers)))
}

fn provider(
    node: &Node<'_>,
    index: usize,
    reading: &mut Reading<'_>,
) -> Result<(Provider, Vec<ClaimHeader>)> {
    let fields = node.fields(&[
        "name",
        "issuer",
        "audiences",
        "subject_claim",
        "algorithms",
        "keys",
        "remote_jwks",
        "revoked",
        "clock_skew_seconds",
        "max_ttl_seconds",
        "require_exp",
        "types",
        "required_header",
        "required_claims",
        "claim_headers",
    ])?;
    fields.refuse_null(&["issuer", "audiences", "types", "required_header", "required_claims", "revoked"])?;
    let algorithms = match (fields.read("algorithms", named_algorithms)?, reading.profile) {
        (Some(named), _) => named,
        (None, Profile::JwtProxy) => vec![Algorithm::Rs256],
        (None, Profile::Strict) => Algorithm::RS.to_vec(),
    };
    let name = fields.text("name")?.unwrap_or_else(|| node.path().to_owned());
    let issuer = fields.text("issuer")?;
    let owner = Owner { index, name: &name, issuer: issuer.as_deref() };
    let issuer_name =
        fields.read("issuer", |node| self::issuer(node, reading.profile))?.unwrap_or(Issuer::Any);
    let fetched = fields.read("remote_jwks", |node| remote_jwks(node, &owner, reading))?;
    let revoked = fields.read("revoked", |node| revoked(node, &owner, reading))?;
    let key_nodes = fields.get("keys");
    if key_nodes.is_none() && fetched.is_none() {
        return fields.refuse("keys", "write at least one key, or `remote_jwks`");
    }
    let mut all_keys = Vec::new();
    if let Some(key_nodes) = &key_nodes {
        for key in key_nodes.non_empty_list("write at least one key")? {
            all_keys.extend(keys(&key, &algorithms, reading)?);
        }
    }
    let claim_headers = fields.read("claim_headers", claim_headers)?.unwrap_or_default();
    let max_ttl = fields.read("max_ttl_seconds", Node::seconds)?;
    let require_exp = fields.flag("require_exp")?;
    if max_ttl.is_some() && require_exp == Some(false) {
        return fields.refuse("require_exp", "`max_ttl_seconds` needs `exp`; leave out one of the two");
    }
    let subject_claim = fields.read("subject_claim", claim_name)?.unwrap_or_else(|| "sub".into());
    let provider = Provider {
        realm: format!("{}\n{subject_claim}", issuer.as_deref().unwrap_or(&name)).into(),
        name,
        issuer: issuer_name,
        audiences: fields.read("audiences", audiences)?,
        subject_claim,
        algorithms: algorithms.clone(),
        keys: all_keys,
        skipped: reading.skipped.drain(..).map(|key| Rc::new(Skipping::new(key, None))).collect(),
        fetched,
        revoked,
        clock_skew: fields.read("clock_skew_seconds", Node::seconds)?.unwrap_or(DEFAULT_SKEW),
        max_ttl,
        require_exp: require_exp.unwrap_or(true),
        types: fields.read("types", types)?,
        required_header: fields.read("required_header", required_header)?.unwrap_or_default(),
        required_claims: fields
            .read("required_claims", |node| required_claims(node, reading, None))?
            .unwrap_or_default(),
        kept_claims: claim_headers.iter().map(|header| header.claim.clone()).collect(),
        profile: reading.profile,
    };
    for algorithm in algorithms {
        let tried = provider.keys_tried_without_kid(algorithm);
        if let Some(key_nodes) = &key_nodes
            && tried > Budget::SIGNATURES.into()
        {
            let message = format!(
                "a token of {} without `kid` may be any of {tried} keys, but at most {} signatures are checked per \
                 request",
                algorithm.name(),
                Budget::SIGNATURES
            );
            reading.warn(key_nodes, &message);
        }
    }
    Ok((provider, claim_headers))
}

/// One that differs by tenant has the name of a claim in braces.
fn issuer(node: &Node<'_>, profile: Profile) -> Result<Issuer> {
    let text = node.non_empty_text()?;
    let exactly = || Issuer::Exactly(text.to_owned());
    if profile == Profile::JwtProxy || !text.contains(['{', '}']) {
        return Ok(exactly());
    }
    let parts = text.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)));
    match parts {
        Some((before, (claim, after)))
            if !claim.is_empty() && !before.is_empty() && ![before, claim, after].concat().contains(['{', '}']) =>
        {
            Ok(Issuer::OfTenant { before: before.to_owned(), claim: claim.into(), after: after.to_owned() })
        }
        Some(_) | None => node.refuse(
            "write one claim in braces, which must say what stands there, as in https://login.example.com/{tid}/v2.0",
        ),
    }
}

fn named_algorithms(node: &Node<'_>) -> Result<Vec<Algorithm>> {
    let names = node.non_empty_list("leave it out for RS256, RS384 and RS512")?;
    let mut algorithms = Vec::new();
    for name in names {
        let algorithm = name.word(&Algorithm::NAMES)?;
        if !algorithms.contains(&algorithm) {
            algorithms.push(algorithm);
        }
    }
    Ok(algorithms)
}

fn audiences(node: &Node<'_>) -> Result<Vec<String>> {
    let names = node.non_empty_list("that admits nobody; leave it out if `aud` is not to be checked")?;
    names.iter().map(|name| name.non_empty_text().map(str::to_owned)).collect()
}

fn types(node: &Node<'_>) -> Result<Vec<String>> {
    let names = node.non_empty_list("that admits nobody; leave it out if `typ` is not to be checked")?;
    names.iter().map(|name| name.non_empty_text().map(str::to_owned)).collect()
}

fn required_header(node: &Node<'_>) -> Result<Vec<(String, Value)>> {
    Ok(node.members()?.into_iter().map(|(name, value)| (name, value.value().clone())).collect())
}

fn claim_headers(node: &Node<'_>) -> Result<Vec<ClaimHeader>> {
    let mut headers: Vec<ClaimHeader> = Vec::new();
    for (written, node) in node.members()? {
        let name = written.to_ascii_lowercase();
        if name.starts_with(':') {
            return node.refuse("a pseudo-header is no place for a claim");
        }
        if !is_token(&name) {
            return node.refuse("this is no header name");
        }
        if is_hop_by_hop(&name) || ["authorization", "cookie", "host"].contains(&name.as_str()) {
            return node.refuse("this header is no place for a claim; take a name like x-jwt-sub");
        }
        if headers.iter().any(|other| other.name == name) {
            return node.refuse("the same header is written twice; names do not differ by case");
        }
        let (claim, format) = claim_header(&node)?;
        headers.push(ClaimHeader { name, claim, format });
    }
    Ok(headers)
}

/// A claim, and how it is written.
fn claim_header(node: &Node<'_>) -> Result<(ClaimName, Format)> {
    const FORMATS: &[(&str, Format)] = &[
        ("plain", Format::Plain),
        ("comma_list", Format::CommaList),
        ("json", Format::Json),
        ("percent_encoded", Format::PercentEncoded),
    ];
    if !node.value().is_object() {
        return Ok((claim_name(node)?, Format::default()));
    }
    let fields = node.fields(&["claim", "format"])?;
    let Some(claim) = fields.read("claim", claim_name)? else {
        return fields.refuse("claim", "write the name of a claim");
    };
    Ok((claim, fields.read("format", |node| node.word(FORMATS))?.unwrap_or_default()))
}
