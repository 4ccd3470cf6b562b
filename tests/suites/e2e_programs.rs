//! Programs that knocks set off, from the datagram to the script and the audit log; and what becomes of what they did.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "processes of the daemon are found and ended")]

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use siglatch_tests::gateway::{BOB, OPEN, Plan, knock, with_words};
use siglatch_tests::http::get;
use siglatch_tests::netns::run;
use siglatch_tests::process::{PATIENCE, let_pass, wait_until};
use siglatch_tests::script::Scripts;
use siglatch_tests::stage::{Stage, client};

#[test]
fn a_knock_runs_a_program_and_the_audit_log_ties_them_together() -> Result<()> {
    let scripts = Scripts::new()?;
    let told = scripts.write(
        "told",
        "echo \"$@\" >$notes/arguments; env | sort >$notes/environment; id -un >$notes/user; echo done; echo oops >&2; exit 7",
    )?;
    let stage = Stage::with(&Plan::plus(&exec(&told, "")))?;
    let source = client(true);
    stage.knock(&with_words(knock(EXEC), "hello you"), source)?;
    let ended = stage.gateway.wait_audited("exec_ended", 1)?;
    let (knocks, started) = (stage.gateway.audited("knock")?, stage.gateway.audited("exec_started")?);
    let id = &knocks[0]["knock"];
    ensure!(
        id.is_string() && &started[0]["knock"] == id && &ended[0]["knock"] == id,
        "{knocks:?} {started:?} {ended:?}"
    );
    let shown = &ended[0];
    ensure!(
        (&shown["result"], &shown["code"], &shown["program"], &shown["user"], &shown["output"])
            == (&"exited".into(), &7.into(), &"told".into(), &"alice".into(), &"done\\noops\\n".into()),
        "{shown}"
    );
    // Sealed; the payload in base64.
    ensure!(scripts.note("arguments") == format!("first {source} 1 alice 30 told 1 aGVsbG8geW91\n"));
    ensure!(scripts.note("user") == "nobody\n");
    let environment = scripts.note("environment");
    for line in [
        "SIGLATCH_ACTION=told",
        "SIGLATCH_ACTION_ID=30",
        "SIGLATCH_PAYLOAD=aGVsbG8geW91",
        "SIGLATCH_SEALED=1",
        &format!("SIGLATCH_SOURCE={source}"),
        "SIGLATCH_USER=alice",
        "SIGLATCH_USER_ID=1",
        "SIGLATCH_WHY=knock",
        &format!("SIGLATCH_KNOCK={}", id.as_str().unwrap_or_default()),
    ] {
        ensure!(environment.lines().any(|have| have == line), "{line} in {environment}");
    }
    stage.daemon.wait_for("program failed")?;
    Ok(())
}

#[test]
fn an_undo_runs_when_the_keepalive_is_missed_and_not_before() -> Result<()> {
    let scripts = Scripts::new()?;
    let stage = Stage::with(&Plan::plus(&with_undo(&scripts, "echo up >>$notes/log", "2s")?))?;
    let source = client(true);
    stage.knock(&knock(EXEC), source)?;
    scripts.wait_for("log", |log| log == "up\n")?;
    let_pass(Duration::from_millis(1300));
    stage.knock(&knock(EXEC), source)?;
    scripts.wait_for("log", |log| log == "up\nup\n")?;
    let_pass(Duration::from_millis(1300));
    ensure!(scripts.note("log") == "up\nup\n", "the second knock has kept it alive");
    let log = scripts.wait_for("log", |log| log.ends_with("undo\n"))?;
    ensure!(log == "up\nup\nundo\n", "{log}");
    ensure!(scripts.note("undone") == format!("{source} 1 alice 30 told 1 \n"), "{}", scripts.note("undone"));
    stage.gateway.wait_audited("undo_settled", 1)?;
    let_pass(Duration::from_millis(300));
    ensure!(scripts.note("log") == log, "it happens once");
    Ok(())
}

