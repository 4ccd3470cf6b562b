//! A ban as it stands in the maps, and whether it holds. Never decides whom to ban.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What is known of a banned address or network: the value of the maps `blacklist` and `blacklist_networks`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct Ban {
    /// Offset 0, 8 bytes, native byte order: `CLOCK_BOOTTIME` nanoseconds at which it ends; 0 for never.
    pub until: u64,
    /// Offset 8, 8 bytes, native byte order: frames that it has dropped. Two CPUs can miss one of each other's.
    pub hits: u64,
    /// Offset 16, 4 bytes, native byte order: [`Reason::number`].
    pub reason: u32,
    /// Offset 20, 4 bytes, native byte order: the how manieth ban in a row, from 1; 0 if it was not earned.
    pub step: u32,
}

/// Why somebody is banned.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Reason {
    /// The operator said so, with `siglatchctl ban`, or with bpftool.
    Operator,
    /// A file of the configuration's `[blacklist]` says so.
    File,
    /// Datagrams that were no knocks of anybody's.
    Unauthentic,
    /// More datagrams than the rate allows, by far.
    Flood,
}

impl Ban {
    /// Whether it holds at a moment, in `CLOCK_BOOTTIME` nanoseconds.
    #[inline(always)]
    #[must_use]
    pub const fn holds(&self, now: u64) -> bool {
        self.until == 0 || now < self.until
    }
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Operator, Self::File, Self::Unauthentic, Self::Flood];

    /// The name in files, logs and lists.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::File => "file",
            Self::Unauthentic => "unauthentic",
            Self::Flood => "flood",
        }
    }

    /// The number in the maps.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Operator => 0,
            Self::File => 1,
            Self::Unauthentic => 2,
            Self::Flood => 3,
        }
    }

    /// The reason with that [`Reason::number`]; the operator's, if there is none: only an operator writes such things.
    #[must_use]
    pub fn from_number(number: u32) -> Self {
        Self::ALL.into_iter().find(|reason| reason.number() == number).unwrap_or(Self::Operator)
    }

    /// The reason with that [`Reason::label`].
    #[must_use]
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.label() == label)
    }
}
