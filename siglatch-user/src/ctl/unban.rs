//! `siglatchctl unban`: asks the daemon to lift a ban. Never writes a map itself.

use clap::Args;
use siglatch_common::address::Network;

use super::load::Failure;
use super::reach::Reach;
use super::show;
use crate::admin::protocol::Request;
use crate::admin::{Lifted, UnbanOrder, network_text};
use crate::config;

/// Lift a ban, whoever it is from.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  siglatchctl unban 192.0.2.7\n  siglatchctl unban 2001:db8::/32")]
pub(super) struct Unban {
    /// Who, as the list of bans says it
    #[arg(value_name = "ADDRESS|NETWORK", value_parser = config::network)]
    network: Network,
    /// One JSON object, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: Reach,
}

impl Unban {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self { network, json, daemon } = self;
        let lifted: Lifted = daemon.connect()?.ask(&Request::Unban(UnbanOrder { network }))?;
        if json {
            return show::json(&lifted);
        }
        let mut text = format!("{} is not banned any more.\n", network_text(lifted.entry.network));
        if let Some(note) = lifted.note {
            text += &format!("{note}\n");
        }
        show::print(&text)
    }
}
