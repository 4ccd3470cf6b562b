//! How numbers and tables look to an operator. Never decides what is shown.

use std::io::{self, Write as _};

use serde::Serialize;
use siglatch_common::units::Wall;

use super::load::Failure;

/// Rows under titles, each column as wide as it must be.
pub(super) struct Table<const COLUMNS: usize> {
    columns: [(&'static str, Side); COLUMNS],
    rows: Vec<[String; COLUMNS]>,
}

/// Where a column's texts stand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Side {
    /// Texts.
    Left,
    /// Numbers.
    Right,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    pub(super) const fn new(columns: [(&'static str, Side); COLUMNS]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    pub(super) fn push(&mut self, row: [String; COLUMNS]) {
        self.rows.push(row);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines, titles first, without white space at their ends.
    pub(super) fn lines(&self) -> Vec<String> {
        let titles = self.columns.map(|(title, _)| title.to_owned());
        let all = || std::iter::once(&titles).chain(&self.rows);
        let mut widths = [0; COLUMNS];
        for row in all() {
            widths.iter_mut().zip(row).for_each(|(width, text)| *width = (*width).max(text.chars().count()));
        }
        let line = |row: &[String; COLUMNS]| {
            let cells = row.iter().zip(widths).zip(self.columns).map(|((text, width), (_, side))| match side {
                Side::Left => format!("{text:width$}"),
                Side::Right => format!("{text:>width$}"),
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        all().map(line).collect()
    }

    /// The lines as one text.
    pub(super) fn text(&self) -> String {
        self.lines().into_iter().flat_map(|line| [line, "\n".to_owned()]).collect()
    }
}

/// Prints one JSON object, for programs.
pub(super) fn json(object: &impl Serialize) -> Result<(), Failure> {
    print(&format!("{}\n", serde_json::to_string(object)?))
}

/// Says on standard error that there is more than was shown.
pub(super) fn tell_more(more: bool, shown: usize, total: usize) {
    if more {
        eprintln!("{} of {}", grouped(shown as u64), grouped(total as u64));
    }
}

/// `on`, `off`, or `off for 2h`.
pub(super) fn state(enabled: bool, off_until: Option<u64>, now: Wall) -> String {
    match (enabled, off_until) {
        (true, _) => "on".to_owned(),
        (false, None) => "off".to_owned(),
        (false, Some(until)) => format!("off for {}", span(until.saturating_sub(now.as_secs()))),
    }
}

/// How many uses are left of how many; a question mark if nobody knows.
pub(super) fn uses(uses: Option<u32>, left: Option<u32>) -> String {
    match (uses, left) {
        (None, _) => "-".to_owned(),
        (Some(uses), Some(left)) => format!("{left} of {uses}"),
        (Some(uses), None) => format!("? of {uses}"),
    }
}

/// Prints to standard output; nothing is wrong if nobody reads on (`| head`).
pub(super) fn print(text: &str) -> Result<(), Failure> {
    print_to_reader(text).map(|_| ())
}

/// Prints to standard output; false if nobody reads on.
pub(super) fn print_to_reader(text: &str) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A number with a comma for each thousand: `901,223,111`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number in about three digits: `0`, `0.4`, `12`, `1.9k`, `250k`, `1.9M`.
pub(super) fn short(number: f64) -> String {
    let number = if number.is_finite() { number.max(0.0) } else { 0.0 };
    let (number, unit) = match number {
        ..999.5 => (number, ""),
        ..999.5e3 => (number / 1e3, "k"),
        ..999.5e6 => (number / 1e6, "M"),
        ..999.5e9 => (number / 1e9, "G"),
        _ => (number / 1e12, "T"),
    };
    match number {
        ..0.05 => format!("0{unit}"),
        ..9.95 if number.fract() != 0.0 || !unit.is_empty() => format!("{number:.1}{unit}"),
        _ => format!("{number:.0}{unit}"),
    }
}

/// A size: `512 B`, `5.2 MiB`.
pub(super) fn bytes(bytes: u64) -> String {
    let mut size = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if size < 1023.5 {
            return if unit == "B" || size >= 99.95 {
                format!("{size:.0} {unit}")
            } else {
                format!("{size:.1} {unit}")
            };
        }
        size /= 1024.0;
    }
    format!("{size:.1} TiB")
}

/// A length of time in its two longest units, as the configuration reads it: `9m58s`, `3d4h`.
pub(super) fn span(seconds: u64) -> String {
    let parts = [(seconds / 86_400, 'd'), (seconds / 3600 % 24, 'h'), (seconds / 60 % 60, 'm'), (seconds % 60, 's')];
    let first = parts.iter().position(|(number, _)| *number > 0).unwrap_or(3);
    let shown = parts.iter().skip(first).take(2).enumerate().filter(|(place, (number, _))| *place == 0 || *number > 0);
    shown.map(|(_, (number, unit))| format!("{number}{unit}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let mut table = Table::new([("NAME", Side::Left), ("HITS", Side::Right), ("NOTE", Side::Left)]);
        assert!(table.is_empty());
        table.push(["alice".to_owned(), "7".to_owned(), String::new()]);
        table.push(["é".to_owned(), "123456".to_owned(), "a b".to_owned()]);
        assert_eq!(table.text(), "NAME     HITS  NOTE\nalice       7\né      123456  a b\n");
    }

    #[test]
    fn numbers_are_short() {
        for (number, text) in [
            (0.0, "0"),
            (0.04, "0"),
            (0.4, "0.4"),
            (1.0, "1"),
            (9.94, "9.9"),
            (9.96, "10"),
            (999.4, "999"),
            (999.6, "1.0k"),
            (1900.0, "1.9k"),
            (12_345.0, "12k"),
            (250_000.0, "250k"),
            (999_600.0, "1.0M"),
            (1.9e6, "1.9M"),
            (3e9, "3.0G"),
            (5e13, "50T"),
            (-1.0, "0"),
            (f64::NAN, "0"),
        ] {
            assert_eq!(short(number), text, "{number}");
        }
    }

    #[test]
    fn long_numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (901_223_111, "901,223,111")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(grouped(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn sizes_have_their_unit() {
        for (size, text) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (524_288, "512 KiB"), (5_452_595, "5.2 MiB")]
        {
            assert_eq!(bytes(size), text);
        }
        assert_eq!(bytes(u64::MAX), "16777216.0 TiB");
    }

    #[test]
    fn times_are_shown_as_the_configuration_reads_them() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (598, "9m58s"),
            (3600, "1h"),
            (3601, "1h"),
            (86_399, "23h59m"),
            (273_600, "3d4h"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }
}
