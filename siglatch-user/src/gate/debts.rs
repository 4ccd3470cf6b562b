//! What is still to be undone, and when. Never starts a program.
//!
//! A debt is one user's, of one action, for one address: all that such knocks have done is undone together. It is in one
//! of three states: it waits until it is due, its undo waits for a place, or its undo runs. A knock can move it
//! in the first two; after that, a new debt begins. There are no timers but [`Debts::by_due`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use siglatch_common::address::Address;
use siglatch_common::units::{Boot, Now};

use super::{Call, Debt, DebtId, JobId, Refusal};
use crate::policy::{Policy, ProgramId};

/// What is still to be undone.
#[derive(Debug)]
pub(super) struct Debts {
    owed: BTreeMap<DebtId, Owed>,
    /// Those that a knock can move.
    by_kind: BTreeMap<Kind, DebtId>,
    /// Those whose undo runs.
    undoing: BTreeMap<Kind, DebtId>,
    /// Those that only wait for their time.
    by_due: BTreeSet<(Boot, DebtId)>,
    changes: Vec<Change>,
    last: DebtId,
}

/// Whose knocks a debt is for. Names, as numbers may be given anew while it waits.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Kind {
    pub(super) source: Address,
    pub(super) user: String,
    pub(super) action: String,
}

/// What a knock adds to what is owed.
#[derive(Debug)]
pub(super) struct Owing<'a> {
    pub(super) program: ProgramId,
    pub(super) call: &'a Call,
    pub(super) after: Duration,
    /// Whether it undoes a grant.
    pub(super) ends_with_boot: bool,
}

#[derive(Clone, Debug)]
struct Owed {
    debt: Debt,
    /// Nothing if it is gone while it runs.
    program: Option<ProgramId>,
    /// When the undo is tried again, if it could not be begun.
    again: Option<Boot>,
    state: State,
    /// Runs of knocks behind it that have not ended: its undo comes after them.
    runs: u32,
    /// Whether there is anything to undo: a run of a knock has begun.
    has_begun: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Waits,
    /// The undo has this number, and waits for a place.
    Called(JobId),
    Running,
}

/// A debt that a knock has made or moved, and what it was before.
#[derive(Debug)]
pub(super) struct Change {
    id: DebtId,
    before: Option<Owed>,
}

/// What comes of the debts that are due.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Due {
    /// This is to be run.
    Undo(DebtId, ProgramId, Box<Call>),
    /// A later debt of the same kind stands for it.
    Covered(DebtId),
    /// Nothing can undo it any more: it is owed no longer.
    Lost(Box<Debt>),
}

/// What is left of the debts of an earlier run.
#[derive(Debug, Default)]
pub(super) struct Restored {
    /// Those whose times are by another clock than the ledger has it.
    pub(super) moved: Vec<Debt>,
    /// Those that another one stands for.
    pub(super) covered: Vec<DebtId>,
    /// Those whose program is gone.
    pub(super) lost: Vec<Debt>,
}

impl Debts {
    /// Debts at once. One takes about 1 kB of memory.
    pub(super) const CAPACITY: usize = 65_536;

    /// No debts; new ones get numbers of this run of the daemon.
    pub(super) const fn new(run: u32) -> Self {
        Self {
            owed: BTreeMap::new(),
            by_kind: BTreeMap::new(),
            undoing: BTreeMap::new(),
            by_due: BTreeSet::new(),
            changes: Vec::new(),
            last: DebtId((run as u64) << 32),
        }
    }

    /// Takes over what the ledger says. After a reboot, what undoes a grant is due at once, and the rest by the clock on the
    /// wall, but never later than a knock of now could make it.
    pub(super) fn restore(&mut self, noted: Vec<Debt>, rebooted: bool, policy: &Policy, now: Now) -> Restored {
        let mut restored = Restored::default();
        for mut debt in noted {
            // Numbers of this run may be there by chance.
            if debt.id.0 >> 32 == self.last.0 >> 32 {
                self.last = self.last.max(debt.id);
            }
            let Some(program) = policy.program_named(&debt.program) else {
                restored.lost.push(debt);
                continue;
            };
            if rebooted {
                let left = debt.due_wall.as_secs().saturating_sub(now.wall.as_secs());
                let left = if debt.ends_with_boot { 0 } else { left.min(longest(&debt, policy).as_secs()) };
                debt.due = now.boot.after(Duration::from_secs(left));
                debt.due_wall = now.wall.after(Duration::from_secs(left));
            }
            let kind = Kind::of(&debt.call);
            let earlier = self.by_kind.get(&kind).copied();
            if let Some(other) = earlier.and_then(|id| self.owed.get(&id)) {
                let covered =
                    if (other.debt.due, other.debt.id) < (debt.due, debt.id) { other.debt.id } else { debt.id };
                restored.covered.push(covered);
                if covered == debt.id {
                    continue;
                }
                self.remove(covered);
            }
            let owed =
                Owed { debt, program: Some(program), again: None, state: State::Waits, runs: 0, has_begun: true };
            self.insert(owed);
        }
        if rebooted {
            restored.moved = self.all().cloned().collect();
        }
        restored
    }

