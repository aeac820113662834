//! A page for a person: small, without anything from elsewhere, readable by whatever reads pages.

use std::borrow::Cow;

use crate::http::{RequestHead, Response};

const STYLE: &str = "body{margin:15vh auto;max-width:36rem;padding:0 1rem;font:1rem/1.5 system-ui,sans-serif}h1{font-size:1.5rem}:root{color-scheme:light dark}";
const STYLE_HASH: &str = "sha256-U0n2RTKuyfqRQGkr/i4tcslYirSF8gFUemdWK9e/c28=";
/// Takes a token out of the address bar. And browsers take the fragment of an address through a redirect, but not through a
/// click.
const SCRIPT: &str = "const{address}=document.documentElement.dataset;if(address)history.replaceState(null,'',address+location.hash);for(const link of document.links)link.hash=link.hash||location.hash";
const SCRIPT_HASH: &str = "sha256-dw1XEy5CQJU0d4wGE7fQK8hW1xBVSuAnjBhh6UT7+ZI=";

/// What a page says.
pub(crate) struct Page<'p> {
    /// What a protocol calls it, beside the reason.
    pub title: &'p str,
    /// What is the matter, in a sentence; without its full stop also the title of the window.
    pub heading: &'p str,
    /// What to make of it.
    pub hint: Option<&'p str>,
    /// Where to go from here, and by what words.
    pub link: Option<(&'p str, &'p str)>,
    /// What the address bar should show instead, if it holds a token.
    pub address: Option<&'p str>,
    /// Where the browser opens it.
    pub opens: Opens,
    /// For who is asked about it.
    pub reason: &'p str,
}

/// Where a link leads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opens {
    /// In a window of its own.
    Beside,
    /// In this window, without a click.
    ByItself,
    /// In the whole window, should this be a frame: login pages do not let themselves be framed.
    OnTop,
}

/// Who may show a page in a frame.
#[derive(Clone, Copy)]
pub(crate) enum Frames<'o> {
    /// Nobody: the click must be the person's own.
    Nobody,
    /// This origin and those, each behind a space.
    Ours(&'o str),
}

impl Page<'_> {
    /// The response with this page as its body.
    pub fn within(&self, response: Response, head: &RequestHead<'_>, frames: Frames<'_>) -> Response {
        let ancestors = match frames {
            Frames::Nobody => "'none'".into(),
            Frames::Ours(origins) => ["'self'", origins].concat(),
        };
        let policy = format!(
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}; \
             script-src '{SCRIPT_HASH}'; style-src '{STYLE_HASH}'"
        );
        response
            .with("content-security-policy", policy)
            .with("x-content-type-options", "nosniff")
            .with_body("text/html; charset=utf-8", self.html(head))
    }

    fn html(&self, head: &RequestHead<'_>) -> String {
        let Self { title, heading, reason, .. } = self;
        let window = heading.trim_end_matches('.');
        let paragraph = |text: Cow<'_, str>| ["<p>", &text, "</p>\n"].concat();
        let hint = self.hint.map_or_else(String::new, |hint| paragraph(hint.into()));
        let (link, refresh) = match self.link {
            None => Default::default(),
            Some((words, url)) => {
                let url = escape(url);
                let (target, refresh) = match self.opens {
                    Opens::Beside => (" target=\"_blank\"", String::new()),
                    Opens::ByItself => {
                        ("", format!("<meta http-equiv=\"refresh\" content=\"0; url={url}\">\n"))
                    }
                    Opens::OnTop => (" target=\"_top\"", String::new()),
                };
                (paragraph(format!("<a href=\"{url}\"{target}>{words}</a>").into()), refresh)
            }
        };
        let address = self
            .address
            .map_or_else(String::new, |address| [" data-address=\"", &escape(address), "\""].concat());
        let request = request_id(head).map_or_else(String::new, |id| format!("<br>\nRequest {id}"));
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\"{address}>\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n{refresh}<title>{window}</title>\n\
             <style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{heading}</h1>\n{hint}{link}\
             <p><small>{title}: {reason}{request}</small></p>\n</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
        )
    }
}

/// The `x-request-id` that Envoy gave the request, to be quoted to whoever can look it up in the log. A client may have
/// written it: nothing but an identifier passes.
pub(crate) fn request_id<'r>(head: &RequestHead<'r>) -> Option<&'r str> {
    let id = head.value("x-request-id")?;
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
    let is_id = (1..=64).contains(&id.len()) && id.iter().all(fits);
    is_id.then(|| std::str::from_utf8(id).ok())?
}

/// Escapes text for an attribute or an element of HTML.
fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, character| {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;

    use super::*;
    use crate::jwt::sha256;

    #[test]
    fn the_hashes_are_those_of_script_and_style() {
        for (text, hash) in [(SCRIPT, SCRIPT_HASH), (STYLE, STYLE_HASH)] {
            assert_eq!(hash, format!("sha256-{}", BASE64_STANDARD.encode(sha256(text.as_bytes()))), "{text}");
        }
    }
}
