//! Reads an Ethernet frame down to its UDP header: the same code in the kernel and in host tests.
//! Never decides what becomes of the frame.

use crate::address::Halves;

/// Bytes that can be read only through a bounds check.
pub trait Frame {
    /// The `N` bytes from `at`, if the frame has them all.
    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]>;

    /// Whether the frame has at least `end` bytes.
    fn reaches(&self, end: usize) -> bool;

    /// The `N` bytes from `at` where they lie, if they lie in one piece that can be read in place.
    fn block<const N: usize>(&self, at: usize) -> Option<&[u8; N]>;

    /// The 8 bytes from `at` as a little-endian number, wherever they lie; quickest where frames begin.
    fn word(&self, at: usize) -> Option<u64>;

    /// The same for what most likely lies behind the first piece of a frame.
    fn far_word(&self, at: usize) -> Option<u64>;

    /// [`behind_extensions`]; a frame may keep it apart, because hardly any has extension headers.
    #[inline(always)]
    fn behind(&self, next: u8, at: usize) -> Option<Behind>
    where
        Self: Sized,
    {
        behind_extensions(self, next, at)
    }
}

impl Frame for &[u8] {
    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.get(at..)?.first_chunk().copied()
    }

    fn reaches(&self, end: usize) -> bool {
        self.len() >= end
    }

    fn block<const N: usize>(&self, at: usize) -> Option<&[u8; N]> {
        self.get(at..)?.first_chunk()
    }

    fn word(&self, at: usize) -> Option<u64> {
        self.array(at).map(u64::from_le_bytes)
    }

    fn far_word(&self, at: usize) -> Option<u64> {
        self.word(at)
    }
}

/// Where the headers of a UDP datagram lie, and what of them every frame is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Headers {
    ip_at: usize,
    version: Version,
    udp_at: usize,
    /// UDP destination port.
    pub dest_port: u16,
    /// Whether more fragments follow.
    pub fragment: bool,
}

/// What stands behind the extension headers of an IPv6 packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Behind {
    /// A UDP header.
    Udp {
        /// Where it begins, in bytes from the start of the frame.
        at: usize,
        /// Whether more fragments follow.
        fragment: bool,
    },
    /// Anything else.
    Other,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Version {
    V4,
    V6,
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
    Udp(Headers),
}

impl Headers {
    /// Who says to have sent it; `::` for an IPv4 address in an IPv6 header, which nobody outside can have.
    #[inline(always)]
    pub fn source(&self, frame: &impl Frame) -> Option<Halves> {
        match self.version {
            Version::V4 => v4_address(frame, self.ip_at + 12),
            Version::V6 => v6_address(frame, self.ip_at + 8),
        }
    }

    /// Whom it is for; `::` for an IPv4 address in an IPv6 header.
    #[inline(always)]
    pub fn destination(&self, frame: &impl Frame) -> Option<Halves> {
        match self.version {
            Version::V4 => v4_address(frame, self.ip_at + 16),
            Version::V6 => v6_address(frame, self.ip_at + 24),
        }
    }

    /// UDP source port.
    #[inline(always)]
    pub fn source_port(&self, frame: &impl Frame) -> Option<u16> {
        Some(u16::from_be_bytes(frame.array(self.udp_at)?))
    }

    /// Where the UDP payload begins, in bytes from the start of the frame.
    #[inline(always)]
    #[must_use]
    pub const fn payload_at(&self) -> usize {
        self.udp_at + UDP_LEN
    }

    /// Length of the UDP payload, in bytes; 0 if the IP and UDP headers do not agree on one.
    #[inline(always)]
    pub fn payload_len(&self, frame: &impl Frame) -> Option<u16> {
        let declared = u16::from_be_bytes(frame.array(self.udp_at + 4)?);
        let before = (self.udp_at - self.ip_at) as u16;
        let room = match self.version {
            Version::V4 => u16::from_be_bytes(frame.array(self.ip_at + 2)?).wrapping_sub(before),
            Version::V6 => u16::from_be_bytes(frame.array(self.ip_at + 4)?).wrapping_sub(before - V6_LEN as u16),
        };
        Some(if declared == room { declared.saturating_sub(UDP_LEN as u16) } else { 0 })
    }
}

