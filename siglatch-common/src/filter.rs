//! The kernel's one decision: what becomes of a frame. The same code judges datagrams of a plain socket.
//! Never counts, copies or drops: its caller does.

use crate::address::Halves;
use crate::frame::{Frame, Headers, Seen, read, source_of};
use crate::lane::Lane;
use crate::layout::{Candidate, PortRule};
use crate::outcome::Outcome;
use crate::pace::Pace;
use crate::siphash::{Key, siphash_1_3};
use crate::stamp::{STAMP_LEN, Slot, stamp};
use crate::units::Boot;
use crate::wire::Wire;
use crate::wire::v1::SEALED_LEN;

/// What the filter must know, and where candidates go: maps in the kernel, tables elsewhere.
pub trait Host {
    /// One number of a table.
    type Word: Word;

    /// The rule of a knock port; nothing for other ports.
    fn port(&self, port: u16) -> Option<PortRule>;
    /// Whether the address is this host's own.
    fn is_own(&self, address: Halves) -> bool;
    /// Whether bans are for everything that a source sends, and not for its knocks only.
    fn bans_hosts(&self) -> bool;
    /// Whether the address is in a network of the allow list.
    fn is_allowed(&self, source: Halves) -> bool;
    /// Whether a ban of the address, or of a network around it, holds. Counts a hit if so.
    fn is_banned(&self, source: Halves) -> bool;
    /// The key that stamps of a slot are made with, if there is one.
    fn stamp_key(&self, slot: Slot) -> Option<Key>;
    /// A secret of this host.
    fn spread(&self) -> Key;
    /// Nanoseconds on a clock that never goes back; may stand still for some milliseconds.
    fn now(&self) -> u64;
    /// What one source may send.
    fn source_pace(&self) -> Pace;
    /// The bucket of a known origin, its own.
    fn known(&self, origin: Halves) -> Option<Self::Word>;
    /// The bucket at the place of a hash, which origins share.
    fn bucket(&self, hash: u64) -> Option<Self::Word>;
    /// The fingerprint of the datagram submitted last of those at the place of a hash.
    fn copy(&self, hash: u64) -> Option<Self::Word>;
    /// What a lane takes.
    fn lane_pace(&self, lane: Lane) -> Pace;
    /// The bucket of a lane.
    fn lane(&self, lane: Lane) -> Option<Self::Word>;
    /// Hands a datagram to the daemon; false if there is no room.
    fn submit(&self, arrival: &Arrival, rule: &PortRule, lane: Lane) -> bool;

    /// [`judge`]; a host may keep it apart, so that frames judged by their form alone do not pay for it.
    #[inline(always)]
    fn judge(&self, arrival: &Arrival, rule: &PortRule, frame: &impl Frame) -> Outcome
    where
        Self: Sized,
    {
        judge(arrival, rule, frame, self)
    }
}

/// A number in a table that others may read and write at the same time.
pub trait Word {
    /// What it is.
    fn read(&self) -> u64;
    /// Makes it another.
    fn write(&self, value: u64);
}

/// A datagram of the right form at one of this host's knock ports.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Arrival {
    /// Who says to have sent it.
    pub source: Halves,
    /// UDP source port.
    pub source_port: u16,
    /// UDP destination port.
    pub dest_port: u16,
    /// Where the payload begins, in bytes from the start of the frame.
    pub payload_at: usize,
}

impl Arrival {
    /// What is submitted, for hosts that have the payload in one piece; nothing if it has not the port's length. The kernel
    /// fills a place in its ring: its stack has no room for one.
    #[must_use]
    pub fn candidate(&self, payload: &[u8], rule: &PortRule, lane: Lane, arrived: Boot) -> Option<Candidate> {
        let mut datagram = [0; Candidate::ROOM];
        datagram
            .get_mut(..usize::from(rule.length))
            .filter(|room| room.len() == payload.len())?
            .copy_from_slice(payload);
        Some(Candidate {
            arrival_ns: arrived.as_nanos(),
            source: self.source.address(),
            source_port: self.source_port,
            dest_port: self.dest_port,
            length: rule.length,
            wire: rule.wire,
            lane: lane as u8,
            datagram,
        })
    }
}

