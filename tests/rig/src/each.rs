//! Cases that are told once and hold for many values.

use std::collections::BTreeMap;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::table::{shortened, substituted};

/// The cases of a file, one for each value where they have `each`: a list, or the name of one in the file's `lists`.
pub(crate) fn cases(file: &Value, tokens: &BTreeMap<&str, String>) -> Vec<Value> {
    let mut cases = Vec::new();
    for case in file["cases"].as_array().expect("a list of cases") {
        match &case["each"] {
            Value::Null => cases.push(case.clone()),
            Value::String(name) => cases.extend(repeated(case, &file["lists"][name], tokens)),
            list => cases.extend(repeated(case, list, tokens)),
        }
    }
    cases
}

fn repeated(case: &Value, list: &Value, tokens: &BTreeMap<&str, String>) -> Vec<Value> {
    let name = case["name"].as_str().expect("a name");
    let list = list.as_array().filter(|list| !list.is_empty());
    let list = list.unwrap_or_else(|| panic!("{name}: each names no list, or an empty one"));
    list.iter()
        .map(|value| {
            let mut case = case.clone();
            let value = substituted(value, tokens);
            let called = match value.as_str() {
                Some(text) => fill(&mut case, text),
                None => add(&mut case["request"], &value),
            };
            case["name"] = json!(format!("{name}: {}", shortened(&called)));
            case
        })
        .collect()
}

/// A text stands where `{each}` is, percent-encoded in the request, as it is in the expectation.
fn fill(case: &mut Value, text: &str) -> String {
    let encoded = utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    case["request"] = substituted(&case["request"], &BTreeMap::from([("each", encoded)]));
    case["expect"] = substituted(&case["expect"], &BTreeMap::from([("each", text.to_owned())]));
    format!("{text:?}")
}

/// An object is part of a request: its header lines come behind those that are there, anything else takes their place.
fn add(request: &mut Value, part: &Value) -> String {
    for (member, value) in part.as_object().expect("a text or a part of a request") {
        match (member.as_str(), request[member].as_array_mut()) {
            ("name", _) => {}
            ("headers", Some(lines)) => lines.extend(value.as_array().expect("lines").clone()),
            _ => request[member] = value.clone(),
        }
    }
    part["name"].as_str().expect("a name").to_owned()
}
