//! The table of cases through a real Envoy, started from the shipped `envoy/envoy.yaml`.

use rig::envoy::{Envoy, Options};
use rig::table::{self, Case, Outcome};
use rig::upstream::Upstream;
use rig::{http, shipped};
use serde_json::{Value, json};

#[test]
fn every_case_through_envoy() {
    let table = table::load();
    let upstream = Upstream::start();
    let configurations: Vec<(&str, String)> =
        table.configs.iter().map(|(name, config)| (name.as_str(), config.to_string())).collect();
    let envoy = start(&upstream, &configurations);

    let cases: Vec<&Case> =
        table.cases.iter().filter(|case| case.now.is_none() && case.native_only.is_none()).collect();
    let mut failures = Vec::new();
    for case in &cases {
        if let Err(difference) = outcome(&envoy, case).check(&case.expect) {
            failures.push(format!("{}\n    {difference}", case.name));
        }
    }
    let (failed, all) = (failures.len(), cases.len());
    println!("{} of {all} cases through Envoy {}", all - failed, rig::envoy::binary_version());
    assert!(failures.is_empty(), "{failed} of {all} cases differ:\n{}", failures.join("\n"));
    let log = envoy.log();
    assert!(!log.contains("panicked"), "{log}");
}

/// One Envoy for all configurations, each on a listener of its own. The listener trusts one hop before it, so that a
/// case can say by which scheme it came.
fn start(upstream: &Upstream, configurations: &[(&str, String)]) -> Envoy {
    let mut base = shipped::bootstrap("envoy.yaml");
    shipped::set_cluster_port(&mut base, "upstream", upstream.port());
    shipped::set_module(&mut base, &rig::repository("dist/jwtproxy.wasm"));
    let variables = table::env();
    let variables: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    shipped::set_env(&mut base, &variables);
    base["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["xff_num_trusted_hops"] =
        json!(1);
    let configurations: Vec<(&str, &str)> =
        configurations.iter().map(|(name, config)| (*name, config.as_str())).collect();
    Envoy::start_with(shipped::many_listeners(&base, &configurations), &Options::default())
}

fn outcome(envoy: &Envoy, case: &Case) -> Outcome {
    let pseudo = |name: &str| {
        let (_, value) = case.fields.iter().find(|(own, _)| own == name).expect("a pseudo-header");
        value.clone()
    };
    let mut raw =
        [pseudo(":method"), b" ".to_vec(), pseudo(":path"), b" HTTP/1.1\r\nhost: ".to_vec()].concat();
    raw.extend(pseudo(":authority"));
    raw.extend(b"\r\n");
    for (name, value) in case.fields.iter().filter(|(name, _)| !name.starts_with(':')) {
        raw.extend([name.as_bytes(), b": ", value.as_slice(), b"\r\n"].concat());
    }
    raw.extend(b"\r\n");
    let response = http::send(envoy.port(&case.config), &raw);
    let latin1 = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect::<String>();
    let headers: Vec<(String, String)> =
        response.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), latin1(value))).collect();
    match serde_json::from_slice::<Value>(&response.body) {
        Ok(seen) if seen["headers"].is_array() && seen["path"].is_string() => Outcome::Forwarded {
            path: seen["path"].as_str().unwrap_or_default().to_owned(),
            headers: seen["headers"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|line| {
                    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                    (text(&line[0]).to_ascii_lowercase(), text(&line[1]))
                })
                .collect(),
        },
        _ => Outcome::Answered { status: response.status, headers, body: latin1(&response.body) },
    }
}
