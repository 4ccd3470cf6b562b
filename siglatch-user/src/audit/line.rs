//! How an event reads as one line of the plain log, and how many lines strangers can cause. Never writes one.
//!
//! ```text
//! knock decision=refused reason=replay source=192.0.2.7 user=alice action=ssh knock=c0ffee0000000007
//! ```
//!
//! The name of the event, then fields: first those of [`FIRST`], then the others as the record has them. This is stable:
//! filters of other programs go by it (`config/fail2ban/filter.d/siglatch.conf`). A value with anything else in it than
//! letters, digits and `. _ : / @ + -` stands in quotes, as in JSON, so that no value can look like another field.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;
use siglatch_common::units::Boot;

use super::event::Junk;
use super::{Event, Record};
use crate::gate::{Refusal, Verdict};

/// The fields that come first, in this order, where a record has them.
pub const FIRST: [&str; 8] = ["decision", "result", "state", "reason", "source", "user", "action", "knock"];

/// The line of an event.
#[must_use]
pub fn line(event: &Event) -> String {
    let record = serde_json::to_vec(event).ok().and_then(|bytes| Record::parse(&bytes)).unwrap_or_default();
    line_of(event.name(), &record)
}

/// The line of an event's fields.
#[must_use]
pub fn line_of(name: &str, record: &Record) -> String {
    let mut text = name.to_owned();
    for name in FIRST {
        if let Some(value) = record.field(name) {
            put(&mut text, name, value);
        }
    }
    for (name, value) in record.fields() {
        if !FIRST.contains(&name) && !APART.contains(&name) {
            put(&mut text, name, value);
        }
    }
    text
}

/// What strangers cause, within bounds: so many records and lines a minute, and the rest as totals.
#[derive(Debug)]
pub struct Strangers {
    records: PerMinute,
    lines: PerMinute,
    totals: BTreeMap<&'static str, u64>,
    since: Option<Boot>,
}

/// What is told of something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Told {
    /// It has a record of its own.
    pub record: bool,
    /// It has a line of its own.
    pub line: bool,
}

impl Told {
    /// Everything.
    pub const ALL: Self = Self { record: true, line: true };
}

#[derive(Debug)]
struct PerMinute {
    most: u32,
    left: u32,
    until: Boot,
}

impl Strangers {
    /// Copies and stale knocks that have a record of their own, in a minute. Junk never has one.
    pub const RECORDS: u32 = 20;
    /// Refusals that have a line of their own, in a minute.
    pub const LINES: u32 = 60;

    /// How much of a verdict is told: everything of what only users can cause.
    pub fn judge(&mut self, verdict: &Verdict, now: Boot) -> Told {
        match verdict {
            Verdict::Refuse(refusal, _) if refusal.can_be_anybodys() => self.refuse(*refusal, now),
            Verdict::Refuse(..) | Verdict::Admit(_) => Told::ALL,
        }
    }

    /// How much of this refusal is told.
    pub fn refuse(&mut self, refusal: Refusal, now: Boot) -> Told {
        let record = refusal != Refusal::Unauthentic && self.records.may(now);
        if !record {
            *self.totals.entry(refusal.label()).or_default() += 1;
            self.since.get_or_insert(now);
        }
        Told { record, line: self.lines.may(now) }
    }

    /// When totals are to be told, if there are any.
    #[must_use]
    pub fn due(&self) -> Option<Boot> {
        self.since.map(|since| since.after(MINUTE))
    }

    /// The totals of what has no record, since they were taken last; nothing if there is none.
    pub fn take(&mut self, now: Boot) -> Option<Junk> {
        let since = self.since.take()?;
        let refused = std::mem::take(&mut self.totals);
        Some(Junk { filter: BTreeMap::new(), refused, bans: 0, seconds: now.since(since).as_secs() })
    }
}

impl Default for Strangers {
    fn default() -> Self {
        let bound = |most| PerMinute { most, left: most, until: Boot::from_nanos(0) };
        Self { records: bound(Self::RECORDS), lines: bound(Self::LINES), totals: BTreeMap::new(), since: None }
    }
}

