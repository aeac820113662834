//! Colours where somebody looks, columns, and tokens too short to be used.

use std::io::{IsTerminal, stdout};

/// Plain or coloured.
#[derive(Clone, Copy)]
pub(crate) struct Style {
    colours: bool,
}

impl Style {
    /// Colours on a terminal, unless `NO_COLOR` is set (<https://no-color.org>).
    pub(crate) fn of_stdout() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colours: stdout().is_terminal() && !unwanted }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(crate) fn link(self, text: &str) -> String {
        self.paint("4;36", text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// A status code as browsers show it: green, blue for another address, yellow for a refusal, red for a
    /// fault.
    pub(crate) fn status(self, text: &str) -> String {
        self.paint(
            match text.as_bytes().first() {
                Some(b'2') => "32",
                Some(b'3') => "34",
                Some(b'4') => "33",
                _ => "31",
            },
            text,
        )
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The text on exactly that many columns; the end of what is longer is left out.
pub(crate) fn column(text: &str, width: usize) -> String {
    let short: String = if text.chars().count() > width {
        text.chars().take(width - 1).chain(['…']).collect()
    } else {
        text.into()
    };
    format!("{short:<width$}")
}

/// The text with every token cut to its first letters.
pub(crate) fn shorten(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("eyJ") {
        let token = &rest[start..];
        let end =
            token.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).unwrap_or(token.len());
        out += &rest[..start];
        out += &token[..end.min(5)];
        if end > 5 {
            out.push('…');
        }
        rest = &token[end..];
    }
    out + rest
}
