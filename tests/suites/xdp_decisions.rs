//! The XDP program, frame by frame, in the kernel: every header shape with every outcome, every near miss, and the
//! same frames through the same decision compiled for this machine. Needs root, and no interface.

use std::io::Write as _;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use anyhow::{Context as _, Result};
use siglatch_common::address::Address;
use siglatch_common::lane::Lane;
use siglatch_common::layout::{Candidate, PortRule, PortTable};
use siglatch_common::outcome::Outcome;
use siglatch_common::own_addresses::bucket_of;
use siglatch_common::wire::Wire;
use siglatch_tests::bpf::{Judged, Subject, XDP_DROP};
use siglatch_tests::cases::{self, Case};
use siglatch_tests::mutation::Mutations;
use siglatch_tests::packet::{Frame, Lie, Transport};
use siglatch_tests::scene::{BEHIND, CLEAR_PORT, GATEWAY, PORTS, SEALED_PORT, SOURCE_PORT, STRANGER, Shape, payload};
use siglatch_tests::table_host::TableHost;

/// Kernel and tables, judging side by side.
struct Both {
    kernel: Subject,
    tables: TableHost,
}

impl Both {
    fn new() -> Self {
        Self::with(&PORTS, &GATEWAY.addresses())
    }

    fn with(ports: &[PortRule], own: &[Address]) -> Self {
        let kernel = Subject::load(ports, own).unwrap_or_else(|error| panic!("{error:#}"));
        Self { kernel, tables: TableHost::new(ports, own) }
    }

    /// What both say; an error if they differ.
    fn judge(&mut self, frame: &[u8]) -> Result<Judged> {
        let kernel = timeless(self.kernel.judge(frame)?);
        let tables = self.tables.judge(frame);
        anyhow::ensure!(kernel == tables, "the kernel says {kernel:?}, the tables {tables:?}");
        Ok(kernel)
    }

    fn outcome(&mut self, frame: &Frame) -> Outcome {
        self.judge(&frame.bytes()).unwrap_or_else(|error| panic!("{error:#}: {frame:?}")).outcome
    }

    /// What is wrong with the judgement of this case, if anything.
    fn fault(&mut self, case: &Case) -> Option<String> {
        match self.judge(&case.bytes) {
            Ok(judged) if judged.outcome == case.outcome => None,
            Ok(judged) => Some(format!("{}, not {}: {}", judged.outcome.label(), case.outcome.label(), case.name)),
            Err(error) => Some(format!("{error:#}: {}", case.name)),
        }
    }
}

/// A daemon's start waits for it, and a kernel whose verifier forgets less must take the program, too.
#[test]
fn the_verifier_is_far_from_its_limit_of_a_million() -> Result<()> {
    let verified = Both::new().kernel.verified_instructions()?;
    anyhow::ensure!(verified.is_none_or(|count| count < 60_000), "{verified:?} instructions");
    Ok(())
}

/// Without what may differ: the arrival, and the room behind the datagram.
fn timeless(judged: Judged) -> Judged {
    let candidate = judged.candidate.map(|candidate| {
        let mut datagram = [0; Candidate::ROOM];
        let used = candidate.payload().expect("a record says how much of it is used");
        datagram[..used.len()].copy_from_slice(used);
        Candidate { arrival_ns: 0, datagram, ..candidate }
    });
    Judged { candidate, ..judged }
}

#[test]
fn every_shape_has_every_outcome_and_every_near_miss() {
    let mut both = Both::new();
    let cases: Vec<Case> = Shape::all().iter().flat_map(cases::of).collect();
    let faults: Vec<String> = cases.iter().filter_map(|case| both.fault(case)).collect();
    let shown = faults.iter().take(20).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(faults.is_empty(), "{} of {} frames judged wrongly, such as\n{shown}", faults.len(), cases.len());
    // Those that need a list or a limit are the business of `xdp_lists`.
    let by_form = Outcome::ALL.into_iter().take_while(|outcome| *outcome != Outcome::WrongStamp);
    for outcome in by_form.chain([Outcome::SubmittedUnknown]) {
        assert!(cases.iter().any(|case| case.outcome == outcome), "no case for {}", outcome.label());
    }
}

#[test]
fn a_submitted_record_holds_the_datagram_byte_for_byte() {
    let mut both = Both::new();
    for shape in Shape::all() {
        for wire in [Wire::Sealed, Wire::Clear] {
            let port = if wire == Wire::Sealed { SEALED_PORT } else { CLEAR_PORT };
            let sent = payload(usize::from(wire.datagram_len()));
            let frame = shape.to_gateway(port, &sent).build();
            for trailer in [0, 1, 4, 100] {
                let padded = [&frame.bytes[..], &vec![0xee; trailer]].concat();
                let candidate = both.judge(&padded).unwrap().candidate.expect("submitted");
                assert_eq!(candidate.payload(), Some(&sent[..]), "{shape:?}");
                assert_eq!(candidate.length, wire.datagram_len());
                assert_eq!(candidate.wire, wire.number());
                assert_eq!(candidate.source, Address::from(STRANGER.of(shape.is_v4())));
                assert_eq!(candidate.source_port, SOURCE_PORT);
                assert_eq!(candidate.dest_port, port);
                assert_eq!(candidate.lane(), Some(Lane::Unknown));
            }
        }
    }
}

