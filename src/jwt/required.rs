//! What claims must say.

use serde_json::Value;

use super::same_json;

/// A claim, and what it must say: of one of the groups, everything. In a provider the terms are values.
#[derive(Clone, Debug)]
pub struct RequiredClaim<T> {
    /// The name of the claim, perhaps that of a member within it: see [`Claims::find`](super::Claims::find).
    pub name: String,
    /// Groups of terms.
    pub any: Vec<Vec<T>>,
}

impl<T> RequiredClaim<T> {
    /// Whether there is a group of which every term `is_met`.
    pub fn holds(&self, is_met: impl Fn(&T) -> bool) -> bool {
        self.any.iter().any(|all| all.iter().all(&is_met))
    }
}

/// Whether a claim of that name, which is `found`, says `wanted`: it equals it, is an array that contains it, or is a
/// `scope` of which it is a word. An array that is wanted must be equal.
#[must_use]
pub fn says(name: &str, found: &Value, wanted: &Value) -> bool {
    let contains = |items: &Vec<Value>| items.iter().any(|item| same_json(item, wanted));
    same_json(found, wanted)
        || !wanted.is_array() && found.as_array().is_some_and(contains)
        || wanted.as_str().is_some_and(|wanted| words(name, found).any(|word| word == wanted))
}

/// The same of a text of the request: a claim that is a whole number says its digits.
#[must_use]
pub fn says_text(name: &str, found: &Value, wanted: &str) -> bool {
    is_text(found, wanted)
        || found.as_array().is_some_and(|items| items.iter().any(|item| is_text(item, wanted)))
        || words(name, found).any(|word| word == wanted)
}

fn is_text(value: &Value, text: &str) -> bool {
    match value {
        Value::String(own) => own == text,
        // One fraction can be written in many ways.
        Value::Number(number) => !number.is_f64() && number.to_string() == text,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

/// RFC 8693 section 4.2: `scope` is a string of words with spaces between them; some issuers call it `scp`.
fn words<'v>(name: &str, found: &'v Value) -> impl Iterator<Item = &'v str> + use<'v> {
    let text = found.as_str().filter(|_| matches!(name, "scope" | "scp")).unwrap_or_default();
    text.split(' ').filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
            assert_eq!(says(name, &found, &wanted), is_said, "{name} {found} {wanted}");
        }
        for (found, wanted, is_said) in [
            (json!("7"), "7", true),
            (json!(7), "7", true),
            (json!(7), "07", false),
            (json!(7.0), "7", false),
            (json!(7.5), "7.5", false),
            (json!(true), "true", false),
            (json!(["a", 7]), "7", true),
            (json!({"7": "7"}), "7", false),
        ] {
            assert_eq!(says_text("a", &found, wanted), is_said, "{found} {wanted}");
        }
    }
}
