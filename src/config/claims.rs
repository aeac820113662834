//! What claims must say, of a provider and of a rule.

use serde_json::Value;

use super::Reading;
use super::error::Result;
use super::reader::Node;
use crate::jwt::{Profile, RequiredClaim};

/// A list means any of its terms, `{all_of: […]}` every one; `{env: NAME}` is the value of a variable. What else is written is
/// for `term` to read.
pub(super) fn required_claims<T: From<Value>>(
    node: &Node<'_>,
    reading: &Reading<'_>,
    term: &dyn Fn(&Node<'_>) -> Result<T>,
) -> Result<Vec<RequiredClaim<T>>> {
    let term = |node: &Node<'_>| match only_member(node, "env") {
        Some(variable) => reading.env_var(&variable).map(|value| Value::String(value).into()),
        None => term(node),
    };
    let group = |node: &Node<'_>| -> Result<Vec<T>> {
        let Some(list) = only_member(node, "all_of") else { return Ok(vec![term(node)?]) };
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
        Ok(RequiredClaim { name, any })
    };
    node.members()?.into_iter().map(claim).collect()
}

/// The value of an object that has this member and no other.
fn only_member<'v>(node: &Node<'v>, name: &str) -> Option<Node<'v>> {
    let mut members = node.members().ok()?.into_iter();
    let (found, value) = members.next()?;
    (found == name && members.next().is_none()).then_some(value)
}
