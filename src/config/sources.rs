//! Where tokens are looked for, and what the upstream sees of them.

use super::error::Result;
use super::reader::{Fields, Node};
use super::{is_hop_by_hop, is_token};
use crate::claim_headers::ClaimHeaders;
use crate::extract::{ForwardToken, SourceKind, TokenSource, TokenSources};
use crate::jwt::{Base64Url, Profile};
use crate::session::Session;

pub(super) fn token_sources(
    fields: &Fields<'_>,
    session: Option<&Session>,
    profile: Profile,
) -> Result<TokenSources> {
    let mut sources = Vec::new();
    match fields.get("token_sources") {
        None => sources = defaults(session, profile),
        Some(node) => {
            for node in node.non_empty_list("leave it out for the default")? {
                let source = token_source(&node)?;
                if sources.iter().any(|other: &TokenSource| other.is_same(&source)) {
                    return node.refuse("this source is written twice");
                }
                if let SourceKind::Cookie { name, .. } = &source.at {
                    check_cookie(&node, name, session, profile)?;
                }
                sources.push(source);
            }
        }
    }
    let sources = TokenSources::new(sources);
    if let Some(session) = session {
        let has_cookie = sources.has_cookie();
        if profile == Profile::Strict && !has_cookie {
            let name = &session.cookie.name;
            let message = format!(
                "the session's cookie is no source, so it would never be read; add {{cookie: {name}}}"
            );
            return fields.refuse("token_sources", message);
        }
        if sources.has_parameter(&session.return_param) {
            return fields.refuse("session.return_param", "this is the parameter with the token");
        }
    }
    Ok(sources)
}

/// What does not work where tokens of one form are not read from the cookie.
pub(super) fn unkept_tokens(session: &Session, sources: &TokenSources) -> Option<String> {
    let (which, padded) = match sources.unkept_form().filter(|_| sources.has_cookie())? {
        Base64Url::Bare => ("without", ""),
        Base64Url::Padded => ("with", ", padded: true"),
    };
    let name = &session.cookie.name;
    let scheme = sources.cookie_scheme().map_or_else(String::new, |scheme| format!(", scheme: {scheme}"));
    Some(format!(
        "token_sources: nobody can sign in with a token {which} padding, as no such token is read from a cookie; \
         where somebody is to, add {{cookie: {name}{scheme}{padded}}}"
    ))
}

fn check_cookie(node: &Node<'_>, name: &str, session: Option<&Session>, profile: Profile) -> Result<()> {
    match session {
        None if profile == Profile::Strict => {
            node.refuse("a cookie is only read with a `session`; write one, or leave out this source")
        }
        Some(session) if name != session.cookie.name => node
            .refuse(format!("the session's cookie is named `{}`; write the same name", session.cookie.name)),
        Some(_) | None => Ok(()),
    }
}

fn defaults(session: Option<&Session>, profile: Profile) -> Vec<TokenSource> {
    let bare = |at| TokenSource { at, form: Base64Url::Bare };
    let cookie = |session: &Session| SourceKind::Cookie { name: session.cookie.name.clone(), scheme: None };
    let cookie = session.map(|session| bare(cookie(session)));
    let header = bare(SourceKind::Header { name: "authorization".into(), scheme: Some("Bearer".into()) });
    let query = bare(SourceKind::Query("token".into()));
    match profile {
        Profile::JwtProxy => [query, header].into_iter().chain(cookie).collect(),
        Profile::Strict => cookie.into_iter().chain([header, query]).collect(),
    }
}

fn token_source(node: &Node<'_>) -> Result<TokenSource> {
    let fields = node.fields(&["cookie", "header", "scheme", "query", "padded"])?;
    let (kind, written) = fields.only(&["cookie", "header", "query"], node)?;
    let name = written.non_empty_text()?;
    let written_scheme = fields.get("scheme");
    let scheme = written_scheme.as_ref().map(checked_scheme).transpose()?;
    let at = match (kind, &written_scheme) {
        ("header", _) => SourceKind::Header { name: header_name(&written)?, scheme },
        ("cookie", _) if !is_token(name) => return written.refuse("this is no cookie name"),
        ("cookie", _) => SourceKind::Cookie { name: name.to_owned(), scheme },
        (_, Some(scheme)) => return scheme.refuse("only a `header` or a `cookie` has a scheme"),
        (_, None) => SourceKind::Query(name.to_owned()),
    };
    let is_padded = fields.flag("padded")?.unwrap_or_default();
    Ok(TokenSource { at, form: if is_padded { Base64Url::Padded } else { Base64Url::Bare } })
}

fn header_name(node: &Node<'_>) -> Result<String> {
    let name = node.text()?.to_ascii_lowercase();
    match name.as_str() {
        "cookie" | "host" => {
            node.refuse("this header is no place for a token; for cookies write {cookie: NAME}")
        }
        text if is_hop_by_hop(text) => node.refuse("this header ends at the proxy; take another"),
        text if is_token(text) => Ok(name),
        _ => node.refuse("this is no header name"),
    }
}

fn checked_scheme(node: &Node<'_>) -> Result<String> {
    let scheme = node.text()?;
    if is_token(scheme) {
        Ok(scheme.to_owned())
    } else {
        node.refuse("write the scheme alone, like Bearer; one space follows it")
    }
}

pub(super) fn forward_token(
    fields: &Fields<'_>,
    claim_headers: &ClaimHeaders,
    profile: Profile,
) -> Result<ForwardToken> {
    let Some(node) = fields.get("forward_token") else {
        return Ok(match profile {
            Profile::JwtProxy => ForwardToken::Everything,
            Profile::Strict => ForwardToken::No,
        });
    };
    match (node.value().as_bool(), profile) {
        (Some(true), Profile::JwtProxy) => Ok(ForwardToken::Everything),
        (Some(true), Profile::Strict) => Ok(ForwardToken::Winner),
        (Some(false), _) => Ok(ForwardToken::No),
        (None, _) if node.value().is_object() => {
            let fields = node.fields(&["header", "scheme"])?;
            let Some(header) = fields.get("header") else {
                return fields.refuse("header", "write a header name");
            };
            let name = header_name(&header)?;
            if claim_headers.has_twin(&name) {
                return header.refuse(
                    "a claim is written into this header, or into one that CGI takes for it; take another",
                );
            }
            Ok(ForwardToken::Header { name, scheme: fields.read("scheme", checked_scheme)? })
        }
        (None, _) => node.refuse("write true, false or {header, scheme}"),
    }
}
