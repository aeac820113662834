//! Does the README tell the truth?

#![expect(clippy::panic, reason = "a test that panics says what is wrong")]

use std::fs;
use std::path::Path;

use jwtproxy_wasm::Policy;
use rig::jwt::Key;
use rig::repository;

#[test]
fn every_configuration_in_it_loads() {
    let env = |name: &str| (name == "JWT_PUBLIC_KEY").then(|| Key::fixed("a").public_pem());
    let pages = [read("README.md"), read("docs/keys.md"), read("docs/rules.md")];
    let configurations: Vec<&str> = pages
        .iter()
        .flat_map(|page| page.split("```json\n").skip(1))
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert_eq!(configurations.len(), 8);
    for text in configurations {
        assert!(Policy::from_json(text.as_bytes(), &env).is_ok(), "{text}");
    }
}

#[test]
fn every_field_is_in_its_table() {
    let readme = [read("README.md"), read("docs/keys.md"), read("docs/rules.md")].concat();
    let sources = ["feeds", "mod", "keys", "paths", "providers", "rules", "session", "sources"];
    let mut fields = 0;
    for source in sources {
        let text = read(format!("src/config/{source}.rs"));
        let lists = text.split("fields(&[").skip(1).chain(text.split("FIELDS: &[&str] =\n").skip(1));
        for name in lists
            .filter_map(|rest| rest.split(']').next())
            .flat_map(|list| list.split('"').skip(1).step_by(2))
        {
            fields += 1;
            let named = [
                format!("`{name}`"),
                format!("`{name}["),
                format!("`… {name}"),
                format!("{name}: "),
                format!(" {name}`"),
            ];
            assert!(named.iter().any(|form| readme.contains(form)), "{name} is not in the README");
        }
    }
    assert!(fields > 40, "only {fields} fields were found in the sources");
}

#[test]
fn every_reason_is_in_the_list() {
    let list = read("docs/reasons.md");
    let mut reasons = 0;
    for source in ["src/jwt/verify_error.rs", "src/reply.rs"] {
        let text = read(source);
        let method = text
            .split("fn reason(&self)")
            .nth(1)
            .and_then(|rest| rest.split("\n    }\n").next())
            .expect("a method");
        for word in method.split('"').skip(1).step_by(2) {
            reasons += 1;
            assert!(list.contains(&format!("`{word}`")), "{word} is not in docs/reasons.md");
        }
    }
    assert!(reasons > 20, "only {reasons} reasons were found");
}

/// The page on Istio names the files that the mesh is given, and no others.
#[test]
fn the_manifests_are_named_and_tried() {
    let page = read("docs/istio.md");
    let folder = |path: &str| {
        let entries = fs::read_dir(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        entries.flatten()
    };
    let files = folder("tests/mesh/src").filter(|entry| entry.path().is_file());
    let tried: String = files.map(|file| read(file.path())).collect();
    for entry in folder("envoy/istio") {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(page.contains(&format!("`{name}`")) || page.contains(&format!("`{name}/`")), "{name}");
        // The overlay of Che stands on the base.
        assert!(name == "base" || tried.contains(&name), "no mesh is given {name}");
    }
    for path in
        page.split("envoy/istio/").skip(1).filter_map(|rest| rest.split([' ', ')', '`', ']', '\n']).next())
    {
        assert!(repository(format!("envoy/istio/{path}")).exists(), "envoy/istio/{path}");
    }
}

#[test]
fn what_it_links_to_is_there() {
    for page in [
        "README.md",
        "SECURITY.md",
        "docs/benchmarks.md",
        "docs/browsers.md",
        "docs/istio.md",
        "docs/jwt_authn.md",
        "docs/jwtproxy.md",
        "docs/keys.md",
        "docs/reasons.md",
        "docs/rules.md",
        "docs/testing.md",
    ] {
        for target in
            read(page).split("](").skip(1).filter_map(|rest| rest.split(')').next().map(str::to_owned))
        {
            let file = Path::new(page).with_file_name(target.split('#').next().unwrap_or_default());
            assert!(target.starts_with("https://") || repository(file).exists(), "{page}: {target}");
        }
    }
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
