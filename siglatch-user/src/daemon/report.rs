//! Gathers how the daemon is, for `siglatchctl status` and `siglatchctl top`. Never changes anything.
//!
//! Totals come from the filter's lists and from what the other threads have counted; rates are means since a reading
//! taken down a little earlier.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use siglatch_common::lane::{Lane, PerLane};
use siglatch_common::layout::{Offender, Source};
use siglatch_common::outcome::{Counters, Fate, Outcome};
use siglatch_common::units::Boot;
use tokio::sync::watch;

use super::figures::Figures;
use crate::admin::{
    AuditState, Configuration, Count, Frames, Ingress, Interface, KnockCounts, LaneStatus, ListStatus, Port,
    Privileges, Programs, Refused, RefusedSource, Status,
};
use crate::config::{KnockPort, LaneRule, Settings};
use crate::edge::audit::Recorder;
use crate::edge::lanes::Queues;
use crate::edge::lists::{ListError, Lists, Size};
use crate::edge::xdp::Gauge;
use crate::gate::Refusal;

/// What does not change while the daemon runs.
#[derive(Clone, Debug)]
pub(super) struct Constants {
    /// When it started.
    pub(super) started: Boot,
    /// What the daemon may still do.
    pub(super) privileges: Privileges,
    pub(super) ingress: Ingress,
    /// How it stands with each, as it changes.
    pub(super) interfaces: watch::Receiver<Vec<Interface>>,
    /// What holds by the configuration.
    pub(super) terms: watch::Receiver<Terms>,
}

/// What the filter goes by, as far as the status shows it.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) ports: Vec<Port>,
    pub(super) lanes: PerLane<LaneRule>,
}

impl Terms {
    pub(super) fn of(settings: &Settings) -> Self {
        let port = |port: &KnockPort| Port { port: port.port, wire: port.wire.label().to_owned() };
        Self { ports: settings.ports.iter().map(port).collect(), lanes: settings.lanes }
    }
}

/// What the warden holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Holding {
    /// Banned addresses.
    pub(super) addresses: usize,
    /// Banned networks.
    pub(super) networks: usize,
    /// Known origins.
    pub(super) known: usize,
    /// Allowed networks.
    pub(super) allowed: usize,
}

/// What other threads count, without waiting for one another.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    pub(super) operations: PerLane<AtomicU64>,
    pub(super) admitted: AtomicU64,
    pub(super) refused: [AtomicU64; Refusal::ALL.len()],
    pub(super) grants: AtomicU64,
    pub(super) debts: AtomicU64,
    pub(super) running: AtomicU64,
    pub(super) waiting: AtomicU64,
    /// Whether no program can be started, because what starts them is gone.
    pub(super) programs_fail: watch::Sender<bool>,
    /// What the metrics alone tell.
    pub(super) figures: Figures,
}

/// What the judge holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Standing {
    /// Grants that are open.
    pub(super) grants: usize,
    /// What is still to be undone.
    pub(super) debts: usize,
    /// Programs that run.
    pub(super) running: usize,
    /// Programs that wait for a place.
    pub(super) waiting: usize,
}

/// What the report tells of others.
#[derive(Clone, Debug)]
pub(super) struct Around {
    pub(super) recorder: Recorder,
    /// What the daemon goes by.
    pub(super) configuration: watch::Receiver<Configuration>,
    /// How often somebody was told that they may not ask.
    pub(super) forbidden: Arc<AtomicU64>,
    /// Events that observers were too slow for.
    pub(super) missed: Arc<AtomicU64>,
}

/// The report, and the readings that its rates are since.
pub(super) struct Report {
    constants: Constants,
    tallies: Arc<Tallies>,
    around: Around,
    /// How many datagrams wait, by lane.
    waiting: Box<dyn Fn() -> PerLane<usize> + Send>,
    earlier: Option<Reading>,
    latest: Option<Reading>,
}

/// Every total, at one moment.
#[derive(Clone, Debug)]
struct Reading {
    at: Boot,
    counters: Counters,
    offenders: Vec<Offender>,
    operations: PerLane<u64>,
    admitted: u64,
    refused: [u64; Refusal::ALL.len()],
}

