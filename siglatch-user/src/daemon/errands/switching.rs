//! Switches users, actions, ports and sequences off and on while the daemon runs. Never decides who may ask for it.

use siglatch_common::units::Wall;
use tracing::{error, info, warn};

use super::Errands;
use crate::admin::protocol::{Code, Problem};
use crate::admin::{DisableOrder, GrantFilter, RevokeOrder, SwitchKind, SwitchTarget, Switched};
use crate::audit::Event;
use crate::causes::with_causes;
use crate::daemon::cut::{self, joined};
use crate::edge::audit::Recorder;
use crate::edge::clock;
use crate::gate::Cut;
use crate::switches::Full;

impl Errands {
    /// Switches something on.
    pub(super) async fn enable(&mut self, target: &SwitchTarget) -> Result<Switched, Problem> {
        let mut switches = self.configuration.switches().clone();
        if !switches.turn_on(target) {
            self.must_be_there(target)?;
            return Ok(Switched { note: self.note_on(target), ..switched(target, true, false) });
        }
        let unkept = self.configuration.switch(switches).await.map_err(super::failed)?;
        info!(kind = target.kind.label(), name = target.name, "switched on by the operator");
        Ok(Switched { note: joined(self.note_on(target), unkept.map(note_unkept)), ..switched(target, true, true) })
    }

    /// Switches something off.
    pub(super) async fn disable(&mut self, order: &DisableOrder) -> Result<Switched, Problem> {
        let DisableOrder { target, seconds, until: _, end_grants, cut } = order;
        self.must_be_there(target)?;
        let until = self.until(order)?;
        let grants = (*end_grants || *cut).then(|| grants_of(target)).transpose()?;
        let mut switches = self.configuration.switches().clone();
        let changed = switches.turn_off(target.clone(), until).map_err(|Full| {
            Problem::new(Code::Full, Full.to_string()).with_help("siglatchctl enable what is on again in the file")
        })?;
        let mut unkept = None;
        if changed {
            unkept = self.configuration.switch(switches).await.map_err(super::failed)?;
            let seconds = seconds.map_or_else(String::new, |seconds| seconds.to_string());
            info!(kind = target.kind.label(), name = target.name, seconds, "switched off by the operator");
        }
        let mut done = Switched { until: until.map(Wall::as_secs), ..switched(target, false, changed) };
        done.note = joined(self.note_off(target), unkept.map(note_unkept));
        if let Some(which) = grants {
            self.end_grants(which, *cut, &mut done).await;
        }
        Ok(done)
    }

    /// Switches on what was off until now.
    pub(super) async fn expire(&mut self, now: Wall, recorder: &Recorder) {
        match self.configuration.expire(now).await {
            Ok(on) => {
                for SwitchTarget { kind, name } in on {
                    info!(kind = kind.label(), name, "on again: it was off until now");
                    recorder.record(Event::SwitchedOn { kind: kind.label(), name });
                }
            }
            Err(error) => error!("what was off until now stays off: {error}"),
        }
    }

    /// Until when it is to be off.
    fn until(&self, order: &DisableOrder) -> Result<Option<Wall>, Problem> {
        let now = clock::now().wall;
        match (order.seconds, order.until) {
            (Some(_), Some(_)) => {
                Err(Problem::new(Code::Malformed, "a span and a moment at once").with_help("say one of both"))
            }
            (Some(seconds), None) => Ok(Some(Wall::from_secs(now.as_secs().saturating_add(seconds.get())))),
            (None, Some(until)) if until <= now.as_secs() => {
                Err(Problem::new(Code::Malformed, "that moment is over").with_help("name one that is to come"))
            }
            (None, until) => Ok(until.map(Wall::from_secs)),
        }
    }

    /// Ends grants of what is off by now, and says what has come of it.
    async fn end_grants(&self, which: GrantFilter, cut: bool, done: &mut Switched) {
        let order = RevokeOrder { which, all: false, cut };
        let (revoked, connections) = match self.configuration.levers().revoke(order).await {
            Ok(Ok(revoked)) => revoked,
            Ok(Err(problem)) => return done.note = joined(done.note.take(), Some(note_standing(&problem.message))),
            Err(error) => {
                return done.note = joined(done.note.take(), Some(note_standing(&with_causes(error.as_ref()))));
            }
        };
        done.grants = revoked.grants;
        done.note = joined(done.note.take(), revoked.note);
        if let Some(connections) = connections {
            let cut::Done { cut, note } = cut_connections(connections).await;
            (done.cut, done.note) = (cut, joined(done.note.take(), note));
        }
    }

    fn must_be_there(&self, target: &SwitchTarget) -> Result<(), Problem> {
        if self.configuration.has(target) {
            return Ok(());
        }
        let help = match target.kind {
            SwitchKind::Port => "ports are named by their number, such as 62201",
            SwitchKind::User => "siglatchctl users lists them",
            SwitchKind::Action => "siglatchctl actions lists them",
            SwitchKind::Sequence => "siglatchctl sequences lists them",
        };
        let help = format!("none in {}; {help}", self.configuration.file().display());
        Err(Problem::no_such(target.kind.label(), &target.name).with_help(help))
    }

    fn note_on(&self, target: &SwitchTarget) -> Option<String> {
        let policy = &self.configuration.in_force().policy;
        let is_disabled =
            target.kind == SwitchKind::User && policy.user_named(&target.name).is_some_and(|user| !user.enabled);
        is_disabled.then(|| "The configuration says `enabled = false`: change it there, and reload.".to_owned())
    }

    fn note_off(&self, target: &SwitchTarget) -> Option<String> {
        let is_last = target.kind == SwitchKind::Port && self.configuration.in_force().ports.is_empty();
        if is_last {
            warn!("no knock port is left: nobody can knock");
        }
        is_last.then(|| "No knock port is left: nobody can knock.".to_owned())
    }
}

/// Which grants end with it.
fn grants_of(target: &SwitchTarget) -> Result<GrantFilter, Problem> {
    let name = Some(target.name.clone());
    match target.kind {
        SwitchKind::User => Ok(GrantFilter { user: name, ..GrantFilter::default() }),
        SwitchKind::Action => Ok(GrantFilter { action: name, ..GrantFilter::default() }),
        SwitchKind::Port | SwitchKind::Sequence => {
            let message = format!("a {} has no grants", target.kind.label());
            Err(Problem::new(Code::Malformed, message)
                .with_help("nothing has changed; disable it without that, and end grants with siglatchctl revoke"))
        }
    }
}

fn note_unkept(error: String) -> String {
    format!("It holds, and is forgotten if the daemon ends before it can be kept: {error}.")
}

fn note_standing(error: &str) -> String {
    format!("Its grants could not be ended: {error}.")
}

fn switched(target: &SwitchTarget, enabled: bool, changed: bool) -> Switched {
    Switched { target: target.clone(), enabled, until: None, changed, grants: 0, cut: None, note: None }
}

/// On a thread of its own.
async fn cut_connections(connections: Cut) -> cut::Done {
    tokio::task::spawn_blocking(move || cut::carry_out(&connections)).await.unwrap_or_default()
}
