//! The daemon's end: reads requests, sees who asks, hands on what they may ask, writes the replies. Never answers a request
//! by itself, and never decides who may.
//!
//! Whoever may connect can make the daemon hold no more than a few requests and replies at once; who may only look leaves
//! room for who may do something.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::caller::caller;
use super::socket_file::{AdminSocketError, SocketFile};
use crate::admin::protocol::{Addressee, Code, Problem, REPLY_MAX, REQUEST_MAX, Reply, Request, Role};
use crate::admin::{Caller, Roles};
use crate::edge::descriptors;

/// The socket, bound. Taken away when dropped, unless another daemon has put its own there.
#[derive(Debug)]
pub struct AdminSocket {
    file: SocketFile,
}

/// What the socket goes by, and what it counts.
#[derive(Clone, Debug)]
pub struct Doorkeeper {
    /// Who may ask for what. A change holds from the next request on.
    pub roles: watch::Receiver<Roles>,
    /// How often somebody was told that they may not.
    pub forbidden: Arc<AtomicU64>,
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
    /// Connections at once of those who may do something.
    pub connections: usize,
    /// Connections at once of those who may only look.
    pub lookers: usize,
    /// How long a connection may say nothing, or take nothing.
    pub idle: Duration,
    /// How long an answer may take.
    pub answer: Duration,
    /// How long one may take for which the configuration and its keys are read.
    pub reload: Duration,
}

type Answer = Result<Reply, Problem>;

impl AdminSocket {
    /// Makes the socket, in place of one whose daemon is gone. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`AdminSocketError`] with its cure, also if another daemon answers there.
    pub fn bind(path: &Path) -> Result<Self, AdminSocketError> {
        Ok(Self { file: SocketFile::bind(path, "socket")? })
    }

    /// Serves whoever connects, for ever. `ask` takes a request on, or drops it if there is no room for it.
    pub async fn serve(
        self,
        bounds: Bounds,
        doorkeeper: Doorkeeper,
        ask: impl Fn(Asked) + Clone + Send + Sync + 'static,
    ) -> ! {
        let (places, seats) = (Arc::new(Semaphore::new(bounds.connections)), Arc::new(Semaphore::new(bounds.lookers)));
        let mut conversations = JoinSet::new();
        loop {
            let stream = accept(&self.file).await;
            while conversations.try_join_next().is_some() {}
            let Ok((caller, peer)) = caller(&stream) else { continue };
            debug!(uid = caller.uid, gid = caller.gid, pid = peer.pid, "admin connection");
            let room = match doorkeeper.role(&caller) {
                None => {
                    doorkeeper.refuse(&stream);
                    continue;
                }
                Some(Role::Operate) => &places,
                Some(Role::Observe) => &seats,
            };
            let Ok(place) = Arc::clone(room).try_acquire_owned() else {
                say(&stream, &busy());
                continue;
            };
            let (ask, doorkeeper) = (ask.clone(), doorkeeper.clone());
            conversations.spawn(async move {
                let visitor = Visitor { stream, caller, peer, doorkeeper };
                if let Err(error) = visitor.converse(bounds, ask).await {
                    debug!(%error, "an admin connection has ended");
                }
                drop(place);
            });
        }
    }
}

impl Doorkeeper {
    /// What somebody may do.
    pub(super) fn role(&self, caller: &Caller) -> Option<Role> {
        self.roles.borrow().of(caller, rustix::process::geteuid().as_raw())
    }

    /// Tells somebody that they may not even look.
    pub(super) fn refuse(&self, stream: &UnixStream) {
        self.count();
        say(stream, &Problem::forbidden(Role::Observe));
    }

    fn count(&self) {
        self.forbidden.fetch_add(1, Ordering::Relaxed);
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
            lookers: 8,
            idle: Duration::from_secs(10),
            answer: Duration::from_secs(2),
            reload: Duration::from_secs(60),
        }
    }
}