impl Tallies {
    /// The private key was used for a datagram of a lane.
    pub(super) fn operation(&self, lane: Option<Lane>) {
        if let Some(lane) = lane {
            self.operations.of(lane).fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A knock was admitted.
    pub(super) fn admitted(&self) {
        self.admitted.fetch_add(1, Ordering::Relaxed);
    }

    /// A knock was refused.
    pub(super) fn refused(&self, refusal: Refusal) {
        let counts = Refusal::ALL.iter().zip(&self.refused);
        counts.filter(|(of, _)| **of == refusal).for_each(|(_, count)| _ = count.fetch_add(1, Ordering::Relaxed));
    }

    /// So much is held by the judge.
    pub(super) fn set_standing(&self, standing: Standing) {
        let Standing { grants, debts, running, waiting } = standing;
        self.grants.store(grants as u64, Ordering::Relaxed);
        self.debts.store(debts as u64, Ordering::Relaxed);
        self.running.store(running as u64, Ordering::Relaxed);
        self.waiting.store(waiting as u64, Ordering::Relaxed);
    }
}

impl Report {
    pub(super) fn new(
        constants: Constants,
        tallies: Arc<Tallies>,
        around: Around,
        waiting: impl Fn() -> PerLane<usize> + Send + 'static,
    ) -> Self {
        Self { constants, tallies, around, waiting: Box::new(waiting), earlier: None, latest: None }
    }

    /// The warden holds so much, for the metrics.
    pub(super) fn hold(&self, holding: Holding) {
        self.tallies.figures.set_holding(holding);
    }

    /// Takes down what stands now, for the rates of later reports. Every second or so is often enough; more often does
    /// nothing.
    ///
    /// # Errors
    /// If the kernel does not let a list be read.
    pub(super) fn note(&mut self, lists: &dyn Lists, now: Boot) -> Result<(), ListError> {
        if self.latest.as_ref().is_some_and(|latest| now.since(latest.at) < APART) {
            return Ok(());
        }
        let reading = self.reading(lists, now)?;
        self.earlier = self.latest.replace(reading);
        Ok(())
    }

    /// How the daemon is.
    ///
    /// # Errors
    /// If the kernel does not let a list be read.
    pub(super) fn status(&mut self, lists: &dyn Lists, holding: Holding, now: Boot) -> Result<Status, ListError> {
        let reading = self.reading(lists, now)?;
        let marks = [self.latest.as_ref(), self.earlier.as_ref()].into_iter().flatten();
        let before = marks.into_iter().find(|mark| now.since(mark.at) >= SHORTEST);
        let before = before.unwrap_or(&reading);
        let rates = Rates { now: &reading, before, span: now.since(before.at) };
        let sizes = lists.sizes()?;
        let Constants { started, privileges, ingress, interfaces, terms } = &self.constants;
        let waiting = (self.waiting)();
        let lane = |lane: Lane| LaneStatus {
            waiting: *waiting.of(lane) as u64,
            room: room(lane, &sizes),
            ..self.lane(lane, &rates)
        };
        let each = sizes.iter().map(|size| {
            let used = used(size.list, holding, &waiting);
            ListStatus { name: size.list.to_owned(), used, room: size.room, bytes: size.bytes }
        });
        let status = Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime: now.since(*started).as_secs(),
            privileges: Some(privileges.clone()),
            ingress: *ingress,
            interfaces: interfaces.borrow().clone(),
            ports: terms.borrow().ports.clone(),
            interval: (rates.span.as_secs_f64() * 10.0).round() / 10.0,
            frames: Outcome::ALL.into_iter().map(|outcome| rates.frames(outcome)).collect(),
            lanes: Lane::ALL.into_iter().map(lane).collect(),
            refused_sources: rates.refused_sources(),
            lists: crate::admin::Lists { each: each.collect(), bytes: sizes.iter().map(|size| size.bytes).sum() },
            bans: (holding.addresses + holding.networks) as u64,
            known: holding.known as u64,
            grants: self.tallies.grants.load(Ordering::Relaxed),
            knocks: rates.knocks(),
            programs: Programs {
                running: self.tallies.running.load(Ordering::Relaxed),
                waiting: self.tallies.waiting.load(Ordering::Relaxed),
                failing: *self.tallies.programs_fail.borrow(),
            },
            debts: self.tallies.debts.load(Ordering::Relaxed),
            audit: AuditState {
                failing: self.around.recorder.is_failing(),
                lost: self.around.recorder.lost(),
                missed: self.around.missed.load(Ordering::Relaxed),
                forbidden: self.around.forbidden.load(Ordering::Relaxed),
            },
            configuration: self.around.configuration.borrow().clone(),
        };
        Ok(status)
    }

    fn lane(&self, lane: Lane, rates: &Rates<'_>) -> LaneStatus {
        let terms = self.constants.terms.borrow();
        let rule = terms.lanes.of(lane);
        LaneStatus {
            lane: lane.label().to_owned(),
            budget: rule.budget,
            share: rule.share,
            submitted: rates.outcome(Outcome::submitted(lane)),
            over_budget: rates.outcome(Outcome::over_budget(lane)),
            ring_full: rates.outcome(Outcome::ring_full(lane)),
            operations: rates.count(|reading| *reading.operations.of(lane)),
            ..LaneStatus::default()
        }
    }

    fn reading(&self, lists: &dyn Lists, now: Boot) -> Result<Reading, ListError> {
        let counters = lists.counters()?;
        // Who is refused is looked up only if somebody was.
        let is_quiet = |latest: &&Reading| {
            Outcome::ALL
                .iter()
                .all(|outcome| !outcome.is_refused() || latest.counters.of(*outcome) == counters.of(*outcome))
        };
        let offenders = match self.latest.as_ref().filter(is_quiet) {
            Some(latest) => latest.offenders.clone(),
            None => lists.offenders()?,
        };
        let Tallies { operations, admitted, refused, .. } = &*self.tallies;
        Ok(Reading {
            at: now,
            counters,
            offenders,
            operations: PerLane::from_fn(|lane| operations.of(lane).load(Ordering::Relaxed)),
            admitted: admitted.load(Ordering::Relaxed),
            refused: refused.each_ref().map(|count| count.load(Ordering::Relaxed)),
        })
    }
}

/// Two readings, and the time between them.
struct Rates<'a> {
    now: &'a Reading,
    before: &'a Reading,
    span: Duration,
}

