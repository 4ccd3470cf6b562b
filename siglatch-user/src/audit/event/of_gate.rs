//! Events out of what the gate says. Never asks the gate for anything.

use siglatch_common::address::Address;

use super::{Builtin, By, Event, Exec, ExecEnded, Grant, Knock, Pretended, Revoke, Undo, Who};
use crate::gate::{
    self, Admission, Call, Debt, Ender, Ending, GrantKey, GrantsEnded, GrantsOpened, How, Job, KnockId, NotStarted,
    Outcome, Verdict, Why,
};
use crate::policy;

impl Event {
    /// What became of a datagram: the names are those of the knock's user and action, if it was somebody's.
    #[must_use]
    pub fn knock(verdict: &Verdict, source: Address, user: &str, action: &str) -> Self {
        let who = |knock: &gate::Knock| Who::new(knock.id, (knock.user, user), (knock.action, action), source);
        let told = match verdict {
            Verdict::Admit(Admission { knock, outcome, dry_run }) => {
                let (step, steps) = match outcome {
                    Outcome::Done => (None, None),
                    Outcome::Step { taken, of } => (Some(taken.get()), Some(*of)),
                };
                let (decision, dry_run) = ("admitted", *dry_run);
                Knock { who: Some(who(knock)), source: None, decision, reason: None, step, steps, dry_run }
            }
            Verdict::Refuse(refusal, knock) => Knock {
                who: knock.as_ref().map(who),
                source: knock.is_none().then_some(source),
                decision: "refused",
                reason: Some(*refusal),
                step: None,
                steps: None,
                dry_run: false,
            },
        };
        Self::Knock(told)
    }

    /// Services were opened; nothing if there are none. All grants of a [`GrantsOpened`] are one user's, for one source.
    #[must_use]
    pub fn grant(opened: &GrantsOpened) -> Option<Self> {
        grant(opened, None).map(Self::Grant)
    }

    /// Services could not be opened yet.
    #[must_use]
    pub fn grant_failed(opened: &GrantsOpened, error: String) -> Option<Self> {
        grant(opened, Some(error)).map(Self::GrantFailed)
    }

    /// Grants ended before their time: an event for each user, action and source; one that says so if there were none.
    #[must_use]
    pub fn revoke(ended: &GrantsEnded) -> Vec<Self> {
        let (knock, by) = match ended.by {
            Ender::Knock(knock) => (Some(knock), By::Knock),
            Ender::Operator => (None, By::Operator),
            Ender::Rules => (None, By::Configuration),
        };
        Self::revoked(knock, &ended.grants, by)
    }

    /// The same of grants that no knock has ended.
    #[must_use]
    pub fn revoked(knock: Option<KnockId>, grants: &[gate::Grant], by: By) -> Vec<Self> {
        let nothing = Revoke { knock, by, user: None, action: None, source: None, services: Vec::new() };
        if grants.is_empty() {
            return vec![Self::Revoke(nothing)];
        }
        let alike = grants.chunk_by(|a, b| a.label == b.label && a.key.source == b.key.source);
        let told = alike.filter_map(|alike| {
            let first = alike.first()?;
            let (user, action) = names(&first.label);
            Some(Self::Revoke(Revoke {
                user: Some(user),
                action: Some(action),
                source: Some(first.key.source),
                services: services(alike.iter().map(|grant| &grant.key)),
                ..nothing.clone()
            }))
        });
        told.collect()
    }

    /// A program has begun; the name is the program's.
    #[must_use]
    pub fn exec_started(job: &Job, program: &str) -> Self {
        Self::ExecStarted(Exec::new(job, program))
    }

    /// A program has ended.
    #[must_use]
    pub fn exec_ended(job: &Job, program: &str, ending: &Ending) -> Self {
        let exec = Exec::new(job, program);
        let (result, code, signal, reason, errno) = match ending.how {
            How::Exited(code) => ("exited", Some(code), None, None, None),
            How::Killed(signal) => ("killed", None, Some(signal), None, None),
            How::Bounded(bound) => ("bounded", None, None, Some(bound.label()), None),
            How::NotStarted(why) => {
                let errno = match why {
                    NotStarted::System(errno) => Some(errno),
                    NotStarted::Missing
                    | NotStarted::NotExecutable
                    | NotStarted::WritableByOthers
                    | NotStarted::NoSuchUser
                    | NotStarted::OtherUser
                    | NotStarted::NoFolder
                    | NotStarted::NoStarter
                    | NotStarted::Gone => None,
                };
                ("not_started", None, None, Some(why.label()), errno)
            }
            How::Lost => ("lost", None, None, None, None),
        };
        let ms = u64::try_from(ending.took.as_millis()).unwrap_or(u64::MAX);
        let output = ending.output.iter().take(Ending::OUTPUT_MAX).copied().collect::<Vec<_>>();
        let (output, written) = (output.escape_ascii().to_string(), ending.written);
        Self::ExecEnded(ExecEnded { exec, result, code, signal, reason, errno, ms, output, written })
    }

