//! The forms that a knock can take on the wire. Never looks inside one.

pub mod v1;

use crate::stamp::STAMP_LEN;

/// What a knock port accepts; exactly one form, of exactly one length.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Wire {
    /// 256 bytes: a packet under the server's RSA-2048 key, PKCS#1 v1.5.
    Sealed,
    /// 264 bytes: a stamp that the kernel can verify ([`crate::stamp`]), then the sealed 256.
    Stamped,
    /// 245 bytes: the packet itself, for links that are already encrypted.
    Clear,
}

impl Wire {
    /// Every wire.
    pub const ALL: [Self; 3] = [Self::Sealed, Self::Stamped, Self::Clear];

    /// Length of the UDP payload, in bytes.
    #[must_use]
    pub const fn datagram_len(self) -> u16 {
        match self {
            Self::Sealed => v1::SEALED_LEN as u16,
            Self::Stamped => (STAMP_LEN + v1::SEALED_LEN) as u16,
            Self::Clear => v1::PACKET_LEN as u16,
        }
    }

    /// Where the packet, sealed or not, begins in the UDP payload, in bytes.
    #[must_use]
    pub const fn packet_at(self) -> usize {
        match self {
            Self::Sealed | Self::Clear => 0,
            Self::Stamped => STAMP_LEN,
        }
    }

    /// The name in configuration files.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Stamped => "stamped",
            Self::Clear => "clear",
        }
    }

    /// The number in BPF maps.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Sealed => 1,
            Self::Stamped => 2,
            Self::Clear => 3,
        }
    }

    /// The wire with that [`Wire::number`].
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|wire| wire.number() == number)
    }

    /// The wire with that [`Wire::label`].
    #[must_use]
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|wire| wire.label() == label)
    }
}