/// Waits for the next connection.
pub(super) async fn accept(file: &SocketFile) -> UnixStream {
    loop {
        match file.listener.accept().await {
            Ok((stream, _)) => {
                descriptors::are_there();
                // If there was none to be had when it was given up.
                file.keep_spare();
                return stream;
            }
            Err(error) => {
                // The others will be done in a while.
                debug!(%error, "an admin connection was not accepted");
                // The kernel takes the descriptor before it looks whether anybody is there.
                if descriptors::is_want_of_them(&error) {
                    match file.give_up_spare() {
                        true => {
                            if let Ok(Ok((stream, _))) = timeout(RETRY, file.listener.accept()).await {
                                descriptors::are_gone();
                                say(&stream, &no_descriptors());
                            }
                        }
                        false => descriptors::are_gone(),
                    }
                    file.keep_spare();
                }
                sleep(RETRY).await;
            }
        }
    }
}

/// Says one thing to somebody new, who has room for that much: so this does not wait.
pub(super) fn say(stream: &UnixStream, problem: &Problem) {
    let _ = stream.try_write(problem.to_line().as_bytes());
}

/// Somebody who may ask.
struct Visitor {
    stream: UnixStream,
    caller: Caller,
    peer: Peer,
    doorkeeper: Doorkeeper,
}

impl Visitor {
    /// Answers one request after the other, until the peer leaves or is silent for too long.
    async fn converse(&self, bounds: Bounds, ask: impl Fn(Asked)) -> io::Result<()> {
        let mut heard = Vec::new();
        loop {
            let end = timeout(bounds.idle, read_line(&self.stream, &mut heard)).await??;
            let (answer, last) = match end {
                Line::Over => return Ok(()),
                Line::TooLong => (Err(Problem::too_long()), true),
                Line::At(end) => {
                    let request = Request::from_line(&heard[..end]);
                    heard.drain(..=end);
                    match request {
                        Ok(request) => (self.answer(request, bounds, &ask).await, false),
                        Err(problem) => (Err(problem), false),
                    }
                }
            };
            let line = match answer.map(|reply| reply.to_line()) {
                Ok(line) if line.len() > REPLY_MAX => too_much().to_line(),
                Ok(line) => line,
                Err(problem) => problem.to_line(),
            };
            timeout(bounds.idle, write_all(&self.stream, line.as_bytes())).await??;
            if last {
                return Ok(());
            }
        }
    }

    async fn answer(&self, request: Request, bounds: Bounds, ask: &impl Fn(Asked)) -> Answer {
        debug!(uid = self.peer.uid, request = request.name(), "admin request");
        let wanted = request.role();
        if self.doorkeeper.role(&self.caller).is_none_or(|role| role < wanted) {
            self.doorkeeper.count();
            return Err(Problem::forbidden(wanted));
        }
        let patience = match request.addressee() {
            Addressee::Judge | Addressee::Warden => bounds.answer,
            Addressee::Errands => bounds.reload,
        };
        let (asked, answered) = Asked::new(request, self.peer);
        ask(asked);
        match timeout(patience, answered).await {
            Ok(Ok(answer)) => answer,
            // It was dropped unanswered: there was no room for it, or the daemon is about to end.
            Ok(Err(_)) => Err(busy()),
            Err(_) => Err(Problem::new(Code::Late, format!("no answer within {} s", patience.as_secs()))
                .with_help("the daemon is busy; what was asked may still be done")),
        }
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

pub(super) async fn write_all(stream: &UnixStream, mut bytes: &[u8]) -> io::Result<()> {
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

pub(super) fn busy() -> Problem {
    Problem::new(Code::Busy, "the daemon has too much to do").with_help("try again")
}

fn no_descriptors() -> Problem {
    Problem::new(Code::Busy, "the daemon has no descriptors left")
        .with_help("knocks are judged all the same; raise LimitNOFILE= of its unit, or its limit with prlimit --nofile")
}

const RETRY: Duration = Duration::from_millis(100);
/// Read at once; most requests are shorter.
const PIECE: usize = 512;
