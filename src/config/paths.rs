//! The paths that need no token.

use regex_lite::Regex;

use super::error::Result;
use super::reader::{Fields, Node};
use super::{Reading, is_token, provider_names};
use crate::jwt::{Profile, Provider};
use crate::path::{Identity, PathPattern, PlainPath, PublicPath, PublicPaths};

/// Reads `public_paths` and `open`: nothing may be open by mistake.
pub(super) fn public_paths(
    fields: &Fields<'_>,
    providers: &[Provider],
    reading: &mut Reading<'_>,
) -> Result<PublicPaths> {
    let open = fields.flag("open")?.unwrap_or_default();
    let Some(list) = fields.get("public_paths") else { return Ok(PublicPaths::default()) };
    let nodes = list.list()?;
    let paths =
        nodes.iter().map(|node| public_path(node, providers, reading.profile)).collect::<Result<_>>()?;
    let paths = PublicPaths(paths);
    if paths.is_everything() {
        // One of them alone, or all together.
        let alone = paths.0.iter().position(|path| PublicPaths(vec![path.clone()]).is_everything());
        let list = alone.and_then(|index| nodes.get(index)).unwrap_or(&list);
        if reading.profile == Profile::Strict && !open {
            return list.refuse(
                "this matches every path, so nothing is protected; write `open: true` beside it if that is meant",
            );
        }
        reading.warn(list, "this matches every path, so nothing is protected");
    }
    Ok(paths)
}

fn public_path(node: &Node<'_>, providers: &[Provider], profile: Profile) -> Result<PublicPath> {
    let fields = node.fields(&["exact", "prefix", "regex", "methods", "identity", "providers"])?;
    fields.refuse_null(&["methods", "identity", "providers"])?;
    let (kind, written) = fields.only(&["exact", "prefix", "regex"], node)?;
    let pattern = match kind {
        "exact" => PathPattern::Exact(plain(&written)?),
        "prefix" => PathPattern::Prefix(plain(&written)?),
        _ => expression(&written, profile)?,
    };
    let identity = fields.get("identity");
    if let Some(node) = &identity {
        node.word(&[("optional", ())])?;
        if profile == Profile::JwtProxy {
            return node.refuse("the profile jwtproxy looks at no token on a public path");
        }
    }
    let providers = fields.read("providers", |node| match &identity {
        None => node.refuse("no token is looked at here, unless `identity: optional` is written beside it"),
        Some(_) => provider_names(node, providers),
    })?;
    let identity = identity.map(|_| Identity { providers });
    Ok(PublicPath { pattern, methods: fields.read("methods", methods)?, identity })
}

pub(super) fn methods(node: &Node<'_>) -> Result<Vec<String>> {
    let fits = |text: &str| is_token(text) && !text.bytes().any(|byte| byte.is_ascii_lowercase());
    node.non_empty_list("leave it out for all methods")?
        .iter()
        .map(|method| match method.text()? {
            text if fits(text) => Ok(text.to_owned()),
            _ => method.refuse("write a method in upper case, like GET"),
        })
        .collect()
}

/// A pattern that no normalised path could ever equal is a mistake.
pub(super) fn plain(node: &Node<'_>) -> Result<String> {
    let text = node.text()?;
    match PlainPath::new(text.replace('%', "%25").as_bytes()) {
        Some(plain) if plain.as_str() == text => Ok(text.to_owned()),
        _ => node.refuse(
            "write the path as it is after percent-decoding, with a leading slash and without dot segments",
        ),
    }
}

fn expression(node: &Node<'_>, profile: Profile) -> Result<PathPattern> {
    let text = node.text()?;
    if text.is_empty() {
        return node.refuse("an empty expression matches every path; leave it out");
    }
    if profile == Profile::Strict && !text.starts_with('^') {
        let anchored = text.trim_start_matches('/');
        return node.refuse(format!(
            "the expression is searched in the whole path; begin it with ^, as in ^/{anchored}"
        ));
    }
    let regex =
        Regex::new(text).map_err(|fault| node.fault(format!("this is no regular expression: {fault}")))?;
    Ok(match profile {
        Profile::JwtProxy => PathPattern::Regex(regex),
        Profile::Strict => PathPattern::AnchoredRegex(regex),
    })
}
