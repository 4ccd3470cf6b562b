//! Rung 5: what comes of a knock that policy allows, of the end of a program, and of a debt that is due, in the gate's
//! tables and as effects. Never carries one out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use siglatch_common::address::Address;
use siglatch_common::units::Now;

use super::debts::{Due, Kind, Owing};
use super::deed::{Closing, Deed, Opening};
use super::jobs::Task;
use super::permit::Permitted;
use super::step::Stepped;
use super::{
    Bound, Call, Debt, DebtId, Effect, Ender, Ending, Entry, Gate, GrantsEnded, GrantsOpened, How, JobId, KnockId,
    Pretended, Refusal, Why,
};
use crate::policy::{ExecRule, ProgramId};

/// What a knock has told, beside what it asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    pub(super) knock: KnockId,
    pub(super) from: Address,
    pub(super) stepped: &'a Stepped,
}

impl Gate {
    /// Does what a knock asks for. Nothing has changed if it is refused.
    ///
    /// # Errors
    /// [`Refusal::UserUsedUp`], [`Refusal::ActionUsedUp`], [`Refusal::Busy`] or [`Refusal::Overloaded`].
    pub(super) fn carry_out(&mut self, permitted: &Permitted<'_>, told: Told<'_>, now: Now) -> Result<(), Refusal> {
        let Some(deed) = &permitted.deed else {
            return Ok(());
        };
        self.uses.check(permitted.user, permitted.action)?;
        self.check_room(deed, permitted, told, now)?;
        for entry in self.uses.count(permitted.user, permitted.action) {
            self.outbox.push(Effect::Note(entry));
        }
        if permitted.action.dry_run {
            self.pretend(deed, permitted, told, now);
            return Ok(());
        }
        match deed {
            Deed::Nothing => {}
            Deed::Open(opening) => self.open(opening, permitted, told, now),
            Deed::Close(closing) => self.close(closing, permitted, told, now),
            Deed::Run(rule) => self.run(rule, permitted, told, now),
            Deed::Builtin(builtin) => self.outbox.push(Effect::Builtin(told.knock, *builtin)),
        }
        Ok(())
    }

    /// A program that [`Effect::Run`] has asked for has ended, or did not begin. What waited may start.
    ///
    /// An undo that has begun counts as done, however it ended, unless the daemon itself has cut it short.
    pub fn finished(&mut self, job: JobId, ending: &Ending, now: Now) {
        self.clock = now.boot;
        let Some(Task { job, debt }) = self.jobs.end(job) else {
            return;
        };
        if let Some(debt) = debt {
            self.run_ended(debt, !matches!(ending.how, How::NotStarted(_)));
        }
        if let Why::Undo(debt) = job.why {
            self.jobs.release(debt);
        }
        match job.why {
            Why::Undo(debt) if is_open(ending.how) => self.debts.retry(debt, now.boot.after(RETRY_UNDO)),
            Why::Undo(debt) => {
                self.debts.settle(debt);
                self.outbox.push_lasting(Effect::Note(Entry::Settled(debt)));
            }
            Why::Knock | Why::Failure(..) => {}
        }
        // A failure of what tells of failures is told nobody, and that the daemon stops is none.
        let is_told =
            !ending.how.is_success() && !matches!(job.why, Why::Failure(..)) && ending.how != How::Bounded(Bound::Stop);
        let told_by = self.policy.program(job.program).and_then(|program| program.on_failure);
        if let (true, Some(program)) = (is_told, told_by) {
            let job = self.jobs.prepare(program, Why::Failure(job.id, ending.how), job.call);
            self.jobs.put(Task { job, debt: None });
        }
        self.start_programs();
    }

    /// A run behind a debt has ended; `begun` if it did something.
    pub(super) fn run_ended(&mut self, debt: DebtId, begun: bool) {
        if self.debts.run_ended(debt, begun) {
            self.outbox.push_lasting(Effect::Note(Entry::Settled(debt)));
        }
    }

