//! The daemon's end: binds the socket, reads requests, hands them on, writes the replies. Never answers one by itself.
//!
//! Whoever may write to the socket may ask: root, the daemon's own user, and the socket's group. Even they can make the
//! daemon hold no more than a few requests and replies at once.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Mode, fchmod};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
use thiserror::Error;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::debug;

use crate::admin::protocol::{Addressee, Code, Problem, REPLY_MAX, REQUEST_MAX, Reply, Request};

/// The socket, bound. Taken away when dropped, unless another daemon has put its own there.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
    identity: Identity,
}

/// A request, and where its answer goes.
#[derive(Debug)]
pub struct Asked {
    /// What is asked.
    pub request: Request,
    /// Who asks.
    pub peer: Peer,
    reply: oneshot::Sender<Answer>,
}

/// The process that asks, as the kernel says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Peer {
    /// Its user.
    pub uid: u32,
    /// Its number; nothing if it is out of our sight.
    pub pid: Option<i32>,
}

/// What those who may ask can make the daemon hold, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at once.
    pub connections: usize,
    /// How long a connection may say nothing, or take nothing.
    pub idle: Duration,
    /// How long an answer may take.
    pub answer: Duration,
    /// How long one may take for which the configuration and its keys are read.
    pub reload: Duration,
}

/// The socket cannot be had.
#[derive(Debug, Error)]
#[error("cannot make the admin socket {}: {source}{cure}", .path.display())]
pub struct AdminSocketError {
    /// Where it should be.
    pub path: PathBuf,
    /// What went wrong.
    #[source]
    pub source: io::Error,
    cure: &'static str,
}

type Answer = Result<Reply, Problem>;

/// Which file it is.
type Identity = (u64, u64);

impl AdminSocket {
    /// Makes the socket, in place of one whose daemon is gone. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`AdminSocketError`] with its cure, also if another daemon answers there.
    pub fn bind(path: &Path) -> Result<Self, AdminSocketError> {
        let failed = |source: io::Error| AdminSocketError { path: path.to_owned(), cure: cure(&source), source };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        make_way(path).map_err(failed)?;
        let listener = listen_at(path).map_err(failed)?;
        let identity = identity(path).map_err(failed)?;
        Ok(Self { listener, path: path.to_owned(), identity })
    }

    /// Serves whoever connects, for ever. `ask` takes a request on, or drops it if there is no room for it.
    pub async fn serve(self, bounds: Bounds, ask: impl Fn(Asked) + Clone + Send + Sync + 'static) -> ! {
        let places = Arc::new(Semaphore::new(bounds.connections));
        let mut conversations = JoinSet::new();
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // No descriptors left, most likely; the others will be done in a while.
                    debug!(%error, "an admin connection was not accepted");
                    sleep(RETRY).await;
                    continue;
                }
            };
            while conversations.try_join_next().is_some() {}
            match Arc::clone(&places).try_acquire_owned() {
                Ok(place) => {
                    let ask = ask.clone();
                    conversations.spawn(async move {
                        if let Err(error) = converse(stream, bounds, ask, place).await {
                            debug!(%error, "an admin connection has ended");
                        }
                    });
                }
                Err(_) => {
                    // A new connection has room for that much, so this does not wait.
                    let _ = stream.try_write(busy().to_line().as_bytes());
                }
            }
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Asked {
    /// Something that is asked, and where its answer comes.
    #[must_use]
    pub fn new(request: Request, peer: Peer) -> (Self, oneshot::Receiver<Result<Reply, Problem>>) {
        let (reply, answer) = oneshot::channel();
        (Self { request, peer, reply }, answer)
    }

    /// Answers. Nothing happens if the one who asked has left.
    pub fn answer(self, answer: Result<Reply, Problem>) {
        let _ = self.reply.send(answer);
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 16,
            idle: Duration::from_secs(10),
            answer: Duration::from_secs(2),
            reload: Duration::from_secs(60),
        }
    }
}

