//! Scripts, the processes that start them, and what becomes of them.

use std::ffi::OsString;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use siglatch_common::address::Address;
use siglatch_common::wire::v1::{ActionId, Payload, UserId};
use siglatch_user::edge::action::{News, Starter};
use siglatch_user::gate::{Call, Ending, How, Job, JobId, KnockId, Why};
use siglatch_user::policy::{Bounds, Program, ProgramId};
use tempfile::TempDir;

/// Processes that start some programs. Ends them when dropped.
pub struct Stage {
    pub starter: Starter,
    news: Receiver<News>,
    kept: Vec<News>,
}

/// A folder of scripts; others may look into it.
pub struct Folder(TempDir);

impl Stage {
    pub fn of(programs: &[Program]) -> Self {
        Self::with(programs, &[])
    }

    /// Processes that read the configuration again by these words.
    pub fn with(programs: &[Program], words: &[OsString]) -> Self {
        let (starter, endings) = {
            let _alone = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
            Starter::begin(Path::new(env!("CARGO_BIN_EXE_siglatch-user")), programs, words).unwrap()
        };
        let (sender, news) = channel();
        thread::spawn(move || endings.map(|news| sender.send(news)).all(|sent| sent.is_ok()));
        Self { starter, news, kept: Vec::new() }
    }

    /// One program, the text of a script, as root.
    pub fn of_script(folder: &Folder, text: &str) -> Self {
        Self::of(&[folder.program(text)])
    }

    /// Orders a run of a program.
    pub fn order(&self, program: u16) -> JobId {
        let job = job(program);
        self.starter.run(&job).unwrap();
        job.id
    }

    /// Runs the first program to its end.
    pub fn run(&mut self) -> Ending {
        let job = self.order(0);
        self.end_of(job)
    }

    /// Waits for the end of a run.
    pub fn end_of(&mut self, job: JobId) -> Ending {
        let found = self.wait_for(|news| matches!(news, News::Ended(ended, _) if *ended == job));
        let News::Ended(_, ending) = found else { unreachable!() };
        ending
    }

    /// Waits for news, and keeps others for later.
    pub fn wait_for(&mut self, wanted: impl Fn(&News) -> bool) -> News {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = self.kept.iter().position(&wanted) {
                return self.kept.remove(found);
            }
            match self.news.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(news) => self.kept.push(news),
                Err(error) => panic!("{error}; there was {:?}", self.kept),
            }
        }
    }

    /// All news up to the last.
    pub fn rest(&mut self) -> Vec<News> {
        let mut all = std::mem::take(&mut self.kept);
        loop {
            match self.news.recv_timeout(PATIENCE) {
                Ok(news) => all.push(news),
                Err(RecvTimeoutError::Disconnected) => return all,
                Err(RecvTimeoutError::Timeout) => panic!("there is no last news; there was {all:?}"),
            }
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.starter.stop();
        // So that nothing is left when the test has ended.
        while self.news.recv_timeout(PATIENCE).is_ok() {}
    }
}

impl Folder {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a script; `FOLDER` in it means this folder.
    pub fn script(&self, text: &str) -> PathBuf {
        let path = self.path(&format!("script-{}", number()));
        let text = text.replace("FOLDER", self.0.path().to_str().unwrap());
        // No process may begin while a file is open for writing: it would have it open as well, for a moment.
        let _alone = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// A program that is such a script, as root.
    pub fn program(&self, text: &str) -> Program {
        program(&self.script(text))
    }

    /// Waits until a script has written a line into a file of this folder.
    pub fn line(&self, name: &str) -> String {
        let path = self.path(name);
        let mut line = String::new();
        wait_until(&format!("{} is written", path.display()), || {
            line = fs::read_to_string(&path).unwrap_or_default();
            line.ends_with('\n')
        });
        line.trim().to_owned()
    }

    /// As [`Folder::line`], for numbers of processes.
    pub fn pids(&self, name: &str) -> Vec<u32> {
        self.line(name).split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    }
}

pub fn program(path: &Path) -> Program {
    Program {
        name: "test".into(),
        command: vec![path.to_str().unwrap().into()],
        run_as: "root".into(),
        run_groups: Vec::new(),
        folder: "/".into(),
        bounds: Bounds::DEFAULT,
        at_once: NonZeroUsize::MIN,
        queue: 0,
        on_failure: None,
    }
}

pub fn job(program: u16) -> Job {
    let call = Call {
        knock: KnockId::new(1, 2),
        source: Address::v4([192, 0, 2, 1]),
        user: UserId(7),
        user_name: "ann".into(),
        action: ActionId(9),
        action_name: "vpn".into(),
        sealed: true,
        payload: Payload::EMPTY,
    };
    Job { id: JobId(number()), program: ProgramId(program), why: Why::Knock, call }
}

/// The output of a run that ended well.
pub fn said(ending: &Ending) -> String {
    let text = String::from_utf8_lossy(&ending.output).into_owned();
    assert_eq!(ending.how, How::Exited(0), "{text}");
    text
}

pub fn text(ending: &Ending) -> String {
    String::from_utf8_lossy(&ending.output).into_owned()
}

/// The parent of a process.
pub fn parent(pid: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse().unwrap()
}

/// What `ps` calls a process.
pub fn name(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap().trim().to_owned()
}

pub fn kill(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// Whether it is there and not only waited for.
pub fn is_alive(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ") && !status.contains("State:\tX")
}

/// How many processes a user has.
pub fn processes_of(uid: u32) -> usize {
    let processes =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.path().join("task").metadata().ok());
    processes.filter(|process| process.uid() == uid).count()
}

pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(2));
    }
}

/// Unique in this process.
pub fn number() -> u64 {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// Held while a script is written, and while processes begin.
static WRITING: Mutex<()> = Mutex::new(());

const PATIENCE: Duration = Duration::from_secs(15);
