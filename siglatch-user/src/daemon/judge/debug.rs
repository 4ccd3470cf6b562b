//! Tells knocks in full on which the spotlight falls, and turns it as operators wish. Never tells a key or an HMAC.

use std::time::Duration;

use siglatch_common::address::Address;
use siglatch_common::units::Boot;
use siglatch_common::wire::Wire;
use tracing::{info, warn};

use super::Judge;
use crate::admin::protocol::{Code, Problem};
use crate::admin::{DebugEntry, DebugOrder, DebugState, DebugTarget};
use crate::audit::{Event, event};
use crate::config::DebugRule;
use crate::edge::key_pool::Answer;
use crate::gate::Verdict;
use crate::spotlight::{Full, Spotlight, Target, datagram_text, payload_text};

impl Judge {
    /// Turns the spotlight as the configuration says, and says so loudly.
    pub(in crate::daemon) fn follow(&mut self, rule: &DebugRule, now: Boot) {
        let users = rule.users.iter().copied().map(Target::User);
        let sources = rule.sources.iter().copied().map(Target::Source);
        for target in users.chain(sources) {
            self.turn_on(target, rule.span, now).unwrap_or_else(|Full| {
                warn!(whose = self.whose(target), "too many are debugged already: this one is not");
            });
        }
    }

    /// Turns the spotlight on somebody, as an operator wishes.
    pub(super) fn debug_on(&mut self, order: &DebugOrder, now: Boot) -> Result<DebugState, Problem> {
        let target = self
            .target(&order.target)?
            .ok_or_else(|| Problem::new(Code::Malformed, "nobody is named").with_help("name a user or a source"))?;
        let span = Duration::from_secs(order.seconds.get().min(DebugOrder::LONGEST));
        self.turn_on(target, span, now).map_err(|Full| {
            Problem::new(Code::Full, format!("{} are debugged already", Spotlight::CAPACITY))
                .with_help("siglatchctl debug off")
        })?;
        Ok(self.debugged(now))
    }

    /// Turns the spotlight off somebody; off everybody, if nobody is named.
    pub(super) fn debug_off(&mut self, target: &DebugTarget, now: Boot) -> Result<DebugState, Problem> {
        let target = self.target(target)?;
        for target in self.spotlight.turn_off(target) {
            info!(whose = self.whose(target), "debugging ended by the operator");
            self.record_light("off", target, None);
        }
        Ok(self.debugged(now))
    }

    /// Where the spotlight falls.
    pub(super) fn debugged(&self, now: Boot) -> DebugState {
        let entry = |(target, until): (Target, Boot)| DebugEntry {
            target: match target {
                Target::User(user) => DebugTarget { user: Some(self.gate.user_name(user).to_owned()), source: None },
                Target::Source(source) => DebugTarget { user: None, source: Some(source.into()) },
            },
            left: until.since(now).as_secs(),
        };
        DebugState { told: self.spotlight.lit().map(entry).collect() }
    }

    /// Ends what is over.
    pub(super) fn end_debugging(&mut self, now: Boot) {
        for target in self.spotlight.expire(now) {
            info!(whose = self.whose(target), "debugging has ended by itself");
            self.record_light("off", target, None);
        }
        let untold = self.spotlight.take_untold();
        if untold > 0 {
            info!(datagrams = untold, "more came than is told in full");
        }
    }

    /// Tells a datagram in full, if the spotlight falls on it.
    pub(super) fn show(&mut self, answer: &Answer, verdict: &Verdict, now: Boot) {
        let candidate = &answer.candidate;
        let user = answer.opened.as_ref().ok().map(|opened| opened.user());
        if !self.spotlight.falls_on(user, candidate.source, now) {
            return;
        }
        let (source, port) = (candidate.source, candidate.source_port);
        let wire = Wire::from_number(candidate.wire);
        let raw = match (wire, candidate.payload()) {
            (Some(wire), Some(datagram)) => datagram_text(datagram, wire),
            _ => String::new(),
        };
        let wire = wire.map_or("?", Wire::label);
        let (decision, reason) = match verdict {
            Verdict::Admit(_) => ("admitted", ""),
            Verdict::Refuse(refusal, _) => ("refused", refusal.label()),
        };
        match &answer.opened {
            Ok(opened) => {
                let nonce = opened.nonce();
                info!(
                    %source, port, wire, decision, reason,
                    user = nonce.user.0, name = self.gate.user_name(nonce.user),
                    action = opened.action().0, action_name = self.gate.action_name(opened.action()),
                    timestamp = nonce.timestamp, challenge = nonce.challenge,
                    payload = payload_text(opened.payload().as_bytes()), raw,
                    "debug: a datagram in full"
                );
            }
            Err(_) => info!(%source, port, wire, decision, reason, raw, "debug: a datagram in full"),
        }
    }

    fn turn_on(&mut self, target: Target, span: Duration, now: Boot) -> Result<(), Full> {
        self.spotlight.turn_on(target, now.after(span))?;
        warn!(
            whose = self.whose(target),
            seconds = span.as_secs(),
            "DEBUGGING: these knocks are told in full, payloads included"
        );
        self.record_light("on", target, Some(span));
        Ok(())
    }

    fn record_light(&self, state: &'static str, target: Target, span: Option<Duration>) {
        let (users, sources) = match target {
            Target::User(user) => (vec![self.gate.user_name(user).to_owned()], Vec::new()),
            Target::Source(source) => (Vec::new(), vec![source.to_string()]),
        };
        let seconds = span.map(|span| span.as_secs());
        self.recorder.record(Event::Debug(event::Debug { state, users, sources, seconds }));
    }

    fn target(&self, target: &DebugTarget) -> Result<Option<Target>, Problem> {
        match (&target.user, target.source) {
            (Some(_), Some(_)) => {
                Err(Problem::new(Code::Malformed, "a user and a source at once").with_help("name one of both"))
            }
            (Some(name), None) => self.gate.user_named(name).map(|user| Some(Target::User(user))).ok_or_else(|| {
                Problem::no_such("user", name).with_help("names are those of the configuration's [user.NAME] tables")
            }),
            (None, Some(source)) => Ok(Some(Target::Source(Address::from(source)))),
            (None, None) => Ok(None),
        }
    }

    fn whose(&self, target: Target) -> String {
        match target {
            Target::User(user) => format!("user {}", self.gate.user_name(user)),
            Target::Source(source) => format!("source {source}"),
        }
    }
}
