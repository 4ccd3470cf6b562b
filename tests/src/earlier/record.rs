//! Runs an earlier daemon for real, gives it something to remember, stops it, and records what it leaves. Never knows how it
//! is laid there again.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value, json};
use siglatch_common::layout::PortRule;
use siglatch_common::siphash::Key;
use siglatch_user::config::Given;
use siglatch_user::ctl::load::load;
use siglatch_user::edge::xdp::Measures;
use zerocopy::IntoBytes as _;

use super::{Moment, PINS, SCRIPTS};
use crate::gateway::{Gateway, OPEN, Plan, SSH};
use crate::netns::{CLIENT, Street, run};
use crate::process::{PATIENCE, Process, let_pass, wait_until};
use crate::scene::STRANGER;
use crate::script::Scripts;
use crate::service::{Echo, opens_within};

/// Opens [`SSH`] for eight seconds.
pub const SHORT: u8 = 40;
/// Opens [`SSH`] twice, to nobody a third time.
pub const TWICE: u8 = 41;
/// Starts a program, and another one six seconds later, which writes the note `undone`.
pub const UNDONE: u8 = 42;

/// Banned by the operator, for an hour.
pub const BANNED: &str = "192.0.2.77";
/// A network that is banned for good.
pub const BANNED_NETWORK: &str = "198.51.100.0/24";
/// Banned for good with bpftool, when nobody looked.
pub const BANNED_BY_HAND: &str = "203.0.113.9";

/// What a gateway does before an upgrade.
///
/// # Errors
/// If the scripts cannot be written.
pub fn plan(scripts: &Scripts) -> Result<Plan> {
    let told = scripts.write("told", "echo up >>$notes/log")?;
    let undo = scripts.write("undo", "echo undo >>$notes/log")?;
    Ok(Plan::plus(&format!(
        "[action.short]\nid = {SHORT}\nusers = \"all\"\ngrant = [\"tcp/{SSH}\"]\nttl = \"8s\"\n\n\
         [action.twice]\nid = {TWICE}\nusers = \"all\"\ngrant = [\"tcp/{SSH}\"]\nuses = 2\n\n\
         [action.told]\nid = {UNDONE}\nusers = \"all\"\nexec = [\"{told}\"]\nrun_as = \"nobody\"\nundo = \"undo\"\nttl = \"6s\"\n\n\
         [action.undo]\nexec = [\"{undo}\"]\nrun_as = \"nobody\"\n"
    )))
}

/// Runs that daemon, whose `siglatchctl` lies beside it, and records into the folder.
///
/// # Errors
/// If it does not do what it should, or a file cannot be written.
pub fn record(daemon: &Path, folder: &Path) -> Result<()> {
    let (scripts, street) = (Scripts::new()?, Street::new()?);
    let _service = Echo::start(&street.gateway, SSH)?;
    let gateway = Gateway::new(&street.gateway, &plan(&scripts)?)?;
    let process = start(&gateway, daemon)?;
    let ctl = daemon.with_file_name("siglatchctl");
    let ctl = |words: &[&str]| run(Command::new(&ctl).args(words).arg("--config").arg(gateway.config()));

    ctl(&["ban", BANNED, "--for", "1h"])?;
    ctl(&["ban", BANNED_NETWORK])?;
    let [v4, v6] = [true, false].map(|v4| CLIENT.of(v4));
    for (action, source) in [(OPEN, v4), (TWICE, v6), (TWICE, v6)] {
        gateway.knock(&street.outside, source, action)?;
    }
    for source in [v4, v6] {
        opens_within(PATIENCE, &street.outside, source, (crate::scene::GATEWAY.of(source.is_ipv4()), SSH).into())?;
    }
    gateway.knock(&street.outside, STRANGER.v6.into(), SHORT)?;
    gateway.knock(&street.outside, v4, UNDONE)?;
    process.wait_until("five knocks admitted", |said| said.matches("knock admitted").count() == 5)?;
    ensure!(wait_until(PATIENCE, || scripts.note("log") == "up\n"), "the program was not started");
    // What became of it is in the ledger by then.
    process.wait_for("program done")?;
    ban_by_hand(&gateway)?;
    let_pass(Duration::from_millis(300));

    let (status, said) = process.terminate()?;
    ensure!(status.success(), "{status}: {said}");
    let moment = Moment::now()?;
    fs::create_dir_all(folder.join("state"))?;
    fs::write(folder.join("table.nft"), street.gateway.shell("nft list table inet siglatch")?)?;
    fs::write(folder.join("moment.json"), moment.text())?;
    for file in ["nonces.current", "bans.json", "known.json", "ledger", "audit.head"] {
        fs::copy(gateway.file("state").join(file), folder.join("state").join(file))
            .with_context(|| format!("it has left no {file}"))?;
    }
    fs::copy(gateway.file("audit.jsonl"), folder.join("audit.jsonl"))?;
    let config = fs::read_to_string(gateway.config())?.replace(&gateway.pins().display().to_string(), PINS);
    fs::write(folder.join("siglatch.toml"), config.replace(&scripts.as_ref().display().to_string(), SCRIPTS))?;
    fs::write(folder.join("maps.json"), maps(&gateway)?)?;
    fs::write(folder.join("globals.json"), globals(&gateway)?)?;
    run(street.gateway.command(daemon).arg("--config").arg(gateway.config()).arg("--detach"))?;
    Ok(())
}

