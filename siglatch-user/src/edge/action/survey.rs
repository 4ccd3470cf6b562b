//! Whether a program is fit to be started: its file and every folder on the way to it are root's alone to change, and it
//! can be executed. Never starts it. Access lists beyond the mode bits are not looked at.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use thiserror::Error;

use super::Account;
use crate::gate::NotStarted;
use crate::policy::Program;

/// Why a program is not fit, and what to do about it.
#[derive(Debug, Error)]
pub enum Unfit {
    /// Nothing is there.
    #[error("{} is not there: install it, or correct `exec`", .path.display())]
    Missing {
        /// What was looked for.
        path: PathBuf,
    },
    /// A folder or a device.
    #[error("{} is not a file: name the program itself in `exec`", .path.display())]
    NotAFile {
        /// What was looked at.
        path: PathBuf,
    },
    /// The mode does not allow it.
    #[error("{user} may not execute {path}: run `chmod a+rx {path}`", path = .path.display())]
    NotExecutable {
        /// The file, or a folder on the way to it.
        path: PathBuf,
        /// Who.
        user: String,
    },
    /// A script whose interpreter could not read it.
    #[error("{user} may not read the script {path}: run `chmod a+r {path}`", path = .path.display())]
    NotReadable {
        /// The script.
        path: PathBuf,
        /// Who.
        user: String,
    },
    /// A script for something that is not installed.
    #[error("the interpreter of {path}, {interpreter:?}, is not there: install it, or correct the first line", path = .path.display())]
    NoInterpreter {
        /// The script.
        path: PathBuf,
        /// What its first line names.
        interpreter: String,
    },
    /// Somebody else could change it.
    #[error("{path} belongs to user {owner}, who could change it: run `chown root {path}`", path = .path.display())]
    NotRoots {
        /// The file, or a folder or link on the way to it.
        path: PathBuf,
        /// By number.
        owner: u32,
    },
    /// Somebody else could change it.
    #[error("{path} can be changed by others than root (mode {mode:04o}): run `chmod go-w {path}`", path = .path.display())]
    Writable {
        /// The file, or a folder on the way to it.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// `run_as` names nobody.
    #[error("there is no user \"{name}\": run `useradd --system {name}`, or correct `run_as`")]
    NoUser {
        /// What it names.
        name: String,
    },
    /// `run_groups` names nobody.
    #[error("there is no group \"{name}\": run `groupadd --system {name}`, or correct `run_groups`")]
    NoGroup {
        /// What it names.
        name: String,
    },
    /// Whoever starts programs is not root, or not all of root.
    #[error(
        "what starts programs cannot become {user}: copy {PROGRAMS_CONF} to /etc/systemd/system/siglatch.service.d/ and run \
         `systemctl daemon-reload; systemctl restart siglatch`; without systemd, start siglatch-user as root"
    )]
    OtherUser {
        /// Who, with their groups.
        user: String,
    },
    /// `folder` is none.
    #[error("there is no folder {path}: make it, or correct `folder`", path = .path.display())]
    NoFolder {
        /// What it names.
        path: PathBuf,
    },
    /// `folder` is closed.
    #[error("{user} may not enter {path}: run `chmod a+x {path}`, or correct `folder`", path = .path.display())]
    FolderClosed {
        /// What it names.
        path: PathBuf,
        /// Who.
        user: String,
    },
    /// The disk does not say.
    #[error("cannot look at {}: {source}", .path.display())]
    Unknown {
        /// What was looked at.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
}

impl Unfit {
    /// The same as the end of a run.
    #[must_use]
    pub fn why(&self) -> NotStarted {
        match self {
            Self::Missing { .. } => NotStarted::Missing,
            Self::NotAFile { .. }
            | Self::NotExecutable { .. }
            | Self::NotReadable { .. }
            | Self::NoInterpreter { .. } => NotStarted::NotExecutable,
            Self::NotRoots { .. } | Self::Writable { .. } => NotStarted::WritableByOthers,
            Self::NoUser { .. } | Self::NoGroup { .. } => NotStarted::NoSuchUser,
            Self::OtherUser { .. } => NotStarted::OtherUser,
            Self::NoFolder { .. } | Self::FolderClosed { .. } => NotStarted::NoFolder,
            Self::Unknown { source, .. } => NotStarted::System(source.raw_os_error().unwrap_or(0)),
        }
    }
}

