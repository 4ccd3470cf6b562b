//! Packs static programs with what goes with them into one compressed archive. Never builds them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use super::Programs;
use super::contents::{DOCUMENTS, EXAMPLES, MORE_DOCUMENTS, there};
use super::release::Release;
use super::tree::Tree;
use crate::programs::{answer, on_path};
use crate::workspace_root;

/// What makes a program static.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StaticTarget {
    /// Linked with musl.
    Musl,
    /// Linked with glibc's archives.
    Glibc,
}

impl StaticTarget {
    /// What can be linked here: with musl if its target and its compiler are installed, else with glibc.
    #[must_use]
    pub fn that_links_here() -> Self {
        if Self::Musl.has_library() && on_path("musl-gcc").is_some() { Self::Musl } else { Self::Glibc }
    }

    /// Whether Rust's own library for it is installed.
    #[must_use]
    pub fn has_library(self) -> bool {
        let folder = answer(Command::new("rustc").args(["--print", "target-libdir", "--target", self.triple()]));
        folder.is_ok_and(|folder| Path::new(&folder).is_dir())
    }

    /// As rustc calls it.
    #[must_use]
    pub const fn triple(self) -> &'static str {
        match self {
            Self::Musl => "x86_64-unknown-linux-musl",
            Self::Glibc => "x86_64-unknown-linux-gnu",
        }
    }

    const fn notes(self) -> &'static str {
        match self {
            Self::Musl => {
                "These programs are linked with musl. Users and groups that the configuration names are looked up in\n\
                 /etc/passwd and /etc/group alone: not in LDAP, not in what sssd or systemd-homed know.\n"
            }
            Self::Glibc => {
                "These programs are linked with the static glibc. It looks names up (of hosts, of users) by libraries of\n\
                 the very same version, if the machine has them, else in /etc/passwd, /etc/group and /etc/hosts alone:\n\
                 write addresses and numbers where names are not found.\n"
            }
        }
    }
}

/// Whether a program needs no library and no loader.
///
/// # Errors
/// If it cannot be read.
pub fn is_static(program: &Path) -> Result<bool> {
    /// `PT_INTERP`: names the loader.
    const INTERPRETER: u32 = 3;
    let content = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let number = |at: usize, size: usize| -> Result<usize> {
        let bytes = content.get(at..at + size).with_context(|| format!("{} is no program", program.display()))?;
        Ok(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    };
    ensure!(content.starts_with(b"\x7fELF\x02\x01"), "{} is no 64-bit program", program.display());
    // The table of segments: where it begins, the size of a row, the number of rows.
    let (begin, size, rows) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    for row in 0..rows {
        if number(begin + row * size, 4)? == INTERPRETER as usize {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes the archive in `out`; `work` is a folder for what is under way.
pub(super) fn build(
    programs: &Programs,
    release: &Release,
    target: StaticTarget,
    work: &Path,
    out: &Path,
) -> Result<PathBuf> {
    let name = format!("siglatch-{}-x86_64-linux-static", release.version);
    let tree = Tree::new(work.join(&name))?;
    for program in Programs::ALL {
        let path = programs.path(program);
        if !is_static(&path)? {
            bail!("{} needs a loader: it is not static", path.display());
        }
        let folder = if program == Programs::DAEMON { "sbin" } else { "bin" };
        tree.program(&format!("{folder}/{program}"), &path)?;
    }
    fill(&tree, programs, target)?;
    tree.set_times(release.epoch)?;

    let archive = out.join(format!("{name}.tar"));
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--format=gnu", "--create", "--file"]);
    tar.arg(&archive).arg(format!("--mtime=@{}", release.epoch)).arg("--directory").arg(work).arg(&name);
    answer(&mut tar)?;
    answer(Command::new("gzip").args(["-9n", "--force"]).arg(&archive))?;
    Ok(archive.with_extension("tar.gz"))
}

fn fill(tree: &Tree, programs: &Programs, target: StaticTarget) -> Result<()> {
    for (at, from) in [
        ("systemd/siglatch.service", "config/systemd/siglatch.service"),
        ("systemd/siglatch.socket", "config/systemd/siglatch.socket"),
        ("systemd/sysusers.d/siglatch.conf", "config/systemd/sysusers.d/siglatch.conf"),
        ("systemd/tmpfiles.d/siglatch.conf", "config/systemd/tmpfiles.d/siglatch.conf"),
        ("apparmor/siglatch-user", "config/apparmor/siglatch-user"),
        ("man/siglatch-user.8", "config/man/siglatch-user.8"),
        ("examples/siglatch.toml", "config/siglatch.toml"),
        ("LICENSE-APACHE", "LICENSE-APACHE"),
        ("LICENSE-MIT", "LICENSE-MIT"),
        ("CHANGELOG.md", "CHANGELOG.md"),
    ] {
        tree.copy(at, from)?;
    }
    for (from, name) in EXAMPLES {
        tree.copy_all(name, from)?;
    }
    for document in DOCUMENTS.into_iter().chain(there(&MORE_DOCUMENTS)) {
        tree.copy(document, document)?;
    }
    for program in [Programs::CTL, Programs::CLIENT] {
        let pages = tree.root().with_file_name(format!("{program}.man"));
        programs.write_manual(program, &pages)?;
        for page in fs::read_dir(&pages)? {
            let page = page?;
            let name = page.file_name().into_string().unwrap_or_default();
            tree.write(&format!("man/{name}"), fs::read(page.path())?, 0o644)?;
        }
        for (shell, file) in
            [("bash", program.to_owned()), ("zsh", format!("_{program}")), ("fish", format!("{program}.fish"))]
        {
            tree.write(&format!("completions/{shell}/{file}"), programs.completions(program, shell)?, 0o644)?;
        }
    }
    let notes = fs::read_to_string(workspace_root().join("config/static/INSTALL.md"))?;
    tree.write("INSTALL.md", notes.replace("{linked}\n", target.notes()), 0o644)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_a_loader_is_not_static() {
        assert!(!is_static(Path::new("/proc/self/exe")).unwrap());
        assert!(is_static(&workspace_root().join("Cargo.toml")).is_err());
    }
}
