//! What the screen says, for each size of terminal. Never draws it.

use std::time::Duration;

use super::canvas::{Ink, Line, Shades};
use super::history::History;
use crate::admin::{Count, LaneStatus, RefusedSource, Status};
use crate::ctl::show::{grouped, short};
use crate::ctl::status::{budget, headline, standing};
use crate::edge::terminal::Size;

/// What is to be seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) status: &'a Status,
    pub(super) history: &'a History,
    /// Why the daemon does not answer, if it does not.
    pub(super) trouble: Option<&'a str>,
    pub(super) interval: Duration,
    pub(super) shades: Shades,
}

/// The lines of the screen: as many as there are, none longer than it is wide.
pub(super) fn screen(frame: &Frame<'_>, size: Size) -> Vec<Line> {
    let Frame { status, trouble, interval, .. } = *frame;
    let mut lines = vec![
        Line::new(Ink::Strong, headline(status)),
        Line::new(Ink::Plain, standing(status)),
        knocks(status),
        Line::default(),
    ];
    let lanes = lanes(frame, size.columns);
    let refused = &status.refused_sources;
    // Half of what is left is for the frames, unless those who are refused need less.
    let fixed = lines.len() + 1 + 1 + lanes.len() + 1;
    let room = size.rows.saturating_sub(fixed);
    let rows = rows(status);
    let for_refused = if refused.is_empty() { 0 } else { (refused.len() + 2).min(room / 2) };
    lines.extend(frames(frame, &rows, room - for_refused, size.columns));
    lines.push(Line::default());
    lines.extend(lanes);
    let left = size.rows.saturating_sub(lines.len() + 1);
    lines.extend(sources(refused, left));
    lines.truncate(size.rows.saturating_sub(1));
    lines.resize(size.rows.saturating_sub(1), Line::default());
    lines.push(match trouble {
        Some(trouble) => Line::new(Ink::Bad, trouble),
        None => Line::new(Ink::Faint, format!("every {} s; q to quit", interval.as_secs())),
    });
    lines.truncate(size.rows);
    lines.into_iter().map(|line| line.cut(size.columns)).collect()
}

/// The same in one line, for those who have no screen.
pub(super) fn line(status: &Status) -> String {
    let mut parts = vec![format!("up {} s", status.uptime)];
    parts.extend(rows(status).iter().map(|row| format!("{} {}/s", row.name, short(row.count.per_second))));
    parts.push(format!("admitted {}/s", short(status.knocks.admitted.per_second)));
    parts.push(format!("bans {}", status.bans));
    parts.join("  ")
}

/// A line of the table of frames.
struct Row<'a> {
    name: &'a str,
    count: Count,
    ink: Ink,
    /// Whether the table of lanes has its rate, too.
    of_lane: bool,
}

/// What there were any of: all that pass as one, then each outcome.
fn rows(status: &Status) -> Vec<Row<'_>> {
    let passed = Row { name: History::PASSED, count: status.passed(), ink: Ink::Plain, of_lane: false };
    let others = status.frames.iter().filter(|frames| !frames.passed && frames.count.total > 0).map(|frames| {
        let (ink, of_lane) = match frames.outcome.as_str() {
            name if name.starts_with("submitted") => (Ink::Good, true),
            name if name.starts_with("ring_full") => (Ink::Bad, true),
            name if name.starts_with("over_budget") => (Ink::Busy, true),
            _ => (Ink::Busy, false),
        };
        Row { name: &frames.outcome, count: frames.count, ink, of_lane }
    });
    std::iter::once(passed).chain(others).collect()
}

