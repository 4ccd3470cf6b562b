//! The thread that owns gate, nonce store and firewall: it alone admits, and it does what was decided, in order.
//! Never waits for a key operation or a stranger.

mod debug;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use siglatch_common::address::Address;
use siglatch_common::units::Boot;
use tracing::{debug, error, info, warn};

use super::owed::{Due, Owed};
use super::report::Tallies;
use super::turns::Turns;
use super::warden::{Event, ToWarden};
use crate::admin::DebugState;
use crate::admin::protocol::Problem;
use crate::causes::with_causes;
use crate::edge::clock;
use crate::edge::firewall::{Change, Firewall, FirewallError, Found};
use crate::edge::key_pool::Answer;
use crate::edge::nonce_store::{NonceStore, NonceStoreError};
use crate::gate::{Effect, Gate, Grant, Nonce, Outcome, Refusal, Verdict};
use crate::spotlight::Spotlight;
pub(super) use debug::DebugWish;

/// What the judge is told.
#[derive(Debug)]
pub(super) enum Input {
    /// The private key has spoken.
    Answer(Box<Answer>),
    /// Somebody else has changed the table.
    FirewallChanged(Change),
    /// The warden asks which of these sources hold a grant.
    WhoHoldsGrants {
        /// Some sources.
        sources: Vec<Address>,
        /// Where the answer goes; it has room for it.
        reply: SyncSender<Vec<Address>>,
    },
    /// An operator wishes something of the spotlight.
    Debug {
        /// What.
        wish: DebugWish,
        /// Where the answer goes; it has room for it.
        reply: SyncSender<Result<DebugState, Problem>>,
    },
    /// Finish.
    Stop,
}

/// Gate, disk and firewall, in one hand.
pub(super) struct Judge {
    turns: Turns<Box<Answer>>,
    gate: Gate,
    store: NonceStore,
    firewall: Firewall,
    warden: ToWarden,
    tallies: Arc<Tallies>,
    /// When the firewall is to be brought in line with the gate, if it is not.
    repair: Option<Boot>,
    /// What the store must have before the next nonce.
    owed: Owed,
    tally: Tally,
    spotlight: Spotlight,
}

/// Refusals since the last line in the log.
#[derive(Default)]
struct Tally {
    counts: [u64; Refusal::ALL.len()],
    due: Option<Boot>,
}

impl Judge {
    pub(super) fn new(
        gate: Gate,
        store: NonceStore,
        firewall: Firewall,
        warden: ToWarden,
        tallies: Arc<Tallies>,
    ) -> Self {
        Self {
            turns: Turns::new(),
            gate,
            store,
            firewall,
            warden,
            tallies,
            repair: None,
            owed: Owed::default(),
            tally: Tally::default(),
            spotlight: Spotlight::new(),
        }
    }

