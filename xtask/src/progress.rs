//! How xtask talks: numbered steps, colour on a terminal only, and long commands that show they are alive.
//!
//! It never decides what is run.

use std::env;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Read, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// How long a command may be silent, where its latest line cannot be shown in place.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// Steps of one piece of work, numbered as they come.
#[derive(Debug)]
pub(crate) struct Steps {
    at: usize,
    total: usize,
    started: Instant,
}

impl Steps {
    /// Work of `total` steps, beginning now.
    pub(crate) fn of(total: usize) -> Self {
        Self { at: 0, total, started: Instant::now() }
    }

    /// Begins the next step and says what was found or is being done.
    pub(crate) fn next(&mut self, title: &str, text: &str) {
        self.at += 1;
        println!("{} {}: {text}", faint(&format!("[{}/{}]", self.at, self.total)), strong(title));
    }

    /// How long it has taken so far.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A line that belongs to the step above it.
pub(crate) fn detail(text: &str) {
    println!("      {text}");
}

/// Runs a long command: its latest line shows in place on a terminal, every ten seconds elsewhere.
///
/// # Errors
/// If it cannot be started or fails; everything it said is printed then.
pub(crate) fn watch(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {name}"))?;
    let (sender, lines) = channel();
    forward(child.stdout.take().expect("stdout is piped"), sender.clone());
    forward(child.stderr.take().expect("stderr is piped"), sender);

    let mut display = Display::new();
    let mut said = Vec::new();
    loop {
        match lines.recv_timeout(Duration::from_secs(1)) {
            Ok(line) => said.push(line),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        display.show(said.last().map_or("", String::as_str));
    }
    display.clear();
    let status = child.wait().with_context(|| format!("lost {name}"))?;
    if !status.success() {
        for line in &said {
            eprintln!("      {line}");
        }
        let last_words = said.iter().rev().find(|line| !line.trim().is_empty()).map_or("no output", String::as_str);
        bail!("{name}: {status}: {}", last_words.trim());
    }
    Ok(())
}

/// A duration as people say it.
pub(crate) fn took(duration: Duration) -> String {
    match duration.as_secs() {
        0..60 => format!("{:.1} s", duration.as_secs_f64()),
        seconds => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

/// Something that holds.
pub(crate) fn good(text: &str) -> String {
    paint("32", text)
}

/// Something that does not.
pub(crate) fn bad(text: &str) -> String {
    paint("1;31", text)
}

/// A heading.
pub(crate) fn strong(text: &str) -> String {
    paint("1", text)
}

/// Something to read last.
pub(crate) fn faint(text: &str) -> String {
    paint("2", text)
}

fn paint(code: &str, text: &str) -> String {
    if in_colour() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

fn in_colour() -> bool {
    let unset = |name| env::var_os(name).is_none_or(|value| value.is_empty());
    is_terminal() && unset("NO_COLOR")
}

fn is_terminal() -> bool {
    std::io::stdout().is_terminal() && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

fn forward(stream: impl Read + Send + 'static, lines: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                break;
            }
        }
    });
}

/// The one line that stands for what is running.
#[derive(Debug)]
pub(crate) struct Display {
    in_place: bool,
    started: Instant,
    shown: Duration,
}

impl Display {
    /// Nothing is shown yet, and time begins.
    pub(crate) fn new() -> Self {
        Self { in_place: is_terminal(), started: Instant::now(), shown: Duration::ZERO }
    }

    /// Shows a line in the place of the one before.
    pub(crate) fn show(&mut self, line: &str) {
        let elapsed = self.started.elapsed();
        let line = line.trim();
        if self.in_place {
            let short: String = line.chars().take(66).collect();
            print!("\r\x1b[K      {}", faint(&format!("{:>3} s  {short}", elapsed.as_secs())));
            drop(std::io::stdout().flush());
        } else if elapsed - self.shown >= SIGN_OF_LIFE {
            self.shown = elapsed;
            println!("      {:>3} s  {line}", elapsed.as_secs());
        }
    }

    /// Takes it away, for what stays; that is a sign of life, too.
    pub(crate) fn clear(&mut self) {
        self.shown = self.started.elapsed();
        if self.in_place {
            print!("\r\x1b[K");
            drop(std::io::stdout().flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_is_told_by_its_last_words() {
        let error = watch(Command::new("sh").args(["-c", "echo one; echo two >&2; echo; exit 4"])).unwrap_err();
        assert!(error.to_string().starts_with("sh: exit status: 4"), "{error}");
    }

    #[test]
    fn a_long_time_is_told_in_minutes() {
        assert_eq!(took(Duration::from_millis(240)), "0.2 s");
        assert_eq!(took(Duration::from_secs(125)), "2 min 05 s");
    }
}
