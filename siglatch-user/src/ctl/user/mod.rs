//! `siglatchctl user`: who may knock. One file a command; what they share is here.

mod add;
mod enrol;
mod list;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::load::{Failure, Loaded, judge, read};
use crate::config::{Code, Given, Severity};
use crate::edge::files::{self, Disk};

/// Add, list and enrol the users who may knock.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  siglatchctl user add alice\n  siglatchctl user list")]
pub(super) enum User {
    Add(add::Add),
    List(list::List),
    Enrol(enrol::Enrol),
}

/// Which configuration a command is about.
#[derive(Args, Debug)]
struct ConfigFile {
    /// The configuration
    #[arg(long = "config", value_name = "FILE", default_value = DEFAULT_CONFIG)]
    file: PathBuf,
}

/// A configuration that is sound, or would be if anybody might knock.
struct Current {
    text: String,
    /// Nothing if there are no users.
    loaded: Option<Loaded>,
}

impl User {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(),
            Self::List(list) => list.run(),
            Self::Enrol(enrol) => enrol.run(),
        }
    }
}

impl ConfigFile {
    fn current(&self) -> Result<Current, Failure> {
        let text = read(&self.file)?;
        let loaded = match judge(&self.file, text.clone(), &Given::by_machine(false), &Disk) {
            Ok(loaded) => Some(loaded),
            Err(Failure::Unsound(report)) => {
                let mut errors = report.findings().iter().filter(|finding| finding.severity() == Severity::Error);
                if errors.any(|finding| finding.code != Code::NoUsers) {
                    return Err(Failure::Unsound(report));
                }
                None
            }
            Err(failure) => return Err(failure),
        };
        Ok(Current { text, loaded })
    }

    /// A path that counts from the configuration's folder.
    fn resolve(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }
}

/// Refuses to write over something.
fn must_be_new(path: &Path, what: &str) -> Result<(), Failure> {
    if files::exists(path) {
        return Err(Failure::Failed(anyhow::anyhow!("{} exists already: {what}", path.display())));
    }
    Ok(())
}

/// Where packages put the configuration.
pub(super) const DEFAULT_CONFIG: &str = "/etc/siglatch/siglatch.toml";
