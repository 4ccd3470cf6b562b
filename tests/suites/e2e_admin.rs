//! What an operator sees and does through the admin socket of a real daemon.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "an operator has files, and runs the command")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use siglatch_tests::gateway::{Gateway, LENIENT, OPEN, Plan, RULES, knock};
use siglatch_tests::netns::{GATE, Street, run};
use siglatch_tests::process::{PATIENCE, let_pass, outcome, program, wait_until};
use siglatch_tests::scene::payload;
use siglatch_tests::stage::{Stage, client};

#[test]
fn an_operators_ban_drops_until_it_is_lifted() -> Result<()> {
    let stage = Stage::new()?;
    let (source, other) = (stage.newcomer()?, stage.newcomer()?);
    ensure!(stage.gateway.ctl(&["bans"])? == "no bans\n");
    let said = stage.gateway.ctl(&["ban", &source.to_string(), "--comment", "seen in the log"])?;
    ensure!(said == format!("{source} is banned for good.\n"), "{said}");
    is_dropped(&stage, source, 1)?;
    stage.knock(&knock(OPEN), other)?;
    stage.opens(other)?;

    let table = || stage.gateway.ctl(&["bans"]);
    let row = [&source.to_string(), "operator", "for", "good", "1", "-", "seen", "in", "the", "log"];
    let is_listed = || table().is_ok_and(|table| table.lines().nth(1).is_some_and(|line| words(line) == row));
    ensure!(wait_until(PATIENCE, is_listed), "{}", table()?);

    let said = stage.gateway.ctl(&["unban", &source.to_string()])?;
    ensure!(said == format!("{source} is not banned any more.\n"), "{said}");
    stage.knock(&knock(OPEN), source)?;
    stage.opens(source)
}

#[test]
fn a_ban_for_a_time_ends_with_it_and_a_network_is_banned_whole() -> Result<()> {
    let stage = Stage::new()?;
    let (v4, v6) = (client(true), client(false));
    ensure!(
        stage.gateway.ctl(&["ban", "2001:db8::/112", "--for", "1h30m"])? == "2001:db8::/112 is banned for 1h30m.\n"
    );
    ensure!(stage.gateway.ctl(&["ban", "192.0.2.0/25", "--for", "1h"])? == "192.0.2.0/25 is banned for 1h.\n");
    is_dropped(&stage, v4, 1)?;
    is_dropped(&stage, v6, 2)?;
    let again = stage.gateway.ctl(&["ban", "192.0.2.0/25", "--for", "2s"])?;
    ensure!(again == "192.0.2.0/25 is banned for 2s, in place of an earlier ban.\n", "{again}");
    let begun = Instant::now();
    is_dropped(&stage, v4, 3)?;
    let_pass(Duration::from_millis(2050).saturating_sub(begun.elapsed()));
    stage.knock(&knock(OPEN), v4)?;
    stage.opens(v4)?;
    let left = stage.gateway.ctl_json(&["bans"])?;
    ensure!(left["total"] == 1 && left["bans"][0]["network"] == "2001:db8::/112", "{left}");
    let (until, left) = (&left["bans"][0]["until"], &left["bans"][0]["left"]);
    ensure!(left.as_u64().is_some_and(|left| (5300..=5400).contains(&left)) && until.is_u64(), "{until} {left}");
    Ok(())
}

