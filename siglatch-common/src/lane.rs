//! The lanes that datagrams travel in to the private key: strangers' junk can use up the strangers' lane only.
//! Never decides who is in which.

/// A way to the private key, with a ring and a budget of its own.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Lane {
    /// Datagrams with a valid stamp.
    Stamped,
    /// Datagrams from sources that authenticated lately.
    Known,
    /// Everybody else's.
    Unknown,
}

/// One of something for each lane.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PerLane<T> {
    /// For [`Lane::Stamped`].
    pub stamped: T,
    /// For [`Lane::Known`].
    pub known: T,
    /// For [`Lane::Unknown`].
    pub unknown: T,
}

impl Lane {
    /// Every lane, in the order in which they are served.
    pub const ALL: [Self; 3] = [Self::Stamped, Self::Known, Self::Unknown];

    /// The name in configuration, status, metrics and counters.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Stamped => "stamped",
            Self::Known => "known",
            Self::Unknown => "unknown",
        }
    }
}

impl<T> PerLane<T> {
    /// What `of` gives for each lane.
    pub fn from_fn(mut of: impl FnMut(Lane) -> T) -> Self {
        Self { stamped: of(Lane::Stamped), known: of(Lane::Known), unknown: of(Lane::Unknown) }
    }

    /// That of one lane.
    #[inline(always)]
    pub const fn of(&self, lane: Lane) -> &T {
        match lane {
            Lane::Stamped => &self.stamped,
            Lane::Known => &self.known,
            Lane::Unknown => &self.unknown,
        }
    }

    /// That of one lane, to be changed.
    #[inline(always)]
    pub const fn of_mut(&mut self, lane: Lane) -> &mut T {
        match lane {
            Lane::Stamped => &mut self.stamped,
            Lane::Known => &mut self.known,
            Lane::Unknown => &mut self.unknown,
        }
    }
}
