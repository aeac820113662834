//! From a rejection to an answer that suits who asked: numbers 6 and 10 of the crate documentation.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::access::{self, Asking};
use crate::http::{GrpcStatus, RequestHead, Response};
use crate::jwt::VerifyError;
use crate::origins::AllowedOrigins;
use crate::page::{Frames, Opens, Page, request_id};

/// Why a request is not forwarded. `Display` is the line for the operator's log.
#[derive(Clone, Debug, PartialEq)]
pub enum Rejection {
    /// A sign-in in a frame whose browser would drop the cookie.
    CookieBlocked,
    /// A cookie-borne token came with a request that another site made.
    Csrf,
    /// The form that should bring a token is too long.
    FormTooLarge,
    /// The form that should bring a token does not come: it is slow, or the host holds it back.
    FormUnreadable,
    /// A link from elsewhere could replace the session of somebody else, which the browser does not show.
    HiddenSession,
    /// An endpoint was called by a method that it does not have.
    MethodNotAllowed,
    /// No credentials came.
    NoCredentials,
    /// No rule permits it to the token.
    NotPermitted {
        /// The index of the rule that decides; none: what cannot be judged by rules.
        rule: Option<usize>,
    },
    /// A link from elsewhere would replace the session of somebody else.
    OtherSession,
    /// So many requests wait that this one cannot.
    Overloaded,
    /// The first credentials that came are no valid token.
    Token(VerifyError),
    /// The token does not fit into a cookie.
    TokenTooLarge,
    /// The query or the cookies have more than 16,384 pairs.
    TooManyPairs,
}

