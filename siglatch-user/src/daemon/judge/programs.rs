//! Programs: handed to the starter, and told to the gate, the log and the audit log when they end. Never starts one itself.

use std::borrow::Cow;
use std::io;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use tracing::{error, info, warn};

use super::{Input, Judge};
use crate::audit::Event;
use crate::edge::action::News;
use crate::edge::clock;
use crate::gate::{Bound, Ending, How, Job, JobId, NotStarted};
use crate::policy::ProgramId;

/// A run under way.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) job: Box<Job>,
    /// Its program's name: the number may be another's after a reload.
    pub(super) program: String,
}

impl Judge {
    /// Has a program started. If it cannot be, the gate hears of it as of one that has ended.
    pub(super) fn start(&mut self, job: Box<Job>) {
        let id = job.id;
        let handed_over = self.starter.as_ref().ok_or(NotStarted::NoStarter).and_then(|starter| starter.run(&job));
        self.running.insert(id, Running { program: self.program_name(job.program), job });
        if let Err(why) = handed_over {
            self.end(id, &Ending::not_started(why));
        }
    }

    /// Hears what has become of programs.
    pub(super) fn hear(&mut self, news: News) {
        match news {
            News::Started(id) => {
                if let Some(Running { job, program }) = self.running.get(&id) {
                    info!(knock = %job.call.knock, job = id.0, program, source = %job.call.source, "program started");
                    self.recorder.record(Event::exec_started(job, program));
                }
            }
            News::Ended(id, ending) => self.end(id, &ending),
            News::Restarted => {
                self.tallies.programs_fail.send_replace(false);
                warn!("what starts programs had gone, and is back; what ran was ended");
                self.recorder.record(Event::Starter { state: "restarted", error: None });
            }
            News::Gone(error) => {
                self.tallies.programs_fail.send_replace(true);
                error!(error, "what starts programs is gone: no action with `exec` works until it is back");
                self.recorder.record(Event::Starter { state: "gone", error: Some(error) });
            }
        }
    }

    /// The daemon stops: ends what runs, and hears of it for a while. What was undone by then is done; what was not is still
    /// owed to the next daemon.
    pub(super) fn end_programs(&mut self, inputs: &Receiver<Input>) {
        let Some(starter) = &self.starter else { return };
        starter.stop();
        // Before any place is free: what waits for one never starts, and the audit log says so.
        let stopped = Ending { how: How::Bounded(Bound::Stop), took: Duration::ZERO, output: Vec::new(), written: 0 };
        for job in self.gate.stop_programs() {
            let id = job.id;
            self.running.insert(id, Running { program: self.program_name(job.program), job: Box::new(job) });
            self.tell_end(id, &stopped);
        }
        let deadline = clock::boot().after(PATIENCE);
        while !self.running.is_empty() {
            match inputs.recv_timeout(deadline.since(clock::boot())) {
                Ok(Input::Program(News::Ended(id, ending))) => self.end(id, &ending),
                Ok(_) => {}
                Err(_) => {
                    warn!(programs = self.running.len(), "programs were still running when the daemon ended");
                    break;
                }
            }
        }
        self.carry_out();
    }

    pub(super) fn program_name(&self, id: ProgramId) -> String {
        self.gate.policy().program(id).map_or_else(|| "?".to_owned(), |program| program.name.clone())
    }

    /// What will never be undone, because the program that would do it is gone.
    pub(super) fn tell_lost_debts(&mut self) -> usize {
        let lost = self.gate.take_lost_debts();
        for debt in &lost {
            warn!(program = debt.program, source = %debt.call.source, user = debt.call.user_name, "this will never be undone: its program is gone");
            self.recorder.record(Event::undo_lost(debt));
        }
        lost.len()
    }

    fn end(&mut self, id: JobId, ending: &Ending) {
        self.tell_end(id, ending);
        let before = self.gate.programs().dropped;
        self.gate.finished(id, ending, clock::now());
        let runs = self.gate.programs().dropped.saturating_sub(before);
        if runs > 0 {
            warn!(runs, "programs that were to tell of failures are not started: too many wait");
            self.recorder.record(Event::ExecDropped { runs });
        }
    }

    fn tell_end(&mut self, id: JobId, ending: &Ending) {
        let Some(Running { job, program }) = self.running.remove(&id) else { return };
        let (knock, source, user) = (job.call.knock, job.call.source, &job.call.user_name);
        let (millis, written) = (ending.took.as_millis(), ending.written);
        match ending.how {
            How::Exited(0) => info!(%knock, job = id.0, program, %source, user, millis, written, "program done"),
            How::Exited(code) => {
                warn!(%knock, job = id.0, program, %source, user, code, millis, written, "program failed");
            }
            How::Killed(signal) => {
                warn!(%knock, job = id.0, program, %source, user, signal, millis, written, "program killed by a signal");
            }
            How::Bounded(bound) => {
                let bound = bound.label();
                warn!(%knock, job = id.0, program, %source, user, bound, millis, written, "program ended at a bound");
            }
            How::NotStarted(why) => {
                let (reason, cure) = (why.label(), cure(why, &ending.output));
                error!(%knock, job = id.0, program, %source, user, reason, %cure, "program not started");
            }
            How::Lost => warn!(%knock, job = id.0, program, %source, user, "nobody knows how a program ended"),
        }
        self.recorder.record(Event::exec_ended(&job, &program, ending));
    }
}

/// What to do about a program that did not begin: what whoever looked at it said in place of its output, if it did.
fn cure(why: NotStarted, said: &[u8]) -> Cow<'_, str> {
    match why {
        _ if !said.is_empty() => String::from_utf8_lossy(said),
        NotStarted::NoStarter => "what starts programs is gone: restart the daemon".into(),
        NotStarted::Gone => "it waited while the rules changed: knock again".into(),
        NotStarted::System(error) => io::Error::from_raw_os_error(error).to_string().into(),
        NotStarted::Missing
        | NotStarted::NotExecutable
        | NotStarted::WritableByOthers
        | NotStarted::NoSuchUser
        | NotStarted::OtherUser
        | NotStarted::NoFolder => "siglatchctl check says how to mend it".into(),
    }
}

/// A little longer than programs have between TERM and KILL.
const PATIENCE: Duration = Duration::from_secs(4);
