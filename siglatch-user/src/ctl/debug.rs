//! `siglatchctl debug`: whose knocks the daemon tells in full in its log. Never shows a knock itself.

use std::net::IpAddr;
use std::num::NonZeroU64;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::load::Failure;
use super::reach::Reach;
use super::show;
use crate::admin::protocol::Request;
use crate::admin::{DebugOrder, DebugState, DebugTarget};
use crate::config;

/// Have the knocks of one user or one source told in full in the daemon's log, for a time.
///
/// Told are the datagram in hex and what stands in it; keys and HMACs never are. It ends by itself.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  siglatchctl debug on --user alice --for 10m
  siglatchctl debug on --source 192.0.2.7
  siglatchctl debug list
  siglatchctl debug off")]
pub(super) enum Command {
    On(On),
    Off(Off),
    List(List),
}

/// Tell somebody's knocks in full.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  siglatchctl debug on --user alice --for 10m\n  siglatchctl debug on --source 192.0.2.7"
)]
pub(super) struct On {
    #[command(flatten)]
    whose: Whose,
    /// For how long, such as 90s, 10m, 2h; at most 24h
    #[arg(long = "for", value_name = "TIME", value_parser = config::length_of_time, default_value = "10m")]
    length: Duration,
    /// One JSON object, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: Reach,
}

/// Do not tell somebody's knocks in full any more; without a name, nobody's.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  siglatchctl debug off --user alice\n  siglatchctl debug off")]
pub(super) struct Off {
    /// Whose: a user's name
    #[arg(long, value_name = "NAME", conflicts_with = "source")]
    user: Option<String>,
    /// Whose: an address
    #[arg(long, value_name = "ADDRESS")]
    source: Option<IpAddr>,
    /// One JSON object, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: Reach,
}

/// Show whose knocks are told in full.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  siglatchctl debug list --json")]
pub(super) struct List {
    /// One JSON object, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: Reach,
}

/// A user or a source.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Whose {
    /// A user's, by name
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Whatever comes from an address
    #[arg(long, value_name = "ADDRESS")]
    source: Option<IpAddr>,
}

impl Command {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::On(On { whose: Whose { user, source }, length, json, daemon }) => {
                let seconds = NonZeroU64::new(length.as_secs()).unwrap_or(NonZeroU64::MIN);
                let order = DebugOrder { target: DebugTarget { user, source }, seconds };
                let state: DebugState = daemon.connect()?.ask(&Request::DebugOn(order))?;
                tell(&state, json)
            }
            Self::Off(Off { user, source, json, daemon }) => {
                let target = DebugTarget { user, source };
                let state: DebugState = daemon.connect()?.ask(&Request::DebugOff(target))?;
                tell(&state, json)
            }
            Self::List(List { json, daemon }) => {
                let state: DebugState = daemon.connect()?.ask(&Request::Debug {})?;
                tell(&state, json)
            }
        }
    }
}

fn tell(state: &DebugState, json: bool) -> Result<(), Failure> {
    if json {
        return show::json(state);
    }
    show::print(&text(state))
}

fn text(state: &DebugState) -> String {
    if state.told.is_empty() {
        return "Nobody's knocks are told in full.\n".to_owned();
    }
    let whose = |target: &DebugTarget| match (&target.user, target.source) {
        (Some(user), _) => format!("user {user}"),
        (None, Some(source)) => format!("source {source}"),
        (None, None) => "?".to_owned(),
    };
    let line = |entry: &crate::admin::DebugEntry| {
        format!("Told in full, in the daemon's log: {}, for {} more.\n", whose(&entry.target), show::span(entry.left))
    };
    state.told.iter().map(line).collect()
}
