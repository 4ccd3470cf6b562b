//! Decides which compiler builds the BPF program, and remembers everything it looked at.
//!
//! The order: a ready object that the user names; rustup's nightly with rust-src; any rustc that has a prebuilt
//! `core` for BPF. It never runs a build and never installs a compiler.

use std::collections::HashSet;
use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::programs::{all_on_path, answer, on_path};
use crate::workspace_root;

/// Names a ready object: nothing is compiled then.
pub const READY_OBJECT: &str = "SIGLATCH_BPF_OBJECT";

/// The target of the XDP program: BPF, little-endian.
pub const TARGET: &str = "bpfel-unknown-none";

/// A rustc and what it says about itself.
#[derive(Clone, Debug)]
pub struct Rustc {
    /// The executable.
    pub path: PathBuf,
    /// The folder that holds its `lib/rustlib`.
    pub sysroot: PathBuf,
    /// Its version, as in `1.95.0`.
    pub release: String,
    /// The target triple it runs on.
    pub host: String,
    /// The major version of the LLVM inside it: who reads its bitcode must not be older.
    pub llvm: u32,
}

impl Rustc {
    /// Asks the compiler at `path` what it is.
    ///
    /// # Errors
    /// If it does not run, or does not answer like a rustc.
    pub fn ask(path: &Path) -> Result<Self> {
        let sysroot = answer(Command::new(path).args(["--print", "sysroot"]))?;
        let about = answer(Command::new(path).arg("-vV"))?;
        Self::parse(path, Path::new(&sysroot), &about)
    }

    /// The compiler that builds everything that is not BPF.
    ///
    /// # Errors
    /// As [`Rustc::ask`].
    pub fn of_the_host() -> Result<Self> {
        Self::ask(&env::var_os("RUSTC").map_or_else(|| PathBuf::from("rustc"), PathBuf::from))
    }

    fn parse(path: &Path, sysroot: &Path, about: &str) -> Result<Self> {
        let field = |name: &str| {
            about
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .with_context(|| format!("{} -vV does not say its {name}", path.display()))
        };
        let llvm = field("LLVM version")?;
        Ok(Self {
            path: path.to_owned(),
            sysroot: sysroot.to_owned(),
            release: field("release")?.to_owned(),
            host: field("host")?.to_owned(),
            llvm: first_number(llvm).with_context(|| format!("{}: LLVM version {llvm:?}", path.display()))?,
        })
    }

    fn has_core_for_bpf(&self) -> bool {
        let lib = self.sysroot.join("lib/rustlib").join(TARGET).join("lib");
        fs::read_dir(lib).is_ok_and(|mut entries| {
            entries.any(|entry| entry.is_ok_and(|e| e.file_name().to_string_lossy().starts_with("libcore-")))
        })
    }

    fn has_source_of_core(&self) -> bool {
        self.sysroot.join("lib/rustlib/src/rust/library/core/src/lib.rs").is_file()
    }
}

impl fmt::Display for Rustc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rustc {} (LLVM {}), {}", self.release, self.llvm, self.path.display())
    }
}

/// A way to come by the BPF program.
#[derive(Clone, Debug)]
pub enum Compiler {
    /// The user built it already.
    Ready(PathBuf),
    /// A nightly that compiles `core` from its source.
    BuildsCore(Rustc),
    /// A compiler that brings `core` for BPF along.
    BringsCore(Rustc),
}

impl Compiler {
    /// The compiler itself, unless there is nothing to compile.
    #[must_use]
    pub fn rustc(&self) -> Option<&Rustc> {
        match self {
            Self::Ready(_) => None,
            Self::BuildsCore(rustc) | Self::BringsCore(rustc) => Some(rustc),
        }
    }
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(object) => write!(f, "ready object {}", object.display()),
            Self::BuildsCore(rustc) => write!(f, "{rustc}, builds core from rust-src"),
            Self::BringsCore(rustc) => write!(f, "{rustc}, prebuilt core for BPF"),
        }
    }
}