/// The table of frames, in so many lines. If there is no room for all, what the table of lanes says as well goes first,
/// then what there is least of now.
fn frames(frame: &Frame<'_>, rows: &[Row<'_>], room: usize, columns: usize) -> Vec<Line> {
    let Some(room) = room.checked_sub(1) else { return Vec::new() };
    let mut shown: Vec<(usize, &Row<'_>)> = rows.iter().enumerate().collect();
    shown.sort_by(|(_, a), (_, b)| {
        let rate = b.count.per_second.total_cmp(&a.count.per_second);
        a.of_lane.cmp(&b.of_lane).then(rate).then(b.count.total.cmp(&a.count.total))
    });
    shown.truncate(room);
    shown.sort_by_key(|(at, _)| *at);
    let curve = columns.saturating_sub(NAME + RATE + TOTAL + 2);
    let seconds = frame.interval.as_secs() * curve as u64;
    let title = format!("{:NAME$}{:>RATE$}{:>TOTAL$}  LAST {seconds} S", "FRAMES", "A SECOND", "TOTAL");
    let mut lines = vec![Line::new(Ink::Strong, title)];
    for (_, row) in shown {
        let quiet = row.count.per_second <= 0.0;
        let ink = if quiet { Ink::Faint } else { row.ink };
        let numbers = format!("{:>RATE$}{:>TOTAL$}  ", short(row.count.per_second), grouped(row.count.total));
        let curve = frame.shades.curve(frame.history.of(row.name), curve);
        lines.push(Line::new(ink, format!("{:NAME$}{numbers}", row.name)).then(row.ink, curve));
    }
    lines
}

fn lanes(frame: &Frame<'_>, columns: usize) -> Vec<Line> {
    let title = format!(
        "{:LANE$}{:>IN$}{:>IN$}{:>IN$}{:>IN$}  {:WAITING$}{:>OPERATIONS$}",
        "LANE", "IN/S", "BUDGET", "OVER/S", "FULL/S", "WAITING", "KEY OPS/S"
    );
    // A short curve says nothing.
    let curve = columns.checked_sub(title.chars().count() + 2).filter(|curve| *curve >= 10).unwrap_or(0).min(60);
    let title = if curve > 0 { format!("{title}  LAST {} S", frame.interval.as_secs() * curve as u64) } else { title };
    let mut lines = vec![Line::new(Ink::Strong, title)];
    lines.extend(frame.status.lanes.iter().map(|lane| self::lane(frame, lane, curve)));
    lines
}

fn lane(frame: &Frame<'_>, lane: &LaneStatus, curve: usize) -> Line {
    let fill = if lane.room == 0 { 0.0 } else { lane.waiting as f64 / lane.room as f64 };
    let (over, full) = (lane.over_budget.per_second, lane.ring_full.per_second);
    let if_any = |rate: f64, ink| if rate > 0.0 { ink } else { Ink::Plain };
    let bar = frame.shades.bar(fill, BAR);
    let name = History::lane(&lane.lane);
    Line::new(Ink::Plain, format!("{:LANE$}{:>IN$}{:>IN$}", lane.lane, short(lane.submitted.per_second), budget(lane)))
        .then(if_any(over, Ink::Busy), format!("{:>IN$}", short(over)))
        .then(if_any(full, Ink::Bad), format!("{:>IN$}", short(full)))
        .then(if fill >= 0.8 { Ink::Bad } else { Ink::Plain }, format!("  {bar}{:>WAITS$}", lane.waiting))
        .then(Ink::Plain, format!("{:>OPERATIONS$}", short(lane.operations.per_second)))
        .then(Ink::Good, format!("  {}", frame.shades.curve(frame.history.of(&name), curve)))
}

fn knocks(status: &Status) -> Line {
    let admitted = status.knocks.admitted;
    let line = Line::new(Ink::Plain, "knocks: ")
        .then(Ink::Good, format!("{}/s admitted", short(admitted.per_second)))
        .then(Ink::Plain, format!(" ({} so far)", grouped(admitted.total)));
    let mut refused: Vec<_> = status.knocks.refused.iter().filter(|refused| refused.count.per_second > 0.0).collect();
    refused.sort_by(|a, b| b.count.per_second.total_cmp(&a.count.per_second));
    refused.into_iter().take(3).fold(line, |line, refused| {
        line.then(Ink::Busy, format!(", {}/s {}", short(refused.count.per_second), refused.reason))
    })
}

/// Who is refused most, in so many lines.
fn sources(sources: &[RefusedSource], room: usize) -> Vec<Line> {
    let Some(room) = room.checked_sub(2).filter(|room| *room > 0 && !sources.is_empty()) else { return Vec::new() };
    let title = format!("{:ADDRESS$} {:NAME$}{:>RATE$}{:>RATE$}", "REFUSED MOST", "AS", "A SECOND", "ABOUT");
    let mut lines = vec![Line::default(), Line::new(Ink::Strong, title)];
    lines.extend(sources.iter().take(room).map(|source| {
        let ink = if source.frames.per_second > 0.0 { Ink::Plain } else { Ink::Faint };
        let (rate, total) = (short(source.frames.per_second), short(source.frames.total as f64));
        Line::new(ink, format!("{:ADDRESS$} {:NAME$}{rate:>RATE$}{total:>RATE$}", source.address, source.reason))
    }));
    lines
}

/// The longest label of an outcome, and a space.
const NAME: usize = 20;
const RATE: usize = 9;
const TOTAL: usize = 16;
const LANE: usize = 8;
const IN: usize = 8;
const BAR: usize = 12;
const WAITS: usize = 6;
const WAITING: usize = BAR + WAITS;
const OPERATIONS: usize = 11;
/// The longest IPv6 address.
const ADDRESS: usize = 39;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::status::tests::flooded;

    fn texts(columns: usize, rows: usize, trouble: Option<&str>) -> Vec<String> {
        let (status, mut history) = (flooded(), History::default());
        for factor in 0..30 {
            let mut earlier = status.clone();
            earlier.frames.iter_mut().for_each(|frames| frames.count.per_second *= f64::from(factor) / 29.0);
            history.note(&earlier);
        }
        let shades = Shades { colours: false, blocks: true };
        let frame = Frame { status: &status, history: &history, trouble, interval: Duration::from_secs(1), shades };
        screen(&frame, Size { columns, rows }).iter().map(|line| line.text().trim_end().to_owned()).collect()
    }

    #[test]
    fn everything_has_its_place_on_a_small_terminal() {
        let expected = "\
siglatch 0.1.0, up 3d4h; XDP on eth0 native (program 117); ports 62201 stamped,
3 bans, 1 known source, 0 grants; 12.3 MiB for lists
knocks: 10/s admitted (8,400 so far), 390/s unauthentic

FRAMES               A SECOND           TOTAL  LAST 33 S
passed on                 312       1,204,551      ▁▁▁▂▂▂▂▃▃▃▄▄▄▄▅▅▅▅▆▆▆▇▇▇▇████
wrong_length             1.9M     901,223,111      ▁▁▁▂▂▂▂▃▃▃▄▄▄▄▅▅▅▅▆▆▆▇▇▇▇████
over_rate                 212          90,312      ▁▁▁▂▂▂▂▃▃▃▄▄▄▄▅▅▅▅▆▆▆▇▇▇▇████
over_budget_unknown      250k      88,000,000      ▁▁▁▂▂▂▂▃▃▃▄▄▄▄▅▅▅▅▆▆▆▇▇▇▇████
submitted_stamped          10           9,000      ▁▁▁▂▂▂▂▃▃▃▄▄▄▄▅▅▅▅▆▆▆▇▇▇▇████
submitted_unknown         400           9,000      ▁▁▁▂▂▂▂▃▃▃▄▄▄▄▅▅▅▅▆▆▆▇▇▇▇████

LANE        IN/S  BUDGET  OVER/S  FULL/S  WAITING             KEY OPS/S
stamped       10    2000       0       0  ░░░░░░░░░░░░     0         10
known        0.5    none       0       0  █░░░░░░░░░░░     1        0.5
unknown      400     400    250k       0  ███████████░   760        400

REFUSED MOST                            AS                   A SECOND    ABOUT
2001:db8:85a3:1234:5678:8a2e:370:7334   wrong_length             1.9M     901M
203.0.113.9                             over_rate                 192      90k
";
        let text = texts(80, 24, None).join("\n");
        assert_eq!(text, format!("{expected}{}every 1 s; q to quit", "\n".repeat(3)));
    }

    #[test]
    fn no_terminal_is_too_small_or_too_large() {
        for columns in [0, 1, 2, 39, 79, 80, 120, 400] {
            for rows in [0, 1, 2, 5, 12, 13, 24, 40, 200] {
                for trouble in [None, Some("no daemon answers")] {
                    let texts = texts(columns, rows, trouble);
                    assert_eq!(texts.len(), rows);
                    assert!(texts.iter().all(|text| text.chars().count() <= columns), "{columns} {rows}");
                }
            }
        }
    }

    #[test]
    fn without_room_for_all_there_is_room_for_what_the_lanes_do_not_say() {
        let text = texts(80, 18, None).join("\n");
        assert!(text.contains("passed on") && text.contains("wrong_length") && text.contains("over_rate"), "{text}");
        assert!(!text.contains("over_budget_unknown") && !text.contains("submitted_stamped"), "{text}");
        assert!(text.contains("unknown      400"), "{text}");
    }

    #[test]
    fn a_daemon_that_does_not_answer_is_seen() {
        assert_eq!(texts(80, 24, Some("no daemon answers")).pop().unwrap(), "no daemon answers");
    }

    #[test]
    fn one_line_says_the_most_important() {
        assert_eq!(
            line(&flooded()),
            "up 273600 s  passed on 312/s  wrong_length 1.9M/s  over_rate 212/s  over_budget_unknown 250k/s  \
             submitted_stamped 10/s  submitted_unknown 400/s  admitted 10/s  bans 3"
        );
    }
}
