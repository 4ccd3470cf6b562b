//! SipHash (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012), the same code in the kernel and on the
//! host. Never chooses a key.

/// A 128-bit key, as two words read in little-endian order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Key {
    /// Bytes 0 to 7.
    pub k0: u64,
    /// Bytes 8 to 15.
    pub k1: u64,
}

impl Key {
    /// The key in these 16 bytes.
    #[inline(always)]
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
        Self { k0: u64::from_le_bytes([a, b, c, d, e, f, g, h]), k1: u64::from_le_bytes([i, j, k, l, m, n, o, p]) }
    }
}

/// SipHash-2-4 of whole words: `words` gives word number `0..count` of the message, read in little-endian order. Asks
/// for each once, in order; nothing if one is not to be had.
#[inline(always)]
pub fn siphash_2_4(key: Key, count: usize, words: impl FnMut(usize) -> Option<u64>) -> Option<u64> {
    hash::<2, 4>(key, count, words)
}

/// SipHash-1-3 of two words: good enough to spread what strangers send over a table whose key they do not know.
#[inline(always)]
#[must_use]
pub fn siphash_1_3(key: Key, first: u64, second: u64) -> u64 {
    let mut state = State::new(key);
    state.absorb::<1>(first);
    state.absorb::<1>(second);
    state.finish::<1, 3>(16)
}

#[inline(always)]
fn hash<const C: usize, const D: usize>(
    key: Key,
    count: usize,
    mut words: impl FnMut(usize) -> Option<u64>,
) -> Option<u64> {
    let mut state = State::new(key);
    for index in 0..count {
        state.absorb::<C>(words(index)?);
    }
    Some(state.finish::<C, D>(count * size_of::<u64>()))
}

struct State {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl State {
    /// Section 2.1, initialization.
    #[inline(always)]
    const fn new(key: Key) -> Self {
        Self {
            v0: key.k0 ^ 0x736f_6d65_7073_6575,
            v1: key.k1 ^ 0x646f_7261_6e64_6f6d,
            v2: key.k0 ^ 0x6c79_6765_6e65_7261,
            v3: key.k1 ^ 0x7465_6462_7974_6573,
        }
    }

    /// Section 2.2, compression.
    #[inline(always)]
    fn absorb<const C: usize>(&mut self, word: u64) {
        self.v3 ^= word;
        for _ in 0..C {
            self.round();
        }
        self.v0 ^= word;
    }

    /// Section 2.3, finalization. The last word holds the length alone, since there are only whole words before it.
    #[inline(always)]
    fn finish<const C: usize, const D: usize>(mut self, length: usize) -> u64 {
        self.absorb::<C>((length as u64) << 56);
        self.v2 ^= 0xff;
        for _ in 0..D {
            self.round();
        }
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }

    #[inline(always)]
    const fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference implementation's `vectors_sip64`, for the key 00 01 … 0f and the message 00 01 … of so many bytes;
    /// the last is not among them and was computed by a second implementation.
    const VECTORS: [(usize, u64); 6] = [
        (0, 0x726f_db47_dd0e_0e31),
        (8, 0x93f5_f579_9a93_2462),
        (16, 0x3f2a_cc7f_57c2_9bdb),
        (24, 0xb8ad_50c6_f649_af94),
        (56, 0xb78d_bfaf_3a8d_83bd),
        (256, 0x999d_0526_d2a7_bfd7),
    ];

    fn counting(length: usize) -> impl FnMut(usize) -> Option<u64> {
        move |index| {
            let at = index * 8;
            (at + 8 <= length).then(|| u64::from_le_bytes(core::array::from_fn(|byte| (at + byte) as u8)))
        }
    }

    fn key() -> Key {
        Key::from_bytes(core::array::from_fn(|byte| byte as u8))
    }

    #[test]
    fn the_reference_vectors_hold() {
        for (length, expected) in VECTORS {
            let hash = siphash_2_4(key(), length / 8, counting(length));
            assert_eq!(hash, Some(expected), "{length} bytes");
        }
    }

    #[test]
    fn two_words_are_hashed_with_fewer_rounds() {
        let mut words = counting(16);
        let (first, second) = (words(0).unwrap(), words(1).unwrap());
        assert_eq!(siphash_1_3(key(), first, second), 0xcc4f_dd1a_7d90_8b66);
    }

    #[test]
    fn a_message_that_ends_early_has_no_hash() {
        assert_eq!(siphash_2_4(key(), 3, counting(16)), None);
    }
}
