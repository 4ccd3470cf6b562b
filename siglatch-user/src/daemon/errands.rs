//! What the daemon is asked to do while it runs, by signals, knocks, operators and the file itself: to stop, to read its
//! configuration again, to switch something off, to begin a new file of the audit log. Never judges a knock.

mod switching;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

use super::configuration::Configuration;
use super::desk;
use super::signals::{Asked, Signals};
use super::works::Works;
use crate::admin::Reloaded;
use crate::admin::protocol::{Code, Problem, Reply, Request};
use crate::audit::Event;
use crate::audit::event::{By, Reload};
use crate::edge::notify::Notifier;
use crate::edge::watched_file::WatchedFile;
use crate::edge::{admin, clock};
use crate::gate::KnockId;

/// Where the daemon is asked, and what it needs for an answer.
pub(super) struct Errands {
    pub(super) signals: Signals,
    pub(super) configuration: Configuration,
    pub(super) notifier: Arc<Notifier>,
    /// The file, if the daemon is to follow it by itself.
    pub(super) file: WatchedFile,
}

impl Errands {
    /// Does what is asked, until the daemon is to end: because of what.
    ///
    /// # Errors
    /// If one of the tasks ends, by which knocks come in.
    pub(super) async fn run(mut self, works: &mut Works) -> Result<&'static str> {
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                asked = self.signals.next() => match asked {
                    Asked::Stop(name) => {
                        info!(signal = name, "stopping: the filter stays attached, and grants end by themselves");
                        return Ok(name);
                    }
                    Asked::Rotate => works.recorder.rotate(),
                    Asked::Reload => drop(self.reload(works, By::Signal, None).await),
                },
                Some(knock) = works.reloads.recv() => drop(self.reload(works, By::Knock, Some(knock)).await),
                Some(asked) = works.asked.recv() => self.answer(asked, works).await,
                _ = beat.tick() => self.keep_time(works).await,
                ended = works.tasks.join_next() => {
                    let reason = ended.map_or_else(|| "nothing to do".into(), |ended| format!("{ended:?}"));
                    error!(reason, "an ingress has ended");
                    bail!("an ingress has ended: {reason}");
                }
            }
        }
    }

    /// Answers one request.
    async fn answer(&mut self, asked: admin::Asked, works: &mut Works) {
        let answer = match &asked.request {
            Request::Reload {} => self.reload(works, By::Operator, None).await.map(reloaded).map_err(failed),
            Request::Check {} => self.configuration.check().await.map(reloaded).map_err(failed),
            Request::Enable(target) => self.enable(target).await.map(Reply::Switched),
            Request::Disable(order) => self.disable(order).await.map(Reply::Switched),
            _ => Err(desk::astray(&asked)),
        };
        desk::answer(asked, answer, &works.recorder);
    }

    /// Does what is due: follows the file, if it is to, and switches on what was off until now.
    async fn keep_time(&mut self, works: &mut Works) {
        let now = clock::now().wall;
        if self.configuration.switches().next_expiry().is_some_and(|due| due <= now) {
            self.expire(now, &works.recorder).await;
        }
        self.configuration.keep_again();
        // Looked at in any case: what it was like is not news later.
        if self.file.has_changed() && self.configuration.in_force().watch_file {
            let _ = self.reload(works, By::Daemon, None).await;
        }
    }

    /// Reads the configuration again. One that is not sound changes nothing.
    async fn reload(&mut self, works: &mut Works, by: By, knock: Option<KnockId>) -> Result<Reloaded, String> {
        self.notifier.reloading();
        let outcome = self.configuration.reload().await;
        if let Ok(reloaded) = &outcome {
            tell_findings(reloaded);
        }
        let error = match &outcome {
            Ok(reloaded) if reloaded.applied => None,
            Ok(reloaded) => Some(in_words(reloaded)),
            Err(error) => Some(error.clone()),
        };
        match (&outcome, &error) {
            (Ok(reloaded), None) => {
                let Reloaded { changes, millis, at_next_start, .. } = reloaded;
                info!(changes, millis, "the configuration was read again, and holds");
                if !at_next_start.is_empty() {
                    warn!(keys = at_next_start.join(", "), "these hold from the next start");
                }
            }
            (_, error) => {
                let error = error.as_deref().unwrap_or_default();
                error!("the configuration was read again, and the earlier one holds: {error}");
            }
        }
        works.tallies.figures.reloaded(error.is_none(), clock::now().wall);
        let policy = &self.configuration.in_force().policy;
        let count = |count: usize| error.is_none().then_some(count);
        let (users, actions) = (count(policy.users().count()), count(policy.actions().count()));
        let undone = outcome.as_ref().ok().filter(|reloaded| reloaded.applied && !reloaded.undone.is_empty());
        let (result, error) = match (error, undone) {
            (None, None) => ("done", None),
            (None, Some(reloaded)) => ("partly", Some(reloaded.undone.join("; "))),
            (Some(error), _) => ("failed", Some(error)),
        };
        works.recorder.record(Event::Reload(Reload { by, knock, result, error, users, actions }));
        self.notifier.ready(&works.line.of(self.configuration.in_force()));
        outcome
    }
}

/// Tells the log what is wrong or dubious, whoever has asked for the reload.
fn tell_findings(reloaded: &Reloaded) {
    for finding in reloaded.findings.iter().take(TOLD) {
        let line = finding.in_file(&reloaded.file);
        match finding.is_error() {
            true => error!("{line}"),
            false => warn!("{line}"),
        }
    }
    if reloaded.findings.len() > TOLD {
        warn!("there are more findings: siglatchctl check tells them all");
    }
}

/// Why a file is not sound: the first reason, and whether there are more.
fn in_words(reloaded: &Reloaded) -> String {
    let first = reloaded.findings.iter().find(|finding| finding.is_error());
    let first = first.map(|finding| finding.in_file(&reloaded.file)).unwrap_or_default();
    match reloaded.errors() {
        0 | 1 => first,
        _ => format!("{first} (and more: siglatchctl check)"),
    }
}

fn reloaded(reloaded: Reloaded) -> Reply {
    Reply::Reloaded(Box::new(reloaded))
}

fn failed(error: String) -> Problem {
    Problem::new(Code::Failed, error).with_help("nothing has changed; the daemon's log may say more")
}

/// Findings that the log has.
const TOLD: usize = 50;

/// How often it is looked for what is due.
const BEAT: Duration = Duration::from_secs(1);