    /// A knock has asked the daemon for something, which was done, or was not, for that reason.
    #[must_use]
    pub const fn builtin(knock: KnockId, builtin: policy::Builtin, error: Option<String>) -> Self {
        Self::Builtin(Builtin { knock, builtin: builtin.label(), error })
    }

    /// Something is to be undone later.
    #[must_use]
    pub fn undo_owed(debt: &Debt) -> Self {
        Self::UndoOwed(Undo::new(debt))
    }

    /// Something will never be undone: its program is gone.
    #[must_use]
    pub fn undo_lost(debt: &Debt) -> Self {
        Self::UndoLost(Undo::new(debt))
    }

    /// What [`gate::Effect::Pretend`] says; the program's name is wanted if it says that one would have run.
    #[must_use]
    pub fn pretended(knock: KnockId, pretended: &gate::Pretended, program: &str) -> Self {
        let nothing = Pretended {
            knock,
            what: "",
            source: None,
            user: None,
            action: None,
            services: Vec::new(),
            seconds: None,
            program: None,
            builtin: None,
        };
        Self::Pretended(match pretended {
            gate::Pretended::Open(grants) => {
                let first = grants.first();
                let (user, action) = first.map(|first| names(&first.label)).unzip();
                let services = services(grants.iter().map(|grant| &grant.key));
                let (source, seconds) = first.map(|first| (first.key.source, first.ttl.as_secs())).unzip();
                Pretended { what: "grant", source, user, action, services, seconds, ..nothing }
            }
            gate::Pretended::Close(keys) => {
                let source = keys.first().map(|key| key.source);
                Pretended { what: "revoke", source, services: services(keys), ..nothing }
            }
            gate::Pretended::Run(job) => {
                let Call { source, user_name, action_name, .. } = &job.call;
                let (user, action) = (Some(user_name.clone()), Some(action_name.clone()));
                let program = Some(program.to_owned());
                Pretended { what: "exec", source: Some(*source), user, action, program, ..nothing }
            }
            gate::Pretended::Builtin(builtin) => {
                Pretended { what: "builtin", builtin: Some(builtin.label()), ..nothing }
            }
        })
    }
}

impl Who {
    /// What is said of the knock that a program runs for.
    #[must_use]
    pub fn of(call: &Call) -> Self {
        Self::new(call.knock, (call.user, &call.user_name), (call.action, &call.action_name), call.source)
    }
}

impl Exec {
    fn new(job: &Job, program: &str) -> Self {
        let (why, debt, failed_job) = match job.why {
            Why::Knock => ("knock", None, None),
            Why::Undo(debt) => ("undo", Some(debt.0), None),
            Why::Failure(failed, _) => ("failure", None, Some(failed.0)),
        };
        Self { who: Who::of(&job.call), job: job.id.0, program: program.to_owned(), why, debt, failed_job }
    }
}

impl Undo {
    fn new(debt: &Debt) -> Self {
        let (who, due) = (Who::of(&debt.call), debt.due_wall.as_secs());
        Self { who, debt: debt.id.0, program: debt.program.clone(), due }
    }
}

fn grant(opened: &GrantsOpened, error: Option<String>) -> Option<Grant> {
    let first = opened.grants.first()?;
    let (user, action) = names(&first.label);
    Some(Grant {
        knock: opened.knock,
        user,
        action,
        source: Some(first.key.source),
        services: services(opened.grants.iter().map(|grant| &grant.key)),
        seconds: first.ttl.as_secs(),
        error,
    })
}

/// User and action of a grant's label.
fn names(label: &str) -> (String, String) {
    let (user, action) = label.split_once(' ').unwrap_or((label, "?"));
    (user.to_owned(), action.to_owned())
}

/// `tcp/22`, `tcp/5432@10.0.0.5`.
fn services<'a>(keys: impl IntoIterator<Item = &'a GrantKey>) -> Vec<String> {
    let text = |key: &GrantKey| match key.destination {
        None => key.service.to_string(),
        Some(destination) => format!("{}@{destination}", key.service),
    };
    keys.into_iter().map(text).collect()
}
