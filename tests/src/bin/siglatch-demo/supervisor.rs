//! Runs the demonstration as a child with mounts of its own, and cleans up behind it, however it ends.
//! Never shows anything itself.

use std::env;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitCode, ExitStatus};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, WaitOptions, geteuid, getpid, kill_process, set_child_subreaper, wait};
use siglatch_tests::netns::sweep;
use tokio::signal::unix::{SignalKind, signal};

/// Shows, and answers with the exit code of the demonstration.
pub(crate) fn run() -> ExitCode {
    if !geteuid().is_root() {
        eprintln!("siglatch-demo needs root: it makes network namespaces and attaches a real XDP program.");
        eprintln!("Run it as: sudo {}", env::args().next().unwrap_or_default());
        return ExitCode::FAILURE;
    }
    match supervise() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("siglatch-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn supervise() -> Result<ExitCode> {
    // What outlives the child becomes ours, to be waited for.
    set_child_subreaper(Some(getpid()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ending = runtime.block_on(watch())?;
    while let Ok(Some(_)) = wait(WaitOptions::empty()) {}
    // What the child has not taken down itself: its names say that they are of a process that is no more.
    sweep();
    match ending {
        Ending::Itself(code) => Ok(ExitCode::from(code)),
        Ending::Signal(signal) => {
            eprintln!("\n{}: everything is taken down again.", name(signal));
            Ok(ExitCode::from(u8::try_from(128 + signal.as_raw())?))
        }
    }
}

enum Ending {
    Itself(u8),
    Signal(Signal),
}

async fn watch() -> Result<Ending> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let child = start()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("a process has a number above zero")?;
    let mut ended = tokio::task::spawn_blocking(move || end(child));
    let signal = tokio::select! {
        status = &mut ended => return Ok(Ending::of(status??)),
        _ = interrupt.recv() => Signal::INT,
        _ = terminate.recv() => Signal::TERM,
        _ = hang_up.recv() => Signal::HUP,
    };
    // The child's own children go with it, and so do its mounts.
    let _ = kill_process(pid, Signal::KILL);
    ended.await??;
    Ok(Ending::Signal(signal))
}

impl Ending {
    /// A terminal sends Ctrl-C to the child as well, which may be faster.
    fn of(status: ExitStatus) -> Self {
        let signal =
            [Signal::INT, Signal::TERM, Signal::HUP].into_iter().find(|one| status.signal() == Some(one.as_raw()));
        match signal {
            Some(signal) => Self::Signal(signal),
            None => Self::Itself(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        }
    }
}

fn name(signal: Signal) -> &'static str {
    match signal {
        Signal::INT => "interrupted",
        Signal::TERM => "terminated",
        _ => "hung up",
    }
}

/// With mounts of its own: its BPF file system, and so every pin, is there for it alone, and vanishes with it.
fn start() -> Result<Child> {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig=KILL", "unshare", "--mount", "--"]).arg(env::current_exe()?).arg("--on-stage");
    command.spawn().context("cannot run setpriv and unshare, which are in Debian's package util-linux")
}

fn end(mut child: Child) -> std::io::Result<ExitStatus> {
    child.wait()
}
