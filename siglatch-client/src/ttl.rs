//! How long a grant is asked for: `10m`. Never decides how long it is given: the gateway's policy does.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// One second to 366 days, written as digits with `s`, `m`, `h` or `d`; several parts go from long to short (`1h30m`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ttl {
    seconds: u32,
}

/// Why a text is no such time.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum TtlFlaw {
    /// Not digits with units behind them, long before short.
    #[error("write digits and a unit, s, m, h or d: 10m, 90s, 1h30m")]
    Form,
    /// A number alone.
    #[error("a number needs its unit, s, m, h or d: 10m, 90s")]
    Unit,
    /// No time at all.
    #[error("zero is no time to open something for")]
    Zero,
    /// More than 366 days.
    #[error("366d is the longest")]
    Long,
}

impl Ttl {
    /// The time, in seconds.
    #[must_use]
    pub const fn as_secs(self) -> u32 {
        self.seconds
    }
}

impl FromStr for Ttl {
    type Err = TtlFlaw;

    fn from_str(text: &str) -> Result<Self, TtlFlaw> {
        let mut seconds = 0_u64;
        let mut longest = u64::MAX;
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, behind) = rest.split_at(digits);
            let Some(unit) = behind.chars().next() else {
                return Err(TtlFlaw::Unit);
            };
            let (unit_seconds, _) = UNITS.into_iter().find(|(_, name)| *name == unit).ok_or(TtlFlaw::Form)?;
            if number.is_empty() || unit_seconds >= longest {
                return Err(TtlFlaw::Form);
            }
            let number: u64 = number.parse().map_err(|_| TtlFlaw::Long)?;
            seconds =
                number.checked_mul(unit_seconds).and_then(|part| seconds.checked_add(part)).ok_or(TtlFlaw::Long)?;
            longest = unit_seconds;
            rest = &behind[unit.len_utf8()..];
        }
        match (text, seconds) {
            ("", _) => Err(TtlFlaw::Form),
            (_, 0) => Err(TtlFlaw::Zero),
            (_, LONGEST_SECONDS_AND_ONE..) => Err(TtlFlaw::Long),
            (_, seconds) => Ok(Self { seconds: u32::try_from(seconds).map_err(|_| TtlFlaw::Long)? }),
        }
    }
}

impl fmt::Display for Ttl {
    /// One number with the longest unit that leaves no rest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = u64::from(self.seconds);
        let (unit_seconds, unit) =
            UNITS.into_iter().find(|(unit_seconds, _)| seconds % unit_seconds == 0).unwrap_or((1, 's'));
        write!(f, "{}{unit}", seconds / unit_seconds)
    }
}

/// Seconds in each unit, longest first.
const UNITS: [(u64, char); 4] = [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')];

const LONGEST_SECONDS_AND_ONE: u64 = 366 * 86_400 + 1;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(text: &str) -> Result<String, TtlFlaw> {
        text.parse::<Ttl>().map(|ttl| ttl.to_string())
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_as_the_same_time(seconds in 1..=366 * 86_400_u32) {
            let ttl = Ttl { seconds };
            prop_assert_eq!(ttl.to_string().parse(), Ok(ttl));
            prop_assert_eq!(format!("{seconds}s").parse(), Ok(ttl));
        }

        #[test]
        fn no_text_breaks_it(text in "[0-9smhd .ü-]{0,24}") {
            if let Ok(ttl) = text.parse::<Ttl>() {
                prop_assert_eq!(ttl.to_string().parse(), Ok(ttl));
            }
        }
    }

    #[test]
    fn equal_times_have_one_form() {
        for (text, form) in [
            ("10m", "10m"),
            ("600s", "10m"),
            ("90s", "90s"),
            ("1h30m", "90m"),
            ("24h", "1d"),
            ("1d1s", "86401s"),
            ("007m", "7m"),
            ("366d", "366d"),
        ] {
            assert_eq!(canonical(text).as_deref(), Ok(form), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for text in ["", "m", "-5m", "1.5h", "10 m", "10x", "10M", "30m1h", "1m1m", "10mü", "٣m"] {
            assert_eq!(canonical(text), Err(TtlFlaw::Form), "{text}");
        }
        for text in ["10", "1h30"] {
            assert_eq!(canonical(text), Err(TtlFlaw::Unit), "{text}");
        }
        for text in ["0s", "0d0h"] {
            assert_eq!(canonical(text), Err(TtlFlaw::Zero), "{text}");
        }
        for text in ["367d", "366d1s", "99999999999999999999d", "18446744073709551615d"] {
            assert_eq!(canonical(text), Err(TtlFlaw::Long), "{text}");
        }
    }
}
