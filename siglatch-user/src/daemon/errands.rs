//! What the daemon is asked to do while it runs, by signals and by knocks: to stop, to read its configuration again, to
//! begin a new file of the audit log. Never judges a knock.

use std::sync::Arc;

use anyhow::{Result, bail};
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinSet;
use tracing::{error, info};

use super::Ended;
use super::report::Tallies;
use super::signals::{Asked, Signals};
use crate::audit::Event;
use crate::audit::event::{By, Reload};
use crate::edge::audit::Recorder;
use crate::edge::clock;
use crate::gate::KnockId;

/// Where the daemon is asked, and what it needs for an answer.
pub(super) struct Errands {
    pub(super) signals: Signals,
    /// What is wrong with the configuration as it stands in its file, if it is.
    pub(super) is_sound: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
    pub(super) recorder: Recorder,
    pub(super) tallies: Arc<Tallies>,
}

impl Errands {
    /// Does what is asked, until it is to end: how, and because of what.
    ///
    /// # Errors
    /// If one of the tasks ends, by which knocks come in.
    pub(super) async fn run(
        mut self,
        tasks: &mut JoinSet<Result<()>>,
        reloads: &mut Receiver<KnockId>,
    ) -> Result<(Ended, &'static str)> {
        loop {
            let (by, knock) = tokio::select! {
                asked = self.signals.next() => match asked {
                    Asked::Stop(name) => {
                        info!(signal = name, "stopping: the filter stays attached, and grants end by themselves");
                        return Ok((Ended::Stopped, name));
                    }
                    Asked::Rotate => {
                        self.recorder.rotate();
                        continue;
                    }
                    Asked::Reload => (By::Signal, None),
                },
                Some(knock) = reloads.recv() => (By::Knock, Some(knock)),
                ended = tasks.join_next() => {
                    let reason = ended.map_or_else(|| "nothing to do".into(), |ended| format!("{ended:?}"));
                    error!(reason, "an ingress has ended");
                    bail!("an ingress has ended: {reason}");
                }
            };
            if self.may_reload(by, knock).await? {
                return Ok((Ended::ForReload, "reload"));
            }
        }
    }

    /// Whether the daemon is to begin anew. A configuration that is not sound changes nothing.
    async fn may_reload(&self, by: By, knock: Option<KnockId>) -> Result<bool> {
        let is_sound = Arc::clone(&self.is_sound);
        let error = tokio::task::spawn_blocking(move || is_sound()).await?.err();
        match &error {
            None => info!("the configuration is sound: beginning anew with it"),
            Some(error) => error!("the configuration is not sound, and the earlier one holds: {error}"),
        }
        let may = error.is_none();
        self.tallies.figures.reloaded(may, clock::now().wall);
        let result = if may { "done" } else { "failed" };
        self.recorder.record(Event::Reload(Reload { by, knock, result, error, users: None, actions: None }));
        Ok(may)
    }
}
