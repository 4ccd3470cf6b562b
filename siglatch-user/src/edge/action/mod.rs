//! Starts programs, contained, in processes of their own: the daemon's end of it. Never waits for a program, and never
//! decides which is started.
//!
//! Three kinds of processes, all this executable in a hidden mode, so that nothing of the daemon's memory is in them:
//! the keeper (`keeper.rs`) starts the starter anew when that dies, the starter (`starter.rs`) takes the
//! daemon's orders, and each run has a runner (`runner.rs`) that holds the program to its bounds and ends everything
//! below it. See `docs/decisions/0010-programs.md`.

pub(super) mod account;
mod becoming;
mod below;
mod descriptors;
mod keeper;
mod launch;
mod message;
mod news;
mod read_again;
mod runner;
mod signals;
mod starter;
mod survey;
mod table;
mod words;

use std::collections::BTreeSet;
use std::ffi::OsString;
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

use crate::edge::privilege::is_confined;
use crate::gate::{Job, JobId, NotStarted};
use crate::policy::Program;
use message::{MESSAGE_MAX, Opening, Order, Report, Request, encode_table};
use read_again::Configuration;

pub use account::Account;
pub use becoming::Becoming;
pub(super) use descriptors::close_inherited;
pub use message::Digest;
pub use news::{Endings, News};
pub use read_again::Read;
pub use survey::{Unfit, survey};

/// Lives as the process that keeps the starter, if this one was begun for that; nothing if not. Comes before anything else
/// in the daemon's `main`. `read` reads the configuration again, from the words that [`Starter::begin`] was given.
#[must_use]
pub fn keep_if_asked(read: Read) -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let mode = arguments.next()?;
    (mode == HIDDEN_MODE).then(|| keeper::keep(Configuration { words: arguments.collect(), read }))
}

/// What asks for runs. Its clones are the same one.
#[derive(Clone, Debug)]
pub struct Starter(Arc<Link>);

/// What [`Starter`] and [`Endings`] share.
#[derive(Debug)]
struct Link {
    /// What the processes are made of.
    executable: PathBuf,
    /// How they come by the configuration.
    words: Vec<OsString>,
    /// Who this process was when it began: only so can the processes be begun anew.
    user: u32,
    /// Whom the processes can become.
    becoming: Becoming,
    state: Mutex<State>,
    /// Rung by [`Starter::stop`].
    stopped: Condvar,
    /// Rung when a configuration was read again.
    told: Condvar,
}

#[derive(Debug)]
struct State {
    /// Nothing while there is no keeper.
    socket: Option<Arc<OwnedFd>>,
    /// Of the process that takes the orders.
    generation: u32,
    /// The programs, as messages, and what they come to: what orders name.
    table: Vec<Vec<u8>>,
    digest: Digest,
    /// The last time that the configuration was asked to be read, and what came of it.
    asked: u32,
    read: Option<Result<Digest, String>>,
    /// Ordered, and no end told.
    under_way: BTreeSet<JobId>,
    stopping: bool,
}

