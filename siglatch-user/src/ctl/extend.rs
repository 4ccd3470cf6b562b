//! `siglatchctl extend`: asks the daemon to let grants hold for longer. Never shortens one.

use std::num::NonZeroU64;
use std::time::Duration;

use clap::{ArgGroup, Args};

use super::load::Failure;
use super::reach::Reach;
use super::which::Which;
use super::{grants, show};
use crate::admin::protocol::Request;
use crate::admin::{ExtendOrder, Extended, GrantPage};
use crate::config;

/// Let grants hold for so long from now on; those that hold for longer already stay as they are.
#[derive(Args, Debug)]
#[command(
    group = ArgGroup::new("whose").required(true).multiple(true).args(["source", "user", "action", "service"]),
    after_help = "Examples:
  siglatchctl extend --user alice --for 2h
  siglatchctl extend --source 192.0.2.7 --service tcp/22 --for 30m"
)]
pub(super) struct Extend {
    #[command(flatten)]
    which: Which,
    /// For how long from now on, such as 90s, 10m, 1h30m
    #[arg(long = "for", value_name = "TIME", value_parser = config::length_of_time)]
    length: Duration,
    /// One JSON object, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: Reach,
}

impl Extend {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self { which, length, json, daemon } = self;
        let seconds = NonZeroU64::new(length.as_secs()).unwrap_or(NonZeroU64::MIN);
        let extended: Extended =
            daemon.connect()?.ask(&Request::Extend(ExtendOrder { which: which.into(), seconds }))?;
        if json {
            return show::json(&extended);
        }
        show::print(&text(&extended))
    }
}

fn text(Extended { grants: count, extended, first }: &Extended) -> String {
    if *count == 0 {
        return "There is no such grant.\n".to_owned();
    }
    let mut text = grants::table(first).text();
    if *count > first.len() {
        text += &format!("… the first {} of {}\n", GrantPage::FIRST, show::grouped(*count as u64));
    }
    if extended < count {
        let others = show::grouped((count - extended) as u64);
        text += &format!("{others} of them held for longer already, and stay as they were.\n");
    }
    text
}
