//! Which programs run, and which wait for a place. Never starts one.

use std::collections::{BTreeMap, BTreeSet};

use super::{Call, DebtId, Job, JobId, Why};
use crate::policy::{Policy, Program, ProgramId};

/// Runs under way, and runs that wait.
///
/// Bounded: of knocks wait at most [`crate::policy::Program::queue`] for a program, of failures at most
/// [`Jobs::FAILURES`] in all, and of undos at most as many as there are debts.
#[derive(Debug)]
pub(super) struct Jobs {
    /// Runs at once, of all programs.
    at_once: usize,
    lines: Vec<Line>,
    running: BTreeMap<JobId, Task>,
    /// Runs that come after an undo which is under way: their work is not to be undone by it.
    held: BTreeMap<DebtId, BTreeMap<JobId, Task>>,
    /// For each program with a place left, the first that waits for it.
    next: BTreeSet<(JobId, ProgramId)>,
    waiting: usize,
    waiting_failures: usize,
    dropped: u64,
    last: JobId,
}

/// How many programs there are, in which state.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Programs {
    /// Started, and not ended yet.
    pub running: usize,
    /// Waiting for their turn.
    pub waiting: usize,
    /// Never started: they would have told of failures, but too many waited already.
    pub dropped: u64,
}

/// A run, and what is to be undone of it.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) job: Box<Job>,
    /// The debt that a knock's run stands behind.
    pub(super) debt: Option<DebtId>,
}

/// What one program has under way.
#[derive(Debug)]
struct Line {
    at_once: usize,
    queue: usize,
    running: usize,
    waiting: BTreeMap<JobId, Task>,
    waiting_knocks: usize,
    /// Its place in [`Jobs::next`].
    next: Option<JobId>,
}

impl Jobs {
    /// Runs that wait because others have failed.
    pub(super) const FAILURES: usize = 256;

    pub(super) fn new(policy: &Policy, at_once: usize) -> Self {
        Self {
            at_once,
            lines: lines_of(policy),
            running: BTreeMap::new(),
            held: BTreeMap::new(),
            next: BTreeSet::new(),
            waiting: 0,
            waiting_failures: 0,
            dropped: 0,
            last: JobId(0),
        }
    }

    /// A run that nothing has come of yet.
    pub(super) fn prepare(&mut self, program: ProgramId, why: Why, call: Call) -> Box<Job> {
        self.last = JobId(self.last.0 + 1);
        Box::new(Job { id: self.last, program, why, call })
    }

    /// Whether a knock's run would find a place, or one to wait in; `held` if it must wait.
    pub(super) fn has_room(&self, program: ProgramId, held: bool) -> bool {
        self.lines.get(usize::from(program.0)).is_some_and(|line| {
            let has_place = line.running < line.at_once && self.running.len() < self.at_once;
            !held && line.waiting.is_empty() && has_place || line.waiting_knocks < line.queue
        })
    }

    /// Puts a run into its line; it starts when [`Jobs::start`] says so. One that tells of a failure is dropped if too many
    /// of these wait.
    pub(super) fn put(&mut self, task: Task) {
        if matches!(task.job.why, Why::Failure(..)) && self.waiting_failures >= Self::FAILURES {
            self.dropped += 1;
            return;
        }
        self.count(&task.job, 1);
        self.line_up_with(task);
    }

    /// The same for a run that must not start before an undo has ended.
    pub(super) fn put_after(&mut self, undo: DebtId, task: Task) {
        self.count(&task.job, 1);
        self.held.entry(undo).or_default().insert(task.job.id, task);
    }

    /// An undo has ended: what has waited for that waits for its turn.
    pub(super) fn release(&mut self, undo: DebtId) {
        for task in self.held.remove(&undo).into_iter().flat_map(BTreeMap::into_values) {
            self.line_up_with(task);
        }
    }

    /// Gives a place to the run that has waited longest of those that may have one.
    pub(super) fn start(&mut self) -> Option<&Task> {
        if self.running.len() >= self.at_once {
            return None;
        }
        let (id, program) = *self.next.first()?;
        let task = self.cancel(id, program)?;
        self.lines.get_mut(usize::from(program.0))?.running += 1;
        self.line_up(program);
        Some(self.running.entry(id).or_insert(task))
    }

    /// Whether [`Jobs::start`] has something to give.
    pub(super) fn can_start(&self) -> bool {
        self.running.len() < self.at_once && !self.next.is_empty()
    }

    /// Frees the place of a run.
    pub(super) fn end(&mut self, id: JobId) -> Option<Task> {
        let task = self.running.remove(&id)?;
        if let Some(line) = self.lines.get_mut(usize::from(task.job.program.0)) {
            line.running -= 1;
        }
        self.line_up(task.job.program);
        Some(task)
    }

