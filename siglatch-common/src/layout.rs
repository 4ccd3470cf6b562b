//! Every byte shared with the kernel through a BPF map. Never says what the bytes are used for.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::address::Address;
use crate::outcome::Counters;
use crate::wire::Wire;

/// Asserts size, alignment and every field offset of a map type, at compile time.
macro_rules! layout {
    ($ty:ty, size $size:literal, align $align:literal $(, { $($field:ident @ $off:literal),+ $(,)? })?) => {
        const _: () = {
            assert!(size_of::<$ty>() == $size);
            assert!(align_of::<$ty>() == $align);
            $($(assert!(core::mem::offset_of!($ty, $field) == $off);)+)?
        };
        #[cfg(feature = "user")]
        #[expect(unsafe_code, reason = "the one place where a map type is declared plain bytes")]
        // SAFETY: `FromBytes + IntoBytes` are derived on the type, so it has no padding and every bit pattern
        // is a valid value.
        unsafe impl aya::Pod for $ty {}
    };
}

layout!(Address, size 16, align 8, { octets @ 0 });
layout!(Counters, size 80, align 8);

/// What the bytes of all maps mean: the one value of the map `layout`. Maps pinned by a daemon with another number
/// are made anew.
#[derive(Clone, Copy, Debug, Eq, PartialEq, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct LayoutVersion {
    /// Offset 0, 4 bytes, native byte order.
    pub version: u32,
}
layout!(LayoutVersion, size 4, align 4, { version @ 0 });

impl LayoutVersion {
    /// Raised whenever a field of a map type changes its meaning or place, or an outcome is added or moved.
    pub const OURS: Self = Self { version: 1 };
}

/// What a knock port accepts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct PortRule {
    /// Offset 0, 2 bytes, native byte order: the UDP destination port.
    pub port: u16,
    /// Offset 2, 2 bytes, native byte order: the only UDP payload length accepted, in bytes.
    pub length: u16,
    /// Offset 4, 1 byte: [`Wire::number`].
    pub wire: u8,
    /// Offset 5, 3 bytes, zero.
    pub reserved: [u8; 3],
}
layout!(PortRule, size 8, align 2, { port @ 0, length @ 2, wire @ 4, reserved @ 5 });

/// The knock ports, front to back: the global `PORTS` of the XDP program, written before it is loaded.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct PortList {
    /// Offset 0, 16 × 8 bytes; a rule for port 0 ends the list.
    pub rules: [PortRule; Self::CAPACITY],
}
layout!(PortList, size 128, align 2, { rules @ 0 });

impl PortList {
    /// The number of knock ports that a host can have.
    pub const CAPACITY: usize = 16;

    /// No knock port.
    pub const EMPTY: Self =
        Self { rules: [PortRule { port: 0, length: 0, wire: 0, reserved: [0; 3] }; Self::CAPACITY] };

    /// The list of these rules; those beyond the capacity are left out.
    #[must_use]
    pub fn new(rules: &[PortRule]) -> Self {
        let mut list = Self::EMPTY;
        for (place, rule) in list.rules.iter_mut().zip(rules) {
            *place = *rule;
        }
        list
    }
}

impl PortRule {
    /// The rule of one port.
    #[must_use]
    pub const fn new(port: u16, wire: Wire) -> Self {
        Self { port, length: wire.datagram_len(), wire: wire.number(), reserved: [0; 3] }
    }
}

/// One bucket of the map `own_addresses`; see [`crate::own_addresses`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct OwnBucket {
    /// Offset 0, 4 × 16 bytes.
    pub addresses: [Address; 4],
}
layout!(OwnBucket, size 64, align 8, { addresses @ 0 });

/// A datagram worth judging, as it travels through the map `candidates`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct Candidate {
    /// Offset 0, 8 bytes, native byte order: arrival, `CLOCK_BOOTTIME` nanoseconds.
    pub arrival_ns: u64,
    /// Offset 8, 16 bytes.
    pub source: Address,
    /// Offset 24, 2 bytes, native byte order.
    pub source_port: u16,
    /// Offset 26, 2 bytes, native byte order.
    pub dest_port: u16,
    /// Offset 28, 2 bytes, native byte order: bytes used in `datagram`.
    pub length: u16,
    /// Offset 30, 1 byte: [`Wire::number`] of the port.
    pub wire: u8,
    /// Offset 31, 1 byte, zero.
    pub reserved: u8,
    /// Offset 32, 264 bytes: the UDP payload; what follows its `length` bytes means nothing.
    pub datagram: [u8; Candidate::ROOM],
}
layout!(Candidate, size 296, align 8, {
    arrival_ns @ 0, source @ 8, source_port @ 24, dest_port @ 26, length @ 28, wire @ 30, reserved @ 31, datagram @ 32,
});

impl Candidate {
    /// The longest datagram of any wire, in bytes: a stamp and a sealed packet.
    pub const ROOM: usize = 264;

    const _ROOM_FOR_EVERY_WIRE: () = {
        assert!(Wire::Sealed.datagram_len() as usize <= Self::ROOM);
        assert!(Wire::Clear.datagram_len() as usize <= Self::ROOM);
    };

    /// The UDP payload, or nothing if `length` is not a length that fits.
    #[must_use]
    pub fn payload(&self) -> Option<&[u8]> {
        self.datagram.get(..usize::from(self.length))
    }
}
