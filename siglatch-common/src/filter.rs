//! The kernel's one decision: what becomes of a frame. The same code judges datagrams of a plain socket.
//! Never counts, copies or drops: its caller does.

use crate::address::Halves;
use crate::frame::{Frame, Headers, Seen, read};
use crate::layout::PortRule;
use crate::outcome::Outcome;

/// What the filter must know, and where candidates go: maps in the kernel, tables elsewhere.
pub trait Host {
    /// The rule of a knock port; nothing for other ports.
    fn port(&self, port: u16) -> Option<PortRule>;
    /// Whether the address is this host's own.
    fn is_own(&self, address: Halves) -> bool;
    /// Hands a datagram to the daemon; false if there is no room.
    fn submit(&self, arrival: &Arrival, rule: &PortRule) -> bool;
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

/// Decides about a frame, cheapest question first.
#[inline(always)]
pub fn decide(frame: &impl Frame, host: &impl Host) -> Outcome {
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
    Some(judge(&arrival, &rule, host))
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
pub fn judge(arrival: &Arrival, rule: &PortRule, host: &impl Host) -> Outcome {
    // 3. And only from somebody who can be there.
    if arrival.source.is_impossible_source() || host.is_own(arrival.source) {
        return Outcome::ImpossibleSource;
    }
    // 4. to 8. have their place here: stamps and allow lists, bans, rates, copies, lane budgets.

    // 9. What is left is worth a private-key operation.
    if host.submit(arrival, rule) { Outcome::Submitted } else { Outcome::RingFull }
}
