//! `siglatchctl grants`: who is let in, to what, and for how long. Never changes anything.

use clap::Args;

use super::load::Failure;
use super::reach::Reach;
use super::show::{self, Side, Table};
use super::which::Which;
use crate::admin::protocol::Request;
use crate::admin::{GrantEntry, GrantPage, GrantsQuery};
use crate::edge::admin::AdminClient;

/// Show who is let in, to what, and for how long.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  siglatchctl grants
  siglatchctl grants --user alice
  siglatchctl grants --service tcp/22 --json | jq '.grants[].source'")]
pub(super) struct Grants {
    #[command(flatten)]
    which: Which,
    /// At most so many [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// One JSON object, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: Reach,
}

impl Grants {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self { which, limit, json, daemon } = self;
        let query = GrantsQuery { which: which.into(), limit: None, after: None };
        let page = list(&mut daemon.connect()?, query, limit.unwrap_or(usize::MAX))?;
        if json {
            return show::json(&page);
        }
        if page.grants.is_empty() {
            return show::print("no grants\n");
        }
        show::print(&table(&page.grants).text())?;
        show::tell_more(page.more, page.grants.len(), page.total);
        Ok(())
    }
}

/// As many as are wanted, page by page.
fn list(daemon: &mut AdminClient, mut query: GrantsQuery, limit: usize) -> Result<GrantPage, Failure> {
    let mut all = GrantPage { more: true, ..GrantPage::default() };
    while all.more && all.grants.len() < limit {
        query.limit = Some(limit - all.grants.len());
        let GrantPage { total, more, grants } = daemon.ask(&Request::Grants(query.clone()))?;
        query.after = grants.last().map(GrantEntry::spot);
        (all.total, all.more) = (total, more && !grants.is_empty());
        all.grants.extend(grants);
    }
    Ok(all)
}

/// Grants, as a table.
pub(super) fn table(grants: &[GrantEntry]) -> Table<5> {
    let mut table = Table::new([
        ("SOURCE", Side::Left),
        ("OPEN", Side::Left),
        ("USER", Side::Left),
        ("ACTION", Side::Left),
        ("LEFT", Side::Right),
    ]);
    for GrantEntry { source, place, user, action, left } in grants {
        table.push([source.to_string(), place.to_string(), user.clone(), action.clone(), show::span(*left)]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_stand_in_columns() {
        let grant = |source: &str, place: &str, left| GrantEntry {
            source: source.parse().unwrap(),
            place: place.parse().unwrap(),
            user: "alice".to_owned(),
            action: "ssh".to_owned(),
            left,
        };
        let grants = [grant("192.0.2.7", "tcp/22", 598), grant("2001:db8::7", "tcp/5432@2001:db8:1::5", 7200)];
        assert_eq!(
            table(&grants).text(),
            "SOURCE       OPEN                    USER   ACTION   LEFT\n\
             192.0.2.7    tcp/22                  alice  ssh     9m58s\n\
             2001:db8::7  tcp/5432@2001:db8:1::5  alice  ssh        2h\n"
        );
    }
}
