//! What operators see of a daemon at work and do to it: grants, users, roles, observers, and what nobody should be
//! able to do through its sockets.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "an operator has files, and runs the command")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use siglatch_client::knocker::Knock;
use siglatch_tests::gateway::{ALICE, BOB, BRIEF, DATABASE, Gateway, OPEN, Plan, SSH, STEPS, knock, now};
use siglatch_tests::mutation::Numbers;
use siglatch_tests::netns::Street;
use siglatch_tests::process::{PATIENCE, Process, outcome, program, wait_until};
use siglatch_tests::scene::{CLEAR_PORT, GATEWAY, SEALED_PORT, payload};
use siglatch_tests::service::{say, talk};
use siglatch_tests::stage::Stage;

#[test]
fn grants_are_listed_and_revoked() -> Result<()> {
    let stage = Stage::new()?;
    let (first, second) = (stage.newcomer()?, stage.newcomer()?);
    ensure!(stage.gateway.ctl(&["grants"])? == "no grants\n");
    for source in [first, second] {
        stage.knock(&knock(OPEN), source)?;
        stage.opens(source)?;
    }
    let all = stage.gateway.ctl_json(&["grants"])?;
    ensure!(all["total"] == 2 && all["more"] == false, "{all}");
    let grant = &all["grants"][0];
    let said = ["source", "place", "user", "action"].map(|key| grant[key].as_str().unwrap_or_default().to_owned());
    ensure!(said == [first.to_string(), "tcp/22".to_owned(), "alice".to_owned(), "open".to_owned()], "{grant}");
    ensure!(grant["left"].as_u64().is_some_and(|left| (500..=600).contains(&left)), "{grant}");
    ensure!(stage.gateway.ctl_json(&["grants", "--source", &second.to_string()])?["total"] == 1);
    ensure!(stage.gateway.ctl_json(&["grants", "--user", "bob"])?["total"] == 0);
    ensure!(stage.gateway.ctl_json(&["grants", "--limit", "1"])?["more"] == true);
    let table = stage.gateway.ctl(&["grants"])?;
    ensure!(table.starts_with("SOURCE") && table.lines().all(|line| line.chars().count() <= 80), "{table}");

    let revoked = stage.gateway.ctl_json(&["revoke", "--source", &first.to_string()])?;
    ensure!(revoked["grants"] == 1 && revoked["first"][0]["source"] == first.to_string(), "{revoked}");
    stage.is_shut(first)?;
    stage.opens(second)?;
    ensure!(
        stage.gateway.ctl(&["revoke", "--user", "alice", "--service", "tcp/5432"])? == "There was no such grant.\n"
    );
    fails(&stage.gateway, &["revoke", "--user", "mallory"], 1, "there is no user \"mallory\"")?;
    fails(&stage.gateway, &["revoke"], 64, "required")?;
    fails(&stage.gateway, &["revoke", "--all", "--user", "alice"], 64, "cannot be used with")?;

    // The panic button.
    stage.knock(&knock(OPEN), first)?;
    stage.opens(first)?;
    let said = stage.gateway.ctl(&["revoke", "--all", "--yes"])?;
    ensure!(said.starts_with("2 grants have ended.\n"), "{said}");
    for source in [first, second] {
        stage.is_shut(source)?;
    }
    ensure!(stage.gateway.ctl(&["grants"])? == "no grants\n");
    let orders = stage.gateway.wait_audited("admin", 4)?;
    ensure!(orders.iter().all(|order| order["peer_uid"] == 0), "{orders:?}");
    let ended = stage.gateway.wait_audited("revoke", 3)?;
    ensure!(ended.iter().all(|ended| ended["by"] == "operator"), "{ended:?}");
    // Who was in can come in again.
    stage.knock(&knock(OPEN), first)?;
    stage.opens(first)
}

