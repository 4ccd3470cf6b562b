//! The queues of a process, and who is served from them.

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use siglatch_common::address::Address;
use zerocopy::FromZeros as _;

use super::*;

#[tokio::test]
async fn lanes_are_served_in_order_each_from_its_front_and_nobody_below_his_share() {
    let (queues, mut lanes, mut precedence) = stand();
    for number in 0..100 {
        for lane in Lane::ALL {
            assert!(queues.put(lane, candidate(lane, number)));
        }
    }
    let mut taken = PerLane::from_fn(|_| 0);
    for _ in 0..100 {
        let candidate = lanes.next(&mut precedence).await.unwrap();
        let taken = taken.of_mut(candidate.lane().unwrap());
        assert_eq!(candidate.arrival_ns, *taken, "its front");
        *taken += 1;
    }
    assert_eq!(taken, PerLane { stamped: 76, known: 20, unknown: 4 });
    assert_eq!(lanes.depths().waiting(), PerLane { stamped: 24, known: 80, unknown: 96 });
}

#[tokio::test]
async fn whoever_waits_is_woken_by_any_lane() {
    let (queues, mut lanes, mut precedence) = stand();
    let feeder = tokio::spawn(async move {
        for lane in [Lane::Unknown, Lane::Stamped, Lane::Known] {
            assert_eq!(lanes.next(&mut precedence).await.unwrap().lane(), Some(lane));
        }
    });
    for lane in [Lane::Unknown, Lane::Stamped, Lane::Known] {
        while queues.waiting() != PerLane::default() {
            tokio::task::yield_now().await;
        }
        assert!(queues.put(lane, candidate(lane, 0)));
    }
    tokio::time::timeout(Duration::from_secs(10), feeder).await.unwrap().unwrap();
}

#[tokio::test]
async fn whoever_gives_up_waiting_loses_nothing() {
    let (queues, mut lanes, mut precedence) = stand();
    let mut context = Context::from_waker(Waker::noop());
    for number in 0..10 {
        {
            let mut given_up = pin!(lanes.next(&mut precedence));
            assert!(given_up.as_mut().poll(&mut context).is_pending());
            // It has been called, and does not come.
            assert!(queues.put(Lane::Known, candidate(Lane::Known, number)));
        }
        let taken = tokio::time::timeout(Duration::from_secs(10), lanes.next(&mut precedence)).await.unwrap().unwrap();
        assert_eq!(taken.arrival_ns, number);
    }
}

#[test]
fn a_full_lane_refuses_and_the_others_do_not() {
    let queues = Queues::default();
    for number in 0..Queues::ROOM as u64 {
        assert!(queues.put(Lane::Unknown, candidate(Lane::Unknown, number)));
    }
    assert!(!queues.put(Lane::Unknown, candidate(Lane::Unknown, 0)));
    assert!(queues.put(Lane::Known, candidate(Lane::Known, 0)));
    assert_eq!(queues.waiting(), PerLane { stamped: 0, known: 1, unknown: Queues::ROOM });
    assert!(queues.take(&mut Precedence::new(PerLane::default())).is_some(), "the known one");
    assert!(!queues.put(Lane::Unknown, candidate(Lane::Unknown, 0)));
    assert!(queues.take(&mut Precedence::new(PerLane::default())).is_some());
    assert!(queues.put(Lane::Unknown, candidate(Lane::Unknown, 0)), "there is room again");
}

fn stand() -> (Arc<Queues>, Lanes, Precedence) {
    let queues = Arc::new(Queues::default());
    let precedence = Precedence::new(PerLane { stamped: 20, known: 20, unknown: 5 });
    (Arc::clone(&queues), Lanes::Queues(queues), precedence)
}

fn candidate(lane: Lane, number: u64) -> Candidate {
    Candidate { arrival_ns: number, source: Address::v4([192, 0, 2, 1]), lane: lane as u8, ..Candidate::new_zeroed() }
}
