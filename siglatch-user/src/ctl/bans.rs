//! `siglatchctl bans`: who is banned, why, and for how long. Never changes anything.

use clap::{Args, ValueEnum};
use siglatch_common::address::Network;
use siglatch_common::ban::Reason;

use super::load::Failure;
use super::reach::Reach;
use super::show::{self, Side, Table};
use crate::admin::protocol::Request;
use crate::admin::{BanPage, BansQuery, Sort, network_text};
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
    /// At most so many [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// One JSON object, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: Reach,
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

impl Bans {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self { reason, net, sort, limit, json, daemon } = self;
        let query = BansQuery { reason, net, sort: sort.into(), limit, after: None };
        let page = list(&mut daemon.connect()?, query)?;
        if json {
            return show::json(&page);
        }
        if page.bans.is_empty() {
            return show::print("no bans\n");
        }
        show::print(&table(&page).text())?;
        show::tell_more(page.more, page.bans.len(), page.total);
        Ok(())
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
fn list(daemon: &mut AdminClient, mut query: BansQuery) -> Result<BanPage, Failure> {
    if query.limit.is_some_and(|limit| limit <= BanPage::MAX) {
        return Ok(daemon.ask(&Request::Bans(query))?);
    }
    let (sort, limit) = (query.sort, query.limit.unwrap_or(usize::MAX));
    (query.sort, query.limit) = (Sort::Network, None);
    let mut all = BanPage { more: true, ..BanPage::default() };
    while all.more {
        let BanPage { total, more, bans } = daemon.ask(&Request::Bans(query.clone()))?;
        query.after = bans.last().map(|ban| ban.network);
        (all.total, all.more) = (total, more && !bans.is_empty());
        all.bans.extend(bans);
    }
    sort.sort(&mut all.bans);
    all.more = all.bans.len() > limit;
    all.bans.truncate(limit);
    Ok(all)
}

fn table(page: &BanPage) -> Table<6> {
    let mut table = Table::new([
        ("NETWORK", Side::Left),
        ("REASON", Side::Left),
        ("LEFT", Side::Right),
        ("HITS", Side::Right),
        ("STEP", Side::Right),
        ("COMMENT", Side::Left),
    ]);
    for ban in &page.bans {
        table.push([
            network_text(ban.network),
            ban.reason.label().to_owned(),
            ban.left.map_or_else(|| "for good".to_owned(), show::span),
            show::grouped(ban.hits),
            if ban.step == 0 { "-".to_owned() } else { ban.step.to_string() },
            ban.comment.to_string(),
        ]);
    }
    table
}

fn reason(label: &str) -> Result<Reason, String> {
    let known = Reason::ALL.map(Reason::label).join(", ");
    Reason::from_label(label).ok_or_else(|| format!("there are: {known}"))
}