/// Looks whether a program can be started as things are, and who it would run as.
///
/// # Errors
/// [`Unfit`] is the first thing that is in the way.
pub fn survey(program: &Program) -> Result<Account, Unfit> {
    let account = Account::of(program)?;
    let user = &program.run_as;
    let path = Path::new(program.command.first().map_or("", String::as_str));
    let file = walk(path, &account, user)?;
    let is_executable = if account.uid == 0 { file.mode() & 0o111 != 0 } else { may(&account, EXECUTE, &file) };
    if !is_executable {
        return Err(Unfit::NotExecutable { path: path.to_owned(), user: user.clone() });
    }
    if let Some(interpreter) = interpreter(path) {
        if !fs::metadata(&interpreter).is_ok_and(|found| found.is_file() && found.mode() & 0o111 != 0) {
            let interpreter = interpreter.to_string_lossy().into_owned();
            return Err(Unfit::NoInterpreter { path: path.to_owned(), interpreter });
        }
        if account.uid != 0 && !may(&account, READ, &file) {
            return Err(Unfit::NotReadable { path: path.to_owned(), user: user.clone() });
        }
    }
    match fs::metadata(&program.folder) {
        Ok(folder) if !folder.is_dir() => Err(Unfit::NoFolder { path: program.folder.clone() }),
        Ok(folder) if account.uid != 0 && !may(&account, EXECUTE, &folder) => {
            Err(Unfit::FolderClosed { path: program.folder.clone(), user: user.clone() })
        }
        Ok(_) => Ok(account),
        Err(_) => Err(Unfit::NoFolder { path: program.folder.clone() }),
    }
}

/// Looks whether nobody but root could change what stands in a file. A process that is not root asks for its own files.
pub(super) fn is_roots_alone(path: &Path) -> Result<(), Unfit> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let root = Account { uid: 0, gid: 0, groups: Vec::new() };
    walk(path, &root, "root").map(drop)
}

/// Goes from the root to the file, through links, and looks at everything on the way.
fn walk(path: &Path, account: &Account, user: &str) -> Result<Metadata, Unfit> {
    let missing = || Unfit::Missing { path: path.to_owned() };
    let (mut here, mut ahead, mut links) = (PathBuf::from("/"), VecDeque::new(), 0);
    let mut at = look(&here)?;
    enter(&mut ahead, path);
    loop {
        if at.uid() != 0 {
            return Err(Unfit::NotRoots { path: here, owner: at.uid() });
        }
        // In a sticky folder nobody can replace what is root's.
        let is_sticky = at.is_dir() && at.mode() & STICKY != 0;
        if !at.is_symlink() && at.mode() & 0o022 != 0 && !is_sticky {
            return Err(Unfit::Writable { mode: at.mode() & 0o7777, path: here });
        }
        if at.is_symlink() {
            links += 1;
            let target = fs::read_link(&here).map_err(|source| unknown(&here, source))?;
            here.pop();
            if target.is_absolute() {
                here = PathBuf::from("/");
            }
            enter(&mut ahead, &target);
        }
        let Some(next) = ahead.pop_front().filter(|_| links <= LINKS_MAX) else { break };
        if at.is_dir() && account.uid != 0 && !may(account, EXECUTE, &at) {
            return Err(Unfit::NotExecutable { path: here, user: user.to_owned() });
        }
        if next == ".." {
            here.pop();
        } else {
            here.push(next);
        }
        at = match look(&here) {
            Err(Unfit::Missing { .. }) => return Err(missing()),
            looked => looked?,
        };
    }
    if at.is_symlink() {
        return Err(missing());
    }
    if !at.is_file() {
        return Err(Unfit::NotAFile { path: here });
    }
    Ok(at)
}

/// Puts the steps of a path before those that are still ahead.
fn enter(ahead: &mut VecDeque<OsString>, path: &Path) {
    for step in path.components().rev() {
        match step {
            Component::Normal(name) => ahead.push_front(name.to_owned()),
            Component::ParentDir => ahead.push_front("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
}

fn look(path: &Path) -> Result<Metadata, Unfit> {
    fs::symlink_metadata(path).map_err(|source| unknown(path, source))
}

fn unknown(path: &Path, source: io::Error) -> Unfit {
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Unfit::Missing { path: path.to_owned() },
        _ => Unfit::Unknown { path: path.to_owned(), source },
    }
}

/// What the first line of a script names.
fn interpreter(path: &Path) -> Option<PathBuf> {
    let mut line = Vec::new();
    File::open(path).ok()?.take(LINE_MAX).read_to_end(&mut line).ok()?;
    let line = line.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let name = line.trim_ascii_start().split(|byte| matches!(byte, b' ' | b'\t')).next()?;
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(name)))
}

fn may(account: &Account, what: u32, file: &Metadata) -> bool {
    account.may(what, file.uid(), file.gid(), file.mode())
}

/// The drop-in for the unit, where the package puts it.
const PROGRAMS_CONF: &str = "/usr/share/doc/siglatch/examples/systemd/programs.conf";

const READ: u32 = 4;
const EXECUTE: u32 = 1;

/// `S_ISVTX`.
const STICKY: u32 = 0o1000;

/// As the kernel has it (`MAXSYMLINKS`).
const LINKS_MAX: u32 = 40;

/// As much of a script as the kernel looks at (`BINPRM_BUF_SIZE`).
const LINE_MAX: u64 = 256;
