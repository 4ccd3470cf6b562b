//! `siglatchctl check` and `siglatch-user --check`: says what is wrong with a configuration. Never changes it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::config_file::DEFAULT_CONFIG;
use super::load::{EX_CONFIG, Failure, Loaded, load, style};
use crate::config::Given;
use crate::edge::action::survey;
use crate::policy::{Policy, Program};

/// Say everything that is wrong with the configuration, at once.
///
/// Exits with 0 if the daemon would start, with 78 if it would not.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  siglatchctl check\n  siglatchctl check --lines ./siglatch.toml")]
pub(super) struct Check {
    /// The configuration
    #[arg(default_value = DEFAULT_CONFIG)]
    file: PathBuf,
    /// One line for each finding: FILE:LINE:COLUMN: SEVERITY[CODE]: MESSAGE
    #[arg(long)]
    lines: bool,
}

/// How findings are shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shape {
    /// With the text and a caret under it, on standard error.
    Pictures,
    /// One line each, on standard output.
    Lines,
}

impl Check {
    pub(super) fn run(self) -> ExitCode {
        let shape = if self.lines { Shape::Lines } else { Shape::Pictures };
        check("siglatchctl", &self.file, &Given::by_machine(false), shape)
    }
}

/// Says what is wrong with the configuration, or that nothing is; and what to exit with.
pub fn check(program: &str, file: &Path, given: &Given, shape: Shape) -> ExitCode {
    match (load(file, given), shape) {
        (Ok(Loaded { settings, report }), shape) => {
            match shape {
                Shape::Pictures => eprint!("{}", report.render(style())),
                Shape::Lines => print!("{}", report.lines()),
            }
            for line in unfit_programs(&settings.policy) {
                match shape {
                    Shape::Pictures => eprintln!("{line}\n"),
                    Shape::Lines => println!("{}: {line}", file.display()),
                }
            }
            let but = if report.findings().is_empty() { String::new() } else { format!(", {}", report.summary()) };
            eprintln!("{program}: {} is sound{but}", file.display());
            ExitCode::SUCCESS
        }
        (Err(Failure::Unsound(report)), Shape::Lines) => {
            print!("{}", report.lines());
            ExitCode::from(EX_CONFIG)
        }
        (Err(failure), _) => failure.tell(program),
    }
}

/// A warning for each program that would not be started as this machine is: everything else works.
fn unfit_programs(policy: &Policy) -> Vec<String> {
    let unfit = |program: &Program| {
        let unfit = survey(program).err()?;
        Some(format!("warning[unfit-program]: the program of {} would not be started: {unfit}", program.name))
    };
    policy.programs().iter().filter_map(unfit).collect()
}
