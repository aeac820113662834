//! Somebody applies a configuration that the plugin refuses: while another serves, as the first one, at a cold start; and
//! what else is applied then.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

use rig::place::good;
use serde_json::{Value, json};

use crate::life::{Change, restart};
use crate::load::{Load, until_mended, usual};
use crate::pairings;
use crate::parts::until;
use crate::report::{Report, ensure};
use crate::world::{Workspace, World, guarded, settled, status_with, token_of};

/// How long a load goes on behind the change.
const AFTERWARDS: Duration = Duration::from_secs(1);
/// By when Istio has sent on what was applied, and Envoy has taken or refused it.
const PUSHED: Duration = Duration::from_secs(4);
const WRONG: &str = "audience";

pub(crate) fn run(world: &World, workspace: &mut Workspace, report: &mut Report, change: &Change<'_>) {
    let [port, _] = workspace.ports;
    let plugin = change(&|_| {});
    let wrong = change(&|spec| spec["pluginConfig"]["providers"][0][WRONG] = json!(["workspace"]));
    report.scenario("a wrong configuration while serving", || {
        world.cluster.apply(&plugin);
        guarded(port)?;
        let load = Load::start(port, usual());
        let reasons = || workspace.sidecar.log().matches(WRONG).count();
        let before = reasons();
        world.cluster.apply(&wrong);
        let said = until(Duration::from_secs(20), || reasons() > before);
        let said = said.ok_or("the agent's log never says why")?;
        let counted = until(Duration::from_secs(10), || !rejects(world).is_empty());
        sleep(AFTERWARDS);
        let figures = load.end()?.without_errors()?;
        ensure(counted.is_some(), || "istiod counts no NACK".into())?;
        let own = workspace.sidecar.admin("/stats?filter=jwtproxy_configuration_refused");
        ensure(own.contains("jwtproxy_configuration_refused_total: 1"), || format!("our counter: {own}"))?;
        let line = workspace.sidecar.said(WRONG).unwrap_or_default();
        println!("      agent's log: {}", short(&line));
        println!("      istiod's metrics: {}", rejects(world).join("; "));
        for stat in workspace.sidecar.admin("/stats?filter=extension_config_discovery").lines() {
            if stat.contains("config_fail") || stat.contains("rejected") {
                println!("      envoy's stats: {stat}");
            }
        }
        Ok(format!("the old one serves on, the reason in the log after {} ms; {figures}", said.as_millis()))
    });
    report.scenario("a wrong configuration, and somebody applies a policy meanwhile", || {
        let policy = world.shipped("authorization.yaml");
        let carol = || status_with(port, "/notes", Some(&token_of("carol")));
        world.cluster.apply(&policy);
        sleep(PUSHED);
        let meanwhile = carol();
        world.cluster.apply(&plugin);
        sleep(PUSHED);
        let mended = carol();
        touch(world);
        let denied = until(Duration::from_secs(20), || carol() == Some(403));
        world.cluster.delete(&policy);
        settled(port, &[(Some(token_of("carol")), 200)])?;
        // Envoy refuses the listener with the policy for what it still has of the plugin.
        ensure([meanwhile, mended] == [Some(200); 2], || {
            format!("{meanwhile:?}, {mended:?}: is it mended? Say so in docs/istio.md")
        })?;
        let took = denied.ok_or("the policy never came")?;
        Ok(format!(
            "it does not come, also when the right configuration is applied; {} ms after `kubectl annotate` it is there",
            took.as_millis()
        ))
    });
    report.scenario("a wrong configuration, then the resource deleted and the right one applied", || {
        // Envoy still has what it refused, for as long as the listener before is drained, and refuses for it the one that
        // comes with the resource; Istio does not send that again before something about the listener changes.
        let open = anew(world, workspace, change, &[])?;
        ensure(open == Some(200), || format!("{open:?}: is it mended? Say so in docs/istio.md"))?;
        let lock = pairings::second_lock(world);
        let locked = anew(world, workspace, change, &lock);
        world.cluster.delete(&lock);
        let locked = locked?;
        ensure(locked == Some(403), || format!("with a second lock: {locked:?}"))?;
        Ok("open without a token; with request_authentication.yaml 403; guarded after `kubectl annotate`"
            .into())
    });
    report.scenario("a wrong configuration as the first one, at a workload that runs", || {
        world.cluster.delete(&plugin);
        settled(port, &[(None, 200)])?;
        // Envoy knows filters by their names: of this one it never had another configuration.
        let [first, mended] = [&wrong, &plugin].map(|plugin| {
            let mut plugin = plugin.clone();
            plugin[0]["metadata"]["name"] = json!("first");
            plugin
        });
        world.cluster.apply(&first);
        let closed = settled(port, &[(None, 500), (Some(good()), 500)])?;
        let load = Load::start(port, until_mended());
        sleep(AFTERWARDS);
        world.cluster.apply(&mended);
        let took = guarded(port)?;
        sleep(AFTERWARDS);
        let figures = load.end()?;
        world.cluster.delete(&mended);
        Ok(format!(
            "500 to everything after {} ms, guarded {} ms after the right one was applied; {figures}",
            closed.as_millis(),
            took.as_millis()
        ))
    });
    report.scenario("a cold start with a wrong configuration", || cold(world, workspace, &plugin, &wrong));
}