    /// Judges until told to stop.
    pub(super) fn run(mut self, inputs: &Receiver<Input>) {
        loop {
            self.tallies.set_grants(self.gate.grants());
            let first = match self.wait() {
                Some(span) => inputs.recv_timeout(span),
                None => inputs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
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
            self.keep_time();
        }
        self.carry_out();
        self.tally.tell();
        if let Err(error) = self.store.close() {
            error!(%error, "the nonce store was not closed");
        }
    }

    /// How long nothing is due.
    fn wait(&self) -> Option<Duration> {
        let due = [self.gate.next_timeout(), self.repair, self.tally.due, self.spotlight.next_expiry()]
            .into_iter()
            .flatten()
            .min()?;
        Some(due.since(clock::boot()))
    }

    /// Takes one input; false if it was the last.
    fn take(&mut self, input: Input) -> bool {
        match input {
            Input::Answer(answer) => {
                self.turns.put(answer.number, answer);
                while let Some(answer) = self.turns.take() {
                    self.judge(*answer);
                }
            }
            Input::FirewallChanged(change) => {
                debug!(?change, "somebody else has changed the firewall");
                self.repair.get_or_insert_with(|| clock::boot().after(SETTLE));
            }
            Input::WhoHoldsGrants { mut sources, reply } => {
                let now = clock::boot();
                sources.retain(|source| self.gate.holds_grant(*source, now));
                // Fails only if the warden waits no more.
                let _ = reply.try_send(sources);
            }
            Input::Debug { wish, reply } => {
                let answer = self.debug(&wish, clock::boot());
                // Fails only if the warden waits no more.
                let _ = reply.try_send(answer);
            }
            Input::Stop => return false,
        }
        true
    }

    fn judge(&mut self, answer: Answer) {
        let now = clock::now();
        let source = answer.candidate.source;
        let micros = now.boot.since(Boot::from_nanos(answer.candidate.arrival_ns)).as_micros();
        let verdict = self.gate.judge(answer.opened, source, now);
        self.show(&answer, &verdict, now.boot);
        if verdict.vouches_for_source() {
            self.warden.tell(Event::Authentic(source));
        } else if let Verdict::Refuse(Refusal::Unauthentic, _) = verdict {
            let holds_grant = self.gate.holds_grant(source, now.boot);
            self.warden.tell(Event::Unauthentic { source, holds_grant });
        }
        match verdict {
            Verdict::Admit(admission) => {
                self.tallies.admitted();
                let knock = admission.knock;
                let (user, action) = (self.gate.user_name(knock.user), self.gate.action_name(knock.action));
                match admission.outcome {
                    Outcome::Done => debug!(%source, user, action, micros, "knock admitted"),
                    Outcome::Step { taken, of } => info!(%source, user, action, taken, of, "step taken"),
                }
            }
            Verdict::Refuse(refusal, knock) => {
                self.tallies.refused(refusal);
                self.tally.count(refusal, now.boot);
                let user = knock.map_or("", |knock| self.gate.user_name(knock.user));
                debug!(%source, user, reason = refusal.label(), micros, "knock refused");
            }
        }
    }

    /// Does what the gate decided: nonces are kept before anything opens, and nothing opens for those that cannot be.
    ///
    /// A knock whose nonce was not kept is known to the gate all the same, so that no copy is admitted in its place. After
    /// a restart it is not; but nothing came of it, so that it can be admitted then, once.
    fn carry_out(&mut self) {
        let effects = self.gate.take_effects();
        if effects.is_empty() {
            return;
        }
        let (mut nonces, mut grants) = (Vec::new(), Vec::new());
        for effect in effects {
            match effect {
                Effect::Lease(until) => self.owed.lease(until),
                Effect::Forget(floor) => self.owed.forget(floor),
                Effect::Remember(nonce) => nonces.push(nonce),
                Effect::Open(opened) => grants.extend(opened.grants),
                Effect::Note(_) | Effect::Close(_) | Effect::Run(_) | Effect::Builtin(..) | Effect::Pretend(..) => {}
            }
        }
        match self.keep(&nonces) {
            Ok(()) => self.open(&grants),
            Err(error) => {
                self.gate.withdraw();
                let (knocks, grants) = (nonces.len(), grants.len());
                error!(%error, knocks, grants, "knocks cannot be remembered, so nothing was opened for them");
            }
        }
    }

    /// Writes what is owed, then the nonces. Those of a generation that has just ended come into the file of the next:
    /// they are kept for longer than they must be.
    fn keep(&mut self, nonces: &[Nonce]) -> Result<(), NonceStoreError> {
        while let Some(due) = self.owed.next() {
            match due {
                Due::Lease(until) => self.store.lease(until)?,
                Due::Forget(floor, lease) => self.store.forget(floor, lease)?,
            }
            self.owed.written(due);
        }
        if nonces.is_empty() {
            return Ok(());
        }
        self.store.remember(nonces)
    }

    fn open(&mut self, grants: &[Grant]) {
        if grants.is_empty() {
            return;
        }
        for source in grants.chunk_by(|a, b| a.key.source == b.key.source).filter_map(|grants| grants.first()) {
            self.warden.tell(Event::Granted(source.key.source));
        }
        match self.firewall.write(grants, clock::boot()) {
            Ok(()) => {
                for Grant { key, ttl, label } in grants {
                    info!(source = %key.source, service = %key.service, by = label, seconds = ttl.as_secs(), "grant opened");
                }
            }
            Err(error) => self.retry_later(&error),
        }
    }

    /// Repairs the firewall, forgets what is over and writes the tally, each when it is due.
    fn keep_time(&mut self) {
        let now = clock::now();
        if self.gate.next_timeout().is_some_and(|due| due <= now.boot) {
            self.gate.handle_timeout(now);
            self.carry_out();
        }
        if self.repair.is_some_and(|due| due <= now.boot) {
            self.repair = None;
            match self.firewall.restore(&self.gate.live_grants(now.boot), now.boot) {
                Ok(restored) if restored.skeleton == Found::Whole && restored.grants == 0 => {}
                Ok(restored) => {
                    warn!(table = ?restored.skeleton, grants = restored.grants, "the firewall was put back")
                }
                Err(error) => self.retry_later(&error),
            }
        }
        if self.spotlight.next_expiry().is_some() {
            self.end_debugging(now.boot);
        }
        if self.tally.due.is_some_and(|due| due <= now.boot) {
            self.tally.tell();
        }
    }

    fn retry_later(&mut self, error: &FirewallError) {
        error!(error = with_causes(error), "the firewall is not as it should be: trying again");
        self.repair = Some(clock::boot().after(RETRY));
    }
}

impl Tally {
    fn count(&mut self, refusal: Refusal, now: Boot) {
        let counts = Refusal::ALL.iter().zip(&mut self.counts);
        counts.filter(|(of, _)| **of == refusal).for_each(|(_, count)| *count += 1);
        self.due.get_or_insert_with(|| now.after(TALLY));
    }

    /// One line, however many there were.
    fn tell(&mut self) {
        let counts = Refusal::ALL.iter().zip(&self.counts).filter(|(_, count)| **count > 0);
        let reasons: Vec<_> = counts.map(|(refusal, count)| format!("{}={count}", refusal.label())).collect();
        if !reasons.is_empty() {
            info!(reasons = reasons.join(" "), "knocks refused");
        }
        *self = Self::default();
    }
}

/// Answers judged before their effects are carried out together.
const BATCH: usize = 64;
/// A change of the firewall by others rarely comes alone.
const SETTLE: Duration = Duration::from_millis(20);
const RETRY: Duration = Duration::from_millis(250);
const TALLY: Duration = Duration::from_secs(60);