#[test]
fn what_a_grant_has_set_off_is_undone_when_it_ends_or_is_revoked() -> Result<()> {
    let scripts = Scripts::new()?;
    let undo = scripts.write("undo", "echo $SIGLATCH_WHY $1 >>$notes/log")?;
    let rules = format!(
        "[action.short]\nid = 31\nusers = \"all\"\ngrant = [\"tcp/22\"]\nttl = \"1s\"\nundo = \"undo\"\n\n\
         [action.long]\nid = 32\nusers = \"all\"\ngrant = [\"tcp/22\"]\nundo = \"undo\"\n\n\
         [action.leave]\nid = 33\nusers = \"all\"\nrevoke = [\"long\"]\n\n\
         [action.undo]\nexec = [\"{undo}\"]\nrun_as = \"nobody\"\n"
    );
    let stage = Stage::with(&Plan::plus(&rules))?;
    let (first, second) = (client(true), stage.newcomer()?);
    stage.knock(&knock(31), first)?;
    scripts.wait_for("log", |log| log == format!("undo {first}\n"))?;
    stage.knock(&knock(32), second)?;
    stage.opens(second)?;
    stage.knock(&knock(33), second)?;
    scripts.wait_for("log", |log| log == format!("undo {first}\nundo {second}\n"))?;
    stage.is_shut(second)?;
    let revoked = stage.gateway.wait_audited("revoke", 1)?;
    ensure!(revoked[0]["user"] == "alice" && revoked[0]["services"][0] == "tcp/22", "{revoked:?}");
    Ok(())
}

#[test]
fn a_daemon_killed_in_the_middle_of_an_action_leaves_an_undo_that_happens_once() -> Result<()> {
    let scripts = Scripts::new()?;
    let rules = with_undo(&scripts, "echo up >>$notes/log; sleep 30; echo never >>$notes/log", "3s")?;
    let mut stage = Stage::with(&Plan::plus(&rules))?;
    stage.knock(&knock(EXEC), client(true))?;
    scripts.wait_for("log", |log| log == "up\n")?;
    stage.daemon.kill()?;
    stage.daemon = stage.gateway.start()?;
    scripts.wait_for("log", |log| log == "up\nundo\n")?;
    stage.gateway.wait_audited("undo_settled", 1)?;
    // Neither of this daemon nor of the next.
    stage.daemon.kill()?;
    stage.daemon = stage.gateway.start()?;
    stage.knock(&knock(OPEN), client(true))?;
    stage.opens(client(true))?;
    let_pass(Duration::from_millis(500));
    ensure!(scripts.note("log") == "up\nundo\n", "{}", scripts.note("log"));
    Ok(())
}

#[test]
fn what_starts_programs_comes_back_when_it_is_killed_and_what_ran_is_told_to_be_lost() -> Result<()> {
    let scripts = Scripts::new()?;
    let slow = scripts.write("slow", "echo $$ >$notes/pid; sleep 60")?;
    let quick = scripts.write("quick", "echo here >$notes/quick")?;
    let rules = format!("{}\n{}", exec(&slow, ""), exec(&quick, "").replace("told", "quick").replace("= 30", "= 31"));
    let stage = Stage::with(&Plan::plus(&rules))?;
    stage.knock(&knock(EXEC), client(true))?;
    let pid = scripts.wait_for("pid", |pid| pid.ends_with('\n'))?;
    for process in children_of(stage.daemon.id())? {
        // What starts programs is below what keeps it.
        for starter in children_of(process)? {
            kill_process(Pid::from_raw(i32::try_from(starter)?).context("no pid")?, Signal::KILL)?;
        }
    }
    stage.daemon.wait_for("what starts programs had gone, and is back")?;
    let ended = stage.gateway.wait_audited("exec_ended", 1)?;
    ensure!(ended[0]["result"] == "lost", "{ended:?}");
    ensure!(
        run(Command::new("kill").args(["-0", pid.trim()])).is_err(),
        "the program is gone with what watched over it"
    );
    stage.knock(&knock(31), client(true))?;
    scripts.wait_for("quick", |note| note == "here\n")?;
    Ok(())
}

