//! Builds the XDP program into one object file: which flags, which folder, which sections stay.
//!
//! It never touches the outer build's target folder, and never installs what it lacks.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::bpf_linker::BpfLinker;
use crate::programs::{cargo, cargo_of_its_own, on_path};
use crate::toolchain::{Compiler, READY_OBJECT, Rustc, Search, TARGET, ready_object};
use crate::workspace_root;

const PACKAGE: &str = "siglatch-ebpf";

/// What is built.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target {
    /// The filter.
    Filter,
    /// The filter's parts, one program each, for tests and measurements.
    Parts,
}

impl Target {
    const fn bin(self) -> &'static str {
        match self {
            Self::Filter => "siglatch-xdp",
            Self::Parts => "siglatch-parts",
        }
    }
}

/// Every file and folder that decides what the object contains, for `cargo::rerun-if-changed`.
#[must_use]
pub fn inputs() -> Vec<PathBuf> {
    // Of this crate, cargo knows the library: a build script is linked to it, and runs again when it is built again.
    let sources = ["siglatch-ebpf", "siglatch-common/src", "siglatch-common/Cargo.toml", "Cargo.toml", "Cargo.lock"];
    let sources = sources.iter().map(|source| workspace_root().join(source));
    // A path that does not exist would make every build run again.
    sources.chain(ready_object()).filter(|input| input.exists()).collect()
}

/// What will build the object, found but not yet run.
#[derive(Debug)]
pub struct Plan {
    /// The compiler, or the ready object.
    pub compiler: Compiler,
    /// The linker, unless there is nothing to link.
    pub linker: Option<BpfLinker>,
    /// The ways that were looked at before the chosen one, each with what it lacks.
    pub rejected: Vec<String>,
}

impl Plan {
    /// Finds a compiler and a linker.
    ///
    /// # Errors
    /// If either is missing. The error says what was tried, and which command installs it.
    pub fn find() -> Result<Self> {
        let Search { chosen, rejected } = Search::run();
        let Some(compiler) = chosen else {
            bail!("no compiler for BPF: {}\n{CURE}", rejected.join("; "));
        };
        let linker = compiler.rustc().map(BpfLinker::find).transpose();
        let linker = linker.or_else(|error| bail!("{error:#}\n{CURE}"))?;
        Ok(Self { compiler, linker, rejected })
    }

    /// Compiles and links, or takes the ready object.
    ///
    /// # Errors
    /// If the build fails (the error carries the compiler's messages), or the ready object is no BPF object.
    pub fn build(&self, target: Target) -> Result<Object> {
        self.build_at(target, workspace_root())
    }

    /// Builds the filter here, and again from a copy of the sources in another folder; answers with the size of both.
    ///
    /// # Errors
    /// If they differ in a byte, or a build fails.
    pub fn verify(&self) -> Result<u64> {
        let copy = env::temp_dir().join(format!("siglatch-verify-{}", std::process::id())).join("elsewhere");
        let verified = self.build_twice(&copy);
        if let Some(folder) = copy.parent() {
            drop(fs::remove_dir_all(folder));
        }
        verified
    }

    fn build_twice(&self, copy: &Path) -> Result<u64> {
        copy_sources(workspace_root(), copy)?;
        let place = |root: &Path| -> Result<Vec<u8>> {
            let placed = copy.join(format!("{}.o", if root == copy { "there" } else { "here" }));
            self.build_at(Target::Filter, root)?.place(&placed)?;
            Ok(fs::read(placed)?)
        };
        let (here, there) = (place(workspace_root())?, place(copy)?);
        if here != there {
            let at = here.iter().zip(&there).take_while(|(here, there)| here == there).count();
            bail!("two builds differ: {} and {} bytes, from byte {at} on", here.len(), there.len());
        }
        Ok(u64::try_from(here.len())?)
    }

    fn build_at(&self, target: Target, root: &Path) -> Result<Object> {
        let (file, warnings) = match (&self.compiler, &self.linker) {
            (Compiler::Ready(object), _) if target == Target::Filter => (object.clone(), String::new()),
            (Compiler::Ready(object), _) => {
                bail!(
                    "{} is the filter alone: tests and measurements need a compiler for BPF\n{CURE}",
                    object.display()
                )
            }
            (Compiler::BuildsCore(rustc), Some(linker)) => {
                let cargo = rustc.path.with_file_name("cargo");
                compile(cargo_of_its_own(&cargo).arg("-Zbuild-std=core"), root, target, rustc, linker)?
            }
            (Compiler::BringsCore(rustc), Some(linker)) => {
                // Debian's compiler calls itself stable; the XDP program's target is not.
                compile(cargo_of_its_own(&cargo()).env("RUSTC_BOOTSTRAP", "1"), root, target, rustc, linker)?
            }
            (Compiler::BuildsCore(_) | Compiler::BringsCore(_), None) => bail!("no bpf-linker\n{CURE}"),
        };
        check_is_bpf(&file).with_context(|| match self.compiler {
            Compiler::Ready(_) => format!("{READY_OBJECT}={}", file.display()),
            Compiler::BuildsCore(_) | Compiler::BringsCore(_) => "the build made something else".to_owned(),
        })?;
        Ok(Object { file, warnings, ready: self.linker.is_none() })
    }
}

