//! Reads the configuration anew, in a process of its own, for the programs in it. Never takes one that somebody but root could
//! have written, and never hears from the daemon what is in it.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};
use rustix::process::{Pid, Signal, kill_process};

use super::below::{Fork, fork, leave};
use super::keeper::read_table;
use super::message::{MESSAGE_MAX, Opening, encode_table};
use super::survey::is_roots_alone;
use super::table::Table;
use crate::policy::Program;

/// How a keeper comes by the programs of a configuration: by words that its daemon was begun with.
#[derive(Clone, Debug)]
pub(super) struct Configuration {
    /// What the daemon's `main` gave it: the file first.
    pub(super) words: Vec<OsString>,
    pub(super) read: Read,
}

/// Reads the configuration that these words name.
pub type Read = fn(&[OsString]) -> Result<Vec<Program>, String>;

/// A process that reads.
#[derive(Debug)]
pub(super) struct Reading {
    /// What the daemon calls it.
    pub(super) number: u32,
    pub(super) socket: OwnedFd,
    process: Pid,
}

impl Reading {
    /// Begins one.
    pub(super) fn begin(configuration: &Configuration, number: u32) -> std::io::Result<Self> {
        let (socket, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        match fork()? {
            Fork::Child => {
                drop(socket);
                tell(&theirs, configuration.programs());
                leave(0)
            }
            Fork::Parent(process) => Ok(Self { number, socket, process }),
        }
    }

    /// Takes what it has read, once it says something. Waits while it is in the middle of a word.
    pub(super) fn take(&self) -> Result<Table, String> {
        let mut first = [0];
        match recv(&self.socket, &mut first, RecvFlags::empty()) {
            Ok((1.., _)) if first == [SOUND] => {
                let read = read_table(&self.socket);
                read.map(|(_, table)| table).map_err(|error| format!("its programs were not told whole: {error}"))
            }
            Ok((1.., _)) => {
                let mut words = vec![0; MESSAGE_MAX];
                let length = recv(&self.socket, &mut *words, RecvFlags::empty()).map_or(0, |(length, _)| length);
                Err(String::from_utf8_lossy(words.get(..length).unwrap_or(&[])).into_owned())
            }
            Ok((0, _)) | Err(_) => Err("whoever read it died of it".to_owned()),
        }
    }

    /// Ends it: what it reads is of no more use. Its number is its own until it is reaped.
    pub(super) fn give_up(self) {
        let _ = kill_process(self.process, Signal::KILL);
    }
}

impl Configuration {
    /// The programs as they stand in the file now.
    fn programs(&self) -> Result<Vec<Program>, String> {
        let file = self.words.first().ok_or("there is no file to read again")?;
        is_roots_alone(Path::new(file)).map_err(|unfit| unfit.to_string())?;
        (self.read)(&self.words)
    }
}

/// Says what was read; whoever waits for it knows the end by its own.
fn tell(socket: &OwnedFd, programs: Result<Vec<Program>, String>) {
    let table = programs.and_then(|programs| {
        encode_table(&programs).map_err(|name| format!("the program of \"{name}\" is too long: at most 64 kB"))
    });
    let say = |bytes: &[u8]| send(socket, bytes, SendFlags::NOSIGNAL).is_ok();
    match table {
        Ok(table) => {
            let programs = u16::try_from(table.len()).unwrap_or(u16::MAX);
            let opening = Opening { generation: 0, programs }.encode();
            let _ = say(&[SOUND]) && say(&opening) && table.iter().all(|program| say(program));
        }
        Err(why) => {
            let end = why.floor_char_boundary(MESSAGE_MAX / 2);
            let _ = say(&[UNSOUND]) && say(why.get(..end).unwrap_or("").as_bytes());
        }
    }
}

const SOUND: u8 = 1;
const UNSOUND: u8 = 0;
