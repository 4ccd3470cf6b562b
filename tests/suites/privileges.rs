//! What a process that was confined as the daemon is can still do, tried from inside: everything that it needs, and nothing of
//! what somebody who got hold of it would want. Needs root, and fails without.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "folders, files and processes are what is tried"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use siglatch_tests::netns::{Namespace, PIN_FOLDER, run, sweep, unique};
use siglatch_tests::process::{Process, program};

#[test]
fn what_the_daemon_needs_works_for_its_user() -> Result<()> {
    works(Some(USER))
}

#[test]
fn what_the_daemon_needs_works_for_a_root_that_is_none() -> Result<()> {
    works(None)
}

#[test]
fn what_an_intruder_wants_is_refused_to_the_daemons_user() -> Result<()> {
    is_refused(Some(USER), false)
}

#[test]
fn what_an_intruder_wants_is_refused_to_a_root_that_is_none() -> Result<()> {
    is_refused(None, false)
}

#[test]
fn threads_that_begin_later_have_no_more() -> Result<()> {
    is_refused(Some(USER), true)
}

#[test]
fn what_holds_is_said_in_one_line() -> Result<()> {
    let room = Room::new()?;
    let (_, said) = room.confined(Some(USER), None, false)?;
    let line = said.lines().find(|line| line.starts_with("user=")).context(said.clone())?;
    ensure!(line.starts_with("user=nobody caps=net_admin seccomp=on landlock="), "{line}");
    ensure!(line.contains(" memory=locked"), "{line}");
    ensure!(said.contains(&format!("privileges: {line}")), "{said}");
    Ok(())
}

#[test]
fn pins_are_reached_below_a_folder_that_is_closed_to_the_daemons_user() -> Result<()> {
    let mut room = Room::new()?;
    let above = room.folder.join("bpf");
    fs::create_dir(&above)?;
    run(Command::new("mount").args(["-t", "bpf", "-o", "mode=0700", "none"]).arg(&above))?;
    room.pins = above.join("pins");
    let outcome = room.confined(Some(USER), Some("pin a map"), false);
    let is_there = room.pins.join("made").exists();
    run(Command::new("umount").arg(&above))?;
    let (status, said) = outcome?;
    ensure!(status == 0 && is_there, "{said}");
    Ok(())
}

fn works(user: Option<&str>) -> Result<()> {
    let room = Room::new()?;
    for attempt in NEEDED {
        let (status, said) = room.confined(user, Some(attempt), false)?;
        ensure!(status == 0, "{attempt}: {said}");
        let (status, said) = room.confined(user, Some(attempt), true)?;
        ensure!(status == 0, "{attempt}, in a thread: {said}");
    }
    Ok(())
}

fn is_refused(user: Option<&str>, in_thread: bool) -> Result<()> {
    let room = Room::new()?;
    for (attempt, expected) in UNWANTED {
        let (status, said) = room.confined(user, Some(attempt), in_thread)?;
        let is_as_expected = match expected {
            Refusal::Killed => status == -libc::SIGSYS,
            Refusal::Error(number) => status == 1 && said.lines().any(|line| line == format!("errno {number}")),
        };
        ensure!(is_as_expected, "{attempt}: expected {expected:?}, but there was {status}:\n{said}");
    }
    Ok(())
}

/// How something is refused.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    /// The process is ended.
    Killed,
    /// The call fails.
    Error(i32),
}

/// A namespace and folders to be confined in.
struct Room {
    namespace: Namespace,
    folder: PathBuf,
    pins: PathBuf,
}

impl Room {
    fn new() -> Result<Self> {
        sweep();
        let name = unique("inside");
        let (folder, pins) = (std::env::temp_dir().join(&name), PathBuf::from(PIN_FOLDER).join(&name));
        let namespace = Namespace::new("gate")?;
        fs::create_dir_all(folder.join("config"))?;
        for open in [folder.clone(), folder.join("config")] {
            fs::set_permissions(open, fs::Permissions::from_mode(0o755))?;
        }
        fs::write(folder.join("config/siglatch.toml"), "# nothing\n")?;
        Ok(Self { namespace, folder, pins })
    }

    /// How it ended — its exit code, or the signal below zero — and what it said.
    fn confined(&self, user: Option<&str>, attempt: Option<&str>, in_thread: bool) -> Result<(i32, String)> {
        // Each from the beginning, as root left it.
        let _ = fs::remove_dir_all(&self.pins);
        let _ = fs::remove_dir_all(self.folder.join("state"));
        let mut command = self.namespace.command(program("siglatch-inside")?);
        command.arg("--folder").arg(&self.folder).arg("--pins").arg(&self.pins);
        command.args(user.map(|user| format!("--user={user}")));
        command.args(attempt.map(|attempt| format!("--attempt={attempt}")));
        command.args(in_thread.then_some("--in-thread"));
        let (status, said) = Process::start(&mut command)?.end()?;
        let code = status.code().or_else(|| status.signal().map(|signal| -signal));
        Ok((code.context("it has ended")?, said))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.pins);
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A user that every machine has.
const USER: &str = "nobody";

const NEEDED: [&str; 20] = [
    "update a map",
    "look a map up",
    "pin a map",
    "ask about a map",
    "open a grant",
    "run nft",
    "watch nftables",
    "put the table back",
    "write its state",
    "make a socket in its folder",
    "read its configuration",
    "read a time zone",
    "find a user",
    "read about itself",
    "begin a thread",
    "have 64 MiB more",
    "begin a runtime",
    "listen to addresses",
    "bind a UDP port",
    "talk to a socket of the system's",
];

const ABSENT: Refusal = Refusal::Error(libc::ENOSYS);
const DENIED: Refusal = Refusal::Error(libc::EACCES);

const UNWANTED: [(&str, Refusal); 37] = [
    ("read a password", DENIED),
    ("write to /etc", DENIED),
    ("write its configuration", DENIED),
    ("look into /root", DENIED),
    ("look into /home", DENIED),
    ("write to /tmp", DENIED),
    ("execute a program", Refusal::Killed),
    ("execute an open file", Refusal::Killed),
    ("spawn a program", ABSENT),
    ("fork", ABSENT),
    ("fork as vfork does", ABSENT),
    ("fork in a new way", ABSENT),
    ("trace its parent", Refusal::Killed),
    ("read its parent's memory", Refusal::Killed),
    ("open its parent's memory", DENIED),
    ("signal its parent", ABSENT),
    ("become root", ABSENT),
    ("become root's group", ABSENT),
    ("raise a capability", ABSENT),
    ("make any other BPF call", ABSENT),
    ("load a BPF program", ABSENT),
    ("make a map", ABSENT),
    ("mount", Refusal::Killed),
    ("leave its namespaces", Refusal::Killed),
    ("load a module", Refusal::Killed),
    ("see frames", ABSENT),
    ("forge packets", ABSENT),
    ("talk to the hypervisor", ABSENT),
    ("use the kernel's ciphers", ABSENT),
    ("connect to a service", DENIED),
    ("offer a service", DENIED),
    ("raise its limits", ABSENT),
    ("let its core be dumped", ABSENT),
    ("make data code", ABSENT),
    ("use io_uring", ABSENT),
    ("make a file without a name", ABSENT),
    ("keep a key in the kernel", Refusal::Killed),
];
