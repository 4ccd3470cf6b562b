//! `siglatchctl check` and `siglatch-user --check`: says what is wrong with a configuration. Never changes it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::config_file::DEFAULT_CONFIG;
use super::exit::EX_CONFIG;
use super::load::{Failure, Loaded, load, style};
use super::show::print;
use crate::config::{self, Code, Finding, Given, Report};
use crate::edge::action::survey;
use crate::policy::{Policy, Program};

/// Say everything that is wrong with the configuration, at once.
///
/// Exits with 0 if the daemon would start, with 78 if it would not.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  siglatchctl check
  siglatchctl check --lines ./siglatch.toml
  siglatchctl check --json | jq '.findings[].code'

siglatchctl explain CODE says what a finding means. Exit codes: 0 sound, 1 cannot be read, 78 not sound.")]
pub(super) struct Check {
    /// The configuration [default: /etc/siglatch/siglatch.toml]
    file: Option<PathBuf>,
    /// One line for each finding: FILE:LINE:COLUMN: SEVERITY[CODE]: MESSAGE
    #[arg(long)]
    lines: bool,
    /// One JSON object, for programs
    #[arg(long, conflicts_with = "lines")]
    json: bool,
}

/// How findings are shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shape {
    /// With the text and a caret under it, on standard error.
    Pictures,
    /// One line each, on standard output.
    Lines,
    /// One JSON object, on standard output.
    Json,
}

impl Check {
    /// Has it be about this file, if none is named.
    pub(super) fn by_default(&mut self, file: &Path) {
        self.file.get_or_insert_with(|| file.to_owned());
    }

    pub(super) fn run(self) -> ExitCode {
        let shape = match (self.lines, self.json) {
            (true, _) => Shape::Lines,
            (false, true) => Shape::Json,
            (false, false) => Shape::Pictures,
        };
        let file = self.file.as_deref().unwrap_or(Path::new(DEFAULT_CONFIG));
        check("siglatchctl", file, &Given::by_machine(false), shape)
    }
}

/// Says what is wrong with the configuration, or that nothing is; and what to exit with.
pub fn check(program: &str, file: &Path, given: &Given, shape: Shape) -> ExitCode {
    let (report, is_sound) = match load(file, given) {
        Ok(Loaded { settings, report }) => {
            let unfit = unfit_programs(&settings.policy, report.text());
            (report.with(unfit), true)
        }
        Err(Failure::Unsound(report)) => (report, false),
        Err(failure) => {
            if shape == Shape::Json {
                let file = file.display().to_string();
                let answer = json!({ "version": 1, "file": file, "sound": false, "error": failure.to_string() });
                let _ = print(&format!("{answer}\n"));
            }
            return failure.tell(program);
        }
    };
    let shown = match shape {
        Shape::Pictures => {
            eprint!("{}", report.render(style()));
            Ok(())
        }
        Shape::Lines => print(&report.lines()),
        Shape::Json => print(&format!("{}\n", report.json())),
    };
    if let Err(failure) = shown {
        return failure.tell(program);
    }
    let hint = if shape == Shape::Pictures { hint(&report) } else { String::new() };
    match (is_sound, report.findings().is_empty()) {
        (true, true) => eprintln!("{program}: {} is sound", file.display()),
        (true, false) => eprintln!("{program}: {} is sound, {}{hint}", file.display(), report.summary()),
        // Lines and JSON say it all.
        (false, _) if shape != Shape::Pictures => {}
        (false, _) => eprintln!("{program}: {}{hint}", report.summary()),
    }
    if is_sound { ExitCode::SUCCESS } else { ExitCode::from(EX_CONFIG) }
}

/// Where more is said about what was found.
fn hint(report: &Report) -> String {
    let first = report.findings().first();
    first.map_or_else(String::new, |first| format!("; siglatchctl explain {} says more", first.code.label()))
}

/// A warning for each program that would not be started as this machine is: everything else works.
fn unfit_programs(policy: &Policy, text: &str) -> Vec<Finding> {
    let unfit = |program: &Program| {
        let unfit = survey(program).err()?.to_string();
        let (why, cure) = unfit.rsplit_once(": ").unwrap_or((&unfit, "see docs/programs.md"));
        Some(Finding {
            code: Code::UnfitProgram,
            span: config::place_of_action(text, &program.name),
            message: format!("the program of {} would not be started: {why}", program.name),
            help: cure.to_owned(),
            note: None,
        })
    };
    policy.programs().iter().filter_map(unfit).collect()
}
