//! How a configuration names a claim.

use std::fmt;

use serde_json::Value;

/// The name of a claim, or of a member within one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimName {
    /// The claim of just that name, else what lies within claims at the dots of it: `kubernetes.io.namespace` is `namespace` in
    /// `kubernetes.io`, or `io.namespace` in `kubernetes`. The longest name is looked for first, at each step.
    Dotted(String),
    /// The name of a claim, and those of the members on the way in.
    Path(Vec<String>),
}

impl ClaimName {
    /// Every claim that it may stand in, or be.
    pub fn outermost(&self) -> impl Iterator<Item = &str> {
        let (dotted, path) = match self {
            Self::Dotted(name) => (Some(name.as_str()), None),
            Self::Path(path) => (None, path.first().map(String::as_str)),
        };
        let leading = |name| {
            str::match_indices(name, '.').filter_map(move |(dot, _)| Some(name.split_at_checked(dot)?.0))
        };
        path.into_iter().chain(dotted).chain(dotted.into_iter().flat_map(leading))
    }

    /// What it names, by a way to look up a claim.
    pub fn find<'c>(&self, claim: &dyn Fn(&str) -> Option<&'c Value>) -> Option<&'c Value> {
        match self {
            Self::Dotted(name) => within(claim, name),
            Self::Path(path) => {
                let (first, inner) = path.split_first()?;
                inner.iter().try_fold(claim(first)?, |value, member| value.as_object()?.get(member))
            }
        }
    }

    /// Whether a string under that name is one of words with spaces between them (RFC 8693 section 4.2); some issuers call it `scp`.
    #[must_use]
    pub fn is_scope(&self) -> bool {
        let is_scope = |name: &str| matches!(name, "scope" | "scp");
        match self {
            Self::Dotted(name) => is_scope(name),
            Self::Path(path) => path.len() == 1 && path.first().is_some_and(|name| is_scope(name)),
        }
    }
}

/// No object is looked into twice, as the names on the way to it are what is left out of the name.
fn within<'c>(member: &dyn Fn(&str) -> Option<&'c Value>, name: &str) -> Option<&'c Value> {
    let inner = |(dot, _)| {
        let (outer, rest) = name.split_at_checked(dot)?;
        let object = member(outer)?.as_object()?;
        within(&|own| object.get(own), rest.strip_prefix('.')?)
    };
    member(name).or_else(|| name.rmatch_indices('.').find_map(inner))
}

impl From<&str> for ClaimName {
    fn from(name: &str) -> Self {
        Self::Dotted(name.to_owned())
    }
}

impl fmt::Display for ClaimName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dotted(name) => f.write_str(name),
            Self::Path(path) => f.write_str(&path.join(".")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_longest_name_is_looked_for_first() {
        let claims = json!({
            "a": {"b": {"c": 1, "d": 2}, "b.c": 3, "x": null},
            "a.b": {"c": 4},
            "e.f": {"g.h": {"i": 5}},
            "j": {"": {"k": 6}},
            "l": [{"m": 7}],
        });
        let find = |name: &ClaimName| name.find(&|own| claims.get(own)).cloned();
        for (name, expected) in [
            ("a.b.c", Some(json!(4))),
            ("a.b.d", Some(json!(2))),
            ("a.b", Some(json!({"c": 4}))),
            ("e.f.g.h.i", Some(json!(5))),
            ("e.f.g", None),
            ("e", None),
            ("a.x", Some(json!(null))),
            ("a.x.y", None),
            ("j..k", Some(json!(6))),
            ("l.m", None),
            ("l.0.m", None),
            (".", None),
            ("", None),
        ] {
            assert_eq!(find(&name.into()), expected, "{name}");
        }
        for (path, expected) in [
            (&["a.b", "c"][..], Some(json!(4))),
            (&["a", "b.c"], Some(json!(3))),
            (&["a", "b", "c"], Some(json!(1))),
            (&["a.b.c"], None),
            (&[], None),
        ] {
            let name = ClaimName::Path(path.iter().map(|part| (*part).to_owned()).collect());
            assert_eq!(find(&name), expected, "{path:?}");
        }
    }

    #[test]
    fn claims_that_a_name_may_stand_in() {
        let name = ClaimName::from("a.b.c");
        assert_eq!(name.outermost().collect::<Vec<_>>(), ["a.b.c", "a", "a.b"]);
        let name = ClaimName::Path(vec!["a.b".to_owned(), "c".to_owned()]);
        assert_eq!(name.outermost().collect::<Vec<_>>(), ["a.b"]);
    }
}