/// Reads a frame that starts with its Ethernet header.
#[inline(always)]
pub fn read(frame: &impl Frame) -> Seen {
    try_read(frame).unwrap_or(Seen::CutShort)
}

/// Who says to have sent an IP packet, of whatever kind, behind at most two VLAN tags.
#[inline(always)]
pub fn source_of(frame: &impl Frame) -> Option<Halves> {
    let mut at = ETHERNET_LEN;
    let mut kind = u16::from_be_bytes(frame.array(12)?);
    for _ in 0..2 {
        if is_vlan(kind) {
            kind = u16::from_be_bytes(frame.array(at + 2)?);
            at += VLAN_LEN;
        }
    }
    match kind {
        ETHERTYPE_IPV4 => v4_address(frame, at + 12),
        ETHERTYPE_IPV6 => v6_address(frame, at + 8),
        _ => None,
    }
}

#[inline(always)]
fn try_read(frame: &impl Frame) -> Option<Seen> {
    let mut at = ETHERNET_LEN;
    let mut kind = u16::from_be_bytes(frame.array(12)?);
    // What most frames are is asked first.
    match kind {
        ETHERTYPE_IPV4 => return read_v4(frame, at),
        ETHERTYPE_IPV6 => return read_v6(frame, at),
        _ => {}
    }
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
    let ip: [u8; V4_LEN] = frame.array(at)?;
    if ip[9] != UDP || ip[0] >> 4 != 4 {
        return Some(Seen::NotUdp);
    }
    let header = usize::from(ip[0] & 0x0f) * 4;
    let flags_and_offset = u16::from_be_bytes([ip[6], ip[7]]);
    if header < V4_LEN || flags_and_offset & V4_OFFSET != 0 {
        return Some(Seen::NotUdp);
    }
    let ip = Ip { at, version: Version::V4, fragment: flags_and_offset & V4_MORE_FRAGMENTS != 0 };
    read_udp(frame, at + header, ip)
}

#[inline(always)]
fn read_v6(frame: &impl Frame, at: usize) -> Option<Seen> {
    let ip: [u8; V6_LEN] = frame.array(at)?;
    if ip[0] >> 4 != 6 {
        return Some(Seen::NotUdp);
    }
    let header = at + V6_LEN;
    let behind = match ip[6] {
        UDP => Behind::Udp { at: header, fragment: false },
        next if is_extension(next) => frame.behind(next, header)?,
        _ => Behind::Other,
    };
    match behind {
        Behind::Udp { at: udp_at, fragment } => read_udp(frame, udp_at, Ip { at, version: Version::V6, fragment }),
        Behind::Other => Some(Seen::NotUdp),
    }
}

/// Follows the extension headers of an IPv6 packet, the first of which is a `next` and begins at `at`, in bytes from the start of
/// the frame; nothing if the frame ends inside of one.
#[inline(always)]
pub fn behind_extensions(frame: &impl Frame, mut next: u8, mut at: usize) -> Option<Behind> {
    let mut fragment = false;
    for _ in 0..V6_EXTENSIONS_MAX {
        let [following, length, third, fourth] = frame.array::<4>(at)?;
        at += match next {
            V6_HOP_BY_HOP | V6_DESTINATION_OPTIONS => (usize::from(length) + 1) * 8,
            // Segments left: the destination address is only a stage of the way.
            V6_ROUTING if fourth == 0 => (usize::from(length) + 1) * 8,
            V6_AUTHENTICATION => (usize::from(length) + 2) * 4,
            V6_FRAGMENT => {
                let offset_and_more = u16::from_be_bytes([third, fourth]);
                if offset_and_more & V6_OFFSET != 0 {
                    return Some(Behind::Other);
                }
                fragment = offset_and_more & V6_MORE_FRAGMENTS != 0;
                8
            }
            _ => return Some(Behind::Other),
        };
        if following == UDP {
            return Some(Behind::Udp { at, fragment });
        }
        next = following;
    }
    Some(Behind::Other)
}

