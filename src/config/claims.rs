//! The names of claims, and what claims must say.

use serde_json::Value;

use super::Reading;
use super::error::Result;
use super::reader::Node;
use crate::jwt::{ClaimName, Comparison, Profile, RequiredClaim, Term, Text};

/// A name, or a list of names on the way to a member.
pub(super) fn claim_name(node: &Node<'_>) -> Result<ClaimName> {
    if !node.value().is_array() {
        return node.non_empty_text().map(ClaimName::from);
    }
    let path = node.non_empty_list("write the name of a claim, and those of the members on the way in")?;
    path.iter()
        .map(|name| name.non_empty_text().map(str::to_owned))
        .collect::<Result<_>>()
        .map(ClaimName::Path)
}

/// What claims must say: a list means any of its terms, `{all_of: […]}` every one. In texts may stand what is `captured`.
pub(super) fn required_claims(
    node: &Node<'_>,
    reading: &Reading<'_>,
    captured: Option<&[String]>,
) -> Result<Vec<RequiredClaim>> {
    let term = |node: &Node<'_>| term(node, reading, captured);
    let group = |node: &Node<'_>| -> Result<Vec<Term>> {
        let Some(list) = member(node, "all_of") else { return Ok(vec![term(node)?]) };
        if reading.profile == Profile::JwtProxy {
            return list.refuse("the profile jwtproxy compares a claim with one value at a time");
        }
        let all = list.non_empty_list("that demands nothing; write the values that must be there")?;
        all.iter().map(term).collect()
    };
    let claim = |(name, node): (String, Node<'_>)| {
        let any = if node.value().is_array() {
            let any =
                node.non_empty_list("that admits nobody; write the values of which one must be there")?;
            any.iter().map(group).collect::<Result<_>>()?
        } else {
            vec![group(&node)?]
        };
        let name = match reading.profile {
            // It knows no members of claims.
            Profile::JwtProxy => ClaimName::Path(vec![name]),
            Profile::Strict => ClaimName::Dotted(name),
        };
        Ok(RequiredClaim { name, any })
    };
    node.members()?.into_iter().map(claim).collect()
}

fn term(node: &Node<'_>, reading: &Reading<'_>, captured: Option<&[String]>) -> Result<Term> {
    if !node.value().is_object() {
        return match (captured, node.value().as_str()) {
            (Some(captured), Some(written)) if written.contains(['{', '}']) => {
                text(node, Some(captured)).map(|text| Term::Text(Comparison::Says, text))
            }
            (Some(_) | None, _) => Ok(value(node.value().clone(), reading)),
        };
    }
    let members = node.members()?;
    let [(operator, operand)] = members.as_slice() else { return node.refuse(OPERATORS) };
    let comparison = match operator.as_str() {
        "env" => return Ok(value(Value::String(reading.env_var(operand)?), reading)),
        "equals" => return Ok(Term::Equals(operand.value().clone())),
        "exists" if operand.flag()? => return strictly(operand, reading).map(|()| Term::Exists),
        "exists" => return operand.refuse("write true; that a claim is absent cannot be demanded"),
        "equals_ignore_case" => Comparison::EqualsIgnoreCase,
        "prefix" => Comparison::Prefix,
        "word" => Comparison::Word,
        _ => return node.refuse(OPERATORS),
    };
    strictly(operand, reading)?;
    let text = text(operand, captured)?;
    if comparison == Comparison::Word && operand.text()?.contains(' ') {
        return operand.refuse("a word has no space in it; for several write {all_of: [{word: …}, …]}");
    }
    if comparison == Comparison::Prefix && text.capture.as_ref().is_some_and(|(_, after)| after.is_empty()) {
        return operand
            .refuse("longer names would begin so as well; end it with what separates them, as in {name}:");
    }
    Ok(Term::Text(comparison, text))
}

const OPERATORS: &str = "write a value, a list of values, or an object of one of these: all_of, env, equals, \
                         equals_ignore_case, exists, prefix, word";

fn value(value: Value, reading: &Reading<'_>) -> Term {
    match reading.profile {
        Profile::JwtProxy => Term::Equals(value),
        Profile::Strict => Term::Says(value),
    }
}

fn strictly(node: &Node<'_>, reading: &Reading<'_>) -> Result<()> {
    match reading.profile {
        Profile::JwtProxy => node.refuse("the profile jwtproxy compares a claim with a value alone"),
        Profile::Strict => Ok(()),
    }
}

/// A text, which may hold the name of a capture in braces.
fn text(node: &Node<'_>, captured: Option<&[String]>) -> Result<Text> {
    let written = node.non_empty_text()?;
    let Some(captured) = captured.filter(|_| written.contains(['{', '}'])) else {
        return Ok(Text { before: written.to_owned(), capture: None });
    };
    let parts = written.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)));
    match parts {
        Some((before, (name, after))) if !before.contains('}') && !after.contains(['{', '}']) => {
            if !captured.iter().any(|own| own == name) {
                return node
                    .refuse(format!("neither the hosts nor the paths of this rule capture {{{name}}}"));
            }
            Ok(Text { before: before.to_owned(), capture: Some((name.to_owned(), after.to_owned())) })
        }
        // `{a}-{b}` would be the same text for (x-y, z) and for (x, y-z).
        Some(_) | None => node.refuse("write one name in braces, with text around it if need be"),
    }
}

/// The value of an object that has this member and no other.
fn member<'v>(node: &Node<'v>, name: &str) -> Option<Node<'v>> {
    let mut members = node.members().ok()?.into_iter();
    let (found, value) = members.next()?;
    (found == name && members.next().is_none()).then_some(value)
}
