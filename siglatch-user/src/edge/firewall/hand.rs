//! Runs `nft` for a daemon that executes nothing any more: a process of its own, begun before the daemon gave up its rights. Never
//! runs anything else, and has no right but to change the firewall.
//!
//! A request is a task and a text, an answer what became of it and nft's words; both are bounded. The text is what the
//! daemon could say to the kernel itself: with the hand it has the same right, and no more.

use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::net::SocketType;
use rustix::net::sockopt::socket_type;
use rustix::process::setsid;
use rustix::stdio::{dup2_stdin, stdin};
use rustix::thread::set_name;

use super::nft::{Nft, Ran, Task};
use crate::edge::action::close_inherited;
use crate::edge::privilege::{
    Capabilities, Identity, Landlock, PrivilegeError, Reach, become_identity, hand_on, keep_through_change, never_dump,
};

/// The daemon's end.
#[derive(Debug)]
pub(super) struct Hand(Mutex<UnixStream>);

/// Begins the process that runs `nft` for this one, from now on and to its end; `executable` is `/proc/self/exe` for the
/// daemon. It becomes `user`, as the daemon does. Comes before any thread is begun.
///
/// # Errors
/// If it does not come up: then its own words are on standard error.
pub fn begin_hand(executable: &Path, user: Option<&str>) -> io::Result<()> {
    let (mut ours, theirs) = UnixStream::pair()?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    Command::new(executable)
        .args([HIDDEN_MODE, user.unwrap_or("")])
        .env_clear()
        .env("PATH", path)
        .current_dir("/")
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .spawn()?;
    let mut hello = [0];
    let told = ours.read_exact(&mut hello);
    told.map_err(|_| io::Error::other("the process that runs nft has not come up"))?;
    HAND.set(Hand(Mutex::new(ours))).map_err(|_| io::Error::other("there is a process that runs nft already"))
}

/// Lives as that process, if this one was begun for it; nothing if not. Comes before anything else in the daemon's `main`.
#[must_use]
pub fn lend_hand_if_asked() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != HIDDEN_MODE {
        return None;
    }
    let user = arguments.next().and_then(|user| user.into_string().ok()).filter(|user| !user.is_empty());
    Some(match live(user.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("siglatch-nft: cannot run nft for a daemon: {error}");
            ExitCode::FAILURE
        }
    })
}

impl Hand {
    /// That of this process, if it has one.
    pub(super) fn of_this_process() -> Option<&'static Self> {
        HAND.get()
    }

    /// Has `nft` do it, and waits until it has.
    pub(super) fn run(&self, task: Task, text: &str) -> io::Result<Ran> {
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = request(&mut stream, task, text.as_bytes()).and_then(|()| answer(&mut stream));
        asked.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                io::Error::new(error.kind(), "the process that runs nft has ended: restart siglatch-user")
            }
            _ => error,
        })
    }
}

fn request(stream: &mut UnixStream, task: Task, text: &[u8]) -> io::Result<()> {
    let length = u32::try_from(text.len()).ok().filter(|length| *length <= TEXT_MAX);
    let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "that is too much for nft"))?;
    let kind = match task {
        Task::Apply => APPLY,
        Task::Check => CHECK,
    };
    stream.write_all(&[&[kind], &length.to_le_bytes()[..]].concat())?;
    stream.write_all(text)
}

fn answer(stream: &mut UnixStream) -> io::Result<Ran> {
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    let [kind, length @ ..] = head;
    let length = u32::from_le_bytes(length);
    if u64::from(length) > Ran::SAID_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut said = vec![0; length as usize];
    stream.read_exact(&mut said)?;
    let said = String::from_utf8_lossy(&said).into_owned();
    match kind {
        DONE => Ok(Ran { is_done: true, said }),
        REFUSED => Ok(Ran { is_done: false, said }),
        _ => Err(io::Error::other(said)),
    }
}

/// The whole life of the process.
fn live(user: Option<&str>) -> Result<(), Box<dyn std::error::Error>> {
    if socket_type(stdin()).ok() != Some(SocketType::STREAM) {
        return Err("this way to begin is the daemon's own".into());
    }
    close_inherited();
    set_name(c"siglatch-nft")?;
    let mut stream = UnixStream::from(fcntl_dupfd_cloexec(stdin(), 3)?);
    dup2_stdin(openat(CWD, c"/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)?;
    // What a terminal sends to the daemon is not meant for nft.
    setsid()?;
    let nft = Nft::find().ok();
    confine(user, nft.as_ref())?;
    stream.write_all(&[HELLO])?;
    loop {
        let mut head = [0; 5];
        // The daemon has ended.
        if stream.read_exact(&mut head).is_err() {
            return Ok(());
        }
        let [kind, length @ ..] = head;
        let (task, length) = match (kind, u32::from_le_bytes(length)) {
            (APPLY, length @ ..=TEXT_MAX) => (Task::Apply, length),
            (CHECK, length @ ..=TEXT_MAX) => (Task::Check, length),
            _ => return Err("what it is asked makes no sense".into()),
        };
        let mut text = Vec::new();
        (&mut stream).take(length.into()).read_to_end(&mut text)?;
        if text.len() < length as usize {
            return Ok(());
        }
        let ran = nft.as_ref().map_or_else(|| Err(io::ErrorKind::NotFound.into()), |nft| nft.run(task, &text));
        let (kind, said) = match ran {
            Ok(Ran { is_done: true, said }) => (DONE, said),
            Ok(Ran { is_done: false, said }) => (REFUSED, said),
            Err(error) => (FAILED, error.to_string()),
        };
        let length = u32::try_from(said.len()).unwrap_or(0);
        stream.write_all(&[&[kind], &length.to_le_bytes()[..], said.as_bytes()].concat())?;
    }
}

/// Becomes the daemon's user, with the right to change the firewall, and with nft to execute.
fn confine(user: Option<&str>, nft: Option<&Nft>) -> Result<(), PrivilegeError> {
    never_dump()?;
    if rustix::process::geteuid().is_root()
        && let Some(identity) = Identity::find(user)?
        && identity.uid != 0
    {
        keep_through_change()?;
        become_identity(&identity)?;
    }
    let reach = Reach {
        read: READ.map(PathBuf::from).into(),
        execute: nft.map(|nft| nft.path().to_owned()).into_iter().chain(LOADERS.map(PathBuf::from)).collect(),
        ..Reach::default()
    };
    rustix::thread::set_no_new_privs(true)
        .map_err(|error| PrivilegeError::System { doing: "take no new rights", source: error.into() })?;
    Landlock::hold_to(&reach)?;
    hand_on(&Capabilities::FOR_NFT)
}

static HAND: OnceLock<Hand> = OnceLock::new();

/// The first argument of a process that is to be a hand.
const HIDDEN_MODE: &str = "--run-nft";

/// The names of marks, tables and groups, which nft knows numbers by, and what it seeds its tables with.
const READ: [&str; 4] = ["/dev/urandom", "/etc/iproute2", "/usr/share/iproute2", "/etc/connlabel.conf"];

/// What the kernel executes first for a program that is linked with libraries.
const LOADERS: [&str; 6] = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-linux-riscv64-lp64d.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
    "/lib/ld-musl-riscv64.so.1",
];

/// A table with 65,536 grants takes some 12 MB.
const TEXT_MAX: u32 = 64 << 20;

const HELLO: u8 = 1;
const APPLY: u8 = 2;
const CHECK: u8 = 3;
const DONE: u8 = 4;
const REFUSED: u8 = 5;
const FAILED: u8 = 6;
