//! `siglatchctl users`: who may knock, as the daemon has it now. Never shows a key.

use clap::Args;
use siglatch_common::units::Wall;

use super::listing::{Listing, page};
use super::load::Failure;
use super::show::{self, Side, Table};
use crate::admin::{UserEntry, UserPage, UsersQuery};
use crate::edge::clock;

/// Show who may knock, as the daemon has it now: uses left, open grants, the last knock that was admitted.
///
/// The last knock is known since the daemon started; the audit log knows of earlier ones.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  siglatchctl users
  siglatchctl users --name alice --json")]
pub(super) struct Users {
    /// Only the one with this name
    #[arg(long, value_name = "USER")]
    name: Option<String>,
    #[command(flatten)]
    listing: Listing,
}

impl Users {
    pub(super) fn run(self) -> Result<(), Failure> {
        let query = UsersQuery { name: self.name, limit: None, after: None };
        self.listing.show::<UserPage>(query, "no such user", |users| table(users, clock::now().wall).text())
    }
}

page!(UserPage, UsersQuery, UserEntry, Users, users, |user: &UserEntry| user.id);

fn table(users: &[UserEntry], now: Wall) -> Table<6> {
    let mut table = Table::new([
        ("ID", Side::Right),
        ("USER", Side::Left),
        ("STATE", Side::Left),
        ("USES LEFT", Side::Right),
        ("GRANTS", Side::Right),
        ("LAST KNOCK", Side::Left),
    ]);
    for user in users {
        let last = user.last.as_ref().map(|last| {
            let ago = show::span(now.as_secs().saturating_sub(last.at));
            format!("{ago} ago, {}, {}", last.action, last.source)
        });
        let state = show::state(user.enabled, user.off_until, now);
        table.push([
            user.id.to_string(),
            user.name.clone(),
            if user.admin { format!("{state}, admin") } else { state },
            show::uses(user.uses, user.uses_left),
            user.grants.to_string(),
            last.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::LastKnock;

    #[test]
    fn users_stand_in_columns() {
        let user = |name: &str, id| UserEntry { name: name.to_owned(), id, enabled: true, ..UserEntry::default() };
        let last = LastKnock { at: 940, source: [192, 0, 2, 7].into(), action: "ssh".to_owned() };
        let users = [
            UserEntry { admin: true, grants: 2, last: Some(last), ..user("alice", 1) },
            UserEntry { enabled: false, off_until: Some(4600), ..user("bob", 2) },
            UserEntry { enabled: false, uses: Some(5), uses_left: Some(3), ..user("carol", 300) },
            UserEntry { uses: Some(5), ..user("dave", 301) },
        ];
        assert_eq!(
            table(&users, Wall::from_secs(1000)).text(),
            " ID  USER   STATE       USES LEFT  GRANTS  LAST KNOCK\n\
             \x20 1  alice  on, admin           -       2  1m ago, ssh, 192.0.2.7\n\
             \x20 2  bob    off for 1h          -       0  -\n\
             300  carol  off            3 of 5       0  -\n\
             301  dave   on             ? of 5       0  -\n"
        );
    }
}