#[test]
fn of_all_lengths_up_to_1500_each_port_accepts_one() {
    let mut both = Both::new();
    for shape in Shape::plain() {
        for rule in PORTS {
            for length in 0..=1500 {
                let expected =
                    if length == usize::from(rule.length) { Outcome::SubmittedUnknown } else { Outcome::WrongLength };
                let outcome = both.outcome(&shape.to_gateway(rule.port, &payload(length)));
                assert_eq!(outcome, expected, "{length} bytes to port {}", rule.port);
            }
        }
    }
}

#[test]
fn a_full_ring_drops_and_counts_for_every_shape() {
    for rule in PORTS {
        let mut kernel = Subject::load(&PORTS, &GATEWAY.addresses()).unwrap_or_else(|error| panic!("{error:#}"));
        let shapes = Shape::all();
        let frame = |shape: &Shape| shape.to_gateway(rule.port, &payload(usize::from(rule.length))).bytes();
        let mut taken = 0;
        while kernel.counters().unwrap().of(Outcome::RingFullUnknown) == 0 {
            assert_eq!(kernel.run(&frame(&shapes[taken % shapes.len()])).unwrap(), XDP_DROP);
            taken += 1;
            assert!(taken < 10_000, "the ring has no end");
        }
        assert_eq!(kernel.counters().unwrap().of(Outcome::SubmittedUnknown), taken as u64 - 1);
        for (already, shape) in (1_u64..).zip(&shapes) {
            assert_eq!(kernel.counters().unwrap().of(Outcome::RingFullUnknown), already);
            assert_eq!(kernel.run(&frame(shape)).unwrap(), XDP_DROP, "{shape:?}");
        }
        // Not one that was accepted is lost, and room that was given back is used again.
        let kept = std::iter::from_fn(|| kernel.take().unwrap()).count();
        assert_eq!(kept, taken - 1);
        let again = kernel.judge(&frame(&shapes[0])).unwrap();
        assert_eq!(again.outcome, Outcome::SubmittedUnknown);
    }
}

#[test]
fn a_frame_shorter_than_its_headers_say_takes_no_room_in_the_ring() {
    let mut kernel = Subject::load(&PORTS, &GATEWAY.addresses()).unwrap_or_else(|error| panic!("{error:#}"));
    let [shape, _] = Shape::plain();
    let whole = shape.to_gateway(SEALED_PORT, &payload(256)).bytes();
    for _ in 0..2_000 {
        assert_eq!(kernel.run(&whole[..whole.len() - 1]).unwrap(), XDP_DROP);
    }
    assert_eq!(kernel.judge(&whole).unwrap().outcome, Outcome::SubmittedUnknown);
}

#[test]
fn frames_of_several_pages_are_judged_like_any_other() {
    let mut both = Both::new();
    for shape in Shape::plain() {
        for length in [3_000, 4_000, 4_096, 8_000, 9_000] {
            let outcome = both.outcome(&shape.to_gateway(SEALED_PORT, &payload(length)));
            assert_eq!(outcome, Outcome::WrongLength, "{length}");
            let outcome = both.outcome(&shape.to_gateway(SEALED_PORT, &payload(length)).carrying(Transport::Tcp(0x18)));
            assert_eq!(outcome, Outcome::NotUdp, "{length}");
            let padded = [shape.to_gateway(SEALED_PORT, &payload(256)).bytes(), payload(length)].concat();
            assert_eq!(both.judge(&padded).unwrap().outcome, Outcome::SubmittedUnknown, "{length}");
        }
    }
}

#[test]
fn a_payload_in_another_buffer_than_its_headers_is_copied_all_the_same() {
    if !Subject::splits_frames() {
        writeln!(std::io::stdout(), "\nsplit frames are NOT tested: kernels before 6.18 make none").unwrap();
        return;
    }
    let mut kernel = Subject::load(&PORTS, &GATEWAY.addresses()).unwrap_or_else(|error| panic!("{error:#}"));
    for shape in Shape::all() {
        let sent = payload(256);
        let frame = shape.to_gateway(SEALED_PORT, &sent).build();
        for linear in [frame.payload_at, frame.payload_at + 1, frame.payload_at + 255] {
            let before = kernel.counters().unwrap();
            assert_eq!(kernel.run_split(&frame.bytes, linear as u32).unwrap(), XDP_DROP, "{shape:?}");
            assert_eq!(
                kernel.counters().unwrap().submitted_unknown,
                before.submitted_unknown + 1,
                "{linear} bytes of {shape:?}"
            );
            assert_eq!(kernel.take().unwrap().unwrap().payload(), Some(&sent[..]));
        }
    }
}

