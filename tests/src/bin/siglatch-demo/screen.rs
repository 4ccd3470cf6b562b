//! What the audience sees: one line for each check, with what was seen and how long it took. Never checks anything.

use std::env;
use std::io::{IsTerminal as _, Write as _, stdout};
use std::time::{Duration, Instant};

use anyhow::Result;

/// Prints a line. Nobody may read on (`| head`): what was begun is finished all the same.
macro_rules! say {
    ($($what:tt)*) => {{
        let _ = writeln!(stdout(), $($what)*);
    }};
}

/// The terminal, or the file, and what went wrong so far.
pub(crate) struct Screen {
    colours: bool,
    in_place: bool,
    lines: usize,
    wrong: Vec<String>,
    started: Instant,
}

/// What a check has seen.
pub(crate) struct Seen<T> {
    text: String,
    took: Option<Duration>,
    value: T,
}

impl Seen<()> {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), took: None, value: () }
    }
}

impl<T> Seen<T> {
    /// Shows this time, not that of the whole check.
    pub(crate) fn within(self, took: Duration) -> Self {
        Self { took: Some(took), ..self }
    }

    /// Hands something on to later checks.
    pub(crate) fn giving<U>(self, value: U) -> Seen<U> {
        Seen { text: self.text, took: self.took, value }
    }
}

impl Screen {
    pub(crate) fn new() -> Self {
        let in_place = stdout().is_terminal();
        let colours = in_place && env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
        Self { colours, in_place, lines: 0, wrong: Vec::new(), started: Instant::now() }
    }

    /// The first words.
    pub(crate) fn title(&self, text: &str, remark: &str) {
        say!("{}  {}", self.paint(BOLD, text), self.paint(FAINT, remark));
    }

    /// Begins a group of lines.
    pub(crate) fn heading(&self, text: &str) {
        say!("\n{}", self.paint(BOLD, text));
    }

    /// Shows what is claimed, checks it, and shows what came of it; nothing comes back if it was not so.
    pub(crate) fn line<T>(&mut self, claim: &str, check: impl FnOnce() -> Result<Seen<T>>) -> Option<T> {
        self.lines += 1;
        if self.in_place {
            let _ = write!(stdout(), "  {} {claim}", self.paint(FAINT, "·"));
            let _ = stdout().flush();
        }
        let begin = Instant::now();
        let checked = check();
        let took = begin.elapsed();
        if self.in_place {
            let _ = write!(stdout(), "\r\x1b[K");
        }
        match checked {
            Ok(Seen { text, took: told, value }) => {
                let took = self.paint(FAINT, &format!("{:>8}", duration(told.unwrap_or(took))));
                say!("  {} {claim:CLAIM$}  {text:SEEN$} {took}", self.paint(GREEN, "✓"));
                Some(value)
            }
            Err(error) => {
                let error = format!("{error:#}");
                let error = self.paint(RED, error.lines().next().unwrap_or_default());
                say!("  {} {claim:CLAIM$}  {error}", self.paint(RED, "✗"));
                self.wrong.push(claim.to_owned());
                None
            }
        }
    }

    /// Adds a word to the line above.
    pub(crate) fn remark(&self, text: &str) {
        say!("    {}", self.paint(FAINT, text));
    }

    /// Shows a command and what it prints, as they are.
    pub(crate) fn transcript(&self, command: &str, output: &str) {
        say!("\n{} {}\n{}", self.paint(FAINT, "$"), self.paint(BOLD, command), output.trim_end());
    }

    /// Whether every line was so, up to here.
    pub(crate) fn all_so(&self) -> bool {
        self.wrong.is_empty()
    }

    /// The last words; true if every line was so.
    pub(crate) fn verdict(&self) -> bool {
        let time = duration(self.started.elapsed());
        let Self { lines, wrong, .. } = self;
        if wrong.is_empty() {
            say!("\n{} All {lines} lines were so, in {time}.", self.paint(GREEN, "✓"));
        } else {
            say!("\n{} {} of {lines} lines were not so, in {time}:", self.paint(RED, "✗"), wrong.len());
            wrong.iter().for_each(|claim| say!("    {claim}"));
        }
        wrong.is_empty()
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// As people say it: `3.2 ms`, `250 ms`, `2.1 s`.
fn duration(span: Duration) -> String {
    let millis = span.as_secs_f64() * 1e3;
    match millis {
        ..9.95 => format!("{millis:.1} ms"),
        ..999.5 => format!("{millis:.0} ms"),
        _ => format!("{:.1} s", millis / 1e3),
    }
}

/// With all columns a line is 100 characters long.
const CLAIM: usize = 53;
const SEEN: usize = 32;
const BOLD: &str = "1";
const FAINT: &str = "2";
const GREEN: &str = "32";
const RED: &str = "1;31";