#[test]
fn connections_outlive_their_grant_until_they_are_cut() -> Result<()> {
    let stage = Stage::new()?;
    let (first, second) = (stage.newcomer()?, stage.newcomer()?);
    let mut connections = Vec::new();
    for source in [first, second] {
        stage.knock(&knock(OPEN), source)?;
        stage.opens(source)?;
        connections.push(talk(&stage.street.outside, source, stage.service(SSH, source))?);
    }
    let revoked = stage.gateway.ctl_json(&["revoke", "--source", &first.to_string()])?;
    ensure!(revoked["cut"].is_null(), "{revoked}");
    say(&mut connections[0], b"still here")?;
    // The grant is gone, and whose it was is known.
    let revoked = stage.gateway.ctl_json(&["revoke", "--source", &first.to_string(), "--cut"])?;
    ensure!(revoked["grants"] == 0 && revoked["cut"].as_u64().is_some_and(|cut| cut >= 1), "{revoked}");
    ensure!(say(&mut connections[0], b"cut off").is_err());
    say(&mut connections[1], b"not me")?;
    let said = stage.gateway.ctl(&["revoke", "--all", "--cut", "--yes"])?;
    ensure!(said.contains("cut.\n"), "{said}");
    ensure!(say(&mut connections[1], b"me, too").is_err());
    Ok(())
}

#[test]
fn whoever_is_disabled_loses_connections_whose_grant_ended_long_ago() -> Result<()> {
    let stage = Stage::new()?;
    let (alices, bobs, shared) = (stage.newcomer()?, stage.newcomer()?, stage.newcomer()?);
    let mut connections = Vec::new();
    for (user, source) in [(ALICE, alices), (BOB, bobs), (ALICE, shared)] {
        stage.knock(&Knock { user, ..knock(BRIEF) }, source)?;
        stage.opens(source)?;
        connections.push(talk(&stage.street.outside, source, stage.service(SSH, source))?);
    }
    ensure!(wait_until(PATIENCE, || stage.gateway.ctl(&["grants"]).is_ok_and(|said| said == "no grants\n")));
    // Bob holds a grant from where alice was.
    stage.knock(&Knock { user: BOB, ..knock(OPEN) }, shared)?;
    stage.opens(shared)?;
    connections.iter_mut().try_for_each(|connection| say(connection, b"still here"))?;

    let said = stage.gateway.ctl_json(&["disable", "user", "alice", "--end-grants", "--cut"])?;
    ensure!(said["grants"] == 0 && said["cut"].as_u64().is_some_and(|cut| cut >= 2), "{said}");
    let note = said["note"].as_str().unwrap_or_default();
    ensure!(note.contains("1 of these grants is another's as well"), "{note}");
    ensure!(note.contains("before the daemon was started") && note.contains("revoke --all --cut"), "{note}");
    let [of_alice, of_bob, of_either] = connections.try_into().ok().context("three of them")?;
    for mut cut in [of_alice, of_either] {
        ensure!(say(&mut cut, b"cut off").is_err());
    }
    say(&mut { of_bob }, b"not me")?;
    // Whoever is in by bob's grant comes back by it.
    stage.opens(shared)?;
    stage.is_shut(alices)
}

#[test]
fn everybody_is_cut_off_whatever_let_them_in_but_who_is_on_this_host() -> Result<()> {
    let stage = Stage::new()?;
    let source = stage.newcomer()?;
    stage.knock(&knock(BRIEF), source)?;
    stage.opens(source)?;
    let mut before = talk(&stage.street.outside, source, stage.service(SSH, source))?;
    let (loopback, own) = (IpAddr::from([127, 0, 0, 1]), GATEWAY.v4.into());
    let mut inside: Vec<_> = [loopback, own]
        .into_iter()
        .map(|address| talk(&stage.street.gateway, address, SocketAddr::new(address, SSH)))
        .collect::<Result<_, _>>()?;
    // Another daemon knows nothing of a grant that has ended.
    ensure!(wait_until(PATIENCE, || stage.gateway.ctl(&["grants"]).is_ok_and(|said| said == "no grants\n")));
    stage.daemon.terminate()?;
    let _daemon = stage.gateway.start()?;
    let said = stage.gateway.ctl_json(&["revoke", "--source", &source.to_string(), "--cut"])?;
    ensure!(said["cut"] == 0 && said["note"].as_str().is_some_and(|note| note.contains("are not known")), "{said}");
    say(&mut before, b"still here")?;

    let said = stage.gateway.ctl_json(&["revoke", "--all", "--cut"])?;
    ensure!(said["grants"] == 0 && said["cut"].as_u64().is_some_and(|cut| cut >= 1), "{said}");
    ensure!(said["note"].is_null(), "{said}");
    ensure!(say(&mut before, b"cut off").is_err());
    inside.iter_mut().try_for_each(|connection| say(connection, b"still here")).context("this host's own")
}

