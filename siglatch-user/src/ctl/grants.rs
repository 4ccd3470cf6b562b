//! `siglatchctl grants`: who is let in, to what, and for how long. Never changes anything.

use clap::Args;

use super::listing::{Listing, page};
use super::load::Failure;
use super::show::{self, Side, Table};
use super::which::Which;
use crate::admin::{GrantEntry, GrantPage, GrantsQuery};

/// Show who is let in, to what, and for how long.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  siglatchctl grants
  siglatchctl grants --user alice
  siglatchctl grants --service tcp/22 --json | jq '.grants[].source'")]
pub(super) struct Grants {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    listing: Listing,
}

impl Grants {
    pub(super) fn run(self) -> Result<(), Failure> {
        let query = GrantsQuery { which: self.which.into(), limit: None, after: None };
        self.listing.show::<GrantPage>(query, "no grants", |grants| table(grants).text())
    }
}

page!(GrantPage, GrantsQuery, GrantEntry, Grants, grants, GrantEntry::spot);

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
