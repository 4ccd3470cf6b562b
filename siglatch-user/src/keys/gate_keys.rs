//! The gate keys of this host, and what of them the kernel must hold at a moment. Never reads a key file.

use siglatch_common::layout::StampKey;
use siglatch_common::seal::GateKey;
use siglatch_common::stamp::{EPOCH_SECS, Epoch, GATE_KEYS, SLOTS, Slot};
use siglatch_common::units::Wall;

/// Up to [`GATE_KEYS`] gate keys, each under its number.
#[derive(Clone, Debug, Default)]
pub struct GateKeys {
    keys: [Option<GateKey>; GATE_KEYS],
    /// The number of the one that was put last.
    newest: u8,
}

impl GateKeys {
    /// Puts a key under a number below [`GATE_KEYS`]; false if there is one already, or the number is too large.
    #[must_use]
    pub fn put(&mut self, number: u8, key: GateKey) -> bool {
        match self.keys.get_mut(usize::from(number)) {
            Some(place @ None) => {
                *place = Some(key);
                self.newest = number;
                true
            }
            Some(Some(_)) | None => false,
        }
    }

    /// Each key with its number, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &GateKey)> {
        (0..).zip(&self.keys).filter_map(|(number, key)| Some((number, key.as_ref()?)))
    }

    /// The one that was put last, with its number: what new clients get.
    #[must_use]
    pub fn newest(&self) -> Option<(u8, &GateKey)> {
        self.iter().find(|(number, _)| *number == self.newest)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The keys that stamps may be made with now: those of the epoch before, of this one and of the next.
    #[must_use]
    pub fn stamp_keys(&self, now: Wall) -> [StampKey; SLOTS] {
        let mut keys = [StampKey::NONE; SLOTS];
        let Epoch(epoch) = Epoch::at(now.as_secs());
        for (number, key) in self.iter() {
            for epoch in [epoch.saturating_sub(1), epoch, epoch + 1].map(Epoch) {
                let slot = Slot::new(number, epoch).and_then(|slot| keys.get_mut(usize::from(slot.number())));
                if let Some(place) = slot {
                    *place = StampKey::new(key.of_epoch(epoch));
                }
            }
        }
        keys
    }
}

/// When the keys of [`GateKeys::stamp_keys`] change next.
#[must_use]
pub fn next_epoch(now: Wall) -> Wall {
    Wall::from_secs((Epoch::at(now.as_secs()).0 + 1) * EPOCH_SECS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_the_one_that_was_put_last() {
        let mut keys = GateKeys::default();
        assert!(keys.newest().is_none());
        for number in [1, 3, 0] {
            assert!(keys.put(number, GateKey::parse(&[7; 16]).unwrap()));
            assert_eq!(keys.newest().map(|(number, _)| number), Some(number));
        }
        assert!(!keys.put(3, GateKey::parse(&[7; 16]).unwrap()));
        assert_eq!(keys.newest().map(|(number, _)| number), Some(0));
    }

    #[test]
    fn three_epochs_of_each_key_are_loaded_and_the_fourth_slot_is_empty() {
        let mut keys = GateKeys::default();
        let key = GateKey::parse(&[7; 16]).unwrap();
        assert!(keys.put(2, key.clone()));
        assert!(!keys.put(2, key.clone()));
        assert!(!keys.put(4, key.clone()));
        let now = Wall::from_secs(10 * EPOCH_SECS + 5);
        let loaded = keys.stamp_keys(now);
        let set: Vec<_> = (0..SLOTS).filter(|slot| loaded[*slot].key().is_some()).collect();
        assert_eq!(
            set,
            [8 + 9 % 4, 8 + 10 % 4, 8 + 11 % 4]
                .into_iter()
                .collect::<std::collections::BTreeSet<_>>()
                .into_iter()
                .collect::<Vec<_>>()
        );
        assert_eq!(loaded[8 + 10 % 4].key(), Some(key.of_epoch(Epoch(10))));
        assert_eq!(next_epoch(now), Wall::from_secs(11 * EPOCH_SECS));
    }
}