#[test]
fn a_port_that_is_disabled_takes_no_knocks_until_its_moment() -> Result<()> {
    let stage = Stage::new()?;
    let source = stage.newcomer()?;
    let (port, until) = (SEALED_PORT.to_string(), u64::from(now()) + 4);
    let moment = outcome(Command::new("date").args(["-u", "-d", &format!("@{until}"), "+%Y-%m-%dT%H:%M:%SZ"]))?.1;
    let said = stage.gateway.ctl_json(&["disable", "port", &port, "--until", moment.trim()])?;
    ensure!(said["enabled"] == false && said["until"] == until && said["note"].is_null(), "{said}");
    let before = stage.gateway.counted("other_port")?;
    stage.knock(&knock(OPEN), source)?;
    ensure!(wait_until(PATIENCE, || stage.gateway.counted("other_port").is_ok_and(|count| count > before)));
    let submitted = stage.gateway.counted("submitted_unknown")?;
    ensure!(submitted == 0, "{submitted} were for the daemon");
    stage.is_shut(source)?;
    // The last one: who has switched it off hears that nobody can knock.
    let said = stage.gateway.ctl(&["disable", "port", &CLEAR_PORT.to_string(), "--for", "1s"])?;
    ensure!(said.contains("is off") && said.contains("nobody can knock"), "{said}");

    let on = stage.gateway.wait_audited("switched_on", 2)?;
    ensure!(on.iter().any(|on| on["kind"] == "port" && on["name"] == port), "{on:?}");
    ensure!(u64::from(now()) >= until, "it is on before its moment");
    stage.knock(&knock(OPEN), source)?;
    stage.opens(source)?;
    fails(&stage.gateway, &["disable", "port", &port, "--until", "2020-01-01T00:00:00Z"], 1, "that moment is over")?;
    fails(&stage.gateway, &["disable", "port", &port, "--until", "soon"], 64, "--until")?;
    fails(&stage.gateway, &["disable", "port", "1"], 1, "there is no port \"1\"")
}

#[test]
fn a_sequence_that_is_disabled_is_refused_at_its_first_step() -> Result<()> {
    let stage = Stage::new()?;
    let source = stage.newcomer()?;
    let said = stage.gateway.ctl_json(&["disable", "sequence", "database"])?;
    ensure!(said["enabled"] == false && said["until"].is_null(), "{said}");
    let listed = || stage.gateway.ctl_json(&["sequences"]);
    ensure!(listed()?["sequences"][0]["enabled"] == false);
    stage.knock(&knock(STEPS[0]), source)?;
    stage.refuses(1, "disabled_sequence", source)?;
    ensure!(listed()?["sequences"][0]["under_way"] == 0);
    stage.knock(&knock(OPEN), source)?;
    stage.opens(source)?;

    stage.gateway.ctl(&["enable", "sequence", "database"])?;
    for (taken, step) in (1..).zip(STEPS) {
        stage.knock(&knock(step), source)?;
        stage.daemon.wait_until("a step", |log| {
            log.matches("step taken").count() == taken || log.matches("grant opened").count() == 2
        })?;
    }
    stage.port_opens(DATABASE, source)
}

