//! Browser sessions.

use serde_json::Map;

use super::claims::claim_name;
use super::error::Result;
use super::reader::Node;
use super::{is_token, is_url_text};
use crate::address::{Origin, ReturnAddress, form_pairs};
use crate::cookie::{CookieTemplate, SameSite, Secure};
use crate::jwt::{ClaimName, Profile};
use crate::origins::AllowedOrigins;
use crate::path::PlainPath;
use crate::session::{Csrf, Login, Session};

pub(super) fn session(node: &Node<'_>, profile: Profile) -> Result<Session> {
    const CSRF: &[(&str, Csrf)] = &[("enforce", Csrf::Enforce), ("strict", Csrf::Strict), ("off", Csrf::Off)];

    let fields = node.fields(&[
        "auth_path",
        "logout_path",
        "cookie",
        "login_url",
        "login_params",
        "logout_url",
        "info_path",
        "info_claims",
        "return_param",
        "allowed_origins",
        "public_base_path",
        "external_url",
        "revoke_on_logout",
        "csrf",
    ])?;
    let return_param = fields.text("return_param")?.unwrap_or_else(|| "redirectUrl".into());
    let params = fields.read("login_params", login_params)?;
    let login_url = fields.get("login_url");
    if login_url.is_none() && params.is_some() {
        return fields.refuse("login_params", "there is no `login_url` that they could be for");
    }
    let params = params.unwrap_or_else(|| vec![(return_param.clone(), pieces("{url}"))]);
    let login = login_url.map(|node| login(&node, &params)).transpose()?;

    let auth_path = fields.read("auth_path", endpoint)?.or_else(|| Some("/jwt/auth".into()));
    let logout_path = fields.read("logout_path", endpoint)?;
    let (auth_path, logout_path) = match profile {
        Profile::JwtProxy => (auth_path.filter(|_| login.is_some()), logout_path),
        Profile::Strict => (auth_path, logout_path.or_else(|| Some("/jwt/logout".into()))),
    };
    if auth_path == logout_path && auth_path.is_some() {
        return fields.refuse("logout_path", "this is the `auth_path`, too");
    }
    let info_path = fields.read("info_path", endpoint)?;
    let info_claims = fields.read("info_claims", info_claims)?;
    let info = match (info_path, info_claims) {
        (None, Some(_)) => {
            return fields.refuse("info_claims", "there is no `info_path` that could tell them");
        }
        (Some(path), _) if [&auth_path, &logout_path].contains(&&Some(path.clone())) => {
            return fields.refuse("info_path", "this is the `auth_path` or the `logout_path`, too");
        }
        (path, claims) => path.map(|path| (path, claims.unwrap_or_default())),
    };
    let csrf = match (fields.read("csrf", |node| node.word(CSRF))?, profile) {
        (Some(csrf), _) => csrf,
        (None, Profile::JwtProxy) => Csrf::Off,
        (None, Profile::Strict) => Csrf::Enforce,
    };
    let empty = Map::new().into();
    let login_is_https = login.as_ref().is_some_and(|login| login.address.starts_with("https://"));
    Ok(Session {
        auth_path,
        logout_path,
        info,
        logout_url: fields.read("logout_url", away)?,
        cookie: cookie(&fields.get("cookie").unwrap_or(Node::root(&empty)), profile, login_is_https)?,
        login,
        return_param,
        allowed_origins: fields.read("allowed_origins", allowed_origins)?.unwrap_or_default(),
        public_base_path: fields.read("public_base_path", base_path)?.flatten(),
        external: fields.read("external_url", origin)?,
        revoke_on_logout: fields.flag("revoke_on_logout")?.unwrap_or(true),
        csrf,
    })
}

