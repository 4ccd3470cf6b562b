//! `siglatchctl debts`: what is still to be undone, and when. Never changes anything.

use clap::Args;

use super::listing::{Listing, page};
use super::load::Failure;
use super::show::{self, Side, Table};
use crate::admin::{DebtEntry, DebtPage, DebtsQuery};

/// Show what is still to be undone, and when.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  siglatchctl debts\n  siglatchctl debts --json | jq '.debts[].program'")]
pub(super) struct Debts {
    #[command(flatten)]
    listing: Listing,
}

impl Debts {
    pub(super) fn run(self) -> Result<(), Failure> {
        let table = |debts: &[DebtEntry]| table(debts).text();
        self.listing.show::<DebtPage>(DebtsQuery::default(), "nothing is to be undone", table)
    }
}

page!(DebtPage, DebtsQuery, DebtEntry, Debts, debts, |debt: &DebtEntry| debt.debt);

fn table(debts: &[DebtEntry]) -> Table<6> {
    let mut table = Table::new([
        ("LEFT", Side::Right),
        ("PROGRAM", Side::Left),
        ("USER", Side::Left),
        ("ACTION", Side::Left),
        ("SOURCE", Side::Left),
        ("KNOCK", Side::Left),
    ]);
    for DebtEntry { program, user, action, source, knock, left, .. } in debts {
        let left = if *left == 0 { "due".to_owned() } else { show::span(*left) };
        table.push([left, program.clone(), user.clone(), action.clone(), source.to_string(), knock.clone()]);
    }
    table
}