/// Answers one request after the other, until the peer leaves or is silent for too long.
async fn converse(
    stream: UnixStream,
    bounds: Bounds,
    ask: impl Fn(Asked),
    _place: OwnedSemaphorePermit,
) -> io::Result<()> {
    let peer = stream.peer_cred()?;
    debug!(uid = peer.uid(), gid = peer.gid(), pid = peer.pid(), "admin connection");
    let mut heard = Vec::new();
    loop {
        let end = timeout(bounds.idle, read_line(&stream, &mut heard)).await??;
        let (answer, last) = match end {
            Line::Over => return Ok(()),
            Line::TooLong => (Err(Problem::too_long()), true),
            Line::At(end) => {
                let request = Request::from_line(&heard[..end]);
                heard.drain(..=end);
                let answer = match request {
                    Ok(request) => {
                        debug!(uid = peer.uid(), request = request.name(), "admin request");
                        answer(request, Peer { uid: peer.uid(), pid: peer.pid() }, bounds, &ask).await
                    }
                    Err(problem) => Err(problem),
                };
                (answer, false)
            }
        };
        let line = match answer.map(|reply| reply.to_line()) {
            Ok(line) if line.len() > REPLY_MAX => too_much().to_line(),
            Ok(line) => line,
            Err(problem) => problem.to_line(),
        };
        timeout(bounds.idle, write_all(&stream, line.as_bytes())).await??;
        if last {
            return Ok(());
        }
    }
}

async fn answer(request: Request, peer: Peer, bounds: Bounds, ask: &impl Fn(Asked)) -> Answer {
    let patience = match request.addressee() {
        Addressee::Judge | Addressee::Warden => bounds.answer,
        Addressee::Errands => bounds.reload,
    };
    let (asked, answered) = Asked::new(request, peer);
    ask(asked);
    match timeout(patience, answered).await {
        Ok(Ok(answer)) => answer,
        // It was dropped unanswered: there was no room for it, or the daemon is about to end.
        Ok(Err(_)) => Err(busy()),
        Err(_) => Err(Problem::new(Code::Late, format!("no answer within {} s", patience.as_secs()))
            .with_help("the daemon is busy; what was asked may still be done")),
    }
}

/// What has been heard.
enum Line {
    /// A line, up to here.
    At(usize),
    /// More than a request can be, and no end of the line.
    TooLong,
    /// Nothing more.
    Over,
}

/// Reads until there is a line. What came behind it stays for the next.
async fn read_line(stream: &UnixStream, heard: &mut Vec<u8>) -> io::Result<Line> {
    loop {
        if let Some(end) = heard.iter().position(|byte| *byte == b'\n') {
            return Ok(Line::At(end));
        }
        if heard.len() > REQUEST_MAX {
            return Ok(Line::TooLong);
        }
        stream.readable().await?;
        let mut piece = [0; PIECE];
        match stream.try_read(&mut piece) {
            Ok(0) => return Ok(Line::Over),
            Ok(count) => heard.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

async fn write_all(stream: &UnixStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn too_much() -> Problem {
    Problem::new(Code::Failed, format!("the answer is longer than {REPLY_MAX} bytes")).with_help("ask for less at once")
}

fn busy() -> Problem {
    Problem::new(Code::Busy, "the daemon has too much to do").with_help("try again")
}

/// Takes a socket away whose daemon is gone. The one of this daemon's predecessor is: it held the lock that is ours.
fn make_way(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(there) if there.file_type().is_socket() => {}
        Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

fn listen_at(path: &Path) -> io::Result<UnixListener> {
    let address = SocketAddrUnix::new(path)?;
    let socket =
        socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    // The file is made with this mode, less the umask: it is never open to others, not even for a moment.
    fchmod(&socket, Mode::from_raw_mode(MODE))?;
    bind(&socket, &address)?;
    fs::set_permissions(path, Permissions::from_mode(MODE))?;
    listen(&socket, BACKLOG)?;
    UnixListener::from_std(socket.into())
}

fn identity(path: &Path) -> io::Result<Identity> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

fn cure(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; another daemon answers there: give each its own `socket` under [admin]",
        io::ErrorKind::AlreadyExists => "; there is a file that is no socket: name another place under [admin]",
        io::ErrorKind::PermissionDenied => "; run this as root, or set `socket` under [admin] to a place of yours",
        io::ErrorKind::ReadOnlyFilesystem => "; set `socket` under [admin] to a place that can be written",
        _ => "",
    }
}

/// Root and the socket's group.
const MODE: u32 = 0o660;
const BACKLOG: i32 = 32;
const RETRY: Duration = Duration::from_millis(100);
/// Read at once; most requests are shorter.
const PIECE: usize = 512;
