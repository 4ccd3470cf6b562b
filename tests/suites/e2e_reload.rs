//! The configuration changes while the daemon is at work: as a whole or not at all, and nothing that stands, runs or has begun
//! is lost by it.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "an operator has files, and runs the command")]

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use siglatch_client::knocker::Knock;
use siglatch_tests::earlier::measure::under_knocks;
use siglatch_tests::gateway::{BOB, DATABASE, Gateway, OPEN, Plan, SSH, STEPS, knock, now, sealed};
use siglatch_tests::netns::unique;
use siglatch_tests::process::{PATIENCE, outcome, program, wait_until};
use siglatch_tests::scene::GATEWAY;
use siglatch_tests::script::Scripts;
use siglatch_tests::service::{say, talk};
use siglatch_tests::stage::{Stage, client};
use siglatch_user::admin::Reloaded;
use siglatch_user::admin::protocol::Request;
use siglatch_user::edge::admin::AdminClient;

#[test]
fn ports_users_actions_and_services_come_and_go_and_what_stands_stays() -> Result<()> {
    let stage = Stage::with(&Plan { users: vec!["alice"], ..Plan::default() })?;
    let (first, second) = (stage.newcomer()?, stage.newcomer()?);
    stage.knock(&knock(OPEN), first)?;
    stage.opens(first)?;
    stage.gateway.ctl(&["ban", "198.51.100.7", "--for", "2h"])?;

    // bob, a port, an action and a service that nobody had before.
    let more = format!("{NEW_PORT}[action.web]\nid = 40\nusers = \"all\"\ngrant = [\"tcp/8080\"]\n");
    let wider = Plan::with("\"tcp/5432\"]", "\"tcp/5432\", \"tcp/8080\"]");
    stage.gateway.configure(&Plan { rules: format!("{}\n{more}", wider.rules), ..wider })?;
    let said = stage.gateway.ctl(&["reload"])?;
    for line in ["+ user bob\n", "+ port 62209\n", "+ action web\n", "the daemon goes by it now.\n"] {
        ensure!(said.contains(line), "{said}");
    }
    let bobs = Knock { user: BOB, ..knock(OPEN) };
    stage.street.outside.send(&sealed(&bobs)?, second, SocketAddr::new(GATEWAY.v4.into(), 62209))?;
    stage.opens(second)?;
    stage.opens(first)?;
    ensure!(stage.gateway.ctl_json(&["bans"])?["total"] == 1);
    stage.knock(&knock(40), first)?;
    stage.gateway.wait_audited("grant", 3)?;

    // And gone again: what bob has is not allowed any more, what alice has is.
    stage.gateway.configure(&Plan { users: vec!["alice"], ..Plan::default() })?;
    let said = stage.gateway.ctl(&["reload"])?;
    ensure!(said.contains("- user bob\n") && said.contains("2 grants have ended"), "{said}");
    stage.is_shut(second)?;
    stage.opens(first)?;
    stage.knock(&Knock { user: BOB, ..knock(OPEN) }, second)?;
    stage.refuses(1, "unauthentic", second)?;
    let reloads = stage.gateway.wait_audited("reload", 2)?;
    ensure!(reloads.iter().all(|reload| reload["by"] == "operator" && reload["result"] == "done"), "{reloads:?}");
    ensure!(stage.gateway.ctl(&["reload"])?.contains("nothing has changed"));
    Ok(())
}

#[test]
fn a_file_that_is_not_sound_changes_nothing_and_says_why() -> Result<()> {
    let stage = Stage::new()?;
    let source = stage.newcomer()?;
    stage.gateway.configure(&Plan::plus("[action.nonsense]\nid = 1\n"))?;
    for command in [&["reload"][..], &["reload", "--dry-run"]] {
        let (code, said) = ctl(&stage.gateway, command)?;
        ensure!(code == 78 && said.contains("error[") && said.contains("nothing has changed"), "{code}: {said}");
    }
    fs::remove_file(stage.gateway.config())?;
    let (code, said) =
        ctl(&stage.gateway, &["reload", "--socket", &stage.gateway.file("admin.sock").display().to_string()])?;
    ensure!(code != 0 && said.contains("nothing has changed"), "{code}: {said}");
    stage.knock(&knock(OPEN), source)?;
    stage.opens(source)?;
    let reloads = stage.gateway.wait_audited("reload", 2)?;
    ensure!(reloads.iter().all(|reload| reload["result"] == "failed" && !reload["error"].is_null()), "{reloads:?}");
    Ok(())
}

