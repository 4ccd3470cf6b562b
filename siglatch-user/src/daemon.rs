//! Wires everything: ingress to the private-key pool, the pool to the judge, the judge to disk and firewall.
//! Never decides about a knock.
//!
//! ```text
//! rings or sockets ──► Lanes ──► KeyPool (threads) ──► Judge (one thread: gate, nonce store, firewall)
//!    (one tokio task takes by precedence)  bounded places   also told: firewall changed, stop
//!                                                           │ never waits: what finds no room is counted
//!                                                           └──► Warden (one thread: the filter's lists)
//! ```

mod aside;
mod books;
mod configuration;
mod cut;
mod desk;
mod errands;
mod figures;
mod ground;
mod judge;
mod levers;
mod line;
mod owed;
mod pulse;
mod report;
mod signals;
mod turns;
mod wall;
mod warden;
mod way;
mod works;

use std::path::PathBuf;
use std::sync::Arc;

use tracing::warn;

use crate::config::Settings;
use crate::ctl::{Failure, Loaded};
use crate::edge::action::{Endings, Starter};
use crate::edge::notify::Notifier;
use crate::edge::privilege::Acting;
use crate::edge::watched_file::WatchedFile;
use crate::edge::{clock, formats};
use configuration::{Beginning, Configuration};
use errands::Errands;
use ground::{Ground, tell_ready};
use signals::Signals;
use works::{Start, Works};

/// What the daemon is given besides its settings.
pub struct Orders {
    /// Everything is judged and told, and nothing done.
    pub dry_run: bool,
    /// The processes that start programs; nothing if none are configured.
    pub starter: Option<(Starter, Endings)>,
    /// The right to open what the daemon needs, until it is open.
    pub acting: Acting,
    /// Where its configuration comes from.
    pub source: Source,
    /// The same file as it was before it was read: what has changed since is followed, if it is to be.
    pub file: WatchedFile,
}

/// Where the configuration comes from.
pub struct Source {
    /// The file.
    pub file: PathBuf,
    /// Reads it, with what the command line says against it.
    pub read: Arc<dyn Fn() -> Result<Loaded, Failure> + Send + Sync>,
}

/// Runs until SIGTERM or SIGINT. Returns early only if the daemon cannot start.
///
/// The XDP program stays attached when this returns, and grants end by themselves.
///
/// # Errors
/// What is missing, and its cure.
pub async fn run(settings: Settings, orders: Orders) -> anyhow::Result<()> {
    let signals = Signals::listen()?;
    let notifier = Arc::new(Notifier::from_environment());
    let at = clock::boot();
    let Orders { dry_run, starter, acting, source, file } = orders;
    if dry_run {
        warn!(
            "DRY RUN: knocks are judged and nothing is done for them; no service is closed or opened, nobody is banned"
        );
    }
    formats::check(&settings.state_dir)?;
    let begun = Beginning::of(settings, dry_run)?;
    let ground = Ground::take(&begun.in_force, starter.as_ref().map(|(starter, _)| starter)).await?;
    // Threads that are begun from here on can do no more than this one.
    let privileges = acting.confine()?.told();
    let start = Start { at, dry_run, privileges, starter, notifier: Arc::clone(&notifier) };
    let (mut works, levers) = Works::begin(&begun.in_force, ground, start).await?;
    let configuration = Configuration::new(source, dry_run, begun, levers);
    tell_ready(configuration.in_force());
    notifier.ready(&works.line.of(configuration.in_force()));

    let errands = Errands { signals, configuration, notifier: Arc::clone(&notifier), file };
    match errands.run(&mut works).await {
        Ok(why) => {
            notifier.stopping();
            works.end(why).await
        }
        Err(error) => {
            works.give_up();
            Err(error)
        }
    }
}