#[test]
fn bans_are_filtered_and_sorted() -> Result<()> {
    // The file is not there when the daemon starts, which is told; it is followed all the same.
    let stage = Stage::with(&Plan::with(LENIENT, "[ban]\nstrikes = 2\nflood = 0\n\n[blacklist]\nfiles = [\"bad\"]\n"))?;
    fs::write(stage.gateway.file("bad"), "198.51.100.0/24 # a file says so\n")?;
    let stranger = stage.newcomer()?;
    for (network, time) in [("203.0.113.9", "1h"), ("2001:db8:9::/48", "10m")] {
        stage.gateway.ctl(&["ban", network, "--for", time])?;
    }
    for number in 0..2 {
        let mut junk = payload(256);
        junk[12] = number;
        stage.send(&junk, stranger)?;
    }
    let all = || stage.gateway.ctl_json(&["bans"]);
    ensure!(wait_until(PATIENCE, || all().is_ok_and(|all| all["total"] == 4)), "{}", all()?);
    let listed = |arguments: &[&str]| Ok::<_, anyhow::Error>(networks(&stage.gateway.ctl_json(arguments)?));
    let stranger = stranger.to_string();
    ensure!(listed(&["bans"])? == [&*stranger, "198.51.100.0/24", "203.0.113.9", "2001:db8:9::/48"]);
    ensure!(listed(&["bans", "--reason", "operator"])? == ["203.0.113.9", "2001:db8:9::/48"]);
    ensure!(listed(&["bans", "--reason", "file"])? == ["198.51.100.0/24"]);
    ensure!(listed(&["bans", "--reason", "unauthentic"])? == [&*stranger]);
    ensure!(listed(&["bans", "--net", "198.51.100.7"])? == ["198.51.100.0/24"]);
    ensure!(listed(&["bans", "--net", "2000::/3"])? == ["2001:db8:9::/48"]);
    ensure!(listed(&["bans", "--sort", "until", "--limit", "3"])?.last().map(String::as_str) == Some("203.0.113.9"));
    let limited = stage.gateway.ctl_json(&["bans", "--limit", "1"])?;
    ensure!((&limited["total"], &limited["more"]) == (&Value::from(4), &Value::from(true)), "{limited}");

    fails(&stage.gateway, &["unban", "198.51.100.0/24"], "/bad: take it out there")?;
    fails(
        &stage.gateway,
        &["unban", "198.51.100.7"],
        "as a part of 198.51.100.0/24: siglatchctl unban 198.51.100.0/24",
    )?;
    fails(&stage.gateway, &["unban", "192.0.2.250"], "192.0.2.250 is not banned")?;
    // What the daemon has banned is an operator's to lift.
    stage.gateway.ctl(&["unban", &stranger])?;
    ensure!(listed(&["bans", "--reason", "unauthentic"])?.is_empty());
    Ok(())
}

#[test]
fn a_long_list_comes_whole() -> Result<()> {
    let plan = Plan::with(LENIENT, &format!("{LENIENT}\n[blacklist]\nfiles = [\"bad\"]\n"));
    let street = Street::new()?;
    let gateway = Gateway::new(&street.gateway, &plan)?;
    let networks = (0..2500).map(|n: u32| format!("10.{}.{}.1\n", n / 250, n % 250)).collect::<String>();
    fs::write(gateway.file("bad"), networks)?;
    let _daemon = gateway.start()?;
    let all = gateway.ctl_json(&["bans"])?;
    ensure!(all["total"] == 2500 && all["bans"].as_array().map(Vec::len) == Some(2500));
    ensure!(gateway.ctl(&["bans"])?.lines().count() == 2501);
    let (first, last) = (&all["bans"][0]["network"], &all["bans"][2499]["network"]);
    ensure!((first, last) == (&Value::from("10.0.0.1"), &Value::from("10.9.249.1")), "{first} {last}");
    let some = gateway.ctl_json(&["bans", "--limit", "1200", "--sort", "hits"])?;
    ensure!(some["more"] == true && some["bans"].as_array().map(Vec::len) == Some(1200));
    // Whoever reads the first lines only does no harm.
    let shell =
        format!("{} bans --config {} | head -n 1", program("siglatchctl")?.display(), gateway.config().display());
    let (code, said) = outcome(Command::new("bash").args(["-o", "pipefail", "-c", &shell]))?;
    ensure!(code == 0 && said.starts_with("NETWORK") && !said.contains("panicked"), "{said}");
    Ok(())
}