/// A built XDP program.
#[derive(Debug)]
pub struct Object {
    /// As it was linked, debug information included.
    pub file: PathBuf,
    /// What the compiler remarked, or nothing.
    pub warnings: String,
    ready: bool,
}

/// An object where it is to be used.
#[derive(Debug)]
pub struct Placed {
    /// Its size in bytes.
    pub bytes: u64,
    /// What was taken out of it, or why nothing was.
    pub stripped: String,
}

impl Object {
    /// Puts the object at `destination`, without debug information but with its BTF.
    ///
    /// The file there changes only if its content does, and then at one stroke: builds that run beside this one
    /// never see half of it. A ready object is taken as it is.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    pub fn place(&self, destination: &Path) -> Result<Placed> {
        let draft = destination.with_extension(format!("{}.tmp", std::process::id()));
        let stripped = self.write_draft(&draft);
        let placed = stripped.and_then(|stripped| {
            let bytes = settle(&draft, destination)?;
            Ok(Placed { bytes, stripped })
        });
        if placed.is_err() {
            drop(fs::remove_file(&draft));
        }
        placed.with_context(|| format!("cannot place the BPF object at {}", destination.display()))
    }

    fn write_draft(&self, draft: &Path) -> Result<String> {
        if let Some(folder) = draft.parent() {
            fs::create_dir_all(folder)?;
        }
        if self.ready {
            fs::copy(&self.file, draft)?;
            return Ok("taken as it is".to_owned());
        }
        for (name, mut objcopy) in objcopies() {
            let run = objcopy.arg("--strip-debug").args([&self.file, draft]).output();
            if run.is_ok_and(|output| output.status.success()) {
                return Ok(format!("debug information removed, BTF kept ({name})"));
            }
        }
        fs::copy(&self.file, draft)?;
        Ok("debug information kept: neither rust-objcopy nor llvm-objcopy runs here".to_owned())
    }
}

/// Builds the object for a package that embeds it.
///
/// # Errors
/// As [`Plan::find`], [`Plan::build`] and [`Object::place`].
fn build_into(target: Target, destination: &Path) -> Result<Object> {
    let object = Plan::find()?.build(target)?;
    object.place(destination)?;
    Ok(object)
}