/// Decides about a frame, cheapest question first.
#[inline(always)]
pub fn decide(frame: &impl Frame, host: &impl Host) -> Outcome {
    // 0. For operators who want it, a ban is for everything.
    if host.bans_hosts()
        && let Some(source) = source_of(frame)
        && is_outlawed(source, host)
    {
        return Outcome::Banned;
    }
    // 1. What cannot be a knock is none of our business.
    match read(frame) {
        Seen::Udp(headers) => decide_udp(&headers, frame, host).unwrap_or(Outcome::CutShort),
        Seen::NotIp => Outcome::NotIp,
        Seen::NotUdp => Outcome::NotUdp,
        Seen::CutShort => Outcome::CutShort,
    }
}

/// Every UDP datagram of the host comes here: addresses are read when they are asked about, and not before.
#[inline(always)]
fn decide_udp(headers: &Headers, frame: &impl Frame, host: &impl Host) -> Option<Outcome> {
    // 2. Nor is what goes elsewhere.
    let Some(rule) = host.port(headers.dest_port) else {
        return Some(Outcome::OtherPort);
    };
    if !host.is_own(headers.destination(frame)?) {
        return Some(Outcome::Routed);
    }
    if let Some(flaw) = form(headers.fragment, headers.payload_len(frame)?, &rule) {
        return Some(flaw);
    }
    if !frame.reaches(headers.payload_at() + usize::from(rule.length)) {
        return Some(Outcome::WrongLength);
    }
    let arrival = Arrival {
        source: headers.source(frame)?,
        source_port: headers.source_port(frame)?,
        dest_port: headers.dest_port,
        payload_at: headers.payload_at(),
    };
    Some(host.judge(&arrival, &rule, frame))
}

/// 3. Only one form is accepted. From here on nothing passes.
#[inline(always)]
#[must_use]
pub fn form(fragment: bool, payload_len: u16, rule: &PortRule) -> Option<Outcome> {
    if fragment {
        Some(Outcome::Fragment)
    } else if payload_len != rule.length {
        Some(Outcome::WrongLength)
    } else {
        None
    }
}

/// Decides about a datagram of the right form.
#[inline(always)]
pub fn judge(arrival: &Arrival, rule: &PortRule, frame: &impl Frame, host: &impl Host) -> Outcome {
    let source = arrival.source;
    // 3. And only from somebody who can be there.
    if source.is_impossible_source() || host.is_own(source) {
        return Outcome::ImpossibleSource;
    }
    // 4. A stamp makes it somebody's who was let in on the gate key, wherever he is; without one nobody is.
    let lane = if rule.wire == Wire::Stamped.number() {
        if !has_valid_stamp(arrival.payload_at, frame, host).unwrap_or(false) {
            return Outcome::WrongStamp;
        }
        Lane::Stamped
    } else {
        match lane_of_source(source, host) {
            Ok(lane) => lane,
            Err(refused) => return refused,
        }
    };
    // 7. Once is enough, whoever sends it again.
    let Some((print, place)) = fingerprint(arrival.payload_at + packet_at(rule), frame, host) else {
        return Outcome::WrongLength;
    };
    let last = host.copy(place);
    if last.as_ref().is_some_and(|last| last.read() == print) {
        return Outcome::Copy;
    }
    // 8. Each lane has its share of the private key's time.
    let pace = host.lane_pace(lane);
    if !pace.is_unlimited() && !takes(pace, host.lane(lane), host) {
        return Outcome::over_budget(lane);
    }
    // 9. What is left is worth a private-key operation.
    if !host.submit(arrival, rule, lane) {
        return Outcome::ring_full(lane);
    }
    if let Some(last) = last {
        last.write(print);
    }
    Outcome::submitted(lane)
}