impl PerMinute {
    fn may(&mut self, now: Boot) -> bool {
        if now >= self.until {
            (self.left, self.until) = (self.most, now.after(MINUTE));
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

fn put(text: &mut String, name: &str, value: &Value) {
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte));
    let name = if is_word { name } else { "?" };
    // A `String` takes everything.
    let _ = match value {
        Value::Null => Ok(()),
        Value::Bool(_) | Value::Number(_) => write!(text, " {name}={value}"),
        Value::String(value) => write!(text, " {name}={}", quoted(value)),
        Value::Array(values) => {
            let values: Vec<_> = values.iter().map(|value| value.as_str().unwrap_or_default()).collect();
            write!(text, " {name}={}", quoted(&values.join(",")))
        }
        Value::Object(values) => {
            values.iter().for_each(|(of, value)| put(text, &format!("{name}.{of}"), value));
            Ok(())
        }
    };
}

/// The text, in quotes where it must be: printable ASCII, whatever it is.
#[must_use]
pub fn quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/@+-,".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    // Only ASCII: no terminal and no filter reads anything into it.
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            ' '..='~' => quoted.push(letter),
            _ => letter.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(quoted, "\\u{unit:04x}");
            }),
        }
    }
    quoted.push('"');
    quoted
}

/// What every record has, or what the name stands for already.
const APART: [&str; 10] = ["v", "seq", "time", "boot", "run", "event", "prev", "hash", "user_id", "action_id"];

const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::event::samples;
    use crate::audit::event::{Admin, Disk};
    use crate::gate::Verdict;
    use siglatch_common::address::Address;

    #[test]
    fn the_lines_of_decisions_are_these() {
        let v6 = Address::v6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
        let junk = Event::knock(&Verdict::Refuse(Refusal::Unauthentic, None), v6, "", "");
        for (event, text) in [
            (
                samples::admitted(1),
                "knock decision=admitted source=192.0.2.7 user=alice action=ssh knock=0000000700000001",
            ),
            (
                samples::refused(2, Refusal::Replay),
                "knock decision=refused reason=replay source=192.0.2.7 user=alice action=ssh knock=0000000700000002",
            ),
            (junk, "knock decision=refused reason=unauthentic source=2001:db8::7"),
        ] {
            assert_eq!(line(&event), text);
        }
    }

    #[test]
    fn every_event_is_one_line_of_printable_ascii() {
        for event in samples::every() {
            let line = line(&event);
            assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line}");
            assert!(line.starts_with(event.name()), "{line}");
        }
    }

    #[test]
    fn no_value_can_look_like_another_field() {
        let request =
            "x\" decision=refused\nknock decision=refused reason=replay source=192.0.2.1 é\u{1f511}".to_owned();
        let event = Event::Admin(Admin { request, peer_uid: 0, peer_pid: None, result: "done", error: None });
        assert_eq!(
            line(&event),
            "admin result=done request=\"x\\\" decision=refused\\u000aknock decision=refused reason=replay \
             source=192.0.2.1 \\u00e9\\ud83d\\udd11\" peer_uid=0"
        );
        let empty = Event::Disk(Disk { state: "failing", what: "audit", error: Some(String::new()) });
        assert_eq!(line(&empty), "disk state=failing what=audit error=\"\"");
    }

    #[test]
    fn strangers_cause_so_many_lines_a_minute_and_totals() {
        let mut strangers = Strangers::default();
        let at = |seconds| Boot::from_nanos(0).after(Duration::from_secs(seconds));
        let mut told = (0, 0);
        let mut count = |strangers: &mut Strangers, refusal, times: u64, now| {
            told = (0, 0);
            for _ in 0..times {
                let of = strangers.refuse(refusal, now);
                told = (told.0 + u32::from(of.record), told.1 + u32::from(of.line));
            }
            told
        };
        assert_eq!(strangers.due(), None);
        assert_eq!(count(&mut strangers, Refusal::Unauthentic, 50, at(5)), (0, 50));
        assert_eq!(count(&mut strangers, Refusal::Replay, 25, at(6)), (20, 10));
        assert_eq!(count(&mut strangers, Refusal::Stale, 7, at(64)), (0, 0));
        assert_eq!(strangers.due(), Some(at(65)));
        let totals = strangers.take(at(65)).unwrap();
        assert_eq!(totals.refused, [("replay", 5), ("stale", 7), ("unauthentic", 50)].into());
        assert_eq!((totals.seconds, strangers.take(at(66)), strangers.due()), (60, None, None));
        assert_eq!(count(&mut strangers, Refusal::Replay, 3, at(67)), (3, 3));
    }
}
