//! What is fetched from elsewhere: keys and revoked tokens.

use serde_json::{Map, Value};

use super::Reading;
use super::error::{ConfigError, Result};
use super::reader::{Fields, Node};
use crate::feed::{Discovery, Feed, FeedKind, Source, Uri};
use crate::jwt::{DenyList, FetchedKeys, FetchedList, Revocations};

const KEYS_REFRESH: f64 = 300.0;
const REVOCATIONS_REFRESH: f64 = 10.0;
const TIMEOUT: f64 = 5.0;

/// Whose feed it is.
pub(super) struct Owner<'o> {
    pub index: usize,
    pub name: &'o str,
    pub issuer: Option<&'o str>,
}

/// Reads `remote_jwks`.
pub(super) fn remote_jwks(
    node: &Node<'_>,
    owner: &Owner<'_>,
    reading: &mut Reading<'_>,
) -> Result<FetchedKeys> {
    let fields = node.fields(&[
        "uri",
        "discovery",
        "cluster",
        "jwks_cluster",
        "refresh_seconds",
        "timeout_seconds",
        "allow_http",
    ])?;
    let allow_http = fields.flag("allow_http")?.unwrap_or_default();
    let discovers = fields.flag("discovery")?.unwrap_or_default();
    let jwks_cluster = fields.text("jwks_cluster")?;
    let source = match (fields.get("uri"), discovers) {
        (Some(uri), false) if jwks_cluster.is_none() => Source::At(address(&uri, allow_http)?),
        (Some(_), false) => return fields.refuse("jwks_cluster", "only `discovery` finds keys elsewhere"),
        (Some(_), true) => return fields.refuse("discovery", "the keys are at `uri`; write one of the two"),
        (None, false) => {
            return fields.refuse("uri", "write where the keys are, or `discovery: true` to ask the issuer");
        }
        (None, true) => {
            let Some(issuer) = owner.issuer else {
                return fields.refuse("discovery", "it asks the `issuer`, which is not written");
            };
            if issuer.contains('{') {
                return fields.refuse(
                    "discovery",
                    "the `issuer` is another one for each tenant; write the `uri` of its keys",
                );
            }
            let document = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
            let Some(document) = Uri::parse(&document) else {
                return fields.refuse("discovery", "the `issuer` is no address; write the `uri` of its keys");
            };
            if !document.https && !allow_http {
                return fields.refuse("discovery", HTTP);
            }
            Source::Discovered(Discovery { issuer: issuer.to_owned(), document, allow_http, jwks_cluster })
        }
    };
    let name = format!("the keys of provider {}", owner.name);
    feed(&fields, name, FeedKind::Keys(owner.index), source, KEYS_REFRESH, reading).map(FetchedKeys::of)
}

/// Reads `revoked`.
pub(super) fn revoked(node: &Node<'_>, owner: &Owner<'_>, reading: &mut Reading<'_>) -> Result<Revocations> {
    let fields = node.fields(&["jti", "subjects", "kids", "issued_before", "remote"])?;
    fields.refuse_null(&["jti", "subjects", "kids", "issued_before", "remote"])?;
    let written: Map<String, Value> = node
        .object()?
        .iter()
        .filter(|(name, _)| *name != "remote")
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let written =
        DenyList::from_json(&written).map_err(|fault| ConfigError::new(node.path(), fault.to_string()))?;
    let fetched = fields.read("remote", |node| fetched_list(node, owner, reading))?;
    Ok(Revocations::new(written, fetched))
}

fn fetched_list(node: &Node<'_>, owner: &Owner<'_>, reading: &mut Reading<'_>) -> Result<FetchedList> {
    let fields =
        node.fields(&["uri", "cluster", "refresh_seconds", "timeout_seconds", "allow_http", "optional"])?;
    let allow_http = fields.flag("allow_http")?.unwrap_or_default();
    let Some(uri) = fields.get("uri") else { return fields.refuse("uri", "write where the list is") };
    let source = Source::At(address(&uri, allow_http)?);
    let optional = fields.flag("optional")?.unwrap_or_default();
    let name = format!("the revoked tokens of provider {}", owner.name);
    let kind = FeedKind::Revocations(owner.index);
    let feed = feed(&fields, name, kind, source, REVOCATIONS_REFRESH, reading)?;
    Ok(FetchedList::of(feed, optional))
}

/// The number of a new feed.
fn feed(
    fields: &Fields<'_>,
    name: String,
    kind: FeedKind,
    source: Source,
    refresh: f64,
    reading: &mut Reading<'_>,
) -> Result<usize> {
    let Some(cluster) = fields.text("cluster")? else {
        return fields.refuse("cluster", "write the cluster of Envoy that leads there");
    };
    let refresh = fields.read("refresh_seconds", at_least_one)?.unwrap_or(refresh);
    let timeout = fields.read("timeout_seconds", at_least_one)?.unwrap_or(TIMEOUT);
    reading.feeds.push(Feed { name, kind, source, cluster, refresh, timeout });
    Ok(reading.feeds.len().saturating_sub(1))
}

fn at_least_one(node: &Node<'_>) -> Result<f64> {
    let seconds = node.seconds()?;
    if seconds < 1.0 { node.refuse("write at least one second") } else { Ok(seconds) }
}

const HTTP: &str =
    "whoever is on the way could change it; write an https address, or `allow_http: true` beside it";

fn address(node: &Node<'_>, allow_http: bool) -> Result<Uri> {
    match Uri::parse(node.text()?) {
        Some(uri) if uri.https || allow_http => Ok(uri),
        Some(_) => node.refuse(HTTP),
        None => node.refuse("write an address like https://login.example.com/certs"),
    }
}
