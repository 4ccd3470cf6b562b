//! The pause between the steps of a sequence: `300ms`. Never waits.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

/// At most a minute, written as digits with `ms` or `s`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Gap {
    millis: u16,
}

/// Why a text is no such pause.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum GapFlaw {
    /// Not digits with a unit behind them.
    #[error("write digits and a unit, ms or s: 300ms, 1s")]
    Form,
    /// More than a minute: no sequence waits that long.
    #[error("60s is the longest")]
    Long,
}

impl Gap {
    /// The pause.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.millis as u64)
    }
}

impl Default for Gap {
    /// 300 ms: networks reorder datagrams that are sent together, and a sequence counts only in its order.
    fn default() -> Self {
        Self { millis: 300 }
    }
}

impl FromStr for Gap {
    type Err = GapFlaw;

    fn from_str(text: &str) -> Result<Self, GapFlaw> {
        let (digits, factor) = match text.strip_suffix("ms") {
            Some(digits) => (digits, 1),
            None => (text.strip_suffix('s').ok_or(GapFlaw::Form)?, 1_000),
        };
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(GapFlaw::Form);
        }
        let millis = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or(GapFlaw::Long)?;
        match millis {
            0..=60_000 => Ok(Self { millis: u16::try_from(millis).map_err(|_| GapFlaw::Long)? }),
            _ => Err(GapFlaw::Long),
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_reads_back(millis in 0..=60_000_u16) {
            prop_assert_eq!(Gap { millis }.to_string().parse(), Ok(Gap { millis }));
        }
    }

    #[test]
    fn each_flaw_is_named() {
        assert_eq!("1s".parse::<Gap>().unwrap().duration(), Duration::from_secs(1));
        for text in ["", "s", "ms", "300", "1m", "+1s", "-1ms", "0.5s"] {
            assert_eq!(text.parse::<Gap>(), Err(GapFlaw::Form), "{text}");
        }
        for text in ["60001ms", "61s", "99999999999999999999s", "18446744073709551615s"] {
            assert_eq!(text.parse::<Gap>(), Err(GapFlaw::Long), "{text}");
        }
    }
}