/// What a build script does that embeds the object as `$OUT_DIR/FILE`: builds it, and tells cargo what it was made of.
#[must_use]
pub fn embed(target: Target, file: &str) -> ExitCode {
    for input in inputs() {
        println!("cargo::rerun-if-changed={}", input.display());
    }
    println!("cargo::rerun-if-env-changed={READY_OBJECT}");
    let folder = env::var_os("OUT_DIR").context("cargo names OUT_DIR");
    let built = folder.and_then(|folder| build_into(target, &Path::new(&folder).join(file)));
    match built {
        Ok(object) => {
            if !object.warnings.is_empty() {
                println!("cargo::warning={} builds with warnings: `cargo xtask lint` shows them", target.bin());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            // Not returned from `main`: a backtrace of the build script helps nobody.
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The folder of the nested build. Its own, because the outer cargo holds the lock of the usual one.
#[must_use]
pub fn build_folder() -> PathBuf {
    folder_under(workspace_root())
}

fn folder_under(root: &Path) -> PathBuf {
    root.join("target/bpf")
}

/// Runs the nested cargo; answers with the linked file and the compiler's warnings.
fn compile(
    cargo: &mut Command,
    root: &Path,
    target: Target,
    rustc: &Rustc,
    linker: &BpfLinker,
) -> Result<(PathBuf, String)> {
    let flags = [
        format!("-Clinker={}", linker.path.display()),
        "-Clink-arg=--btf".to_owned(),
        // BTF is made from it.
        "-Cdebuginfo=2".to_owned(),
        // 32-bit arithmetic and jumps, which every kernel that takes the program has.
        "-Ctarget-cpu=v3".to_owned(),
        // An address read in one piece, not byte by byte: the verifiers of x86-64 and arm64 allow it.
        "-Clink-arg=--cpu-features=+allows-misaligned-mem-access".to_owned(),
    ];
    let flags = [&flags[..], &remapped(root)].concat();
    cargo
        .current_dir(root)
        .args(["build", "--release", "--package", PACKAGE, "--bin", target.bin(), "--target", TARGET])
        // The compiler for BPF has a version of its own.
        .args(["--ignore-rust-version", "--color", "never", "--target-dir"])
        .arg(folder_under(root))
        .env("RUSTC", &rustc.path)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    if root.join("Cargo.lock").is_file() {
        cargo.arg("--locked");
    }
    let output = cargo.output().with_context(|| format!("cannot run {}", cargo.get_program().display()))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        bail!("the XDP program does not build ({rustc}; {linker})\n{}{}", said.trim_end(), hint(&said, linker));
    }
    let file = folder_under(root).join(TARGET).join("release").join(target.bin());
    let warnings = if warns_of_ours(&said) { said } else { String::new() };
    Ok((file, warnings))
}

/// Names for the folders of this machine: BTF names every source file, and two machines build the same bytes.
fn remapped(root: &Path) -> Vec<String> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    // A folder for each registry, named after it.
    let crates = home.and_then(|home| fs::read_dir(home.join("registry/src")).ok());
    let crates = crates.into_iter().flatten().filter_map(|folder| Some((folder.ok()?.path(), "crates")));
    let names = crates.chain([(root.to_owned(), "siglatch")]);
    names.map(|(folder, name)| format!("--remap-path-prefix={}={name}", folder.display())).collect()
}

/// Copies what is built from; not what was built, and not the history.
fn copy_sources(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let (entry, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        let is_left_out = name.to_string_lossy().starts_with('.') || name == "target";
        if entry.is_dir() && !is_left_out {
            copy_sources(&entry, &to.join(name))?;
        } else if entry.is_file() {
            fs::copy(&entry, to.join(name))?;
        }
    }
    Ok(())
}

/// Whether the compiler remarked on a crate of this workspace; what cargo has to say about manifests is its own.
fn warns_of_ours(said: &str) -> bool {
    said.lines().any(|line| line.starts_with("warning: `siglatch-") && line.contains(" generated "))
}

fn hint(said: &str, linker: &BpfLinker) -> &'static str {
    let at_linking = said.contains("linking with") || said.contains("bpf-linker");
    if at_linking && linker.llvm.is_none() {
        return "\nThis bpf-linker comes from PATH and may carry an older LLVM than the compiler: take it off PATH, \
                and `cargo xtask setup` builds one that fits.";
    }
    ""
}

/// The programs that may remove debug information, best first.
fn objcopies() -> Vec<(&'static str, Command)> {
    let mut found = Vec::new();
    if let Ok(rustc) = Rustc::of_the_host() {
        let lib = rustc.sysroot.join("lib");
        let mut objcopy = Command::new(lib.join("rustlib").join(rustc.host).join("bin/rust-objcopy"));
        // It needs its toolchain's libLLVM, and does not say where that is.
        objcopy.env("LD_LIBRARY_PATH", lib);
        found.push(("rust-objcopy", objcopy));
    }
    found.extend(on_path("llvm-objcopy").map(|tool| ("llvm-objcopy", Command::new(tool))));
    found
}

/// Moves the draft over the file if they differ, else throws it away; answers with the size.
fn settle(draft: &Path, file: &Path) -> Result<u64> {
    let content = fs::read(draft)?;
    if fs::read(file).is_ok_and(|present| present == content) {
        fs::remove_file(draft)?;
    } else {
        fs::rename(draft, file)?;
    }
    Ok(u64::try_from(content.len())?)
}

/// A little-endian 64-bit ELF file for BPF.
fn check_is_bpf(object: &Path) -> Result<()> {
    /// `EI_CLASS` and `EI_DATA` of ELF: 64 bits, little-endian.
    const ELF64_LITTLE: &[u8] = b"\x7fELF\x02\x01";
    /// `EM_BPF`, at offset 18 of the ELF header.
    const BPF: [u8; 2] = 247_u16.to_le_bytes();
    let content = fs::read(object).with_context(|| format!("cannot read {}", object.display()))?;
    if !content.starts_with(ELF64_LITTLE) || content.get(18..20) != Some(&BPF) {
        bail!("{} is not a little-endian BPF object", object.display());
    }
    Ok(())
}

const CURE: &str = "Run `cargo xtask setup`: it installs what the BPF program needs, or says how to get it.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_bpf_object_is_refused() {
        let own = env::current_exe().unwrap();
        assert!(check_is_bpf(&own).unwrap_err().to_string().ends_with("is not a little-endian BPF object"));
        assert!(check_is_bpf(Path::new("/nonexistent")).unwrap_err().to_string().starts_with("cannot read"));
    }

    #[test]
    fn only_the_workspace_s_own_warnings_count() {
        assert!(warns_of_ours("warning: unused\nwarning: `siglatch-ebpf` (bin \"siglatch-xdp\") generated 1 warning"));
        assert!(!warns_of_ours("warning: profile package spec `rsa` in profile `dev` did not match any packages"));
    }

    #[test]
    fn an_unchanged_file_is_left_alone() {
        let folder = env::temp_dir().join(format!("siglatch-settle-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (draft, file) = (folder.join("draft"), folder.join("file"));
        fs::write(&file, "same").unwrap();
        let before = fs::metadata(&file).unwrap().modified().unwrap();

        fs::write(&draft, "same").unwrap();
        assert_eq!(settle(&draft, &file).unwrap(), 4);
        assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), before);

        fs::write(&draft, "other").unwrap();
        assert_eq!(settle(&draft, &file).unwrap(), 5);
        assert_eq!(fs::read(&file).unwrap(), b"other");
        assert!(!draft.exists());
        fs::remove_dir_all(&folder).unwrap();
    }
}
