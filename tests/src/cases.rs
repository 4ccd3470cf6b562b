//! Every outcome and every near miss of a header shape, as frames with the outcome they must have. Never judges one.

use std::net::{IpAddr, SocketAddr};

use siglatch_common::outcome::Outcome;

use crate::packet::{Extension, Frame, Lie, Tag, Transport};
use crate::scene::{
    BEHIND, CLEAR_PORT, GATEWAY, Ip, LONGEST_CHAIN, SEALED_PORT, SOURCE_PORT, STRANGER, Shape, payload,
};

/// One frame and what must become of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// What is special about it, and its shape.
    pub name: String,
    /// The frame.
    pub bytes: Vec<u8>,
    /// What must become of it.
    pub outcome: Outcome,
}

/// The cases of one shape.
struct Cases<'a> {
    shape: &'a Shape,
    list: Vec<Case>,
}

/// Every case of a shape. The ring is never full here.
#[must_use]
pub fn of(shape: &Shape) -> Vec<Case> {
    let mut cases = Cases { shape, list: Vec::new() };
    cases.accepted();
    cases.not_ip();
    cases.not_udp();
    cases.fragments();
    cases.cut_short();
    cases.other_ports();
    cases.other_hosts();
    cases.wrong_lengths();
    cases.sources();
    cases.list
}

