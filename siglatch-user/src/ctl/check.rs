//! `siglatchctl check` and `siglatch-user --check`: says what is wrong with a configuration. Never changes it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::config_file::DEFAULT_CONFIG;
use super::load::{EX_CONFIG, Failure, Loaded, load, style};
use crate::config::Given;

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
        (Ok(Loaded { report, .. }), shape) => {
            match shape {
                Shape::Pictures => eprint!("{}", report.render(style())),
                Shape::Lines => print!("{}", report.lines()),
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
