//! The socket where the daemon only tells: what happens, one JSON object a line, to whoever is connected and may look. Never
//! takes a word from them, and never waits for one who is slow.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::debug;

use super::caller::caller;
use super::server::{Doorkeeper, accept, busy, say, write_all};
use super::socket_file::{AdminSocketError, SocketFile};
use crate::audit::chain::VERSION;
use crate::edge::audit::{Recorder, Seen, Watch};

/// The socket, bound. Taken away when dropped, unless another daemon has put its own there.
#[derive(Debug)]
pub struct ObserverSocket {
    file: SocketFile,
}

impl ObserverSocket {
    /// Observers at once.
    pub const OBSERVERS: usize = 8;

    /// Makes the socket, in place of one whose daemon is gone. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`AdminSocketError`] with its cure, also if another daemon answers there.
    pub fn bind(path: &Path) -> Result<Self, AdminSocketError> {
        Ok(Self { file: SocketFile::bind(path, "observer_socket")? })
    }

    /// Tells whoever connects, for ever, and counts what somebody was too slow for.
    pub async fn serve(self, doorkeeper: Doorkeeper, recorder: Recorder, missed: Arc<AtomicU64>) -> ! {
        let places = Arc::new(Semaphore::new(Self::OBSERVERS));
        let mut observers = JoinSet::new();
        loop {
            let stream = accept(&self.file).await;
            while observers.try_join_next().is_some() {}
            let Ok((caller, peer)) = caller(&stream) else { continue };
            if doorkeeper.role(&caller).is_none() {
                doorkeeper.refuse(&stream);
                continue;
            }
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                say(&stream, &busy());
                continue;
            };
            debug!(uid = peer.uid, pid = peer.pid, "an observer watches");
            let (watch, missed, doorkeeper) = (recorder.watch(), Arc::clone(&missed), doorkeeper.clone());
            observers.spawn(async move {
                let ended = tell(&stream, watch, || doorkeeper.role(&caller).is_some(), &missed).await;
                debug!(uid = peer.uid, pid = peer.pid, error = ?ended.err(), "an observer has left");
                drop(place);
            });
        }
    }
}

/// Tells one observer what happens, until it leaves, says something, may not look any more, or takes nothing for too long.
async fn tell(
    stream: &UnixStream,
    mut watch: Watch,
    may_look: impl Fn() -> bool,
    missed: &AtomicU64,
) -> io::Result<()> {
    let greeting =
        format!("{{\"v\":{VERSION},\"event\":\"watching\",\"version\":\"{}\"}}\n", env!("CARGO_PKG_VERSION"));
    timeout(PATIENCE, write_all(stream, greeting.as_bytes())).await??;
    loop {
        let seen = tokio::select! {
            seen = watch.next() => seen,
            () = left(stream) => return Ok(()),
        };
        let line = match seen {
            None => return Ok(()),
            // A reload has taken the right away.
            Some(_) if !may_look() => return Ok(()),
            Some(Seen::Event(line)) => line,
            Some(Seen::Missed(events)) => {
                missed.fetch_add(events, Ordering::Relaxed);
                format!("{{\"v\":{VERSION},\"event\":\"missed\",\"events\":{events}}}\n")
            }
        };
        timeout(PATIENCE, write_all(stream, line.as_bytes())).await??;
    }
}

/// Waits until an observer has left, or speaks where nobody listens: then it is sent away, too.
async fn left(stream: &UnixStream) {
    loop {
        let is_ready = stream.readable().await.is_ok();
        match stream.try_read(&mut [0]) {
            Err(error) if is_ready && error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// How long an observer may take nothing.
const PATIENCE: Duration = Duration::from_secs(60);
