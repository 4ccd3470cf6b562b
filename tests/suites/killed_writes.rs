//! Every write of the state folder, ended before each of its system calls: what the next daemon finds is the old or the new, as
//! a whole, and nothing that was promised is lost. (The audit log, whose writer is a thread, is killed in `audit`; the daemon
//! as a whole in `e2e_survival`.)
#![expect(clippy::disallowed_types, reason = "processes are what is tried")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use siglatch_tests::killed_at::{End, run_until};
use siglatch_tests::netns::unique;
use siglatch_tests::process::program;
use siglatch_tests::stores::{Change, check};

#[test]
fn nonces_that_are_kept_survive_a_kill_at_each_call() -> Result<()> {
    survives(Change::Remember, 1)?;
    survives(Change::Lease, 2)
}

#[test]
fn nonces_that_are_forgotten_are_below_the_floor_after_a_kill_at_each_call() -> Result<()> {
    survives(Change::Forget, 5)?;
    survives(Change::OpenNonces, 8)
}

#[test]
fn use_counts_survive_a_kill_at_each_call() -> Result<()> {
    survives(Change::Note, 2)?;
    survives(Change::Compact, 7)?;
    survives(Change::OpenLedger, 8)
}

#[test]
fn bans_and_known_origins_survive_a_kill_at_each_call() -> Result<()> {
    survives(Change::KeepBans, 6)?;
    survives(Change::KeepKnown, 6)
}

#[test]
fn what_is_switched_off_survives_a_kill_at_each_call() -> Result<()> {
    survives(Change::KeepSwitches, 6)
}

/// Makes a change again and again, ended one call later each time, until it is made; `least`: it takes so many at least.
fn survives(change: Change, least: usize) -> Result<()> {
    for call in 1..MOST {
        let folder = Folder::new()?;
        let mut writer = Command::new(program("siglatch-store-writer")?);
        writer.args(["--change", change.label(), "--folder"]).arg(&folder.0);
        let end = run_until(&mut writer, call).with_context(|| format!("{change:?} at call {call}"))?;
        check(&folder.0, change, end == End::Done).with_context(|| format!("{change:?}, {end:?} at call {call}"))?;
        if end == End::Done {
            ensure!(call > least, "{change:?} has taken {} calls: was it followed?", call - 1);
            println!("{}: ended at each of {} calls", change.label(), call - 1);
            return Ok(());
        }
    }
    anyhow::bail!("{change:?} takes more than {MOST} calls")
}

/// Gone with this.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let folder = std::env::temp_dir().join(unique("stores"));
        fs::create_dir(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const MOST: usize = 500;
