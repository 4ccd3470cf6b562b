//! Which programs run, and which wait for a place. Never starts one.

use std::collections::{BTreeMap, BTreeSet};

use super::{Call, DebtId, Job, JobId, Why};
use crate::policy::{Policy, ProgramId};

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
        let line = |program: &crate::policy::Program| Line {
            at_once: program.at_once.get(),
            queue: program.queue,
            running: 0,
            waiting: BTreeMap::new(),
            waiting_knocks: 0,
            next: None,
        };
        Self {
            at_once,
            lines: policy.programs().iter().map(line).collect(),
            running: BTreeMap::new(),
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

    /// Whether a knock's run would find a place, or one to wait in.
    pub(super) fn has_room(&self, program: ProgramId) -> bool {
        self.lines.get(usize::from(program.0)).is_some_and(|line| {
            let starts = line.waiting.is_empty() && line.running < line.at_once && self.running.len() < self.at_once;
            starts || line.waiting_knocks < line.queue
        })
    }

    /// Puts a run into its line; it starts when [`Jobs::start`] says so. One that tells of a failure is dropped if too many
    /// of these wait.
    pub(super) fn put(&mut self, task: Task) {
        let is_failure = matches!(task.job.why, Why::Failure(..));
        let program = task.job.program;
        let Some(line) = self.lines.get_mut(usize::from(program.0)) else {
            self.dropped += 1;
            return;
        };
        if is_failure && self.waiting_failures >= Self::FAILURES {
            self.dropped += 1;
            return;
        }
        self.waiting += 1;
        self.waiting_failures += usize::from(is_failure);
        line.waiting_knocks += usize::from(task.job.why == Why::Knock);
        line.waiting.insert(task.job.id, task);
        self.line_up(program);
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
        let task = line.waiting.remove(&id)?;
        line.waiting_knocks -= usize::from(task.job.why == Why::Knock);
        self.waiting -= 1;
        self.waiting_failures -= usize::from(matches!(task.job.why, Why::Failure(..)));
        self.line_up(program);
        Some(task)
    }

    pub(super) fn programs(&self) -> Programs {
        Programs { running: self.running.len(), waiting: self.waiting, dropped: self.dropped }
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