#[test]
fn what_keeps_the_starter_is_missed_until_a_restart_brings_it_back_and_grants_outlive_that() -> Result<()> {
    let scripts = Scripts::new()?;
    let quick = scripts.write("quick", "echo here >>$notes/quick")?;
    let metrics = format!("[metrics]\nlisten = \"{METRICS}\"\n");
    let mut stage = Stage::with(&Plan::plus(&format!("{metrics}{}", exec(&quick, ""))))?;
    let is_missed = |stage: &Stage| -> Result<[bool; 3]> {
        let text = get(&stage.street.gateway, METRICS.parse()?, "/metrics", "")?.body;
        Ok([
            stage.gateway.ctl_json(&["status"])?["programs"]["failing"] == true,
            stage.gateway.ctl(&["status"])?.contains("NO PROGRAM CAN BE STARTED"),
            text.contains("\nsiglatch_programs_failing 1\n"),
        ])
    };
    stage.knock(&knock(OPEN), client(true))?;
    stage.opens(client(true))?;
    ensure!(is_missed(&stage)? == [false; 3]);
    for process in children_of(stage.daemon.id())? {
        if fs::read_to_string(format!("/proc/{process}/comm"))?.trim() == "siglatch-keeper" {
            kill_process(Pid::from_raw(i32::try_from(process)?).context("no pid")?, Signal::KILL)?;
        }
    }
    let said = stage.daemon.wait_for("what starts programs is gone")?;
    ensure!(said.contains("start again when siglatch-user is restarted"), "{said}");
    // Numbers may be a little old.
    ensure!(wait_until(PATIENCE, || is_missed(&stage).is_ok_and(|all| all == [true; 3])), "{:?}", is_missed(&stage)?);
    // What needs no program works, what needs one is refused or told.
    stage.knock(&knock(EXEC), client(true))?;
    stage.daemon.wait_for("program not started")?;
    stage.knock(&knock(OPEN), client(false))?;
    stage.opens(client(false))?;

    stage.daemon.signal(Signal::TERM)?;
    ensure!(wait_until(PATIENCE, || !stage.daemon.is_running()), "{}", stage.daemon.said());
    stage.daemon = stage.gateway.start()?;
    ensure!(is_missed(&stage)? == [false; 3]);
    stage.opens(client(true))?;
    stage.opens(client(false))?;
    stage.knock(&knock(EXEC), client(true))?;
    scripts.wait_for("quick", |note| note == "here\n")?;
    Ok(())
}

#[test]
fn a_program_that_fails_calls_another_and_one_that_hangs_holds_up_nobody() -> Result<()> {
    let scripts = Scripts::new()?;
    let hang = scripts.write("hang", "trap '' TERM; echo on >>$notes/hang; while :; do sleep 60; done")?;
    let alarm = scripts.write("alarm", "echo $SIGLATCH_WHY $SIGLATCH_FAILED $2 >>$notes/alarm")?;
    let rules = format!(
        "{}\n[action.alarm]\nexec = [\"{alarm}\"]\nrun_as = \"nobody\"\n",
        exec(&hang, "time = \"1s\"\nat_once = 1\nqueue = 1\non_failure = \"alarm\"")
    );
    let stage = Stage::with(&Plan::plus(&rules))?;
    for _ in 0..2 {
        stage.knock(&knock(EXEC), client(true))?;
    }
    scripts.wait_for("hang", |note| note == "on\n")?;
    // One runs, one waits: there is no room for a third.
    stage.knock(&knock(EXEC), client(true))?;
    stage.refuses(1, "busy", client(true))?;
    stage.knock(&knock(OPEN), client(true))?;
    stage.opens(client(true))?;
    let alarmed = "failure bound:time 1\n";
    scripts.wait_for("alarm", |note| note == alarmed)?;
    scripts.wait_for("alarm", |note| note == [alarmed, alarmed].concat())?;
    Ok(())
}

#[test]
fn a_program_that_cannot_be_trusted_is_not_started_and_all_else_works() -> Result<()> {
    let scripts = Scripts::new()?;
    let path = scripts.write("told", "echo here >$notes/told")?;
    run(Command::new("chmod").args(["o+w", &path]))?;
    let missing = scripts.path("missing").display().to_string();
    let rules = format!("{}\n{}", exec(&path, ""), exec(&missing, "").replace("told", "gone").replace("= 30", "= 31"));
    let stage = Stage::with(&Plan::plus(&rules))?;
    // At the start, each with its cure.
    let said = stage.daemon.said();
    ensure!(said.contains(&format!("chmod go-w {path}")) && said.contains(&missing), "{said}");
    stage.knock(&knock(EXEC), client(true))?;
    stage.knock(&knock(31), client(true))?;
    let ended = stage.gateway.wait_audited("exec_ended", 2)?;
    let mut reasons: Vec<_> = ended.iter().map(|record| record["reason"].as_str().unwrap_or_default()).collect();
    reasons.sort_unstable();
    ensure!(reasons == ["missing", "writable_by_others"], "{ended:?}");
    ensure!(scripts.note("told").is_empty());
    stage.knock(&knock(OPEN), client(true))?;
    stage.opens(client(true))?;
    // Mended, it works, without a restart.
    run(Command::new("chmod").args(["o-w", &path]))?;
    stage.knock(&knock(EXEC), client(true))?;
    scripts.wait_for("told", |note| note == "here\n")?;
    Ok(())
}

