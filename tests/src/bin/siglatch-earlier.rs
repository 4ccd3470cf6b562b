//! Records what an earlier daemon leaves, and measures what an upgrade from it costs. Never judges either: the suites do.

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use siglatch_tests::earlier::{measure, record};

/// What an earlier siglatch leaves.
#[derive(Debug, Parser)]
enum Command {
    /// Run it, stop it, and record what it has left
    Record {
        /// The earlier siglatch-user; its siglatchctl lies beside it
        daemon: PathBuf,
        /// Where to put the recording
        folder: PathBuf,
    },
    /// Let this workspace's daemon take over from it under knocks, so many times, and say what became of them
    Measure {
        /// The earlier siglatch-user
        daemon: PathBuf,
        /// How many times
        #[arg(long, default_value_t = 5)]
        rounds: u32,
        /// The next daemon becomes the user nobody; the earlier one is root
        #[arg(long)]
        to_a_user: bool,
    },
}

fn main() -> Result<()> {
    match Command::parse() {
        Command::Record { daemon, folder } => record::record(&daemon, &folder),
        Command::Measure { daemon, rounds, to_a_user } => measure::measure(&daemon, rounds, to_a_user),
    }
}
