//! Makes what is handed out: Debian packages, and a tarball of static programs. Never compiles anything.
//!
//! The same programs and the same [`Release`] give the same bytes: times are fixed, names sorted, owners root.

mod contents;
mod deb;
mod release;
mod static_tarball;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

pub use deb::Squeeze;
pub use release::Release;
pub use static_tarball::{StaticTarget, is_static};

/// The programs that are packed, all in one folder.
#[derive(Clone, Debug)]
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// The daemon.
    pub const DAEMON: &str = "siglatch-user";
    /// The control command.
    pub const CTL: &str = "siglatchctl";
    /// What users knock with.
    pub const CLIENT: &str = "siglatch";
    /// All of them.
    pub const ALL: [&str; 3] = [Self::DAEMON, Self::CTL, Self::CLIENT];

    /// Those in a folder, as cargo leaves them there.
    ///
    /// # Errors
    /// If one is missing.
    pub fn in_folder(folder: &Path) -> Result<Self> {
        for name in Self::ALL {
            let program = folder.join(name);
            if !program.is_file() {
                bail!("{} is not built: `cargo build -p siglatch-user -p siglatch-client`", program.display());
            }
        }
        Ok(Self { folder: folder.to_owned() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Asks a program to write its manual pages into a folder, which is made.
    fn write_manual(&self, name: &str, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)?;
        let answer = crate::programs::answer(Command::new(self.path(name)).args(["man", "--dir"]).arg(folder));
        answer.map(drop).with_context(|| format!("{name} writes no manual pages"))
    }

    /// What makes a shell complete a program's command line.
    fn completions(&self, name: &str, shell: &str) -> Result<String> {
        let answer = crate::programs::answer(Command::new(self.path(name)).args(["completions", shell]));
        answer.map(|script| script + "\n").with_context(|| format!("{name} writes no completions for {shell}"))
    }
}

/// Makes the Debian packages, and says where they are.
///
/// # Errors
/// If a file that belongs into one is missing, or a program of dpkg's fails.
pub fn debs(programs: &Programs, release: &Release, squeeze: Squeeze, out: &Path) -> Result<Vec<PathBuf>> {
    let work = Workshop::new(out)?;
    let mut made = Vec::new();
    for (package, fill) in contents::PACKAGES {
        let tree = tree::Tree::new(work.folder.join(package))?;
        fill(&tree, programs).with_context(|| format!("cannot fill package {package}"))?;
        contents::documents(&tree, package, release).with_context(|| format!("cannot fill package {package}"))?;
        made.push(deb::build(package, &tree, release, squeeze, &work.folder, out)?);
    }
    Ok(made)
}

/// Makes the tarball of static programs, and says where it is.
///
/// # Errors
/// If a program is not static, a file is missing, or `tar` fails.
pub fn static_tarball(programs: &Programs, release: &Release, target: StaticTarget, out: &Path) -> Result<PathBuf> {
    let work = Workshop::new(out)?;
    static_tarball::build(programs, release, target, &work.folder, out)
}

/// A folder for what is under way, taken away when dropped.
struct Workshop {
    folder: PathBuf,
}

impl Workshop {
    fn new(out: &Path) -> Result<Self> {
        let folder = out.join(format!(".work-{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self { folder: fs::canonicalize(folder)? })
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.folder));
    }
}