/// A pod that starts with a wrong one, and gets the right one.
fn cold(
    world: &World,
    workspace: &mut Workspace,
    plugin: &[Value],
    wrong: &[Value],
) -> Result<String, String> {
    let [port, _] = workspace.ports;
    world.cluster.apply(wrong);
    restart(world, workspace);
    let refused = until(Duration::from_secs(20), || workspace.sidecar.said(WRONG).is_some());
    refused.ok_or("the agent's log never says why")?;
    sleep(AFTERWARDS);
    let found = [None, Some(good())].map(|token| status_with(port, "/notes", token.as_deref()));
    ensure(found.iter().all(|status| status.is_none_or(|status| status >= 500)), || format!("{found:?}"))?;
    let load = Load::start(port, until_mended());
    sleep(AFTERWARDS);
    world.cluster.apply(plugin);
    let took = guarded(port)?;
    let figures = load.end()?;
    Ok(format!(
        "closed ({found:?}); guarded {} ms after the right one was applied; {figures}",
        took.as_millis()
    ))
}

/// What becomes of a request without a token when somebody mends a wrong configuration so, beside these resources.
fn anew(
    world: &World,
    workspace: &Workspace,
    change: &Change<'_>,
    beside: &[Value],
) -> Result<Option<u16>, String> {
    let [port, _] = workspace.ports;
    let hand_on = |spec: &mut Value| {
        spec["pluginConfig"]["forward_token"] = json!({"header": "authorization", "scheme": "Bearer"});
    };
    let plugin = change(&hand_on);
    let wrong = change(&|spec| spec["pluginConfig"]["providers"][0][WRONG] = json!(["workspace"]));
    world.cluster.apply(&[beside, &plugin].concat());
    guarded(port)?;
    // Envoy says so each time; the filter has its say once for the same configuration.
    let refusals = || workspace.sidecar.log().matches("failed to load").count();
    let before = refusals();
    world.cluster.apply(&wrong);
    until(Duration::from_secs(20), || refusals() > before).ok_or("the agent's log never says why")?;
    world.cluster.delete(&plugin);
    settled(port, &[(None, if beside.is_empty() { 200 } else { 403 })])?;
    world.cluster.apply(&plugin);
    sleep(PUSHED);
    let found = status_with(port, "/notes", None);
    touch(world);
    guarded(port)?;
    Ok(found)
}

/// As `docs/istio.md` advises.
fn touch(world: &World) {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let again = format!("again={}", COUNT.fetch_add(1, Ordering::Relaxed));
    world.cluster.run(&["annotate", "--overwrite", "-n", "workspaces", "wasmplugin/jwtproxy", &again]);
}

/// What istiod counts of configurations that were refused.
fn rejects(world: &World) -> Vec<String> {
    let mut lines = world.istiod.metrics("pilot_total_xds_rejects");
    lines.extend(world.istiod.metrics("pilot_xds_ecds_reject"));
    lines
}

fn short(line: &str) -> String {
    line.chars().take(400).collect()
}
