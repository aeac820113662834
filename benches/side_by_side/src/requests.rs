//! Requests, made before the clock runs.

use std::sync::Arc;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};

use crate::filters;

/// What is sent again and again, with or without a body.
pub(crate) type Body = Full<Bytes>;

/// How a request is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, without TLS.
    Http2,
}

/// Where the token stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Source {
    /// `authorization: Bearer …`.
    Bearer,
    /// A cookie, in the middle of thirty others.
    Cookie,
    /// The query.
    Query,
}

/// Who answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Route {
    /// Envoy by itself.
    Direct,
    /// Another process on this machine.
    Upstream,
}

/// The requests of a slice, in order.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    common: Arc<HeaderMap>,
    different: Arc<[Different]>,
    order: Arc<[u32]>,
    body: Bytes,
}

/// What sets one request apart: its address and perhaps a header.
type Different = (Uri, Option<(HeaderName, HeaderValue)>);

impl Batch {
    /// A request for each place in `order`, with the token of that number.
    pub(crate) fn new(
        protocol: Protocol,
        route: Route,
        source: Source,
        tokens: &[String],
        order: Vec<u32>,
    ) -> Self {
        let origin = match protocol {
            Protocol::Http1 => "",
            Protocol::Http2 => "http://workspace.example.com",
        };
        let folder = match route {
            Route::Direct => "direct",
            Route::Upstream => "upstream",
        };
        let different = tokens.iter().map(|token| {
            let path = format!("{origin}/{folder}{}", path(source, token));
            let header = header(source, token).map(|(name, value)| {
                (name, HeaderValue::from_maybe_shared(Bytes::from(value)).expect("a header value"))
            });
            (Uri::from_maybe_shared(Bytes::from(path)).expect("a URI"), header)
        });
        let mut common = HeaderMap::new();
        for (name, value) in COMMON {
            common.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        if protocol == Protocol::Http2 {
            common.remove("host");
        }
        Self {
            common: Arc::new(common),
            different: different.collect(),
            order: order.into(),
            body: Bytes::new(),
        }
    }

    /// The same by POST with a body of that length, if it has one.
    pub(crate) fn with_body(self, length: usize) -> Self {
        Self { body: vec![b'x'; length].into(), ..self }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u32 {
        self.order.len().try_into().expect("some thousand requests")
    }

    /// That request.
    pub(crate) fn request(&self, place: u32) -> Request<Body> {
        let index = |number: u32| usize::try_from(number).expect("an index");
        let (uri, header) = &self.different[index(self.order[index(place)])];
        let mut request = Request::new(Body::new(self.body.clone()));
        if !self.body.is_empty() {
            *request.method_mut() = Method::POST;
        }
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = (*self.common).clone();
        if let Some((name, value)) = header {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        request
    }
}

/// What a browser sends with a fetch, in letters as HTTP/2 has them.
pub(crate) const COMMON: [(&str, &str); 12] = [
    ("host", "workspace.example.com"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"),
    ("accept", "application/json, text/plain, */*"),
    ("accept-language", "en-GB,en;q=0.8,de;q=0.5"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("referer", "https://workspace.example.com/notes"),
    ("x-requested-with", "XMLHttpRequest"),
    ("sec-fetch-dest", "empty"),
    ("sec-fetch-mode", "cors"),
    ("sec-fetch-site", "same-origin"),
    ("priority", "u=1, i"),
    ("sec-gpc", "1"),
];

/// The path below the folder that chooses who answers, with its query.
pub(crate) fn path(source: Source, token: &str) -> String {
    match source {
        Source::Query => format!("/notes?page=2&{}={token}", filters::PARAMETER),
        Source::Bearer | Source::Cookie => "/notes?page=2".into(),
    }
}

/// The header with the token.
pub(crate) fn header(source: Source, token: &str) -> Option<(HeaderName, String)> {
    match source {
        Source::Query => None,
        Source::Bearer => Some((AUTHORIZATION, format!("Bearer {token}"))),
        Source::Cookie => {
            let others = |numbers: std::ops::Range<u8>| -> Vec<String> {
                numbers.map(|number| format!("preference_{number}=value-{number}-4f1d9c")).collect()
            };
            let own = format!("{}={token}", filters::COOKIE);
            let all = [others(0..15), vec![own], others(15..30)].concat();
            Some((COOKIE, all.join("; ")))
        }
    }
}
