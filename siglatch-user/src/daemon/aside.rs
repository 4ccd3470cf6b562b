//! Work for many users at once, such as reading a configuration: on a thread of its own that comes after everybody who judges
//! knocks. Never takes a lock that they wait for.

use std::thread;

use anyhow::{Context as _, Result};
use tokio::sync::oneshot::{Receiver, channel};

use crate::edge::itself;

/// Does it, and waits for its end.
///
/// # Errors
/// If the system gives no thread, or the work has panicked.
pub(super) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    begin(work)?.await.context("a thread has panicked")
}

/// Begins it; whoever wants to know what came of it waits.
///
/// # Errors
/// If the system gives no thread.
pub(super) fn begin<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<Receiver<T>> {
    let (reply, answer) = channel();
    let patient = move || {
        itself::come_last();
        // Fails only if nobody wants to know.
        let _ = reply.send(work());
    };
    thread::Builder::new().name("reload".into()).spawn(patient).context("no thread for a long piece of work")?;
    Ok(answer)
}
