//! What waits to be written: bounded, and counted where there is no room. Never touches a file.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use siglatch_common::units::Boot;
use tokio::sync::broadcast;

use super::teller;
use crate::audit::event::Lost;
use crate::audit::line::Told;
use crate::audit::{Event, Stamp};
use crate::config::AuditRule;
use crate::edge::clock;

/// Something that happened, and when.
#[derive(Debug)]
pub(super) struct Stamped {
    pub(super) event: Event,
    pub(super) at: Stamp,
}

/// What waits for the writer, and for the teller.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    ready: Condvar,
    lines: SyncSender<Line>,
    /// Until the teller takes it.
    told: Mutex<Option<Receiver<Line>>>,
    /// Whether anybody writes a file.
    is_written: bool,
    /// Whether every event goes to the journal, or decisions alone to the plain log.
    to_journal: bool,
    /// Those who watch. Each holds what it has not taken, up to [`Queue::WATCHED`]; this never waits for one.
    watchers: broadcast::Sender<Arc<Stamped>>,
    lines_lost: AtomicU64,
    records_lost: AtomicU64,
    failing: AtomicBool,
    /// When the writer went to the disk, in nanoseconds since boot; 0 while it is not there.
    at_disk: AtomicU64,
}

/// What the teller is handed.
#[derive(Debug)]
pub(super) enum Line {
    /// Tell this.
    Event(Arc<Stamped>),
    /// Say that everything before it was told.
    Mark(SyncSender<()>),
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Arc<Stamped>>,
    lost: Option<Lost>,
    rotate: bool,
    /// What the writer goes by from now on, if that has changed.
    rule: Option<AuditRule>,
    finish: bool,
    /// Whether the writer sleeps until there is something: only then is it woken, which costs more than a record does.
    is_idle: bool,
}

/// What the writer is handed.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Whether a new file is wanted.
    pub(super) rotate: bool,
    /// What it goes by from now on, if that has changed.
    pub(super) rule: Option<AuditRule>,
    /// Whether this is the last.
    pub(super) finish: bool,
}

impl State {
    /// Whether the writer is to do something else than write what waits.
    const fn is_asked(&self) -> bool {
        self.rotate || self.rule.is_some() || self.finish
    }
}

impl Queue {
    /// Records that wait for the writer; more are lost, and counted.
    pub(super) const CAPACITY: usize = 16_384;
    /// Lines that wait for the teller.
    const LINES: usize = 1024;
    /// Records that the writer takes at once.
    pub(super) const BATCH: usize = 1024;
    /// Events that a watcher may be behind; it misses what is older.
    const WATCHED: usize = 1024;

    pub(super) fn new(is_written: bool) -> Self {
        let (lines, told) = sync_channel(Self::LINES);
        Self {
            state: Mutex::default(),
            ready: Condvar::new(),
            lines,
            told: Mutex::new(Some(told)),
            is_written,
            to_journal: teller::is_connected(),
            watchers: broadcast::channel(Self::WATCHED).0,
            lines_lost: AtomicU64::new(0),
            records_lost: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            at_disk: AtomicU64::new(0),
        }
    }

    /// Puts something behind what waits.
    pub(super) fn put(&self, event: Event, told: Told) {
        let record = told.record && self.is_written;
        let line = if self.to_journal { told.line || told.record } else { told.line && has_line(&event) };
        let is_watched = told.record && self.watchers.receiver_count() > 0;
        if !record && !line && !is_watched {
            return;
        }
        let mut state = self.lock();
        if state.finish {
            return;
        }
        // Under the lock, so that records are in the order of their times.
        let stamped = Arc::new(Stamped { event, at: clock::stamp() });
        if is_watched {
            // Fails only if the last watcher has left meanwhile.
            let _ = self.watchers.send(Arc::clone(&stamped));
        }
        if line {
            self.tell(Arc::clone(&stamped));
        }
        if record {
            // The last of all has a place, and what was lost is told before it. Otherwise not at the first free place:
            // under more than the disk takes, every other record would say so.
            let is_last = matches!(stamped.event, Event::Stop { .. });
            if is_last || state.waiting.len() < Self::CAPACITY / 2 {
                self.tell_lost(&mut state, stamped.at);
            }
            if is_last || state.waiting.len() < Self::CAPACITY {
                state.waiting.push_back(stamped);
            } else {
                self.lose(&mut state, &stamped);
            }
            let is_wanted = state.is_idle || state.waiting.len() == Self::BATCH;
            drop(state);
            if is_wanted {
                self.ready.notify_one();
            }
        }
    }

