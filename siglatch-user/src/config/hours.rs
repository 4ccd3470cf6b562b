//! What texts mean that name hours of the week and a time zone: `mon-fri 08:00-18:00`, `Europe/Berlin`. Never asks what
//! time it is.

use jiff::tz::TimeZone;

use super::finding::{Code, Findings};
use super::key_files::{KeyFiles, Unreadable};
use super::section::{Located, Section};
use super::value::{Flaw, shown};
use crate::policy::{Hours, Span, Weekdays};

/// The time zone under `key`; UTC without it, or if a finding says why there is none.
pub(super) fn zone(key: &str, section: &Section<'_>, files: &dyn KeyFiles, findings: &mut Findings) -> TimeZone {
    let Some(name) = section.parsed(key, zone_name, findings) else { return TimeZone::UTC };
    if name.value == "UTC" {
        return TimeZone::UTC;
    }
    read(name, files).unwrap_or_else(|message| {
        findings.report(Code::UnknownZone, name.span, message, ZONE_HELP);
        TimeZone::UTC
    })
}

/// The `hours` of an action, in that zone; nothing: always.
pub(super) fn hours(section: &Section<'_>, zone: &TimeZone, findings: &mut Findings) -> Option<Hours> {
    let spans = section.parsed_list("hours", span, findings)?;
    if section.is_empty_list("hours") {
        let help = "write, for example: hours = [\"mon-fri 08:00-18:00\"]; or take `hours` out, and it is always open";
        findings.report(Code::OutOfRange, section.value_place("hours"), "`hours` leaves no hour open", help);
    }
    let spans: Vec<Span> = spans.into_iter().map(|span| span.value).collect();
    (!spans.is_empty()).then(|| Hours { zone: zone.clone(), spans })
}

/// Days and hours: `mon-fri 08:00-18:00`, `sat,sun 10:00-14:00`, `daily 22:00-06:00` (over midnight).
pub(super) fn span(text: &str) -> Result<Span, Flaw> {
    let flaw = |why: &str, help: &str| Flaw {
        code: Code::BadHours,
        message: format!("\"{}\" names no hours: {why}", shown(text)),
        help: help.to_owned(),
    };
    let mut parts = text.split_whitespace();
    let (Some(names), Some(hours), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(flaw("it is not days, a space, and hours", EXAMPLES));
    };
    let days = weekdays(names).ok_or_else(|| flaw("days are mon tue wed thu fri sat sun, or daily", EXAMPLES))?;
    let ends = hours.split_once('-').and_then(|(from, to)| Some((minutes(from)?, minutes(to)?)));
    let (from, to) = ends.ok_or_else(|| flaw("hours are HH:MM-HH:MM, from 00:00 to 24:00", EXAMPLES))?;
    match (from, to) {
        (from, to) if from == to => {
            Err(flaw("they end when they begin", "write 00:00-24:00 for the whole day, or a later end"))
        }
        (DAY, _) => Err(flaw("no day begins at 24:00", "write 00:00, and the next day's name")),
        (from, 0) => Ok(Span { days, from, to: DAY }),
        (from, to) => Ok(Span { days, from, to }),
    }
}

/// `daily`, or days and ranges of days between commas; a range may go over Sunday.
fn weekdays(text: &str) -> Option<Weekdays> {
    let text = text.to_ascii_lowercase();
    if text == "daily" {
        return Some(Weekdays::ALL);
    }
    let day = |name: &str| (0_u8..).zip(DAYS).find(|(_, day)| *day == name).map(|(number, _)| number);
    let mut days = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let length = (last + 7 - first) % 7;
        days |= (0..=length).fold(0, |days, ahead| days | 1 << ((first + ahead) % 7));
    }
    Some(Weekdays(days))
}

/// Minutes since midnight.
fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let digits = |text: &str, most: usize| (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(hours, 2) || !digits(minutes, 2) || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let sum = hours * 60 + minutes;
    (minutes < 60 && sum <= DAY).then_some(sum)
}

/// A name of the tz database, which is a path of plain words: nothing that leads out of its folder.
fn zone_name(text: &str) -> Result<&str, Flaw> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte);
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(allowed);
    if text.len() <= ZONE_MAX && text.split('/').all(is_word) {
        return Ok(text);
    }
    let message = format!("\"{}\" is no time zone", shown(text));
    Err(Flaw { code: Code::UnknownZone, message, help: ZONE_HELP.to_owned() })
}

fn read(name: Located<&str>, files: &dyn KeyFiles) -> Result<TimeZone, String> {
    let name = name.value;
    let bytes = files.zone(name).map_err(|reason| match reason {
        Unreadable::Missing | Unreadable::NotAFile => format!("this machine knows no time zone \"{name}\""),
        Unreadable::Forbidden | Unreadable::Withheld => format!("may not read the time zone \"{name}\""),
        Unreadable::TooLarge { limit } => format!("the time zone \"{name}\" is larger than {limit} bytes"),
        Unreadable::Failed { reason } => format!("cannot read the time zone \"{name}\": {reason}"),
    })?;
    TimeZone::tzif(name, &bytes).map_err(|error| format!("the time zone \"{name}\" is damaged: {error}"))
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Minutes of a day.
const DAY: u16 = 1440;

/// The longest name of the tz database has 32 bytes.
const ZONE_MAX: usize = 64;

const EXAMPLES: &str = "write, for example: \"mon-fri 08:00-18:00\", \"sat,sun 10:00-14:00\" or \"daily 22:00-06:00\"";

const ZONE_HELP: &str = "write a name that `timedatectl list-timezones` shows, such as \"Europe/Berlin\", or \"UTC\"; \
                         the package tzdata brings them";
