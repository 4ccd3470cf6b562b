//! The rules of the XDP program, changed while it judges, in the kernel: ports, wires, limits and what is told. Needs
//! root, and no interface.

use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Result, ensure};
use siglatch_common::lane::PerLane;
use siglatch_common::layout::{PortRule, PortTable, Tuning};
use siglatch_common::outcome::Outcome;
use siglatch_common::pace::Pace;
use siglatch_common::wire::Wire;
use siglatch_tests::bpf::Subject;
use siglatch_tests::raw_bpf::time;
use siglatch_tests::scene::{GATEWAY, Shape, payload};
use siglatch_user::edge::xdp::Measures;

/// In all configurations, with one wire.
const CONSTANT: u16 = 62201;
/// In all configurations, with another wire in each.
const REWIRED: u16 = 62202;
/// In one configuration and not in the other.
const PASSING: u16 = 62203;

const ONE: [PortRule; 3] =
    [PortRule::new(CONSTANT, Wire::Sealed), PortRule::new(REWIRED, Wire::Clear), PortRule::new(PASSING, Wire::Sealed)];
const OTHER: [PortRule; 2] = [PortRule::new(REWIRED, Wire::Sealed), PortRule::new(CONSTANT, Wire::Sealed)];

fn subject() -> Result<Subject> {
    Subject::with(&ONE, &GATEWAY.addresses(), &Tuning::NONE)
}

fn measures(tuning: Tuning) -> Measures {
    Measures { tuning, bans: 1024, known: 1024, rings: PerLane::default() }
}

fn frame(port: u16, length: usize) -> Vec<u8> {
    let [shape, _] = Shape::plain();
    shape.to_gateway(port, &payload(length)).bytes()
}

#[test]
fn ports_come_go_and_change_their_wire_at_once() -> Result<()> {
    let mut kernel = subject()?;
    let outcomes = |kernel: &mut Subject| -> Result<Vec<Outcome>> {
        let frames = [(CONSTANT, 256), (REWIRED, 245), (REWIRED, 256), (PASSING, 256), (0, 256)];
        frames.iter().map(|(port, length)| Ok(kernel.judge(&frame(*port, *length))?.outcome)).collect()
    };
    use Outcome::{OtherPort, SubmittedUnknown, WrongLength};
    let by_one = [SubmittedUnknown, SubmittedUnknown, WrongLength, SubmittedUnknown, OtherPort];
    let by_other = [SubmittedUnknown, WrongLength, SubmittedUnknown, OtherPort, OtherPort];
    ensure!(outcomes(&mut kernel)? == by_one);
    for _ in 0..3 {
        kernel.rules.set(&OTHER, &measures(Tuning::NONE))?;
        ensure!(outcomes(&mut kernel)? == by_other);
        kernel.rules.set(&ONE, &measures(Tuning::NONE))?;
        ensure!(outcomes(&mut kernel)? == by_one);
    }
    kernel.rules.set(&[], &measures(Tuning::NONE))?;
    ensure!(outcomes(&mut kernel)? == [OtherPort; 5]);
    Ok(())
}

#[test]
fn limits_change_and_the_sizes_of_tables_do_not() -> Result<()> {
    let roomy = Tuning { bucket_mask: 1023, copy_mask: 1023, ..Tuning::NONE };
    let mut kernel = Subject::with(&ONE, &GATEWAY.addresses(), &roomy)?;
    let mut number = 0_u64;
    let mut send = |kernel: &mut Subject| -> Result<Outcome> {
        number += 1;
        let [shape, _] = Shape::plain();
        let mut bytes = payload(256);
        bytes[12..20].copy_from_slice(&number.to_le_bytes());
        Ok(kernel.judge(&shape.to_gateway(CONSTANT, &bytes).bytes())?.outcome)
    };
    for _ in 0..3 {
        ensure!(send(&mut kernel)? == Outcome::SubmittedUnknown);
    }
    // A table that would reach beyond the map does not come.
    let slow = Tuning { source: Pace::per_second(1, 1), bucket_mask: 0xf_ffff, copy_mask: 0, ..roomy };
    kernel.rules.set(&ONE, &measures(slow))?;
    ensure!(send(&mut kernel)? == Outcome::SubmittedUnknown);
    ensure!(send(&mut kernel)? == Outcome::OverRate);
    kernel.rules.set(&ONE, &measures(Tuning { lanes: [Pace::per_second(1, 1); 3], ..roomy }))?;
    ensure!(send(&mut kernel)? == Outcome::SubmittedUnknown);
    ensure!(send(&mut kernel)? == Outcome::OverBudgetUnknown);
    kernel.rules.set(&ONE, &measures(roomy))?;
    ensure!(send(&mut kernel)? == Outcome::SubmittedUnknown);
    let again = frame(CONSTANT, 256);
    ensure!(kernel.judge(&again)?.outcome == Outcome::SubmittedUnknown);
    ensure!(kernel.judge(&again)?.outcome == Outcome::Copy, "copies are detected as before");
    Ok(())
}