/// What does not work where the path of the cookie does not cover an endpoint that reads it.
pub(super) fn narrow_cookie(session: &Session) -> Vec<String> {
    let endpoints = [
        (session.auth_path.as_ref(), "a link can make somebody somebody else unasked"),
        (session.logout_path.as_ref(), "streams do not end with their session"),
        (session.info.as_ref().map(|(path, _)| path), "a page of a session is told of none"),
    ];
    let narrow = endpoints.into_iter().filter_map(|(path, follows)| {
        let path = path.filter(|path| !session.cookie_comes_to(path.as_bytes()))?;
        let own = &session.cookie.path;
        Some(format!(
            "session.cookie.path: {own} does not cover {path}; browsers send no cookie there: {follows}"
        ))
    });
    narrow.collect()
}

fn origin(node: &Node<'_>) -> Result<Origin> {
    let text = node.text()?;
    let origin = Origin::parse(text.strip_suffix('/').unwrap_or(text));
    origin.ok_or_else(|| node.fault("this is no origin; write it like https://che.example.com"))
}

fn allowed_origins(node: &Node<'_>) -> Result<AllowedOrigins> {
    let mut origins = AllowedOrigins::default();
    for node in node.list()? {
        let text = node.text()?;
        if !origins.add(text.strip_suffix('/').unwrap_or(text)) {
            return node.refuse(
                "this is no origin; write it like https://che.example.com (for WebSockets, too), capacitor://localhost, or \
                 https://*.ide.example.com, where * is one label, with two or more behind it that are nobody else's",
            );
        }
    }
    Ok(origins)
}

fn info_claims(node: &Node<'_>) -> Result<Vec<ClaimName>> {
    node.list()?.iter().map(claim_name).collect()
}

/// A path or URL where a person is sent.
fn away(node: &Node<'_>) -> Result<String> {
    let text = node.text()?;
    let is_address = is_url_text(text) && ReturnAddress::parse(text).is_some();
    if is_address { Ok(text.to_owned()) } else { node.refuse(NO_ADDRESS) }
}

const NO_ADDRESS: &str = "write an http or https URL, or a path with one leading slash";

fn endpoint(node: &Node<'_>) -> Result<String> {
    let text = node.text()?;
    match PlainPath::new(text.as_bytes()) {
        Some(plain) if plain.as_str() == text && !text.ends_with('/') && !text.contains('?') => {
            Ok(text.to_owned())
        }
        _ => node.refuse("write a path like /jwt/auth, without a slash at its end"),
    }
}

/// None if it is not written: to JwtProxy a written `/` is not the same.
fn base_path(node: &Node<'_>) -> Result<Option<String>> {
    let text = node.text()?;
    if !is_url_text(text) || text.contains(['?', '#', '%']) || text.contains("//") {
        return node.refuse("write a path like /workspace1/ide");
    }
    let trimmed = text.trim_matches('/');
    Ok(match (text, trimmed) {
        ("", _) => None,
        (_, "") => Some(String::new()),
        _ => Some(format!("/{trimmed}")),
    })
}

