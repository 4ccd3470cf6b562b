//! A tree of files as it will stand on a machine: modes are set, times are not the disk's. Never decides what is in it.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};

use crate::programs::answer;
use crate::workspace_root;

/// A tree under construction.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
}

impl Tree {
    /// An empty one.
    pub(super) fn new(root: PathBuf) -> Result<Self> {
        fs::create_dir_all(&root)?;
        fs::set_permissions(&root, Permissions::from_mode(0o755))?;
        Ok(Self { root })
    }

    /// Its root on this machine.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// A folder, which may be empty.
    pub(super) fn folder(&self, at: &str, mode: u32) -> Result<PathBuf> {
        let mut path = self.root.clone();
        for part in Path::new(at) {
            path.push(part);
            if !path.is_dir() {
                fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
                fs::set_permissions(&path, Permissions::from_mode(0o755))?;
            }
        }
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
        Ok(path)
    }

    /// A file with these contents.
    pub(super) fn write(&self, at: &str, contents: impl AsRef<[u8]>, mode: u32) -> Result<()> {
        let path = self.place(at)?;
        fs::write(&path, contents).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(fs::set_permissions(&path, Permissions::from_mode(mode))?)
    }

    /// The same, compressed; `.gz` is added to the name.
    pub(super) fn write_compressed(&self, at: &str, contents: impl AsRef<[u8]>) -> Result<()> {
        self.write(at, contents, 0o644)?;
        // Without name and time.
        answer(Command::new("gzip").args(["-9n", "--force"]).arg(self.root.join(at))).map(drop)
    }

    /// A file of this workspace; executable if it is one there.
    pub(super) fn copy(&self, at: &str, from: &str) -> Result<()> {
        let source = workspace_root().join(from);
        let contents = fs::read(&source).with_context(|| format!("{from} is missing"))?;
        let is_executable = source.metadata()?.permissions().mode() & 0o111 != 0;
        self.write(at, contents, if is_executable { 0o755 } else { 0o644 })
    }

    /// Every file below a folder of this workspace; says whether there was one.
    pub(super) fn copy_all(&self, at: &str, from: &str) -> Result<bool> {
        let mut found = false;
        for name in names(&workspace_root().join(from))? {
            let (at, from) = (format!("{at}/{name}"), format!("{from}/{name}"));
            if workspace_root().join(&from).is_dir() {
                found |= self.copy_all(&at, &from)?;
            } else {
                self.copy(&at, &from)?;
                found = true;
            }
        }
        Ok(found)
    }

    /// A program, without what only a debugger reads.
    pub(super) fn program(&self, at: &str, from: &Path) -> Result<()> {
        let path = self.place(at)?;
        // Notes say how it was compiled, and take room.
        let mut strip = Command::new("strip");
        strip.args(["--strip-unneeded", "--remove-section=.comment", "--remove-section=.note", "-o"]);
        answer(strip.arg(&path).arg(from))?;
        Ok(fs::set_permissions(&path, Permissions::from_mode(0o755))?)
    }

    /// Gives everything in it the same time.
    pub(super) fn set_times(&self, epoch: u64) -> Result<()> {
        let time = UNIX_EPOCH + Duration::from_secs(epoch);
        for entry in self.everything()? {
            File::open(&entry).and_then(|file| file.set_modified(time)).with_context(|| entry.display().to_string())?;
        }
        Ok(())
    }

    /// The files in it, as paths from its root, sorted.
    pub(super) fn files(&self) -> Result<Vec<String>> {
        let mut files = Vec::new();
        for entry in self.everything()?.into_iter().filter(|entry| entry.is_file()) {
            let name =
                entry.strip_prefix(&self.root)?.to_str().with_context(|| format!("{} is no text", entry.display()))?;
            files.push(name.to_owned());
        }
        files.sort();
        Ok(files)
    }

    /// Files and folders, its root as well; what is in a folder comes before it.
    fn everything(&self) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        collect(&self.root, &mut found)?;
        Ok(found)
    }

    fn place(&self, at: &str) -> Result<PathBuf> {
        let path = self.root.join(at);
        let folder = Path::new(at).parent().and_then(Path::to_str).context("a file has a folder")?;
        if !self.root.join(folder).is_dir() {
            self.folder(folder, 0o755)?;
        }
        ensure!(!path.exists(), "{at} is there twice");
        Ok(path)
    }
}

/// The sum of lines that `md5sum` prints of files below a folder.
pub(super) fn md5_sums(root: &Path, files: &[String]) -> Result<String> {
    let mut command = Command::new("md5sum");
    let output = command.current_dir(root).arg("--").args(files).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "md5sum: {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for name in names(folder)? {
        let path = folder.join(name);
        if path.is_dir() {
            collect(&path, found)?;
        } else {
            found.push(path);
        }
    }
    found.push(folder.to_owned());
    Ok(())
}

/// What is in a folder, sorted; nothing if there is no such folder.
fn names(folder: &Path) -> Result<Vec<String>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let name = entry?.file_name();
        names.push(name.to_str().with_context(|| format!("{} is no text", name.display()))?.to_owned());
    }
    names.sort();
    Ok(names)
}
