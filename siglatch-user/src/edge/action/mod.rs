//! Starts programs, contained, in processes of their own: the daemon's end of it. Never waits for a program, and never
//! decides which is started.
//!
//! Three kinds of processes, all this executable in a hidden mode, so that nothing of the daemon's memory is in them:
//! the keeper (`keeper.rs`) starts the starter anew when that dies, the starter (`starter.rs`) takes the
//! daemon's orders, and each run has a runner (`runner.rs`) that holds the program to its bounds and ends everything
//! below it. See `docs/decisions/0010-programs.md`.

pub(super) mod account;
mod below;
mod descriptors;
mod keeper;
mod launch;
mod message;
mod news;
mod runner;
mod signals;
mod starter;
mod survey;
mod table;
mod words;

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, recv, send, shutdown, socketpair,
};
use rustix::process::geteuid;
use rustix::time::Timespec;

use crate::gate::{Job, JobId, NotStarted};
use crate::policy::Program;
use message::{MESSAGE_MAX, Opening, Order, Report, encode_program};

pub use account::Account;
pub(super) use descriptors::close_inherited;
pub use news::{Endings, News};
pub use survey::{Unfit, survey};

/// Lives as the process that keeps the starter, if this one was begun for that; nothing if not. Comes before anything else
/// in the daemon's `main`.
#[must_use]
pub fn keep_if_asked() -> Option<ExitCode> {
    let mode = std::env::args_os().nth(1)?;
    (mode == HIDDEN_MODE).then(keeper::keep)
}

/// What asks for runs. Its clones are the same one.
#[derive(Clone, Debug)]
pub struct Starter(Arc<Link>);

/// What [`Starter`] and [`Endings`] share.
#[derive(Debug)]
struct Link {
    /// What the processes are made of.
    executable: PathBuf,
    /// The programs, as messages.
    table: Vec<Vec<u8>>,
    /// Who this process was when it began: only so can the processes be begun anew.
    user: u32,
    state: Mutex<State>,
    /// Rung by [`Starter::stop`].
    stopped: Condvar,
}

#[derive(Debug)]
struct State {
    /// Nothing while there is no keeper.
    socket: Option<Arc<OwnedFd>>,
    /// Of the process that takes the orders.
    generation: u32,
    /// Ordered, and no end told.
    under_way: BTreeSet<JobId>,
    stopping: bool,
}

impl Starter {
    /// Begins the processes that start these programs; `executable` is `/proc/self/exe` for the daemon. Comes before
    /// any thread is begun. Nothing of this process's memory goes with them, nor any descriptor but a socket.
    ///
    /// # Errors
    /// If they do not come up, or if a command is longer than 64 kB.
    pub fn begin(executable: &Path, programs: &[Program]) -> io::Result<(Self, Endings)> {
        let table = programs.iter().map(|program| {
            encode_program(program).ok_or_else(|| {
                let reason = format!("the program of \"{}\" cannot be told to another process", program.name);
                io::Error::new(io::ErrorKind::InvalidInput, format!("{reason}: shorten its command, at most 64 kB"))
            })
        });
        let state = State { socket: None, generation: 0, under_way: BTreeSet::new(), stopping: false };
        let link = Arc::new(Link {
            executable: executable.to_owned(),
            table: table.collect::<io::Result<_>>()?,
            user: geteuid().as_raw(),
            state: Mutex::new(state),
            stopped: Condvar::new(),
        });
        let keeper = link.begin()?;
        Ok((Self(Arc::clone(&link)), Endings::new(link, keeper)))
    }

    /// Orders a run, and waits for nothing: what becomes of it, [`Endings`] tells.
    ///
    /// # Errors
    /// If nobody takes the order; then nothing will be told.
    pub fn run(&self, job: &Job) -> Result<(), NotStarted> {
        let mut state = self.0.state();
        let socket = state.socket.clone().filter(|_| !state.stopping).ok_or(NotStarted::NoStarter)?;
        let order = Order { generation: state.generation, job: job.clone() }.encode();
        match send(&socket, &order, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(_) => {
                // Nobody can be told of its end before: that takes the state.
                state.under_way.insert(job.id);
                Ok(())
            }
            Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => Err(NotStarted::NoStarter),
            Err(error) => Err(NotStarted::System(error.raw_os_error())),
        }
    }

    /// Ends all runs: TERM, and KILL soon after. Their ends are still told; then [`Endings::next`] has nothing more.
    pub fn stop(&self) {
        let mut state = self.0.state();
        state.stopping = true;
        if let Some(socket) = &state.socket {
            let _ = shutdown(socket, Shutdown::Write);
        }
        self.0.stopped.notify_all();
    }
}

impl Link {
    /// Begins a keeper, tells it the programs, and waits until orders are taken.
    fn begin(&self) -> io::Result<Child> {
        let generation = self.state().generation + 1;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let mut keeper = Command::new(&self.executable)
            .arg(HIDDEN_MODE)
            .env_clear()
            .current_dir("/")
            .stdin(theirs)
            .stdout(Stdio::null())
            .spawn()?;
        if let Err(error) = self.acquaint(&ours, generation) {
            let _ = keeper.kill();
            let _ = keeper.wait();
            return Err(error);
        }
        let mut state = self.state();
        state.generation = generation;
        if state.stopping {
            shutdown(&ours, Shutdown::Write)?;
        }
        state.socket = Some(Arc::new(ours));
        Ok(keeper)
    }

    fn acquaint(&self, socket: &OwnedFd, generation: u32) -> io::Result<()> {
        let invalid = |reason| io::Error::new(io::ErrorKind::InvalidData, reason);
        let programs = u16::try_from(self.table.len()).map_err(|_| invalid("there are more than 65535 programs"))?;
        send(socket, &Opening { generation, programs }.encode(), SendFlags::NOSIGNAL)?;
        for program in &self.table {
            send(socket, program, SendFlags::NOSIGNAL)?;
        }
        let patience = Timespec { tv_sec: HELLO_PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
        if poll(&mut [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)], Some(&patience))? == 0 {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the process that starts programs says nothing"));
        }
        match receive(socket)? {
            Some(Report::Hello { generation: theirs }) if theirs == generation => Ok(()),
            Some(_) => Err(invalid("the process that starts programs makes no sense")),
            None => Err(invalid("the process that starts programs has ended")),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Waits for the next report; nothing if nobody is left to send one.
fn receive(socket: &OwnedFd) -> io::Result<Option<Report>> {
    let mut bytes = [0; MESSAGE_MAX];
    loop {
        match recv(socket, &mut bytes, RecvFlags::empty()) {
            Ok((0, _)) | Err(Errno::CONNRESET) => return Ok(None),
            Ok((length, _)) => {
                let report = bytes.get(..length).and_then(Report::decode);
                return report.map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into());
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The first argument of a process that is to be a keeper.
const HIDDEN_MODE: &str = "--start-programs";

/// How long a new keeper may take.
const HELLO_PATIENCE: Duration = Duration::from_secs(10);