    /// Goes on with other programs, found by their names. Gives the debts that nothing undoes any more; one whose undo runs is
    /// not among them: it may still be settled.
    ///
    /// What knocks have changed before is not taken back any more.
    pub(super) fn adopt(&mut self, policy: &Policy) -> Vec<Debt> {
        self.changes.clear();
        let mut gone = Vec::new();
        for (id, owed) in &mut self.owed {
            owed.program = policy.program_named(&owed.debt.program);
            if owed.program.is_none() && owed.state != State::Running {
                gone.push(*id);
            }
        }
        gone.into_iter().filter_map(|id| self.remove(id)).map(|owed| owed.debt).collect()
    }

    /// Lets the debt of this kind come due no earlier than then, because an operator says so; gives what must be noted.
    /// Nothing if there is none, it is due later anyhow, or its undo waits for a place already.
    pub(super) fn extend(&mut self, kind: &Kind, after: Duration, now: Now) -> Option<Debt> {
        let id = *self.by_kind.get(kind)?;
        let (due, due_wall) = (now.boot.after(after), now.wall.after(after));
        let owed = self.owed.get(&id).filter(|owed| owed.state == State::Waits && owed.debt.due < due)?;
        if !owed.debt.ends_with_boot {
            return None;
        }
        self.update(id, |owed| {
            owed.again = None;
            owed.debt.due = due;
            owed.debt.due_wall = owed.debt.due_wall.max(due_wall);
        });
        self.owed.get(&id).map(|owed| owed.debt.clone())
    }

    /// Makes sure that there is room for a debt of this kind.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] if there is none.
    pub(super) fn check(&self, kind: &Kind) -> Result<(), Refusal> {
        if self.owed.len() < Self::CAPACITY || self.by_kind.contains_key(kind) {
            return Ok(());
        }
        Err(Refusal::Overloaded)
    }

    /// The debt of this kind whose undo runs.
    pub(super) fn undoing(&self, kind: &Kind) -> Option<DebtId> {
        self.undoing.get(kind).copied()
    }

    /// A knock makes a debt, or moves that of its kind: never to an earlier end. Gives its number, what must be noted, and the
    /// run of its undo, if there is one that waits for a place: it must not start any more.
    pub(super) fn owe(&mut self, owing: &Owing<'_>, name: &str, now: Now) -> (Debt, Option<(JobId, ProgramId)>) {
        let Owing { program, call, after, ends_with_boot } = *owing;
        let (due, due_wall) = (now.boot.after(after), now.wall.after(after));
        let program = Some(program);
        let debt = Debt {
            id: DebtId(self.last.0 + 1),
            program: name.to_owned(),
            call: call.clone(),
            due,
            due_wall,
            ends_with_boot,
        };
        let before = self.by_kind.get(&Kind::of(call)).copied().and_then(|id| self.remove(id));
        let (owed, called) = match &before {
            None => {
                self.last = debt.id;
                let has_begun = ends_with_boot;
                (Owed { debt, program, again: None, state: State::Waits, runs: 0, has_begun }, None)
            }
            Some(before) => {
                let (id, old) = (before.debt.id, &before.debt);
                let debt = Debt { id, due: due.max(old.due), due_wall: due_wall.max(old.due_wall), ..debt };
                let owed = Owed {
                    debt,
                    program,
                    again: None,
                    state: State::Waits,
                    runs: before.runs,
                    has_begun: before.has_begun || ends_with_boot,
                };
                let called = match before.state {
                    State::Called(job) => before.program.map(|program| (job, program)),
                    State::Waits | State::Running => None,
                };
                (owed, called)
            }
        };
        let noted = owed.debt.clone();
        self.changes.push(Change { id: noted.id, before });
        self.insert(owed);
        (noted, called)
    }