#[test]
fn whoever_asks_for_a_reload_the_log_has_every_finding_and_its_cure() -> Result<()> {
    let stage = Stage::new()?;
    stage.gateway.configure(&Plan::with("rate = 100_000", "rate = 0"))?;
    stage.daemon.signal(Signal::HUP)?;
    stage.gateway.wait_audited("reload", 1)?;
    let said = stage.daemon.said();
    let warned =
        said.lines().any(|line| line.contains("WARN") && line.contains(": warning[no-rate]: ") && line.contains("; "));
    ensure!(warned && said.contains("the configuration was read again, and holds"), "{said}");

    stage.gateway.configure(&Plan::plus("[action.nonsense]\nid = 1\n"))?;
    stage.daemon.signal(Signal::HUP)?;
    let reloads = stage.gateway.wait_audited("reload", 2)?;
    let said = stage.daemon.said();
    ensure!(said.lines().any(|line| line.contains("ERROR") && line.contains(": error[")), "{said}");
    let error = reloads.last().and_then(|reload| reload["error"].as_str()).context("it has no reason")?;
    ensure!(error.contains("siglatch.toml:") && error.contains("error[") && !error.contains('\n'), "{error}");
    Ok(())
}

#[test]
fn a_sequence_under_way_goes_on_and_what_cannot_change_is_named() -> Result<()> {
    let stage = Stage::new()?;
    let source = stage.newcomer()?;
    stage.knock(&knock(STEPS[0]), source)?;
    stage.daemon.wait_for("step taken")?;
    let slower = Plan::with("rate = 100_000", "rate = 90_000");
    let slower = Plan { audit: "file = \"elsewhere.jsonl\"".to_owned(), ..slower };
    stage.gateway.configure(&slower)?;
    let said = stage.gateway.ctl(&["reload"])?;
    ensure!(said.contains("[limits] rate: 100000 → 90000") && said.contains("[audit] file"), "{said}");
    for step in &STEPS[1..] {
        stage.knock(&knock(*step), source)?;
    }
    stage.port_opens(DATABASE, source)?;
    let status = stage.gateway.ctl_json(&["status"])?;
    ensure!(status["configuration"]["at_next_start"][0] == "[audit] file", "{status}");
    ensure!(!stage.gateway.file("elsewhere.jsonl").exists());
    Ok(())
}

#[test]
fn how_late_a_knock_may_be_changes_at_once_and_nothing_is_admitted_twice_by_it() -> Result<()> {
    let late = |secs: u32| Knock { timestamp: now() - secs, ..knock(OPEN) };
    let skew = |skew: &str| Plan::plus(&format!("[knock]\nmax_skew = \"{skew}\"\n"));
    let stage = Stage::with(&skew("5s"))?;
    let [strict, wide, narrow] = [stage.newcomer()?, stage.newcomer()?, stage.newcomer()?];
    stage.knock(&late(60), strict)?;
    stage.refuses(1, "stale", strict)?;

    stage.gateway.configure(&skew("5m"))?;
    let said = stage.gateway.ctl(&["reload"])?;
    ensure!(said.contains("[knock] max_skew: 5s → 5m") && !said.contains("next start"), "{said}");
    let admitted = late(120);
    stage.knock(&admitted, wide)?;
    stage.opens(wide)?;

    for (skew_is, reason, times) in [("5s", "stale", 1), ("5m", "replay", 1)] {
        stage.gateway.configure(&skew(skew_is))?;
        stage.gateway.ctl(&["reload"])?;
        stage.knock(&admitted, wide)?;
        stage.refuses(times, reason, wide)?;
    }
    stage.knock(&knock(OPEN), narrow)?;
    stage.opens(narrow)
}

