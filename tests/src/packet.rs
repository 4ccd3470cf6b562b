//! Frames, byte for byte: every header shape that can reach a gateway, sound or wrong on purpose. Never sends one.

use std::net::{IpAddr, SocketAddr};

/// An Ethernet frame in the making.
#[derive(Clone, Debug)]
pub struct Frame {
    link: Link,
    tags: Vec<Tag>,
    source: SocketAddr,
    destination: SocketAddr,
    /// IPv4 options, in 32-bit words.
    options: u8,
    extensions: Vec<Extension>,
    /// IPv4: offset in 8-byte units, and whether more follow.
    piece: (u16, bool),
    transport: Transport,
    payload: Vec<u8>,
    lies: Vec<Lie>,
}

/// The Ethernet addresses.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Whom the frame is for.
    pub to: [u8; 6],
    /// Who sent it.
    pub from: [u8; 6],
}

/// One VLAN tag.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tag {
    /// IEEE 802.1Q, with this VLAN id.
    Customer(u16),
    /// IEEE 802.1ad, with this VLAN id.
    Service(u16),
}

/// One IPv6 extension header, well formed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Extension {
    /// RFC 8200, section 4.3; with so many 8-byte units behind the first.
    HopByHop(u8),
    /// RFC 8200, section 4.6; with so many 8-byte units behind the first.
    Destination(u8),
    /// RFC 8200, section 4.4.
    Routing {
        /// 8-byte units behind the first.
        units: u8,
        /// Segments left.
        left: u8,
    },
    /// RFC 4302, section 2; with so many 4-byte words behind the first two.
    Authentication(u8),
    /// RFC 8200, section 4.5.
    Fragment {
        /// In 8-byte units.
        offset: u16,
        /// Whether more follow.
        more: bool,
    },
    /// 8 bytes under a header number that the filter does not follow.
    Unknown(u8),
}

/// What the IP packet carries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    /// UDP.
    Udp,
    /// A TCP segment with these flags.
    Tcp(u8),
    /// An ICMP or ICMPv6 echo request.
    Echo,
    /// Bare bytes under another protocol number.
    Other(u8),
}

/// A field that contradicts the rest of the frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lie {
    /// What the last Ethernet type field says.
    EtherType(u16),
    /// The version nibble of the IP header.
    Version(u8),
    /// The header length nibble of IPv4, in 32-bit words.
    HeaderWords(u8),
    /// The IPv4 total length or the IPv6 payload length, this much off.
    IpLength(i16),
    /// The UDP length, this much off.
    UdpLength(i16),
}

/// A finished frame, and where its headers begin.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Built {
    /// The frame.
    pub bytes: Vec<u8>,
    /// Offset of the IP header.
    pub ip_at: usize,
    /// Offset of the UDP, TCP or other transport header.
    pub transport_at: usize,
    /// Offset of what the transport carries.
    pub payload_at: usize,
}

impl Frame {
    /// A UDP datagram. Both addresses must be of one family.
    #[must_use]
    pub fn udp(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Self {
        assert_eq!(source.is_ipv4(), destination.is_ipv4(), "one packet has one family");
        Self {
            link: Link::DEFAULT,
            tags: Vec::new(),
            source,
            destination,
            options: 0,
            extensions: Vec::new(),
            piece: (0, false),
            transport: Transport::Udp,
            payload: payload.to_vec(),
            lies: Vec::new(),
        }
    }

    /// The frame with this transport header in the UDP header's place.
    #[must_use]
    pub fn carrying(self, transport: Transport) -> Self {
        Self { transport, ..self }
    }

    /// The frame with these Ethernet addresses.
    #[must_use]
    pub fn between(self, link: Link) -> Self {
        Self { link, ..self }
    }

    /// The frame behind these VLAN tags, the outermost first.
    #[must_use]
    pub fn behind(self, tags: &[Tag]) -> Self {
        Self { tags: tags.to_vec(), ..self }
    }

    /// The frame with so many 32-bit words of IPv4 options, at most 10.
    #[must_use]
    pub fn with_options(self, words: u8) -> Self {
        assert!(words <= 10 && self.source.is_ipv4(), "the IPv4 header has room for 10 words of options");
        Self { options: words, ..self }
    }

    /// The frame with these IPv6 extension headers, in this order.
    #[must_use]
    pub fn with_extensions(self, extensions: &[Extension]) -> Self {
        assert!(extensions.is_empty() || self.source.is_ipv6(), "extension headers are IPv6's");
        Self { extensions: extensions.to_vec(), ..self }
    }

    /// The frame as a piece of a fragmented datagram; in IPv6 by a fragment header behind all others.
    #[must_use]
    pub fn piece(mut self, offset: u16, more: bool) -> Self {
        if self.source.is_ipv4() {
            self.piece = (offset, more);
        } else {
            self.extensions.push(Extension::Fragment { offset, more });
        }
        self
    }

    /// The frame from another address and port.
    #[must_use]
    pub fn from(self, source: SocketAddr) -> Self {
        assert_eq!(source.is_ipv4(), self.destination.is_ipv4(), "one packet has one family");
        Self { source, ..self }
    }

    /// The frame to another address and port.
    #[must_use]
    pub fn to(self, destination: SocketAddr) -> Self {
        assert_eq!(self.source.is_ipv4(), destination.is_ipv4(), "one packet has one family");
        Self { destination, ..self }
    }

    /// The frame with another payload.
    #[must_use]
    pub fn with_payload(self, payload: &[u8]) -> Self {
        Self { payload: payload.to_vec(), ..self }
    }

    /// The frame with one field wrong on purpose.
    #[must_use]
    pub fn lying(mut self, lie: Lie) -> Self {
        self.lies.push(lie);
        self
    }

    /// The frame's bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.build().bytes
    }

