//! `siglatchctl enable` and `disable`: switches something off while the daemon runs, and on again. Never writes the
//! configuration.

use std::num::NonZeroU64;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::load::Failure;
use super::reach::Reach;
use super::show;
use crate::admin::protocol::Request;
use crate::admin::{DisableOrder, SwitchKind, SwitchTarget, Switched};
use crate::config;
use crate::edge::clock;

/// Switch a user, an action, a port or a sequence off, at once: until you enable it, or for a time.
///
/// It stays off when the daemon or the machine starts again. Knocks of a user or for an action that is off are refused like
/// a stranger's; a port that is off takes no knocks.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  siglatchctl disable user alice --end-grants --cut
  siglatchctl disable action db --for 2h
  siglatchctl disable port 62201 --until 2026-12-01T08:00:00Z")]
pub(super) struct Disable {
    #[command(flatten)]
    what: What,
    /// For how long, such as 10m, 2h, 7d [default: until it is enabled]
    #[arg(long = "for", value_name = "TIME", value_parser = config::length_of_time, conflicts_with = "until")]
    length: Option<Duration>,
    /// Until when, such as 2026-12-01T08:00:00Z
    #[arg(long, value_name = "MOMENT")]
    until: Option<Timestamp>,
    /// End the grants that came of it: of a user, or of an action
    #[arg(long)]
    end_grants: bool,
    /// Cut the established connections as well: of these grants, and of those that have ended before
    #[arg(long, requires = "end_grants")]
    cut: bool,
    /// One JSON object, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: Reach,
}

/// Switch something on again that was disabled.
///
/// What the configuration has disabled stays so: change it there, and reload.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  siglatchctl enable user alice\n  siglatchctl enable port 62201")]
pub(super) struct Enable {
    #[command(flatten)]
    what: What,
    /// One JSON object, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: Reach,
}

/// What is switched.
#[derive(Args, Debug)]
struct What {
    /// What kind of thing it is
    #[arg(value_name = "KIND")]
    kind: Kind,
    /// Its name; the number of a port
    #[arg(value_name = "NAME")]
    name: String,
}

/// What can be switched.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// Somebody who may knock
    User,
    /// Something that can be knocked for
    Action,
    /// A knock port
    Port,
    /// Actions that must be knocked for in order
    Sequence,
}

impl Disable {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self { what, length, until, end_grants, cut, json, daemon } = self;
        let seconds = length.and_then(|length| NonZeroU64::new(length.as_secs()));
        let until = until.map(|until| u64::try_from(until.as_second()).unwrap_or(0));
        let order = DisableOrder { target: what.into(), seconds, until, end_grants, cut };
        tell(&daemon.connect()?.ask(&Request::Disable(order))?, json)
    }
}

impl Enable {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self { what, json, daemon } = self;
        tell(&daemon.connect()?.ask(&Request::Enable(what.into()))?, json)
    }
}

impl From<What> for SwitchTarget {
    fn from(What { kind, name }: What) -> Self {
        let kind = match kind {
            Kind::User => SwitchKind::User,
            Kind::Action => SwitchKind::Action,
            Kind::Port => SwitchKind::Port,
            Kind::Sequence => SwitchKind::Sequence,
        };
        Self { kind, name }
    }
}

fn tell(switched: &Switched, json: bool) -> Result<(), Failure> {
    if json {
        return show::json(switched);
    }
    let SwitchTarget { kind, name } = &switched.target;
    let state = show::state(switched.enabled, switched.until, clock::now().wall);
    let already = if switched.changed { "is" } else { "was already" };
    let mut text = format!("{} {name} {already} {state}.\n", kind.label());
    match switched.grants {
        0 => {}
        1 => text += "1 grant has ended.\n",
        count => text += &format!("{} grants have ended.\n", show::grouped(count as u64)),
    }
    if let Some(count) = switched.cut {
        text += &format!("{} connections were cut.\n", show::grouped(count as u64));
    }
    if let Some(note) = &switched.note {
        text += &format!("{note}\n");
    }
    show::print(&text)
}
