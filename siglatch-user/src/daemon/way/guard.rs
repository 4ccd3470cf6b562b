//! Watches over what the XDP program stands on: this host's addresses, interfaces, pins. Tells what changes; never judges a
//! datagram.

use std::time::Duration;

use anyhow::Result;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use crate::admin;
use crate::audit::{Event, event};
use crate::edge::audit::Recorder;
use crate::edge::network::Network;
use crate::edge::xdp::{Mode, PinNews, PostNews, Posts, Shield, Standing};

/// Everything that is watched over, and who is told.
pub(super) struct Guard {
    pub(super) shield: Shield,
    pub(super) posts: Posts,
    pub(super) network: Network,
    /// What the status says.
    pub(super) seen: watch::Sender<Vec<admin::Interface>>,
    pub(super) recorder: Recorder,
}

/// Other interfaces are to be watched.
pub(super) struct Order {
    pub(super) interfaces: Vec<String>,
    /// Told when it is done.
    pub(super) reply: oneshot::Sender<Result<()>>,
}

impl Guard {
    /// Watches as long as the daemon runs.
    ///
    /// # Errors
    /// If the kernel tells no changes any more.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Order>) -> Result<()> {
        let mut rounds = interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = self.network.changed() => {
                    changed?;
                    self.look().await;
                }
                _ = rounds.tick() => {
                    // Not everything that somebody does is told, and what is told may be lost.
                    self.look().await;
                    if let Some(news) = self.posts.look_at_pins() {
                        self.tell_of_pins(&news);
                    }
                }
                Some(Order { interfaces, reply }) = orders.recv() => {
                    let (news, failed) = self.posts.set_interfaces(&interfaces, &self.network).await;
                    self.tell(news);
                    // Whoever asked has gone, or knows now.
                    let _ = reply.send(failed.map_or(Ok(()), |error| Err(error.into())));
                }
            }
        }
    }

    async fn look(&mut self) {
        match self.network.own_addresses().await.map_err(anyhow::Error::from) {
            Ok(own) => match self.shield.set_own_addresses(&own) {
                Ok(()) => debug!(addresses = own.len(), "this host's addresses"),
                Err(error) => warn!(%error, "the filter's list of this host's addresses is not true any more"),
            },
            Err(error) => warn!(%error, "this host's addresses are not known"),
        }
        match self.posts.look(&self.network).await {
            Ok(news) => self.tell(news),
            Err(error) => warn!(%error, "the interfaces cannot be looked at"),
        }
    }

    /// Tells log, audit log and status how it stands.
    pub(super) fn tell(&self, news: Vec<PostNews>) {
        for PostNews { interface, before, now } in news {
            match &now {
                Some(standing) => tell(&interface, before.as_ref(), standing),
                None => info!(%interface, "XDP program detached: no longer among the interfaces"),
            }
            let error = match &now {
                Some(Standing::Refused(error)) => Some(error.clone()),
                _ => None,
            };
            let state = now.as_ref().map_or("dropped", Standing::label);
            self.recorder.record(Event::Xdp(event::Xdp { state, interface: Some(interface), error }));
        }
        let program = self.posts.program();
        let interfaces = self.posts.standings().map(|(name, standing)| admin::Interface {
            name: name.to_owned(),
            mode: standing.label().to_owned(),
            program: if standing.is_attached() { program } else { 0 },
        });
        self.seen.send_replace(interfaces.collect());
    }

    fn tell_of_pins(&self, news: &PinNews) {
        match news {
            PinNews::Mended(count) => {
                warn!(count, "pins had been removed; they are there again");
                self.record_pins("pins_mended", None);
            }
            PinNews::Lost(error) => {
                warn!(
                    error,
                    "pins have been removed and cannot be made again: the filter stays as long as this daemon runs, and no \
                     longer; when the folder can be written to, they are made again"
                );
                self.record_pins("pins_lost", Some(error.clone()));
            }
        }
    }

    fn record_pins(&self, state: &'static str, error: Option<String>) {
        self.recorder.record(Event::Xdp(event::Xdp { state, interface: None, error }));
    }
}

/// Says how it stands with an interface.
fn tell(interface: &str, before: Option<&Standing>, now: &Standing) {
    match now {
        Standing::Attached(mode) => {
            let again = before.is_some();
            if let Some(Standing::Replaced(program)) = before {
                warn!(%interface, program, "another XDP program had been put into our link (bpftool link update); ours is back");
            }
            info!(%interface, mode = mode.label(), again, "XDP program attached");
            if *mode == Mode::Generic {
                warn!(%interface, "generic mode: the driver has no native XDP; drops cost several times as much");
            }
        }
        Standing::Renamed { to } => {
            warn!(%interface, %to, "the interface has another name now; the program stays on it, and is kept up only under the name in the configuration");
        }
        Standing::Waiting { known } => {
            let gone = before.is_some_and(Standing::is_attached);
            let what = if gone { "the interface is gone" } else { "there is no such interface yet" };
            warn!(%interface, %known, "{what}: the program is attached when it appears");
        }
        Standing::Occupied(program) => {
            warn!(%interface, program, "another XDP program is attached: knocks that come in there are not seen; remove it with `ip link set dev {interface} xdp off`, or stop its owner");
        }
        Standing::Replaced(program) => {
            warn!(%interface, program, "another XDP program was put into our link (bpftool link update) and does not go: knocks that come in there are not seen; restart siglatch-user");
        }
        Standing::Refused(error) => {
            warn!(%interface, error, "the interface takes no XDP program: knocks that come in there are not seen; tried again");
        }
        Standing::TakenDown => {
            warn!(%interface, "the XDP program was taken down on purpose, link and pin: it stays down until siglatch-user is started anew");
        }
    }
}

/// Between one look and the next, if nothing is told.
const ROUND: Duration = Duration::from_secs(2);