#[test]
fn the_status_is_what_is() -> Result<()> {
    let stage = Stage::with(&Plan::with(LENIENT, "[ban]\nstrikes = 0\n\n[limits]\nrate = 1\nburst = 400\n"))?;
    let (user, stranger) = (stage.newcomer()?, stage.newcomer()?);
    stage.knock(&knock(OPEN), user)?;
    stage.opens(user)?;
    stage.gateway.ctl(&["ban", "203.0.113.9"])?;
    stage.send(&payload(256), stranger)?;
    stage.refuses(1, "unauthentic", stranger)?;
    for _ in 0..300 {
        stage.send(&payload(77), stranger)?;
    }
    let status = stage.gateway.ctl_json(&["status"])?;
    let program =
        run(Command::new("bpftool").args(["-j", "prog", "show", "pinned"]).arg(stage.gateway.pins().join("program")))?;
    let id = serde_json::from_str::<Value>(&program)?["id"].clone();
    ensure!(status["version"] == env!("CARGO_PKG_VERSION") && status["ingress"] == "xdp", "{status}");
    let interface = &status["interfaces"][0];
    ensure!(interface["name"] == GATE && interface["mode"] == "native" && interface["program"] == id, "{interface}");
    ensure!(status["ports"][0]["port"] == 62201 && status["ports"][0]["wire"] == "sealed", "{status}");
    for outcome in ["wrong_length", "submitted_unknown", "submitted_known", "other_port"] {
        let listed = one_of(&status["frames"], "outcome", outcome)?;
        let counted = stage.gateway.counted(outcome)?;
        ensure!(
            listed["total"].as_u64().is_some_and(|listed| listed <= counted && listed + 5 >= counted),
            "{listed} {counted}"
        );
    }
    ensure!(one_of(&status["frames"], "outcome", "wrong_length")?["total"] == 300);
    ensure!((&status["bans"], &status["known"], &status["grants"]) == (&1.into(), &1.into(), &1.into()), "{status}");
    ensure!(status["knocks"]["admitted"]["total"] == 1, "{status}");
    ensure!(one_of(&status["knocks"]["refused"], "reason", "unauthentic")?["total"] == 1);
    let unknown = one_of(&status["lanes"], "lane", "unknown")?;
    ensure!(unknown["operations"]["total"] == 2 && unknown["submitted"]["total"] == 2, "{unknown}");
    ensure!(unknown["waiting"] == 0 && unknown["room"] == 862 && unknown["share"] == 5, "{unknown}");
    let refused = one_of(&status["refused_sources"], "address", &stranger.to_string())?;
    ensure!(refused["reason"] == "wrong_length", "{refused}");
    ensure!(refused["frames"]["total"].as_u64().is_some_and(|frames| (64..=320).contains(&frames)), "{refused}");

    // What the lists cost is what the kernel says.
    let each = status["lists"]["each"].as_array().context("no lists")?;
    for list in each {
        let name = list["name"].as_str().context("a list without a name")?;
        let shown =
            run(Command::new("bpftool").args(["-j", "map", "show", "pinned"]).arg(stage.gateway.pins().join(name)))?;
        let shown: Value = serde_json::from_str(&shown)?;
        ensure!(shown["bytes_memlock"] == list["bytes"] && shown["max_entries"] == list["room"], "{list} {shown}");
    }
    let sum: u64 = each.iter().filter_map(|list| list["bytes"].as_u64()).sum();
    ensure!(status["lists"]["bytes"] == sum, "{status}");
    ensure!(one_of(&status["lists"]["each"], "name", "blacklist")?["used"] == 1);

    let text = stage.gateway.ctl(&["status"])?;
    for part in [
        &*format!("XDP on {GATE} native (program {id}); ports 62201 sealed, 62205 clear"),
        "1 ban, 1 known source, 1 grant; ",
        "\nwrong_length",
        "\nunknown",
        "\nadmitted",
        "\nblacklist",
    ] {
        ensure!(text.contains(part), "{part} is not in\n{text}");
    }
    Ok(())
}