#[test]
fn the_first_program_needs_a_restart_and_the_answer_says_so() -> Result<()> {
    let mut stage = Stage::new()?;
    let rule = "[action.first-program]\nid = 40\nusers = \"all\"\nexec = [\"/bin/true\"]\nrun_as = \"nobody\"\n";
    stage.gateway.configure(&Plan::plus(rule))?;
    let (code, said) = ctl(&stage.gateway, &["reload"])?;
    ensure!(code != 0 && said.contains("started without programs") && said.contains("restart it"), "{code}: {said}");
    ensure!(said.contains("nothing has changed"), "{said}");
    stage.knock(&knock(OPEN), client(true))?;
    stage.opens(client(true))?;
    stage.daemon.kill()?;
    stage.daemon = stage.gateway.start()?;
    stage.knock(&knock(40), client(false))?;
    stage.daemon.wait_for("program done")?;
    Ok(())
}

#[test]
fn programs_that_run_go_on_and_new_ones_can_be_started() -> Result<()> {
    let scripts = Scripts::new()?;
    let slow = scripts.write("slow", "sleep 1; echo slow >>$notes/slow")?;
    let quick = scripts.write("quick", "echo quick >>$notes/quick")?;
    let rule = |name: &str, id: u8, path: &str| {
        format!("[action.{name}]\nid = {id}\nusers = \"all\"\nexec = [\"{path}\"]\nrun_as = \"nobody\"\n\n")
    };
    let stage = Stage::with(&Plan::plus(&rule("slow", 40, &slow)))?;
    let source = client(true);
    stage.knock(&knock(40), source)?;
    stage.daemon.wait_for("program started")?;
    // The one that runs comes to stand behind another.
    stage.gateway.configure(&Plan::plus(&(rule("again", 39, &quick) + &rule("slow", 40, &slow))))?;
    stage.gateway.ctl(&["reload"])?;
    stage.knock(&knock(39), source)?;
    scripts.wait_for("quick", |said| said == "quick\n")?;
    scripts.wait_for("slow", |said| said == "slow\n")?;
    stage.knock(&knock(40), source)?;
    scripts.wait_for("slow", |said| said == "slow\nslow\n")?;
    let ended = stage.gateway.wait_audited("exec_ended", 3)?;
    ensure!(ended.iter().all(|ended| ended["code"] == 0), "{ended:?}");
    Ok(())
}

#[test]
fn a_thousand_reloads_lose_no_knock_and_leak_nothing() -> Result<()> {
    let stage = Stage::new()?;
    let source = stage.newcomer()?;
    let plans = [Plan { users: vec!["alice"], ..Plan::default() }, Plan::with("rate = 100_000", "rate = 90_000")];
    let mut operator = AdminClient::connect(&stage.gateway.file("admin.sock"))?;
    // One before and one after each, and somebody else who knocks all the while.
    let (others, before) = under_knocks(&stage.street, Duration::from_millis(1), || {
        let mut before = None;
        for turn in 0..RELOADS {
            stage.gateway.configure(&plans[turn % 2])?;
            stage.knock(&knock(OPEN), source)?;
            let reloaded: Reloaded = operator.ask(&Request::Reload {})?;
            ensure!(reloaded.applied && reloaded.changes == 2 - usize::from(turn == 0), "{reloaded:?}");
            stage.knock(&knock(OPEN), source)?;
            if turn == WARM {
                before = Some(Size::of(stage.daemon.id())?);
            }
        }
        before.context("enough turns")
    })?;
    let sent = others.knocks + 2 * RELOADS as u64;
    let admitted = || stage.gateway.ctl_json(&["status"]).ok()?["knocks"]["admitted"]["total"].as_u64();
    ensure!(wait_until(PATIENCE, || admitted() == Some(sent)), "{:?} of {sent} were admitted", admitted());
    ensure!(others.knocks >= RELOADS as u64, "{others:?} is no load");
    // The daemon may still be closing the connection over which it was asked last.
    let size = || Size::of(stage.daemon.id());
    wait_until(PATIENCE, || size().is_ok_and(|after| after.descriptors <= before.descriptors));
    let after = size()?;
    ensure!(after.descriptors <= before.descriptors && after.threads <= before.threads + 2, "{before:?} {after:?}");
    ensure!(after.resident < before.resident + 8_000_000, "{before:?} {after:?}");
    Ok(())
}

