//! How records look in a terminal: one row each, in columns. Never holds more than some hundred.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use serde_json::Value;

use crate::audit::Record;
use crate::audit::line::{line_of, quoted};
use crate::ctl::show;

/// Rows, and how wide their columns are: as wide as those seen so far.
pub(in crate::ctl) struct Rows {
    rows: Vec<Row>,
    widths: [usize; COLUMNS],
    has_titles: bool,
    is_coloured: bool,
}

struct Row {
    cells: [String; COLUMNS],
    what: String,
    mood: Mood,
}

/// What a row means to whoever looks for trouble.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mood {
    Plain,
    Good,
    Bad,
}

impl Rows {
    pub(in crate::ctl) fn new() -> Self {
        let is_coloured =
            std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
        Self { rows: Vec::new(), widths: TITLES.map(str::len), has_titles: false, is_coloured }
    }

    /// Adds a record; gives text once there is a page of it.
    pub(in crate::ctl) fn push(&mut self, record: &Record) -> Option<String> {
        let row = Row::new(record);
        self.widths.iter_mut().zip(&row.cells).for_each(|(width, cell)| *width = (*width).max(cell.len()));
        self.rows.push(row);
        (self.rows.len() >= PAGE).then(|| self.take())
    }

    /// The text of what was added since.
    pub(in crate::ctl) fn take(&mut self) -> String {
        let mut text = String::new();
        if !self.has_titles && !self.rows.is_empty() {
            self.has_titles = true;
            text += &self.line(TITLES, "WHAT");
        }
        for Row { cells, what, mood } in &self.rows {
            let cells = cells.each_ref().map(String::as_str);
            match mood.code().filter(|_| self.is_coloured) {
                Some(code) => text += &self.line(cells, &format!("\x1b[{code}m{what}\x1b[0m")),
                None => text += &self.line(cells, what),
            }
        }
        self.rows.clear();
        text
    }

    fn line(&self, cells: [&str; COLUMNS], what: &str) -> String {
        let mut line = String::new();
        for (cell, width) in cells.into_iter().zip(self.widths) {
            // A `String` takes everything.
            let _ = write!(line, "{cell:width$}  ");
        }
        line += what;
        format!("{}\n", line.trim_end())
    }
}

impl Row {
    fn new(record: &Record) -> Self {
        let cell = |name: &str| record.text(name).map_or_else(|| "-".to_owned(), quoted);
        let time = record.text("time").and_then(|time| Some(format!("{} {}", time.get(..10)?, time.get(11..19)?)));
        let cells = [
            time.map_or_else(|| "?".to_owned(), |time| time.replace('"', "")),
            cell("event"),
            cell("user"),
            cell("action"),
            cell("source"),
            cell("knock"),
        ];
        Self { cells, what: what(record), mood: Mood::of(record) }
    }
}

impl Mood {
    fn of(record: &Record) -> Self {
        let is = |name: &str, words: &[&str]| record.text(name).is_some_and(|word| words.contains(&word));
        let is_bad_event = is("event", &["grant_failed", "undo_lost", "lost", "exec_dropped", "ban"]);
        let is_bad = is("decision", &["refused"])
            || is("state", &["failing", "gone", "restarted"])
            || is("result", &["failed", "killed", "bounded", "not_started", "lost"])
            || record.number("code").is_some_and(|code| code != 0);
        match () {
            () if is_bad || is_bad_event => Self::Bad,
            () if is("decision", &["admitted"]) => Self::Good,
            () => Self::Plain,
        }
    }

    /// ECMA-48, "select graphic rendition".
    const fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("32"),
            Self::Bad => Some("31"),
        }
    }
}