#[test]
fn a_grant_is_extended_and_never_shortened() -> Result<()> {
    let stage = Stage::new()?;
    let (brief, long) = (stage.newcomer()?, stage.newcomer()?);
    stage.knock(&knock(OPEN), long)?;
    stage.opens(long)?;
    stage.knock(&knock(BRIEF), brief)?;
    stage.opens(brief)?;
    let extended = stage.gateway.ctl_json(&["extend", "--user", "alice", "--for", "5m"])?;
    ensure!(extended["grants"] == 2 && extended["extended"] == 1, "{extended}");
    let left = |source: IpAddr| -> Result<u64> {
        let page = stage.gateway.ctl_json(&["grants", "--source", &source.to_string()])?;
        page["grants"][0]["left"].as_u64().with_context(|| page.to_string())
    };
    ensure!((280..=300).contains(&left(brief)?) && left(long)? > 500, "{} {}", left(brief)?, left(long)?);
    // Longer than it would have held: the kernel has it, too.
    siglatch_tests::process::let_pass(Duration::from_millis(2500));
    stage.opens(brief)?;
    ensure!(stage.gateway.ctl(&["extend", "--user", "bob", "--for", "5m"])? == "There is no such grant.\n");
    fails(&stage.gateway, &["extend", "--for", "5m"], 64, "required")
}

#[test]
fn users_actions_sequences_and_known_sources_are_as_they_are() -> Result<()> {
    let stage = Stage::with(&Plan { alice: "uses = 5\nadmin = true".to_owned(), ..Plan::default() })?;
    let source = stage.newcomer()?;
    stage.knock(&knock(OPEN), source)?;
    stage.opens(source)?;
    stage.knock(&knock(STEPS[0]), source)?;
    let under_way = || stage.gateway.ctl_json(&["sequences"]).is_ok_and(|list| list["sequences"][0]["under_way"] == 1);
    ensure!(wait_until(PATIENCE, under_way));
    let sequences = stage.gateway.ctl_json(&["sequences"])?;
    let sequence = &sequences["sequences"][0];
    ensure!(sequence["name"] == "database" && sequence["within"] == 2 && sequence["enabled"] == true, "{sequence}");
    ensure!(sequence["steps"] == Value::from(vec!["first", "second", "third"]), "{sequence}");
    let over = || stage.gateway.ctl_json(&["sequences"]).is_ok_and(|list| list["sequences"][0]["under_way"] == 0);
    ensure!(wait_until(PATIENCE, over));

    let users = stage.gateway.ctl_json(&["users"])?;
    let (alice, bob) = (&users["users"][0], &users["users"][1]);
    ensure!((&alice["name"], &alice["id"], &alice["grants"]) == (&"alice".into(), &1.into(), &1.into()), "{alice}");
    ensure!((&alice["uses"], &alice["uses_left"], &alice["admin"]) == (&5.into(), &4.into(), &true.into()), "{alice}");
    ensure!(alice["last"]["source"] == source.to_string() && alice["last"]["action"] == "first", "{alice}");
    ensure!(bob["grants"] == 0 && bob["last"].is_null() && bob["uses"].is_null(), "{bob}");
    let table = stage.gateway.ctl(&["users"])?;
    ensure!(table.contains("4 of 5") && table.lines().all(|line| line.chars().count() <= 80), "{table}");

    let actions = stage.gateway.ctl_json(&["actions"])?;
    let listed = actions["actions"].as_array().context("no actions")?;
    ensure!(listed.len() == 7, "{actions}");
    ensure!(listed[0]["name"] == "open" && listed[0]["grants"] == 1 && listed[0]["opens"][0] == "tcp/22", "{actions}");
    ensure!(listed[3]["name"] == "alices" && listed[3]["users"] == 1, "{actions}");
    ensure!(listed[4]["kind"] == "step" && listed[4]["sequence"] == "database", "{actions}");

    ensure!(stage.gateway.ctl(&["debts"])? == "nothing is to be undone\n");
    let known = stage.gateway.ctl_json(&["known"])?;
    ensure!(known["total"] == 1 && known["known"][0]["origin"] == source.to_string(), "{known}");
    let status = stage.gateway.ctl_json(&["status"])?;
    ensure!(
        status["debts"] == 0 && status["programs"]["running"] == 0 && status["audit"]["failing"] == false,
        "{status}"
    );
    Ok(())
}

