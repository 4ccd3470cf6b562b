//! `siglatchctl debts`: what is still to be undone, and when. Never changes anything.

use clap::Args;

use super::load::Failure;
use super::reach::Reach;
use super::show::{self, Side, Table};
use crate::admin::protocol::Request;
use crate::admin::{DebtEntry, DebtPage, DebtsQuery};

/// Show what is still to be undone, and when.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  siglatchctl debts\n  siglatchctl debts --json | jq '.debts[].program'")]
pub(super) struct Debts {
    /// At most so many [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// One JSON object, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: Reach,
}

impl Debts {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self { limit, json, daemon } = self;
        let mut client = daemon.connect()?;
        let limit = limit.unwrap_or(usize::MAX);
        let mut query = DebtsQuery::default();
        let mut all = DebtPage { more: true, ..DebtPage::default() };
        while all.more && all.debts.len() < limit {
            query.limit = Some(limit - all.debts.len());
            let DebtPage { total, more, debts } = client.ask(&Request::Debts(query.clone()))?;
            query.after = debts.last().map(|debt| debt.debt);
            (all.total, all.more) = (total, more && !debts.is_empty());
            all.debts.extend(debts);
        }
        if json {
            return show::json(&all);
        }
        if all.debts.is_empty() {
            return show::print("nothing is to be undone\n");
        }
        show::print(&table(&all.debts).text())?;
        show::tell_more(all.more, all.debts.len(), all.total);
        Ok(())
    }
}

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