/// What was looked at, in order, up to and including what was chosen.
#[derive(Debug, Default)]
pub struct Search {
    /// The first way that works.
    pub chosen: Option<Compiler>,
    /// The ways that do not, each with the reason.
    pub rejected: Vec<String>,
}

impl Search {
    /// Looks for a compiler in the documented order and stops at the first that will do.
    #[must_use]
    pub fn run() -> Self {
        let mut search = Self::default();
        let ready = ready_object().map(Compiler::Ready);
        search.chosen = ready.or_else(|| search.nightly()).or_else(|| search.prebuilt());
        search
    }

    fn nightly(&mut self) -> Option<Compiler> {
        let Some(rustup) = on_path("rustup") else {
            return self.reject("nightly with rust-src: rustup is not installed");
        };
        let mut where_is_it = Command::new(rustup);
        where_is_it.args(["run", "nightly", "rustc", "--print", "sysroot"]).env("RUSTUP_AUTO_INSTALL", "0");
        let Ok(sysroot) = answer(&mut where_is_it) else {
            return self.reject("nightly with rust-src: rustup has no nightly");
        };
        match Rustc::ask(&Path::new(&sysroot).join("bin/rustc")) {
            Ok(rustc) if rustc.has_source_of_core() => Some(Compiler::BuildsCore(rustc)),
            Ok(rustc) => self.reject(format!("nightly with rust-src: {} lacks rust-src", rustc.release)),
            Err(error) => self.reject(format!("nightly with rust-src: {error:#}")),
        }
    }

    fn prebuilt(&mut self) -> Option<Compiler> {
        let mut known = HashSet::new();
        let candidates = [PathBuf::from("/usr/bin/rustc")].into_iter().chain(all_on_path("rustc"));
        for path in candidates.filter(|path| path.is_file()) {
            if !known.insert(fs::canonicalize(&path).unwrap_or_else(|_| path.clone())) {
                continue;
            }
            match Rustc::ask(&path) {
                Ok(rustc) if rustc.has_core_for_bpf() => return Some(Compiler::BringsCore(rustc)),
                Ok(rustc) => {
                    self.rejected.push(format!("{} {}: no prebuilt core for BPF", path.display(), rustc.release));
                }
                Err(error) => self.rejected.push(format!("{}: {error:#}", path.display())),
            }
        }
        None
    }

    fn reject(&mut self, reason: impl Into<String>) -> Option<Compiler> {
        self.rejected.push(reason.into());
        None
    }
}

/// The object that [`READY_OBJECT`] names; a relative path counts from the workspace, wherever the build runs.
pub(crate) fn ready_object() -> Option<PathBuf> {
    let object = env::var_os(READY_OBJECT).filter(|value| !value.is_empty())?;
    Some(workspace_root().join(object))
}

/// The first run of digits, as LLVM's major version stands in `22.1.2` and in `libLLVM.so.22.1`.
pub(crate) fn first_number(text: &str) -> Option<u32> {
    text.split(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty())?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: &str = "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\n\
                         release: 1.95.0\nLLVM version: 22.1.2";

    #[test]
    fn a_compiler_is_known_by_its_own_words() {
        let rustc = Rustc::parse(Path::new("rustc"), Path::new("/usr"), ABOUT).unwrap();
        assert_eq!((rustc.release.as_str(), rustc.llvm), ("1.95.0", 22));
        assert_eq!(rustc.host, "x86_64-unknown-linux-gnu");
    }

    #[test]
    fn a_compiler_without_llvm_is_refused_by_name() {
        let error = Rustc::parse(Path::new("gccrs"), Path::new("/usr"), "host: a\nrelease: 1").unwrap_err();
        assert_eq!(error.to_string(), "gccrs -vV does not say its LLVM version");
    }

    #[test]
    fn the_first_number_is_the_major_version() {
        assert_eq!(first_number("22.1.2"), Some(22));
        assert_eq!(first_number("libLLVM-23-rust-1.99.0-nightly.so"), Some(23));
        assert_eq!(first_number("libLLVM.so"), None);
    }
}
