//! Wires everything: ingress to the private-key pool, the pool to the judge, the judge to disk and firewall.
//! Never decides about a knock.
//!
//! ```text
//! rings or sockets ──► Lanes ──► KeyPool (threads) ──► Judge (one thread: gate, nonce store, firewall)
//!    (one tokio task takes by precedence)  bounded places   also told: firewall changed, stop
//!                                                           │ never waits: what finds no room is counted
//!                                                           └──► Warden (one thread: the filter's lists)
//! ```

mod books;
mod desk;
mod errands;
mod figures;
mod ground;
mod judge;
mod owed;
mod pulse;
mod report;
mod signals;
mod turns;
mod wall;
mod warden;
mod way;
mod works;

use std::sync::Arc;

use anyhow::Result;
use tracing::warn;

use crate::config::Settings;
use crate::edge::action::{Endings, Starter};
use crate::edge::clock;
use crate::edge::notify::Notifier;
use crate::edge::privilege::Acting;
use errands::Errands;
use ground::{Ground, as_ordered, tell_ready};
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
    /// Whether the configuration, as it stands in its file, is sound: what is wrong with it, if it is not.
    pub is_sound: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
}

/// Why the daemon has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ended {
    /// It was told to.
    Stopped,
    /// To begin anew at once, with the configuration as it is now.
    ForReload,
}

/// Runs until SIGTERM or SIGINT, or until it is to begin anew. Returns early only if the daemon cannot start.
///
/// The XDP program stays attached when this returns, and grants end by themselves.
///
/// # Errors
/// What is missing, and its cure.
pub async fn run(settings: Settings, orders: Orders) -> Result<Ended> {
    let signals = Signals::listen()?;
    let notifier = Arc::new(Notifier::from_environment());
    let at = clock::boot();
    let settings = as_ordered(settings, &orders);
    let Orders { dry_run, starter, acting, is_sound } = orders;
    if dry_run {
        warn!(
            "DRY RUN: knocks are judged and nothing is done for them; no service is closed or opened, nobody is banned"
        );
    }
    let ground = Ground::take(&settings).await?;
    // Threads that are begun from here on can do no more than this one.
    acting.confine()?;
    let start = Start { at, dry_run, starter, notifier: Arc::clone(&notifier) };
    let mut works = Works::begin(&settings, ground, start).await?;
    tell_ready(&settings);
    notifier.ready(&works.in_a_line(&settings));

    let errands = Errands { signals, is_sound, recorder: works.recorder.clone(), tallies: Arc::clone(&works.tallies) };
    match errands.run(&mut works.tasks, &mut works.reloads).await {
        Ok((ended, why)) => {
            match ended {
                Ended::Stopped => notifier.stopping(),
                Ended::ForReload => notifier.reloading(),
            }
            works.end(why).await.map(|()| ended)
        }
        Err(error) => {
            works.give_up();
            Err(error)
        }
    }
}
