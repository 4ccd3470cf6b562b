//! Runs test programs side by side: so many at a time, what each prints shown whole when it ends.
//!
//! It never decides which may run beside which, and never tries one twice.

use std::collections::VecDeque;
use std::io::{Read, Write as _, stdout};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};
use std::{env, io};

use anyhow::{Context as _, Result};
use xtask::programs::as_if_typed;

use crate::janitor::Janitor;
use crate::progress::{Display, bad, faint, good, strong, took};
use crate::suites::Suite;
use crate::tally::Tally;

/// How test programs are run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner<'a> {
    /// Programs at a time.
    pub(crate) at_once: usize,
    /// Whether output is shown as it comes. For one program at a time.
    pub(crate) live: bool,
    /// Handed on to each program.
    pub(crate) arguments: &'a [String],
    /// After this it is ended.
    pub(crate) patience: Duration,
}

impl Manner<'_> {
    /// Whether programs are asked about their tests and run none: then they tell no result.
    fn only_asks(&self) -> bool {
        self.arguments.iter().any(|argument| ["--list", "--help"].contains(&argument.as_str()))
    }
}

/// The test programs of one run: what has become of them so far.
#[derive(Debug)]
pub(crate) struct Run {
    total: usize,
    done: usize,
    tally: Tally,
    failed: Vec<Suite>,
    display: Display,
}

/// What happens to one program.
enum Event {
    Began(String),
    Ended(Suite, Box<Ended>),
}

/// How a program has ended.
struct Ended {
    said: Vec<u8>,
    took: Duration,
    /// Why there is no verdict of its own, or how it ended.
    outcome: Result<ExitStatus>,
}

impl Run {
    /// A run of so many programs.
    pub(crate) fn of(total: usize) -> Self {
        Self { total, done: 0, tally: Tally::default(), failed: Vec::new(), display: Display::new() }
    }

    /// Runs some of them, and shows each one as it ends.
    pub(crate) fn run(&mut self, suites: VecDeque<Suite>, manner: &Manner<'_>, janitor: &Janitor) {
        let (events, happened) = channel();
        let queue = Mutex::new(suites);
        thread::scope(|scope| {
            for _ in 0..manner.at_once {
                let (events, queue) = (events.clone(), &queue);
                scope.spawn(move || work(queue, &events, manner, janitor));
            }
            drop(events);
            self.watch(&happened, manner);
        });
    }

    /// The sum of all results, and the programs that failed.
    pub(crate) fn finish(self) -> (Tally, Vec<Suite>) {
        (self.tally, self.failed)
    }

    fn watch(&mut self, happened: &Receiver<Event>, manner: &Manner<'_>) {
        let mut running: Vec<String> = Vec::new();
        loop {
            match happened.recv_timeout(Duration::from_secs(1)) {
                Ok(Event::Began(name)) => running.push(name),
                Ok(Event::Ended(suite, ended)) => {
                    running.retain(|name| *name != suite.name());
                    self.display.clear();
                    self.show(suite, &ended, manner);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if !manner.live {
                let line = format!("{} of {} done; {}", self.done, self.total, running.join(", "));
                self.display.show(&line);
            }
        }
        self.display.clear();
    }

    fn show(&mut self, suite: Suite, ended: &Ended, manner: &Manner<'_>) {
        let text = String::from_utf8_lossy(&ended.said);
        let mut tally = Tally::default();
        text.lines().for_each(|line| tally.count(line));
        let passed = ended.outcome.as_ref().is_ok_and(ExitStatus::success)
            && tally.failed == 0
            && (tally.suites > 0 || manner.only_asks());
        tally.settle(passed);
        self.done += 1;
        self.tally += tally;

        let verdict = if passed { good("ok") } else { bad("FAILED") };
        let place = faint(&format!("[{}/{}]", self.done, self.total));
        println!("\n{place} {} {verdict}, {}", strong(&suite.name()), took(ended.took));
        if !manner.live {
            // As it came: colours and odd bytes, too.
            drop(stdout().write_all(&ended.said));
        }
        match &ended.outcome {
            Err(error) => println!("{} {error:#}", bad("error:")),
            // 101 is how a program ends whose tests have failed.
            Ok(status) if !passed && status.code() != Some(101) => println!("{} {status}", bad("error:")),
            Ok(_) => {}
        }
        if !passed {
            self.failed.push(suite);
        }
    }
}

/// Takes one program after the other until none is left.
fn work(queue: &Mutex<VecDeque<Suite>>, events: &Sender<Event>, manner: &Manner<'_>, janitor: &Janitor) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(suite) = next else { break };
        if manner.live {
            println!("\n{}", strong(&suite.name()));
        }
        drop(events.send(Event::Began(suite.name())));
        let ended = run_one(&suite, manner, janitor);
        drop(events.send(Event::Ended(suite, Box::new(ended))));
    }
}

fn run_one(suite: &Suite, manner: &Manner<'_>, janitor: &Janitor) -> Ended {
    let started = Instant::now();
    let mut command = as_if_typed(&suite.executable);
    command.args(manner.arguments).current_dir(&suite.folder).env("CARGO_MANIFEST_DIR", &suite.folder);
    let (said, outcome) = heard(command, manner, janitor);
    Ended { said, took: started.elapsed(), outcome }
}

/// Runs a command to its end, or ends it; what it printed on both streams, in the order in which it came.
fn heard(mut command: Command, manner: &Manner<'_>, janitor: &Janitor) -> (Vec<u8>, Result<ExitStatus>) {
    let begin = || -> io::Result<_> {
        let (reader, writer) = io::pipe()?;
        command.stdout(writer.try_clone()?).stderr(writer);
        let child = command.spawn()?;
        // With it go this process's own ends of the pipe.
        drop(command);
        Ok((child, reader))
    };
    let (mut child, reader) = match begin() {
        Ok(begun) => begun,
        Err(error) => return (Vec::new(), Err(error).context("it cannot be started")),
    };
    janitor.began(child.id());
    let said = Arc::new(Mutex::new(Vec::new()));
    let at_end = listen(reader, Arc::clone(&said), manner.live);
    let outcome = end_of(&mut child, manner.patience);
    janitor.ended(child.id());
    // What it has started may still hold the pipe, and then there is no end.
    let _ = at_end.recv_timeout(LAST_WORDS);
    let said = said.lock().unwrap_or_else(PoisonError::into_inner).clone();
    (said, outcome)
}

/// Keeps what comes; the channel closes at its end.
fn listen(mut from: impl Read + Send + 'static, said: Arc<Mutex<Vec<u8>>>, live: bool) -> Receiver<()> {
    let (sender, at_end) = channel();
    thread::spawn(move || {
        let _until_the_end = sender;
        let mut chunk = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut chunk) {
            let bytes = chunk.get(..length).unwrap_or_default();
            said.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            if live {
                drop(stdout().write_all(bytes).and_then(|()| stdout().flush()));
            }
        }
    });
    at_end
}

