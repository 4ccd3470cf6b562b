//! Decides which bpf-linker links the BPF program: this checkout's own, else one on PATH.
//!
//! It knows which LLVM a linker must carry to read a compiler's bitcode. It never installs a linker.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::programs::{all_on_path, answer};
use crate::toolchain::{Rustc, first_number};
use crate::tools_folder;

/// The version that set-up installs.
pub const PINNED: &str = "0.13.0";

/// The LLVM majors that the pinned version can be built against: its `llvm-*` features.
pub const LLVM_FEATURES: [u32; 3] = [21, 22, 23];

/// The oldest version on PATH that is taken. Older ones were never tried with this program.
const OLDEST: (u32, u32) = (0, 10);

/// A linker that runs and fits the compiler.
#[derive(Clone, Debug)]
pub struct BpfLinker {
    /// The executable.
    pub path: PathBuf,
    /// Its version, as in `0.13.0`.
    pub version: String,
    /// The LLVM inside it, where that is known: a linker on PATH does not tell.
    pub llvm: Option<u32>,
}

impl BpfLinker {
    /// The linker for what `rustc` emits.
    ///
    /// # Errors
    /// If none fits; the error says why each that was found does not.
    pub fn find(rustc: &Rustc) -> Result<Self> {
        let own = match Self::own(rustc) {
            Ok(linker) => return Ok(linker),
            Err(why) => format!("{why:#}"),
        };
        let mut rejected = vec![own];
        for path in all_on_path("bpf-linker") {
            match Self::on_path(path) {
                Ok(linker) => return Ok(linker),
                Err(why) => rejected.push(format!("{why:#}")),
            }
        }
        if rejected.len() == 1 {
            rejected.push("none on PATH".to_owned());
        }
        bail!("no bpf-linker that fits: {}", rejected.join("; "))
    }

    fn own(rustc: &Rustc) -> Result<Self> {
        let path = own_path();
        if !path.is_file() {
            bail!("{} is not there", path.display());
        }
        let version = version_of(&path)?;
        if version != PINNED {
            bail!("{} is {version}, wanted is {PINNED}", path.display());
        }
        let libraries = llvms_in(&own_llvm_folder().join("lib"));
        let llvm = libraries.iter().map(|library| library.major).max();
        let llvm = llvm.with_context(|| format!("{}: its libLLVM is gone", path.display()))?;
        if llvm < rustc.llvm {
            bail!("{} has LLVM {llvm}, too old for the bitcode of LLVM {}", path.display(), rustc.llvm);
        }
        Ok(Self { path, version, llvm: Some(llvm) })
    }

    fn on_path(path: PathBuf) -> Result<Self> {
        let version = version_of(&path)?;
        if parse_version(&version).is_none_or(|v| v < OLDEST) {
            bail!("{} is {version}, wanted is {}.{} or later", path.display(), OLDEST.0, OLDEST.1);
        }
        Ok(Self { path, version, llvm: None })
    }
}

impl fmt::Display for BpfLinker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bpf-linker {}", self.version)?;
        if let Some(llvm) = self.llvm {
            write!(f, " (LLVM {llvm})")?;
        }
        write!(f, ", {}", self.path.display())
    }
}

/// A shared libLLVM.
#[derive(Clone, Debug)]
pub struct LlvmLibrary {
    /// The library itself, not a linker script or a link to it.
    pub file: PathBuf,
    /// Its major version, as its name says.
    pub major: u32,
}

/// Where set-up puts this checkout's linker.
#[must_use]
pub fn own_path() -> PathBuf {
    tools_folder().join("bin/bpf-linker")
}

/// The folder whose `lib/` leads this checkout's linker to its libLLVM. It must stay as long as the linker does.
#[must_use]
pub fn own_llvm_folder() -> PathBuf {
    tools_folder().join("llvm")
}

/// A libLLVM that the pinned linker can be built against and that reads the bitcode of `rustc`.
///
/// First the compiler's own, then that of the compiler for everything else, then the distribution's: the
/// exact names differ from release to release, so the folders are listed.
#[must_use]
pub fn llvm_for(rustc: &Rustc, host: &Rustc) -> Option<LlvmLibrary> {
    let arch = host.host.split('-').next().unwrap_or_default();
    [
        rustc.sysroot.join("lib"),
        host.sysroot.join("lib"),
        PathBuf::from(format!("/usr/lib/{arch}-linux-gnu")),
        PathBuf::from("/usr/lib64"),
        PathBuf::from(format!("/usr/lib/llvm-{}/lib", rustc.llvm)),
    ]
    .iter()
    .flat_map(|folder| llvms_in(folder))
    .find(|library| library.major >= rustc.llvm && LLVM_FEATURES.contains(&library.major))
}

/// Every libLLVM in a folder, by its real name.
fn llvms_in(folder: &Path) -> Vec<LlvmLibrary> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let named = entries.filter(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libLLVM") && name.contains(".so")
    });
    // rustup ships a one-line linker script beside the library.
    let files = named.filter_map(|entry| fs::canonicalize(entry.path()).ok()).filter(|file| is_elf(file));
    files.filter_map(|file| Some(LlvmLibrary { major: first_number(file.file_name()?.to_str()?)?, file })).collect()
}

fn is_elf(file: &Path) -> bool {
    use std::io::Read as _;
    let mut magic = [0; 4];
    fs::File::open(file).and_then(|mut f| f.read_exact(&mut magic)).is_ok() && magic == *b"\x7fELF"
}

fn version_of(linker: &Path) -> Result<String> {
    let line = answer(Command::new(linker).arg("--version"))?;
    let version = line.split_whitespace().nth(1).with_context(|| format!("{}: {line:?}", linker.display()))?;
    Ok(version.to_owned())
}

fn parse_version(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert!(parse_version("0.9.15").unwrap() < OLDEST);
        assert!(parse_version("0.10.0").unwrap() >= OLDEST);
        assert!(parse_version("1.0.0").unwrap() >= OLDEST);
        assert_eq!(parse_version("unknown"), None);
    }

    #[test]
    fn a_linker_script_is_not_a_library() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        assert!(!is_elf(&folder.join("lib.rs")));
        assert!(llvms_in(&folder).is_empty());
    }

    #[test]
    fn the_pinned_linker_passes_its_own_test() {
        assert!(parse_version(PINNED).is_some_and(|version| version >= OLDEST));
    }
}
