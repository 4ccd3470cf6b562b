//! What an action of kind `exec` says: the program, as whom, within which bounds, for which payloads, and what undoes it.
//! Never looks whether there is such a file, user or action.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use siglatch_common::wire::v1::PAYLOAD_MAX;

use crate::config::finding::{Code, Findings};
use crate::config::schema;
use crate::config::section::{Located, Section};
use crate::config::settings::Settings;
use crate::config::value;
use crate::policy::{Bounds, ExecRule, PayloadRule, Program, ProgramId, Undo};

/// A program as far as the text goes; what is missing was reported.
pub(in crate::config) struct Exec<'t> {
    command: Vec<&'t str>,
    run_as: Option<Located<&'t str>>,
    run_groups: Vec<&'t str>,
    folder: PathBuf,
    bounds: Bounds,
    /// How many of it run at once.
    pub(in crate::config) at_once: Option<Located<NonZeroUsize>>,
    queue: usize,
    payload: PayloadRule,
    /// The name of the program that runs when it fails.
    pub(in crate::config) on_failure: Option<Located<&'t str>>,
    /// The name of the program that undoes it.
    pub(in crate::config) undo: Option<Located<&'t str>>,
    after: Option<Duration>,
}

/// How many programs run at once, whichever they are, and where the text says so.
pub(in crate::config) fn at_once(root: &Section<'_>, findings: &mut Findings) -> Located<usize> {
    let section = root.table("exec", &schema::EXEC, findings);
    let span = section.value_place("at_once");
    let at_once = section.number("at_once", 1..=MOST_AT_ONCE, findings);
    at_once.unwrap_or(Located { value: Settings::DEFAULT_PROGRAMS_AT_ONCE, span })
}

pub(super) fn read<'t>(section: &Section<'t>, findings: &mut Findings) -> Exec<'t> {
    section.demand("run_as", "a program runs as a user of this machine", findings);
    let run_as = section.parsed("run_as", value::account, findings);
    if let Some(root) = run_as.filter(|user| matches!(user.value, "root" | "0")) {
        let message =
            "the program runs as root: what it does wrong, it may do everywhere, and no limit on processes holds";
        let help = "make a user for it: useradd --system --shell /usr/sbin/nologin siglatch-run; and name that one";
        findings.report(Code::RunsAsRoot, root.span, message, help);
    }
    let run_groups = section.parsed_list("run_groups", value::account, findings).unwrap_or_default();
    let folder = section.parsed("folder", value::absolute_path, findings).map_or("/", |folder| folder.value);
    if section.place("undo").is_some() {
        section.demand("ttl", "`undo` runs so long after the last knock", findings);
    } else {
        section.refuse(&["ttl"], "it says when `undo` runs, and there is none", findings);
    }
    Exec {
        command: command(section, findings),
        run_as,
        run_groups: run_groups.into_iter().map(|group| group.value).collect(),
        folder: PathBuf::from(folder),
        bounds: bounds(section, findings),
        at_once: section
            .number("at_once", 1..=MOST_AT_ONCE, findings)
            .and_then(|number| Some(number.with(NonZeroUsize::new(number.value)?))),
        queue: section.number("queue", 0..=MOST_WAITING, findings).map_or(DEFAULT_QUEUE, |queue| queue.value),
        payload: payload(section, findings),
        on_failure: section.text("on_failure", findings),
        undo: section.text("undo", findings),
        after: section.duration("ttl", SECOND..=YEAR, findings).map(|ttl| ttl.value),
    }
}

/// An absolute path, and the first arguments.
fn command<'t>(section: &Section<'t>, findings: &mut Findings) -> Vec<&'t str> {
    let Some(texts) = section.texts("exec", findings) else { return Vec::new() };
    if section.is_empty_list("exec") {
        findings.report(
            Code::OutOfRange,
            section.value_place("exec"),
            "`exec` starts nothing",
            section.example("exec"),
        );
    }
    let mut command = Vec::with_capacity(texts.len());
    for (place, text) in texts.into_iter().enumerate() {
        let parse = if place == 0 { value::absolute_path } else { value::argument };
        command.extend(text.parsed(parse, findings).map(|text| text.value));
    }
    command
}