fn end_of(child: &mut Child, patience: Duration) -> Result<ExitStatus> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            anyhow::bail!("it did not end within {}, and was killed", took(patience));
        }
        sleep(Duration::from_millis(10));
    }
}

/// Programs at a time, as this machine has processors: tests mostly wait.
pub(crate) fn width() -> usize {
    let named = env::var(WIDTH).ok().and_then(|text| text.parse().ok()).filter(|width| *width > 0);
    named.unwrap_or_else(|| 2 * thread::available_parallelism().map_or(1, usize::from))
}

/// Names another number of programs at a time.
pub(crate) const WIDTH: &str = "SIGLATCH_TEST_PROGRAMS";

/// How long the last of what a program has printed may be under way.
const LAST_WORDS: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    const MANNER: Manner<'_> = Manner { at_once: 1, live: false, arguments: &[], patience: Duration::from_secs(10) };

    fn shell(script: &str, manner: &Manner<'_>) -> (String, Result<ExitStatus>) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let (said, outcome) = heard(command, manner, &Janitor::deaf());
        (String::from_utf8(said).unwrap(), outcome)
    }

    fn ended(said: &str, code: i32) -> Ended {
        let (_, outcome) = shell(&format!("exit {code}"), &MANNER);
        Ended { said: said.as_bytes().to_vec(), took: Duration::ZERO, outcome }
    }

    fn shown(said: &str, code: i32, manner: &Manner<'_>) -> (Tally, usize) {
        let suite = Suite {
            package: "p".to_owned(),
            target: crate::suites::Target::Library,
            executable: "/nonexistent".into(),
            folder: "/".into(),
        };
        let mut run = Run::of(1);
        // Shown already: results in this program's own output would be counted as its own.
        run.show(suite, &ended(said, code), &Manner { live: true, ..*manner });
        let (tally, failed) = run.finish();
        (tally, failed.len())
    }

    #[test]
    fn both_streams_are_kept_in_their_order() {
        let (said, outcome) = shell("echo one; echo two >&2; echo three; exit 3", &MANNER);
        assert_eq!(said, "one\ntwo\nthree\n");
        assert_eq!(outcome.unwrap().code(), Some(3));
    }

    #[test]
    fn what_hangs_is_ended_and_what_it_said_is_kept() {
        let (said, outcome) =
            shell("echo so far; exec sleep 60", &Manner { patience: Duration::from_millis(300), ..MANNER });
        assert_eq!(said, "so far\n");
        assert!(outcome.unwrap_err().to_string().starts_with("it did not end within"));
    }

    #[test]
    fn what_a_program_leaves_running_does_not_keep_it_from_ending() {
        let (said, outcome) = shell("sleep 30 & echo $!", &MANNER);
        assert!(outcome.unwrap().success());
        drop(Command::new("kill").arg(said.trim()).status());
    }

    #[test]
    fn a_program_passes_only_by_its_own_word_and_by_its_end() {
        let result = |passed, failed| format!("test result: ok. {passed} passed; {failed} failed; 0 ignored");
        let of = |text: &str, code| {
            let (tally, failed) = shown(text, code, &MANNER);
            (tally.passed, tally.failed, failed)
        };
        assert_eq!(of(&result(2, 0), 0), (2, 0, 0));
        assert_eq!(of(&result(2, 1), 101), (2, 1, 1));
        assert_eq!(of(&result(2, 0), 1), (2, 1, 1), "it ended badly after its tests");
        assert_eq!(of("running 2 tests", 0), (0, 1, 1), "a test has ended the program");
        let asked = ["--list".to_owned()];
        assert_eq!(shown("2 tests", 0, &Manner { arguments: &asked, ..MANNER }), (Tally::default(), 0));
    }

    #[test]
    fn programs_that_run_together_all_run() {
        let suite = |name: &str, executable: &str| Suite {
            package: "p".to_owned(),
            target: crate::suites::Target::Suite(name.to_owned()),
            executable: executable.into(),
            folder: "/".into(),
        };
        let suites = (0..5).map(|number| suite(&number.to_string(), "/bin/true")).collect();
        let mut run = Run::of(6);
        run.run(suites, &Manner { at_once: 3, ..MANNER }, &Janitor::deaf());
        run.run([suite("gone", "/nonexistent")].into(), &MANNER, &Janitor::deaf());
        let (tally, failed) = run.finish();
        // None of them says what its tests came to.
        assert_eq!((tally.failed, failed.len()), (6, 6));
    }
}
