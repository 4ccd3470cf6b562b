//! Does what the gate has decided: keeps first what must be remembered, then opens, closes, starts and tells. Never
//! does what could not be remembered.

use tracing::{error, info, warn};

use super::Judge;
use crate::audit::Event;
use crate::audit::event::Disk;
use crate::daemon::books::BooksError;
use crate::daemon::warden;
use crate::edge::clock;
use crate::gate::{Effect, Entry, Grant, GrantsEnded, GrantsOpened, KnockId, Nonce, Pretended};
use crate::policy::{Action, Allowed, Builtin, Policy};

/// What the gate has decided, put together so that each disk is written once.
#[derive(Default)]
struct Deeds {
    nonces: Vec<Nonce>,
    entries: Vec<Entry>,
    rest: Vec<Effect>,
}

impl Judge {
    /// Does what the gate decided, until it wants nothing more.
    ///
    /// A knock whose nonce was not kept is known to the gate all the same, so that no copy is admitted in its place. After
    /// a restart it is not; but nothing came of it, so that it can be admitted then, once.
    pub(super) fn carry_out(&mut self) {
        loop {
            let effects = self.gate.take_effects();
            self.tell_lost_debts();
            if effects.is_empty() {
                return;
            }
            let mut deeds = Deeds::default();
            for effect in effects {
                match effect {
                    Effect::Lease(until) => self.books.lease(until),
                    Effect::Forget(floor) => self.books.forget(floor),
                    Effect::Remember(nonce) => deeds.nonces.push(nonce),
                    Effect::Note(entry) => deeds.entries.push(entry),
                    Effect::Open(_) | Effect::Close(_) | Effect::Run(_) | Effect::Builtin(..) | Effect::Pretend(..) => {
                        deeds.rest.push(effect)
                    }
                }
            }
            if let Err(error) = self.books.keep(&deeds.nonces, &deeds.entries) {
                self.gate.withdraw();
                self.tell_books(&error, &deeds);
                // What is owed comes again when the gate says so.
                return;
            }
            self.books_work();
            self.do_all(deeds);
        }
    }

    fn do_all(&mut self, deeds: Deeds) {
        for entry in &deeds.entries {
            match entry {
                Entry::Owed(debt) => self.recorder.record(Event::undo_owed(debt)),
                Entry::Settled(debt) => self.recorder.record(Event::UndoSettled { debt: debt.0 }),
                Entry::UserUsed { .. } | Entry::ActionUsed { .. } => {}
            }
        }
        let mut opened = Vec::new();
        for effect in deeds.rest {
            match effect {
                Effect::Open(grants) => opened.push(grants),
                Effect::Close(ended) => {
                    // In this order, or what one knock opens and the next closes would stay open.
                    self.open(&std::mem::take(&mut opened));
                    self.close(&ended);
                }
                Effect::Run(job) => self.start(job),
                Effect::Builtin(knock, builtin) => self.serve(knock, builtin),
                Effect::Pretend(knock, pretended) => self.pretend(knock, &pretended),
                Effect::Lease(_) | Effect::Remember(_) | Effect::Forget(_) | Effect::Note(_) => {}
            }
        }
        self.open(&opened);
    }

    fn open(&mut self, opened: &[GrantsOpened]) {
        if opened.is_empty() {
            return;
        }
        for source in opened.iter().filter_map(|opened| opened.grants.first()) {
            self.warden.tell(warden::Event::Granted(source.key.source));
        }
        let grants: Vec<Grant> = opened.iter().flat_map(|opened| &opened.grants).cloned().collect();
        let failed = self.wall.let_in(&grants, clock::boot());
        for opened in opened {
            let has_failed = |grant: &&Grant| failed.as_ref().is_some_and(|(keys, _)| keys.contains(&grant.key));
            for grant in opened.grants.iter().filter(|grant| !has_failed(grant)) {
                let key = &grant.key;
                info!(
                    source = %key.source, service = %key.place(), by = grant.label, seconds = grant.ttl.as_secs(),
                    knock = opened.knock.map(tracing::field::display), "grant opened"
                );
            }
            let event = match &failed {
                Some((_, error)) if opened.grants.iter().any(|grant| has_failed(&grant)) => {
                    Event::grant_failed(opened, error.clone())
                }
                Some(_) | None => Event::grant(opened),
            };
            event.into_iter().for_each(|event| self.recorder.record(event));
        }
    }