    /// The frame, and where its headers begin. Lengths and checksums are right, unless a lie says otherwise.
    #[must_use]
    pub fn build(&self) -> Built {
        let transport = self.transport_bytes();
        let mut bytes = self.ethernet();
        let ip_at = bytes.len();
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(_), _) => bytes.extend(self.v4(transport.len())),
            (IpAddr::V6(_), _) => bytes.extend(self.v6(transport.len())),
        }
        let transport_at = bytes.len();
        bytes.extend(&transport);
        let payload_at = transport_at + transport.len() - self.payload.len();
        Built { bytes, ip_at, transport_at, payload_at }
    }

    fn ethernet(&self) -> Vec<u8> {
        let mut bytes = [self.link.to, self.link.from].concat();
        for tag in &self.tags {
            let (kind, id) = match tag {
                Tag::Customer(id) => (0x8100_u16, id),
                Tag::Service(id) => (0x88a8, id),
            };
            bytes.extend(kind.to_be_bytes());
            bytes.extend((id & 0x0fff).to_be_bytes());
        }
        let kind = if self.source.is_ipv4() { 0x0800 } else { 0x86dd };
        bytes.extend(
            self.told(|lie| if let Lie::EtherType(kind) = lie { Some(*kind) } else { None }, kind).to_be_bytes(),
        );
        bytes
    }

    fn v4(&self, carried: usize) -> Vec<u8> {
        let words = 5 + self.options;
        let header = usize::from(words) * 4;
        let version = self.told(|lie| if let Lie::Version(version) = lie { Some(*version) } else { None }, 4);
        let words = self.told(|lie| if let Lie::HeaderWords(words) = lie { Some(*words) } else { None }, words);
        let (offset, more) = self.piece;
        let mut bytes = vec![version << 4 | words & 0x0f, 0];
        bytes.extend(self.length(header + carried, &self.ip_lies()));
        bytes.extend([0x12, 0x34]);
        bytes.extend((offset & 0x1fff | u16::from(more) << 13).to_be_bytes());
        bytes.extend([64, self.protocol(), 0, 0]);
        for address in [self.source.ip(), self.destination.ip()] {
            bytes.extend(octets(address));
        }
        // No operation (RFC 791, section 3.1): every stack skips it.
        bytes.resize(header, 1);
        let sum = checksum(&bytes);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    fn v6(&self, carried: usize) -> Vec<u8> {
        let mut chain = Vec::new();
        for (place, extension) in self.extensions.iter().enumerate() {
            let next = self.extensions.get(place + 1).map_or_else(|| self.protocol(), Extension::number);
            chain.extend(extension.bytes(next));
        }
        let version = self.told(|lie| if let Lie::Version(version) = lie { Some(*version) } else { None }, 6);
        let mut bytes = vec![version << 4, 0, 0, 0];
        bytes.extend(self.length(chain.len() + carried, &self.ip_lies()));
        bytes.extend([self.extensions.first().map_or_else(|| self.protocol(), Extension::number), 64]);
        for address in [self.source.ip(), self.destination.ip()] {
            bytes.extend(octets(address));
        }
        bytes.extend(chain);
        bytes
    }

    fn transport_bytes(&self) -> Vec<u8> {
        let ports = [self.source.port().to_be_bytes(), self.destination.port().to_be_bytes()].concat();
        let (mut bytes, sum_at) = match self.transport {
            Transport::Udp => {
                let lies: Vec<i16> = self
                    .lies
                    .iter()
                    .filter_map(|lie| if let Lie::UdpLength(off) = lie { Some(*off) } else { None })
                    .collect();
                let length = self.length(8 + self.payload.len(), &lies);
                ([&ports[..], &length, &[0, 0]].concat(), Some(6))
            }
            Transport::Tcp(flags) => {
                let rest = [0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0];
                ([&ports[..], &rest].concat(), Some(16))
            }
            Transport::Echo if self.source.is_ipv4() => (vec![8, 0, 0, 0, 0, 1, 0, 1], Some(2)),
            Transport::Echo => (vec![128, 0, 0, 0, 0, 1, 0, 1], Some(2)),
            Transport::Other(_) => (Vec::new(), None),
        };
        bytes.extend(&self.payload);
        if let Some(at) = sum_at {
            let sum = checksum(&[self.pseudo_header(bytes.len()), bytes.clone()].concat());
            // RFC 768: a sum of zero is sent as its other form.
            let sum = if sum == 0 && self.transport == Transport::Udp { 0xffff } else { sum };
            bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        }
        bytes
    }

    /// RFC 768 and RFC 8200, section 8.1; ICMP over IPv4 has none.
    fn pseudo_header(&self, length: usize) -> Vec<u8> {
        if self.transport == Transport::Echo && self.source.is_ipv4() {
            return Vec::new();
        }
        let length = u32::try_from(length).expect("frames are short").to_be_bytes();
        let addresses = [octets(self.source.ip()), octets(self.destination.ip())].concat();
        [&addresses[..], &length, &[0, 0, 0, self.protocol()]].concat()
    }

    const fn protocol(&self) -> u8 {
        match self.transport {
            Transport::Udp => 17,
            Transport::Tcp(_) => 6,
            Transport::Echo if self.source.is_ipv4() => 1,
            Transport::Echo => 58,
            Transport::Other(number) => number,
        }
    }

    fn told<T>(&self, find: impl Fn(&Lie) -> Option<T>, truth: T) -> T {
        self.lies.iter().find_map(find).unwrap_or(truth)
    }

    fn ip_lies(&self) -> Vec<i16> {
        self.lies.iter().filter_map(|lie| if let Lie::IpLength(off) = lie { Some(*off) } else { None }).collect()
    }

    fn length(&self, truth: usize, off: &[i16]) -> [u8; 2] {
        let truth = u16::try_from(truth).expect("frames are short");
        off.iter().fold(truth, |length, off| length.wrapping_add_signed(*off)).to_be_bytes()
    }
}

