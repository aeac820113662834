//! JSON in which every member name is unique.
//!
//! RFC 7515 section 4 and RFC 7519 section 4 let a parser choose between refusing duplicate names and keeping
//! the last. Two parsers that choose differently see two different tokens, so they are refused, at any depth.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How the error begins.
const DUPLICATE_MEMBER: &str = "duplicate member";
const NO_OBJECT: &str = "not an object";
const TOO_MANY_VALUES: &str = "too many values";

/// Any JSON value without duplicate member names.
#[derive(Clone, Debug)]
pub struct Json(pub Value);

impl Json {
    /// Reads JSON in UTF-8.
    ///
    /// # Errors
    /// It is no JSON, or has a member twice.
    pub fn from_bytes(json: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_str(text(json)?)
    }
}

/// Whether it was refused for a member that it has twice.
#[must_use]
pub fn is_duplicate(fault: &serde_json::Error) -> bool {
    fault.to_string().starts_with(DUPLICATE_MEMBER)
}

/// UTF-8 checked once for all of it costs less than once for each string. Everybody parses text, for the parser of bytes is
/// another one.
fn text(json: &[u8]) -> serde_json::Result<&str> {
    str::from_utf8(json).map_err(Error::custom)
}

/// Compares two values as JSON does: `3600` equals `3600.0`, the order of members does not count.
#[must_use]
pub fn same_json(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => same_number(a, b),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_json(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same_json(a, b)))
        }
        (a, b) => a == b,
    }
}

fn same_number(a: &Number, b: &Number) -> bool {
    // Integers beyond 2^53 would meet in a double.
    if let (Some(a), Some(b)) = (integer(a), integer(b)) {
        return a == b;
    }
    matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if a.total_cmp(&b).is_eq())
}

fn integer(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor).map(Self)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Json(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Json(value))) = members.next_entry::<String, Json>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom(DUPLICATE_MEMBER));
            }
        }
        Ok(Value::Object(object))
    }
}

/// So many values a part of a token may hold: who has a thousand roles stays below it. What is many times longer than it is
/// large, as `[[],[]]` is, would take longer to read than its signature to check.
const MOST_VALUES: usize = 2048;

/// Reads from an object the members that are wanted, and of the others checks no more than a parser must. `None` is
/// `null`.
///
/// A token has a dozen members, of which a few are looked at: to build the others costs more than all else in parsing.
pub(super) fn pick<'w>(json: &[u8], wanted: &'w [String]) -> serde_json::Result<Option<Members<'w>>> {
    if memchr::memchr3_iter(b',', b'[', b'{', json).nth(MOST_VALUES).is_some() {
        return Err(Error::custom(TOO_MANY_VALUES));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text(json)?);
    let members = deserializer.deserialize_any(Pick { wanted })?;
    deserializer.end()?;
    Ok(members)
}

/// Names and values.
pub(super) type Members<'w> = Vec<(&'w str, Value)>;

struct Pick<'w> {
    wanted: &'w [String],
}

impl<'de, 'w> Visitor<'de> for Pick<'w> {
    type Value = Option<Members<'w>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    // What serde says by default of a value of another type can print a float: 20 kB.
    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Err(E::custom(NO_OBJECT))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Err(E::custom(NO_OBJECT))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Err(E::custom(NO_OBJECT))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Err(E::custom(NO_OBJECT))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Err(E::custom(NO_OBJECT))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(A::Error::custom(NO_OBJECT))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let (mut names, mut picked) = (Names::with_room(), Vec::with_capacity(self.wanted.len()));
        while let Some(Name(name)) = members.next_key()? {
            match self.wanted.iter().find(|wanted| **wanted == name) {
                Some(wanted) => picked.push((wanted.as_str(), members.next_value::<Json>()?.0)),
                None => members.next_value_seed(Unique)?,
            }
            names.add(name)?;
        }
        names.finish()?;
        Ok(Some(picked))
    }
}

/// The names of one object so far. A few are quickest compared one by one; more are sorted at the end.
struct Names<'de>(Vec<Cow<'de, str>>);

impl<'de> Names<'de> {
    const FEW: usize = 32;

    const fn new() -> Self {
        Self(Vec::new())
    }

