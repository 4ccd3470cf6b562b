//! Which daemon a command speaks to, and the way there. Never says anything to it.

use std::path::{Path, PathBuf};

use clap::Args;

use super::config_file::DEFAULT_CONFIG;
use super::load::{Failure, read};
use crate::config;
use crate::edge::admin::{AdminClient, AskError};

/// The daemon that a command speaks to.
#[derive(Args, Debug)]
pub(super) struct Reach {
    /// The daemon's configuration, which says where its socket is [default: /etc/siglatch/siglatch.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The daemon's socket, whatever the configuration says
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

impl Reach {
    /// The daemon with that configuration, or that socket.
    pub(super) const fn to(config: Option<PathBuf>, socket: Option<PathBuf>) -> Self {
        Self { config, socket }
    }

    /// Connects to the daemon.
    pub(super) fn connect(&self) -> Result<AdminClient, Failure> {
        Ok(self.client(&self.path()?)?)
    }

    /// Connects to the daemon whose socket is there.
    pub(super) fn client(&self, socket: &Path) -> Result<AdminClient, AskError> {
        AdminClient::connect(socket)
    }

    /// Where the daemon's socket is.
    ///
    /// Without a configuration that may be read, where it is by default: members of the socket's group need not be able
    /// to read the configuration.
    pub(super) fn path(&self) -> Result<PathBuf, Failure> {
        if let Some(socket) = &self.socket {
            return Ok(socket.clone());
        }
        let (file, text) = match &self.config {
            Some(file) => (file.as_path(), read(file)?),
            None => (Path::new(DEFAULT_CONFIG), read(Path::new(DEFAULT_CONFIG)).unwrap_or_default()),
        };
        Ok(config::admin_socket(&text, file.parent().unwrap_or(Path::new(""))))
    }
}