#[test]
fn rates_are_of_the_last_second() -> Result<()> {
    let stage = Stage::new()?;
    let rate = || {
        let status = stage.gateway.ctl_json(&["status"])?;
        one_of(&status["frames"], "outcome", "wrong_length")?["per_second"].as_f64().context("no rate")
    };
    let seen = || {
        let sent = (0..50).try_for_each(|_| stage.send(&payload(9), client(true)));
        sent.is_ok() && rate().is_ok_and(|rate| rate > 20.0)
    };
    ensure!(wait_until(PATIENCE, seen));
    ensure!(wait_until(PATIENCE, || rate().is_ok_and(|rate| rate == 0.0)), "{}", rate()?);
    Ok(())
}

#[test]
fn top_without_a_terminal_prints_a_line_at_each_interval() -> Result<()> {
    let stage = Stage::new()?;
    let mut top = Command::new(program("siglatchctl")?);
    top.arg("top").arg("--config").arg(stage.gateway.config());
    let top = siglatch_tests::process::Process::start(&mut top)?;
    let said = top.wait_until("three lines", |said| said.lines().count() >= 3)?;
    ensure!(said.lines().all(|line| line.starts_with("up ") && line.ends_with("bans 0")), "{said}");
    Ok(())
}

#[test]
fn the_socket_belongs_to_whoever_has_taken_over_and_goes_with_it() -> Result<()> {
    let mut stage = Stage::new()?;
    let socket = stage.gateway.file("admin.sock");
    ensure!(fs::metadata(&socket)?.permissions().mode() & 0o777 == 0o660);
    stage.gateway.ctl(&["ban", "203.0.113.9", "--comment", "kept"])?;
    let second = stage.gateway.start()?;
    let first = std::mem::replace(&mut stage.daemon, second);
    first.end()?;
    let bans = stage.gateway.ctl_json(&["bans"])?;
    ensure!(bans["bans"][0]["network"] == "203.0.113.9" && bans["bans"][0]["comment"] == "kept", "{bans}");
    ensure!(stage.gateway.ctl_json(&["status"])?["uptime"].as_u64().is_some_and(|uptime| uptime < 60));

    stage.daemon.kill()?;
    ensure!(socket.exists());
    fails(&stage.gateway, &["status"], "Is siglatch-user running?")?;
    stage.daemon = stage.gateway.start()?;
    ensure!(stage.gateway.ctl(&["bans"])?.contains("203.0.113.9"));
    let third = stage.gateway.start()?;
    std::mem::replace(&mut stage.daemon, third).end()?;
    stage.gateway.ctl(&["unban", "203.0.113.9"])?;
    ensure!(stage.gateway.ctl(&["bans"])? == "no bans\n");
    let Stage { daemon, gateway, .. } = stage;
    daemon.terminate()?;
    ensure!(!socket.exists());
    fails(&gateway, &["bans"], "no daemon answers at")
}

#[test]
fn a_second_daemon_of_another_state_folder_is_told_that_the_socket_is_taken() -> Result<()> {
    let stage = Stage::new()?;
    let other =
        Gateway::new(&stage.street.outside, &Plan { ingress: "mode = \"socket\"".to_owned(), ..Plan::default() })?;
    let socket = stage.gateway.file("admin.sock").display().to_string();
    let text = fs::read_to_string(other.config())?;
    fs::write(other.config(), text.replace("socket = \"admin.sock\"", &format!("socket = \"{socket}\"")))?;
    let (code, said) = outcome(&mut other.command()?)?;
    ensure!(code == 1 && said.contains("another daemon answers there: give each its own `socket`"), "{said}");
    stage.gateway.ctl(&["bans"]).map(drop)
}

#[test]
fn whoever_is_not_in_the_group_and_whom_nobody_names_may_not_ask() -> Result<()> {
    let stage = Stage::new()?;
    let folder = stage.gateway.file("");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
    let socket = stage.gateway.file("admin.sock").display().to_string();
    let ctl = program("siglatchctl")?;
    // The program itself may be in a folder that is root's alone.
    let copy = stage.gateway.file("siglatchctl");
    fs::copy(ctl, &copy)?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
    let ask = |groups: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534"]).args(groups).arg(&copy).args(["status", "--socket", &socket]);
        outcome(&mut command)
    };
    let (code, said) = ask(&["--clear-groups"])?;
    ensure!(code == 77 && said.contains("Run this as root, or as a member of the socket's group"), "{said}");
    // In the group, it is the configuration that says who may.
    let (code, said) = ask(&["--groups=0"])?;
    ensure!(code == 77 && said.contains("you may not ask this daemon anything"), "{said}");
    Ok(())
}

