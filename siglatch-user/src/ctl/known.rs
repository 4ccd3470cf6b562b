//! `siglatchctl known`: who authenticated lately, and for how long that counts. Never changes anything.

use clap::Args;

use super::load::Failure;
use super::reach::Reach;
use super::show::{self, Side, Table};
use crate::admin::protocol::Request;
use crate::admin::{KnownPage, KnownQuery};

/// Show who authenticated lately: their knocks go before those of strangers, and they are never banned.
///
/// IPv6 origins are the first addresses of /64 networks.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  siglatchctl known\n  siglatchctl known --json | jq -r '.known[].origin'")]
pub(super) struct Known {
    /// At most so many [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// One JSON object, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: Reach,
}

impl Known {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self { limit, json, daemon } = self;
        let mut client = daemon.connect()?;
        let limit = limit.unwrap_or(usize::MAX);
        let mut query = KnownQuery::default();
        let mut all = KnownPage { more: true, ..KnownPage::default() };
        while all.more && all.known.len() < limit {
            query.limit = Some(limit - all.known.len());
            let KnownPage { total, more, known } = client.ask(&Request::Known(query.clone()))?;
            query.after = known.last().map(|entry| entry.origin);
            (all.total, all.more) = (total, more && !known.is_empty());
            all.known.extend(known);
        }
        if json {
            return show::json(&all);
        }
        if all.known.is_empty() {
            return show::print("no known sources\n");
        }
        let mut table = Table::new([("ORIGIN", Side::Left), ("LEFT", Side::Right)]);
        for entry in &all.known {
            let network = if entry.origin.is_ipv6() { "/64" } else { "" };
            table.push([format!("{}{network}", entry.origin), show::span(entry.left)]);
        }
        show::print(&table.text())?;
        show::tell_more(all.more, all.known.len(), all.total);
        Ok(())
    }
}