#[test]
fn what_is_switched_off_stays_so_over_restarts_until_its_time() -> Result<()> {
    let mut stage = Stage::new()?;
    let (first, second) = (stage.newcomer()?, stage.newcomer()?);
    stage.knock(&knock(OPEN), first)?;
    stage.opens(first)?;
    let said = stage.gateway.ctl_json(&["disable", "action", "open"])?;
    ensure!(said["changed"] == true && said["enabled"] == false, "{said}");
    stage.knock(&knock(OPEN), second)?;
    stage.refuses(1, "disabled_action", second)?;
    stage.opens(first)?;
    stage.gateway.ctl(&["disable", "user", "bob"])?;
    stage.daemon.kill()?;
    stage.daemon = stage.gateway.start()?;
    stage.knock(&Knock { user: BOB, ..knock(2) }, second)?;
    stage.refuses(1, "unauthentic", second)?;
    stage.knock(&knock(OPEN), second)?;
    stage.refuses(1, "disabled_action", second)?;
    let status = stage.gateway.ctl_json(&["status"])?;
    ensure!(status["configuration"]["switched_off"] == 2, "{status}");

    stage.gateway.ctl(&["enable", "action", "open"])?;
    stage.knock(&knock(OPEN), second)?;
    stage.opens(second)?;
    stage.gateway.ctl(&["disable", "user", "alice", "--for", "2s"])?;
    stage.knock(&knock(OPEN), second)?;
    stage.refuses(2, "unauthentic", second)?;
    stage.gateway.wait_audited("switched_on", 1)?;
    stage.knock(&knock(2), client(true))?;
    stage.opens(client(true))?;
    let (code, said) = ctl(&stage.gateway, &["disable", "user", "mallory"])?;
    ensure!(code == 1 && said.contains("there is no user \"mallory\""), "{code}: {said}");
    Ok(())
}

#[test]
fn whoever_is_disabled_can_lose_grants_and_connections_at_once() -> Result<()> {
    let stage = Stage::new()?;
    let source = stage.newcomer()?;
    stage.knock(&knock(OPEN), source)?;
    stage.opens(source)?;
    let mut connection = talk(&stage.street.outside, source, stage.service(SSH, source))?;
    say(&mut connection, b"hello")?;
    let said = stage.gateway.ctl_json(&["disable", "user", "alice", "--end-grants", "--cut"])?;
    ensure!(said["grants"] == 1 && said["cut"].as_u64().is_some_and(|cut| cut >= 1), "{said}");
    stage.is_shut(source)?;
    ensure!(say(&mut connection, b"hello").is_err(), "the connection stands");
    Ok(())
}

#[test]
fn a_file_is_followed_if_the_operator_wants_it() -> Result<()> {
    let follow = |rules: &str| Plan::plus(&format!("[daemon]\nreload_on_change = true\n\n{rules}"));
    let stage = Stage::with(&Plan { users: vec!["alice"], ..follow("") })?;
    stage.gateway.configure(&follow(""))?;
    stage.gateway.wait_audited("reload", 1)?;
    let source = stage.newcomer()?;
    stage.knock(&Knock { user: BOB, ..knock(OPEN) }, source)?;
    stage.opens(source)
}

