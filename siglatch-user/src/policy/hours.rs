//! Hours of the week, in a time zone: when an action may be asked for. Never reads a clock.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use siglatch_common::units::Wall;

/// Stretches of the week. A moment is in them if it is in any of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hours {
    /// Whose days and hours they are.
    pub zone: TimeZone,
    /// At least one.
    pub spans: Vec<Span>,
}

/// The same hours on some days of the week.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Span {
    /// The days on which it begins.
    pub days: Weekdays,
    /// Minutes since midnight; 0 to 1439.
    pub from: u16,
    /// Minutes since midnight, 1 to 1440. Not later than `from`: on the next day.
    pub to: u16,
}

/// Some days of the week: bit 0 is Monday, bit 6 Sunday.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Weekdays(pub u8);

impl Hours {
    /// Whether that moment is in them. An hour that a clock change repeats is in them twice, one that it leaves out never.
    #[must_use]
    pub fn contain(&self, moment: Wall) -> bool {
        let Some(moment) = i64::try_from(moment.as_secs()).ok().and_then(|secs| Timestamp::from_second(secs).ok())
        else {
            return false;
        };
        let here = self.zone.to_datetime(moment);
        let today = usize::try_from(here.weekday().to_monday_zero_offset()).unwrap_or(0);
        let minute = usize::try_from(i32::from(here.hour()) * 60 + i32::from(here.minute())).unwrap_or(0);
        self.spans.iter().any(|span| span.holds_minute(today * DAY + minute))
    }
}

impl Weekdays {
    /// Every day.
    pub const ALL: Self = Self(0b111_1111);

    /// Whether a day is among them; 0 is Monday.
    #[must_use]
    pub const fn has(self, day: u8) -> bool {
        self.0 & (1 << day) != 0
    }
}

impl Span {
    /// Whether a minute of the week, counted from Monday 00:00 on the clock of its zone, is in it.
    #[must_use]
    pub fn holds_minute(&self, minute: usize) -> bool {
        let (day, minute) = ((minute / DAY % 7) as u8, (minute % DAY) as u16);
        if self.from < self.to {
            self.days.has(day) && (self.from..self.to).contains(&minute)
        } else {
            self.days.has(day) && minute >= self.from || self.days.has((day + 6) % 7) && minute < self.to
        }
    }
}

/// Minutes in a day.
const DAY: usize = 1440;

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        let days: Vec<_> = (0..7).zip(names).filter(|(day, _)| self.days.has(*day)).map(|(_, name)| name).collect();
        let clock = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        write!(f, "{} {}-{}", days.join(","), clock(self.from), clock(self.to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn office_hours_end_with_their_last_minute() {
        let hours = hours(TimeZone::UTC, Span { days: Weekdays(0b1_1111), from: 8 * 60, to: 18 * 60 });
        // 2026-11-20 is a Friday.
        for (moment, inside) in [
            ("2026-11-20T07:59:59Z", false),
            ("2026-11-20T08:00:00Z", true),
            ("2026-11-20T17:59:59Z", true),
            ("2026-11-20T18:00:00Z", false),
            ("2026-11-21T12:00:00Z", false),
            ("2026-11-23T12:00:00Z", true),
        ] {
            assert_eq!(hours.contain(at(moment)), inside, "{moment}");
        }
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let hours = hours(TimeZone::UTC, Span { days: Weekdays(0b100_0000), from: 22 * 60, to: 6 * 60 });
        for (moment, inside) in [
            ("2026-11-22T21:59:59Z", false),
            ("2026-11-22T22:00:00Z", true),
            ("2026-11-23T05:59:59Z", true),
            ("2026-11-23T06:00:00Z", false),
            ("2026-11-22T05:00:00Z", false),
            ("2026-11-23T23:00:00Z", false),
        ] {
            assert_eq!(hours.contain(at(moment)), inside, "{moment}");
        }
    }

    #[test]
    fn hours_are_those_of_their_zone_and_follow_its_clock_changes() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let hours = hours(zone, Span { days: Weekdays::ALL, from: 8 * 60, to: 9 * 60 });
        assert!(hours.contain(at("2026-01-15T07:30:00Z")) && !hours.contain(at("2026-01-15T06:30:00Z")));
        assert!(hours.contain(at("2026-07-15T06:30:00Z")) && !hours.contain(at("2026-07-15T07:30:00Z")));
    }

    #[test]
    fn a_whole_day_has_no_gap_at_midnight() {
        let hours = hours(TimeZone::UTC, Span { days: Weekdays(0b1000), from: 0, to: 1440 });
        assert!(hours.contain(at("2026-11-19T00:00:00Z")) && hours.contain(at("2026-11-19T23:59:59Z")));
        assert!(!hours.contain(at("2026-11-20T00:00:00Z")) && !hours.contain(at("2026-11-18T23:59:59Z")));
    }

    fn hours(zone: TimeZone, span: Span) -> Hours {
        Hours { zone, spans: vec![span] }
    }

    fn at(text: &str) -> Wall {
        let moment: Timestamp = text.parse().unwrap();
        Wall::from_secs(u64::try_from(moment.as_second()).unwrap())
    }
}
