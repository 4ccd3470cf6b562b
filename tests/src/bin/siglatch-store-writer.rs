//! A process that changes one file of the state folder once, with the daemon's own code: for tests that kill it in the middle.
//! Stops itself before and after. Never reads what became of it.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Parser;
use rustix::process::{Signal, getpid, kill_process};
use siglatch_tests::stores::{Change, Stores};

/// Makes the folder as it was before, stops, changes it, stops, and ends.
#[derive(Debug, Parser)]
struct Options {
    /// A folder that is empty
    #[arg(long)]
    folder: PathBuf,
    /// What is done
    #[arg(long)]
    change: String,
}

fn main() -> Result<()> {
    let Options { folder, change } = Options::parse();
    let change = Change::ALL.into_iter().find(|known| known.label() == change).context("there is no such change")?;
    let mut stores = Stores::before(&folder, change)?;
    kill_process(getpid(), Signal::STOP)?;
    let outcome = stores.make(change);
    kill_process(getpid(), Signal::STOP)?;
    outcome
}
