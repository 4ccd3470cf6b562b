//! Which configuration a command is about, and what may stay unsaid in it. Never writes it.

use std::path::{Path, PathBuf};

use clap::Args;

use super::load::{Failure, Loaded, judge, read, style};
use crate::config::{Code, Given, KeyFiles, Severity};
use crate::edge::files::{self, Disk};

/// Which configuration a command is about.
#[derive(Args, Debug)]
pub(super) struct ConfigFile {
    /// The configuration
    #[arg(long = "config", value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub(super) file: PathBuf,
}

/// A configuration that is sound, or would be if anybody might knock.
pub(super) struct Current {
    pub(super) text: String,
    /// Nothing if there are no users.
    pub(super) loaded: Option<Loaded>,
}

impl ConfigFile {
    /// The configuration as it is.
    pub(super) fn current(&self) -> Result<Current, Failure> {
        let text = read(&self.file)?;
        let loaded = self.judge(text.clone(), &Disk)?;
        Ok(Current { text, loaded })
    }

    /// Judges a text as if it stood in the file; nothing comes back if all that it lacks is users.
    pub(super) fn judge(&self, text: String, keys: &dyn KeyFiles) -> Result<Option<Loaded>, Failure> {
        match judge(&self.file, text, &Given::by_machine(false), keys) {
            Ok(loaded) => Ok(Some(loaded)),
            Err(Failure::Unsound(report)) => {
                let mut errors = report.findings().iter().filter(|finding| finding.severity() == Severity::Error);
                match errors.any(|finding| finding.code != Code::NoUsers) {
                    true => Err(Failure::Unsound(report)),
                    false => Ok(None),
                }
            }
            Err(failure) => Err(failure),
        }
    }

    /// A path that counts from the configuration's folder.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }

    /// What to type behind a command that is about this configuration, too.
    pub(super) fn option(&self) -> String {
        match self.file == Path::new(DEFAULT_CONFIG) {
            true => String::new(),
            false => format!(" --config {}", self.file.display()),
        }
    }
}

/// Shows the warnings that a change brought.
pub(super) fn tell_new_warnings(before: Option<&Loaded>, after: Option<&Loaded>) {
    let Some(after) = after else { return };
    let known: Vec<(Code, &str)> = before
        .into_iter()
        .flat_map(|loaded| loaded.report.findings())
        .map(|finding| (finding.code, finding.message.as_str()))
        .collect();
    let new = after.report.retain(|finding| !known.contains(&(finding.code, finding.message.as_str())));
    eprint!("{}", new.render(style()));
}

/// Refuses to write over something.
pub(super) fn must_be_new(path: &Path, what: &str) -> Result<(), Failure> {
    if files::exists(path) {
        return Err(Failure::Failed(anyhow::anyhow!("{} exists already: {what}", path.display())));
    }
    Ok(())
}

/// Where packages put the configuration.
pub(super) const DEFAULT_CONFIG: &str = "/etc/siglatch/siglatch.toml";
