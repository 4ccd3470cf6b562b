//! A dry run: everything is judged for real and told, and nothing is done.

use anyhow::{Result, ensure};
use serde_json::Value;
use siglatch_tests::gateway::{Gateway, OPEN, Plan, knock, sealed};
use siglatch_tests::netns::Street;
use siglatch_tests::script::Scripts;
use siglatch_tests::service::{Echo, is_open};
use siglatch_tests::stage::{Stage, client};

#[test]
fn a_daemon_that_runs_dry_tells_what_it_would_do_and_touches_nothing() -> Result<()> {
    let scripts = Scripts::new()?;
    let told = scripts.write("told", "echo here >$notes/told")?;
    let rules = format!("[action.told]\nid = 30\nusers = \"all\"\nexec = [\"{told}\"]\nrun_as = \"nobody\"\n");
    let street = Street::new()?;
    let _service = Echo::start(&street.gateway, 22)?;
    let gateway = Gateway::new(&street.gateway, &Plan::plus(&rules))?;
    let daemon = gateway.start_with(&["--dry-run"])?;
    daemon.wait_for("DRY RUN: knocks are judged and nothing is done for them")?;
    let source = client(true);
    let port = siglatch_tests::gateway::sealed_port(source);
    let service = std::net::SocketAddr::new(port.ip(), 22);
    ensure!(is_open(&street.outside, source, service), "nothing is closed that was open");

    let datagram = sealed(&knock(OPEN))?;
    street.outside.send(&datagram, source, port)?;
    gateway.knock(&street.outside, source, 30)?;
    daemon.wait_for("dry run: a grant would have been opened")?;
    daemon.wait_for("dry run: a program would have been started")?;
    street.outside.send(&datagram, source, port)?;
    daemon.wait_for("knock decision=refused reason=replay")?;
    let pretended = gateway.wait_audited("pretended", 2)?;
    let what: Vec<_> = pretended.iter().map(|record| &record["what"]).collect();
    ensure!(what == [&Value::from("grant"), &Value::from("exec")], "{pretended:?}");
    ensure!(gateway.audited("knock")?[0]["dry_run"] == true && gateway.audited("start")?[0]["dry_run"] == true);
    ensure!(scripts.note("told").is_empty(), "nothing was started");
    ensure!(street.gateway.shell("nft list tables")?.trim().is_empty(), "there is no table");

    // Strikes are counted for real, and nobody is banned for them.
    gateway.ctl(&["ban", "198.51.100.9"])?;
    ensure!(gateway.ctl(&["bans"])?.contains("198.51.100.9"), "it is told");
    ensure!(gateway.dump("blacklist")?.as_array().is_some_and(Vec::is_empty), "it is not in the kernel");
    daemon.terminate()?;

    // What was pretended was not done: going live, the next knock is the first.
    let _daemon = gateway.start()?;
    ensure!(!is_open(&street.outside, source, service));
    gateway.knock(&street.outside, source, OPEN)?;
    siglatch_tests::service::opens_within(siglatch_tests::process::PATIENCE, &street.outside, source, service)?;
    Ok(())
}

#[test]
fn an_action_that_runs_dry_does_nothing_and_others_do() -> Result<()> {
    let stage =
        Stage::with(&Plan::plus("[action.dry]\nid = 30\nusers = \"all\"\ngrant = [\"tcp/5432\"]\ndry_run = true\n"))?;
    let source = client(true);
    stage.knock(&knock(30), source)?;
    stage.daemon.wait_for("dry run: a grant would have been opened")?;
    stage.port_is_shut(5432, source)?;
    stage.knock(&knock(OPEN), source)?;
    stage.opens(source)
}
