//! Pseudo-random damage to valid frames, the same on every run. Never knows what should become of a frame.

use crate::packet::Frame;
use crate::scene::{CLEAR_PORT, SEALED_PORT, STRANGER, Shape, payload};

/// An endless supply of damaged frames.
#[derive(Debug)]
pub struct Mutations {
    numbers: Numbers,
    shapes: Vec<Shape>,
}

impl Mutations {
    /// The supply that belongs to a seed, which must not be zero.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { numbers: Numbers::seeded(seed), shapes: Shape::all() }
    }

    /// A valid frame with nothing to four bytes changed, and in one case of eight cut off or grown somewhere.
    #[expect(clippy::should_implement_trait, reason = "an iterator would have an end to think of")]
    pub fn next(&mut self) -> Vec<u8> {
        let shape = self.below(self.shapes.len());
        let frame = self.valid(shape).build();
        let headers = frame.payload_at;
        let mut bytes = frame.bytes;
        for _ in 0..self.below(5) {
            let at = 12 + self.below(headers - 12);
            bytes[at] = match self.below(4) {
                0 => self.numbers.next() as u8,
                1 => bytes[at] ^ 1 << self.below(8),
                _ => MEANINGFUL[self.below(MEANINGFUL.len())],
            };
        }
        if self.below(8) == 0 {
            let length = 14 + self.below(headers + 20);
            bytes.resize(length, 0);
        }
        bytes
    }

    fn valid(&mut self, shape: usize) -> Frame {
        let (port, length) = [(SEALED_PORT, 256), (CLEAR_PORT, 245), (SEALED_PORT, 255), (53, 256)][self.below(4)];
        let frame = self.shapes[shape].to_gateway(port, &payload(length));
        let v4 = self.shapes[shape].is_v4();
        match self.below(8) {
            0 => frame.piece(self.below(2) as u16, self.below(2) == 0),
            1 => frame.from((if v4 { "127.0.0.1:9" } else { "[::1]:9" }).parse().expect("an address")),
            2 => frame.to(std::net::SocketAddr::new(STRANGER.of(v4), port)),
            _ => frame,
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.numbers.next() % bound as u64) as usize
    }
}

/// Pseudo-random numbers, the same on every run.
#[derive(Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// The numbers that belong to a seed, which must not be zero.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Marsaglia, Xorshift RNGs (2003): the triple 13, 7, 17.
    pub const fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Bytes that mean something in a header: lengths, versions, protocols, extension headers, Ethernet types.
const MEANINGFUL: [u8; 30] = [
    0, 1, 2, 4, 5, 6, 8, 17, 43, 44, 50, 51, 58, 59, 60, 0x20, 0x40, 0x44, 0x45, 0x46, 0x4f, 0x60, 0x81, 0x86, 0x88,
    0xa8, 0xdd, 0x7f, 0x80, 0xff,
];