#[test]
fn all_sixteen_ports_are_known_and_none_beside_them() {
    let every: Vec<_> = (0..PortTable::CAPACITY as u16).map(|n| PortRule::new(1000 + n * 7, Wire::Clear)).collect();
    let mut both = Both::with(&every, &GATEWAY.addresses());
    for shape in Shape::plain() {
        for rule in &every {
            assert_eq!(
                both.outcome(&shape.to_gateway(rule.port, &payload(245))),
                Outcome::SubmittedUnknown,
                "{}",
                rule.port
            );
            assert_eq!(both.outcome(&shape.to_gateway(rule.port + 1, &payload(245))), Outcome::OtherPort);
        }
        assert_eq!(both.outcome(&shape.to_gateway(0, &payload(245))), Outcome::OtherPort);
    }
}

#[test]
fn a_host_without_ports_or_without_addresses_lets_everything_pass() {
    let [shape, _] = Shape::plain();
    let frame = shape.to_gateway(SEALED_PORT, &payload(256));
    assert_eq!(Both::with(&[], &GATEWAY.addresses()).outcome(&frame), Outcome::OtherPort);
    assert_eq!(Both::with(&PORTS, &[]).outcome(&frame), Outcome::Routed);
}

#[test]
fn four_addresses_of_one_bucket_are_all_own_and_a_fifth_is_not() {
    let crowd = crowded_bucket();
    let (own, fifth) = crowd.split_at(4);
    let own: Vec<Address> = own.iter().map(|address| Address::from(*address)).collect();
    let mut both = Both::with(&PORTS, &own);
    let [_, shape] = Shape::plain();
    let frame = shape.to_gateway(SEALED_PORT, &payload(256));
    for address in &crowd[..4] {
        assert_eq!(both.outcome(&frame.clone().to(SocketAddr::new(*address, SEALED_PORT))), Outcome::SubmittedUnknown);
    }
    assert_eq!(both.outcome(&frame.to(SocketAddr::new(fifth[0], SEALED_PORT))), Outcome::Routed);
}

/// Five addresses that share a bucket of the map.
fn crowded_bucket() -> Vec<IpAddr> {
    let candidates = (0..=u16::MAX).map(|n| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n)));
    candidates.filter(|address| bucket_of(Address::from(*address).halves()) == 77).take(5).collect()
}

#[test]
fn only_own_addresses_of_the_datagrams_own_family_count() {
    let v4_alone = [Address::from(GATEWAY.v4)];
    let mut both = Both::with(&PORTS, &v4_alone);
    let [v4, v6] = Shape::plain();
    assert_eq!(both.outcome(&v4.to_gateway(SEALED_PORT, &payload(256))), Outcome::SubmittedUnknown);
    assert_eq!(both.outcome(&v6.to_gateway(SEALED_PORT, &payload(256))), Outcome::Routed);
    let lookalike = SocketAddr::new(IpAddr::V6(GATEWAY.v4.to_ipv6_compatible()), SEALED_PORT);
    assert_eq!(both.outcome(&v6.to_gateway(SEALED_PORT, &payload(256)).to(lookalike)), Outcome::Routed);
}

#[test]
fn a_knock_to_a_host_behind_the_gateway_passes_whatever_it_looks_like() {
    let mut both = Both::new();
    for shape in Shape::all() {
        let to = SocketAddr::new(BEHIND.of(shape.is_v4()), SEALED_PORT);
        for length in [0, 1, 255, 256, 257] {
            assert_eq!(both.outcome(&shape.to_gateway(SEALED_PORT, &payload(length)).to(to)), Outcome::Routed);
        }
        let lying = shape.to_gateway(SEALED_PORT, &payload(256)).to(to).lying(Lie::UdpLength(3));
        assert_eq!(both.outcome(&lying), Outcome::Routed);
    }
}

#[test]
fn kernel_and_tables_agree_on_every_prefix_of_every_shape() {
    let mut both = Both::new();
    for shape in Shape::all() {
        let frame = shape.to_gateway(SEALED_PORT, &payload(256)).build();
        // The kernel runs no frame without an Ethernet header. Inside the payload nothing changes from byte to byte.
        let lengths = (ETHERNET..=frame.payload_at + 3).chain(frame.bytes.len() - 3..=frame.bytes.len());
        for length in lengths {
            both.judge(&frame.bytes[..length]).with_context(|| format!("{length} bytes of {shape:?}")).unwrap();
        }
    }
}

#[test]
fn kernel_and_tables_agree_on_mutated_frames() {
    let mut both = Both::new();
    let mut seen = Vec::new();
    let mut mutations = Mutations::seeded(0x5167_1a7c);
    for round in 0..12_000 {
        let frame = mutations.next();
        let judged = both.judge(&frame).with_context(|| format!("round {round}, frame {frame:02x?}"));
        seen.push(judged.unwrap_or_else(|error| panic!("{error:#}")).outcome);
    }
    // Those that need a list or a limit are the business of `xdp_lists`.
    let by_form = Outcome::ALL.into_iter().take_while(|outcome| *outcome != Outcome::WrongStamp);
    for outcome in by_form.chain([Outcome::SubmittedUnknown]) {
        let times = seen.iter().filter(|seen| **seen == outcome).count();
        assert!(times >= 20, "{} came up {times} times only: the mutations miss it", outcome.label());
    }
}

/// Length of an Ethernet header, in bytes.
const ETHERNET: usize = 14;
