//! What a flood is made of: one frame, and which parts of it change from copy to copy. Never sends it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use siglatch_common::wire::v1::SEALED_LEN;

use crate::packet::{Built, Frame};
use crate::scene::{GATEWAY, SEALED_PORT, SOURCE_PORT, STRANGER, payload};

/// Datagrams to one port of the gateway, over IPv4.
#[derive(Clone, Debug)]
pub struct Junk {
    port: u16,
    source: Source,
    payload: Vec<u8>,
    /// Whether no two payloads are alike.
    varied: bool,
}

/// Where junk says it comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// Always there.
    Fixed(Ipv4Addr),
    /// Another address each time: any of 1.0.0.0 to 223.255.255.255, but for 127.0.0.0/8, 192.0.0.0/8 and
    /// 198.0.0.0/8, where the gateway and honest clients live.
    Forged,
}

impl Junk {
    /// Of the sealed wire's length, from anywhere, no two alike.
    #[must_use]
    pub fn forged() -> Self {
        Self { port: SEALED_PORT, source: Source::Forged, payload: payload(SEALED_LEN), varied: true }
    }

    /// Of the sealed wire's length, from the stranger, no two alike.
    #[must_use]
    pub fn one_source() -> Self {
        Self::forged().from(Source::Fixed(STRANGER.v4))
    }

    /// Of a length that no wire has, from the stranger.
    #[must_use]
    pub fn wrong_length() -> Self {
        Self { payload: payload(200), ..Self::one_source() }
    }

    /// Of the sealed wire's length, in a victim's name, no two alike.
    #[must_use]
    pub fn in_the_name_of(victim: Ipv4Addr) -> Self {
        Self::forged().from(Source::Fixed(victim))
    }

    /// The same datagram again and again, from anywhere.
    #[must_use]
    pub fn replay(datagram: &[u8]) -> Self {
        Self { payload: datagram.to_vec(), varied: false, ..Self::forged() }
    }

    /// The junk from elsewhere.
    #[must_use]
    pub fn from(self, source: Source) -> Self {
        Self { source, ..self }
    }

    /// The junk for another port.
    #[must_use]
    pub fn at(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// The junk with a payload of another length.
    #[must_use]
    pub fn long(self, length: usize) -> Self {
        Self { payload: payload(length), ..self }
    }

    /// The frame that every copy begins as.
    pub(super) fn frame(&self) -> Built {
        let source = match self.source {
            Source::Fixed(address) => address,
            Source::Forged => STRANGER.v4,
        };
        let from = SocketAddr::new(IpAddr::V4(source), SOURCE_PORT);
        let mut built = Frame::udp(from, SocketAddr::new(GATEWAY.of(true), self.port), &self.payload).build();
        // RFC 768: none was generated. It would have to change with every copy.
        built.bytes[built.transport_at + UDP_CHECKSUM..][..2].fill(0);
        built
    }

    pub(super) const fn source(&self) -> Source {
        self.source
    }

    pub(super) const fn is_varied(&self) -> bool {
        self.varied
    }
}

/// RFC 768: offset of the checksum.
const UDP_CHECKSUM: usize = 6;
