//! A process that records knocks in an audit log, as the daemon does: for tests that kill it, or take away its disk.
//! Never opens anything.
#![expect(clippy::disallowed_methods, reason = "it is outside of the daemon's floors, and looks at clocks and files")]

use std::net::IpAddr;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Parser;
use siglatch_common::address::Address;
use siglatch_common::wire::v1::{ActionId, UserId};
use siglatch_user::audit::Event;
use siglatch_user::audit::line::Strangers;
use siglatch_user::config::AuditRule;
use siglatch_user::edge::audit::{AuditLog, Origin, Recorder};
use siglatch_user::edge::clock;
use siglatch_user::gate::{Admission, Knock, KnockId, Outcome, Refusal, Verdict};

/// Records knocks.
#[derive(Debug, Parser)]
struct Options {
    /// The log
    #[arg(long)]
    file: PathBuf,
    /// Where its head is
    #[arg(long)]
    state: PathBuf,
    /// How many knocks
    #[arg(long, default_value_t = u32::MAX)]
    count: u32,
    /// How many a second
    #[arg(long, default_value_t = 1000)]
    rate: u32,
    /// Every refusal in turn, from both kinds of addresses, in place of admitted knocks alone
    #[arg(long)]
    refusals: bool,
}

fn main() -> Result<()> {
    let Options { file, state, count, rate, refusals } = Options::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).with_target(false).init();
    let rule = AuditRule { file, ..AuditRule::default() };
    let origin = Origin { version: "test".to_owned(), run: std::process::id(), dry_run: false, state_dir: state };
    let (recorder, log) = AuditLog::begin(&rule, origin)?;
    let (began, mut in_record, mut worst) = (Instant::now(), Duration::ZERO, Duration::ZERO);
    for number in 1..=count {
        let due = began + Duration::from_secs(1) / rate.max(1) * (number - 1);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let before = Instant::now();
        match refusals {
            true => refuse(&recorder, number),
            false => recorder.record(admitted(number)),
        }
        let took = before.elapsed();
        in_record += took;
        worst = worst.max(took);
    }
    let took = began.elapsed();
    log.close("done");
    let status = std::fs::read_to_string("/proc/self/status").context("/proc")?;
    let memory = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default().trim();
    println!(
        "recorded={count} lost={} ms={} record_ns={} worst_us={} memory={memory}",
        recorder.lost(),
        took.as_millis(),
        in_record.as_nanos() / u128::from(count.max(1)),
        worst.as_micros(),
    );
    Ok(())
}

fn admitted(number: u32) -> Event {
    let admission = Admission { knock: knock(number), outcome: Outcome::Done, dry_run: false };
    Event::knock(&Verdict::Admit(admission), Address::v4([192, 0, 2, 7]), "alice", "ssh")
}

/// One of every refusal, junk included, and an admitted knock; all are told.
fn refuse(recorder: &Recorder, number: u32) {
    let sources = ["198.51.100.9", "2001:db8::9"].map(|text| text.parse::<IpAddr>().map(Address::from));
    let mut strangers = Strangers::default();
    for source in sources.into_iter().flatten() {
        for refusal in Refusal::ALL {
            let is_junk = *refusal == Refusal::Unauthentic;
            let verdict = Verdict::Refuse(*refusal, (!is_junk).then(|| knock(number)));
            let event = Event::knock(&verdict, source, "alice", "ssh");
            recorder.tell(event, strangers.judge(&verdict, clock::boot()));
        }
    }
    recorder.record(admitted(number));
}

fn knock(number: u32) -> Knock {
    Knock { id: KnockId::new(7, number), user: UserId(1), action: ActionId(10) }
}