    /// Makes a debt due at once, because a knock says so; gives what must be noted. Nothing if there is none, or its undo
    /// waits for a place already.
    pub(super) fn end(&mut self, kind: &Kind, now: Now) -> Option<Debt> {
        let id = *self.by_kind.get(kind)?;
        let before = self.owed.get(&id)?.clone();
        let ended = self.end_now(id, now)?;
        self.changes.push(Change { id, before: Some(before) });
        Some(ended)
    }

    /// Makes every debt due at once for which this is true, and no knock takes it back; gives what must be noted.
    pub(super) fn end_all(&mut self, mut is_over: impl FnMut(&Kind) -> bool, now: Now) -> Vec<Debt> {
        let over: Vec<_> = self.by_kind.iter().filter(|(kind, _)| is_over(kind)).map(|(_, id)| *id).collect();
        over.into_iter().filter_map(|id| self.end_forever(id, now)).collect()
    }

    /// Makes a debt due at once, and no knock takes it back.
    pub(super) fn end_of_kind(&mut self, kind: &Kind, now: Now) -> Option<Debt> {
        let id = *self.by_kind.get(kind)?;
        self.end_forever(id, now)
    }

    /// A run for a knock is behind this debt: its undo comes after it.
    pub(super) fn run_added(&mut self, id: DebtId) {
        self.update(id, |owed| owed.runs += 1);
    }

    /// A run behind it has ended; `begun` if it did something, which no withdrawn knock takes back. True if there is nothing to
    /// undo: then the debt is no more.
    pub(super) fn run_ended(&mut self, id: DebtId, begun: bool) -> bool {
        self.befores(id).for_each(|before| before.has_begun |= begun);
        self.update(id, |owed| {
            owed.runs = owed.runs.saturating_sub(1);
            owed.has_begun |= begun;
        });
        let is_void = self.owed.get(&id).is_some_and(Owed::is_void);
        if is_void {
            self.remove(id);
        }
        is_void
    }

    /// A run behind it never was.
    pub(super) fn run_withdrawn(&mut self, id: DebtId) {
        self.update(id, |owed| owed.runs = owed.runs.saturating_sub(1));
    }

    /// The next debt whose time has come.
    pub(super) fn take_due(&mut self, now: Boot) -> Option<Due> {
        let &(due, id) = self.by_due.first()?;
        if due > now {
            return None;
        }
        let owed = self.owed.get(&id)?;
        let later = self.by_kind.get(&Kind::of(&owed.debt.call)).copied().filter(|later| *later != id);
        let Some(later) = later else {
            let Some(program) = owed.program else {
                return self.remove(id).map(|owed| Due::Lost(Box::new(owed.debt)));
            };
            return Some(Due::Undo(id, program, Box::new(owed.debt.call.clone())));
        };
        self.remove(id);
        // Even if the runs behind that one never begin.
        self.update(later, |later| later.has_begun = true);
        Some(Due::Covered(id))
    }

    /// Its undo waits for a place.
    pub(super) fn called(&mut self, id: DebtId, undo: JobId) {
        self.update(id, |owed| owed.state = State::Called(undo));
    }

    /// Its undo runs.
    pub(super) fn started(&mut self, id: DebtId) {
        self.update(id, |owed| owed.state = State::Running);
    }

    /// It was undone.
    pub(super) fn settle(&mut self, id: DebtId) {
        self.remove(id);
    }

    /// Nothing undoes it any more.
    pub(super) fn lose(&mut self, id: DebtId) -> Option<Debt> {
        self.remove(id).map(|owed| owed.debt)
    }

    /// Its undo could not be begun, or nobody knows how it ended.
    pub(super) fn retry(&mut self, id: DebtId, at: Boot) {
        self.update(id, |owed| {
            owed.state = State::Waits;
            owed.again = Some(at);
        });
    }

    /// When the next one is due.
    pub(super) fn next_due(&self) -> Option<Boot> {
        self.by_due.first().map(|(due, _)| *due)
    }