impl Rejection {
    /// The stable word for it in answers, logs and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::CookieBlocked => "cookie_blocked",
            Self::Csrf => "csrf",
            Self::FormTooLarge => "form_too_large",
            Self::FormUnreadable => "form_unreadable",
            Self::HiddenSession => "hidden_session",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NoCredentials => "missing_token",
            Self::NotPermitted { .. } => "not_permitted",
            Self::OtherSession => "other_session",
            Self::Overloaded => "overloaded",
            Self::Token(fault) => fault.reason(),
            Self::TokenTooLarge => "token_too_large",
            Self::TooManyPairs => "too_many_pairs",
        }
    }

    /// Whether it is a fault of ours that the log should tell of, and did not yet.
    #[must_use]
    pub fn is_news(&self) -> bool {
        matches!(self, Self::Token(fault) if fault.is_news())
    }

    /// Whether other credentials would help.
    #[must_use]
    pub const fn is_about_credentials(&self) -> bool {
        match self {
            Self::Token(fault) => !fault.is_of_the_proxy(),
            Self::HiddenSession | Self::NoCredentials | Self::NotPermitted { .. } | Self::OtherSession => {
                true
            }
            Self::CookieBlocked
            | Self::Csrf
            | Self::FormTooLarge
            | Self::FormUnreadable
            | Self::MethodNotAllowed
            | Self::Overloaded
            | Self::TokenTooLarge
            | Self::TooManyPairs => false,
        }
    }

    /// Whether the person is asked before the token is taken.
    #[must_use]
    pub const fn asks(&self) -> bool {
        matches!(self, Self::HiddenSession | Self::OtherSession)
    }

    /// The status code.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::CookieBlocked | Self::Csrf | Self::NotPermitted { .. } => 403,
            Self::MethodNotAllowed => 405,
            Self::HiddenSession | Self::OtherSession => 409,
            Self::Token(fault) if fault.is_of_a_genuine_token_for_elsewhere() => 403,
            Self::Token(fault) if fault.is_of_the_proxy() => 503,
            Self::NoCredentials | Self::Token(_) => 401,
            Self::FormTooLarge | Self::TokenTooLarge => 413,
            Self::FormUnreadable => 501,
            Self::Overloaded => 503,
            Self::TooManyPairs => 431,
        }
    }

    /// What the client is told; the log says more.
    const fn sentence(&self) -> &'static str {
        match self {
            Self::CookieBlocked => "In a frame of another site your browser keeps no session for this page.",
            Self::Csrf => "The request came from another site.",
            Self::FormTooLarge => "The form is too large.",
            Self::FormUnreadable => "The form cannot be read here.",
            Self::HiddenSession => "Another site wants to sign you in here.",
            Self::MethodNotAllowed => "The method is not allowed here.",
            Self::NoCredentials => "You are not signed in.",
            Self::NotPermitted { .. } => "The token does not permit this.",
            Self::OtherSession => "You are signed in as somebody else.",
            Self::Overloaded => "Too many requests wait at the moment. Please try again.",
            Self::TokenTooLarge => "The token is too large for a cookie.",
            Self::TooManyPairs => "The request has too many parameters or cookies.",
            Self::Token(fault) => match fault {
                VerifyError::Expired { .. } => "The token has expired.",
                VerifyError::KeysUnavailable { .. } | VerifyError::RevocationsUnavailable { .. } => {
                    "Nobody can be let in at the moment. Please try again."
                }
                VerifyError::Revoked { .. } => "The token has been revoked.",
                VerifyError::NotYetValid { .. } | VerifyError::IssuedInFuture { .. } => {
                    "The token is not valid yet."
                }
                VerifyError::AudienceMismatch | VerifyError::ClaimMismatch { .. } => {
                    "The token does not give access to this place."
                }
                VerifyError::AlgorithmNotAllowed
                | VerifyError::HeaderMismatch { .. }
                | VerifyError::InvalidClaim { .. }
                | VerifyError::InvalidSignature
                | VerifyError::LifetimeTooLong { .. }
                | VerifyError::Malformed(_)
                | VerifyError::MissingClaim { .. }
                | VerifyError::MissingKid
                | VerifyError::TooManySignatures
                | VerifyError::TypeNotAllowed
                | VerifyError::UnknownIssuer
                | VerifyError::UnknownKey { .. } => "The token is not valid.",
            },
        }
    }

    const fn title(&self) -> &'static str {
        match self.status() {
            401 => "Unauthorized",
            405 => "Method Not Allowed",
            409 => "Conflict",
            413 => "Content Too Large",
            431 => "Request Header Fields Too Large",
            501 => "Not Implemented",
            503 => "Service Unavailable",
            _ => "Forbidden",
        }
    }

    /// RFC 6750 section 3: no `error` when no credentials came.
    fn challenge(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::NoCredentials => Some("Bearer realm=\"jwtproxy\"".into()),
            Self::Token(fault) if fault.is_of_the_proxy() => None,
            Self::NotPermitted { .. } | Self::Token(_) => {
                let error = if self.status() == 403 { "insufficient_scope" } else { "invalid_token" };
                let parts = [
                    "Bearer realm=\"jwtproxy\", error=\"",
                    error,
                    "\", error_description=\"",
                    self.sentence(),
                    "\"",
                ];
                Some(parts.concat().into())
            }
            Self::CookieBlocked
            | Self::Csrf
            | Self::FormTooLarge
            | Self::FormUnreadable
            | Self::HiddenSession
            | Self::MethodNotAllowed
            | Self::OtherSession
            | Self::Overloaded
            | Self::TokenTooLarge
            | Self::TooManyPairs => None,
        }
    }

    /// The members of a problem document (RFC 9457 section 3). Of our own words none needs an escape.
    fn problem(&self, head: &RequestHead<'_>, login_url: Option<&str>) -> String {
        let login_url = login_url.and_then(|url| serde_json::to_string(url).ok());
        let login_url = login_url.map_or_else(String::new, |url| ["\"login_url\":", &url, ","].concat());
        let request_id = request_id(head);
        let request_id = request_id.map_or_else(String::new, |id| [",\"request_id\":\"", id, "\""].concat());
        let status = self.status().to_string();
        [
            "{\"detail\":\"",
            self.sentence(),
            "\",",
            &login_url,
            "\"reason\":\"",
            self.reason(),
            "\"",
            &request_id,
            ",\"status\":",
            &status,
            ",\"title\":\"",
            self.title(),
            "\",\"type\":\"about:blank\"}",
        ]
        .concat()
    }

    const fn grpc_status(&self) -> GrpcStatus {
        match self.status() {
            401 => GrpcStatus::Unauthenticated,
            403 => GrpcStatus::PermissionDenied,
            503 => GrpcStatus::Unavailable,
            _ => GrpcStatus::InvalidArgument,
        }
    }

    /// Answers one who is not led to a login page: with a page, a problem document (RFC 9457) or a gRPC status.
    #[must_use]
    pub fn answer(&self, asking: Asking, head: &RequestHead<'_>, help: &Help<'_>) -> Response {
        let mut response = Response::new(self.status());
        if let Some(challenge) = self.challenge() {
            response = response.with("www-authenticate", challenge);
        }
        if self.status() == 503 {
            response = response.with("retry-after", "2");
        }
        match asking {
            Asking::Grpc => {
                Response { body: self.sentence().into(), grpc: Some(self.grpc_status()), ..response }
            }
            Asking::GrpcWeb => self.grpc_web(Response { status: 200, ..response }, head),
            Asking::Navigation => self.page(response, head, help),
            Asking::Script => {
                let problem = self.problem(head, help.way_out.as_deref());
                response.with_body("application/problem+json", problem)
            }
        }
    }

    /// The status stands in the headers, as in a response of trailers only, and in a frame of trailers, without which
    /// Envoy would leave out the media type.
    fn grpc_web(&self, response: Response, head: &RequestHead<'_>) -> Response {
        const TRAILERS: u8 = 0x80;
        let code = self.grpc_status().code().to_string();
        let trailers = format!("grpc-status:{code}\r\ngrpc-message:{}\r\n", self.sentence());
        let length = u32::try_from(trailers.len()).unwrap_or_default().to_be_bytes();
        let frame = [&[TRAILERS], length.as_slice(), trailers.as_bytes()].concat();
        let is_text =
            head.value("content-type").is_some_and(|kind| kind.starts_with(b"application/grpc-web-text"));
        let response = if is_text {
            response.with_body("application/grpc-web-text+proto", STANDARD.encode(frame))
        } else {
            response.with_body("application/grpc-web+proto", frame)
        };
        response.with("grpc-status", code).with("grpc-message", self.sentence())
    }

    fn page(&self, response: Response, head: &RequestHead<'_>, help: &Help<'_>) -> Response {
        let words = match self {
            Self::CookieBlocked => "Open it in a window of its own",
            Self::OtherSession => "Sign in as the other person",
            Self::Csrf
            | Self::FormTooLarge
            | Self::FormUnreadable
            | Self::HiddenSession
            | Self::MethodNotAllowed
            | Self::NoCredentials
            | Self::NotPermitted { .. }
            | Self::Overloaded
            | Self::Token(_)
            | Self::TokenTooLarge
            | Self::TooManyPairs => {
                if self.status() == 403 {
                    "Sign in with another account"
                } else {
                    "Sign in"
                }
            }
        };
        let hint = if help.came_back {
            Some(if *self == Self::NoCredentials {
                "You come from the sign-in page, but without a session. If it stays so, your browser may not keep \
                 the cookies of this page."
            } else {
                "The sign-in page brought you back with a token that does not help."
            })
        } else if !matches!(head.method(), b"GET" | b"HEAD") && self.is_about_credentials() && !self.asks() {
            Some(
                "What you sent has not arrived. Once you are signed in, go back to the page before and send it again.",
            )
        } else {
            None
        };
        // A click in a frame of another site could replace the session.
        // Over plain http the click is known as ours by its Referer alone.
        let framing = access::referer(head).map(|(origin, _)| origin);
        let ancestors = help.may_frame.map(|own| own.ancestors(framing.as_ref())).unwrap_or_default();
        let (frames, referrer) = if self.asks() {
            (Frames::Nobody, "same-origin")
        } else {
            (Frames::Ours(&ancestors), "no-referrer")
        };
        let page = Page {
            title: self.title(),
            heading: self.sentence(),
            hint,
            link: help.way_out.as_deref().map(|url| (words, url)),
            address: help.address.as_deref(),
            opens: if *self == Self::CookieBlocked { Opens::Beside } else { Opens::OnTop },
            reason: self.reason(),
        };
        page.within(response.with("referrer-policy", referrer), head, frames)
    }
}