#[test]
fn nonsense_and_silence_keep_nobody_from_asking() -> Result<()> {
    let stage = Stage::new()?;
    let socket = stage.gateway.file("admin.sock");
    let mut silent = Vec::new();
    for line in [&b"\xff\xfe\n"[..], b"{}\n", b"{\"siglatch\":1,\"do\":\"status\",\"x\":1}\n", &[b' '; 5000]] {
        let mut stream = UnixStream::connect(&socket)?;
        stream.write_all(line)?;
        let mut said = String::new();
        BufReader::new(&stream).read_line(&mut said)?;
        ensure!(said.contains("\"code\":\"malformed\""), "{said}");
        silent.push(stream);
    }
    // The last one was closed; with those three, there is room for thirteen.
    silent.pop();
    for _ in 0..12 {
        silent.push(UnixStream::connect(&socket)?);
    }
    stage.gateway.ctl(&["status"])?;
    silent.push(UnixStream::connect(&socket)?);
    let_pass(Duration::from_millis(100));
    fails(&stage.gateway, &["status"], "the daemon has too much to do: try again")?;
    silent.clear();
    ensure!(wait_until(PATIENCE, || stage.gateway.ctl(&["status"]).is_ok()));
    stage.knock(&knock(OPEN), client(true))?;
    stage.opens(client(true))
}

#[test]
fn sockets_answer_as_well() -> Result<()> {
    let plan = Plan { ingress: "mode = \"socket\"".to_owned(), rules: RULES.to_owned(), ..Plan::default() };
    let stage = Stage::with(&plan)?;
    let source = stage.newcomer()?;
    stage.gateway.ctl(&["ban", &source.to_string()])?;
    stage.knock(&knock(OPEN), source)?;
    let status = || stage.gateway.ctl_json(&["status"]);
    let dropped = |status: &Value| one_of(&status["frames"], "outcome", "banned").is_ok_and(|it| it["total"] == 1);
    ensure!(wait_until(PATIENCE, || status().is_ok_and(|status| dropped(&status))), "{}", status()?);
    let status = status()?;
    ensure!(status["ingress"] == "socket" && status["interfaces"] == Value::Array(vec![]), "{status}");
    ensure!(status["lists"]["bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{status}");
    stage.gateway.ctl(&["unban", &source.to_string()])?;
    stage.knock(&knock(OPEN), source)?;
    stage.opens(source)
}

/// Knocks from a banned source, and waits until so many have been dropped by then.
fn is_dropped(stage: &Stage, source: IpAddr, times: u64) -> Result<()> {
    stage.knock(&knock(OPEN), source)?;
    let dropped = || stage.gateway.counted("banned").is_ok_and(|count| count == times);
    ensure!(wait_until(PATIENCE, dropped), "{} dropped", stage.gateway.counted("banned")?);
    stage.is_shut(source)
}

fn fails(gateway: &Gateway, arguments: &[&str], reason: &str) -> Result<()> {
    let (code, said) =
        outcome(Command::new(program("siglatchctl")?).args(arguments).arg("--config").arg(gateway.config()))?;
    ensure!(code == 1 && said.contains(reason), "{code}: {said}");
    Ok(())
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn networks(page: &Value) -> Vec<String> {
    let bans = page["bans"].as_array().into_iter().flatten();
    bans.filter_map(|ban| Some(ban["network"].as_str()?.to_owned())).collect()
}

/// The object of a list that says `is` under `key`.
fn one_of<'a>(list: &'a Value, key: &str, is: &str) -> Result<&'a Value> {
    let found = list.as_array().into_iter().flatten().find(|object| object[key] == is);
    found.with_context(|| format!("nothing whose {key} is {is} in {list}"))
}
