//! Takes the daemon's orders and forks a runner for each. Never starts anything that is not in the table, and never
//! outlives the daemon.

use std::collections::HashMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::process::{Pid, Signal, getpid, getppid, kill_process};
use rustix::thread::set_name;

use super::below::{self, Exit, Fork, Reaped, adopt, die_with, end_all, fork, kill_below, leave};
use super::message::{Digest, MESSAGE_MAX, Opening, Order, Report, Request};
use super::read_again::{Configuration, Reading};
use super::runner::{Errand, run};
use super::signals::{Signalled, Signals, timespec};
use super::table::Table;
use crate::gate::{Ending, How, Job, JobId, NotStarted};

/// What a starter is given.
#[derive(Clone, Copy)]
pub(super) struct Post<'k> {
    pub(super) socket: &'k OwnedFd,
    pub(super) signals: &'k Signals,
    pub(super) table: &'k Table,
    pub(super) configuration: &'k Configuration,
    /// Where the keeper is told which table was taken.
    pub(super) tables: &'k OwnedFd,
    pub(super) generation: u32,
    /// The process that has forked this one.
    pub(super) keeper: Pid,
    /// The nice value that the daemon had.
    pub(super) nice: i32,
}

struct Starter<'k> {
    post: Post<'k>,
    /// What orders name.
    table: Table,
    /// A configuration is being read.
    reading: Option<Reading>,
    /// It was read, and may be adopted.
    prepared: Option<Table>,
    pid: Pid,
    runners: HashMap<Pid, JobId>,
    /// Runs whose runner is gone, and what is below may not be yet.
    lost: Vec<JobId>,
    /// When everything is killed.
    stop: Option<Instant>,
    buffer: Vec<u8>,
}

/// Takes orders until the daemon has ended.
pub(super) fn serve(post: Post<'_>) -> ! {
    let _ = set_name(c"siglatch-start");
    if !die_with(post.keeper, Signal::TERM) || adopt().is_err() {
        leave(1);
    }
    let starter = Starter {
        post,
        table: post.table.clone(),
        reading: None,
        prepared: None,
        pid: getpid(),
        runners: HashMap::new(),
        lost: Vec::new(),
        stop: None,
        buffer: vec![0; MESSAGE_MAX],
    };
    starter.tell(&Report::Hello { generation: post.generation, table: starter.table.digest() });
    starter.table.warm_up();
    starter.go()
}

