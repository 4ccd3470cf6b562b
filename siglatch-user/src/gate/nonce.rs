//! What makes a knock the only one of its kind. Never says whether it was seen.

use siglatch_common::units::Wall;
use siglatch_common::wire::v1::{Packet, UserId};

/// User, stamp and challenge of an authentic packet.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Nonce {
    /// Who knocked.
    pub user: UserId,
    /// Seconds since the Unix epoch.
    pub timestamp: u32,
    /// The random part.
    pub challenge: u32,
}

impl Nonce {
    /// Bytes in its stored form.
    pub const LEN: usize = 10;

    pub(super) const fn of(packet: &Packet) -> Self {
        Self { user: packet.user, timestamp: packet.timestamp, challenge: packet.challenge }
    }

    /// The stamp as a point in time.
    #[must_use]
    pub fn stamp(&self) -> Wall {
        Wall::from_secs(u64::from(self.timestamp))
    }

    /// The stored form: user, timestamp, challenge, little-endian.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..2].copy_from_slice(&self.user.0.to_le_bytes());
        bytes[2..6].copy_from_slice(&self.timestamp.to_le_bytes());
        bytes[6..].copy_from_slice(&self.challenge.to_le_bytes());
        bytes
    }

    /// Reads the stored form.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        let [u0, u1, t0, t1, t2, t3, c0, c1, c2, c3] = bytes;
        Self {
            user: UserId(u16::from_le_bytes([u0, u1])),
            timestamp: u32::from_le_bytes([t0, t1, t2, t3]),
            challenge: u32::from_le_bytes([c0, c1, c2, c3]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_reads_back_from_its_stored_form() {
        let nonce = Nonce { user: UserId(0x0102), timestamp: 0x0304_0506, challenge: 0x0708_090a };
        assert_eq!(Nonce::from_bytes(nonce.to_bytes()), nonce);
    }
}