/// 4. to 6. Who may send, and how much.
#[inline(always)]
fn lane_of_source(source: Halves, host: &impl Host) -> Result<Lane, Outcome> {
    let is_allowed = host.is_allowed(source);
    if !is_allowed && host.is_banned(source) {
        return Err(Outcome::Banned);
    }
    let origin = source.origin();
    let known = host.known(origin);
    let lane = if known.is_some() { Lane::Known } else { Lane::Unknown };
    let pace = host.source_pace();
    if is_allowed || pace.is_unlimited() {
        return Ok(lane);
    }
    // A known origin has a bucket of its own, which nobody else can empty.
    let bucket = known.or_else(|| host.bucket(siphash_1_3(host.spread(), origin.first, origin.last)));
    if takes(pace, bucket, host) { Ok(lane) } else { Err(Outcome::OverRate) }
}

#[inline(always)]
fn is_outlawed(source: Halves, host: &impl Host) -> bool {
    host.is_banned(source) && !host.is_allowed(source)
}

#[inline(always)]
fn takes<H: Host>(pace: Pace, bucket: Option<H::Word>, host: &H) -> bool {
    let Some(bucket) = bucket else { return false };
    match pace.take(bucket.read(), host.now()) {
        Some(next) => {
            bucket.write(next);
            true
        }
        None => false,
    }
}

/// Whether the 8 bytes at `at` are the stamp of the 256 behind them.
#[inline(always)]
fn has_valid_stamp(at: usize, frame: &impl Frame, host: &impl Host) -> Option<bool> {
    let given = frame.word(at)?;
    let slot = Slot::of_stamp(given);
    let key = host.stamp_key(slot)?;
    let right = match frame.block::<SEALED_LEN>(at + STAMP_LEN) {
        Some(sealed) => {
            let (words, _) = sealed.as_chunks::<{ size_of::<u64>() }>();
            stamp(slot, key, |index| words.get(index).map(|word| u64::from_le_bytes(*word)))
        }
        // In a frame of several pieces.
        None => stamp(slot, key, |index| frame.far_word(at + STAMP_LEN + index * size_of::<u64>())),
    };
    Some(right? == given)
}

/// A hash of 16 bytes of the packet that are random in every wire, and the place where it is remembered: of a sealed
/// packet nobody can know them before it is sent, of a clear one they are half the HMAC.
#[inline(always)]
fn fingerprint(packet_at: usize, frame: &impl Frame, host: &impl Host) -> Option<(u64, u64)> {
    let first = frame.word(packet_at + RANDOM_AT)?;
    let second = frame.word(packet_at + RANDOM_AT + size_of::<u64>())?;
    let hash = siphash_1_3(host.spread(), first, second);
    // 0 is what an empty place holds.
    Some((hash | 1, hash >> 32))
}

/// Where the packet begins in the payload.
#[inline(always)]
const fn packet_at(rule: &PortRule) -> usize {
    if rule.wire == Wire::Stamped.number() { STAMP_LEN } else { 0 }
}

/// Where the 16 bytes of a fingerprint begin in a packet, sealed or not: the HMAC of a clear one.
const RANDOM_AT: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;

    #[test]
    fn a_candidate_is_what_has_arrived_and_no_datagram_of_another_length_is_one() {
        let source = Address::v4([192, 0, 2, 7]);
        let arrival = Arrival { source: source.halves(), source_port: 40_000, dest_port: 62_201, payload_at: 42 };
        for wire in [Wire::Sealed, Wire::Stamped, Wire::Clear] {
            let rule = PortRule::new(62_201, wire);
            let of = |length: u16| {
                arrival.candidate(&[7; 512][..usize::from(length)], &rule, Lane::Known, Boot::from_nanos(5))
            };
            let candidate = of(rule.length).unwrap();
            assert_eq!((candidate.arrival_ns, candidate.source), (5, source));
            assert_eq!((candidate.source_port, candidate.dest_port), (40_000, 62_201));
            assert_eq!((candidate.wire, candidate.lane()), (rule.wire, Some(Lane::Known)));
            assert!(candidate.payload().unwrap().iter().all(|byte| *byte == 7));
            assert_eq!(candidate.payload().unwrap().len(), usize::from(rule.length));
            for length in [0, rule.length - 1, rule.length + 1, 512] {
                assert!(of(length).is_none(), "{length}");
            }
        }
    }
}
