//! What becomes of grants when somebody else changes the firewall, or the policy changes; and the operator's own sets.

use anyhow::{Context as _, Result, ensure};
use siglatch_tests::gateway::{BRIEF, Gateway, OPEN, Plan, RULES, knock, sealed, sealed_port};
use siglatch_tests::netns::Street;
use siglatch_tests::process::{PATIENCE, Process, outcome, wait_until};
use siglatch_tests::scene::STRANGER;
use siglatch_tests::service::closes_within;
use siglatch_tests::stage::{Stage, client};

#[test]
fn whatever_is_flushed_or_deleted_is_put_back_with_its_grants() -> Result<()> {
    let stage = Stage::new()?;
    for v4 in [true, false] {
        stage.knock(&knock(OPEN), client(v4))?;
        stage.opens(client(v4))?;
    }
    let accidents = [
        ("nft flush ruleset", "table=Missing grants=2"),
        ("nft delete table inet siglatch", "table=Missing grants=2"),
        ("nft flush set inet siglatch grants_v6", "table=Whole grants=1"),
        ("nft flush chain inet siglatch protected", "table=Changed grants=0"),
        ("nft flush set inet siglatch protected", "table=Changed grants=0"),
        ("nft delete element inet siglatch grants_v4 '{ 192.0.2.2 . tcp . 22 }'", "table=Whole grants=1"),
    ];
    for (times, (accident, told)) in (1..).zip(accidents) {
        stage.street.gateway.shell(accident)?;
        let said = stage.daemon.wait_until(&format!("the firewall put back after {accident}"), |log| {
            log.matches("the firewall was put back").count() == times
        })?;
        let line = said.lines().rfind(|line| line.contains("put back")).context("it was said")?;
        ensure!(line.contains("WARN") && line.contains(told), "{accident}: {line}");
        stage.opens(client(true))?;
        stage.opens(client(false))?;
        stage.is_shut(STRANGER.of(true))?;
    }
    Ok(())
}

#[test]
fn a_grant_that_is_put_back_ends_when_it_would_have_ended() -> Result<()> {
    let stage = Stage::new()?;
    stage.knock(&knock(BRIEF), client(true))?;
    stage.opens(client(true))?;
    stage.street.gateway.shell("nft flush ruleset")?;
    stage.daemon.wait_for("the firewall was put back")?;
    stage.opens(client(true))?;
    let service = stage.service(siglatch_tests::gateway::SSH, client(true));
    closes_within(std::time::Duration::from_secs(4), &stage.street.outside, client(true), service)?;
    Ok(())
}

#[test]
fn another_table_is_never_touched() -> Result<()> {
    let stage = Stage::new()?;
    let gateway = &stage.street.gateway;
    gateway.shell("nft 'add table inet other; add chain inet other in { type filter hook input priority 5; }'")?;
    gateway.shell("nft 'add rule inet other in tcp dport 80 counter; add set inet other s { type ipv4_addr; }'")?;
    let before = gateway.shell("nft list table inet other")?;
    stage.knock(&knock(OPEN), client(true))?;
    stage.opens(client(true))?;
    gateway.shell("nft delete table inet siglatch")?;
    stage.daemon.wait_for("the firewall was put back")?;
    ensure!(gateway.shell("nft list table inet other")? == before);
    Ok(())
}

#[test]
fn grants_of_a_user_who_was_taken_out_end_at_the_next_start() -> Result<()> {
    let mut stage = Stage::new()?;
    let (hers, his) = (stage.newcomer()?, stage.newcomer()?);
    stage.knock(&knock(OPEN), hers)?;
    stage
        .send(&sealed(&siglatch_client::knocker::Knock { user: siglatch_tests::gateway::BOB, ..knock(OPEN) })?, his)?;
    stage.opens(hers)?;
    stage.opens(his)?;
    stage.gateway.configure(&Plan { users: vec!["alice"], ..Plan::default() })?;
    stage.daemon = stage.gateway.start()?;
    ensure!(stage.daemon.said().contains("grant ended: no longer allowed"), "{}", stage.daemon.said());
    stage.is_shut(his)?;
    stage.opens(hers)
}

