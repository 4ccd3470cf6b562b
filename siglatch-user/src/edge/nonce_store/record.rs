//! One record of the nonce store: 16 bytes, the last four a CRC-32 of the rest. Never touches a file.

use siglatch_common::units::Wall;

use crate::gate::Nonce;

/// What a record says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Record {
    /// Admitted.
    Nonce(Nonce),
    /// No stamp beyond this one was admitted before the next lease.
    Lease(Wall),
    /// Every stamp up to this one is to be refused.
    Floor(Wall),
    /// A daemon opened the store, under the kernel with that id.
    Opened([u8; 8]),
    /// A daemon closed the store, and everything before was written through.
    Closed,
}

impl Record {
    pub(super) const LEN: usize = 16;

    pub(super) fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        match self {
            Self::Nonce(nonce) => {
                bytes[0] = NONCE;
                bytes[2..12].copy_from_slice(&nonce.to_bytes());
            }
            Self::Lease(until) => {
                bytes[0] = LEASE;
                bytes[2..10].copy_from_slice(&until.as_secs().to_le_bytes());
            }
            Self::Floor(floor) => {
                bytes[0] = FLOOR;
                bytes[2..10].copy_from_slice(&floor.as_secs().to_le_bytes());
            }
            Self::Opened(boot) => {
                bytes[0] = OPENED;
                bytes[2..10].copy_from_slice(boot);
            }
            Self::Closed => bytes[0] = CLOSED,
        }
        let checksum = crc32fast::hash(&bytes[..12]);
        bytes[12..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a record; nothing if it is damaged.
    pub(super) fn decode(bytes: &[u8; Self::LEN]) -> Option<Self> {
        let [kind, _, b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, c0, c1, c2, c3] = *bytes;
        if crc32fast::hash(&bytes[..12]) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return None;
        }
        let first_eight = [b0, b1, b2, b3, b4, b5, b6, b7];
        let wall = || Wall::from_secs(u64::from_le_bytes(first_eight));
        match kind {
            NONCE => Some(Self::Nonce(Nonce::from_bytes([b0, b1, b2, b3, b4, b5, b6, b7, b8, b9]))),
            LEASE => Some(Self::Lease(wall())),
            FLOOR => Some(Self::Floor(wall())),
            OPENED => Some(Self::Opened(first_eight)),
            CLOSED => Some(Self::Closed),
            _ => None,
        }
    }
}

const NONCE: u8 = 1;
const LEASE: u8 = 2;
const FLOOR: u8 = 3;
const OPENED: u8 = 4;
const CLOSED: u8 = 5;
