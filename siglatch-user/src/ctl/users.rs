//! `siglatchctl users`: who may knock, as the daemon has it now. Never shows a key.

use clap::Args;
use siglatch_common::units::Wall;

use super::load::Failure;
use super::reach::Reach;
use super::show::{self, Side, Table};
use crate::admin::protocol::Request;
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
    /// At most so many [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// One JSON object, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: Reach,
}

impl Users {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self { name, limit, json, daemon } = self;
        let mut client = daemon.connect()?;
        let limit = limit.unwrap_or(usize::MAX);
        let mut query = UsersQuery { name, limit: None, after: None };
        let mut all = UserPage { more: true, ..UserPage::default() };
        while all.more && all.users.len() < limit {
            query.limit = Some(limit - all.users.len());
            let UserPage { total, more, users } = client.ask(&Request::Users(query.clone()))?;
            query.after = users.last().map(|user| user.id);
            (all.total, all.more) = (total, more && !users.is_empty());
            all.users.extend(users);
        }
        if json {
            return show::json(&all);
        }
        if all.users.is_empty() {
            return show::print("no such user\n");
        }
        show::print(&table(&all.users, clock::now().wall).text())?;
        show::tell_more(all.more, all.users.len(), all.total);
        Ok(())
    }
}

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
