//! `siglatchctl ban`: asks the daemon to ban somebody. Never writes a map itself.

use std::num::NonZeroU64;
use std::time::Duration;

use clap::Args;
use siglatch_common::address::Network;

use super::load::Failure;
use super::reach::Reach;
use super::show;
use crate::admin::protocol::Request;
use crate::admin::{BanOrder, Banned, Comment, network_text};
use crate::config;

/// Ban an address or a network: what it sends to the knock ports is dropped.
///
/// The ban survives a restart of the daemon and of the machine. An earlier ban of the same network is replaced.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  siglatchctl ban 192.0.2.7
  siglatchctl ban 2001:db8::/32 --for 2h --comment \"scans since Monday\"")]
pub(super) struct Ban {
    /// Who: 192.0.2.7, 192.0.2.0/24, 2001:db8::/32
    #[arg(value_name = "ADDRESS|NETWORK", value_parser = config::network)]
    network: Network,
    /// For how long, such as 90s, 10m, 1h30m, 7d [default: for good]
    #[arg(long = "for", value_name = "TIME", value_parser = config::length_of_time)]
    length: Option<Duration>,
    /// Why, for those who read the list later
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    comment: Comment,
    /// One JSON object, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: Reach,
}

impl Ban {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self { network, length, comment, json, daemon } = self;
        let seconds = length.and_then(|length| NonZeroU64::new(length.as_secs()));
        let banned: Banned = daemon.connect()?.ask(&Request::Ban(BanOrder { network, seconds, comment }))?;
        if json {
            return show::json(&banned);
        }
        let how_long =
            banned.entry.left.map_or_else(|| "for good".to_owned(), |left| format!("for {}", show::span(left)));
        let instead = if banned.replaced { ", in place of an earlier ban" } else { "" };
        let mut text = format!("{} is banned {how_long}{instead}.\n", network_text(banned.entry.network));
        if let Some(note) = banned.note {
            text += &format!("{note}\n");
        }
        show::print(&text)
    }
}