/// What a refusal offers beside its reason.
#[derive(Clone, Debug, Default)]
pub struct Help<'h> {
    /// Where the person behind it can sign in, or confirm that they want to.
    pub way_out: Option<String>,
    /// The address of the request without its tokens, if it had any.
    pub address: Option<String>,
    /// Whether they were there already.
    pub came_back: bool,
    /// Who may show the page in a frame, beside its own origin.
    pub may_frame: Option<&'h AllowedOrigins>,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CookieBlocked => {
                f.write_str("the browser would drop the cookie in a frame of another site")
            }
            Self::Csrf => f.write_str("a request of another site brought the session cookie"),
            Self::FormTooLarge => f.write_str("the form with the token is larger than 64 KiB"),
            Self::FormUnreadable => f.write_str(
                "the form with the token did not come; Envoy holds it back unless the plugin has \
                 allow_on_headers_stop_iteration: true",
            ),
            Self::HiddenSession => {
                f.write_str("a link from elsewhere could replace another person's session, which it hides")
            }
            Self::MethodNotAllowed => f.write_str("the endpoint does not have this method"),
            Self::NoCredentials => f.write_str("no token came"),
            Self::NotPermitted { rule: None } => {
                f.write_str("there are rules, and none of them can judge this path or host")
            }
            Self::NotPermitted { rule: Some(rule) } => write!(f, "rules[{rule}] does not permit it"),
            Self::OtherSession => f.write_str("a link from elsewhere would replace another person's session"),
            Self::Overloaded => {
                f.write_str("too many forms wait for their rest, or have too many bytes together")
            }
            Self::Token(fault) => fault.fmt(f),
            Self::TokenTooLarge => f.write_str("the token does not fit into a cookie"),
            Self::TooManyPairs => f.write_str("the query or the cookies have more than 16,384 pairs"),
        }
    }
}
