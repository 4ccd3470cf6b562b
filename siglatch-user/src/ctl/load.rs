//! Reads the configuration from the disk, for every command and for the daemon. Never changes it.

use std::fmt;
use std::io::IsTerminal as _;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::thread::available_parallelism;

use thiserror::Error;

use super::exit::{EX_CONFIG, code_of};
use crate::causes::with_causes;
use crate::config::{self, Given, KeyFiles, Report, Settings, Sound, Style};
use crate::edge::files::{self, Disk, FileError};
use crate::edge::{addresses, clock};

/// A configuration that the daemon can start with.
#[derive(Debug)]
pub struct Loaded {
    /// What it says.
    pub settings: Settings,
    /// The warnings, ready to be shown.
    pub report: Report,
}

/// There is no configuration where it should be.
#[derive(Debug, Error)]
#[error("{0}; siglatchctl init writes one, or name yours")]
pub(super) struct NoConfiguration(FileError);

/// Why a command was not done.
#[derive(Debug)]
pub enum Failure {
    /// The configuration has errors.
    Unsound(Report),
    /// Anything else.
    Failed(anyhow::Error),
}

/// Reads the configuration and the keys that it names.
///
/// # Errors
/// [`Failure::Unsound`] with every finding; [`Failure::Failed`] if there is no such file.
pub fn load(file: &Path, given: &Given) -> Result<Loaded, Failure> {
    load_with(file, given, &Disk)
}

/// The same, with keys that somebody else reads.
///
/// # Errors
/// As [`load`].
pub fn load_with(file: &Path, given: &Given, keys: &dyn KeyFiles) -> Result<Loaded, Failure> {
    judge(file, read(file)?, given, keys)
}

/// The text of the configuration.
pub(super) fn read(file: &Path) -> Result<String, Failure> {
    files::read_text(file).map_err(|error: FileError| match error.is_missing() {
        true => Failure::Failed(NoConfiguration(error).into()),
        false => Failure::Failed(error.into()),
    })
}

/// Judges a text as if it stood in that file.
pub(super) fn judge(file: &Path, text: String, given: &Given, keys: &dyn KeyFiles) -> Result<Loaded, Failure> {
    let report = |findings| Report::new(file.display().to_string(), text.as_str(), findings);
    match config::read(&text, file, given, keys) {
        Ok(Sound { settings, warnings }) => Ok(Loaded { settings, report: report(warnings) }),
        Err(findings) => Err(Failure::Unsound(report(findings))),
    }
}

impl Given {
    /// What this machine gives; `interfaces` says whether the command line names some.
    #[must_use]
    pub fn by_machine(interfaces: bool) -> Self {
        Self {
            cores: available_parallelism().unwrap_or(NonZeroUsize::MIN),
            interfaces,
            addresses: addresses::of_this_machine(),
            now: Some(clock::now().wall),
        }
    }
}

impl Loaded {
    /// Shows the warnings, if there are any, on standard error.
    pub fn tell_warnings(&self) {
        eprint!("{}", self.report.render(style()));
    }
}

impl Failure {
    /// Tells the operator on standard error, and says what to exit with.
    #[must_use]
    pub fn tell(&self, program: &str) -> ExitCode {
        match self {
            Self::Unsound(report) => {
                eprint!("{}", report.render(style()));
                eprintln!("{program}: {}", report.summary());
                ExitCode::from(EX_CONFIG)
            }
            Self::Failed(error) => {
                eprintln!("{program}: {}", with_causes(error.as_ref()));
                ExitCode::from(code_of(error.as_ref()))
            }
        }
    }
}

impl fmt::Display for Failure {
    /// For a log: one finding or cause after the other, without pictures.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsound(report) => f.write_str(report.lines().trim_end()),
            Self::Failed(error) => f.write_str(&with_causes(error.as_ref())),
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// How reports look on standard error.
pub(super) fn style() -> Style {
    if is_coloured() { Style::Coloured } else { Style::Plain }
}

/// Whether standard error is a terminal, and nobody objects to colours (<https://no-color.org>).
#[must_use]
pub fn is_coloured() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty())
}