#[test]
fn a_key_in_a_folder_elsewhere_is_read_again_and_a_folder_that_is_new_waits_for_the_next_start() -> Result<()> {
    let (first, second) = (Elsewhere::new()?, Elsewhere::new()?);
    let rules = |folder: &Elsewhere, more: &str| {
        let rules = format!("[user.bob]\nid = 2\nkey = \"{}\"\n\n{more}", folder.path("bob.key"));
        Plan { users: vec!["alice"], ..Plan::plus(&rules) }
    };
    first.write("bob.key", &[b'7'; 64])?;
    let mut stage = Stage::with(&rules(&first, ""))?;
    let bobs = || Knock { user: BOB, ..knock(OPEN) };
    let [early, source, late] = [stage.newcomer()?, stage.newcomer()?, stage.newcomer()?];
    stage.knock(&bobs(), early)?;
    stage.refuses(1, "unauthentic", early)?;
    let key = fs::read(stage.gateway.file("bob.key"))?;
    first.write("bob.key", &key)?;
    stage.gateway.ctl(&["reload"])?;
    stage.knock(&bobs(), source)?;
    stage.opens(source)?;

    second.write("bob.key", &key)?;
    stage.gateway.configure(&rules(&second, ""))?;
    let (code, said) = ctl(&stage.gateway, &["reload"])?;
    ensure!(
        code == 78 && said.contains(&waits(&second.path("bob.key"))) && !said.contains("as root"),
        "{code}: {said}"
    );
    ensure!(said.contains(&format!("from its next start on it reads {}", second.path("").trim_end_matches('/'))));
    // Whether it is there or not: nothing says of a list that it could be read.
    let list = second.path("banned.txt");
    let banned = |list: &str| rules(&first, &format!("[blacklist]\nfiles = [\"{list}\"]\n"));
    for is_there in [false, true] {
        if is_there {
            second.write("banned.txt", b"198.51.100.0/24\n")?;
        }
        stage.gateway.configure(&banned(&list))?;
        let (code, said) = ctl(&stage.gateway, &["reload"])?;
        ensure!(code == 1 && said.contains(&waits(&list)) && said.contains("nothing has changed"), "{code}: {said}");
    }
    fs::write(stage.gateway.file("banned.txt"), "198.51.100.0/24\n")?;
    stage.gateway.configure(&banned("banned.txt"))?;
    stage.gateway.ctl(&["reload"])?;
    ensure!(wait_until(PATIENCE, || stage.gateway.ctl(&["bans"]).is_ok_and(|bans| bans.contains("198.51.100.0/24"))));

    stage.daemon.kill()?;
    stage.gateway.configure(&rules(&second, &format!("[blacklist]\nfiles = [\"{list}\"]\n")))?;
    stage.daemon = stage.gateway.start()?;
    second.write("bob.key", &key)?;
    stage.gateway.ctl(&["reload"])?;
    stage.knock(&bobs(), late)?;
    stage.opens(late)
}

/// What is said of a file that the running daemon does not reach.
fn waits(file: &str) -> String {
    format!("the running daemon may not read {file}: it keeps to folders that it knew at its start")
}

/// A folder beside that of the configuration, which is taken away when dropped.
struct Elsewhere(PathBuf);

impl Elsewhere {
    fn new() -> Result<Self> {
        let folder = std::env::temp_dir().join(unique("elsewhere"));
        fs::create_dir(&folder)?;
        Ok(Self(folder))
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// Puts a file that only its owner reads in place of the one that was there.
    fn write(&self, name: &str, contents: &[u8]) -> Result<()> {
        let new = self.0.join(".new");
        fs::write(&new, contents)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
        Ok(fs::rename(&new, self.0.join(name))?)
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// What a process holds.
#[derive(Debug)]
struct Size {
    descriptors: usize,
    threads: usize,
    /// Bytes.
    resident: u64,
}

impl Size {
    fn of(pid: u32) -> Result<Self> {
        let count = |what: &str| Ok::<_, anyhow::Error>(fs::read_dir(format!("/proc/{pid}/{what}"))?.count());
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(Self { descriptors: count("fd")?, threads: count("task")?, resident: kilobytes * 1024 })
    }
}

fn ctl(gateway: &Gateway, arguments: &[&str]) -> Result<(i32, String)> {
    let mut command = Command::new(program("siglatchctl")?);
    command.args(arguments);
    if !arguments.contains(&"--socket") {
        command.arg("--config").arg(gateway.config());
    }
    outcome(&mut command)
}

const RELOADS: usize = 1000;
/// What grows once has grown by then.
const WARM: usize = 100;
const NEW_PORT: &str = "[[port]]\nport = 62209\nwire = \"sealed\"\n\n";
