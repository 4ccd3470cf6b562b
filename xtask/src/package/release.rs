//! What a release is called, and when it was made. Never reads a clock.

use std::env;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::programs::answer;
use crate::workspace_root;

/// A release.
#[derive(Clone, Debug)]
pub struct Release {
    /// As in `Cargo.toml`, with a suffix, if one was asked for.
    pub version: String,
    /// Seconds since 1970: the time of everything that is packed.
    pub epoch: u64,
}

impl Release {
    /// What this checkout releases: the workspace's version, and the time of its last commit, unless `SOURCE_DATE_EPOCH`
    /// says another.
    ///
    /// # Errors
    /// If there is neither that variable nor git.
    pub fn of_this_checkout(suffix: &str) -> Result<Self> {
        let epoch = match env::var("SOURCE_DATE_EPOCH") {
            Ok(given) => given,
            Err(_) => answer(Command::new("git").current_dir(workspace_root()).args(["log", "-1", "--format=%ct"]))
                .context("without git, SOURCE_DATE_EPOCH has to say the time of what is packed")?,
        };
        let epoch = epoch.trim().parse().with_context(|| format!("no number of seconds: {epoch:?}"))?;
        Ok(Self { version: format!("{}{suffix}", env!("CARGO_PKG_VERSION")), epoch })
    }

    /// As dpkg compares them: a preview comes before what it is one of.
    #[must_use]
    pub fn debian(&self) -> String {
        format!("{}-1", self.version.replacen('-', "~", 1))
    }

    /// Its time as changelogs of Debian want it.
    pub(super) fn date(&self) -> Result<String> {
        answer(Command::new("date").env("LC_ALL", "C").args(["-u", "-R", "-d", &format!("@{}", self.epoch)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn previews_come_before_the_release_and_suffixes_behind_it() {
        let debian = |version: &str| Release { version: version.to_owned(), epoch: 0 }.debian();
        assert_eq!(debian("0.2.0"), "0.2.0-1");
        assert_eq!(debian("0.2.0-rc.1"), "0.2.0~rc.1-1");
        assert_eq!(debian("0.2.0+next"), "0.2.0+next-1");
    }

    #[test]
    fn dates_are_as_changelogs_want_them() {
        let release = Release { version: String::new(), epoch: 86_400 };
        assert_eq!(release.date().unwrap(), "Fri, 02 Jan 1970 00:00:00 +0000");
    }
}
