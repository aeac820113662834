//! Who may do what where.

use super::claims::required_claims;
use super::error::Result;
use super::paths::{methods, plain};
use super::reader::{Fields, Node};
use super::{Reading, provider_names};
use crate::jwt::{Profile, Provider};
use crate::rules::{Demand, Part, Pattern, Rule, Rules, segments};

pub(super) fn rules(
    fields: &Fields<'_>,
    providers: &[Provider],
    reading: &mut Reading<'_>,
) -> Result<Option<Rules>> {
    fields.refuse_null(&["rules"])?;
    let Some(list) = fields.get("rules") else { return Ok(None) };
    let nodes = list.list()?;
    if reading.profile == Profile::JwtProxy && !nodes.is_empty() {
        return list.refuse("the profile jwtproxy has no rules; write the profile strict");
    }
    let mut rules: Vec<Rule> = Vec::new();
    for node in &nodes {
        let rule = rule(node, providers, reading)?;
        let hides = |other: &Rule| {
            let any = other.hosts.is_none() && other.paths.is_none() && other.methods.is_none();
            any || other.hosts == rule.hosts && other.paths == rule.paths && other.methods == rule.methods
        };
        if let Some(earlier) = rules.iter().position(hides) {
            reading.warn(node, &format!("this is never reached, as rules[{earlier}] decides before it"));
        }
        rules.push(rule);
    }
    Ok((!rules.is_empty()).then(|| Rules::new(rules)))
}

fn rule(node: &Node<'_>, providers: &[Provider], reading: &Reading<'_>) -> Result<Rule> {
    const FIELDS: &[&str] = &["hosts", "paths", "methods", "providers", "required_claims", "any_of", "deny"];
    let fields = node.fields(FIELDS)?;
    fields.refuse_null(FIELDS)?;
    if fields.is_empty() {
        return node.refuse("this says nothing; write conditions, and what they demand");
    }
    let patterns = |name: &str, read: fn(&Node<'_>) -> Result<Pattern>| {
        fields.read(name, |node| {
            node.non_empty_list("leave it out for all of them")?.iter().map(read).collect::<Result<Vec<_>>>()
        })
    };
    let (hosts, paths) = (patterns("hosts", host)?, patterns("paths", path)?);
    let captured = captured(&fields, hosts.as_deref(), paths.as_deref())?;
    let deny = fields.flag("deny")?.unwrap_or_default();
    let (own, any_of) = (demand(&fields, &captured, providers, reading)?, fields.get("any_of"));
    let any_of = match (deny, own, any_of) {
        (true, None, None) => Vec::new(),
        (true, _, _) => return fields.refuse("deny", "what is denied to all can demand nothing else"),
        (false, own, None) => vec![own.unwrap_or_default()],
        (false, Some(_), Some(any_of)) => {
            return any_of
                .refuse("write `providers` and `required_claims` into each alternative, not beside them");
        }
        (false, None, Some(any_of)) => {
            let alternatives = any_of.non_empty_list("that admits nobody; write `deny: true` for it")?;
            let alternative = |node: &Node<'_>| {
                let fields = node.fields(&["providers", "required_claims"])?;
                fields.refuse_null(&["providers", "required_claims"])?;
                let demand = demand(&fields, &captured, providers, reading)?;
                demand.ok_or_else(|| node.fault("this alternative admits everybody"))
            };
            alternatives.iter().map(alternative).collect::<Result<_>>()?
        }
    };
    Ok(Rule { hosts, paths, methods: fields.read("methods", methods)?, any_of })
}

/// What of a token is demanded at this place; none: nothing.
fn demand(
    fields: &Fields<'_>,
    captured: &[String],
    providers: &[Provider],
    reading: &Reading<'_>,
) -> Result<Option<Demand>> {
    let providers = fields.read("providers", |node| provider_names(node, providers))?;
    let claims = fields.read("required_claims", |node| required_claims(node, reading, Some(captured)))?;
    if let (Some([]), Some(node)) = (claims.as_deref(), fields.get("required_claims")) {
        return node.refuse("this demands nothing; leave it out, or write a claim");
    }
    let is_none = providers.is_none() && claims.is_none();
    Ok((!is_none).then(|| Demand { providers, claims: claims.unwrap_or_default() }))
}

/// The names under which a rule captures: the same in each of its hosts, and in each of its paths.
fn captured(
    fields: &Fields<'_>,
    hosts: Option<&[Pattern]>,
    paths: Option<&[Pattern]>,
) -> Result<Vec<String>> {
    let mut all: Vec<String> = Vec::new();
    for (field, patterns) in [("hosts", hosts), ("paths", paths)] {
        let names = |pattern: &Pattern| {
            let mut names: Vec<String> = pattern.names().map(str::to_owned).collect();
            names.sort_unstable();
            names
        };
        let mut patterns = patterns.unwrap_or_default().iter().map(names);
        let Some(first) = patterns.next() else { continue };
        let refuse = |message: String| fields.fault(field, message);
        if patterns.any(|other| other != first) {
            return Err(refuse("each of them must capture the same names; write several rules".into()));
        }
        for name in first {
            if all.contains(&name) {
                return Err(refuse(format!("{{{name}}} is captured twice")));
            }
            all.push(name);
        }
    }
    Ok(all)
}

fn path(node: &Node<'_>) -> Result<Pattern> {
    let text = node.text()?;
    if text.contains([';', '?']) {
        return node.refuse("write the path without parameters and query; they do not matter to rules");
    }
    let text = plain(node)?;
    let (text, below) = text.strip_suffix("/**").map_or((text.as_str(), false), |text| (text, true));
    let all = segments(text);
    let inner = all.split_last().map(|(_, inner)| inner).unwrap_or_default();
    if inner.iter().any(|segment| segment.is_empty())
        || below && all.last().is_some_and(|last| last.is_empty())
    {
        return node
            .refuse("write the path without empty segments; rules are judged with slashes merged, too");
    }
    let parts = all.into_iter().map(|segment| part(node, segment)).collect::<Result<_>>()?;
    Ok(Pattern { parts, below })
}

fn host(node: &Node<'_>) -> Result<Pattern> {
    let text = node.text()?;
    let label = |label: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        match part(node, label)? {
            Part::Literal(text) if text.is_empty() || !text.bytes().all(fits) => {
                node.refuse("write a host without its port, like {name}.example.com")
            }
            Part::Literal(text) => Ok(Part::Literal(text.to_ascii_lowercase())),
            part @ (Part::Any | Part::Captured(_)) => Ok(part),
        }
    };
    let parts = text.strip_suffix('.').unwrap_or(text).split('.').map(label).collect::<Result<_>>()?;
    Ok(Pattern { parts, below: false })
}

fn part(node: &Node<'_>, text: &str) -> Result<Part> {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    match text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        Some(name) if is_name(name) => Ok(Part::Captured(name.to_owned())),
        None if text == "*" => Ok(Part::Any),
        None if !text.contains(['{', '}', '*']) => Ok(Part::Literal(text.to_owned())),
        Some(_) | None => node.refuse(
            "a {name} or * stands for the whole of what is between two slashes or dots, and /** at the end of a path",
        ),
    }
}