/// What the IP header says of the datagram inside.
struct Ip {
    at: usize,
    version: Version,
    fragment: bool,
}

#[inline(always)]
fn read_udp(frame: &impl Frame, udp_at: usize, ip: Ip) -> Option<Seen> {
    let udp: [u8; UDP_LEN] = frame.array(udp_at)?;
    Some(Seen::Udp(Headers {
        ip_at: ip.at,
        version: ip.version,
        udp_at,
        dest_port: u16::from_be_bytes([udp[2], udp[3]]),
        fragment: ip.fragment,
    }))
}

#[inline(always)]
fn v4_address(frame: &impl Frame, at: usize) -> Option<Halves> {
    Some(Halves::from_v4(frame.array(at)?))
}

#[inline(always)]
fn v6_address(frame: &impl Frame, at: usize) -> Option<Halves> {
    let halves = Halves::from_octets(frame.array(at)?, frame.array(at + 8)?);
    Some(if halves.is_v4() { Halves::UNSPECIFIED } else { halves })
}

#[inline(always)]
const fn is_vlan(kind: u16) -> bool {
    kind == ETHERTYPE_VLAN || kind == ETHERTYPE_QINQ
}

#[inline(always)]
const fn is_extension(next: u8) -> bool {
    matches!(next, V6_HOP_BY_HOP | V6_ROUTING | V6_FRAGMENT | V6_AUTHENTICATION | V6_DESTINATION_OPTIONS)
}

impl Behind {
    /// As one number, for an answer that has room for no more.
    #[inline(always)]
    #[must_use]
    pub const fn pack(behind: Option<Self>) -> u64 {
        match behind {
            Some(Self::Udp { at, fragment }) => {
                PACKED_UDP | if fragment { PACKED_FRAGMENT } else { 0 } | at as u64 & PACKED_AT
            }
            Some(Self::Other) => PACKED_OTHER,
            None => 0,
        }
    }

    /// What was packed; nothing, too, if no frame is as long as that.
    #[inline(always)]
    #[must_use]
    pub const fn unpack(packed: u64) -> Option<Self> {
        if packed == PACKED_OTHER {
            return Some(Self::Other);
        }
        let at = (packed & PACKED_AT) as usize;
        if packed & PACKED_UDP == 0 || at > FARTHEST {
            return None;
        }
        Some(Self::Udp { at, fragment: packed & PACKED_FRAGMENT != 0 })
    }
}

/// See [`Behind::pack`].
const PACKED_AT: u64 = u32::MAX as u64;
const PACKED_FRAGMENT: u64 = 1 << 32;
const PACKED_UDP: u64 = 1 << 33;
const PACKED_OTHER: u64 = 1 << 34;

/// No UDP payload begins farther behind than this: two VLAN tags, the longest chain of extension headers, UDP.
pub const FARTHEST: usize = 0x5000;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_what_is_unpacked() {
        for fragment in [false, true] {
            for at in [0, 54, FARTHEST] {
                let udp = Some(Behind::Udp { at, fragment });
                assert_eq!(Behind::unpack(Behind::pack(udp)), udp);
            }
            for at in [FARTHEST + 1, u32::MAX as usize, usize::MAX] {
                assert_eq!(Behind::unpack(Behind::pack(Some(Behind::Udp { at, fragment }))), None);
            }
        }
        for behind in [None, Some(Behind::Other)] {
            assert_eq!(Behind::unpack(Behind::pack(behind)), behind);
        }
    }
}