impl Rates<'_> {
    fn count(&self, of: impl Fn(&Reading) -> u64) -> Count {
        Count::since(of(self.now), of(self.before), self.span)
    }

    fn outcome(&self, outcome: Outcome) -> Count {
        self.count(|reading| reading.counters.of(outcome))
    }

    fn frames(&self, outcome: Outcome) -> Frames {
        let passed = outcome.fate() == Fate::Pass;
        Frames { outcome: outcome.label().to_owned(), passed, count: self.outcome(outcome) }
    }

    fn knocks(&self) -> KnockCounts {
        let refused = Refusal::ALL.iter().enumerate().map(|(at, refusal)| Refused {
            reason: refusal.label().to_owned(),
            count: self.count(|reading| reading.refused.get(at).copied().unwrap_or(0)),
        });
        KnockCounts { admitted: self.count(|reading| reading.admitted), refused: refused.collect() }
    }

    /// Those who were refused most of late first, then those who were refused most.
    fn refused_sources(&self) -> Vec<RefusedSource> {
        let places = self.now.offenders.iter().enumerate().filter(|(_, offender)| offender.samples > 0);
        let mut sources: Vec<_> = places
            .filter_map(|(place, offender)| {
                let reason = Outcome::from_number(offender.outcome)?;
                let before = self
                    .before
                    .offenders
                    .get(place)
                    .filter(|before| (before.address, before.outcome) == (offender.address, offender.outcome));
                let frames = |samples: u32| u64::from(samples) * Offender::FRAMES_A_SAMPLE;
                let before = before.map_or(0, |before| frames(before.samples));
                let count = Count::since(frames(offender.samples), before, self.span);
                Some((offender.address, reason, count))
            })
            .collect();
        sources.sort_by(|(_, _, a), (_, _, b)| b.per_second.total_cmp(&a.per_second).then(b.total.cmp(&a.total)));
        let sources = sources.into_iter().take(SHOWN);
        let shown = sources.map(|(address, reason, frames)| RefusedSource {
            address: Source { address }.address().to_string(),
            reason: reason.label().to_owned(),
            frames,
        });
        shown.collect()
    }
}

/// How many entries a list has, if that is known without going through it.
fn used(list: &str, holding: Holding, waiting: &PerLane<usize>) -> Option<u64> {
    let used = match list {
        "blacklist" => holding.addresses,
        "blacklist_networks" => holding.networks,
        "known" => holding.known,
        "allowlist" => holding.allowed,
        // A ring's room is in bytes.
        "lane_stamped" => waiting.stamped * Gauge::RECORD,
        "lane_known" => waiting.known * Gauge::RECORD,
        "lane_unknown" => waiting.unknown * Gauge::RECORD,
        _ => return None,
    };
    Some(used as u64)
}

/// Datagrams that can wait in a lane: in its ring, or in a queue of this process.
fn room(lane: Lane, sizes: &[Size]) -> u64 {
    let name = format!("lane_{}", lane.label());
    let ring = sizes.iter().find(|size| size.list == name);
    ring.map_or(Queues::ROOM as u64, |ring| ring.room / Gauge::RECORD as u64)
}

/// A mean over less than that says little.
const SHORTEST: Duration = Duration::from_millis(500);

/// Readings that are taken down are so far apart at least.
const APART: Duration = Duration::from_secs(1);

/// More would be no glance.
const SHOWN: usize = 20;

#[cfg(test)]
mod tests;
