//! Watches over one run of a program, in a process of its own: holds it to its bounds, keeps the beginning of what it
//! writes, and ends everything below it. Never runs a second one.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::fchown;
use rustix::io::{Errno, read};
use rustix::net::{SendFlags, send};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, getpid, getppid, kill_process_group};
use rustix::thread::{Gid, Uid, set_name};

use super::account::Account;
use super::becoming::Becoming;
use super::below::{self, Exit, Reaped, adopt, die_with, end_all, leave, lend};
use super::launch::{Launch, Limits, Step, Stumble};
use super::message::Report;
use super::signals::{Signalled, Signals, timespec};
use super::survey::survey;
use super::table::Ready;
use super::words::Words;
use crate::gate::{Bound, Ending, How, Job, NotStarted};

/// What a runner is given.
#[derive(Clone, Copy)]
pub(super) struct Errand<'s> {
    pub(super) socket: &'s OwnedFd,
    pub(super) signals: &'s Signals,
    pub(super) ready: &'s Ready,
    pub(super) job: &'s Job,
    /// The process that has forked this one.
    pub(super) starter: Pid,
    /// The nice value that the daemon had.
    pub(super) nice: i32,
}

/// A run under way.
struct Run<'s> {
    errand: Errand<'s>,
    account: Account,
    groups: Vec<Gid>,
    words: Words,
    began: Instant,
    program: Option<Pid>,
    /// What the program writes to.
    output: Option<OwnedFd>,
    kept: Vec<u8>,
    written: u64,
    /// What it went beyond, and when it is killed for it.
    over: Option<(Bound, Instant)>,
}

/// Does the errand, tells how it ended, and leaves.
pub(super) fn run(errand: Errand<'_>) -> ! {
    let _ = set_name(c"siglatch-runner");
    if !die_with(errand.starter, Signal::TERM) {
        leave(1);
    }
    let began = Instant::now();
    let prepared = adopt().map_err(|error| not_started(&error)).and_then(|()| prepare(errand, began));
    let (Ok(mut ending) | Err(mut ending)) = prepared.and_then(Run::go);
    ending.took = began.elapsed();
    tell(errand, &Report::Ended(errand.job.id, ending));
    // What does not die although it was killed stays below this one, which waits.
    while !end_all(errand.signals, Duration::MAX, |_| ()) {}
    leave(0);
}

