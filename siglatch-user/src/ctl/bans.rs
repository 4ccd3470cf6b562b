//! `siglatchctl bans`: who is banned, why, and for how long. Never changes anything.

use clap::{Args, ValueEnum};
use siglatch_common::address::Network;
use siglatch_common::ban::Reason;

use super::listing::{Listing, Page as _, gather, page};
use super::load::Failure;
use super::show::{self, Side, Table};
use crate::admin::{BanEntry, BanPage, BansQuery, Sort, network_text};
use crate::config;
use crate::edge::admin::AdminClient;

/// Show who is banned, why, and for how long.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  siglatchctl bans
  siglatchctl bans --reason flood --sort hits --limit 20
  siglatchctl bans --net 192.0.2.0/24 --json")]
pub(super) struct Bans {
    /// Only those for this reason: operator, file, unauthentic or flood
    #[arg(long, value_name = "REASON", value_parser = reason)]
    reason: Option<Reason>,
    /// Only those inside this network, and those around it
    #[arg(long, value_name = "NETWORK", value_parser = config::network)]
    net: Option<Network>,
    /// In which order
    #[arg(long, value_name = "ORDER", default_value = "network")]
    sort: Order,
    #[command(flatten)]
    listing: Listing,
}

/// The order of the list.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Order {
    /// By address
    Network,
    /// What ends soonest first
    Until,
    /// What drops most first
    Hits,
    /// The latest first
    Since,
}

page!(BanPage, BansQuery, BanEntry, Bans, bans, |ban: &BanEntry| ban.network);

impl Bans {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self { reason, net, sort, listing } = self;
        let query = BansQuery { reason, net, sort: sort.into(), limit: None, after: None };
        listing.show_gathered("no bans", table, |client, limit| list(client, query, limit))
    }
}

impl From<Order> for Sort {
    fn from(order: Order) -> Self {
        match order {
            Order::Network => Self::Network,
            Order::Until => Self::Until,
            Order::Hits => Self::Hits,
            Order::Since => Self::Since,
        }
    }
}

/// As many as are wanted. More than a reply takes come page by page in the order of their networks, so that a ban that
/// begins or ends meanwhile moves no other out of sight, and are sorted here.
fn list(client: &mut AdminClient, query: BansQuery, limit: usize) -> Result<BanPage, Failure> {
    if limit <= BanPage::MAX {
        return Ok(client.ask(&BanPage::ask(&query, limit))?);
    }
    let sort = query.sort;
    let mut all: BanPage = gather(client, BansQuery { sort: Sort::Network, ..query }, usize::MAX)?;
    sort.sort(&mut all.bans);
    all.more = all.bans.len() > limit;
    all.bans.truncate(limit);
    Ok(all)
}

fn table(bans: &[BanEntry]) -> String {
    let mut table = Table::new([
        ("NETWORK", Side::Left),
        ("REASON", Side::Left),
        ("LEFT", Side::Right),
        ("HITS", Side::Right),
        ("STEP", Side::Right),
        ("COMMENT", Side::Left),
    ]);
    for ban in bans {
        table.push([
            network_text(ban.network),
            ban.reason.label().to_owned(),
            ban.left.map_or_else(|| "for good".to_owned(), show::span),
            show::grouped(ban.hits),
            if ban.step == 0 { "-".to_owned() } else { ban.step.to_string() },
            ban.comment.to_string(),
        ]);
    }
    table.text()
}

fn reason(label: &str) -> Result<Reason, String> {
    let known = Reason::ALL.map(Reason::label).join(", ");
    Reason::from_label(label).ok_or_else(|| format!("there are: {known}"))
}
