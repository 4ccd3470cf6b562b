//! Hands what operators ask to whoever in the daemon answers it, and keeps in the audit log what they have had done. Never
//! answers by itself.

use std::sync::mpsc::Sender;

use tracing::warn;

use super::judge::Input;
use super::warden::ToWarden;
use crate::admin::protocol::{Addressee, Problem, Reply};
use crate::audit::{Event, event};
use crate::edge::admin::Asked;
use crate::edge::audit::Recorder;

/// The ways to those who answer. Clones lead to the same.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    /// Grants, users, actions, sequences, debts, debugging.
    pub(super) judge: Sender<Input>,
    /// Bans, known origins, the status.
    pub(super) warden: ToWarden,
    /// The configuration, and what is switched off in it.
    pub(super) errands: tokio::sync::mpsc::Sender<Asked>,
}

impl Desk {
    /// Hands it on. What finds no room is dropped, and the operator hears that.
    pub(super) fn ask(&self, asked: Asked) {
        match asked.request.addressee() {
            Addressee::Judge => _ = self.judge.send(Input::Asked(Box::new(asked))),
            Addressee::Warden => self.warden.ask(asked),
            Addressee::Errands => _ = self.errands.try_send(asked),
        }
    }
}

/// Answers, and keeps what an operator has had done, and who that was.
pub(super) fn answer(asked: Asked, answer: Result<Reply, Problem>, recorder: &Recorder) {
    if asked.request.is_order() {
        let problem = answer.as_ref().err();
        recorder.record(Event::Admin(event::Admin {
            request: asked.request.to_line().trim_end().to_owned(),
            peer_uid: asked.peer.uid,
            peer_pid: asked.peer.pid.and_then(|pid| u32::try_from(pid).ok()),
            result: if problem.is_none() { "done" } else { "failed" },
            error: problem.map(ToString::to_string),
        }));
    }
    asked.answer(answer);
}

/// The answer to what is somebody else's to answer.
pub(super) fn astray(asked: &Asked) -> Problem {
    warn!(request = asked.request.name(), "a request went astray");
    Problem::new(crate::admin::protocol::Code::Failed, "the request went astray inside the daemon")
}