/// The port that stays is judged as ever, each single time; the one whose wire changes by one wire or the other.
#[test]
fn no_frame_is_misjudged_while_the_rules_change_a_thousand_times() -> Result<()> {
    let mut kernel = subject()?;
    let (program, done) = (kernel.program_descriptor()?, AtomicBool::new(false));
    let before = kernel.counters()?;
    let (junk, rewired, passing) = (frame(CONSTANT, 255), frame(REWIRED, 100), frame(PASSING, 100));
    let run = || -> Result<u64> {
        let mut rounds = 0;
        while !done.load(Ordering::Relaxed) {
            // Both drop in both configurations. The third does in one only: its last verdict may be either.
            for frame in [&junk, &rewired] {
                let verdict = time(program.as_fd(), frame, REPEAT)?.verdict;
                ensure!(verdict == siglatch_tests::bpf::XDP_DROP, "a frame to a knock port passed");
            }
            time(program.as_fd(), &passing, REPEAT)?;
            rounds += 1;
        }
        Ok(rounds)
    };
    let rounds = thread::scope(|scope| {
        let running = scope.spawn(run);
        let other = Tuning { source: Pace::per_second(5, 5), ..Tuning::NONE };
        let changed = (0..500).try_for_each(|_| {
            kernel.rules.set(&OTHER, &measures(other))?;
            kernel.rules.set(&ONE, &measures(Tuning::NONE))
        });
        done.store(true, Ordering::Relaxed);
        changed?;
        running.join().expect("it does not panic")
    })?;
    let after = kernel.counters()?;
    let moved = |outcome| after.of(outcome) - before.of(outcome);
    let sent = rounds * u64::from(REPEAT);
    let (dropped, passed) = (moved(Outcome::WrongLength), moved(Outcome::OtherPort));
    ensure!(rounds > 100, "{rounds} rounds are not many");
    ensure!(dropped + passed == 3 * sent, "{dropped} and {passed} of {}", 3 * sent);
    // What passed was to the port that is in one configuration only, and it was in force half of the time.
    ensure!(passed <= sent && passed > 0 && dropped > 2 * sent, "{dropped} and {passed} of {sent} each");
    Ok(())
}

#[test]
fn sixteen_ports_find_places_of_their_own_whatever_they_are() -> Result<()> {
    let mut kernel = subject()?;
    let mut seed = 7_u64;
    for round in 0..64_u16 {
        let ports: Vec<_> = (0..PortTable::CAPACITY as u16)
            .map(|number| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // In a row, in steps of places, and at random.
                let port = match round % 3 {
                    0 => 1000 * round + number,
                    1 => round + 1 + number * 64,
                    _ => (seed >> 40) as u16 | 1,
                };
                PortRule::new(port.max(1), Wire::Clear)
            })
            .collect();
        kernel.rules.set(&ports, &measures(Tuning::NONE))?;
        for rule in &ports {
            ensure!(kernel.judge(&frame(rule.port, 1))?.outcome == Outcome::WrongLength, "{ports:?}");
        }
    }
    Ok(())
}

/// Each takes well under a millisecond.
const REPEAT: u32 = 2000;
