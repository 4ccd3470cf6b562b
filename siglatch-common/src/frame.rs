//! Reads an Ethernet frame down to its UDP header: the same code in the kernel and in host tests.
//! Never decides what becomes of the frame.

use crate::address::Address;

/// Bytes that can be read only through a bounds check.
pub trait Frame {
    /// The `N` bytes from `at`, if the frame has them all.
    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]>;
}

impl Frame for &[u8] {
    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.get(at..)?.first_chunk().copied()
    }
}

/// The headers of one UDP datagram.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Datagram {
    /// Who says to have sent it.
    pub source: Address,
    /// Whom it is for.
    pub destination: Address,
    /// UDP source port.
    pub source_port: u16,
    /// UDP destination port.
    pub dest_port: u16,
    /// Whether more fragments follow.
    pub fragment: bool,
    /// Where the UDP payload begins, in bytes from the start of the frame.
    pub payload_at: usize,
    /// Length of the UDP payload, in bytes; 0 if the IP and UDP headers do not agree on one.
    pub payload_len: u16,
}

/// What a frame turned out to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Seen {
    /// Neither IPv4 nor IPv6.
    NotIp,
    /// IP without a UDP header.
    NotUdp,
    /// Ends inside a header.
    CutShort,
    /// A UDP datagram, or the first fragment of one.
    Udp(Datagram),
}

/// Reads a frame that starts with its Ethernet header.
#[inline(always)]
pub fn read(frame: &impl Frame) -> Seen {
    try_read(frame).unwrap_or(Seen::CutShort)
}

#[inline(always)]
fn try_read(frame: &impl Frame) -> Option<Seen> {
    let mut at = ETHERNET_LEN;
    let mut kind = u16::from_be_bytes(frame.array(12)?);
    if is_vlan(kind) {
        kind = u16::from_be_bytes(frame.array(at + 2)?);
        at += VLAN_LEN;
        if is_vlan(kind) {
            kind = u16::from_be_bytes(frame.array(at + 2)?);
            at += VLAN_LEN;
        }
    }
    match kind {
        ETHERTYPE_IPV4 => read_v4(frame, at),
        ETHERTYPE_IPV6 => read_v6(frame, at),
        _ => Some(Seen::NotIp),
    }
}

#[inline(always)]
fn read_v4(frame: &impl Frame, at: usize) -> Option<Seen> {
    let [version_and_length] = frame.array::<1>(at)?;
    let [protocol] = frame.array::<1>(at + 9)?;
    if protocol != UDP || version_and_length >> 4 != 4 {
        return Some(Seen::NotUdp);
    }
    let header = usize::from(version_and_length & 0x0f) * 4;
    let flags_and_offset = u16::from_be_bytes(frame.array(at + 6)?);
    if header < V4_LEN || flags_and_offset & V4_OFFSET != 0 {
        return Some(Seen::NotUdp);
    }
    let ip = Ip {
        source: Address::v4(frame.array(at + 12)?),
        destination: Address::v4(frame.array(at + 16)?),
        fragment: flags_and_offset & V4_MORE_FRAGMENTS != 0,
        udp_len: u16::from_be_bytes(frame.array(at + 2)?).wrapping_sub(header as u16),
    };
    read_udp(frame, at + header, ip)
}

#[inline(always)]
fn read_v6(frame: &impl Frame, at: usize) -> Option<Seen> {
    let [version] = frame.array::<1>(at)?;
    if version >> 4 != 6 {
        return Some(Seen::NotUdp);
    }
    let [mut next] = frame.array::<1>(at + 6)?;
    let payload_len = u16::from_be_bytes(frame.array(at + 4)?);
    let mut header = at + V6_LEN;
    let mut fragment = false;
    for _ in 0..V6_EXTENSIONS_MAX {
        if next == UDP {
            let ip = Ip {
                source: Address::v6(frame.array(at + 8)?),
                destination: Address::v6(frame.array(at + 24)?),
                fragment,
                udp_len: payload_len.wrapping_sub((header - at - V6_LEN) as u16),
            };
            return read_udp(frame, header, ip);
        }
        let [following, length, third, fourth] = frame.array::<4>(header)?;
        header += match next {
            V6_HOP_BY_HOP | V6_DESTINATION_OPTIONS => (usize::from(length) + 1) * 8,
            // Segments left: the destination address is only a stage of the way.
            V6_ROUTING if fourth == 0 => (usize::from(length) + 1) * 8,
            V6_AUTHENTICATION => (usize::from(length) + 2) * 4,
            V6_FRAGMENT => {
                let offset_and_more = u16::from_be_bytes([third, fourth]);
                if offset_and_more & V6_OFFSET != 0 {
                    return Some(Seen::NotUdp);
                }
                fragment = offset_and_more & V6_MORE_FRAGMENTS != 0;
                8
            }
            _ => return Some(Seen::NotUdp),
        };
        next = following;
    }
    Some(Seen::NotUdp)
}

/// What the IP header says of the datagram inside.
struct Ip {
    source: Address,
    destination: Address,
    fragment: bool,
    /// Bytes that the IP header leaves for the UDP header and payload; wrapped if it contradicts itself.
    udp_len: u16,
}

#[inline(always)]
fn read_udp(frame: &impl Frame, at: usize, ip: Ip) -> Option<Seen> {
    let [s0, s1, d0, d1, l0, l1] = frame.array::<6>(at)?;
    let declared = u16::from_be_bytes([l0, l1]);
    let agreed = declared == ip.udp_len && declared > UDP_LEN as u16;
    Some(Seen::Udp(Datagram {
        source: ip.source,
        destination: ip.destination,
        source_port: u16::from_be_bytes([s0, s1]),
        dest_port: u16::from_be_bytes([d0, d1]),
        fragment: ip.fragment,
        payload_at: at + UDP_LEN,
        payload_len: if agreed { declared - UDP_LEN as u16 } else { 0 },
    }))
}

#[inline(always)]
const fn is_vlan(kind: u16) -> bool {
    kind == ETHERTYPE_VLAN || kind == ETHERTYPE_QINQ
}

/// IEEE 802.3: two addresses and a type.
pub const ETHERNET_LEN: usize = 14;
/// IEEE 802.1Q, 802.1ad: tag control information and the next type.
pub const VLAN_LEN: usize = 4;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_QINQ: u16 = 0x88a8;
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;

/// RFC 791, section 3.1: the header without options, in bytes.
const V4_LEN: usize = 20;
/// RFC 791, section 3.1: fragment offset.
const V4_OFFSET: u16 = 0x1fff;
const V4_MORE_FRAGMENTS: u16 = 0x2000;

/// RFC 8200, section 3.
const V6_LEN: usize = 40;
/// RFC 8504, section 5.3: a host may refuse a chain of more extension headers than this.
const V6_EXTENSIONS_MAX: usize = 8;
const V6_HOP_BY_HOP: u8 = 0;
const V6_ROUTING: u8 = 43;
const V6_FRAGMENT: u8 = 44;
const V6_AUTHENTICATION: u8 = 51;
const V6_DESTINATION_OPTIONS: u8 = 60;
/// RFC 8200, section 4.5.
const V6_OFFSET: u16 = 0xfff8;
const V6_MORE_FRAGMENTS: u16 = 1;

/// RFC 768: the header, in bytes, and the protocol number.
const UDP_LEN: usize = 8;
const UDP: u8 = 17;
