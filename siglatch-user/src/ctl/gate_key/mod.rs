//! `siglatchctl gate-key`: what the stamps of clients are made with. One file a command.

mod drop;
mod list;
mod rotate;
mod text;

use clap::Subcommand;

use super::load::Failure;

/// Add, list and drop the keys of the stamped wire.
///
/// Every client that is enrolled for a stamped port holds one of them. To change it: rotate, enrol the users again one
/// by one, and drop the old one when all have their new files. Until then both count.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  siglatchctl gate-key list
  siglatchctl gate-key rotate
  siglatchctl gate-key drop 0")]
pub(super) enum Command {
    Rotate(rotate::Rotate),
    List(list::List),
    Drop(drop::Drop),
}

impl Command {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Rotate(rotate) => rotate.run(),
            Self::List(list) => list.run(),
            Self::Drop(drop) => drop.run(),
        }
    }
}

/// Where a gate key's file is made, counted from the configuration's folder.
pub(super) fn usual_path(number: u8) -> String {
    format!("keys/gate-{number}.key")
}
