//! `siglatchctl known`: who authenticated lately, and for how long that counts. Never changes anything.

use clap::Args;

use super::listing::{Listing, page};
use super::load::Failure;
use super::show::{self, Side, Table};
use crate::admin::{KnownEntry, KnownPage, KnownQuery};

/// Show who authenticated lately: their knocks go before those of strangers, and they are never banned.
///
/// IPv6 origins are the first addresses of /64 networks.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  siglatchctl known\n  siglatchctl known --json | jq -r '.known[].origin'")]
pub(super) struct Known {
    #[command(flatten)]
    listing: Listing,
}

impl Known {
    pub(super) fn run(self) -> Result<(), Failure> {
        let table = |known: &[KnownEntry]| table(known).text();
        self.listing.show::<KnownPage>(KnownQuery::default(), "no known sources", table)
    }
}

page!(KnownPage, KnownQuery, KnownEntry, Known, known, |entry: &KnownEntry| entry.origin);

fn table(known: &[KnownEntry]) -> Table<2> {
    let mut table = Table::new([("ORIGIN", Side::Left), ("LEFT", Side::Right)]);
    for entry in known {
        let network = if entry.origin.is_ipv6() { "/64" } else { "" };
        table.push([format!("{}{network}", entry.origin), show::span(entry.left)]);
    }
    table
}