impl Starter {
    /// Begins the processes that start these programs; `executable` is `/proc/self/exe` for the daemon. Comes before
    /// any thread is begun. Nothing of this process's memory goes with them, nor any descriptor but a socket. `words` are what
    /// they read the configuration again by, the file first; none: they never do.
    ///
    /// # Errors
    /// If they do not come up, or if a command is longer than 64 kB.
    pub fn begin(executable: &Path, programs: &[Program], words: &[OsString]) -> io::Result<(Self, Endings)> {
        let table = encode_table(programs).map_err(|name| {
            let reason = format!("the program of \"{name}\" cannot be told to another process");
            io::Error::new(io::ErrorKind::InvalidInput, format!("{reason}: shorten its command, at most 64 kB"))
        })?;
        let state = State {
            socket: None,
            generation: 0,
            digest: Digest::of_messages(&table),
            table,
            asked: 0,
            read: None,
            under_way: BTreeSet::new(),
            stopping: false,
        };
        let link = Arc::new(Link {
            executable: executable.to_owned(),
            words: words.to_vec(),
            user: geteuid().as_raw(),
            becoming: Becoming::of_this_process(),
            state: Mutex::new(state),
            stopped: Condvar::new(),
            told: Condvar::new(),
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
        let order = Order { generation: state.generation, table: state.digest, job: job.clone() }.encode();
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

    /// Has the other side read the configuration for itself, and waits until it has: what its programs come to. Nothing changes
    /// by that until [`Starter::adopt`]. Somebody must be taking from [`Endings`] meanwhile.
    ///
    /// # Errors
    /// Why it does not follow the file: in words for the operator.
    pub fn prepare(&self, patience: Duration) -> Result<Digest, String> {
        let mut state = self.0.state();
        state.asked = state.asked.wrapping_add(1);
        state.read = None;
        let number = state.asked;
        state.send(&Request::Read(number))?;
        let waiting = |state: &mut State| state.read.is_none() && state.asked == number && state.socket.is_some();
        let waited = self.0.told.wait_timeout_while(state, patience, waiting);
        let mut state = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        if state.asked != number {
            return Err("the programs are being read for another reload".to_owned());
        }
        let nobody = if state.socket.is_some() { "has not read it in time" } else { "has ended" };
        state.read.take().unwrap_or_else(|| Err(format!("the process that starts programs {nobody}")))
    }

    /// What these programs come to: the same as [`Starter::prepare`] says if the other side has read the same.
    #[must_use]
    pub fn digest_of(programs: &[Program]) -> Option<Digest> {
        encode_table(programs).ok().map(|table| Digest::of_messages(&table))
    }

    /// From here on the numbers of programs in orders are of this table, which was prepared; what runs goes on. Waits for
    /// nothing. Whether the other side was told of a new one.
    pub fn adopt(&self, programs: &[Program]) -> bool {
        let Ok(table) = encode_table(programs) else { return false };
        let mut state = self.0.state();
        let digest = Digest::of_messages(&table);
        if digest == state.digest {
            return false;
        }
        (state.table, state.digest) = (table, digest);
        // Whoever cannot be told now is told when it is there again.
        state.send(&Request::Adopt(digest)).is_ok()
    }

    /// Whom programs can run as.
    #[must_use]
    pub fn becoming(&self) -> Becoming {
        self.0.becoming
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

impl State {
    fn send(&self, request: &Request) -> Result<(), String> {
        let socket = self.socket.as_ref().filter(|_| !self.stopping);
        let socket = socket.ok_or("there is no process that starts programs")?;
        let sent = send(socket, &request.encode(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        sent.map(drop).map_err(|error| format!("the process that starts programs takes no word: {error}"))
    }
}

impl Link {
    /// Begins a keeper, tells it the programs, and waits until orders are taken.
    fn begin(&self) -> io::Result<Child> {
        let generation = self.state().generation + 1;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let mut keeper = Command::new(&self.executable)
            .arg(HIDDEN_MODE)
            .args(&self.words)
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
        let (table, digest) = {
            let state = self.state();
            (state.table.clone(), state.digest)
        };
        let programs = u16::try_from(table.len()).map_err(|_| invalid("there are more than 65535 programs"))?;
        send(socket, &Opening { generation, programs }.encode(), SendFlags::NOSIGNAL)?;
        for program in &table {
            send(socket, program, SendFlags::NOSIGNAL)?;
        }
        let patience = Timespec { tv_sec: HELLO_PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
        if poll(&mut [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)], Some(&patience))? == 0 {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the process that starts programs says nothing"));
        }
        match receive(socket)? {
            Some(Report::Hello { generation: theirs, table }) if (theirs, table) == (generation, digest) => Ok(()),
            Some(_) => Err(invalid("the process that starts programs makes no sense")),
            None => Err(invalid("the process that starts programs has ended")),
        }
    }

    /// Whether this process is still whom it was: only so can it begin a keeper.
    fn can_begin(&self) -> bool {
        !is_confined() && geteuid().as_raw() == self.user
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