impl Cases<'_> {
    fn add(&mut self, outcome: Outcome, name: &str, frame: &Frame) {
        self.add_bytes(outcome, name, frame.bytes());
    }

    fn add_bytes(&mut self, outcome: Outcome, name: &str, bytes: Vec<u8>) {
        self.list.push(Case { name: format!("{name}: {:?}", self.shape), bytes, outcome });
    }

    fn knock(&self) -> Frame {
        self.shape.to_gateway(SEALED_PORT, &payload(256))
    }

    fn accepted(&mut self) {
        self.add(Outcome::SubmittedUnknown, "sealed", &self.knock());
        self.add(Outcome::SubmittedUnknown, "clear", &self.shape.to_gateway(CLEAR_PORT, &payload(245)));
        let padded = [self.knock().bytes(), vec![0; 60]].concat();
        self.add_bytes(Outcome::SubmittedUnknown, "with an Ethernet trailer", padded);
    }

    fn not_ip(&mut self) {
        // ARP, X.25, the neighbours of IPv4 and IPv6, LLDP, an 802.3 length.
        for kind in [0x0806, 0x0805, 0x0801, 0x07ff, 0x86dc, 0x86de, 0x88cc, 0x0100] {
            self.add(Outcome::NotIp, &format!("type {kind:04x}"), &self.knock().lying(Lie::EtherType(kind)));
        }
        if self.shape.tags.len() == 2 {
            for third in [Tag::Customer(1), Tag::Service(1)] {
                let tags = [&self.shape.tags[..], &[third]].concat();
                self.add(Outcome::NotIp, "a third tag", &self.knock().behind(&tags));
            }
        }
    }

    fn not_udp(&mut self) {
        for transport in
            [Transport::Tcp(2), Transport::Echo, Transport::Other(132), Transport::Other(50), Transport::Other(16)]
        {
            self.add(Outcome::NotUdp, &format!("{transport:?}"), &self.knock().carrying(transport));
        }
        let versions = if self.shape.is_v4() { [0, 3, 5, 6, 15] } else { [0, 4, 5, 7, 15] };
        for version in versions {
            self.add(Outcome::NotUdp, &format!("version {version}"), &self.knock().lying(Lie::Version(version)));
        }
        match &self.shape.ip {
            Ip::V4(_) => {
                for words in 0..5 {
                    let name = format!("a header of {words} words");
                    self.add(Outcome::NotUdp, &name, &self.knock().lying(Lie::HeaderWords(words)));
                }
            }
            Ip::V6(chain) => self.unfollowed_chains(&chain.clone()),
        }
    }

    fn unfollowed_chains(&mut self, chain: &[Extension]) {
        let longer = |last| {
            let mut longer = chain.to_vec();
            longer.truncate(LONGEST_CHAIN - 1);
            longer.push(last);
            longer
        };
        for number in [59, 135, 139, 140, 253] {
            let frame = self.knock().with_extensions(&longer(Extension::Unknown(number)));
            self.add(Outcome::NotUdp, &format!("header {number}"), &frame);
        }
        for left in [1, 2, 255] {
            let frame = self.knock().with_extensions(&longer(Extension::Routing { units: 2, left }));
            self.add(Outcome::NotUdp, &format!("{left} segments left"), &frame);
        }
        let mut endless = chain.to_vec();
        endless.resize(LONGEST_CHAIN + 1, Extension::Destination(0));
        self.add(Outcome::NotUdp, "a header too many", &self.knock().with_extensions(&endless));
    }

    fn fragments(&mut self) {
        for (offset, more, outcome) in [
            (0, false, Outcome::SubmittedUnknown),
            (0, true, Outcome::Fragment),
            (1, true, Outcome::NotUdp),
            (1, false, Outcome::NotUdp),
            (0x1000, false, Outcome::NotUdp),
            (0x1fff, true, Outcome::NotUdp),
        ] {
            let name = format!("a piece at {offset}, more: {more}");
            self.add(outcome, &name, &self.piece(offset, more));
        }
        let elsewhere = SocketAddr::new(BEHIND.of(self.shape.is_v4()), SEALED_PORT);
        self.add(Outcome::Routed, "a piece for another host", &self.piece(0, true).to(elsewhere));
        let short = self.piece(0, true).with_payload(&payload(8));
        self.add(Outcome::Fragment, "a small first piece", &short);
    }

    fn piece(&self, offset: u16, more: bool) -> Frame {
        let knock = match &self.shape.ip {
            Ip::V4(_) => self.knock(),
            Ip::V6(chain) => self.knock().with_extensions(&chain[..chain.len().min(LONGEST_CHAIN - 1)]),
        };
        knock.piece(offset, more)
    }

    fn cut_short(&mut self) {
        let frame = self.knock().build();
        for length in ETHERNET..frame.payload_at {
            // The last two bytes of a UDP header, its checksum, decide nothing.
            let outcome = if length < frame.transport_at + 8 { Outcome::CutShort } else { Outcome::WrongLength };
            self.add_bytes(outcome, &format!("the first {length} bytes"), frame.bytes[..length].to_vec());
        }
        for missing in [1, 2, 128, 255, 256] {
            let bytes = frame.bytes[..frame.bytes.len() - missing].to_vec();
            self.add_bytes(Outcome::WrongLength, &format!("{missing} bytes missing"), bytes);
        }
    }

    fn other_ports(&mut self) {
        let swapped = SEALED_PORT.swap_bytes();
        for port in
            [SEALED_PORT - 1, SEALED_PORT + 1, CLEAR_PORT - 1, CLEAR_PORT + 1, swapped, SOURCE_PORT, 0, 53, 65535]
        {
            self.add(Outcome::OtherPort, &format!("port {port}"), &self.shape.to_gateway(port, &payload(256)));
        }
        let from_knock_port = SocketAddr::new(STRANGER.of(self.shape.is_v4()), SEALED_PORT);
        let reply = self.shape.to_gateway(SOURCE_PORT, &payload(256)).from(from_knock_port);
        self.add(Outcome::OtherPort, "from a knock port", &reply);
    }

    fn other_hosts(&mut self) {
        let own = GATEWAY.of(self.shape.is_v4());
        for neighbour in neighbours(own) {
            let frame = self.knock().to(SocketAddr::new(neighbour, SEALED_PORT));
            self.add(Outcome::Routed, &format!("to {neighbour}"), &frame);
        }
        let to_many = if own.is_ipv4() { ["224.0.0.1", "255.255.255.255"] } else { ["ff02::1", "ff05::2"] };
        for group in to_many {
            let group = group.parse().expect("an address");
            self.add(Outcome::Routed, &format!("to {group}"), &self.knock().to(SocketAddr::new(group, SEALED_PORT)));
        }
    }

    fn wrong_lengths(&mut self) {
        for (port, right) in [(SEALED_PORT, 256), (CLEAR_PORT, 245)] {
            for length in [0, 1, 244, 245, 246, 255, 256, 257, 264, 511, 512, 1500].into_iter().filter(|n| *n != right)
            {
                let frame = self.shape.to_gateway(port, &payload(length));
                self.add(Outcome::WrongLength, &format!("{length} bytes to {port}"), &frame);
            }
        }
        for off in [-256, -249, -8, -1, 1, 8, 256] {
            self.add(Outcome::WrongLength, &format!("UDP length {off:+}"), &self.knock().lying(Lie::UdpLength(off)));
            self.add(Outcome::WrongLength, &format!("IP length {off:+}"), &self.knock().lying(Lie::IpLength(off)));
        }
        // What one header says is right, and the other's word is the datagram's.
        for length in [255, 257] {
            let off = 256 - length as i16;
            let frame = self.shape.to_gateway(SEALED_PORT, &payload(length));
            self.add(Outcome::WrongLength, "only UDP says 256", &frame.clone().lying(Lie::UdpLength(off)));
            self.add(Outcome::WrongLength, "only IP says 256", &frame.lying(Lie::IpLength(off)));
        }
    }

    fn sources(&mut self) {
        let v4 = self.shape.is_v4();
        let (impossible, possible) =
            if v4 { (&IMPOSSIBLE_V4[..], &POSSIBLE_V4[..]) } else { (&IMPOSSIBLE_V6[..], &POSSIBLE_V6[..]) };
        let own = GATEWAY.of(v4).to_string();
        let impossible = impossible.iter().copied().chain([&own[..]]).map(|text| (text, Outcome::ImpossibleSource));
        let possible = possible.iter().map(|text| (*text, Outcome::SubmittedUnknown));
        for (text, outcome) in impossible.chain(possible) {
            let from = SocketAddr::new(text.parse().expect("an address"), SOURCE_PORT);
            self.add(outcome, &format!("from {text}"), &self.knock().from(from));
        }
        let from_nobody = SocketAddr::new(IMPOSSIBLE_V4[0].parse().expect("an address"), SOURCE_PORT);
        if v4 {
            let to_other_port = self.shape.to_gateway(53, &payload(256)).from(from_nobody);
            self.add(Outcome::OtherPort, "from nobody to another port", &to_other_port);
        }
    }
}