impl Starter<'_> {
    fn go(mut self) -> ! {
        loop {
            let is_daemon_ending = self.wait();
            self.hear_signals();
            self.hear_reader();
            self.bury();
            if self.stop.is_none() {
                self.take_orders(is_daemon_ending);
            }
            match self.stop {
                Some(_) if self.runners.is_empty() && self.lost.is_empty() => leave(0),
                Some(kill) if Instant::now() >= kill => {
                    end_all(self.post.signals, PATIENCE, |_| ());
                    leave(0);
                }
                Some(_) | None => {}
            }
        }
    }

    /// Waits for an order, a signal, the daemon's end, or the time to look again. Whether it is the daemon's end.
    fn wait(&self) -> bool {
        let most = if self.lost.is_empty() {
            self.stop.map(|kill| kill.saturating_duration_since(Instant::now()))
        } else {
            Some(AGAIN)
        };
        let mut fds = vec![PollFd::new(self.post.signals, PollFlags::IN)];
        if self.stop.is_none() {
            fds.push(PollFd::new(self.post.socket, PollFlags::IN | PollFlags::RDHUP));
            fds.extend(self.reading.iter().map(|reading| PollFd::new(&reading.socket, PollFlags::IN)));
        }
        let _ = poll(&mut fds, most.map(timespec).as_ref());
        fds.get(1).is_some_and(|socket| socket.revents().contains(PollFlags::RDHUP))
    }

    fn hear_signals(&self) {
        while let Some(signalled) = self.post.signals.take() {
            match signalled {
                Signalled::Term(_) if getppid() != Some(self.post.keeper) => {
                    end_all(self.post.signals, PATIENCE, |_| ());
                    leave(1);
                }
                // Sent to the whole service when it stops: the daemon's own end is what counts.
                Signalled::Term(_) | Signalled::Child => {}
            }
        }
    }

    /// Takes what was read again, if it was.
    fn hear_reader(&mut self) {
        let has_read = self.reading.as_ref().is_some_and(|reading| {
            poll(&mut [PollFd::new(&reading.socket, PollFlags::IN)], Some(&timespec(Duration::ZERO))).unwrap_or(0) > 0
        });
        let Some(reading) = self.reading.take_if(|_| has_read) else { return };
        let outcome = reading.take().map(|table| {
            let digest = table.digest();
            self.prepared = Some(table);
            digest
        });
        self.tell(&Report::Read(reading.number, outcome));
    }

    fn read_again(&mut self, number: u32) {
        self.prepared = None;
        if let Some(earlier) = self.reading.take() {
            earlier.give_up();
        }
        match Reading::begin(self.post.configuration, number) {
            Ok(reading) => self.reading = Some(reading),
            Err(error) => self.tell(&Report::Read(number, Err(error.to_string()))),
        }
    }

    /// Orders name programs of that table from here on; what runs goes on. The keeper has it first: a starter that comes after
    /// this one has it as well.
    fn adopt(&mut self, digest: Digest) {
        let Some(table) = self.prepared.take_if(|table| table.digest() == digest) else { return };
        let programs = u16::try_from(table.messages().len()).unwrap_or(u16::MAX);
        let opening = Opening { generation: self.post.generation, programs }.encode();
        for message in std::iter::once(&opening).chain(table.messages()) {
            while send(self.post.tables, message, SendFlags::NOSIGNAL) == Err(Errno::INTR) {}
        }
        self.table = table;
        self.table.warm_up();
    }

    /// Hears of the ends of runners, and ends what one has left behind that did not end in order.
    fn bury(&mut self) {
        let mut strays = false;
        loop {
            match below::reap() {
                Ok(Some(Reaped { pid, exit, .. })) => match self.runners.remove(&pid) {
                    Some(_) if exit == Exit::Code(0) => {}
                    Some(job) => self.lost.push(job),
                    None => {}
                },
                Ok(None) => {
                    strays = !self.lost.is_empty();
                    break;
                }
                Err(below::Childless) => break,
            }
        }
        if strays {
            let runners = &self.runners;
            strays = kill_below(self.pid, |child| !runners.contains_key(&child));
        }
        if !strays {
            for job in std::mem::take(&mut self.lost) {
                let ending = Ending { how: How::Lost, took: Duration::ZERO, output: Vec::new(), written: 0 };
                self.tell(&Report::Ended(job, ending));
            }
        }
    }

    /// Takes all that are there. When the daemon is ending, it wants none of them any more.
    fn take_orders(&mut self, is_daemon_ending: bool) {
        loop {
            match recv(self.post.socket, &mut *self.buffer, RecvFlags::DONTWAIT) {
                Ok((0, _)) => break self.wind_up(),
                Ok((length, _)) => {
                    let bytes = self.buffer.get(..length).unwrap_or(&[]);
                    let (request, head) = (Request::decode(bytes), Order::decode_head(bytes));
                    match (request, head) {
                        (Some(Request::Read(number)), _) => self.read_again(number),
                        (Some(Request::Adopt(digest)), _) => self.adopt(digest),
                        (Some(Request::Order(_)), Some((_, job))) if is_daemon_ending => {
                            self.refuse(job, NotStarted::NoStarter);
                        }
                        (Some(Request::Order(order)), _) if order.generation == self.post.generation => {
                            self.obey(&order);
                        }
                        (None, Some((generation, job))) if generation == self.post.generation => {
                            self.refuse(job, system(Errno::BADMSG));
                        }
                        // Meant for an earlier one: the daemon has given it up.
                        (Some(Request::Order(_)), _) | (None, _) => {}
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => break self.wind_up(),
            }
        }
    }

    fn obey(&mut self, order: &Order) {
        let job: &Job = &order.job;
        // Its number names a program of another table.
        if order.table != self.table.digest() {
            return self.refuse(job.id, system(Errno::STALE));
        }
        let Some(ready) = self.table.of_id(job.program) else { return self.refuse(job.id, system(Errno::INVAL)) };
        if self.runners.len() >= RUNNERS_MAX {
            return self.refuse(job.id, system(Errno::AGAIN));
        }
        match fork() {
            Ok(Fork::Child) => {
                let Post { socket, signals, nice, .. } = self.post;
                run(Errand { socket, signals, ready, job, starter: self.pid, nice })
            }
            Ok(Fork::Parent(runner)) => {
                self.runners.insert(runner, job.id);
            }
            Err(error) => self.refuse(job.id, system(Errno::from_io_error(&error).unwrap_or(Errno::INVAL))),
        }
    }

    fn refuse(&self, job: JobId, why: NotStarted) {
        self.tell(&Report::Ended(job, Ending::not_started(why)));
    }

    /// The daemon has ended, or wants to: no orders any more, and everybody is asked to end.
    fn wind_up(&mut self) {
        self.stop = Some(Instant::now() + PATIENCE);
        for runner in self.runners.keys() {
            let _ = kill_process(*runner, Signal::TERM);
        }
    }

    fn tell(&self, report: &Report) {
        while send(self.post.socket.as_fd(), &report.encode(), SendFlags::NOSIGNAL) == Err(Errno::INTR) {}
    }
}

const fn system(error: Errno) -> NotStarted {
    NotStarted::System(error.raw_os_error())
}

/// Runs at once that no daemon orders.
const RUNNERS_MAX: usize = 1024;

/// Before what has been killed is looked at again.
const AGAIN: Duration = Duration::from_millis(2);

/// How long runners may take to wind up: longer than a program has between TERM and KILL.
const PATIENCE: Duration = Duration::from_secs(4);
