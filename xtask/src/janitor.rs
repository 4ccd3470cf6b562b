//! Ends test programs that outlive a run, and takes away what they leave: namespaces, pins, folders.
//!
//! It is a process of its own that hears of each test program and waits for the end of the run, whatever that is: Ctrl-C and
//! SIGKILL, too. It touches nothing of programs that it has not heard of.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, Write as _, stdin};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// The janitor's process, as the run sees it.
#[derive(Debug, Default)]
pub(crate) struct Janitor {
    process: Option<Child>,
    /// The run's end of the pipe: its end is the end of the run.
    told: Mutex<Option<ChildStdin>>,
}

impl Janitor {
    /// Starts it.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn start() -> Result<Self> {
        // The file of the running program may have been built anew since. A group of its own hears no Ctrl-C.
        let mut command = Command::new("/proc/self/exe");
        command.arg(COMMAND).stdin(Stdio::piped()).process_group(0);
        let mut process = command.spawn().context("cannot start what cleans up after the tests")?;
        let told = Mutex::new(process.stdin.take());
        Ok(Self { process: Some(process), told })
    }

    /// None at all, for tests of what tells it.
    #[cfg(test)]
    pub(crate) fn deaf() -> Self {
        Self::default()
    }

    /// A test program has been started.
    pub(crate) fn began(&self, pid: u32) {
        self.tell(&format!("{BEGAN}{pid}"));
    }

    /// A test program has ended, and must not be looked for.
    pub(crate) fn ended(&self, pid: u32) {
        self.tell(&format!("{ENDED}{pid}"));
    }

    /// Ends a run: waits until everything is clean.
    pub(crate) fn finish(self) {
        drop(self.told);
        if let Some(mut process) = self.process {
            drop(process.wait());
        }
    }

    fn tell(&self, line: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipe) = told.as_mut() {
            // Without a janitor the tests are as good: the next run sweeps, too.
            drop(writeln!(pipe, "{line}"));
        }
    }
}

/// What the janitor's process does: listens until the run is over, then cleans up.
pub(crate) fn main() {
    let heard = listen(stdin().lock());
    for (pid, _) in heard.iter().filter(|(_, running)| **running) {
        kill(&pid.to_string());
    }
    for pid in heard.into_keys() {
        let folder = Path::new("/proc").join(pid.to_string());
        let deadline = Instant::now() + DYING;
        while folder.exists() && Instant::now() < deadline {
            sleep(Duration::from_millis(10));
        }
        // Whoever is there still has come by the number of one that is gone.
        if !folder.exists() {
            sweep(pid);
        }
    }
}

/// Each test program's number, and whether it is still running.
fn listen(lines: impl BufRead) -> BTreeMap<u32, bool> {
    let mut heard = BTreeMap::new();
    for line in lines.lines().map_while(Result::ok) {
        let told = [(BEGAN, true), (ENDED, false)].into_iter().find_map(|(sign, running)| {
            let pid = line.strip_prefix(sign)?.parse::<u32>().ok()?;
            Some((pid, running))
        });
        heard.extend(told);
    }
    heard
}

/// Takes away what the test program with that number has left; its name is in all of it.
fn sweep(pid: u32) {
    let prefix = format!("siglatch-test-{pid}-");
    for namespace in left(NAMESPACES, &prefix) {
        let inside = Command::new("ip").env("PATH", search_path()).args(["netns", "pids", &namespace]).output();
        for pid in inside.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default().lines()
        {
            kill(pid);
        }
        drop(Command::new("ip").env("PATH", search_path()).args(["netns", "del", &namespace]).output());
    }
    for folder in [Path::new(PINS), &std::env::temp_dir()] {
        for name in left(folder, &prefix) {
            drop(fs::remove_dir_all(folder.join(name)));
        }
    }
}

fn left(folder: impl AsRef<Path>, prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name.starts_with(prefix)).collect()
}

/// The shell's own, which is there on every machine.
fn kill(pid: &str) {
    drop(Command::new("sh").args(["-c", "kill -KILL \"$1\" 2>/dev/null", "sh", pid]).status());
}

/// Debian keeps `ip` where a login without root does not look.
fn search_path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

/// The task by which xtask starts itself as the janitor.
pub(crate) const COMMAND: &str = "clean-up-after-tests";

const BEGAN: &str = "began ";
const ENDED: &str = "ended ";
/// How long a process may take to be gone after SIGKILL.
const DYING: Duration = Duration::from_secs(2);
/// Where `ip netns` keeps them.
const NAMESPACES: &str = "/run/netns";
/// Where daemons of tests keep their pins.
const PINS: &str = "/sys/fs/bpf";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_is_not_looked_for() {
        let heard = listen("began 7\nbegan 8\nended 7\nnonsense\nbegan x\nbegan 9".as_bytes());
        assert_eq!(heard, BTreeMap::from([(7, false), (8, true), (9, true)]));
    }

    #[test]
    fn only_the_folders_of_that_program_are_taken_away() {
        let own = std::process::id();
        let [its, another_s] =
            ["", "0"].map(|more| std::env::temp_dir().join(format!("siglatch-test-{own}{more}-swept")));
        for folder in [&its, &another_s] {
            fs::create_dir_all(folder.join("deep")).unwrap();
        }
        sweep(own);
        assert!(!its.exists() && another_s.exists());
        fs::remove_dir_all(another_s).unwrap();
    }
}
