//! The bpftool commands of `docs/operating.md`, run as they stand there against a real daemon: they take effect, the
//! daemon follows, and what they print is what is printed there.
#![expect(clippy::disallowed_types, reason = "the commands of the manual are run")]

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use siglatch_tests::gateway::{OPEN, knock, sealed};
use siglatch_tests::netns::{DOOR, run};
use siglatch_tests::process::{PATIENCE, wait_until};
use siglatch_tests::scene::{GATEWAY, SEALED_PORT};
use siglatch_tests::stage::Stage;

#[test]
fn every_command_of_the_manual_does_what_it_says() -> Result<()> {
    let manual = Manual::read()?;
    let stage = Stage::new()?;
    let (address, inside): (IpAddr, IpAddr) = ("192.0.2.7".parse()?, "198.51.100.9".parse()?);
    for (address, bits) in [(address, 24), (inside, 32)] {
        stage.street.outside.ip(&format!("address add {address}/{bits} dev {DOOR}"))?;
    }
    let done = |name: &str| manual.run(name, &stage);

    done("ban")?;
    let before = dropped(&stage)?;
    is_dropped(&stage, address, before + 1)?;
    follows(&stage, &[("192.0.2.7", None)])?;
    done("ban-network")?;
    is_dropped(&stage, inside, before + 2)?;
    follows(&stage, &[("192.0.2.7", None), ("198.51.100.0/24", None)])?;

    // Field by field, with the reasons by name; only the counts are of the day.
    let printed = done("dump")?;
    let mut dumps = serde_json::Deserializer::from_str(&printed).into_iter::<Value>();
    let shown = manual.shown("dump")?;
    let mut in_manual = serde_json::Deserializer::from_str(&shown).into_iter::<Value>();
    for map in ["blacklist", "blacklist_networks"] {
        let dump = dumps.next().with_context(|| format!("no dump of {map} in {printed}"))??;
        let in_manual = in_manual.next().with_context(|| format!("no dump of {map} in the manual"))??;
        ensure!(without_counts(dump.clone()) == without_counts(in_manual.clone()), "{dump}\nthe manual: {in_manual}");
    }

    done("ban-for-an-hour")?;
    is_dropped(&stage, address, before + 3)?;
    follows(&stage, &[("192.0.2.7", Some(3600)), ("198.51.100.0/24", None)])?;
    done("unban")?;
    stage.knock(&knock(OPEN), address)?;
    stage.opens(address)?;
    follows(&stage, &[("198.51.100.0/24", None)])?;
    done("unban-network")?;
    follows(&stage, &[])?;
    ensure!(dropped(&stage)? == before + 3);
    for said in ["ban set by hand", "ban changed by hand", "ban lifted by hand"] {
        ensure!(stage.daemon.said().contains(said), "{}", stage.daemon.said());
        ensure!(manual.text.contains(said), "the manual does not say {said}");
    }
    Ok(())
}

#[test]
fn each_reason_has_the_number_that_the_manual_says_and_is_shown_by_its_name() -> Result<()> {
    use siglatch_common::ban::Reason;
    let manual = Manual::read()?;
    let stage = Stage::new()?;
    let pin = stage.gateway.pins().join("blacklist").display().to_string();
    for reason in Reason::ALL {
        let (label, number) = (reason.label(), reason.number());
        ensure!(manual.text.contains(&format!("| `{label}` | {number} |")), "{label}");
        run(Command::new("sh").args([
            "-ec",
            &format!(
                "bpftool map update pinned {pin} key 0 0 0 0 0 0 0 0 0 0 255 255 203 0 113 {number} \
             value 0 0 0 0 0 0 0 0  0 0 0 0 0 0 0 0  {number} 0 0 0  0 0 0 0"
            ),
        ]))?;
    }
    let dump = run(Command::new("bpftool").args(["map", "dump", "pinned", &pin]))?;
    for reason in Reason::ALL {
        ensure!(dump.contains(&format!("\"reason\": \"{}\"", reason.label())), "{dump}");
    }
    Ok(())
}

/// `docs/operating.md`.
struct Manual {
    text: String,
}

impl Manual {
    fn read() -> Result<Self> {
        Ok(Self { text: include_str!("../../docs/operating.md").to_owned() })
    }

    /// Runs the block of that name, for the stage's own pins; returns what it prints.
    fn run(&self, name: &str, stage: &Stage) -> Result<String> {
        let block = self.block(&format!("```bash bpftool {name}\n"))?;
        ensure!(block.contains("/sys/fs/bpf/siglatch/"), "{block}");
        let block = block.replace("/sys/fs/bpf/siglatch", &stage.gateway.pins().display().to_string());
        run(Command::new("bash").args(["-euo", "pipefail", "-c", &block]))
    }

    /// What the manual says that the block of that name prints: the next one.
    fn shown(&self, name: &str) -> Result<String> {
        let begin = format!("```bash bpftool {name}\n");
        let at = self.text.find(&begin).with_context(|| format!("no {begin}"))? + begin.len();
        let rest = self.text.get(at..).unwrap_or_default();
        Self { text: rest.to_owned() }.block("```json\n").map(str::to_owned)
    }

    fn block(&self, begin: &str) -> Result<&str> {
        let (_, rest) = self.text.split_once(begin).with_context(|| format!("the manual has no {begin}"))?;
        let (block, _) = rest.split_once("```\n").context("a block has no end")?;
        Ok(block)
    }
}

/// Waits until the daemon lists these bans and no other, each with about that much time left.
fn follows(stage: &Stage, wanted: &[(&str, Option<u64>)]) -> Result<()> {
    let bans = || stage.gateway.ctl_json(&["bans"]);
    let listed = || {
        let bans = bans()?;
        let bans = bans["bans"].as_array().context("no bans")?.iter();
        let each =
            bans.map(|ban| Some((ban["network"].as_str()?.to_owned(), ban["left"].as_u64(), ban["reason"].clone())));
        each.collect::<Option<Vec<_>>>().context("a ban without a network")
    };
    let is_so = |listed: Vec<(String, Option<u64>, Value)>| {
        listed.len() == wanted.len()
            && listed.iter().zip(wanted).all(|((network, left, reason), (wanted, time))| {
                let time = match (left, time) {
                    (None, None) => true,
                    (Some(left), Some(time)) => (time - 60..=*time).contains(left),
                    _ => false,
                };
                network == wanted && time && reason == "operator"
            })
    };
    let patience = PATIENCE.max(Duration::from_secs(10));
    ensure!(wait_until(patience, || listed().is_ok_and(is_so)), "{} is not {wanted:?}", bans()?);
    Ok(())
}

/// Knocks, and waits until the ban has dropped it.
fn is_dropped(stage: &Stage, source: IpAddr, times: u64) -> Result<()> {
    let gateway = SocketAddr::new(GATEWAY.of(true), SEALED_PORT);
    stage.street.outside.send(&sealed(&knock(OPEN))?, source, gateway)?;
    ensure!(wait_until(PATIENCE, || dropped(stage).is_ok_and(|count| count == times)), "{}", dropped(stage)?);
    Ok(())
}

fn dropped(stage: &Stage) -> Result<u64> {
    stage.gateway.counted("banned")
}

fn without_counts(mut dump: Value) -> Value {
    for entry in dump.as_array_mut().into_iter().flatten() {
        for count in ["hits", "until"] {
            if entry["value"][count].is_u64() {
                entry["value"][count] = json!(0);
            }
        }
    }
    dump
}