    fn close(&mut self, ended: &GrantsEnded) {
        // What the firewall does not take now is tried again, and the log says so.
        let _ = self.wall.shut_out(&ended.grants);
        for Grant { key, label, .. } in &ended.grants {
            info!(source = %key.source, service = %key.place(), by = label, "grant ended before its time");
        }
        Event::revoke(ended).into_iter().for_each(|event| self.recorder.record(event));
    }

    /// Does what a knock has asked the daemon itself for.
    fn serve(&mut self, knock: KnockId, builtin: Builtin) {
        info!(%knock, builtin = builtin.label(), "asked for by a knock");
        let error = match builtin {
            Builtin::Reload => {
                let taken = self.reload.try_send(knock);
                taken.err().map(|_| "it is being read already".to_owned())
            }
            Builtin::Status => {
                self.warden.tell(warden::Event::TellStatus);
                None
            }
            Builtin::ListActions => {
                list(self.gate.policy());
                None
            }
        };
        self.recorder.record(Event::builtin(knock, builtin, error));
    }

    fn pretend(&mut self, knock: KnockId, pretended: &Pretended) {
        let program = match pretended {
            Pretended::Run(job) => self.program_name(job.program),
            Pretended::Open(_) | Pretended::Close(_) | Pretended::Builtin(_) => String::new(),
        };
        match pretended {
            Pretended::Open(grants) => {
                for Grant { key, ttl, label } in grants {
                    info!(
                        %knock, source = %key.source, service = %key.place(), by = label, seconds = ttl.as_secs(),
                        "dry run: a grant would have been opened"
                    );
                }
            }
            Pretended::Close(keys) => {
                for key in keys {
                    info!(%knock, source = %key.source, service = %key.place(), "dry run: a grant would have ended");
                }
            }
            Pretended::Run(job) => {
                info!(%knock, source = %job.call.source, program, "dry run: a program would have been started");
            }
            Pretended::Builtin(builtin) => {
                info!(%knock, builtin = builtin.label(), "dry run: the daemon would have done this");
            }
        }
        self.recorder.record(Event::pretended(knock, pretended, &program));
    }

    fn tell_books(&mut self, error: &BooksError, deeds: &Deeds) {
        let (knocks, effects) = (deeds.nonces.len(), deeds.rest.len());
        error!(%error, knocks, effects, "knocks cannot be remembered, so nothing was done for them");
        if !std::mem::replace(&mut self.books_fail, true) {
            let (what, error) = (error.what(), Some(error.to_string()));
            self.recorder.record(Event::Disk(Disk { state: "failing", what, error }));
        }
    }

    fn books_work(&mut self) {
        if std::mem::take(&mut self.books_fail) {
            warn!("knocks can be remembered again");
            self.recorder.record(Event::Disk(Disk { state: "working", what: "nonces", error: None }));
        }
    }
}

/// Tells in the log what may be asked for, and by whom.
fn list(policy: &Policy) {
    for action in policy.actions() {
        let Action { id, name, allowed, dry_run, .. } = action;
        let users = match allowed {
            Allowed::All => "all".to_owned(),
            Allowed::Only(users) => {
                let names = users.iter().filter_map(|user| policy.user(*user)).map(|user| user.name.as_str());
                names.collect::<Vec<_>>().join(",")
            }
        };
        info!(id = id.0, action = name, kind = action.kind.label(), users, dry_run, "an action");
    }
}