impl Link {
    /// Two locally administered addresses that belong to nobody.
    pub const DEFAULT: Self = Self { to: [2, 0, 0, 0, 0, 2], from: [2, 0, 0, 0, 0, 1] };
}

impl Extension {
    const fn number(&self) -> u8 {
        match self {
            Self::HopByHop(_) => 0,
            Self::Routing { .. } => 43,
            Self::Fragment { .. } => 44,
            Self::Authentication(_) => 51,
            Self::Destination(_) => 60,
            Self::Unknown(number) => *number,
        }
    }

    fn bytes(&self, next: u8) -> Vec<u8> {
        match *self {
            Self::HopByHop(units) | Self::Destination(units) => {
                let length = (usize::from(units) + 1) * 8;
                let mut bytes = vec![next, units];
                while bytes.len() < length {
                    // PadN (RFC 8200, section 4.2) of up to 255 bytes.
                    let rest = (length - bytes.len() - 2).min(255);
                    bytes.extend([1, rest as u8]);
                    bytes.resize(bytes.len() + rest, 0);
                    if length - bytes.len() == 1 {
                        bytes.push(0);
                    }
                }
                bytes
            }
            Self::Routing { units, left } => padded(&[next, units, 4, left], (usize::from(units) + 1) * 8),
            Self::Authentication(words) => {
                padded(&[next, words, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1], (usize::from(words) + 2) * 4)
            }
            Self::Fragment { offset, more } => {
                let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
                vec![next, 0, high, low, 0, 0, 0x12, 0x34]
            }
            Self::Unknown(_) => vec![next, 0, 0, 0, 0, 0, 0, 0],
        }
    }
}

fn padded(start: &[u8], length: usize) -> Vec<u8> {
    let mut bytes = start.to_vec();
    bytes.resize(length, 0);
    bytes
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// RFC 1071: the one's complement of the one's complement sum of 16-bit words.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 =
        bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_add_up_to_nothing() {
        for (from, to) in [("192.0.2.1:4000", "192.0.2.2:5000"), ("[2001:db8::1]:4000", "[2001:db8::2]:5000")] {
            let frame = Frame::udp(from.parse().unwrap(), to.parse().unwrap(), b"odd").build();
            let udp = &frame.bytes[frame.transport_at..];
            let pseudo = Frame::udp(from.parse().unwrap(), to.parse().unwrap(), b"odd").pseudo_header(udp.len());
            assert_eq!(checksum(&[&pseudo, udp].concat()), 0, "{from}");
            assert_eq!(&frame.bytes[frame.payload_at..], b"odd");
        }
        let v4 =
            Frame::udp("192.0.2.1:1".parse().unwrap(), "192.0.2.2:2".parse().unwrap(), b"").with_options(3).build();
        assert_eq!(checksum(&v4.bytes[v4.ip_at..v4.transport_at]), 0);
    }

    #[test]
    fn extension_headers_are_as_long_as_they_say() {
        for units in [0, 1, 2, 30, 31, 32, 33, 100, 255] {
            for extension in
                [Extension::HopByHop(units), Extension::Destination(units), Extension::Routing { units, left: 0 }]
            {
                assert_eq!(extension.bytes(17).len(), (usize::from(units) + 1) * 8, "{extension:?}");
            }
            assert!(Extension::Authentication(units.max(1)).bytes(17).len() >= 12);
        }
    }
}
