//! Numbers for the metrics: counted by the threads that know them, gathered by whoever is scraped. Nobody waits for anybody.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use siglatch_common::lane::{Lane, PerLane};
use siglatch_common::outcome::Counters;
use siglatch_common::units::Wall;
use siglatch_common::wire::Wire;

use super::report::{Holding, Tallies};
use super::warden::ToWarden;
use crate::admin;
use crate::edge::audit::Recorder;
use crate::edge::lanes::Depths;
use crate::edge::lists::Lists;
use crate::edge::metrics::Own;
use crate::metrics::{Audit, Ban, Histogram, Interface, LaneFigures, Programs, Reloads, Snapshot};

/// What the metrics tell and the status does not. Part of [`Tallies`].
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// From the arrival of an admitted knock to its effect.
    pub(super) latency: Histogram,
    /// How long opening a datagram took, in the order of [`Wire::ALL`].
    opening: [Histogram; Wire::ALL.len()],
    /// Datagrams that were handed to the key pool.
    handed: AtomicU64,
    dropped: AtomicU64,
    firewall_fails: AtomicBool,
    state_fails: AtomicBool,
    banned_addresses: AtomicU64,
    banned_networks: AtomicU64,
    known: AtomicU64,
    reloads_done: AtomicU64,
    reloads_failed: AtomicU64,
    last_reload_failed: AtomicBool,
    /// Seconds since the epoch; 0 until there was one.
    last_reload: AtomicU64,
}

/// Where the numbers are.
pub(super) struct Sources {
    pub(super) started: Wall,
    pub(super) ingress: admin::Ingress,
    /// The interfaces that the program belongs to, as they are known at that moment.
    pub(super) interfaces: Box<dyn Fn() -> Vec<admin::Interface> + Send + Sync>,
    /// A view of the filter's lists of its own: nobody else is waited for.
    pub(super) filter: Mutex<Filter>,
    pub(super) depths: Depths,
    /// Datagrams that can wait in each lane.
    pub(super) rooms: PerLane<u64>,
    /// Places of the key pool.
    pub(super) places: u64,
    pub(super) tallies: Arc<Tallies>,
    pub(super) recorder: Recorder,
    pub(super) warden: ToWarden,
    pub(super) own: Own,
}

/// The filter's lists, and what they have counted.
pub(super) struct Filter {
    lists: Box<dyn Lists>,
    counted: Counters,
}

impl Filter {
    pub(super) fn of(lists: Box<dyn Lists>) -> Mutex<Self> {
        Mutex::new(Self { lists, counted: Counters::default() })
    }

    /// What they have counted; what was read before, if the kernel does not let it be read: no counter falls.
    fn count(&mut self) -> Counters {
        if let Ok(counted) = self.lists.counters() {
            self.counted = counted;
        }
        self.counted
    }
}

impl Figures {
    /// A datagram was handed to the key pool.
    pub(super) fn handed(&self) {
        self.handed.fetch_add(1, Ordering::Relaxed);
    }

    /// A datagram of a wire was opened, or found to be nobody's.
    pub(super) fn opened(&self, wire: Option<Wire>, took: Duration) {
        let at = wire.and_then(|wire| Wire::ALL.iter().position(|of| *of == wire));
        if let Some(histogram) = at.and_then(|at| self.opening.get(at)) {
            histogram.record(took);
        }
    }

    /// So many runs of programs were dropped, and this is what fails.
    pub(super) fn set_judge(&self, dropped: u64, firewall_fails: bool, state_fails: bool) {
        self.dropped.store(dropped, Ordering::Relaxed);
        self.firewall_fails.store(firewall_fails, Ordering::Relaxed);
        self.state_fails.store(state_fails, Ordering::Relaxed);
    }

    /// The warden holds so much.
    pub(super) fn set_holding(&self, holding: Holding) {
        self.banned_addresses.store(holding.addresses as u64, Ordering::Relaxed);
        self.banned_networks.store(holding.networks as u64, Ordering::Relaxed);
        self.known.store(holding.known as u64, Ordering::Relaxed);
    }

    /// The configuration was read again, and has taken effect or not.
    pub(super) fn reloaded(&self, took_effect: bool, now: Wall) {
        if took_effect {
            self.reloads_done.fetch_add(1, Ordering::Relaxed);
            self.last_reload.store(now.as_secs(), Ordering::Relaxed);
        } else {
            self.reloads_failed.fetch_add(1, Ordering::Relaxed);
        }
        self.last_reload_failed.store(!took_effect, Ordering::Relaxed);
    }

    fn reloads(&self, started: Wall) -> Reloads {
        let last = self.last_reload.load(Ordering::Relaxed);
        Reloads {
            done: self.reloads_done.load(Ordering::Relaxed),
            failed: self.reloads_failed.load(Ordering::Relaxed),
            last_failed: self.last_reload_failed.load(Ordering::Relaxed),
            last_success: if last == 0 { started } else { Wall::from_secs(last) },
        }
    }
}

impl Sources {
    /// Every number, as it stands.
    pub(super) fn read(&self) -> Snapshot {
        let frames = self.filter.lock().unwrap_or_else(PoisonError::into_inner).count();
        self.snapshot(frames)
    }

    fn snapshot(&self, frames: Counters) -> Snapshot {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Tallies {
            operations,
            admitted,
            refused,
            grants,
            debts,
            running,
            waiting: queued,
            programs_fail,
            figures,
            ..
        } = &*self.tallies;
        let refused = refused.each_ref().map(read);
        // What has come out is read first, or more could come out than went in.
        let judged = read(admitted) + refused.iter().sum::<u64>();
        let waiting = self.depths.waiting();
        let lane = |lane: Lane| LaneFigures {
            waiting: *waiting.of(lane) as u64,
            room: *self.rooms.of(lane),
            operations: read(operations.of(lane)),
        };
        let interfaces = (self.interfaces)().into_iter();
        let attached = interfaces.map(|at| Interface { name: at.name, mode: at.mode, attached: at.program != 0 });
        Snapshot {
            version: env!("CARGO_PKG_VERSION"),
            ingress: match self.ingress {
                admin::Ingress::Xdp => "xdp",
                admin::Ingress::Socket => "socket",
            },
            started: self.started,
            process: self.own.read(),
            interfaces: attached.collect(),
            frames,
            lanes: PerLane::from_fn(lane),
            places: self.places,
            places_taken: read(&figures.handed).saturating_sub(judged),
            admitted: read(admitted),
            refused,
            latency: figures.latency.read(),
            key_operations: figures.opening.each_ref().map(Histogram::read),
            grants: read(grants),
            debts: read(debts),
            bans: vec![
                Ban { kind: "address", active: read(&figures.banned_addresses) },
                Ban { kind: "network", active: read(&figures.banned_networks) },
            ],
            known: read(&figures.known),
            programs: Programs {
                running: read(running),
                waiting: read(queued),
                dropped: read(&figures.dropped),
                fail: *programs_fail.borrow(),
            },
            audit: Audit {
                waiting: self.recorder.waiting() as u64,
                room: Recorder::ROOM as u64,
                lost: self.recorder.lost(),
                fails: self.recorder.is_failing(),
            },
            unheard: self.warden.unheard(),
            reloads: figures.reloads(self.started),
            firewall_fails: figures.firewall_fails.load(Ordering::Relaxed),
            state_fails: figures.state_fails.load(Ordering::Relaxed),
        }
    }
}