    /// Takes a run out of its line.
    pub(super) fn cancel(&mut self, id: JobId, program: ProgramId) -> Option<Task> {
        let line = self.lines.get_mut(usize::from(program.0))?;
        let waiting = line.waiting.remove(&id);
        let task = waiting.or_else(|| self.held.values_mut().find_map(|held| held.remove(&id)))?;
        self.count(&task.job, -1);
        self.line_up(program);
        Some(task)
    }

    /// Gives no places any more; returns the runs that wait, but for undos.
    pub(super) fn close(&mut self) -> Vec<Job> {
        self.at_once = 0;
        let in_line = self.lines.iter().flat_map(|line| line.waiting.values());
        let held = self.held.values().flat_map(BTreeMap::values);
        let waiting: Vec<_> = in_line.chain(held).map(|task| (task.job.id, task.job.program)).collect();
        let tasks = waiting.into_iter().filter_map(|(id, program)| self.cancel(id, program));
        let mut jobs: Vec<_> = tasks.map(|task| *task.job).filter(|job| !matches!(job.why, Why::Undo(_))).collect();
        jobs.sort_by_key(|job| job.id);
        jobs
    }

    /// Goes on with other programs: `places` says for each of before which it is now. Gives the runs that wait for one that
    /// is gone, in their order; those under way go on, and have a place among all programs alone.
    pub(super) fn adopt(&mut self, policy: &Policy, at_once: usize, places: &[Option<ProgramId>]) -> Vec<Task> {
        let lines = std::mem::replace(&mut self.lines, lines_of(policy));
        let held = std::mem::take(&mut self.held);
        self.at_once = at_once;
        self.next.clear();
        (self.waiting, self.waiting_failures) = (0, 0);
        let place = |program: ProgramId| places.get(usize::from(program.0)).copied().flatten();
        for task in self.running.values_mut() {
            task.job.program = place(task.job.program).unwrap_or(ProgramId::NONE);
            if let Some(line) = self.lines.get_mut(usize::from(task.job.program.0)) {
                line.running += 1;
            }
        }
        let mut gone = Vec::new();
        let in_line = lines.into_iter().flat_map(|line| line.waiting.into_values()).map(|task| (None, task));
        let held = held.into_iter().flat_map(|(undo, tasks)| tasks.into_values().map(move |task| (Some(undo), task)));
        for (undo, mut task) in in_line.chain(held) {
            match (place(task.job.program), undo) {
                (None, _) => gone.push(task),
                (Some(program), undo) => {
                    task.job.program = program;
                    self.count(&task.job, 1);
                    match undo {
                        Some(undo) => _ = self.held.entry(undo).or_default().insert(task.job.id, task),
                        None => self.line_up_with(task),
                    }
                }
            }
        }
        for place in 0..self.lines.len() {
            self.line_up(ProgramId(u16::try_from(place).unwrap_or(u16::MAX)));
        }
        gone.sort_by_key(|task| task.job.id);
        gone
    }

    pub(super) fn programs(&self) -> Programs {
        Programs { running: self.running.len(), waiting: self.waiting, dropped: self.dropped }
    }

    /// Counts a run in, or out, of those that wait.
    fn count(&mut self, job: &Job, by: isize) {
        let add = |count: &mut usize, is_one: bool| {
            *count = count.saturating_add_signed(if is_one { by } else { 0 });
        };
        add(&mut self.waiting, true);
        add(&mut self.waiting_failures, matches!(job.why, Why::Failure(..)));
        if let Some(line) = self.lines.get_mut(usize::from(job.program.0)) {
            add(&mut line.waiting_knocks, job.why == Why::Knock);
        }
    }

    fn line_up_with(&mut self, task: Task) {
        let program = task.job.program;
        if let Some(line) = self.lines.get_mut(usize::from(program.0)) {
            line.waiting.insert(task.job.id, task);
        }
        self.line_up(program);
    }

    /// Keeps [`Jobs::next`] true for a program.
    fn line_up(&mut self, program: ProgramId) {
        let Some(line) = self.lines.get_mut(usize::from(program.0)) else {
            return;
        };
        let first = if line.running < line.at_once { line.waiting.keys().next().copied() } else { None };
        if line.next == first {
            return;
        }
        if let Some(before) = std::mem::replace(&mut line.next, first) {
            self.next.remove(&(before, program));
        }
        if let Some(first) = first {
            self.next.insert((first, program));
        }
    }
}

fn lines_of(policy: &Policy) -> Vec<Line> {
    let line = |program: &Program| Line {
        at_once: program.at_once.get(),
        queue: program.queue,
        running: 0,
        waiting: BTreeMap::new(),
        waiting_knocks: 0,
        next: None,
    };
    policy.programs().iter().map(line).collect()
}
