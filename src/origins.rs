//! The origins of `allowed_origins`.

use crate::address::Origin;

/// One entry.
#[derive(Clone, Debug)]
enum Entry {
    /// Those with one more label, whatever it is, before the host of this origin.
    AnyLabel(Origin),
    /// This origin.
    One(Origin),
    /// One with another scheme than http or https, as browsers write it.
    Other(String),
}

/// Origins whose pages may do what those of this origin may.
#[derive(Clone, Debug, Default)]
pub struct AllowedOrigins(Vec<Entry>);

impl AllowedOrigins {
    /// Adds `https://host[:port]`, `https://*.parent.example[:port]` or `scheme://host[:port]`; false if it is none of these.
    #[must_use]
    pub fn add(&mut self, text: &str) -> bool {
        let entry = entry(text);
        let is_one = entry.is_some();
        self.0.extend(entry);
        is_one
    }

    /// Whether an http or https origin is one of them.
    #[must_use]
    pub fn has(&self, origin: &Origin) -> bool {
        self.0.iter().any(|entry| match entry {
            Entry::AnyLabel(parent) => is_any_label(origin, parent),
            Entry::One(own) => own == origin,
            Entry::Other(_) => false,
        })
    }

    /// Whether the text of a header `Origin` is one of them; `parsed` is what it is with http or https.
    #[must_use]
    pub fn has_text(&self, text: &str, parsed: Option<&Origin>) -> bool {
        match parsed {
            Some(origin) => self.has(origin),
            None => self.0.iter().any(|entry| matches!(entry, Entry::Other(own) if own == text)),
        }
    }

    /// Those that may show a page in a frame, for a Content Security Policy, each behind a space. A star there would mean any
    /// number of labels, so of those with any label it is the `page` that asks.
    #[must_use]
    pub fn ancestors(&self, page: Option<&Origin>) -> String {
        let origin = |entry: &Entry| match entry {
            Entry::AnyLabel(parent) => {
                page.filter(|page| is_any_label(page, parent)).map(|page| format!(" {page}"))
            }
            Entry::One(origin) => Some(format!(" {origin}")),
            Entry::Other(text) => Some(format!(" {text}")),
        };
        self.0.iter().filter_map(origin).collect()
    }
}

fn is_any_label(origin: &Origin, parent: &Origin) -> bool {
    origin.is_https() == parent.is_https()
        && origin
            .authority()
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest == parent.authority())
}

fn entry(text: &str) -> Option<Entry> {
    let (scheme, authority) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    match scheme.as_str() {
        "http" | "https" => match authority.strip_prefix("*.") {
            Some(parent) => {
                let parent = Origin::new(scheme == "https", parent.as_bytes())?;
                is_owned(&parent).then_some(Entry::AnyLabel(parent))
            }
            None => Origin::parse(text).map(Entry::One),
        },
        // No page has such an origin: a WebSocket has that of its page, and of files browsers do not tell one from another.
        "file" | "ws" | "wss" => None,
        _ => {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
            let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
                && scheme.bytes().all(fits)
                && Origin::new(true, authority.as_bytes()).is_some();
            is_scheme.then(|| Entry::Other([&scheme, "://", authority].concat()))
        }
    }
}

/// Whether the names below a host may be somebody's: it is no address, no top-level domain, and none of the usual second levels
/// of a country, below which anybody can have a name.
fn is_owned(parent: &Origin) -> bool {
    const SECOND_LEVELS: [&str; 10] = ["ac", "co", "com", "edu", "go", "gov", "ne", "net", "or", "org"];
    let host = parent.authority().split(':').next().unwrap_or_default();
    let mut labels = host.rsplit('.');
    let (Some(top), Some(second)) = (labels.next(), labels.next()) else { return false };
    let is_shared = host.len() == top.len().saturating_add(second.len()).saturating_add(1)
        && top.len() == 2
        && SECOND_LEVELS.contains(&second);
    // A host whose last label is a number is an address (WHATWG URL, "ends in a number").
    top.starts_with(|first: char| first.is_ascii_alphabetic())
        && !host.split('.').any(str::is_empty)
        && !is_shared
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(texts: &[&str]) -> AllowedOrigins {
        let mut origins = AllowedOrigins::default();
        for text in texts {
            assert!(origins.add(text), "{text}");
        }
        origins
    }

    #[test]
    fn a_star_is_one_label() {
        let origins = allowed(&["https://*.WS1.ide.example.com", "http://*.example.com:8080"]);
        let has = |text: &str| origins.has(&Origin::parse(text).unwrap());
        for text in [
            "https://3000.ws1.ide.example.com",
            "https://A_b-c.ws1.ide.example.com:443",
            "http://x.example.com:8080",
        ] {
            assert!(has(text), "{text}");
        }
        for text in [
            "https://ws1.ide.example.com",
            "https://.ws1.ide.example.com",
            "https://a.b.ws1.ide.example.com",
            "https://3000.ws1.ide.example.com.",
            "https://3000.ws1.ide.example.com:8443",
            "http://3000.ws1.ide.example.com",
            "https://3000.ws2.ide.example.com",
            "https://3000.xws1.ide.example.com",
            "https://3000.ws1.ide.example.com.evil.example",
            "https://3000-ws1.ide.example.com",
            "http://x.example.com",
            "https://x.example.com:8080",
        ] {
            assert!(!has(text), "{text}");
        }
    }

    #[test]
    fn other_schemes_are_compared_to_the_letter() {
        let origins = allowed(&["VSCode-webview://0abc", "capacitor://localhost", "app://x:1"]);
        let has = |text: &str| origins.has_text(text, Origin::parse(text).as_ref());
        assert!(has("vscode-webview://0abc") && has("capacitor://localhost") && has("app://x:1"));
        for text in
            ["vscode-webview://0ABC", "capacitor://localhost:80", "https://localhost", "app://x", "null"]
        {
            assert!(!has(text), "{text}");
        }
    }

    #[test]
    fn frames_have_no_star() {
        let origins = allowed(&["https://a.example", "https://*.b.example", "capacitor://localhost"]);
        let page = |text: &str| origins.ancestors(Origin::parse(text).as_ref());
        assert_eq!(page(""), " https://a.example capacitor://localhost");
        assert_eq!(
            page("https://x.b.example"),
            " https://a.example https://x.b.example capacitor://localhost"
        );
        assert_eq!(page("https://x.y.b.example"), page(""));
    }
}
