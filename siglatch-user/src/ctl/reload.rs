//! `siglatchctl reload`: has the daemon read its configuration again, and says what has changed. Never reads it itself.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Args;

use super::exit::EX_CONFIG;
use super::load::Failure;
use super::reach::Reach;
use super::show;
use crate::admin::Reloaded;
use crate::admin::protocol::Request;
use crate::admin::reload::{Changed, How};

/// Have the daemon read its configuration again, and go by it from now on: all of it, or nothing.
///
/// Grants, bans, sequences under way and running programs stay. Exits with 0 if the daemon goes by the file now, with 78
/// if the file is not sound: then nothing has changed; with 1 if it goes by the file and says what it could not do.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  siglatchctl reload
  siglatchctl reload --dry-run          only say what would change
  siglatchctl reload --json | jq .changed")]
pub(super) struct Reload {
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
    /// One JSON object, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: Reach,
}

/// How changes are shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Paint {
    Plain,
    Coloured,
}

impl Reload {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let Self { dry_run, json, daemon } = self;
        let request = if dry_run { Request::Check {} } else { Request::Reload {} };
        let reloaded: Reloaded = daemon.connect()?.ask(&request)?;
        let coloured = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
        let paint = if coloured { Paint::Coloured } else { Paint::Plain };
        match json {
            true => show::json(&reloaded)?,
            false => show::print(&text(&reloaded, paint))?,
        }
        Ok(match (reloaded.sound, reloaded.undone.is_empty()) {
            (true, true) => ExitCode::SUCCESS,
            (true, false) => ExitCode::FAILURE,
            (false, _) => ExitCode::from(EX_CONFIG),
        })
    }
}

fn text(reloaded: &Reloaded, paint: Paint) -> String {
    let mut text: String = reloaded.findings.iter().map(|found| found.in_file(&reloaded.file) + "\n").collect();
    let file = &reloaded.file;
    if !reloaded.sound {
        return text + &format!("{file} is not sound, and nothing has changed.\n");
    }
    text += &reloaded.changed.iter().map(|changed| line(changed, paint)).collect::<String>();
    if reloaded.changes > reloaded.changed.len() {
        text += &format!("… {} in all\n", show::grouped(reloaded.changes as u64));
    }
    if !reloaded.at_next_start.is_empty() {
        text += &format!("From the next start of the daemon on: {}\n", reloaded.at_next_start.join(", "));
    }
    for (count, what) in [
        (reloaded.grants, "grants have ended: they are not allowed any more"),
        (reloaded.dropped, "runs or undos of programs that are gone are dropped"),
    ] {
        if count > 0 {
            text += &format!("{} {what}\n", show::grouped(count as u64));
        }
    }
    if !reloaded.undone.is_empty() {
        let undone = reloaded.undone.join("\n  ");
        return text + &format!("{file}: the daemon goes by it now, but\n  {undone}\n");
    }
    text + &match (reloaded.applied, reloaded.changes) {
        (true, 0) => format!("{file}: nothing has changed.\n"),
        (true, _) => format!("{file}: the daemon goes by it now.\n"),
        (false, 0) => format!("{file} is sound; nothing would change.\n"),
        (false, _) => format!("{file} is sound; siglatchctl reload would change this.\n"),
    }
}

/// `+ user carol`.
fn line(Changed { what, name, how, detail }: &Changed, paint: Paint) -> String {
    let (sign, code) = match how {
        How::Added => ('+', "32"),
        How::Removed => ('-', "31"),
        How::Changed | How::Unknown => ('~', "33"),
    };
    let mut line = format!("{sign} {what} {name}").trim_end().to_owned();
    if !detail.is_empty() {
        line += &format!(": {detail}");
    }
    match paint {
        Paint::Plain => line + "\n",
        Paint::Coloured => format!("\x1b[{code}m{line}\x1b[0m\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::reload::Found;

    fn changed(what: &str, name: &str, how: How) -> Changed {
        Changed { what: what.to_owned(), name: name.to_owned(), how, detail: String::new() }
    }

    #[test]
    fn changes_look_like_a_diff() {
        let reloaded = Reloaded {
            file: "a.toml".to_owned(),
            sound: true,
            applied: true,
            changes: 3,
            changed: vec![
                changed("user", "carol", How::Added),
                changed("action", "db", How::Removed),
                changed("limits", "", How::Changed),
            ],
            at_next_start: vec!["state.dir".to_owned()],
            ..Reloaded::default()
        };
        assert_eq!(
            text(&reloaded, Paint::Plain),
            "+ user carol\n- action db\n~ limits\nFrom the next start of the daemon on: state.dir\n\
             a.toml: the daemon goes by it now.\n"
        );
        assert!(text(&reloaded, Paint::Coloured).starts_with("\x1b[32m+ user carol\x1b[0m\n\x1b[31m- action db"));
    }

    #[test]
    fn what_could_not_be_done_is_told_last() {
        let undone = vec!["one thing".to_owned(), "another".to_owned()];
        let reloaded =
            Reloaded { file: "a.toml".to_owned(), sound: true, applied: true, undone, ..Reloaded::default() };
        let told = "a.toml: the daemon goes by it now, but\n  one thing\n  another\n";
        assert_eq!(text(&reloaded, Paint::Plain), told);
    }

    #[test]
    fn a_bad_file_is_told_with_its_findings() {
        let found = Found {
            severity: "error".to_owned(),
            code: "no-users".to_owned(),
            message: "nobody may knock".to_owned(),
            line: Some(3),
            column: Some(1),
            help: Some("add one".to_owned()),
        };
        let reloaded = Reloaded { file: "a.toml".to_owned(), findings: vec![found], ..Reloaded::default() };
        assert_eq!(
            text(&reloaded, Paint::Plain),
            "a.toml:3:1: error[no-users]: nobody may knock; add one\na.toml is not sound, and nothing has changed.\n"
        );
    }
}