/// Looks at everything, and makes everything, that a process on its way to the program cannot.
fn prepare(errand: Errand<'_>, began: Instant) -> Result<Run<'_>, Ending> {
    let program = &errand.ready.program;
    let fit = Becoming::of_this_process().check(program).and_then(|()| survey(program));
    let account = fit.map_err(|unfit| {
        let mut ending = Ending::not_started(unfit.why());
        // The cure, where the output would be: nobody else knows as much.
        ending.output = unfit.to_string().into_bytes();
        ending.output.truncate(Ending::OUTPUT_MAX);
        ending
    })?;
    let invalid = NotStarted::System(Errno::INVAL.raw_os_error());
    let words = Words::of(&errand.ready.command, errand.job).ok_or_else(|| Ending::not_started(invalid))?;
    Ok(Run {
        errand,
        groups: account.groups.iter().map(|gid| Gid::from_raw(*gid)).collect(),
        account,
        words,
        began,
        program: None,
        output: None,
        kept: Vec::with_capacity(Ending::OUTPUT_MAX),
        written: 0,
        over: None,
    })
}

impl Run<'_> {
    /// Runs the program, and ends everything below it.
    fn go(mut self) -> Result<Ending, Ending> {
        if let Err(stumble) = self.launch(self.errand.ready.processes_of_user)? {
            // Without a program there is nothing below.
            return Err(Ending::not_started(why(stumble)));
        }
        tell(self.errand, &Report::Started(self.errand.job.id));
        let how = match (self.watch(), self.over) {
            (_, Some((bound, _))) => How::Bounded(bound),
            (Some(reaped), None) => self.judge(reaped),
            (None, None) => How::Lost,
        };
        end_all(self.errand.signals, KILL_PATIENCE, |_| ());
        self.drain();
        Ok(Ending { how, took: Duration::ZERO, output: self.kept, written: self.written })
    }

    /// Makes the process that becomes the program, or says why it did not.
    fn launch(&mut self, processes: u64) -> Result<Result<(), Stumble>, Ending> {
        let bounds = self.errand.ready.program.bounds;
        let launch = Launch {
            path: self.errand.ready.command.first().ok_or_else(|| Ending::not_started(NotStarted::Missing))?,
            arguments: self.words.arguments(),
            environment: self.words.environment(),
            folder: &self.errand.ready.folder,
            uid: Uid::from_raw(self.account.uid),
            gid: Gid::from_raw(self.account.gid),
            groups: &self.groups,
            limits: Limits {
                cpu: bounds.cpu.as_secs() + u64::from(bounds.cpu.subsec_nanos() > 0),
                memory: bounds.memory,
                processes,
            },
            nice: self.errand.nice,
            runner: getpid(),
        };
        let (output, write_end) = pipe_with(PipeFlags::CLOEXEC).map_err(system)?;
        rustix::io::ioctl_fionbio(&output, true).map_err(system)?;
        // Whoever opens /dev/stderr opens the pipe once more, and must be its owner for that.
        let _ = fchown(&write_end, Some(launch.uid), Some(launch.gid));
        let stumble = Cell::new(None);
        let program = lend(&|| launch.launch(write_end.as_fd(), &stumble)).map_err(|error| not_started(&error))?;
        match stumble.get() {
            None => {
                (self.output, self.program) = (Some(output), Some(program));
                Ok(Ok(()))
            }
            // The user has many processes besides those that knocks start: then they are counted, and allowed on top.
            Some(Stumble { step: Step::Execute, error: libc::EAGAIN })
                if processes == self.errand.ready.processes_of_user =>
            {
                let others = processes_of(self.account.uid).max(1);
                self.launch(processes.saturating_add(others))
            }
            Some(stumble) => Ok(Err(stumble)),
        }
    }

    /// Waits until the program has ended or must be ended; how it ended, if it has.
    fn watch(&mut self) -> Option<Reaped> {
        let mut look = Instant::now() + LOOK;
        loop {
            let now = Instant::now();
            let deadline = self.began + self.errand.ready.program.bounds.time;
            match self.over {
                Some((_, kill)) if now >= kill => return None,
                None if now >= deadline => self.stop(Bound::Time),
                Some(_) | None => {}
            }
            if now >= look {
                let most = usize::try_from(self.errand.ready.program.bounds.processes).unwrap_or(usize::MAX);
                if below::count(most) > most {
                    self.over = Some((Bound::Processes, now));
                    return None;
                }
                look = now + LOOK;
            }
            let until = self.over.map_or(deadline, |(_, kill)| kill).min(look);
            self.wait(until.saturating_duration_since(now));
            self.listen();
            while let Some(signalled) = self.errand.signals.take() {
                match signalled {
                    Signalled::Term(_) if getppid() != Some(self.errand.starter) => {
                        // Nobody is left who could be told.
                        end_all(self.errand.signals, KILL_PATIENCE, |_| ());
                        leave(1);
                    }
                    Signalled::Term(from) if from == Some(self.errand.starter) => self.stop(Bound::Stop),
                    Signalled::Term(_) | Signalled::Child => {}
                }
            }
            while let Ok(Some(reaped)) = below::reap() {
                if Some(reaped.pid) == self.program {
                    self.program = None;
                    return Some(reaped);
                }
            }
        }
    }

    fn wait(&self, most: Duration) {
        let mut fds = vec![PollFd::new(self.errand.signals, PollFlags::IN)];
        // What is over is no longer read: whoever writes on waits.
        fds.extend(self.output.iter().filter(|_| self.over.is_none()).map(|output| PollFd::new(output, PollFlags::IN)));
        let _ = poll(&mut fds, Some(&timespec(most)));
    }

    /// Reads what was written.
    fn listen(&mut self) {
        let mut buffer = [0; 64 * 1024];
        while self.over.is_none() {
            let Some(output) = &self.output else { return };
            match read(output, &mut buffer) {
                Ok(0) => self.output = None,
                Ok(length) => {
                    self.keep(buffer.get(..length).unwrap_or(&[]));
                    if self.written > self.errand.ready.program.bounds.output {
                        self.stop(Bound::Output);
                    }
                    // Others want to be heard as well.
                    if length < buffer.len() {
                        return;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => self.output = None,
            }
        }
    }

    /// Reads what is left in the pipe when nobody writes any more.
    fn drain(&mut self) {
        let Some(output) = self.output.take() else { return };
        let mut buffer = [0; 64 * 1024];
        // A pipe holds a megabyte at most.
        for _ in 0..DRAIN {
            match read(&output, &mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(length) => self.keep(buffer.get(..length).unwrap_or(&[])),
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.written += bytes.len() as u64;
        let room = Ending::OUTPUT_MAX - self.kept.len();
        self.kept.extend(bytes.iter().take(room));
    }

    /// Asks the program to end.
    fn stop(&mut self, bound: Bound) {
        if self.over.is_none() {
            self.over = Some((bound, Instant::now() + GRACE));
            // Its number is its own until it is reaped.
            if let Some(program) = self.program {
                let _ = kill_process_group(program, Signal::TERM);
            }
        }
    }

    /// How it ended by itself, or by the kernel's hand.
    fn judge(&self, Reaped { exit, cpu, .. }: Reaped) -> How {
        match exit {
            Exit::Code(code) => How::Exited(code),
            Exit::Signal(libc::SIGXCPU) => How::Bounded(Bound::Cpu),
            Exit::Signal(libc::SIGKILL) if cpu >= self.errand.ready.program.bounds.cpu => How::Bounded(Bound::Cpu),
            Exit::Signal(signal) => How::Killed(signal),
        }
    }
}

fn tell(errand: Errand<'_>, report: &Report) {
    // Without anybody to tell there is nothing to do about it.
    while send(errand.socket, &report.encode(), SendFlags::NOSIGNAL) == Err(Errno::INTR) {}
}

fn system(error: Errno) -> Ending {
    Ending::not_started(NotStarted::System(error.raw_os_error()))
}

fn not_started(error: &io::Error) -> Ending {
    Ending::not_started(NotStarted::System(error.raw_os_error().unwrap_or(libc::EINVAL)))
}

/// The file itself was surveyed: what is missing, or may not be executed, is what would have to interpret it.
fn why(Stumble { step, error }: Stumble) -> NotStarted {
    match (step, error) {
        (Step::Enter, libc::ENOENT | libc::ENOTDIR | libc::EACCES) => NotStarted::NoFolder,
        (Step::Execute, libc::ENOENT | libc::ENOTDIR | libc::EACCES | libc::ENOEXEC | libc::ELOOP) => {
            NotStarted::NotExecutable
        }
        (Step::Contain | Step::Enter | Step::Execute, error) => NotStarted::System(error),
    }
}

/// How many threads the processes of a user have: what the kernel's limit counts.
fn processes_of(uid: u32) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let tasks = processes.filter_map(|process| std::fs::metadata(process.path().join("task")).ok());
    // A folder has two links besides those of the folders in it.
    tasks.filter(|tasks| tasks.uid() == uid).map(|tasks| tasks.nlink().saturating_sub(2)).sum()
}

/// Between TERM and KILL.
const GRACE: Duration = Duration::from_secs(2);

/// Between two counts of the processes below.
const LOOK: Duration = Duration::from_millis(50);

/// How long the end of a run waits for something that does not die of KILL.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// Reads until a pipe is empty, in buffers.
const DRAIN: usize = 32;