/// What happened, in a few words.
fn what(record: &Record) -> String {
    let text = |name: &str| record.text(name).map(quoted);
    let of = |name: &str| text(name).unwrap_or_default();
    let services = || {
        let services = record.field("services").and_then(Value::as_array);
        let services = services.into_iter().flatten().filter_map(Value::as_str).map(quoted);
        services.collect::<Vec<_>>().join(" ")
    };
    let seconds =
        || record.number("seconds").map_or_else(|| "for good".to_owned(), |s| format!("for {}", show::span(s)));
    match record.text("event").unwrap_or_default() {
        "knock" => {
            let reason = text("reason").map(|reason| format!(": {reason}")).unwrap_or_default();
            let step = record.number("step").zip(record.number("steps"));
            let step = step.map(|(step, steps)| format!(": step {step} of {steps}")).unwrap_or_default();
            let dry = if record.field("dry_run") == Some(&Value::Bool(true)) { " (dry run)" } else { "" };
            format!("{}{reason}{step}{dry}", of("decision"))
        }
        "grant" => format!("{} {}", services(), seconds()),
        "grant_failed" => format!("{}: {}", services(), of("error")),
        "revoke" if services().is_empty() => format!("nothing to end, by {}", of("by")),
        "revoke" => format!("{} ended by {}", services(), of("by")),
        "exec_ended" => {
            let how = [
                record.number("code").map(|code| code.to_string()),
                record.field("signal").map(|signal| format!("by signal {signal}")),
                text("reason"),
            ];
            let how: Vec<_> = [Some(of("result"))].into_iter().chain(how).flatten().collect();
            let took = record.number("ms").map(|ms| format!(" after {ms} ms")).unwrap_or_default();
            let output = text("output").map(|output| format!(": {output}")).unwrap_or_default();
            format!("{} {}{took}{output}", of("program"), how.join(" "))
        }
        "ban" => {
            let reason = text("reason").map(|reason| format!(" ({reason})")).unwrap_or_default();
            format!("{} by {}{reason}", seconds(), of("by"))
        }
        "unban" => format!("by {}", of("by")),
        _ => rest(record),
    }
}

/// What no column says already.
fn rest(record: &Record) -> String {
    let shown = ["user", "action", "source", "knock"];
    let rest = Record::of(record.fields().filter(|(name, _)| !shown.contains(name)));
    line_of("", &rest).trim_start().to_owned()
}

const COLUMNS: usize = 6;
const TITLES: [&str; COLUMNS] = ["TIME (UTC)", "EVENT", "USER", "ACTION", "SOURCE", "KNOCK"];

/// Rows that are looked at before the first is shown.
const PAGE: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(lines: &[&str]) -> String {
        let mut rows = Rows::new();
        rows.is_coloured = false;
        for line in lines {
            assert_eq!(rows.push(&Record::parse(line.as_bytes()).unwrap()), None);
        }
        rows.take()
    }

    #[test]
    fn records_stand_in_columns() {
        let text = rows(&[
            r#"{"v":1,"time":"2026-11-20T12:00:00.000001Z","event":"knock","knock":"c0ffee0000000007","user":"alice","user_id":1,"action":"ssh","source":"192.0.2.7","decision":"refused","reason":"replay"}"#,
            r#"{"v":1,"time":"2026-11-20T12:00:01.000001Z","event":"grant","knock":"c0ffee0000000008","user":"alice","action":"ssh","source":"2001:db8::7","services":["tcp/22","tcp/80@10.0.0.5"],"seconds":600}"#,
            r#"{"v":1,"time":"2026-11-20T12:00:02.000001Z","event":"reload","by":"signal","result":"done","users":3}"#,
        ]);
        assert_eq!(
            text,
            "TIME (UTC)           EVENT   USER   ACTION  SOURCE       KNOCK             WHAT\n\
             2026-11-20 12:00:00  knock   alice  ssh     192.0.2.7    c0ffee0000000007  refused: replay\n\
             2026-11-20 12:00:01  grant   alice  ssh     2001:db8::7  c0ffee0000000008  tcp/22 tcp/80@10.0.0.5 for 10m\n\
             2026-11-20 12:00:02  reload  -      -       -            -                 result=done by=signal users=3\n"
        );
    }

    #[test]
    fn nothing_reaches_the_terminal_that_could_steer_it() {
        let text = rows(&[
            r#"{"time":"2026-\u001b[2J\u009b2J1-20T12:00:00","event":"exec_ended","user":"\u001b[2J","program":"a","output":"\u009b31mé"}"#,
            r#"{"event":"\n","x\u001b":"y"}"#,
        ]);
        assert!(text.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{text:?}");
    }
}
