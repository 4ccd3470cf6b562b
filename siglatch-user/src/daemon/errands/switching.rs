//! Switches users, actions, ports and sequences off and on while the daemon runs. Never decides who may ask for it.

use siglatch_common::units::Wall;
use tracing::{error, info, warn};

use super::Errands;
use crate::admin::protocol::{Code, Problem};
use crate::admin::{DisableOrder, GrantFilter, RevokeOrder, Revoked, SwitchKind, SwitchTarget, Switched};
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
        self.configuration.switch(switches).await.map_err(super::failed)?;
        info!(kind = target.kind.label(), name = target.name, "switched on by the operator");
        Ok(Switched { note: self.note_on(target), ..switched(target, true, true) })
    }

    /// Switches something off.
    pub(super) async fn disable(&mut self, order: &DisableOrder) -> Result<Switched, Problem> {
        let DisableOrder { target, seconds, until: _, end_grants, cut } = order;
        self.must_be_there(target)?;
        let until = self.until(order)?;
        let mut switches = self.configuration.switches().clone();
        let changed = switches.turn_off(target.clone(), until).map_err(|Full| {
            Problem::new(Code::Full, Full.to_string()).with_help("siglatchctl enable what is on again in the file")
        })?;
        if changed {
            self.configuration.switch(switches).await.map_err(super::failed)?;
            let seconds = seconds.map_or_else(String::new, |seconds| seconds.to_string());
            info!(kind = target.kind.label(), name = target.name, seconds, "switched off by the operator");
        }
        let mut done = Switched { until: until.map(Wall::as_secs), ..switched(target, false, changed) };
        done.note = self.note_off(target);
        if *end_grants || *cut {
            let (revoked, connections) = self.end_grants(target, *cut).await?;
            done.grants = revoked.grants;
            done.note = joined(done.note, revoked.note);
            if let Some(connections) = connections {
                let cut::Done { cut, note } = cut_connections(connections).await;
                (done.cut, done.note) = (cut, joined(done.note, note));
            }
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

    async fn end_grants(&self, target: &SwitchTarget, cut: bool) -> Result<(Revoked, Option<Cut>), Problem> {
        let name = Some(target.name.clone());
        let which = match target.kind {
            SwitchKind::User => GrantFilter { user: name, ..GrantFilter::default() },
            SwitchKind::Action => GrantFilter { action: name, ..GrantFilter::default() },
            SwitchKind::Port | SwitchKind::Sequence => {
                let message = format!("a {} has no grants", target.kind.label());
                return Err(
                    Problem::new(Code::Malformed, message).with_help("it is off; siglatchctl revoke ends grants")
                );
            }
        };
        let revoked = self.configuration.levers().revoke(RevokeOrder { which, all: false, cut }).await;
        revoked.map_err(|error| super::failed(with_causes(error.as_ref())))?
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

fn switched(target: &SwitchTarget, enabled: bool, changed: bool) -> Switched {
    Switched { target: target.clone(), enabled, until: None, changed, grants: 0, cut: None, note: None }
}

/// On a thread of its own.
async fn cut_connections(connections: Cut) -> cut::Done {
    tokio::task::spawn_blocking(move || cut::carry_out(&connections)).await.unwrap_or_default()
}
