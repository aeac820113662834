//! What claims must say.

use std::borrow::Cow;

use serde_json::Value;

use super::{ClaimName, same_json};

/// A claim, and what it must say: of one of the groups, everything.
#[derive(Clone, Debug)]
pub struct RequiredClaim {
    /// The name of the claim.
    pub name: ClaimName,
    /// Groups of terms.
    pub any: Vec<Vec<Term>>,
}

/// What a claim must say.
#[derive(Clone, Debug)]
pub enum Term {
    /// It equals this.
    Equals(Value),
    /// It is there, and is not `null`.
    Exists,
    /// It equals this, is an array that contains it, or is a `scope` of which it is a word. An array that is wanted must be equal.
    Says(Value),
    /// It is a string that compares so with this, or an array of which an element does.
    Text(Comparison, Text),
}

/// How a claim is compared with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// It is equal but for the case of ASCII letters.
    EqualsIgnoreCase,
    /// It begins so.
    Prefix,
    /// As [`Term::Says`]; a whole number says its digits.
    Says,
    /// This is one of its words, with spaces between them. Of an array an element is equal.
    Word,
}

/// A text, perhaps with what the request says in it.
#[derive(Clone, Debug)]
pub struct Text {
    /// What it begins with.
    pub before: String,
    /// What was captured under that name, and what follows it.
    pub capture: Option<(String, String)>,
}

impl Text {
    fn of<'t>(&'t self, captures: &[(&str, String)]) -> Option<Cow<'t, str>> {
        let Some((name, after)) = &self.capture else { return Some(Cow::Borrowed(&self.before)) };
        let (_, found) = captures.iter().find(|(own, _)| own == name)?;
        Some(Cow::Owned([self.before.as_str(), found, after].concat()))
    }
}

impl RequiredClaim {
    /// Whether a claim that was found says what it must, in a request of which that was captured.
    #[must_use]
    pub fn is_met(&self, found: &Value, captures: &[(&str, String)]) -> bool {
        let is_met = |term: &Term| match term {
            Term::Equals(wanted) => same_json(found, wanted),
            Term::Exists => !found.is_null(),
            Term::Says(wanted) => self.says(found, wanted),
            Term::Text(comparison, text) => {
                text.of(captures).is_some_and(|wanted| self.compares(found, *comparison, &wanted))
            }
        };
        self.any.iter().any(|all| all.iter().all(is_met))
    }

    fn says(&self, found: &Value, wanted: &Value) -> bool {
        let contains = |items: &Vec<Value>| items.iter().any(|item| same_json(item, wanted));
        same_json(found, wanted)
            || !wanted.is_array() && found.as_array().is_some_and(contains)
            || wanted.as_str().is_some_and(|wanted| self.name.is_scope() && has_word(found, wanted))
    }

    fn compares(&self, found: &Value, comparison: Comparison, wanted: &str) -> bool {
        let is_so = |value: &Value| match (value, comparison) {
            (Value::String(own), Comparison::EqualsIgnoreCase) => own.eq_ignore_ascii_case(wanted),
            (Value::String(own), Comparison::Prefix) => own.starts_with(wanted),
            (Value::String(own), Comparison::Says | Comparison::Word) => own == wanted,
            // One fraction can be written in many ways.
            (Value::Number(number), Comparison::Says) => !number.is_f64() && number.to_string() == wanted,
            (Value::Number(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_), _) => {
                false
            }
        };
        let is_in_words = match comparison {
            Comparison::Word => true,
            Comparison::Says => self.name.is_scope(),
            Comparison::EqualsIgnoreCase | Comparison::Prefix => false,
        };
        is_so(found) && comparison != Comparison::Word
            || found.as_array().is_some_and(|items| items.iter().any(is_so))
            || is_in_words && has_word(found, wanted)
    }
}

fn has_word(found: &Value, wanted: &str) -> bool {
    found.as_str().unwrap_or_default().split(' ').any(|word| !word.is_empty() && word == wanted)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn required(name: &str, term: Term) -> RequiredClaim {
        RequiredClaim { name: name.into(), any: vec![vec![term]] }
    }

    #[test]
    fn a_claim_says_what_it_equals_or_contains() {
        for (name, found, wanted, is_said) in [
            ("a", json!(1), json!(1.0), true),
            ("a", json!("1"), json!(1), false),
            ("a", json!(["x", "y"]), json!("y"), true),
            ("a", json!([{"b": 1}]), json!({"b": 1}), true),
            ("a", json!([["x"]]), json!(["x"]), false),
            ("a", json!(["x", "y"]), json!(["y", "x"]), false),
            ("a", json!("x y"), json!("y"), false),
            ("scope", json!("x y"), json!("y"), true),
            ("scp", json!("x  y"), json!(""), false),
            ("scope", json!("x y"), json!("x y"), true),
            ("scope", json!("x y z"), json!("x y"), false),
            ("scope", json!(["x y"]), json!("y"), false),
        ] {
            let required = required(name, Term::Says(wanted.clone()));
            assert_eq!(required.is_met(&found, &[]), is_said, "{name} {found} {wanted}");
        }
    }

    #[test]
    fn a_claim_is_compared_with_a_text() {
        use Comparison::{EqualsIgnoreCase, Prefix, Says, Word};
        for (comparison, found, wanted, is_so) in [
            (Says, json!("7"), "7", true),
            (Says, json!(7), "7", true),
            (Says, json!(7), "07", false),
            (Says, json!(7.0), "7", false),
            (Says, json!(7.5), "7.5", false),
            (Says, json!(true), "true", false),
            (Says, json!(["a", 7]), "7", true),
            (Says, json!({"7": "7"}), "7", false),
            (Says, json!("a b"), "a", false),
            (Prefix, json!("ab"), "a", true),
            (Prefix, json!("ab"), "ab", true),
            (Prefix, json!("ab"), "b", false),
            (Prefix, json!("ab"), "A", false),
            (Prefix, json!(["x", "ab"]), "a", true),
            (Prefix, json!([["ab"]]), "a", false),
            (Prefix, json!(12), "1", false),
            (Word, json!("a b"), "b", true),
            (Word, json!("a bc"), "b", false),
            (Word, json!("a\tb"), "b", false),
            (Word, json!(["a", "b"]), "b", true),
            (Word, json!(["a b"]), "b", false),
            (Word, json!("a b"), "a b", false),
            (Word, json!("a"), "a", true),
            (EqualsIgnoreCase, json!("Alice"), "aLICE", true),
            (EqualsIgnoreCase, json!(["x", "Alice"]), "alice", true),
            // Of ASCII alone: the Kelvin sign is no K.
            (EqualsIgnoreCase, json!("\u{212a}"), "k", false),
            (EqualsIgnoreCase, json!("alicex"), "alice", false),
        ] {
            let text = Text { before: wanted.to_owned(), capture: None };
            let required = required("a", Term::Text(comparison, text));
            assert_eq!(required.is_met(&found, &[]), is_so, "{comparison:?} {found} {wanted}");
        }
        let text = Text { before: "u-".to_owned(), capture: Some(("n".to_owned(), "-x".to_owned())) };
        let required = required("a", Term::Text(Says, text));
        assert!(required.is_met(&json!("u-7-x"), &[("m", "8".to_owned()), ("n", "7".to_owned())]));
        assert!(!required.is_met(&json!("u--x"), &[]));
    }
}
