//! The rights of the running daemon and of the processes around it, as the kernel tells them; and that it does its work with
//! these. Needs root, and fails without.
#![expect(clippy::disallowed_methods, reason = "what the kernel tells of a process is in files")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use siglatch_tests::gateway::{Gateway, Plan, SSH, knock};
use siglatch_tests::netns::Street;
use siglatch_tests::process::{PATIENCE, wait_until};
use siglatch_tests::script::Scripts;
use siglatch_tests::service::{Echo, opens_within};
use siglatch_tests::stage::{Stage, client};

#[test]
fn a_daemon_that_stays_root_keeps_one_capability_and_no_way_to_others() -> Result<()> {
    let stage = Stage::new()?;
    is_confined(stage.daemon.id(), "0")?;
    let told = stage.daemon.wait_for("privileges: user=root caps=net_admin seccomp=on landlock=")?;
    let privileges = told.lines().find_map(|line| line.split_once("privileges: ")).context("it was said")?.1;
    let status = stage.gateway.ctl(&["status"])?;
    ensure!(status.lines().any(|line| line == format!("privileges: {privileges}")), "no {privileges} in {status}");
    let status = &stage.gateway.ctl_json(&["status"])?["privileges"];
    ensure!(status["user"] == "root" && status["capabilities"] == "net_admin" && status["seccomp"] == true, "{status}");
    stage.knock(&knock(1), client(true))?;
    stage.opens(client(true))?;
    // The hand writes the whole table anew.
    stage.street.gateway.shell("nft delete table inet siglatch")?;
    stage.daemon.wait_for("grants")?;
    let is_back = || stage.street.gateway.shell("nft list table inet siglatch").is_ok();
    ensure!(wait_until(PATIENCE, is_back), "{}", stage.daemon.said());
    stage.opens(client(true))
}

#[test]
fn a_daemon_with_a_user_of_its_own_is_that_user_and_works() -> Result<()> {
    let street = Street::new()?;
    let _service = Echo::start(&street.gateway, SSH)?;
    let gateway = Gateway::new(&street.gateway, &Plan::plus("[daemon]\nuser = \"nobody\"\n"))?;
    // What keys are in stays root's; the folder is where the socket and the log are here.
    let folder = gateway.file("");
    chown(&folder, Some(NOBODY), None)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
    let daemon = gateway.start()?;
    is_confined(daemon.id(), "65534")?;
    let source = client(true);
    gateway.knock(&street.outside, source, 1)?;
    let service = siglatch_tests::gateway::sealed_port(source).ip();
    opens_within(PATIENCE, &street.outside, source, (service, SSH).into())
        .map_err(|error| error.context(daemon.said()))?;
    gateway.wait_audited("knock", 1)?;
    let status = gateway.ctl_json(&["status"])?;
    ensure!(status.is_object(), "{status}");
    let (status, said) = daemon.terminate()?;
    ensure!(status.success(), "{said}");
    // What it has written is its own, and the next one goes on with it.
    let daemon = gateway.start()?;
    gateway.knock(&street.outside, source, 2)?;
    gateway.wait_audited("knock", 2)?;
    let (status, said) = daemon.terminate()?;
    ensure!(status.success() && !said.contains("ermission denied"), "{said}");
    Ok(())
}

#[test]
fn a_program_that_the_daemons_user_may_not_look_at_is_no_finding_and_runs() -> Result<()> {
    let street = Street::new()?;
    let scripts = Scripts::new()?;
    let closed = PathBuf::from(scripts.write("closed", "echo \"$@\" >>$notes/closed")?);
    let above = closed.parent().context("a folder")?;
    let plan = |word: &str| {
        let exec = format!("exec = [\"{}\", \"{word}\"]\nrun_as = \"root\"\n", closed.display());
        Plan::plus(&format!("[daemon]\nuser = \"nobody\"\n\n[action.closed]\nid = 40\nusers = \"all\"\n{exec}"))
    };
    let gateway = Gateway::new(&street.gateway, &plan("first"))?;
    let folder = gateway.file("");
    chown(&folder, Some(NOBODY), None)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
    fs::set_permissions(above, fs::Permissions::from_mode(0o700))?;
    // It reads keys again on a reload.
    for key in ["server.key", "alice.key", "bob.key", "gate-0.key"] {
        chown(gateway.file(key), None, Some(NOBODY))?;
        fs::set_permissions(gateway.file(key), fs::Permissions::from_mode(0o640))?;
    }
    let daemon = gateway.start()?;
    // Whoever keeps the starter reads a file that is root's alone.
    chown(&folder, Some(0), None)?;
    gateway.configure(&plan("second"))?;
    gateway.ctl(&["reload"])?;
    gateway.knock(&street.outside, client(true), 40)?;
    daemon.wait_for("program done")?;
    ensure!(scripts.note("closed").starts_with("second "), "{}", scripts.note("closed"));
    let said = daemon.said();
    ensure!(!said.contains("cannot look at") && said.contains("is seen at its start"), "{said}");
    Ok(())
}