fn bounds(section: &Section<'_>, findings: &mut Findings) -> Bounds {
    let default = Bounds::DEFAULT;
    Bounds {
        time: section.duration("time", SECOND..=DAY, findings).map_or(default.time, |time| time.value),
        cpu: section.duration("cpu", SECOND..=DAY, findings).map_or(default.cpu, |cpu| cpu.value),
        memory: section.size("memory", LEAST_MEMORY..=MOST_MEMORY, findings).map_or(default.memory, |size| size.value),
        processes: section.number("processes", 1..=10_000, findings).map_or(default.processes, |most| most.value),
        output: section.size("output", LEAST_OUTPUT..=MOST_OUTPUT, findings).map_or(default.output, |size| size.value),
    }
}

fn payload(section: &Section<'_>, findings: &mut Findings) -> PayloadRule {
    let require_ascii = section.flag("require_ascii", findings).unwrap_or(false);
    let starts_with = section.text("starts_with", findings);
    if let Some(start) = starts_with {
        if start.value.len() > PAYLOAD_MAX {
            let message = format!("a payload has {PAYLOAD_MAX} bytes at most");
            findings.report(Code::OutOfRange, start.span, message, "write a shorter beginning");
        }
        if require_ascii && !start.value.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) {
            let message = "no payload is printable ASCII and begins with this";
            let help = "write printable ASCII, or take `require_ascii` out";
            findings.report(Code::NeverHolds, start.span, message, help);
        }
    }
    PayloadRule { require_ascii, starts_with: starts_with.map_or(Vec::new(), |start| start.value.into()) }
}

impl Exec<'_> {
    /// The program, if nothing is missing and there are those that it names.
    pub(in crate::config) fn program(&self, name: &str, programs: &HashMap<&str, ProgramId>) -> Option<Program> {
        Some(Program {
            name: name.to_owned(),
            command: self.command.iter().map(|text| (*text).to_owned()).collect(),
            run_as: self.run_as?.value.to_owned(),
            run_groups: self.run_groups.iter().map(|group| (*group).to_owned()).collect(),
            folder: self.folder.clone(),
            bounds: self.bounds,
            at_once: self.at_once.map_or(DEFAULT_AT_ONCE, |at_once| at_once.value),
            queue: self.queue,
            on_failure: match self.on_failure {
                Some(name) => Some(programs.get(name.value).copied()?),
                None => None,
            },
        })
    }

    /// What knocks for it set off, if there is the program that it names.
    pub(in crate::config) fn rule(&self, program: ProgramId, programs: &HashMap<&str, ProgramId>) -> Option<ExecRule> {
        let undo = match (self.undo, self.after) {
            (Some(name), Some(after)) => Some(Undo { program: programs.get(name.value).copied()?, after }),
            (Some(_), None) => return None,
            (None, _) => None,
        };
        Some(ExecRule { program, payload: self.payload.clone(), undo })
    }
}

const DEFAULT_AT_ONCE: NonZeroUsize = NonZeroUsize::new(4).expect("it is not zero");

const DEFAULT_QUEUE: usize = 16;

const MOST_AT_ONCE: i64 = 1_024;

/// Each that waits keeps a knock's payload and names.
const MOST_WAITING: i64 = 10_000;

/// Less, and the dynamic linker fails before a program does.
const LEAST_MEMORY: u64 = 16 * 1024 * 1024;
const MOST_MEMORY: u64 = 1 << 40;

const LEAST_OUTPUT: u64 = 1024;
const MOST_OUTPUT: u64 = 1 << 30;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
const YEAR: Duration = Duration::from_secs(365 * 86_400);
