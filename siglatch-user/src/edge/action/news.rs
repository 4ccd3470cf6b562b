//! What becomes of the runs, as the daemon hears it; and a new beginning when there is nobody left to tell it. Never
//! orders a run.

use std::collections::VecDeque;
use std::io;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::message::{Report, Request};
use super::{Link, receive};
use crate::gate::{Ending, How, JobId};

/// Where the news comes from: for a thread of its own.
#[derive(Debug)]
pub struct Endings {
    link: Arc<Link>,
    keeper: Option<Child>,
    began: Instant,
    /// Before the next beginning.
    pause: Duration,
    queue: VecDeque<News>,
    /// The reading by which a new starter comes to the table in use.
    catching_up: Option<u32>,
    is_over: bool,
}

/// Something that the daemon should know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum News {
    /// A program has begun.
    Started(JobId),
    /// It is over, and so is everything that it started.
    Ended(JobId, Ending),
    /// The process that starts programs had died, and there is a new one. What was under way was told to be lost.
    Restarted,
    /// There is none for now, and why. What was under way was told to be lost.
    Gone(String),
}

impl Endings {
    pub(super) fn new(link: Arc<Link>, keeper: Child) -> Self {
        Self {
            link,
            keeper: Some(keeper),
            began: Instant::now(),
            pause: PAUSE_MIN,
            queue: VecDeque::new(),
            catching_up: None,
            is_over: false,
        }
    }

    fn take(&mut self, report: Report) {
        match report {
            Report::Hello { generation, table } => {
                let mut state = self.link.state();
                state.generation = generation;
                if table != state.digest {
                    // It died in the middle of an adoption. Until it has caught up, it refuses what it is ordered.
                    state.asked = state.asked.wrapping_add(1);
                    state.read = None;
                    self.catching_up = Some(state.asked);
                    let _ = state.send(&Request::Read(state.asked));
                }
                let lost = std::mem::take(&mut state.under_way);
                drop(state);
                self.queue.extend(lost.into_iter().map(lose));
                self.queue.push_back(News::Restarted);
            }
            Report::Read(number, outcome) => {
                let mut state = self.link.state();
                if number != state.asked {
                    return;
                }
                if self.catching_up.take_if(|wanted| *wanted == number).is_some() {
                    if outcome == Ok(state.digest) {
                        let _ = state.send(&Request::Adopt(state.digest));
                    } else {
                        let why = outcome.clone().err().unwrap_or_else(|| "the file was changed since".to_owned());
                        self.queue
                            .push_back(News::Gone(format!("it does not know the programs in use, {why}: reload")));
                    }
                }
                state.read = Some(outcome);
                self.link.told.notify_all();
            }
            Report::Started(job) => {
                if self.link.state().under_way.contains(&job) {
                    self.queue.push_back(News::Started(job));
                }
            }
            Report::Ended(job, ending) => {
                if self.link.state().under_way.remove(&job) {
                    self.queue.push_back(News::Ended(job, ending));
                }
            }
        }
    }

    /// Nobody is left, or nobody of sense.
    fn mourn(&mut self, error: Option<io::Error>) {
        let mut state = self.link.state();
        state.socket = None;
        self.link.told.notify_all();
        let lost = std::mem::take(&mut state.under_way);
        self.is_over = state.stopping;
        drop(state);
        let status = self.keeper.take().map(|mut keeper| {
            if error.is_some() {
                let _ = keeper.kill();
            }
            keeper.wait()
        });
        self.queue.extend(lost.into_iter().map(lose));
        if !self.is_over {
            let cure =
                if self.link.can_begin() { "" } else { "; programs start again when siglatch-user is restarted" };
            self.queue.push_back(News::Gone(why(error, status) + cure));
        }
        if self.began.elapsed() > LONG_ENOUGH {
            self.pause = PAUSE_MIN;
        }
    }

    fn begin_anew(&mut self) {
        let state = self.link.state();
        let wait = self.link.stopped.wait_timeout_while(state, self.pause, |state| !state.stopping);
        let is_stopping = wait.unwrap_or_else(|poisoned| poisoned.into_inner()).0.stopping;
        // Whoever has given up its rights cannot hand them to others.
        if is_stopping || !self.link.can_begin() {
            self.is_over = true;
            return;
        }
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        match self.link.begin() {
            Ok(keeper) => {
                (self.keeper, self.began) = (Some(keeper), Instant::now());
                self.queue.push_back(News::Restarted);
            }
            Err(error) => self.queue.push_back(News::Gone(format!("it does not come up: {error}"))),
        }
    }
}

impl Iterator for Endings {
    type Item = News;

    /// Waits for the next news; nothing after [`super::Starter::stop`] when all has been told.
    ///
    /// Begins the processes anew if they are gone, as long as this process is still whom it was.
    fn next(&mut self) -> Option<News> {
        loop {
            if let Some(news) = self.queue.pop_front() {
                return Some(news);
            }
            if self.is_over {
                return None;
            }
            let socket = self.link.state().socket.clone();
            match socket.map(|socket| receive(&socket)) {
                Some(Ok(Some(report))) => self.take(report),
                Some(Ok(None)) => self.mourn(None),
                Some(Err(error)) => self.mourn(Some(error)),
                None => self.begin_anew(),
            }
        }
    }
}

fn lose(job: JobId) -> News {
    News::Ended(job, Ending { how: How::Lost, took: Duration::ZERO, output: Vec::new(), written: 0 })
}

fn why(error: Option<io::Error>, status: Option<io::Result<ExitStatus>>) -> String {
    match (error, status) {
        (Some(error), _) => format!("what it says makes no sense: {error}"),
        (None, Some(Ok(status))) => format!("it has ended: {status}"),
        (None, Some(Err(error))) => format!("it has ended: {error}"),
        (None, None) => "it has ended".to_owned(),
    }
}

const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Whoever lived so long did not die of the beginning.
const LONG_ENOUGH: Duration = Duration::from_secs(60);