#[test]
fn the_operators_sets_are_filled_and_nothing_else_is_changed() -> Result<()> {
    let (street, gateway) = operators_street()?;
    street.gateway.shell(&format!("nft '{OPERATORS_TABLE}'"))?;
    let before = street.gateway.shell("nft -t list ruleset")?;
    let daemon = gateway.start()?;
    for v4 in [true, false] {
        gateway.knock(&street.outside, client(v4), OPEN)?;
    }
    daemon.wait_until("two grants opened", |log| log.matches("grant opened").count() == 2)?;
    let (v4, v6) = (list(&street, "knockers_v4")?, list(&street, "knockers_v6")?);
    ensure!(v4.contains("192.0.2.2 . tcp . 22") && v6.contains("2001:db8::2 . tcp . 22"), "{v4}{v6}");
    ensure!(street.gateway.shell("nft -t list ruleset")? == before);

    street.gateway.shell("nft flush set inet filter knockers_v4")?;
    ensure!(wait_until(PATIENCE, || list(&street, "knockers_v4").is_ok_and(|set| set.contains("192.0.2.2"))));
    ensure!(street.gateway.shell("nft -t list ruleset")? == before);
    Ok(())
}

#[test]
fn missing_sets_of_the_operators_are_named_with_the_commands_that_make_them() -> Result<()> {
    let (street, gateway) = operators_street()?;
    for set in ["knockers_v4", "knockers_v6"] {
        let (code, said) = outcome(&mut gateway.command()?)?;
        ensure!(code == 1 && said.contains(&format!("set {set} is missing from table inet filter")), "{code}: {said}");
        let cure = said.split_once("make it: ").context("a cure")?.1.lines().next().unwrap_or_default();
        street.gateway.shell(cure)?;
    }
    gateway.start().map(drop)
}

#[test]
fn a_set_that_is_deleted_is_asked_for_until_it_is_back() -> Result<()> {
    let (street, gateway) = operators_street()?;
    street.gateway.shell(&format!("nft '{OPERATORS_TABLE}'"))?;
    let daemon: Process = gateway.start()?;
    street.gateway.shell("nft delete set inet filter knockers_v4")?;
    street.outside.send(&sealed(&knock(OPEN))?, client(true), sealed_port(client(true)))?;
    daemon.wait_for("set knockers_v4 is missing from table inet filter; make it: ")?;
    street.gateway.shell(&format!("nft '{OPERATORS_TABLE}'"))?;
    ensure!(
        wait_until(PATIENCE, || list(&street, "knockers_v4").is_ok_and(|set| set.contains("192.0.2.2"))),
        "{}",
        daemon.said()
    );
    Ok(())
}

fn operators_street() -> Result<(Street, Gateway)> {
    let street = Street::new()?;
    let firewall = "mode = \"sets\"\ntable = \"filter\"\nset_v4 = \"knockers_v4\"\nset_v6 = \"knockers_v6\"";
    let rules = RULES.replace("protect = [\"tcp/22\", \"tcp/5432\"]", firewall);
    let gateway = Gateway::new(&street.gateway, &Plan { rules, ..Plan::default() })?;
    Ok((street, gateway))
}

fn list(street: &Street, set: &str) -> Result<String> {
    street.gateway.shell(&format!("nft list set inet filter {set}"))
}

const OPERATORS_TABLE: &str = "
add table inet filter
add set inet filter knockers_v4 { type ipv4_addr . inet_proto . inet_service; flags timeout; }
add set inet filter knockers_v6 { type ipv6_addr . inet_proto . inet_service; flags timeout; }
add chain inet filter input { type filter hook input priority 0; }
";
