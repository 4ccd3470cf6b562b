//! The thread that owns the gate and everything that it decides about: it alone admits, and it does what was decided, in
//! order. Never waits for a key operation, a program, the audit log or a stranger.

mod adopt;
mod debug;
mod deeds;
mod desk;
mod programs;
mod tally;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use siglatch_common::address::Address;
use siglatch_common::units::Boot;
use tokio::sync::mpsc::Sender;
use tracing::{debug, error, info, warn};

use super::books::Books;
use super::pulse::Pulse;
use super::report::{Standing, Tallies};
use super::turns::Turns;
use super::wall::{Repair, Wall};
use super::warden::{self, ToWarden};
use crate::admin::protocol::Problem;
use crate::admin::{RevokeOrder, Revoked};
use crate::audit::{self, Event};
use crate::config::{self, WhenFailing};
use crate::edge::action::{News, Starter};
use crate::edge::admin::Asked;
use crate::edge::audit::Recorder;
use crate::edge::clock;
use crate::edge::firewall::{Change, Rewrite, Rewritten};
use crate::edge::key_pool::Answer;
use crate::gate::{Admission, Cut, Gate, JobId, KnockId, Outcome, Programs, Refusal, Verdict};
use crate::spotlight::Spotlight;
use adopt::Coming;
use desk::LastKnocks;
use programs::Running;
use tally::Tally;

pub(super) use adopt::{Adopted, Adoption};

/// What the judge is told.
#[derive(Debug)]
pub(super) enum Input {
    /// The private key has spoken.
    Answer(Box<Answer>),
    /// A program has begun or ended.
    Program(News),
    /// Somebody else has changed the table.
    FirewallChanged(Change),
    /// The warden asks which of these sources hold a grant.
    WhoHoldsGrants {
        /// Some sources.
        sources: Vec<Address>,
        /// Where the answer goes; it has room for it.
        reply: SyncSender<Vec<Address>>,
    },
    /// An operator asks something.
    Asked(Box<Asked>),
    /// Grants are to end, because of something else that an operator asks.
    Revoke {
        /// Which.
        order: Box<RevokeOrder>,
        /// Where it is told what came of it, and whose connections are to be cut, if any; it has room for it.
        reply: SyncSender<Result<(Revoked, Option<Cut>), Problem>>,
    },
    /// The firewall is to be as other settings say, with the grants that hold. Comes before [`Input::Adopt`], since it can
    /// fail.
    Rebuild {
        /// The settings.
        firewall: Box<config::Firewall>,
        /// The knock ports that it closes.
        knock_ports: Vec<u16>,
        /// Where it is told what somebody else is to do for it, if anything; it has room for it. Nothing has changed after an
        /// error.
        reply: SyncSender<Result<Option<Box<Rewrite>>, String>>,
    },
    /// That was done.
    Rebuilt {
        /// What came of it.
        rewritten: Box<Rewritten>,
        /// Where it is told whether the firewall goes by it; it has room for it. Nothing has changed after an error.
        reply: SyncSender<Result<(), String>>,
    },
    /// Other rules hold from a knock on.
    Adopt {
        /// The number of the first that they hold for.
        from: u64,
        /// The rules.
        adoption: Box<Adoption>,
        /// Where it is told what came of it; it has room for it.
        reply: SyncSender<Adopted>,
    },
    /// Finish.
    Stop,
}

/// What the judge begins with.
pub(super) struct Parts {
    pub(super) gate: Gate,
    pub(super) books: Books,
    pub(super) wall: Wall,
    /// What starts programs; nothing if none are configured.
    pub(super) starter: Option<Starter>,
    pub(super) recorder: Recorder,
    /// What becomes of knocks while the audit log cannot be written.
    pub(super) when_unaudited: WhenFailing,
    pub(super) warden: ToWarden,
    /// Where a knock's wish for another configuration goes.
    pub(super) reload: Sender<KnockId>,
    pub(super) tallies: Arc<Tallies>,
    pub(super) pulse: Arc<Pulse>,
}

