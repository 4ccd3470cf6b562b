//! The stamp in front of a sealed packet: what lets the kernel tell a knock from junk. Never chooses a gate key.
//!
//! A stamp is SipHash-2-4 over the 256 sealed bytes under a key that changes with every epoch; its low four bits say
//! which key. It admits to a lane and proves nothing else: authentication is the sealed packet's alone.

use crate::siphash::{Key, siphash_2_4};
use crate::wire::v1::SEALED_LEN;

/// Length of a stamp, in bytes; a little-endian number.
pub const STAMP_LEN: usize = 8;

/// How long the keys of one epoch hold, in seconds.
pub const EPOCH_SECS: u64 = 600;

/// Gate keys that a host can have at once.
pub const GATE_KEYS: usize = 4;

/// Keys that can be loaded at once: four epochs, one of them unused, of each gate key.
pub const SLOTS: usize = 4 * GATE_KEYS;

/// The length of a message, in words.
pub const WORDS: usize = SEALED_LEN / size_of::<u64>();

/// Which loaded key a stamp is of.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Slot(u8);

/// A time of [`EPOCH_SECS`], counted from the Unix epoch.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Epoch(pub u64);

impl Slot {
    /// The slot of a gate key (0 to 3) in an epoch; nothing for other gate keys.
    #[must_use]
    pub const fn new(gate_key: u8, epoch: Epoch) -> Option<Self> {
        if gate_key as usize >= GATE_KEYS {
            return None;
        }
        Some(Self(4 * gate_key + (epoch.0 % 4) as u8))
    }

    /// The slot that a stamp names.
    #[inline(always)]
    #[must_use]
    pub const fn of_stamp(stamp: u64) -> Self {
        Self((stamp & SLOT_BITS) as u8)
    }

    /// Its number, below [`SLOTS`].
    #[inline(always)]
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl Epoch {
    /// The epoch of a moment, in seconds since the Unix epoch.
    #[must_use]
    pub const fn at(unix_secs: u64) -> Self {
        Self(unix_secs / EPOCH_SECS)
    }
}

/// The stamp of a message under a slot's key. `words` gives the sealed bytes, eight at a time, in little-endian order;
/// nothing if one is not to be had.
#[inline(always)]
pub fn stamp(slot: Slot, key: Key, words: impl FnMut(usize) -> Option<u64>) -> Option<u64> {
    let hash = siphash_2_4(key, WORDS, words)?;
    Some(hash & !SLOT_BITS | slot.0 as u64)
}

/// The stamp of a sealed packet.
#[must_use]
pub fn stamp_sealed(slot: Slot, key: Key, sealed: &[u8; SEALED_LEN]) -> [u8; STAMP_LEN] {
    let (words, _) = sealed.as_chunks::<{ size_of::<u64>() }>();
    let word = |index| words.get(index).map(|word| u64::from_le_bytes(*word));
    // There are exactly as many words as are asked for.
    stamp(slot, key, word).unwrap_or_default().to_le_bytes()
}

/// The low bits of a stamp, which hold the slot's number.
const SLOT_BITS: u64 = SLOTS as u64 - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_says_its_slot_and_covers_every_byte() {
        let key = Key::from_bytes([7; 16]);
        let sealed = core::array::from_fn(|at| at as u8);
        let slot = Slot::new(2, Epoch::at(1_800_000_000)).unwrap();
        let stamp = stamp_sealed(slot, key, &sealed);
        assert_eq!(Slot::of_stamp(u64::from_le_bytes(stamp)), slot);
        for at in 0..SEALED_LEN {
            let mut other = sealed;
            other[at] ^= 1;
            assert_ne!(stamp_sealed(slot, key, &other), stamp, "byte {at}");
        }
    }

    #[test]
    fn slots_of_neighbouring_epochs_differ_and_there_are_four_gate_keys() {
        let slots = [0, 1, 2, 3].map(|epoch| Slot::new(3, Epoch(epoch)).unwrap().number());
        assert_eq!(slots, [12, 13, 14, 15]);
        assert_eq!(Slot::new(4, Epoch(0)), None);
    }
}