    /// Takes over debts of an earlier run.
    pub(super) fn restore_debts(&mut self, debts: Vec<Debt>, rebooted: bool, now: Now) {
        let restored = self.debts.restore(debts, rebooted, &self.policy, now);
        self.note_lasting(restored.moved);
        for covered in restored.covered {
            self.outbox.push_lasting(Effect::Note(Entry::Settled(covered)));
        }
        restored.lost.into_iter().for_each(|debt| self.lose(debt));
    }

    /// Nothing undoes it any more.
    pub(super) fn lose(&mut self, debt: Debt) {
        self.outbox.push_lasting(Effect::Note(Entry::Settled(debt.id)));
        self.lost_debts.push(debt);
    }

    /// Has the undo of everything that is due wait for its place.
    ///
    /// Not while knocks could still be taken back: what they have moved is not called until that is over.
    pub(super) fn call_undos(&mut self, now: Now) {
        if self.debts.has_changes() {
            return;
        }
        while let Some(due) = self.debts.take_due(now.boot) {
            match due {
                Due::Undo(debt, program, call) => {
                    let kind = Kind::of(&call);
                    let job = self.jobs.prepare(program, Why::Undo(debt), *call);
                    self.debts.called(debt, job.id);
                    self.put(Task { job, debt: None }, &kind);
                }
                Due::Covered(debt) => self.outbox.push_lasting(Effect::Note(Entry::Settled(debt))),
                Due::Lost(debt) => self.lose(*debt),
            }
        }
    }

    /// Starts what waits, as long as there are places.
    pub(super) fn start_programs(&mut self) {
        while let Some(task) = self.jobs.start() {
            let job = task.job.clone();
            if let Why::Undo(debt) = job.why {
                self.debts.started(debt);
            }
            if self.jobs_of_knocks.contains_key(&job.id) {
                self.outbox.push(Effect::Run(job));
            } else {
                self.outbox.push_lasting(Effect::Run(job));
            }
        }
    }

    /// Takes runs back: they have not begun.
    pub(super) fn withdraw_jobs(&mut self, jobs: BTreeMap<JobId, ProgramId>) {
        for (id, program) in jobs {
            let task = self.jobs.cancel(id, program).or_else(|| self.jobs.end(id));
            if let Some(debt) = task.and_then(|task| task.debt) {
                self.debts.run_withdrawn(debt);
            }
        }
    }

    /// Notes debts as they are now, whatever becomes of knocks.
    pub(super) fn note_lasting(&mut self, debts: Vec<Debt>) {
        for debt in debts {
            self.outbox.push_lasting(Effect::Note(Entry::Owed(Box::new(debt))));
        }
    }

    fn check_room(
        &mut self,
        deed: &Deed<'_>,
        permitted: &Permitted<'_>,
        told: Told<'_>,
        now: Now,
    ) -> Result<(), Refusal> {
        let kind = |source| Kind { source, user: permitted.user.name.clone(), action: permitted.action.name.clone() };
        match deed {
            Deed::Open(opening) => {
                self.grants.check(opening.keys.len(), now.boot)?;
                if opening.rule.undo.is_some() {
                    self.debts.check(&kind(opening.source))?;
                }
            }
            Deed::Run(rule) => {
                let kind = kind(told.from);
                if !self.jobs.has_room(rule.program, self.debts.undoing(&kind).is_some()) {
                    return Err(Refusal::Busy);
                }
                if rule.undo.is_some() {
                    self.debts.check(&kind)?;
                }
            }
            Deed::Nothing | Deed::Close(_) | Deed::Builtin(_) => {}
        }
        Ok(())
    }

    fn open(&mut self, opening: &Opening<'_>, permitted: &Permitted<'_>, told: Told<'_>, now: Now) {
        if let Some(program) = opening.rule.undo {
            let call = permitted.call(told, opening.source);
            self.owe(&Owing { program, call: &call, after: opening.ttl, ends_with_boot: true }, now);
        }
        let grants = self.grants.open(opening, &permitted.label(), now.boot);
        self.outbox.push(Effect::Open(GrantsOpened { knock: Some(told.knock), grants }));
    }

