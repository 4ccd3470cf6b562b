//! The audit log of a whole daemon: what is in it, what it survives, and what becomes of knocks while it cannot be written.

use anyhow::{Result, ensure};
use rustix::process::Signal;
use siglatch_tests::gateway::{BOB, OPEN, Plan, knock, sealed};
use siglatch_tests::process::{PATIENCE, wait_until};
use siglatch_tests::small_disk::SmallDisk;
use siglatch_tests::stage::{Stage, client};

#[test]
fn whatever_somebody_did_is_in_it_and_junk_is_not() -> Result<()> {
    let stage = Stage::new()?;
    let (source, stranger) = (client(true), stage.newcomer()?);
    let datagram = sealed(&knock(OPEN))?;
    stage.send(&datagram, source)?;
    stage.opens(source)?;
    stage.send(&datagram, source)?;
    stage.refuses(1, "replay", source)?;
    stage.knock(&siglatch_client::knocker::Knock { user: BOB, ..knock(4) }, source)?;
    stage.refuses(1, "not_allowed", source)?;
    stage.send(&siglatch_tests::scene::payload(256), stranger)?;
    stage.refuses(1, "unauthentic", stranger)?;
    stage.gateway.ctl(&["ban", "198.51.100.9", "--comment", "why not"])?;
    stage.gateway.ctl(&["unban", "198.51.100.9"])?;
    let Stage { daemon, gateway, .. } = stage;
    daemon.terminate()?;

    let all = gateway.audited("")?;
    let told: Vec<_> = all.iter().map(|record| record["event"].as_str().unwrap_or_default()).collect();
    ensure!(
        told == ["start", "xdp", "knock", "grant", "knock", "knock", "ban", "admin", "unban", "admin", "junk", "stop"],
        "{told:?}"
    );
    let knocks = gateway.audited("knock")?;
    let source = source.to_string();
    for (record, (user, action, decision, reason)) in knocks.iter().zip([
        ("alice", "open", "admitted", None),
        ("alice", "open", "refused", Some("replay")),
        ("bob", "alices", "refused", Some("not_allowed")),
    ]) {
        ensure!(record["user"] == user && record["action"] == action && record["source"] == source, "{record}");
        ensure!(record["decision"] == decision && record["reason"].as_str() == reason, "{record}");
    }
    ensure!(all[3]["knock"] == knocks[0]["knock"] && all[3]["services"][0] == "tcp/22", "{}", all[3]);
    let asked = &all[7];
    ensure!(
        asked["peer_uid"] == 0 && asked["result"] == "done" && asked["request"].to_string().contains("why not"),
        "{asked}"
    );
    ensure!(gateway.ctl(&["audit", "verify"])?.contains("12 records"), "{}", gateway.ctl(&["audit", "verify"])?);
    Ok(())
}

#[test]
fn the_plain_log_has_one_line_for_each_decision_and_a_bounded_number_for_strangers() -> Result<()> {
    let stage = Stage::new()?;
    let (source, stranger) = (client(true), stage.newcomer()?);
    stage.knock(&knock(OPEN), source)?;
    stage.daemon.wait_for(&format!("knock decision=admitted source={source} user=alice action=open knock="))?;
    for number in 0..100_u8 {
        let mut junk = siglatch_tests::scene::payload(256);
        junk[12] = number;
        stage.send(&junk, stranger)?;
    }
    stage.refuses(100, "unauthentic", stranger)?;
    let line = format!("knock decision=refused reason=unauthentic source={stranger}");
    let lines = || stage.daemon.said().lines().filter(|said| said.trim_end().ends_with(&line)).count();
    ensure!(wait_until(PATIENCE, || lines() == 60), "{} lines", lines());
    Ok(())
}

#[test]
fn a_daemon_that_is_killed_leaves_whole_records_and_the_next_goes_on() -> Result<()> {
    let mut stage = Stage::new()?;
    for _ in 0..3 {
        for _ in 0..20 {
            stage.knock(&knock(OPEN), client(true))?;
        }
        stage.daemon.kill()?;
        ensure!(stage.gateway.audited("").is_ok(), "every whole line is a record");
        stage.daemon = stage.gateway.start()?;
    }
    stage.knock(&knock(OPEN), client(true))?;
    stage.gateway.wait_audited("start", 4)?;
    stage.gateway.ctl(&["audit", "verify"])?;
    Ok(())
}

#[test]
fn a_new_file_is_begun_on_request_and_the_chain_goes_on_in_it() -> Result<()> {
    let stage = Stage::new()?;
    stage.knock(&knock(OPEN), client(true))?;
    stage.gateway.wait_audited("grant", 1)?;
    stage.daemon.signal(Signal::USR1)?;
    stage.gateway.wait_audited("rotated", 1)?;
    ensure!(stage.gateway.audited("grant")?.is_empty(), "it is in the file before");
    stage.knock(&knock(OPEN), client(true))?;
    stage.gateway.wait_audited("knock", 1)?;
    stage.gateway.ctl(&["audit", "verify"])?;
    let found = stage.gateway.ctl(&["audit", "--event", "grant", "--user", "alice", "--json"])?;
    ensure!(found.lines().count() == 2, "in both files: {found}");
    Ok(())
}

#[test]
fn without_room_for_the_log_knocks_are_admitted_or_refused_as_the_operator_wants() -> Result<()> {
    for (wanted, is_admitted) in [("admit", true), ("refuse", false)] {
        let audit = format!("file = \"log/audit.jsonl\"\nwhen_failing = \"{wanted}\"");
        let mut stage = Stage::with(&Plan { audit, ..Plan::default() })?;
        stage.daemon.kill()?;
        let disk = SmallDisk::over(stage.gateway.file("log"), None)?;
        stage.daemon = disk.start(&stage.gateway)?;
        disk.fill()?;
        let source = client(true);
        let is_failing = |log: &str| log.contains("the audit log cannot be written");
        // There is room in the last page for some records.
        let tried =
            wait_until(PATIENCE, || stage.knock(&knock(OPEN), source).is_ok() && is_failing(&stage.daemon.said()));
        ensure!(tried, "{}", stage.daemon.said());
        let late = stage.newcomer()?;
        stage.knock(&knock(OPEN), late)?;
        match is_admitted {
            true => stage.opens(late)?,
            false => stage.refuses(1, "unaudited", late)?,
        }
        disk.make_room()?;
        let works = wait_until(PATIENCE, || {
            let log = disk.read("audit.jsonl").unwrap_or_default();
            String::from_utf8_lossy(&log).contains("\"event\":\"disk\",\"state\":\"working\"")
        });
        ensure!(works, "it is told when there is room again");
        stage.knock(&knock(OPEN), late)?;
        stage.opens(late)?;
    }
    Ok(())
}
