//! Keeps a starter: begins it anew when it dies, with the table that it had, and ends what it has left behind. Never takes an
//! order.

use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::sockopt::socket_type;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socketpair};
use rustix::process::{Pid, getpid, getpriority_process, setpriority_process, setsid};
use rustix::stdio::{dup2_stdin, stdin};
use rustix::thread::set_name;

use super::below::{self, Exit, Fork, Reaped, adopt, end_all, fork};
use super::descriptors::close_inherited;
use super::message::{MESSAGE_MAX, Opening};
use super::read_again::Configuration;
use super::signals::{Signals, timespec};
use super::starter::{Post, serve};
use super::table::Table;
use crate::edge::privilege::never_dump;

struct Keeper {
    socket: OwnedFd,
    signals: Signals,
    table: Table,
    configuration: Configuration,
    generation: u32,
    nice: i32,
}

/// How a starter ended.
enum Loss {
    /// Because the daemon has ended.
    Daemon,
    /// Otherwise.
    Starter,
}

/// The whole life of a keeper, in a process that was begun for it.
pub(super) fn keep(configuration: Configuration) -> ExitCode {
    match Keeper::begin(configuration) {
        Ok(keeper) => {
            keeper.go();
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("siglatch-keeper: cannot start programs for a daemon: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Keeper {
    /// Takes the socket that the daemon has put where the input is, and reads the table.
    fn begin(configuration: Configuration) -> io::Result<Self> {
        if socket_type(stdin()).ok() != Some(SocketType::SEQPACKET) {
            let reason = "this way to begin is the daemon's own";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        close_inherited();
        never_dump().map_err(io::Error::other)?;
        set_name(c"siglatch-keeper")?;
        let socket = fcntl_dupfd_cloexec(stdin(), 3)?;
        dup2_stdin(openat(CWD, c"/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)?;
        // What a terminal sends to the daemon is not meant for programs.
        setsid()?;
        adopt()?;
        let signals = Signals::begin()?;
        let nice = getpriority_process(None)?;
        // Whoever ends a program that wants all processors must get one. Without the right to it, it takes longer.
        let _ = setpriority_process(None, nice - URGENT);
        let (opening, table) = read_table(&socket)?;
        Ok(Self { socket, signals, table, configuration, generation: opening.generation, nice })
    }

    fn go(mut self) {
        let mut pause = Duration::ZERO;
        loop {
            let began = Instant::now();
            let Ok((starter, tables)) = self.start() else { return };
            let loss = self.watch(starter, &tables);
            end_all(&self.signals, PATIENCE, |_| ());
            if matches!(loss, Loss::Daemon) {
                return;
            }
            pause =
                if began.elapsed() > LONG_ENOUGH { Duration::ZERO } else { (pause * 2).clamp(PAUSE_MIN, PAUSE_MAX) };
            if self.is_daemon_gone(pause) {
                return;
            }
            self.generation = self.generation.wrapping_add(1);
        }
    }

    /// A starter, and the socket by which it tells which table it has taken.
    fn start(&self) -> io::Result<(Pid, OwnedFd)> {
        let keeper = getpid();
        let (tables, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        match fork()? {
            Fork::Child => {
                drop(tables);
                let Self { socket, signals, table, configuration, generation, nice } = self;
                let (generation, nice) = (*generation, *nice);
                serve(Post { socket, signals, table, configuration, tables: &theirs, generation, keeper, nice })
            }
            Fork::Parent(starter) => Ok((starter, tables)),
        }
    }

    /// Takes the tables that the starter has taken; one that was not told whole was never used.
    fn follow(&mut self, tables: &OwnedFd) {
        while poll(&mut [PollFd::new(tables, PollFlags::IN)], Some(&timespec(Duration::ZERO))).unwrap_or(0) > 0 {
            match read_table(tables) {
                Ok((_, table)) => self.table = table,
                Err(_) => return,
            }
        }
    }

    /// Waits for the end of the starter; for a while only, if the daemon's comes first.
    fn watch(&mut self, starter: Pid, tables: &OwnedFd) -> Loss {
        let mut last = None;
        loop {
            let left = last.map(|last: Instant| last.saturating_duration_since(Instant::now()));
            let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
            fds.push(PollFd::new(tables, PollFlags::IN));
            if last.is_none() {
                fds.push(PollFd::new(&self.socket, PollFlags::RDHUP));
            }
            let _ = poll(&mut fds, left.map(timespec).as_ref());
            let is_over = fds.get(2).is_some_and(|socket| !socket.revents().is_empty());
            drop(fds);
            self.follow(tables);
            if is_over {
                last = Some(Instant::now() + PATIENCE);
            }
            while self.signals.take().is_some() {}
            while let Ok(Some(Reaped { pid, exit, .. })) = below::reap() {
                if pid == starter {
                    return if last.is_some() || exit == Exit::Code(0) { Loss::Daemon } else { Loss::Starter };
                }
            }
            if last.is_some_and(|last| Instant::now() >= last) {
                return Loss::Daemon;
            }
        }
    }

    /// Whether the daemon ends within this time.
    fn is_daemon_gone(&self, within: Duration) -> bool {
        let mut fds = [PollFd::new(&self.socket, PollFlags::RDHUP)];
        poll(&mut fds, Some(&timespec(within))).unwrap_or(0) > 0
    }
}

/// The daemon's first words, and the programs that they promise. After these there is no way to name another one.
pub(super) fn read_table(socket: &OwnedFd) -> io::Result<(Opening, Table)> {
    let nonsense = || io::Error::new(io::ErrorKind::InvalidData, "its words make no sense");
    let opening = Opening::decode(&read(socket)?).ok_or_else(nonsense)?;
    let programs: Vec<_> = (0..opening.programs).map(|_| read(socket)).collect::<io::Result<_>>()?;
    Ok((opening, Table::of(programs).ok_or_else(nonsense)?))
}

fn read(socket: &OwnedFd) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; MESSAGE_MAX];
    loop {
        match recv(socket, &mut *bytes, RecvFlags::empty()) {
            Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok((length, _)) => {
                bytes.truncate(length);
                return Ok(bytes);
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// By how much these processes go before others.
const URGENT: i32 = 10;

const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A starter that lived so long did not die of its beginning.
const LONG_ENOUGH: Duration = Duration::from_secs(10);

/// How long a starter may take to wind up: longer than it takes itself.
const PATIENCE: Duration = Duration::from_secs(6);
