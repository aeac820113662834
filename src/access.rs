//! What the head of a request tells of who asks: a person, a script, gRPC; this site or another.

use crate::address::Origin;
use crate::http::{RequestHead, is_token};
use crate::origins::AllowedOrigins;

/// Who waits for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// A gRPC client.
    Grpc,
    /// A gRPC-Web client.
    GrpcWeb,
    /// A person, whose browser shows the answer as a page.
    Navigation,
    /// A program: fetch, XHR, WebSocket, an image, curl.
    Script,
}

impl Asking {
    /// Decides by what browsers say of a request (Fetch metadata), else by what is customary.
    #[must_use]
    pub fn of(head: &RequestHead<'_>) -> Self {
        let mode = head.value("sec-fetch-mode");
        let shows_page = head.value("sec-fetch-dest").map(is_page);
        let by_metadata = match (mode, shows_page) {
            // A link to download has no page to show the answer in, and a browser would save it as the file.
            (Some(mode), shows_page) => Some(mode == b"navigate" && shows_page != Some(false)),
            (None, shows_page) => shows_page,
        };
        if by_metadata == Some(true) {
            return Self::Navigation;
        }
        if let Some(grpc) = Self::grpc(head) {
            return grpc;
        }
        let navigates = by_metadata.is_none()
            && !is_upgrade(head)
            && !is_xhr(head)
            && head.values("accept").any(|accept| accepts(accept, b"text/html"));
        if navigates { Self::Navigation } else { Self::Script }
    }

    /// gRPC by its media type, as Envoy tells it, to the letter: what it does not take for gRPC it would answer by 200.
    fn grpc(head: &RequestHead<'_>) -> Option<Self> {
        let content_type = head.value("content-type")?;
        if starts_with(content_type, b"application/grpc-web") {
            return Some(Self::GrpcWeb);
        }
        let subtype = content_type.strip_prefix(b"application/grpc")?;
        matches!(subtype.first(), None | Some(b'+')).then_some(Self::Grpc)
    }
}

/// Android's web view writes the name of its application there, with every navigation.
fn is_xhr(head: &RequestHead<'_>) -> bool {
    head.value("x-requested-with").is_some_and(|by| by.eq_ignore_ascii_case(b"xmlhttprequest"))
}

/// Whether that destination of a navigation is shown as a page (Fetch section 3.2.7).
fn is_page(destination: &[u8]) -> bool {
    matches!(destination, b"document" | b"embed" | b"fencedframe" | b"frame" | b"iframe" | b"object")
}

/// Whether what is asked for stays open for long: a WebSocket or another protocol, an event stream, gRPC.
#[must_use]
pub fn opens_stream(head: &RequestHead<'_>) -> bool {
    is_upgrade(head)
        || head.method() == b"CONNECT"
        || Asking::grpc(head).is_some()
        || head.values("accept").any(|accept| accepts(accept, b"text/event-stream"))
}

fn starts_with(text: &[u8], prefix: &[u8]) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn accepts(accept: &[u8], media_type: &[u8]) -> bool {
    accept.split(|byte| *byte == b',').any(|range| {
        let range = range.split(|byte| *byte == b';').next().unwrap_or_default();
        range.trim_ascii().eq_ignore_ascii_case(media_type)
    })
}

/// Whether the browser asks before the person did, to have the answer at hand.
#[must_use]
pub fn is_prefetch(head: &RequestHead<'_>) -> bool {
    ["sec-purpose", "purpose"]
        .iter()
        .any(|name| head.value(name).is_some_and(|purpose| starts_with(purpose, b"prefetch")))
}

/// Whether the body is a form (`application/x-www-form-urlencoded`).
#[must_use]
pub fn brings_form(head: &RequestHead<'_>) -> bool {
    let kind = head.value("content-type").unwrap_or_default();
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default();
    head.method() == b"POST" && kind.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}

/// Proof that a request is a CORS preflight, which browsers send without credentials; only [`preflight`] and
/// [`jwtproxy_preflight`] make one.
#[derive(Clone, Copy, Debug)]
pub struct Preflight(());

