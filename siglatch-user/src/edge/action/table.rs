//! The programs, ready to be started: what can be made of them once is made once. Never changes after it was read.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;

use super::account::Account;
use super::message::{Digest, decode_program};
use crate::policy::{Program, ProgramId};

/// All programs that can be started.
#[derive(Clone, Debug)]
pub(super) struct Table {
    ready: Vec<Ready>,
    /// As they were told, for whoever is to have the same.
    messages: Vec<Vec<u8>>,
    digest: Digest,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    pub(super) program: Program,
    pub(super) command: Vec<CString>,
    pub(super) folder: CString,
    /// Processes that its user has when as many of its programs run as may, each with as many as it may.
    pub(super) processes_of_user: u64,
}

impl Table {
    /// From so many messages; nothing if one is not sound.
    pub(super) fn of(messages: Vec<Vec<u8>>) -> Option<Self> {
        let programs = messages.iter().map(|message| decode_program(message));
        let programs: Vec<Program> = programs.collect::<Option<_>>()?;
        let ready: Option<Vec<_>> = programs.iter().map(|program| Ready::of(program, &programs)).collect();
        Some(Self { ready: ready?, digest: Digest::of_messages(&messages), messages })
    }

    /// What it was made of.
    pub(super) fn messages(&self) -> &[Vec<u8>] {
        &self.messages
    }

    pub(super) const fn digest(&self) -> Digest {
        self.digest
    }

    /// Has the C library learn now how users and groups are looked up here, so that not every run has to.
    pub(super) fn warm_up(&self) {
        for ready in &self.ready {
            let _ = Account::of(&ready.program);
        }
    }

    pub(super) fn of_id(&self, ProgramId(index): ProgramId) -> Option<&Ready> {
        self.ready.get(usize::from(index))
    }
}

impl Ready {
    fn of(program: &Program, all: &[Program]) -> Option<Self> {
        let command = program.command.iter().map(|text| CString::new(text.as_bytes()).ok());
        let same_user = all.iter().filter(|other| other.run_as == program.run_as);
        let processes = same_user.map(|other| {
            u64::from(other.bounds.processes).saturating_mul(u64::try_from(other.at_once.get()).unwrap_or(u64::MAX))
        });
        Some(Self {
            program: program.clone(),
            command: command.collect::<Option<_>>()?,
            folder: CString::new(program.folder.as_os_str().as_bytes()).ok()?,
            processes_of_user: processes.fold(0, u64::saturating_add),
        })
    }
}