    /// Takes what waits, once there is something to do, or a span is over. What comes within a moment is taken together.
    pub(super) fn take(&self, to: &mut VecDeque<Arc<Stamped>>, patience: Duration) -> Taken {
        let is_calm = |state: &mut State| state.waiting.len() < Self::BATCH && !state.is_asked();
        let gathered = self.ready.wait_timeout_while(self.lock(), MOMENT, is_calm);
        let mut state = gathered.unwrap_or_else(PoisonError::into_inner).0;
        if state.waiting.is_empty() && !state.is_asked() {
            state.is_idle = true;
            state = self.ready.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0;
            state.is_idle = false;
        }
        let count = state.waiting.len().min(Self::BATCH.saturating_sub(to.len()));
        to.extend(state.waiting.drain(..count));
        if state.waiting.is_empty() {
            self.tell_lost(&mut state, clock::stamp());
            to.extend(state.waiting.drain(..));
        }
        let finish = state.finish && state.waiting.is_empty();
        Taken { rotate: std::mem::take(&mut state.rotate), rule: state.rule.take(), finish }
    }

    /// Waits, for the end at most.
    pub(super) fn wait_for_finish(&self, patience: Duration) -> bool {
        let state = self.lock();
        let wait = self.ready.wait_timeout_while(state, patience, |state| !state.finish);
        wait.unwrap_or_else(PoisonError::into_inner).0.finish
    }

    pub(super) fn want_rotation(&self) {
        self.lock().rotate = true;
        self.ready.notify_one();
    }

    pub(super) fn set_rule(&self, rule: AuditRule) {
        self.lock().rule = Some(rule);
        self.ready.notify_one();
    }

    /// Nothing more is put.
    pub(super) fn finish(&self) {
        self.lock().finish = true;
        self.ready.notify_one();
    }

    /// The writer goes to the disk, and may not come back.
    pub(super) fn at_disk(&self, is_there: bool) {
        let since = if is_there { clock::boot().as_nanos().max(1) } else { 0 };
        self.at_disk.store(since, Ordering::Relaxed);
    }

    pub(super) fn set_failing(&self, failing: bool) {
        self.failing.store(failing, Ordering::Relaxed);
    }

    pub(super) fn is_failing(&self) -> bool {
        let is_stuck = || {
            let since = self.at_disk.load(Ordering::Relaxed);
            since != 0 && clock::boot().since(Boot::from_nanos(since)) > STUCK
        };
        self.is_written && (self.failing.load(Ordering::Relaxed) || is_stuck())
    }

    pub(super) fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    pub(super) fn lost(&self) -> u64 {
        self.records_lost.load(Ordering::Relaxed)
    }

    /// What happens from now on, as long as nobody is too slow for it.
    pub(super) fn watch(&self) -> broadcast::Receiver<Arc<Stamped>> {
        self.watchers.subscribe()
    }

    /// What the teller reads; once.
    pub(super) fn lines(&self) -> Option<Receiver<Line>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Lines that found no room since this was asked last.
    pub(super) fn take_lines_lost(&self) -> u64 {
        self.lines_lost.swap(0, Ordering::Relaxed)
    }

    /// Waits until everything was told.
    pub(super) fn wait_for_lines(&self, patience: Duration) {
        let (said, over) = sync_channel(1);
        if self.lines.try_send(Line::Mark(said)).is_ok() {
            // Whoever reads the log no more is not waited for.
            let _ = over.recv_timeout(patience);
        }
    }

    fn tell(&self, stamped: Arc<Stamped>) {
        if self.lines.try_send(Line::Event(stamped)).is_err() {
            self.lines_lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Puts what was lost behind what waits, if anything was.
    fn tell_lost(&self, state: &mut State, at: Stamp) {
        if let Some(lost) = state.lost.take() {
            let lost = Arc::new(Stamped { event: Event::Lost(lost), at });
            if self.to_journal {
                self.tell(Arc::clone(&lost));
            }
            state.waiting.push_back(lost);
        }
    }

    fn lose(&self, state: &mut State, stamped: &Stamped) {
        self.records_lost.fetch_add(1, Ordering::Relaxed);
        let boot = stamped.at.boot.as_nanos();
        let lost = state.lost.get_or_insert(Lost { records: 0, admitted: 0, since_boot: boot, until_boot: boot });
        lost.records += 1;
        lost.admitted += u64::from(matches!(&stamped.event, Event::Knock(knock) if knock.reason.is_none()));
        lost.until_boot = boot;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under it is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the plain log has a line of it that other programs go by. The others the daemon tells in its own words.
const fn has_line(event: &Event) -> bool {
    matches!(event, Event::Knock(_) | Event::Ban(_) | Event::Unban(_))
}

/// How long the writer leaves what comes to itself: after a kill, so much of what happened last is not in the log.
const MOMENT: Duration = Duration::from_millis(10);
/// A disk that takes longer than this is failing.
const STUCK: Duration = Duration::from_secs(5);
