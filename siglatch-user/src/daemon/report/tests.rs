use std::cell::Cell;

use siglatch_common::address::{Address, Network};
use siglatch_common::ban::Ban;
use siglatch_common::layout::{Known, StampKey};
use siglatch_common::stamp::SLOTS;

use super::*;
use crate::edge::lists::Size;

/// Lists that say what they are told to.
#[derive(Default)]
struct Told {
    counters: Counters,
    offenders: Vec<Offender>,
    asked: Cell<u32>,
}

impl Lists for Told {
    fn bans(&self) -> Result<Vec<(Network, Ban)>, ListError> {
        unreachable!("the report never goes through a list")
    }

    fn set_ban(&mut self, _: Network, _: Ban) -> Result<(), ListError> {
        unreachable!("the report changes nothing")
    }

    fn lift_ban(&mut self, _: Network) -> Result<(), ListError> {
        unreachable!("the report changes nothing")
    }

    fn known(&self) -> Result<Vec<(Address, Known)>, ListError> {
        unreachable!("the report never goes through a list")
    }

    fn set_known(&mut self, _: Address, _: u64) -> Result<(), ListError> {
        unreachable!("the report changes nothing")
    }

    fn forget_known(&mut self, _: Address) -> Result<(), ListError> {
        unreachable!("the report changes nothing")
    }

    fn set_allowed(&mut self, _: &[Network]) -> Result<(), ListError> {
        unreachable!("the report changes nothing")
    }

    fn set_stamp_keys(&mut self, _: &[StampKey; SLOTS]) -> Result<(), ListError> {
        unreachable!("the report changes nothing")
    }

    fn offenders(&self) -> Result<Vec<Offender>, ListError> {
        self.asked.set(self.asked.get() + 1);
        Ok(self.offenders.clone())
    }

    fn counters(&self) -> Result<Counters, ListError> {
        Ok(self.counters)
    }

    fn number(&self) -> Result<u64, ListError> {
        Ok(1)
    }

    fn sizes(&self) -> Result<Vec<Size>, ListError> {
        let size = |list, room, bytes| Size { list, room, bytes };
        Ok(vec![size("blacklist", 1024, 9000), size("lane_unknown", 262_144, 270_000), size("buckets", 1024, 8192)])
    }
}

fn at(millis: u64) -> Boot {
    Boot::from_nanos(millis * 1_000_000)
}

fn report(tallies: &Arc<Tallies>) -> Report {
    let rule = LaneRule { budget: 400, share: 5, ring_kib: 256 };
    let constants = Constants {
        started: at(0),
        privileges: Privileges::default(),
        ingress: Ingress::Xdp,
        interfaces: watch::channel(vec![Interface { name: "eth0".to_owned(), mode: "native".to_owned(), program: 7 }])
            .1,
        terms: watch::channel(Terms {
            ports: vec![Port { port: 62201, wire: "sealed".to_owned() }],
            lanes: PerLane { stamped: rule, known: rule, unknown: rule },
        })
        .1,
    };
    let around = Around {
        recorder: Recorder::nowhere(),
        configuration: watch::channel(Configuration::default()).1,
        forbidden: Arc::default(),
        missed: Arc::default(),
    };
    Report::new(constants, Arc::clone(tallies), around, || PerLane { stamped: 0, known: 1, unknown: 2 })
}

fn offender(last: u8, outcome: Outcome, samples: u32) -> Offender {
    Offender { address: Address::v4([192, 0, 2, last]).octets, outcome: outcome as u32, samples }
}

fn copies(count: u64) -> Counters {
    Counters { copy: count, other_port: 7, ..Counters::default() }
}

