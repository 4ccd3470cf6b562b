//! `siglatchctl watch`: what happens, as it happens, from the socket where the daemon only tells. Never asks anything.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;

use super::audit::Rows;
use super::config_file::DEFAULT_CONFIG;
use super::load::{Failure, read};
use super::show;
use crate::audit::Record;
use crate::config;
use crate::edge::admin::{Heard, Observer};

/// Show what happens, as it happens: knocks, grants, bans, programs, reloads, until Ctrl-C.
///
/// Needs `observer_socket` under [admin]. What happens faster than it is read is counted, and told as missed.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  siglatchctl watch
  siglatchctl watch --json | jq 'select(.event == \"ban\")'
  siglatchctl watch --event knock --event grant")]
pub(super) struct Watch {
    /// Only this event; may be repeated: knock, grant, revoke, exec_ended, ban, reload, admin, …
    #[arg(long = "event", value_name = "EVENT")]
    events: Vec<String>,
    /// The events as they come, one JSON object a line
    #[arg(long)]
    json: bool,
    /// The daemon's configuration, which says where its sockets are [default: /etc/siglatch/siglatch.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The socket for observers, whatever the configuration says
    #[arg(long, value_name = "PATH")]
    observer_socket: Option<PathBuf>,
}

impl Watch {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut observer = Observer::connect(&self.path()?)?;
        let mut rows = Rows::new();
        loop {
            let line = match observer.hear()? {
                Heard::Line(line) => line,
                Heard::End => return Err(anyhow!("the daemon has ended, or has hung up").into()),
            };
            let Some(record) = Record::parse(&line) else { continue };
            if !self.is_meant(&record) {
                continue;
            }
            let text = match self.json {
                true => format!("{}\n", String::from_utf8_lossy(&line)),
                false => rows.push(&record).unwrap_or_default() + &rows.take(),
            };
            if !show::print_to_reader(&text)? {
                return Ok(());
            }
        }
    }

    /// What was missed is always told.
    fn is_meant(&self, record: &Record) -> bool {
        let event = record.text("event").unwrap_or_default();
        self.events.is_empty() || event == "missed" || self.events.iter().any(|meant| meant == event)
    }

    fn path(&self) -> Result<PathBuf, Failure> {
        if let Some(socket) = &self.observer_socket {
            return Ok(socket.clone());
        }
        let file = self.config.as_deref().unwrap_or(Path::new(DEFAULT_CONFIG));
        let socket = config::observer_socket(&read(file)?, file.parent().unwrap_or(Path::new("")));
        socket.ok_or_else(|| {
            let cure = "write observer_socket = \"/run/siglatch/observe.sock\" there, and start the daemon again";
            anyhow!("{} names no observer_socket under [admin]: {cure}", file.display()).into()
        })
    }
}
