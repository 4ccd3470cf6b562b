//! Tells the plain log what was decided, or the journal, field by field, everything. Never makes anybody wait but itself.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use log::Level;
use serde_json::Value;
use systemd_journal_logger::{JournalLog, connected_to_journal};
use tracing::{info, warn};

use super::queue::{Line, Queue, Stamped};
use crate::audit::line::line_of;
use crate::audit::{Event, Record};

/// What the thread owns.
pub(super) struct Teller {
    queue: Arc<Queue>,
    journal: Option<JournalLog>,
}

impl Teller {
    /// Begins to tell.
    pub(super) fn begin(queue: &Arc<Queue>) -> io::Result<()> {
        let Some(lines) = queue.lines() else {
            return Ok(());
        };
        let journal = match is_connected() {
            true => JournalLog::empty().map(|journal| journal.with_syslog_identifier(IDENTIFIER.to_owned())),
            false => Err(io::ErrorKind::NotConnected.into()),
        };
        let teller = Self { queue: Arc::clone(queue), journal: journal.ok() };
        thread::Builder::new().name("audit-lines".into()).spawn(move || teller.run(&lines)).map(drop)
    }

    fn run(self, lines: &Receiver<Line>) {
        while let Ok(first) = lines.recv() {
            std::iter::once(first).chain(lines.try_iter()).for_each(|line| self.take(line));
            let lost = self.queue.take_lines_lost();
            if lost > 0 {
                warn!(lines = lost, "more was decided than this log takes: the audit log has it");
            }
            // What comes within a moment is told together: to be woken for each costs more than a line does.
            thread::sleep(MOMENT);
        }
    }

    fn take(&self, line: Line) {
        match line {
            Line::Event(stamped) => self.tell(&stamped),
            Line::Mark(over) => {
                // Fails only if nobody waits any more.
                let _ = over.try_send(());
            }
        }
    }

    fn tell(&self, Stamped { event, .. }: &Stamped) {
        let record = serde_json::to_vec(event).ok().and_then(|bytes| Record::parse(&bytes)).unwrap_or_default();
        let line = line_of(event.name(), &record);
        let sent = self.journal.as_ref().map(|journal| {
            let fields = fields(&record);
            let fields: Vec<_> = fields.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
            let pairs = fields.as_slice();
            let mut entry = log::Record::builder();
            journal.journal_send(&entry.level(level(event)).key_values(&pairs).args(format_args!("{line}")).build())
        });
        match sent {
            Some(Ok(())) => {}
            Some(Err(_)) | None => info!("{line}"),
        }
    }
}

/// Whether standard error goes to the journal (`systemd.exec(5)`, `JOURNAL_STREAM`).
pub(super) fn is_connected() -> bool {
    connected_to_journal()
}

/// A record as the journal's fields.
fn fields(record: &Record) -> Vec<(String, String)> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    };
    record.fields().map(|(name, value)| (journal_name(name), text(value))).collect()
}

fn journal_name(name: &str) -> String {
    match NAMES.iter().find(|(ours, _)| *ours == name) {
        Some((_, theirs)) => (*theirs).to_owned(),
        None => format!("SIGLATCH_{}", name.to_ascii_uppercase()),
    }
}

/// How urgent the journal shows it.
fn level(event: &Event) -> Level {
    match event {
        Event::GrantFailed(_) | Event::Lost(_) | Event::UndoLost(_) => Level::Error,
        Event::ExecDropped { .. } | Event::Starter { .. } | Event::Debug(_) => Level::Warn,
        Event::ExecEnded(ended) => match ended.code {
            Some(0) => Level::Info,
            Some(_) | None => Level::Warn,
        },
        Event::Firewall(firewall) => of_state(firewall.error.is_some()),
        Event::Xdp(xdp) => match xdp.state {
            "native" | "generic" | "dropped" | "pins_mended" => Level::Info,
            _ => Level::Warn,
        },
        Event::Disk(disk) => of_state(disk.error.is_some()),
        Event::Reload(reload) => of_state(reload.error.is_some()),
        Event::Start(_)
        | Event::Stop { .. }
        | Event::Knock(_)
        | Event::Grant(_)
        | Event::Revoke(_)
        | Event::ExecStarted(_)
        | Event::Builtin(_)
        | Event::UndoOwed(_)
        | Event::UndoSettled { .. }
        | Event::Pretended(_)
        | Event::Ban(_)
        | Event::Unban(_)
        | Event::Admin(_)
        | Event::SwitchedOn { .. }
        | Event::Junk(_)
        | Event::Rotated(_) => Level::Info,
    }
}

const fn of_state(is_bad: bool) -> Level {
    if is_bad { Level::Error } else { Level::Info }
}

/// The fields that have a name of their own in the journal. Others are `SIGLATCH_` and theirs.
const NAMES: [(&str, &str); 9] = [
    ("event", "EVENT"),
    ("source", "SRC_IP"),
    ("user", "USER_NAME"),
    ("user_id", "USER_ID"),
    ("action", "ACTION"),
    ("action_id", "ACTION_ID"),
    ("reason", "REASON"),
    ("decision", "DECISION"),
    ("knock", "KNOCK"),
];

const MOMENT: Duration = Duration::from_millis(10);
const IDENTIFIER: &str = "siglatch-user";
