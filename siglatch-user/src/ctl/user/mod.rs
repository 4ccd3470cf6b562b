//! `siglatchctl user`: who may knock. One file a command; what they share is here.

mod add;
mod enrol;
mod list;

use clap::{Args, Subcommand};
use siglatch_common::wire::Wire;

use super::load::Failure;

/// Add, list and enrol the users who may knock.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  siglatchctl user add alice\n  siglatchctl user list")]
pub(super) enum User {
    Add(add::Add),
    List(list::List),
    Enrol(enrol::Enrol),
}

/// Which knock port a file to hand over is for.
#[derive(Args, Clone, Copy, Debug)]
struct ForWire {
    /// The wire of the knock port that the file is for: sealed, stamped or clear [default: stamped if there is such a
    /// port, else sealed]
    #[arg(long, value_parser = wire)]
    wire: Option<Wire>,
}

impl User {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(),
            Self::List(list) => list.run(),
            Self::Enrol(enrol) => enrol.run(),
        }
    }
}

fn wire(label: &str) -> Result<Wire, String> {
    Wire::from_label(label).ok_or_else(|| format!("a wire is one of: {}", Wire::ALL.map(Wire::label).join(", ")))
}