/// Tells a CORS preflight (Fetch section 4.8): it asks in one line each, and that is all it does. One with a body or that opens
/// another protocol is none: what follows it would reach the upstream unseen.
#[must_use]
pub fn preflight(head: &RequestHead<'_>) -> Option<Preflight> {
    // Envoy joins the lines of an Origin by commas.
    let is_one = |origin: &[u8]| !origin.is_empty() && memchr::memchr2(b',', b' ', origin).is_none();
    let asks = only_value(head, "origin").is_some_and(is_one)
        && only_value(head, "access-control-request-method").is_some_and(is_token);
    (asks && is_bare_options(head)).then_some(Preflight(()))
}

/// Tells what JwtProxy takes for a preflight: OPTIONS with any header whose name starts so.
#[must_use]
pub fn jwtproxy_preflight(head: &RequestHead<'_>) -> Option<Preflight> {
    let asks = head.names().any(|name| name.starts_with("access-control-request"));
    (asks && is_bare_options(head)).then_some(Preflight(()))
}

fn is_bare_options(head: &RequestHead<'_>) -> bool {
    head.method() == b"OPTIONS"
        && !is_upgrade(head)
        && !head.has_body()
        && head.value("transfer-encoding").is_none()
        && head.values("content-length").all(|length| length == b"0")
}

/// The value of a header that stands in one line.
fn only_value<'r>(head: &RequestHead<'r>, name: &str) -> Option<&'r [u8]> {
    let mut values = head.values(name);
    values.next().filter(|_| values.next().is_none())
}

/// Whether this opens a WebSocket or another protocol of its own.
#[must_use]
pub fn is_upgrade(head: &RequestHead<'_>) -> bool {
    head.value("upgrade").is_some()
}

/// Whether the method only reads (RFC 9110 section 9.2.1). TRACE is none of them: it returns the cookies.
#[must_use]
pub fn is_safe_method(head: &RequestHead<'_>) -> bool {
    matches!(head.method(), b"GET" | b"HEAD" | b"OPTIONS")
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// From an origin of `allowed_origins`.
    Allowed,
    /// From another origin.
    Cross,
    /// From this origin, or typed by the person.
    Same,
    /// Nothing says so: no browser of today sent it, or an old one a plain link.
    Unknown,
}

/// What the request says of its origin: `Sec-Fetch-Site`, which no page can forge, else `Origin`, whose host and port
/// are compared with our own.
#[must_use]
pub fn site(head: &RequestHead<'_>, own_authority: &[u8], allowed: &AllowedOrigins) -> Site {
    let mut origins = head.values("origin");
    let origin = origins.next();
    let only =
        origin.filter(|_| origins.next().is_none()).and_then(|origin| std::str::from_utf8(origin).ok());
    let parsed = only.and_then(Origin::parse);
    let is_allowed = only.is_some_and(|text| allowed.has_text(text, parsed.as_ref()));
    match head.value("sec-fetch-site") {
        Some(b"same-origin" | b"none") => Site::Same,
        Some(_) if is_allowed || origin.is_none() && comes_from(head, allowed) => Site::Allowed,
        Some(_) => Site::Cross,
        None => match (origin, parsed) {
            (None, _) => Site::Unknown,
            (Some(_), Some(origin)) if origin.has_authority(own_authority) => Site::Same,
            (Some(_), _) if is_allowed => Site::Allowed,
            (Some(_), _) => Site::Cross,
        },
    }
}

/// A navigation has no `Origin`; its `Referer` may name one.
fn comes_from(head: &RequestHead<'_>, allowed: &AllowedOrigins) -> bool {
    referer(head).is_some_and(|(origin, _)| allowed.has(&origin))
}

/// Origin and path of the page that made the request, if it says so.
#[must_use]
pub fn referer<'r>(head: &RequestHead<'r>) -> Option<(Origin, &'r str)> {
    let text = std::str::from_utf8(head.value("referer")?).ok()?;
    let (scheme, rest) = text.split_once("://")?;
    let (authority, _) = rest.split_once('/')?;
    let origin = Origin::parse(&format!("{scheme}://{authority}"))?;
    let path = rest.strip_prefix(authority)?;
    Some((origin, path.split('#').next()?))
}

/// The `Origin` of a request, if it is one of `allowed`.
#[must_use]
pub fn allowed_origin<'r>(head: &RequestHead<'r>, allowed: &AllowedOrigins) -> Option<&'r str> {
    let mut origins = head.values("origin");
    let origin = std::str::from_utf8(origins.next()?).ok()?;
    let known = allowed.has_text(origin, Origin::parse(origin).as_ref());
    (known && origins.next().is_none()).then_some(origin)
}
