//! What can be in the way of giving up rights, each with its cure. Never logged here.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;
use thiserror::Error;

/// Why this process does not have the rights that it should have.
#[derive(Debug, Error)]
pub enum PrivilegeError {
    /// The operator names nobody.
    #[error(
        "there is no user \"{name}\": run `adduser --system --group --no-create-home {name}`, or correct `user` under [daemon]"
    )]
    NoUser {
        /// What he names.
        name: String,
    },
    /// A fault of ours.
    #[error("there are {threads} threads already: rights are given up before there is a second")]
    Threads {
        /// How many.
        threads: usize,
    },
    /// A folder could not be made, or given to its user.
    #[error(
        "cannot {doing} {}: {source}. The daemon needs folders that it can write to: mend it, or name another (`dir` under \
         [state], `socket` under [admin], `file` under [audit], `pin_dir` under [ingress])",
        .path.display()
    )]
    Folder {
        /// What was tried.
        doing: &'static str,
        /// With which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// It is shared with others, so it is not given to the daemon's user.
    #[error(
        "user {user} cannot write to {path}, and siglatch does not make that folder over because of {other} in it: configure a \
         folder of its own, or run `chown {user} {path}`",
        path = .path.display(), other = .other.display()
    )]
    Shared {
        /// The folder.
        path: PathBuf,
        /// Something else in it.
        other: PathBuf,
        /// The daemon's user.
        user: String,
    },
    /// The daemon's user cannot get there.
    #[error("user {user} cannot write to {path}: run `chown {user} {path}`, and let it enter the folders above", path = .path.display())]
    Closed {
        /// The folder.
        path: PathBuf,
        /// The daemon's user.
        user: String,
    },
    /// The kernel says no.
    #[error("cannot {doing}: {source}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// Its answer.
        #[source]
        source: io::Error,
    },
    /// Landlock is there, and says no.
    #[error("cannot hold this process to its folders")]
    Paths(#[source] Box<landlock::RulesetError>),
}

impl PrivilegeError {
    pub(super) fn system(doing: &'static str) -> impl Fn(Errno) -> Self {
        move |error| Self::System { doing, source: error.into() }
    }
}
