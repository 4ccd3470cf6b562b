//! Child processes whose every line is kept, and which end with the value. Never knows what they are for.

use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};
use std::{env, fmt};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// A running process. Dropping it kills it.
pub struct Process {
    name: String,
    child: Child,
    said: Arc<Said>,
    readers: Vec<JoinHandle<()>>,
}

/// What a process has printed, on both streams.
#[derive(Default)]
struct Said {
    text: Mutex<String>,
    more: Condvar,
}

impl Process {
    /// Starts a command.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        let name = format!("{command:?}");
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let said = Arc::new(Said::default());
        let streams: [Option<Box<dyn Read + Send>>; 2] =
            [child.stdout.take().map(|out| Box::new(out) as _), child.stderr.take().map(|err| Box::new(err) as _)];
        let readers = streams.into_iter().flatten().map(|stream| {
            let said = Arc::clone(&said);
            thread::spawn(move || said.listen(stream))
        });
        let readers = readers.collect();
        Ok(Self { name, child, said, readers })
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has printed so far.
    #[must_use]
    pub fn said(&self) -> String {
        self.said.text().clone()
    }

    /// Waits until it has printed `text`, and returns everything it has printed by then.
    ///
    /// # Errors
    /// If it has not by [`PATIENCE`], or has ended.
    pub fn wait_for(&self, text: &str) -> Result<String> {
        self.wait_until(text, |said| said.contains(text))
    }

    /// Waits until what it has printed is as wanted; `what` names that.
    ///
    /// # Errors
    /// If it is not by [`PATIENCE`], or the process has ended.
    pub fn wait_until(&self, what: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut said = self.said.text();
        loop {
            if wanted(&said) {
                return Ok(said.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            // Only the readers and this hold it: without them nothing more will come.
            if left.is_zero() || Arc::strong_count(&self.said) == 1 {
                bail!("{} did not say {what:?}, but:\n{said}", self.name);
            }
            let step = left.min(Duration::from_millis(50));
            said = self.said.more.wait_timeout(said, step).unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
    }

    /// Sends SIGKILL, and waits until it is gone.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends a signal, and does not wait.
    ///
    /// # Errors
    /// If it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.child.id().cast_signed()).context("a process has a number above zero")?;
        kill_process(pid, signal).with_context(|| format!("{} takes no signal", self.name))
    }

    /// Waits for its end; returns how it ended, and everything it has printed.
    ///
    /// # Errors
    /// If it has not ended by [`PATIENCE`].
    pub fn end(mut self) -> Result<(ExitStatus, String)> {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if Instant::now() > deadline {
                bail!("{} does not end; it said:\n{}", self.name, self.said());
            }
            sleep(Duration::from_millis(2));
        };
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        Ok((status, self.said()))
    }

    /// Sends SIGTERM, and waits for its end as [`Process::end`] does.
    ///
    /// # Errors
    /// If it has not ended by [`PATIENCE`].
    pub fn terminate(self) -> Result<(ExitStatus, String)> {
        self.signal(Signal::TERM)?;
        self.end()
    }

    /// Whether it is still there.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.child.id())
    }
}

impl Said {
    fn text(&self) -> MutexGuard<'_, String> {
        self.text.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn listen(&self, stream: impl Read) {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            self.text().push_str(&String::from_utf8_lossy(&line));
            line.clear();
            self.more.notify_all();
        }
    }
}

/// The exit code and what was printed, of a command that ends by itself.
///
/// # Errors
/// If it cannot be started, does not end, or is ended by a signal.
pub fn outcome(command: &mut Command) -> Result<(i32, String)> {
    let (status, said) = Process::start(command)?.end()?;
    let code = status.code().with_context(|| format!("ended by signal {:?}; it said:\n{said}", status.signal()))?;
    Ok((code, said))
}

/// Waits until `is_so` holds, asking again and again; false if it does not by the end of `patience`.
pub fn wait_until(patience: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if is_so() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        sleep(Duration::from_millis(5));
    }
}

/// Lets time pass, for what nothing but time can show.
pub fn let_pass(span: Duration) {
    sleep(span);
}

/// One of this workspace's programs, built in the same profile as the running one.
///
/// # Errors
/// With the command that builds it if it is not there.
pub fn program(name: &str) -> Result<PathBuf> {
    let running = env::current_exe()?;
    // Test executables are one folder deeper than programs.
    let folders = running.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| {
        let release = if cfg!(debug_assertions) { "" } else { " --release" };
        format!("{name} is not built: run `cargo build{release} -p siglatch-user -p siglatch-client` first")
    })
}

/// How long a machine with better things to do may take: other suites run beside this one. What comes costs none of it.
pub const PATIENCE: Duration = Duration::from_secs(60);
