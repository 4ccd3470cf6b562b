//! `siglatchctl revoke`: asks the daemon to end grants. Never touches the firewall itself.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use anyhow::anyhow;
use clap::{ArgGroup, Args};

use super::load::Failure;
use super::reach::Reach;
use super::which::Which;
use super::{grants, show};
use crate::admin::protocol::Request;
use crate::admin::{GrantPage, RevokeOrder, Revoked};

/// End grants at once, and undo what came with them.
///
/// Established connections go on, unless --cut says otherwise: then those of grants that have ended before are cut, too, as far as
/// the daemon knows them: for a week, since it was started. A connection is known by its address: whoever shares it is cut
/// as well. With --all, --cut cuts every connection to a service that is closed unless granted, whatever has let it in: those
/// from before siglatch and your own over the network are among them, those from this host itself are not.
///
/// Whoever may knock can knock again: to keep somebody out, disable the user.
#[derive(Args, Debug)]
#[command(
    group = ArgGroup::new("whose").required(true).multiple(true).args(["source", "user", "action", "service", "all"]),
    after_help = "Examples:
  siglatchctl revoke --user alice
  siglatchctl revoke --source 192.0.2.7 --service tcp/22 --cut
  siglatchctl revoke --all --cut --yes           everybody out, at once"
)]
pub(super) struct Revoke {
    #[command(flatten)]
    which: Which,
    /// Every grant of everybody
    #[arg(long, conflicts_with_all = ["source", "user", "action", "service"])]
    all: bool,
    /// Cut the established connections as well: of these grants, and of those alike that have ended; with --all, everybody's, your
    /// own over the network included
    #[arg(long)]
    cut: bool,
    /// Do not ask before ending all
    #[arg(long)]
    yes: bool,
    /// One JSON object, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: Reach,
}

impl Revoke {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self { which, all, cut, yes, json, daemon } = self;
        let mut client = daemon.connect()?;
        if all && !yes && !confirm("End every grant of everybody?")? {
            return Err(anyhow!("nothing was changed").into());
        }
        let revoked: Revoked = client.ask(&Request::Revoke(RevokeOrder { which: which.into(), all, cut }))?;
        if json {
            return show::json(&revoked);
        }
        show::print(&text(&revoked))
    }
}

/// Asks whoever sits at the terminal; without one, nobody is asked.
fn confirm(question: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Ok(true);
    }
    eprint!("{question} [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn text(revoked: &Revoked) -> String {
    let Revoked { grants: count, first, debts, cut, note } = revoked;
    let mut text = match *count {
        0 => "There was no such grant.\n".to_owned(),
        1 => "1 grant has ended.\n".to_owned(),
        count => format!("{} grants have ended.\n", show::grouped(count as u64)),
    };
    if !first.is_empty() {
        text += &grants::table(first).text();
        if *count > first.len() {
            text += &format!("… the first {} of {}\n", GrantPage::FIRST, show::grouped(*count as u64));
        }
    }
    if *debts > 0 {
        text += &format!("What came of {} of them is undone now.\n", show::grouped(*debts as u64));
    }
    match cut {
        Some(1) => text += "1 connection was cut.\n",
        Some(count) => text += &format!("{} connections were cut.\n", show::grouped(*count as u64)),
        None => {}
    }
    if let Some(note) = note {
        text += &format!("{note}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::GrantEntry;

    #[test]
    fn what_has_ended_is_told() {
        assert_eq!(text(&Revoked::default()), "There was no such grant.\n");
        let grant = GrantEntry {
            source: [192, 0, 2, 7].into(),
            place: "tcp/22".parse().unwrap(),
            user: "alice".to_owned(),
            action: "ssh".to_owned(),
            left: 60,
        };
        let revoked =
            Revoked { grants: 1200, first: vec![grant], debts: 1, cut: Some(2), note: Some("Careful.".to_owned()) };
        assert_eq!(
            text(&revoked),
            "1,200 grants have ended.\n\
             SOURCE     OPEN    USER   ACTION  LEFT\n\
             192.0.2.7  tcp/22  alice  ssh       1m\n\
             … the first 100 of 1,200\n\
             What came of 1 of them is undone now.\n\
             2 connections were cut.\n\
             Careful.\n"
        );
    }
}
