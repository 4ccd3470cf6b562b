//! Which log a command is about, and where its head is. Never reads it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use crate::config;
use crate::ctl::config_file::DEFAULT_CONFIG;
use crate::ctl::load::{Failure, read};
use crate::edge::audit::{Shelf, head_path};

/// The log that a command is about.
#[derive(Args, Debug)]
pub(super) struct Place {
    /// The daemon's configuration, which says where the log is [default: /etc/siglatch/siglatch.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The log itself, whatever the configuration says
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Where a log and its head are.
pub(super) struct Found {
    pub(super) log: PathBuf,
    /// Nothing if nobody says.
    pub(super) head: Option<PathBuf>,
}

impl Place {
    /// Where the log is.
    pub(super) fn find(&self) -> Result<Found, Failure> {
        let (file, text) = match (&self.config, &self.file) {
            (Some(file), _) => (file.as_path(), read(file)?),
            (None, None) => (Path::new(DEFAULT_CONFIG), read(Path::new(DEFAULT_CONFIG)).unwrap_or_default()),
            (None, Some(log)) => return Ok(Found { log: log.clone(), head: None }),
        };
        let (log, state) = config::audit_log(&text, file.parent().unwrap_or(Path::new("")));
        Ok(Found { log: self.file.clone().unwrap_or(log), head: Some(head_path(&state)) })
    }
}

impl Found {
    /// The log's files.
    pub(super) fn open(&self) -> Result<Shelf, Failure> {
        let cure = "name the log with --file, or the configuration with --config; it is root's to read";
        let shelf = Shelf::open(&self.log)
            .with_context(|| format!("cannot read the audit log {}; {cure}", self.log.display()))?;
        for path in &shelf.unread {
            eprintln!("siglatchctl: {} is compressed, and left out", path.display());
        }
        Ok(shelf)
    }
}
