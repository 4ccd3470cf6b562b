//! What can become of a frame: one list that names the counters, the labels and the kernel's answer.
//! Never decides which outcome it is.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::lane::Lane;

/// Makes the enum, its labels and the counter struct from one list, so that they cannot disagree.
macro_rules! outcomes {
    ($($(#[$doc:meta])+ $variant:ident $field:ident $fate:ident),+ $(,)?) => {
        /// What became of a frame. Each is counted per CPU, under the same label everywhere.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        #[repr(u32)]
        pub enum Outcome {
            $($(#[$doc])+ $variant),+
        }

        impl Outcome {
            /// Every outcome, in the order of the counters.
            pub const ALL: [Self; COUNT] = [$(Self::$variant),+];

            /// The name in maps, metrics, `siglatchctl` and tests.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($field)),+
                }
            }

            /// Whether the network stack gets to see the frame.
            #[inline(always)]
            #[must_use]
            pub const fn fate(self) -> Fate {
                match self {
                    $(Self::$variant => Fate::$fate),+
                }
            }
        }

        /// Frames by outcome: the one value of the per-CPU map `counters`, native byte order, each a count of
        /// frames since the map was made.
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq, FromBytes, Immutable, IntoBytes, KnownLayout)]
        #[repr(C)]
        pub struct Counters {
            $($(#[$doc])+ pub $field: u64),+
        }

        impl Counters {
            /// The count of one outcome.
            #[must_use]
            pub const fn of(&self, outcome: Outcome) -> u64 {
                match outcome {
                    $(Outcome::$variant => self.$field),+
                }
            }
        }

        const COUNT: usize = [$(stringify!($variant)),+].len();
        const _: () = assert!(size_of::<Counters>() == COUNT * size_of::<u64>());
    };
}

/// Whether a frame goes on to the network stack.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// The stack sees it, as if no filter were there.
    Pass,
    /// The stack never sees it.
    Drop,
}

outcomes! {
    /// Not IPv4 or IPv6 behind at most two VLAN tags.
    NotIp not_ip Pass,
    /// IP, but no UDP header in it: another protocol, or a fragment after the first.
    NotUdp not_udp Pass,
    /// Ends inside a header.
    CutShort cut_short Pass,
    /// UDP to a port that is no knock port.
    OtherPort other_port Pass,
    /// A knock port, but of another host: only routed through.
    Routed routed Pass,
    /// The first piece of a fragmented datagram to a knock port.
    Fragment fragment Drop,
    /// Not exactly the length that the port accepts, or headers that contradict each other.
    WrongLength wrong_length Drop,
    /// From an address that nobody outside can have.
    ImpossibleSource impossible_source Drop,
    /// Without a valid stamp, at a port that demands one.
    WrongStamp wrong_stamp Drop,
    /// From a banned address or network.
    Banned banned Drop,
    /// More from one source than the rate allows.
    OverRate over_rate Drop,
    /// The same datagram as one just submitted.
    Copy copy Drop,
    /// More in the lane *stamped* than its budget allows.
    OverBudgetStamped over_budget_stamped Drop,
    /// More in the lane *known* than its budget allows.
    OverBudgetKnown over_budget_known Drop,
    /// More in the lane *unknown* than its budget allows.
    OverBudgetUnknown over_budget_unknown Drop,
    /// Worth judging, but nobody has emptied the ring of the lane *stamped*.
    RingFullStamped ring_full_stamped Drop,
    /// Worth judging, but nobody has emptied the ring of the lane *known*.
    RingFullKnown ring_full_known Drop,
    /// Worth judging, but nobody has emptied the ring of the lane *unknown*.
    RingFullUnknown ring_full_unknown Drop,
    /// Handed to the daemon in the lane *stamped*.
    SubmittedStamped submitted_stamped Drop,
    /// Handed to the daemon in the lane *known*.
    SubmittedKnown submitted_known Drop,
    /// Handed to the daemon in the lane *unknown*.
    SubmittedUnknown submitted_unknown Drop,
}

impl Outcome {
    /// More in a lane than its budget allows.
    #[inline(always)]
    #[must_use]
    pub const fn over_budget(lane: Lane) -> Self {
        match lane {
            Lane::Stamped => Self::OverBudgetStamped,
            Lane::Known => Self::OverBudgetKnown,
            Lane::Unknown => Self::OverBudgetUnknown,
        }
    }

    /// No room in a lane's ring.
    #[inline(always)]
    #[must_use]
    pub const fn ring_full(lane: Lane) -> Self {
        match lane {
            Lane::Stamped => Self::RingFullStamped,
            Lane::Known => Self::RingFullKnown,
            Lane::Unknown => Self::RingFullUnknown,
        }
    }

    /// Handed to the daemon in a lane.
    #[inline(always)]
    #[must_use]
    pub const fn submitted(lane: Lane) -> Self {
        match lane {
            Lane::Stamped => Self::SubmittedStamped,
            Lane::Known => Self::SubmittedKnown,
            Lane::Unknown => Self::SubmittedUnknown,
        }
    }

    /// Whether the daemon gets to see the datagram.
    #[inline(always)]
    #[must_use]
    pub const fn is_submitted(self) -> bool {
        matches!(self, Self::SubmittedStamped | Self::SubmittedKnown | Self::SubmittedUnknown)
    }

    /// Whether the frame was refused: neither passed on nor handed to the daemon.
    #[inline(always)]
    #[must_use]
    pub const fn is_refused(self) -> bool {
        matches!(self.fate(), Fate::Drop) && !self.is_submitted()
    }

    /// The outcome with that number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }
}

impl Counters {
    /// Counters that hold what `count` says of each outcome.
    #[must_use]
    pub fn from_fn(count: impl FnMut(Outcome) -> u64) -> Self {
        zerocopy::transmute!(Outcome::ALL.map(count))
    }

    /// The sum over CPUs, outcome by outcome. Saturates.
    #[must_use]
    pub fn sum(per_cpu: &[Self]) -> Self {
        Self::from_fn(|outcome| per_cpu.iter().fold(0, |sum, counters| sum.saturating_add(counters.of(outcome))))
    }

    /// What was counted since `earlier`; nothing where the count has been set back.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self::from_fn(|outcome| self.of(outcome).saturating_sub(earlier.of(outcome)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_indexes_its_own_counter() {
        for (index, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, index);
            let counters = Counters::from_fn(|of| if of == outcome { 7 } else { 0 });
            let counts: [u64; COUNT] = zerocopy::transmute!(counters);
            assert_eq!((counts[index], counters.of(outcome)), (7, 7));
            let sum = Counters::sum(&[counters, counters]);
            assert_eq!(sum.of(outcome), 14);
            assert_eq!(sum.since(&counters), counters);
        }
    }
}
