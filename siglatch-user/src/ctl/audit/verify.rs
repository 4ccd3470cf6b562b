//! `siglatchctl audit verify`: says whether the log is as it was written. Never mends it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use super::place::{Found, Place};
use crate::audit::verify::{Finding, Report, Verifier};
use crate::ctl::load::Failure;
use crate::ctl::show;
use crate::edge::audit::read_head;

/// Say whether the log is as it was written: finds edits, gaps, lines in another order, and a cut end.
///
/// Exits with 0 if nothing speaks against it, with 1 if something does.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  siglatchctl audit verify
  siglatchctl audit verify --file /srv/copies/gw1/audit.jsonl --head /srv/copies/gw1/audit.head")]
pub(super) struct Verify {
    /// The head file, which says where the log ends [default: audit.head in the daemon's state folder]
    #[arg(long, value_name = "FILE")]
    head: Option<PathBuf>,
    /// One JSON object, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

impl Verify {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let mut found = self.place.find()?;
        found.head = self.head.or(found.head);
        let (report, files) = verify(&found)?;
        match self.json {
            true => show::print(&format!("{}\n", serde_json::to_string(&report)?))?,
            false => show::print(&text(&report, &found, files))?,
        }
        Ok(if report.sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// What is found in the log's files, and how many these are.
fn verify(found: &Found) -> Result<(Report, usize), Failure> {
    // Before the log, which may be ahead of it, and never behind.
    let head = match &found.head {
        Some(path) => read_head(path).with_context(|| format!("cannot read the head file {}", path.display()))?,
        None => None,
    };
    let shelf = found.open()?;
    let mut verifier = Verifier::new(head);
    for part in &shelf.parts {
        verifier.begin_file(&part.path.display().to_string());
        let mut lines = part.lines()?;
        while let Some((line, is_ended)) = lines.next_line()? {
            verifier.take(line, is_ended, part.is_current);
        }
    }
    Ok((verifier.finish(), shelf.parts.len()))
}

fn text(report: &Report, found: &Found, files: usize) -> String {
    let mut text: String = report.findings.iter().map(line).collect();
    if report.more > 0 {
        text += &format!("error: {} more\n", show::grouped(report.more));
    }
    let span = match (report.first, report.last) {
        (Some(first), Some(last)) => format!(", {} to {}", show::grouped(first), show::grouped(last)),
        (Some(_), None) | (None, Some(_) | None) => String::new(),
    };
    let files = if files == 1 { "1 file".to_owned() } else { format!("{files} files") };
    let verdict = if report.sound { "as it was written" } else { "NOT as it was written" };
    let records = show::grouped(report.records);
    text + &format!("{}: {verdict}: {records} records{span}, in {files}\n", found.log.display())
}

/// `error: FILE:LINE: record 7 was changed`.
fn line(Finding { file, line, is_error, kind }: &Finding) -> String {
    let grade = if *is_error { "error" } else { "note" };
    match (file.as_str(), line) {
        ("", _) => format!("{grade}: {kind}\n"),
        (file, line) => format!("{grade}: {file}:{line}: {kind}\n"),
    }
}