    pub(super) fn len(&self) -> usize {
        self.owed.len()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Debt> {
        self.owed.values().map(|owed| &owed.debt)
    }

    /// Whether a knock has changed something since [`Debts::take_changes`].
    pub(super) const fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// What knocks have changed since the last call.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Makes everything as it was before these changes, which must be the latest; but runs are counted as they are. Gives
    /// the debts that never were, and those that have nothing to undo any more.
    pub(super) fn undo(&mut self, changes: Vec<Change>) -> (BTreeSet<DebtId>, Vec<DebtId>) {
        let mut never = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for Change { id, before } in changes.into_iter().rev() {
            ids.insert(id);
            match (self.remove(id), before) {
                (Some(Owed { runs, .. }), Some(before)) => self.insert(Owed { runs, state: State::Waits, ..before }),
                // Settled since then, which no knock takes back.
                (None, Some(_)) => {}
                (_, None) => {
                    never.insert(id);
                }
            }
        }
        let is_void = |id: &DebtId| self.owed.get(id).is_some_and(Owed::is_void);
        let void: Vec<_> = ids.into_iter().filter(is_void).collect();
        void.iter().for_each(|id| drop(self.remove(*id)));
        (never, void)
    }

    fn end_forever(&mut self, id: DebtId, now: Now) -> Option<Debt> {
        let befores: Vec<_> = self.befores(id).collect();
        let is_changed = !befores.is_empty();
        befores.into_iter().for_each(|before| before.end(now));
        let debt = |owed: &Owed| owed.debt.clone();
        self.end_now(id, now).or_else(|| self.owed.get(&id).filter(|_| is_changed).map(debt))
    }

    fn end_now(&mut self, id: DebtId, now: Now) -> Option<Debt> {
        let owed = self.owed.get(&id)?;
        if owed.state != State::Waits || owed.debt.due <= now.boot && owed.again.is_none() {
            return None;
        }
        self.update(id, |owed| owed.end(now));
        self.owed.get(&id).map(|owed| owed.debt.clone())
    }

    /// What a debt is again if knocks are taken back.
    fn befores(&mut self, id: DebtId) -> impl Iterator<Item = &mut Owed> {
        self.changes.iter_mut().filter(move |change| change.id == id).filter_map(|change| change.before.as_mut())
    }

    /// Changes a debt, and keeps the other tables true.
    fn update(&mut self, id: DebtId, change: impl FnOnce(&mut Owed)) {
        if let Some(mut owed) = self.remove(id) {
            change(&mut owed);
            self.insert(owed);
        }
    }

    fn insert(&mut self, owed: Owed) {
        let id = owed.debt.id;
        let kind = Kind::of(&owed.debt.call);
        let table = if owed.state == State::Running { &mut self.undoing } else { &mut self.by_kind };
        table.entry(kind).or_insert(id);
        if let Some(due) = owed.due() {
            self.by_due.insert((due, id));
        }
        self.owed.insert(id, owed);
    }

    fn remove(&mut self, id: DebtId) -> Option<Owed> {
        let owed = self.owed.remove(&id)?;
        let kind = Kind::of(&owed.debt.call);
        for table in [&mut self.by_kind, &mut self.undoing] {
            if table.get(&kind) == Some(&id) {
                table.remove(&kind);
            }
        }
        if let Some(due) = owed.due() {
            self.by_due.remove(&(due, id));
        }
        Some(owed)
    }
}

impl Owed {
    /// When its undo is to be called, if only time is missing.
    fn due(&self) -> Option<Boot> {
        (self.state == State::Waits && self.runs == 0).then(|| self.again.unwrap_or(self.debt.due))
    }

    /// Whether there is nothing to undo, and nothing comes any more.
    const fn is_void(&self) -> bool {
        self.runs == 0 && !self.has_begun
    }

    fn end(&mut self, now: Now) {
        self.debt.due = self.debt.due.min(now.boot);
        self.debt.due_wall = self.debt.due_wall.min(now.wall);
        self.again = None;
    }
}

impl Kind {
    /// The kind of the knock that a program is told of.
    pub(super) fn of(call: &Call) -> Self {
        Self { source: call.source, user: call.user_name.clone(), action: call.action_name.clone() }
    }
}

/// The longest that a knock of now could delay it.
fn longest(debt: &Debt, policy: &Policy) -> Duration {
    use crate::policy::ActionKind::{Builtin, Exec, Grant, Revoke, Step};
    let action = policy.action(debt.call.action).filter(|action| action.name == debt.call.action_name);
    match action.map(|action| &action.kind) {
        Some(Exec(rule)) => rule.undo.map_or(Duration::ZERO, |undo| undo.after),
        Some(Grant(_) | Revoke(_) | Step | Builtin(_)) | None => Duration::ZERO,
    }
}