/// Starts another daemon than this workspace's on a gateway.
///
/// # Errors
/// With its log if it does not get ready.
pub fn start(gateway: &Gateway, daemon: &Path) -> Result<Process> {
    let process = Process::start(&mut gateway.command_of(daemon))?;
    process.wait_for(" ready ")?;
    Ok(process)
}

fn ban_by_hand(gateway: &Gateway) -> Result<()> {
    let mut words: Vec<String> = ["map", "update", "pinned"].map(str::to_owned).into();
    words.push(gateway.pins().join("blacklist").display().to_string());
    words.push("key".to_owned());
    let address: std::net::Ipv4Addr = BANNED_BY_HAND.parse()?;
    words.extend(address.to_ipv6_mapped().octets().map(|byte| byte.to_string()));
    words.push("value".to_owned());
    words.extend([0; 24].map(|byte: u8| byte.to_string()));
    run(Command::new("bpftool").args(words)).map(drop)
}

/// What stands in the maps that something is looked up in, and the size of each.
fn maps(gateway: &Gateway) -> Result<String> {
    let mut maps = Map::new();
    for pin in fs::read_dir(gateway.pins())? {
        let (path, name) = pin.map(|pin| (pin.path(), pin.file_name()))?;
        let Ok(shown) = run(Command::new("bpftool").args(["-j", "map", "show", "pinned"]).arg(&path)) else {
            // A program or a link.
            continue;
        };
        let shown: Value = serde_json::from_str(&shown)?;
        let name = name.into_string().ok().context("pins have names of ours")?;
        let mut entries = Vec::new();
        if FILLED.contains(&name.as_str()) {
            let dump = run(Command::new("bpftool").args(["-j", "map", "dump", "pinned"]).arg(&path))?;
            let dump: Value = serde_json::from_str(&dump)?;
            let each = dump.as_array().into_iter().flatten();
            let each = each.map(|entry| (digits(&entry["key"]), digits(&entry["value"])));
            // Places that were never written are zeros in any new map.
            let written = each.filter(|(_, value)| name != "own_addresses" || value.bytes().any(|digit| digit != b'0'));
            entries.extend(written.map(|(key, value)| json!({ "key": key, "value": value })));
        }
        let place = json!({ "max_entries": shown["max_entries"], "entries": entries });
        maps.insert(name, place);
    }
    Ok(lines(&Value::Object(maps).to_string()))
}

/// The globals that such a daemon wrote into the program: ports and limits of the configuration.
fn globals(gateway: &Gateway) -> Result<String> {
    let settings =
        load(&gateway.config(), &Given::by_machine(false)).map_err(|failure| anyhow::anyhow!("{failure}"))?.settings;
    let tuning = Measures::new(&settings, Key { k0: 1, k1: 2 }).tuning;
    let mut ports = [PortRule::default(); 16];
    for (place, rule) in ports.iter_mut().zip(&settings.ports) {
        *place = PortRule::new(rule.port, rule.wire);
    }
    let shown = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Ok(format!("{}\n", json!({ "ports": shown(ports.as_bytes()), "tuning": shown(tuning.as_bytes()) })))
}

/// Bytes that bpftool prints as `["0x00", …]`, two hex digits each.
fn digits(printed: &Value) -> String {
    printed.as_array().into_iter().flatten().filter_map(|byte| byte.as_str()?.strip_prefix("0x")).collect()
}

/// An entry a line.
fn lines(json: &str) -> String {
    format!("{}\n", json.replace("},{", "},\n{").replace("},\"", "},\n\""))
}

/// The maps whose entries say something to whoever takes over.
const FILLED: [&str; 7] =
    ["own_addresses", "allowlist", "blacklist", "blacklist_networks", "known", "stamp_keys", "layout"];