#[test]
fn everybody_may_do_what_the_configuration_says_and_no_more() -> Result<()> {
    let scene =
        Scene::new("operators = [\"65001\"]\nobservers = [\"65002\", \"@65103\"]\nobserver_socket = \"observe.sock\"")?;
    let looks: [&str; 2] = ["users", "--json"];
    let acts: [&str; 2] = ["ban", "203.0.113.9"];
    // User, groups, whether they may look, whether they may act. Everybody is in the socket's group.
    for (uid, groups, may_look, may_act) in [
        (0, "0", true, true),
        (65_001, "0", true, true),
        (65_002, "0", true, false),
        (65_003, "0,65103", true, false),
        (65_003, "0", false, false),
        (65_103, "0", false, false),
    ] {
        for (arguments, may) in [(looks, may_look), (acts, may_act)] {
            let (code, said) = scene.ctl_as(uid, groups, &arguments)?;
            ensure!((code == 0) == may, "{uid} {groups} {arguments:?}: {code} {said}");
            ensure!(may || said.contains("you may"), "{uid} {groups} {arguments:?}: {said}");
        }
    }
    let (_, said) = scene.ctl_as(65_002, "0", &acts)?;
    ensure!(said.contains("change nothing") && said.contains("`operators` of [admin]"), "{said}");
    // Without the socket's group, it cannot even be opened, and the group is named.
    let (code, said) = scene.ctl_as(65_001, "65001", &looks)?;
    ensure!(code == 77 && said.contains("member of the socket's group, root"), "{code}: {said}");
    let status = scene.gateway.ctl_json(&["status"])?;
    ensure!(status["audit"]["forbidden"].as_u64().is_some_and(|count| count >= 7), "{status}");
    // Whoever may not even look keeps no connection, and takes nobody's place.
    for _ in 0..50 {
        let (code, _) = scene.ctl_as(65_003, "0", &looks)?;
        ensure!(code == 77, "{code}");
    }
    scene.gateway.ctl(&["status"]).map(drop)
}

#[test]
fn observers_see_what_happens() -> Result<()> {
    let stage = Stage::new()?;
    // Without a socket for them, it is said what to write.
    fails(&stage.gateway, &["watch"], 1, "names no observer_socket under [admin]")?;
    let text = fs::read_to_string(stage.gateway.config())?;
    fs::write(
        stage.gateway.config(),
        text.replace("socket = \"admin.sock\"", "socket = \"admin.sock\"\nobserver_socket = \"observe.sock\""),
    )?;
    let daemon = stage.gateway.start()?;
    let watch = |more: &[&str]| {
        let mut command = Command::new(program("siglatchctl")?);
        Process::start(command.arg("watch").arg("--config").arg(stage.gateway.config()).args(more))
    };
    let (rows, lines) = (watch(&[])?, watch(&["--json", "--event", "ban"])?);
    rows.wait_for("watching")?;
    let source = stage.newcomer()?;
    stage.knock(&knock(OPEN), source)?;
    let said = rows.wait_until("a grant", |said| said.contains("tcp/22 for 10m"))?;
    ensure!(said.contains("admitted") && said.contains("alice") && said.contains(&source.to_string()), "{said}");
    stage.gateway.ctl(&["ban", "203.0.113.9"])?;
    rows.wait_until("an order", |said| said.contains("\"ban\"") || said.contains(" admin "))?;
    let said = lines.wait_for("203.0.113.9")?;
    let event: Value = serde_json::from_str(said.lines().next().unwrap_or_default())?;
    ensure!(event["event"] == "ban" && event["by"] == "operator" && event["v"] == 1, "{event}");
    ensure!(!said.contains("knock"), "{said}");
    daemon.terminate()?;
    let (status, said) = rows.end()?;
    ensure!(status.code() == Some(1) && said.contains("has hung up"), "{said}");
    Ok(())
}