#[test]
fn everything_that_was_counted_is_in_the_status() {
    let tallies = Arc::new(Tallies::default());
    let mut report = report(&tallies);
    let lists = Told { counters: Counters { submitted_unknown: 9, ..copies(3) }, ..Told::default() };
    tallies.operation(Some(Lane::Unknown));
    tallies.admitted();
    tallies.refused(Refusal::Replay);
    tallies.refused(Refusal::Replay);
    tallies.set_standing(Standing { grants: 2, debts: 3, running: 4, waiting: 5 });
    let holding = Holding { addresses: 3, networks: 1, known: 5, allowed: 6 };
    let status = report.status(&lists, holding, at(61_000)).unwrap();
    assert_eq!((status.uptime, status.bans, status.known, status.grants), (61, 4, 5, 2));
    let frames = |label: &str| status.frames.iter().find(|frames| frames.outcome == label).unwrap();
    assert_eq!((frames("copy").count.total, frames("copy").passed), (3, false));
    assert_eq!((frames("other_port").count.total, frames("other_port").passed), (7, true));
    assert_eq!(status.frames.len(), Outcome::ALL.len());
    let lane = &status.lanes[2];
    assert_eq!((&*lane.lane, lane.budget, lane.share), ("unknown", 400, 5));
    assert_eq!((lane.submitted.total, lane.operations.total, lane.waiting, lane.room), (9, 1, 2, 862));
    assert_eq!(status.lanes[0].room, 512);
    assert_eq!(status.knocks.admitted.total, 1);
    let refused: Vec<_> = status.knocks.refused.iter().filter(|refused| refused.count.total > 0).collect();
    assert_eq!((refused.len(), &*refused[0].reason, refused[0].count.total), (1, "replay", 2));
    let used: Vec<_> = status.lists.each.iter().map(|list| (&*list.name, list.used)).collect();
    assert_eq!(used, [("blacklist", Some(3)), ("lane_unknown", Some(2 * 304)), ("buckets", None)]);
    assert_eq!(status.lists.bytes, 287_192);
}

#[test]
fn rates_are_since_the_last_reading_that_is_old_enough() {
    let tallies = Arc::new(Tallies::default());
    let mut report = report(&tallies);
    let mut lists = Told { counters: copies(1000), ..Told::default() };
    let rate = |status: &Status| (status.interval, status.frames.iter().find(|f| f.outcome == "copy").unwrap().count);
    let first = report.status(&lists, Holding::default(), at(1000)).unwrap();
    assert_eq!(rate(&first), (0.0, Count { total: 1000, per_second: 0.0 }));
    report.note(&lists, at(1000)).unwrap();
    lists.counters = copies(1500);
    report.note(&lists, at(2000)).unwrap();
    lists.counters = copies(2000);
    // The latest is too young to say anything, and a note so soon after it changes nothing.
    report.note(&lists, at(2100)).unwrap();
    let soon = report.status(&lists, Holding::default(), at(2250)).unwrap();
    assert_eq!(rate(&soon), (1.3, Count { total: 2000, per_second: 800.0 }));
    let later = report.status(&lists, Holding::default(), at(3000)).unwrap();
    assert_eq!(rate(&later), (1.0, Count { total: 2000, per_second: 500.0 }));
}

#[test]
fn who_is_refused_most_of_late_comes_first() {
    let tallies = Arc::new(Tallies::default());
    let mut report = report(&tallies);
    let mut lists = Told { counters: copies(1), ..Told::default() };
    lists.offenders = vec![
        offender(1, Outcome::Copy, 1000),
        offender(2, Outcome::OverRate, 10),
        Offender::default(),
        offender(3, Outcome::Copy, 50),
        Offender { outcome: 999, ..offender(4, Outcome::Copy, 5) },
    ];
    report.note(&lists, at(0)).unwrap();
    lists.counters = copies(2);
    lists.offenders[1].samples = 20;
    lists.offenders[3] = offender(9, Outcome::OverRate, 1);
    let status = report.status(&lists, Holding::default(), at(2000)).unwrap();
    let shown: Vec<_> =
        status.refused_sources.iter().map(|s| (&*s.address, &*s.reason, s.frames.total, s.frames.per_second)).collect();
    assert_eq!(
        shown,
        [
            ("192.0.2.2", "over_rate", 1280, 320.0),
            ("192.0.2.9", "over_rate", 64, 32.0),
            ("192.0.2.1", "copy", 64_000, 0.0)
        ]
    );
    lists.offenders = (0..200).map(|last| offender(last, Outcome::Copy, 1)).collect();
    lists.counters = copies(3);
    assert_eq!(report.status(&lists, Holding::default(), at(3000)).unwrap().refused_sources.len(), 20);
}

#[test]
fn nobody_is_looked_up_while_nobody_is_refused() {
    let tallies = Arc::new(Tallies::default());
    let mut report = report(&tallies);
    let mut lists = Told { counters: copies(1), ..Told::default() };
    for second in 0..5 {
        lists.counters.other_port += 1000;
        report.note(&lists, at(second * 1000)).unwrap();
    }
    assert_eq!(lists.asked.get(), 1);
    lists.counters.copy += 1;
    report.note(&lists, at(6000)).unwrap();
    assert_eq!(lists.asked.get(), 2);
}
