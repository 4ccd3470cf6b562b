//! `siglatchctl audit`: who did what, out of the audit log. Never needs the daemon, and never writes the log.

mod list;
mod place;
mod rows;
mod time;
mod verify;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use place::Place;
pub(in crate::ctl) use rows::Rows;

/// Show who did what: knocks, what came of them, bans, reloads, and what operators asked for.
///
/// Reads the log's files itself, those that were set aside too, oldest first. Times are UTC.
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:
  siglatchctl audit --user alice --since 2h
  siglatchctl audit --source 192.0.2.0/24 --event knock --reason replay
  siglatchctl audit --since 2026-11-20 --until 2026-11-21 --json | jq .user
  siglatchctl audit --follow
  siglatchctl audit verify"
)]
pub(super) struct Audit {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    list: list::List,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Subcommand)]
enum What {
    Verify(verify::Verify),
}

impl Audit {
    pub(super) fn run(self) -> ExitCode {
        let done = match self.what {
            None => self.list.run(&self.place).map(|()| ExitCode::SUCCESS),
            Some(What::Verify(verify)) => verify.run(),
        };
        done.unwrap_or_else(|failure| failure.tell("siglatchctl"))
    }
}