#[test]
fn garbage_and_crowds_leave_the_daemon_as_it_is() -> Result<()> {
    let scene = Scene::new("observer_socket = \"observe.sock\"")?;
    let (admin, observe) = (scene.gateway.file("admin.sock"), scene.gateway.file("observe.sock"));
    scene.gateway.ctl(&["status"])?;
    let before = scene.memory()?;
    let mut numbers = Numbers::seeded(42);
    let mut held = Vec::new();
    for round in 0..400_u32 {
        let socket = if round % 5 == 0 { &observe } else { &admin };
        let Ok(mut stream) = UnixStream::connect(socket) else { continue };
        stream.set_write_timeout(Some(Duration::from_millis(100)))?;
        stream.set_read_timeout(Some(Duration::from_millis(100)))?;
        let junk: Vec<u8> = (0..numbers.next() % 3000).map(|_| numbers.next() as u8).collect();
        // What is refused is refused by hanging up: writing fails then, and that is well.
        let _ = match round % 8 {
            0 => stream.write_all(&junk),
            1 => stream.write_all(b"{\"siglatch\":1,\"do\":"),
            2 => stream.write_all(&vec![b'x'; 1 << 20]),
            3 => stream.write_all(&b"{\"siglatch\":1,\"do\":\"bans\"}\n".repeat(500)),
            4 => stream.write_all("[".repeat(4000).as_bytes()).and_then(|()| stream.write_all(b"\n")),
            5 => stream.read(&mut [0]).map(drop),
            6 => stream.write_all(b"\n\n\n\n"),
            _ => stream.shutdown(std::net::Shutdown::Write),
        };
        // Some stay, and take nothing.
        if round % 3 == 0 {
            held.push(stream);
        }
    }
    // Silent ones are hung up on, and then there is room again.
    let answers = || scene.gateway.ctl(&["status"]).is_ok();
    ensure!(wait_until(Duration::from_secs(30), answers), "{}", scene.daemon.said());
    drop(held);
    let after = scene.memory()?;
    ensure!(after < before + 32 * 1024, "{before} kB, then {after} kB");
    let said = scene.daemon.said();
    ensure!(!said.contains("panicked"), "{said}");
    Ok(())
}

#[test]
fn a_flood_does_not_keep_operators_from_their_answers() -> Result<()> {
    let stage = Stage::new()?;
    let source = stage.newcomer()?;
    for number in 0..200_u32 {
        let mut junk = payload(256);
        junk[..4].copy_from_slice(&number.to_le_bytes());
        stage.send(&junk, source)?;
        if number % 20 == 0 {
            for command in ["status", "users", "grants", "actions"] {
                stage.gateway.ctl_json(&[command])?;
            }
        }
    }
    Ok(())
}

/// A daemon, and people on its machine.
struct Scene {
    daemon: Process,
    gateway: Gateway,
    /// Where everybody may execute it.
    ctl: PathBuf,
    _street: Street,
}

impl Scene {
    /// With more lines under `[admin]`.
    fn new(admin: &str) -> Result<Self> {
        let street = Street::new()?;
        let gateway = Gateway::new(&street.gateway, &Plan::default())?;
        let text = fs::read_to_string(gateway.config())?;
        fs::write(
            gateway.config(),
            text.replace("socket = \"admin.sock\"", &format!("socket = \"admin.sock\"\n{admin}")),
        )?;
        fs::set_permissions(gateway.file(""), fs::Permissions::from_mode(0o755))?;
        let ctl = gateway.file("siglatchctl");
        fs::copy(program("siglatchctl")?, &ctl)?;
        fs::set_permissions(&ctl, fs::Permissions::from_mode(0o755))?;
        let daemon = gateway.start()?;
        Ok(Self { daemon, gateway, ctl, _street: street })
    }

    /// What somebody else's `siglatchctl` prints, and exits with.
    fn ctl_as(&self, uid: u32, groups: &str, arguments: &[&str]) -> Result<(i32, String)> {
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={uid}"), "--regid=65001".to_owned(), format!("--groups={groups}")]);
        command.arg(&self.ctl).args(arguments).arg("--socket").arg(self.gateway.file("admin.sock"));
        outcome(&mut command)
    }

    /// The daemon's memory, in kB.
    fn memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.daemon.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
        Ok(line.split_whitespace().nth(1).context("no number")?.parse()?)
    }
}

fn fails(gateway: &Gateway, arguments: &[&str], code: i32, reason: &str) -> Result<()> {
    let (ended, said) =
        outcome(Command::new(program("siglatchctl")?).args(arguments).arg("--config").arg(gateway.config()))?;
    ensure!(ended == code && said.contains(reason), "{ended}: {said}");
    Ok(())
}