    /// That of a token has a dozen; most objects within it have one or two.
    fn with_room() -> Self {
        Self(Vec::with_capacity(Self::FEW / 2))
    }

    fn add<E: Error>(&mut self, name: Cow<'de, str>) -> Result<(), E> {
        if self.0.len() < Self::FEW && self.0.contains(&name) {
            return Err(E::custom(DUPLICATE_MEMBER));
        }
        self.0.push(name);
        Ok(())
    }

    fn finish<E: Error>(mut self) -> Result<(), E> {
        if self.0.len() > Self::FEW {
            self.0.sort_unstable();
            if self.0.windows(2).any(|pair| matches!(pair, [name, next] if name == next)) {
                return Err(E::custom(DUPLICATE_MEMBER));
            }
        }
        Ok(())
    }
}

/// The name of a member, borrowed where it has no escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor).map(Self)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// Any value, of which only the member names matter.
#[derive(Clone, Copy)]
struct Unique;

impl<'de> DeserializeSeed<'de> for Unique {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut names = Names::new();
        while let Some(Name(name)) = members.next_key()? {
            names.add(name)?;
            members.next_value_seed(self)?;
        }
        names.finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn duplicate_members_are_refused_at_any_depth() {
        for text in [r#"{"a":1,"a":1}"#, r#"{"x":[{"a":1,"a":2}]}"#, r#"{"a":1,"\u0061":2}"#] {
            assert!(serde_json::from_str::<Json>(text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<Json>(r#"{"a":{"a":{"a":1}}}"#).is_ok());
    }

    #[test]
    fn what_is_not_wanted_is_checked_as_strictly() {
        let wanted = ["a".to_owned()];
        let picked = pick(br#" {"b":[{"x":-1,"y":1.5}],"\u0061":{"c":[null]},"d":{}} "#, &wanted).unwrap();
        assert_eq!(picked, Some(vec![("a", json!({"c": [null]}))]));
        assert_eq!(pick(b" null ", &wanted).unwrap(), None);
        let deep = "[".repeat(200);
        let many = |count: usize, again: usize| {
            let members: Vec<String> = (0..count).chain([again]).map(|n| format!("\"n{n}\":{n}")).collect();
            format!("{{{}}}", members.join(","))
        };
        for count in [100, MOST_VALUES - 1] {
            assert!(pick(many(count, count).as_bytes(), &wanted).is_ok(), "{count}");
        }
        for text in [
            r#"{"b":1,"b":1}"#,
            r#"{"a":1,"\u0061":1}"#,
            r#"{"b":{"c":[{"x":1,"x":2}]}}"#,
            r#"{"a":{"x":1,"x":2}}"#,
            r#"{"b":1e999}"#,
            r#"{"b":01}"#,
            r#"{"b":"\ud800"}"#,
            "{\"b\":\"\u{1}\"}",
            r#"{"b":1}x"#,
            r#"{"b":1,}"#,
            r#"["a"]"#,
            "1",
            "",
            &format!("{{\"b\":{deep}"),
            &many(100, 0),
            &many(100, 70),
            &many(100, 99),
            &many(MOST_VALUES, MOST_VALUES),
            &format!("{{\"b\":[{}[]]}}", "[],".repeat(MOST_VALUES)),
        ] {
            assert!(pick(text.as_bytes(), &wanted).is_err(), "{text}");
        }
        assert!(pick(b"{\"b\":\"\xff\"}", &wanted).is_err());
        let duplicate = pick(br#"{"b":1,"b":1}"#, &wanted).unwrap_err();
        assert!(duplicate.to_string().starts_with(DUPLICATE_MEMBER), "{duplicate}");
    }

    #[test]
    fn numbers_compare_by_value() {
        assert!(same_json(&json!(3600), &json!(3600.0)));
        assert!(same_json(&json!([1, {"a": 2}]), &json!([1.0, {"a": 2.0}])));
        assert!(!same_json(&json!(9_007_199_254_740_993_u64), &json!(9_007_199_254_740_992_u64)));
        assert!(!same_json(&json!(1), &json!("1")));
        assert!(!same_json(&json!(1), &json!(true)));
        assert!(!same_json(&json!({"a": 1}), &json!({"a": 1, "b": 1})));
        assert!(!same_json(&json!([1]), &json!([1, 1])));
    }
}