#[test]
fn payloads_are_restricted_and_users_and_actions_used_up_also_after_a_restart() -> Result<()> {
    let scripts = Scripts::new()?;
    let told = scripts.write("told", "echo $7 >>$notes/log")?;
    let more = "require_ascii = true\nstarts_with = \"vpn \"\nuses = 2";
    let mut stage = Stage::with(&Plan { alice: "uses = 3".to_owned(), ..Plan::plus(&exec(&told, more)) })?;
    let source = client(true);
    stage.knock(&with_words(knock(EXEC), "vpn caf\u{e9}"), source)?;
    stage.refuses(1, "payload_not_ascii", source)?;
    stage.knock(&with_words(knock(EXEC), "vpn"), source)?;
    stage.refuses(1, "payload_start", source)?;
    for times in 1..=2 {
        stage.knock(&with_words(knock(EXEC), "vpn on"), source)?;
        scripts.wait_for("log", |log| log == "dnBuIG9u\n".repeat(times))?;
    }
    stage.daemon.kill()?;
    stage.daemon = stage.gateway.start()?;
    stage.knock(&with_words(knock(EXEC), "vpn on"), source)?;
    stage.refuses(1, "action_used_up", source)?;
    stage.knock(&knock(OPEN), source)?;
    stage.opens(source)?;
    stage.knock(&knock(OPEN), source)?;
    stage.refuses(1, "user_used_up", source)
}

#[test]
fn the_daemon_itself_is_asked_by_admins_alone() -> Result<()> {
    let rules = "[action.status]\nid = 34\nusers = \"all\"\nbuiltin = \"status\"\n\n\
                 [action.actions]\nid = 35\nusers = \"all\"\nbuiltin = \"list-actions\"\n\n\
                 [action.again]\nid = 36\nusers = \"all\"\nbuiltin = \"reload\"\n";
    let stage = Stage::with(&Plan { alice: "admin = true".to_owned(), ..Plan::plus(rules) })?;
    let source = client(true);
    stage.knock(&siglatch_client::knocker::Knock { user: BOB, ..knock(34) }, source)?;
    stage.refuses(1, "not_admin", source)?;
    stage.knock(&knock(34), source)?;
    stage.daemon.wait_for("INFO status status=\"{\\\"version\\\":")?;
    stage.knock(&knock(35), source)?;
    stage.daemon.wait_for("an action id=36 action=\"again\" kind=\"builtin\" users=\"all\"")?;

    // What was opened stays open; a configuration that makes no sense changes nothing.
    stage.knock(&knock(OPEN), source)?;
    stage.opens(source)?;
    let sound = fs::File::open(stage.gateway.config())?;
    stage.gateway.configure(&Plan::plus("[action.nonsense]\n"))?;
    stage.knock(&knock(36), source)?;
    stage.daemon.wait_for("the configuration was read again, and the earlier one holds")?;
    drop(sound);
    stage.gateway.configure(&Plan {
        alice: "admin = true".to_owned(),
        ..Plan::plus(&format!("{rules}\n[action.new]\nid = 37\nusers = \"all\"\ngrant = [\"tcp/5432\"]\n"))
    })?;
    stage.knock(&knock(36), source)?;
    stage.daemon.wait_for("the configuration was read again, and holds")?;
    stage.opens(source)?;
    stage.knock(&knock(37), source)?;
    stage.port_opens(5432, source)?;
    let reloads = stage.gateway.wait_audited("reload", 2)?;
    let results: Vec<_> = reloads.iter().map(|reload| (&reload["by"], &reload["result"])).collect();
    ensure!(
        results == [(&Value::from("knock"), &Value::from("failed")), (&"knock".into(), &"done".into())],
        "{reloads:?}"
    );
    Ok(())
}

/// An action that runs a script.
const EXEC: u8 = 30;
const METRICS: &str = "127.0.0.1:9707";

fn exec(script: &str, more: &str) -> String {
    format!(
        "[action.told]\nid = {EXEC}\nusers = \"all\"\nexec = [\"{script}\", \"first\"]\nrun_as = \"nobody\"\n{more}\n"
    )
    .replace(", \"first\"", if more.is_empty() { ", \"first\"" } else { "" })
}

fn with_undo(scripts: &Scripts, up: &str, ttl: &str) -> Result<String> {
    let told = scripts.write("told", up)?;
    let undo = scripts.write("undo", "echo undo >>$notes/log; echo \"$@\" >$notes/undone")?;
    let exec = exec(&told, &format!("undo = \"undo\"\nttl = \"{ttl}\""));
    Ok(format!("{exec}\n[action.undo]\nexec = [\"{undo}\"]\nrun_as = \"nobody\"\n"))
}

fn children_of(process: u32) -> Result<Vec<u32>> {
    let text = run(Command::new("cat").arg(format!("/proc/{process}/task/{process}/children")))?;
    text.split_whitespace().map(|pid| Ok(pid.parse()?)).collect()
}
