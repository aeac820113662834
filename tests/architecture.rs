//! Rules of the code that no compiler holds.

#![expect(clippy::panic, reason = "a test that panics says what is wrong")]

use std::fs;
use std::path::{Path, PathBuf};

use rig::repository;

/// Every module may name those that stand behind it in the list at the end of the crate's documentation, and no others:
/// so each can be read without what stands before it.
#[test]
fn modules_depend_in_one_direction() {
    let order = order();
    let place = |module: &str| order.iter().position(|own| own == module);
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let module = module(&path);
        if module == "lib" {
            let declared: Vec<&str> = text
                .lines()
                .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "))
                .collect();
            for name in declared.iter().map(|name| name.trim_end_matches(';')) {
                assert!(place(name).is_some(), "{name} is not in the list of the crate's documentation");
            }
            assert_eq!(declared.len(), order.len(), "the list names modules that are not there");
            continue;
        }
        let own = place(&module);
        for name in named(&text) {
            if name != module && place(&name) <= own {
                wrong.push(format!("{}: {module} depends on {name}", path.display()));
            }
        }
        if text.contains("super::super") {
            wrong.push(format!("{}: super::super", path.display()));
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "against the order {}:\n{}", order.join(", "), wrong.join("\n"));
}

/// `unsafe` is forbidden by lint as well. An `expect` with a reason goes away with its cause, an `allow` stays.
#[test]
fn no_lint_is_switched_off() {
    for word in ["unsafe ", "#[allow(", "#![allow("] {
        assert_no_source_says(word);
    }
}

/// They unwrap UTF-8: one request with a byte `\xff` would end the VM of a worker. The lint does not see every way in.
#[test]
fn headers_are_read_as_bytes() {
    for getter in [
        "get_http_request_header",
        "get_http_request_trailer",
        "get_http_response_header",
        "get_http_call_response_header",
        "hostcalls::get_map(",
        "hostcalls::get_map_value(",
    ] {
        assert_no_source_says(getter);
    }
}

#[test]
fn a_file_is_read_in_a_sitting() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines < 450, "{} has {lines} lines", path.display());
    }
}

fn assert_no_source_says(words: &str) {
    for (path, text) in sources() {
        let found = text.lines().find(|line| !line.trim_start().starts_with("//") && line.contains(words));
        assert_eq!(found, None, "{}", path.display());
    }
}

/// The backquoted names at the end of the crate's documentation.
fn order() -> Vec<String> {
    let text = read(&repository("src/lib.rs"));
    let documentation: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//!")).collect();
    let documentation = documentation.join("");
    let (_, list) = documentation.rsplit_once("holds:").unwrap_or_else(|| panic!("no list of modules"));
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The modules that a text names: `crate::a`, and each of `crate::{a, b::c}`.
fn named(text: &str) -> Vec<String> {
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join(" ");
    let word =
        |text: &str| text.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().map(str::to_owned);
    code.split("crate::")
        .skip(1)
        .flat_map(|rest| match rest.strip_prefix('{') {
            None => vec![word(rest)],
            Some(group) => {
                let group = group.split(';').next().unwrap_or_default();
                group.split(',').map(|item| word(item.trim())).collect()
            }
        })
        .flatten()
        .filter(|name| !name.is_empty())
        .collect()
}

/// The first folder below `src`, or the file.
fn module(path: &Path) -> String {
    let root = repository("src");
    let relative = path.strip_prefix(&root).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let first = relative.iter().next().unwrap_or_else(|| panic!("{}", path.display()));
    first.to_string_lossy().trim_end_matches(".rs").to_owned()
}

fn sources() -> Vec<(PathBuf, String)> {
    let (mut found, mut folders) = (Vec::new(), vec![repository("src")]);
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = read(&path);
                found.push((path, text));
            }
        }
    }
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
