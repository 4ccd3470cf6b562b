//! The number that ties a knock to everything that comes of it, in logs and in the ledger. Never a secret.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

/// The number of a knock: that of the daemon's run in the upper half, a count from 1 in the lower. 16 hex digits as a text.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct KnockId(u64);

impl KnockId {
    /// The knock of that number in a run.
    #[must_use]
    pub fn new(run: u32, number: u32) -> Self {
        Self(u64::from(run) << 32 | u64::from(number))
    }

    /// The one after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

impl fmt::Display for KnockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for KnockId {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back() {
        let id = KnockId::new(0xc0ff_ee00, 7);
        assert_eq!(id.to_string(), "c0ffee0000000007");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.next().to_string(), "c0ffee0000000008");
    }
}