fn cookie(node: &Node<'_>, profile: Profile, login_is_https: bool) -> Result<CookieTemplate> {
    const SAME_SITE: &[(&str, SameSite)] =
        &[("Lax", SameSite::Lax), ("None", SameSite::None), ("Strict", SameSite::Strict)];
    const ENDS_WITH_TOKEN: &[(&str, bool)] = &[("token", true), ("session", false)];

    let fields = node.fields(&["name", "path", "domain", "same_site", "secure", "partitioned", "max_age"])?;
    let name = fields.text("name")?.unwrap_or_else(|| "access_token".into());
    if !is_token(&name) {
        return fields.refuse("name", "this is no cookie name");
    }
    let path = fields.read("path", |node| node.text().map(str::to_owned))?;
    let path = path.filter(|path| !path.is_empty()).unwrap_or_else(|| "/".into());
    if !path.starts_with('/') || !is_url_text(&path) || path.contains(';') {
        return fields.refuse("path", "write a path with a leading slash");
    }
    let domain = fields.text("domain")?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    if domain.as_ref().is_some_and(|domain| !domain.bytes().all(fits)) {
        return fields.refuse("domain", "write a host name, like example.com");
    }
    let same_site = match (fields.read("same_site", |node| node.word(SAME_SITE))?, profile) {
        (Some(same_site), _) => same_site,
        (None, Profile::JwtProxy) if login_is_https => SameSite::None,
        (None, Profile::JwtProxy | Profile::Strict) => SameSite::Lax,
    };
    let secure = match (fields.read("secure", secure)?, profile) {
        (Some(secure), _) => secure,
        (None, Profile::Strict) => Secure::Auto,
        (None, Profile::JwtProxy) if login_is_https => Secure::Always,
        (None, Profile::JwtProxy) => Secure::Never,
    };
    let partitioned = fields.flag("partitioned")?.unwrap_or_default();
    if secure == Secure::Never {
        let why = if same_site == SameSite::None {
            Some("`same_site: None`")
        } else if partitioned {
            Some("`partitioned`")
        } else if has_prefix(&name, "__Host-") || has_prefix(&name, "__Secure-") {
            Some("its name")
        } else {
            None
        };
        if let Some(why) = why {
            let message = format!("browsers drop such a cookie: {why} needs `secure: true` or `auto`");
            return fields.refuse("secure", message);
        }
    }
    if has_prefix(&name, "__Host-") && (domain.is_some() || path != "/") {
        let field = if domain.is_some() { "domain" } else { "path" };
        let message = "browsers drop such a cookie: a name with __Host- needs `path: /` and no `domain`";
        return fields.refuse(field, message);
    }
    let max_age =
        fields.read("max_age", |node| node.word(ENDS_WITH_TOKEN))?.unwrap_or(profile == Profile::Strict);
    Ok(CookieTemplate { name, path, domain, same_site, secure, partitioned, scheme: None, max_age })
}

/// Browsers compare the prefixes without regard to case (RFC 6265bis section 5.4).
fn has_prefix(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn secure(node: &Node<'_>) -> Result<Secure> {
    match (node.value().as_bool(), node.value().as_str()) {
        (Some(true), _) => Ok(Secure::Always),
        (Some(false), _) => Ok(Secure::Never),
        (None, Some("auto")) => Ok(Secure::Auto),
        (None, _) => node.refuse("write `auto`, true or false"),
    }
}

/// Names, and values with a gap for each `{url}`.
type LoginParams = Vec<(String, Vec<String>)>;

fn login_params(node: &Node<'_>) -> Result<LoginParams> {
    let param = |(name, node): (String, Node<'_>)| {
        let pieces = pieces(node.text()?);
        if pieces.iter().any(|piece| piece.contains(['{', '}'])) {
            return node.refuse("only {url} can stand in braces");
        }
        Ok((name, pieces))
    };
    node.members()?.into_iter().map(param).collect()
}

fn pieces(text: &str) -> Vec<String> {
    text.split("{url}").map(str::to_owned).collect()
}

/// A parameter of `login_params` replaces one of the URL, and all are sorted by name.
fn login(node: &Node<'_>, params: &LoginParams) -> Result<Login> {
    let url = node.text()?;
    let (rest, fragment) = match url.split_once('#') {
        Some((rest, fragment)) => (rest, Some(fragment)),
        None => (url, None),
    };
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    let has_origin = || {
        let (scheme, rest) = address.split_once("://")?;
        Origin::parse(&format!("{scheme}://{}", rest.split('/').next()?))
    };
    let is_path = address.starts_with('/') && !address.starts_with("//");
    if !is_url_text(url) || !is_path && has_origin().is_none() {
        return node.refuse(NO_ADDRESS);
    }
    let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    let own = form_pairs(query.as_bytes());
    let own = own.map(|(name, value)| (text(&name), vec![text(&value)]));
    let own = own.filter(|(name, _)| params.iter().all(|(other, _)| other != name));
    let mut all: LoginParams = Vec::new();
    for (name, value) in own.chain(params.iter().cloned()) {
        let place = all.partition_point(|(other, _)| *other <= name);
        all.insert(place, (name, value));
    }
    Ok(Login::new(address, &all, fragment))
}