    fn close(&mut self, closing: &Closing<'_>, permitted: &Permitted<'_>, told: Told<'_>, now: Now) {
        let user = &permitted.user.name;
        for action in &closing.actions {
            let kind = Kind { source: closing.source, user: user.clone(), action: (*action).to_owned() };
            if let Some(debt) = self.debts.end(&kind, now) {
                self.outbox.push(Effect::Note(Entry::Owed(Box::new(debt))));
            }
        }
        let grants = self.grants.close(closing.source, &closing.labels(user), now.boot);
        self.outbox.push(Effect::Close(GrantsEnded { by: Ender::Knock(told.knock), grants }));
    }

    fn run(&mut self, rule: &ExecRule, permitted: &Permitted<'_>, told: Told<'_>, now: Now) {
        let call = permitted.call(told, told.from);
        let kind = Kind::of(&call);
        let debt = rule.undo.map(|undo| {
            let owing = Owing { program: undo.program, call: &call, after: undo.after, ends_with_boot: false };
            self.owe(&owing, now)
        });
        let job = self.jobs.prepare(rule.program, Why::Knock, call);
        if let Some(debt) = debt {
            self.debts.run_added(debt);
        }
        self.jobs_of_knocks.insert(job.id, job.program);
        self.put(Task { job, debt }, &kind);
        self.start_programs();
    }

    /// Has a run wait for its place; if something of its kind is just being undone, not before that has ended.
    fn put(&mut self, task: Task, kind: &Kind) {
        match self.debts.undoing(kind) {
            Some(undo) => self.jobs.put_after(undo, task),
            None => self.jobs.put(task),
        }
    }

    /// Makes a debt or moves it, and notes it; an undo of it that waits for a place does so no more.
    fn owe(&mut self, owing: &Owing<'_>, now: Now) -> DebtId {
        let name = self.policy.program(owing.program).map_or("", |program| &program.name);
        let (debt, called) = self.debts.owe(owing, name, now);
        if let Some((undo, program)) = called {
            self.jobs.cancel(undo, program);
        }
        let id = debt.id;
        self.outbox.push(Effect::Note(Entry::Owed(Box::new(debt))));
        id
    }

    fn pretend(&mut self, deed: &Deed<'_>, permitted: &Permitted<'_>, told: Told<'_>, now: Now) {
        let pretended = match deed {
            Deed::Nothing => return,
            Deed::Open(opening) => Pretended::Open(self.grants.preview(opening, &permitted.label(), now.boot)),
            Deed::Close(closing) => {
                let labels = closing.labels(&permitted.user.name);
                let grants = self.grants.labelled(closing.source, &labels, now.boot);
                Pretended::Close(grants.iter().map(|grant| grant.key).collect())
            }
            Deed::Run(rule) => {
                let call = permitted.call(told, told.from);
                Pretended::Run(self.jobs.prepare(rule.program, Why::Knock, call))
            }
            Deed::Builtin(builtin) => Pretended::Builtin(*builtin),
        };
        self.outbox.push(Effect::Pretend(told.knock, pretended));
    }
}

impl Permitted<'_> {
    /// What a program is told.
    fn call(&self, told: Told<'_>, source: Address) -> Call {
        Call {
            knock: told.knock,
            source,
            user: self.user.id,
            user_name: self.user.name.clone(),
            action: self.action.id,
            action_name: self.action.name.clone(),
            sealed: told.stepped.sealed,
            payload: told.stepped.payload,
        }
    }

    /// What its grants are labelled with.
    fn label(&self) -> String {
        label(&self.user.name, &self.action.name)
    }
}

impl Closing<'_> {
    /// The labels of the grants that it ends: the user's own.
    fn labels(&self, user: &str) -> BTreeSet<String> {
        self.actions.iter().map(|action| label(user, action)).collect()
    }
}

fn label(user: &str, action: &str) -> String {
    format!("{user} {action}")
}

/// Whether an undo that ended so is still to be done.
fn is_open(how: How) -> bool {
    match how {
        How::NotStarted(_) | How::Lost | How::Bounded(Bound::Stop) => true,
        How::Exited(_) | How::Killed(_) | How::Bounded(Bound::Time | Bound::Cpu | Bound::Output | Bound::Processes) => {
            false
        }
    }
}

/// Until an undo that could not be begun is tried again.
const RETRY_UNDO: Duration = Duration::from_secs(60);