/// The gate and everything that it decides about, in one hand.
pub(super) struct Judge {
    turns: Turns<Box<Answer>>,
    gate: Gate,
    books: Books,
    /// Whether the books could not be written lately.
    books_fail: bool,
    wall: Wall,
    starter: Option<Starter>,
    /// Rules that hold from a knock on that was not judged yet, in their order.
    coming: VecDeque<Coming>,
    running: BTreeMap<JobId, Running>,
    recorder: Recorder,
    when_unaudited: WhenFailing,
    warden: ToWarden,
    reload: Sender<KnockId>,
    tallies: Arc<Tallies>,
    pulse: Arc<Pulse>,
    /// When the admitted knocks arrived whose effects are not carried out yet.
    under_way: Vec<Boot>,
    tally: Tally,
    spotlight: Spotlight,
    last_knocks: LastKnocks,
}

impl Judge {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { gate, books, wall, starter, recorder, when_unaudited, warden, reload, tallies, pulse } = parts;
        Self {
            turns: Turns::new(),
            gate,
            books,
            books_fail: false,
            wall,
            starter,
            coming: VecDeque::new(),
            running: BTreeMap::new(),
            recorder,
            when_unaudited,
            warden,
            reload,
            tallies,
            pulse,
            under_way: Vec::with_capacity(BATCH),
            tally: Tally::default(),
            spotlight: Spotlight::new(),
            last_knocks: LastKnocks::default(),
        }
    }

    /// Judges until told to stop.
    pub(super) fn run(mut self, inputs: &Receiver<Input>) {
        // What is due since the last run.
        self.carry_out();
        loop {
            self.show_figures();
            let first = match self.wait() {
                Some(span) => inputs.recv_timeout(span),
                None => inputs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            self.heed_the_log();
            match first {
                Ok(first) => {
                    let rest = inputs.try_iter().take(BATCH - 1);
                    if !std::iter::once(first).chain(rest).all(|input| self.take(input)) {
                        break;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.carry_out();
            self.time_effects();
            self.keep_time();
        }
        self.carry_out();
        self.end_programs(inputs);
        self.tally.close(clock::boot(), &self.recorder);
        if let Err(error) = self.books.close() {
            error!(%error, "the nonce store was not closed");
        }
    }

    /// How long nothing is due.
    fn wait(&self) -> Option<Duration> {
        let due = [self.gate.next_timeout(), self.wall.next_repair(), self.tally.due(), self.spotlight.next_expiry()];
        let now = clock::boot();
        self.pulse.beat(now);
        self.pulse.rest(due.into_iter().flatten().min().map(|due| due.since(now)))
    }

    fn show_figures(&self) {
        let Programs { running, waiting, dropped } = self.gate.programs();
        let (grants, debts) = (self.gate.grants(), self.gate.debts_owed());
        self.tallies.set_standing(Standing { grants, debts, running, waiting });
        self.tallies.figures.set_judge(dropped, self.wall.is_failing(), self.books_fail);
    }

    /// Counts how long knocks took from their arrival to their effect; nothing of those that could not be remembered.
    fn time_effects(&mut self) {
        let now = clock::boot();
        for arrived in self.under_way.drain(..).filter(|_| !self.books_fail) {
            self.tallies.figures.latency.record(now.since(arrived));
        }
    }

    /// Takes one input; false if it was the last.
    fn take(&mut self, input: Input) -> bool {
        match input {
            Input::Answer(answer) => {
                self.turns.put(answer.number, answer);
                self.take_turns();
            }
            Input::Program(news) => self.hear(news),
            Input::FirewallChanged(change) => {
                debug!(?change, "somebody else has changed the firewall");
                self.wall.look_soon();
            }
            Input::WhoHoldsGrants { mut sources, reply } => {
                let now = clock::boot();
                sources.retain(|source| self.gate.holds_grant(*source, now));
                // Fails only if the warden waits no more.
                let _ = reply.try_send(sources);
            }
            Input::Asked(asked) => self.answer(*asked),
            Input::Rebuild { firewall, knock_ports, reply } => {
                // Fails only if nobody waits any more.
                let _ = reply.try_send(self.rebuild(&firewall, &knock_ports));
            }
            Input::Rebuilt { rewritten, reply } => {
                let _ = reply.try_send(self.finish_rebuild(*rewritten));
            }
            Input::Adopt { from, adoption, reply } => {
                self.coming.push_back(Coming { from, adoption, reply });
                self.take_turns();
            }
            Input::Revoke { order, reply } => {
                let answer = self.revoke(&order, clock::now());
                // Fails only if nobody waits any more.
                let _ = reply.try_send(answer);
            }
            Input::Stop => return false,
        }
        true
    }

    /// Judges whatever has its turn, by the rules that hold for it.
    fn take_turns(&mut self) {
        loop {
            if let Some(coming) = self.coming.pop_front_if(|coming| coming.from <= self.turns.next()) {
                self.adopt(coming);
            } else if let Some(answer) = self.turns.take() {
                self.judge(*answer);
            } else {
                return;
            }
        }
    }

    fn judge(&mut self, answer: Answer) {
        let now = clock::now();
        let source = answer.candidate.source;
        let arrived = Boot::from_nanos(answer.candidate.arrival_ns);
        let micros = now.boot.since(arrived).as_micros();
        let verdict = self.gate.judge(answer.opened, source, now);
        if let Verdict::Admit(_) = verdict {
            self.under_way.push(arrived);
        }
        self.show(&answer, &verdict, now.boot);
        if verdict.vouches_for_source() {
            self.warden.tell(warden::Event::Authentic(source));
        } else if let Verdict::Refuse(Refusal::Unauthentic, _) = verdict {
            let holds_grant = self.gate.holds_grant(source, now.boot);
            self.warden.tell(warden::Event::Unauthentic { source, holds_grant });
        }
        if let Verdict::Admit(Admission { knock, .. }) = &verdict {
            let (user, action) = (self.gate.user_name(knock.user), self.gate.action_name(knock.action));
            self.last_knocks.note(user, action, source.into(), now.wall);
        }
        self.tell(&verdict, source, micros, now.boot);
    }

    /// Counts a verdict, and tells it in log and audit log.
    fn tell(&mut self, verdict: &Verdict, source: Address, micros: u128, now: Boot) {
        let knock = match verdict {
            Verdict::Admit(admission) => {
                self.tallies.admitted();
                Some(admission.knock)
            }
            Verdict::Refuse(refusal, knock) => {
                self.tallies.refused(*refusal);
                *knock
            }
        };
        let user = knock.map_or("", |knock| self.gate.user_name(knock.user));
        let action = knock.map_or("", |knock| self.gate.action_name(knock.action));
        match verdict {
            Verdict::Admit(Admission { outcome: Outcome::Done, .. }) => {
                debug!(%source, user, action, micros, "knock admitted");
            }
            Verdict::Admit(Admission { outcome: Outcome::Step { taken, of }, .. }) => {
                debug!(%source, user, action, taken, of, micros, "step taken");
            }
            Verdict::Refuse(refusal, _) => {
                debug!(%source, user, reason = refusal.label(), micros, "knock refused");
            }
        }
        let event = Event::knock(verdict, source, user, action);
        self.tally.tell(verdict, event, now, &self.recorder);
    }

    /// While the audit log cannot be written, knocks are refused, if that is what the operator wants.
    fn heed_the_log(&mut self) {
        if self.when_unaudited == WhenFailing::Refuse {
            self.gate.set_unaudited(self.recorder.is_failing());
        }
    }

    /// Does what is due: the gate's timeouts, the firewall's repair, the tally, the end of debugging.
    fn keep_time(&mut self) {
        let now = clock::now();
        if self.gate.next_timeout().is_some_and(|due| due <= now.boot) {
            self.gate.handle_timeout(now);
            self.carry_out();
        }
        if self.wall.next_repair().is_some_and(|due| due <= now.boot) {
            self.repair(now.boot);
        }
        if self.spotlight.next_expiry().is_some() {
            self.end_debugging(now.boot);
        }
        if self.tally.due().is_some_and(|due| due <= now.boot) {
            self.tally.close(clock::boot(), &self.recorder);
        }
    }

    fn repair(&mut self, now: Boot) {
        let told = match self.wall.repair(&self.gate.live_grants(now), now) {
            Repair::Whole | Repair::Failed { is_new: false, .. } => return,
            Repair::Works => {
                info!("the firewall is as it should be again");
                audit::event::Firewall { state: "repaired", grants: None, found: None, error: None }
            }
            Repair::PutBack(restored) => {
                warn!(table = ?restored.skeleton, grants = restored.grants, "the firewall was put back");
                let found = Some(format!("{:?}", restored.skeleton).to_lowercase());
                audit::event::Firewall { state: "repaired", grants: Some(restored.grants as u64), found, error: None }
            }
            Repair::Failed { error, is_new: true } => {
                audit::event::Firewall { state: "failing", grants: None, found: None, error: Some(error) }
            }
        };
        self.recorder.record(Event::Firewall(told));
    }
}

/// Answers judged before their effects are carried out together.
const BATCH: usize = 64;
