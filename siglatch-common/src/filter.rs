//! The kernel's one decision: what becomes of a frame. The same code judges datagrams of a plain socket.
//! Never counts, copies or drops: its caller does.

use crate::address::Address;
use crate::frame::{Datagram, Frame, Seen, read};
use crate::layout::PortRule;
use crate::outcome::Outcome;

/// What the filter must know, and where candidates go: maps in the kernel, tables elsewhere.
pub trait Host {
    /// The rule of a knock port; nothing for other ports.
    fn port(&self, port: u16) -> Option<PortRule>;
    /// Whether the address is this host's own.
    fn is_own(&self, address: &Address) -> bool;
    /// Hands a datagram to the daemon; false if there is no room.
    fn submit(&self, datagram: &Datagram, rule: &PortRule) -> bool;
}

/// Decides about a frame, cheapest question first.
#[inline(always)]
pub fn decide(frame: &impl Frame, host: &impl Host) -> Outcome {
    // 1. What cannot be a knock is none of our business.
    let datagram = match read(frame) {
        Seen::Udp(datagram) => datagram,
        Seen::NotIp => return Outcome::NotIp,
        Seen::NotUdp => return Outcome::NotUdp,
        Seen::CutShort => return Outcome::CutShort,
    };
    // 2. Nor is what goes elsewhere.
    let Some(rule) = host.port(datagram.dest_port) else {
        return Outcome::OtherPort;
    };
    if !host.is_own(&datagram.destination) {
        return Outcome::Routed;
    }
    judge(&datagram, &rule, host)
}

/// Decides about a datagram to one of this host's knock ports. From here on nothing passes.
#[inline(always)]
pub fn judge(datagram: &Datagram, rule: &PortRule, host: &impl Host) -> Outcome {
    // 3. Only one form is accepted.
    if datagram.fragment {
        return Outcome::Fragment;
    }
    if datagram.payload_len != rule.length {
        return Outcome::WrongLength;
    }
    if datagram.source.is_impossible_source() || host.is_own(&datagram.source) {
        return Outcome::ImpossibleSource;
    }
    // 4. to 8. have their place here: stamps and allow lists, bans, rates, copies, lane budgets.

    // 9. What is left is worth a private-key operation.
    if host.submit(datagram, rule) { Outcome::Submitted } else { Outcome::RingFull }
}