/// Every address that differs in one bit.
fn neighbours(address: IpAddr) -> Vec<IpAddr> {
    match address {
        IpAddr::V4(v4) => (0..32).map(|bit| IpAddr::V4((v4.to_bits() ^ 1 << bit).into())).collect(),
        IpAddr::V6(v6) => (0..128).map(|bit| IpAddr::V6((v6.to_bits() ^ 1 << bit).into())).collect(),
    }
}

const IMPOSSIBLE_V4: [&str; 8] = [
    "0.0.0.0",
    "0.255.255.255",
    "127.0.0.0",
    "127.0.0.1",
    "127.255.255.255",
    "224.0.0.0",
    "239.255.255.255",
    "255.255.255.255",
];
const POSSIBLE_V4: [&str; 8] = [
    "1.0.0.0",
    "10.0.0.1",
    "126.255.255.255",
    "128.0.0.0",
    "192.0.2.2",
    "223.255.255.255",
    "240.0.0.0",
    "255.255.255.254",
];
const IMPOSSIBLE_V6: [&str; 6] = ["::", "::1", "ff00::", "ff02::1", "ffff:ffff::", "::ffff:192.0.2.77"];
const POSSIBLE_V6: [&str; 5] = ["::2", "fe80::1", "fc00::1", "feff::1", "2001:db8::2"];

/// Length of an Ethernet header, in bytes: the kernel runs no shorter frame.
const ETHERNET: usize = 14;
