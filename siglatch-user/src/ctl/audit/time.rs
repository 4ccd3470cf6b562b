//! Moments as operators write them: `2h` ago, a day, a time. Never reads a clock.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::config;

/// A moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Moment {
    /// So long ago.
    Ago(Duration),
    /// Then: microseconds since the Unix epoch.
    At(i64),
}

impl Moment {
    /// Microseconds since the Unix epoch.
    pub(super) fn micros(self, now: i64) -> i64 {
        match self {
            Self::Ago(span) => now.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)),
            Self::At(micros) => micros,
        }
    }
}

/// `2h`, `2026-11-20`, `2026-11-20 14:30`, `2026-11-20T14:30:00Z`, `2026-11-20T14:30:00+01:00`.
pub(super) fn moment(text: &str) -> Result<Moment, String> {
    // A day is the time at which it begins.
    let utc = |time: DateTime| time.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp());
    let time = text.parse::<Timestamp>().ok().or_else(|| text.parse().ok().and_then(utc));
    if let Some(time) = time {
        return Ok(Moment::At(time.as_microsecond()));
    }
    config::length_of_time(text).map(Moment::Ago).map_err(|_| {
        "write how long ago (2h, 30m), a day (2026-11-20), or a time (2026-11-20T14:30:00Z); UTC".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_read_as_they_are_written() {
        let at = |text: &str| moment(text).map(|moment| moment.micros(10_000_000_000));
        let noon = 1_795_176_000_000_000;
        assert_eq!(at("2026-11-20T12:00:00Z"), Ok(noon));
        assert_eq!(at("2026-11-20T13:00:00+01:00"), Ok(noon));
        assert_eq!(at("2026-11-20 12:00"), Ok(noon));
        assert_eq!(at("2026-11-20T12:00:00.000001Z"), Ok(noon + 1));
        assert_eq!(at("2026-11-20"), Ok(noon - 12 * 3_600_000_000));
        assert_eq!(at("2h"), Ok(10_000_000_000 - 7_200_000_000));
        for text in ["", "yesterday", "2026-13-01", "2"] {
            assert!(at(text).unwrap_err().contains("2026-11-20"), "{text}");
        }
    }
}
