//! `siglatchctl actions`: what can be knocked for, as the daemon has it now. Never changes anything.

use clap::Args;
use siglatch_common::units::Wall;

use super::load::Failure;
use super::reach::Reach;
use super::show::{self, Side, Table};
use crate::admin::protocol::Request;
use crate::admin::{ActionEntry, ActionList};
use crate::edge::clock;

/// Show what can be knocked for, as the daemon has it now.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  siglatchctl actions\n  siglatchctl actions --json | jq '.actions[].name'")]
pub(super) struct Actions {
    /// One JSON object, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: Reach,
}

impl Actions {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self { json, daemon } = self;
        let list: ActionList = daemon.connect()?.ask(&Request::Actions {})?;
        if json {
            return show::json(&list);
        }
        if list.actions.is_empty() {
            return show::print("no actions\n");
        }
        show::print(&table(&list.actions, clock::now().wall).text())
    }
}

fn table(actions: &[ActionEntry], now: Wall) -> Table<8> {
    let mut table = Table::new([
        ("ID", Side::Right),
        ("ACTION", Side::Left),
        ("KIND", Side::Left),
        ("STATE", Side::Left),
        ("USERS", Side::Right),
        ("USES LEFT", Side::Right),
        ("GRANTS", Side::Right),
        ("OPENS", Side::Left),
    ]);
    for action in actions {
        let state = show::state(action.enabled, action.off_until, now);
        let mut opens = action.opens.join(" ");
        if action.opens.len() >= ActionEntry::OPENS {
            opens += " …";
        }
        if let Some(sequence) = &action.sequence {
            opens = format!("{opens} (step of {sequence})").trim_start().to_owned();
        }
        table.push([
            action.id.to_string(),
            action.name.clone(),
            action.kind.clone(),
            if action.dry_run { format!("{state}, dry run") } else { state },
            show::grouped(action.users as u64),
            show::uses(action.uses, action.uses_left),
            action.grants.to_string(),
            opens,
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_stand_in_columns() {
        let action = |name: &str, id, kind: &str| ActionEntry {
            name: name.to_owned(),
            id,
            kind: kind.to_owned(),
            enabled: true,
            users: 3,
            ..ActionEntry::default()
        };
        let actions = [
            ActionEntry {
                opens: vec!["tcp/22".to_owned(), "udp/60001".to_owned()],
                grants: 1,
                ..action("ssh", 1, "grant")
            },
            ActionEntry { sequence: Some("vault".to_owned()), ..action("knee", 7, "step") },
            ActionEntry { enabled: false, dry_run: true, ..action("wake", 12, "exec") },
        ];
        assert_eq!(
            table(&actions, Wall::from_secs(0)).text(),
            "ID  ACTION  KIND   STATE         USERS  USES LEFT  GRANTS  OPENS\n\
             \x201  ssh     grant  on                3          -       1  tcp/22 udp/60001\n\
             \x207  knee    step   on                3          -       0  (step of vault)\n\
             12  wake    exec   off, dry run      3          -       0\n"
        );
    }
}