#[test]
fn a_folder_that_is_shared_with_others_is_not_given_to_the_daemons_user() -> Result<()> {
    let street = Street::new()?;
    let gateway = Gateway::new(&street.gateway, &Plan::plus("[daemon]\nuser = \"nobody\"\n"))?;
    let (status, said) = siglatch_tests::process::Process::start(&mut gateway.command()?)?.end()?;
    ensure!(!status.success() && said.contains("user nobody cannot write to"), "{said}");
    ensure!(!gateway.pins().join("program").exists(), "nothing is loaded then");
    Ok(())
}

/// Asserts of every thread of the daemon, and of the process that runs nft, that it has what it should have, and no more.
fn is_confined(daemon: u32, uid: &str) -> Result<()> {
    for task in fs::read_dir(format!("/proc/{daemon}/task"))? {
        let status = status_of(&task?.path().to_string_lossy())?;
        has_only_the_firewall(&status, uid)?;
        ensure!(
            status["CapAmb"] == NOTHING && status["CapInh"] == NOTHING && status["CapBnd"] == NOTHING,
            "{status:?}"
        );
        ensure!(status["Seccomp"] == "2", "{status:?}");
    }
    let status = status_of(&format!("/proc/{daemon}"))?;
    let locked: u64 = status["VmLck"].split_whitespace().next().context("kilobytes")?.parse()?;
    ensure!(locked > 0, "{status:?}");
    let limits = fs::read_to_string(format!("/proc/{daemon}/limits"))?;
    let cores = limits.lines().find(|line| line.starts_with("Max core file size")).context("a limit for cores")?;
    ensure!(cores.split_whitespace().nth(4) == Some("0"), "{cores}");

    let hand = hand_of(daemon)?;
    let status = status_of(&format!("/proc/{hand}"))?;
    has_only_the_firewall(&status, uid)?;
    ensure!(status["CapAmb"] == FIREWALL && status["CapBnd"] == FIREWALL, "{status:?}");
    Ok(())
}

fn has_only_the_firewall(status: &BTreeMap<String, String>, uid: &str) -> Result<()> {
    ensure!(status["Uid"].split_whitespace().all(|one| one == uid), "{status:?}");
    ensure!(status["CapEff"] == FIREWALL && status["CapPrm"] == FIREWALL, "{status:?}");
    ensure!(status["NoNewPrivs"] == "1", "{status:?}");
    ensure!(uid == "0" || status["Groups"].is_empty(), "{status:?}");
    Ok(())
}

/// The process below the daemon that runs nft.
fn hand_of(daemon: u32) -> Result<u32> {
    let mut found = None;
    let has_come = || {
        let children = fs::read_to_string(format!("/proc/{daemon}/task/{daemon}/children")).unwrap_or_default();
        let mut children = children.split_whitespace().filter_map(|child| child.parse().ok());
        children.any(|child: u32| {
            fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name.trim() == "siglatch-nft")
        })
    };
    ensure!(wait_until(Duration::from_secs(2), has_come), "no process runs nft for the daemon");
    let children = fs::read_to_string(format!("/proc/{daemon}/task/{daemon}/children"))?;
    for child in children.split_whitespace() {
        if fs::read_to_string(format!("/proc/{child}/comm"))?.trim() == "siglatch-nft" {
            found = Some(child.parse()?);
        }
    }
    found.context("it has gone")
}

/// What `/proc/PID/status` says, by name.
fn status_of(process: &str) -> Result<BTreeMap<String, String>> {
    let text = fs::read_to_string(format!("{process}/status"))?;
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    Ok(pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect())
}

/// `CAP_NET_ADMIN` alone.
const FIREWALL: &str = "0000000000001000";
const NOTHING: &str = "0000000000000000";

/// A user that every machine has.
const NOBODY: u32 = 65_534;
