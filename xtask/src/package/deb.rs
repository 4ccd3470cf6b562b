//! Makes a Debian package of a tree: its control files from `config/debian`, the archive by `dpkg-deb`.
//!
//! It never decides what is in the tree.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::release::Release;
use super::tree::{Tree, md5_sums};
use crate::programs::answer;
use crate::workspace_root;

/// How much time is spent on making a package small.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Squeeze {
    /// As much as it takes: for what is handed out.
    Well,
    /// Little: for tests.
    Quickly,
}

/// Makes the package in `out`; `work` is a folder for what is under way.
pub(super) fn build(
    package: &str,
    tree: &Tree,
    release: &Release,
    squeeze: Squeeze,
    work: &Path,
    out: &Path,
) -> Result<PathBuf> {
    let files = tree.files()?;
    let architecture = answer(Command::new("dpkg").arg("--print-architecture"))?;
    let place = Installed { package, architecture: &architecture, tree, files: &files };

    tree.folder("DEBIAN", 0o755)?;
    tree.write("DEBIAN/control", place.control(release, work)?, 0o644)?;
    tree.write("DEBIAN/md5sums", md5_sums(tree.root(), &files)?, 0o644)?;
    let changeable: String =
        files.iter().filter(|file| file.starts_with("etc/")).map(|file| format!("/{file}\n")).collect();
    if !changeable.is_empty() {
        tree.write("DEBIAN/conffiles", changeable, 0o644)?;
    }
    for script in ["preinst", "postinst", "prerm", "postrm"] {
        let source = workspace_root().join(format!("config/debian/{package}.{script}"));
        if source.is_file() {
            tree.write(&format!("DEBIAN/{script}"), fs::read(source)?, 0o755)?;
        }
    }
    tree.set_times(release.epoch)?;

    let deb = out.join(format!("{package}_{}_{architecture}.deb", release.debian()));
    let mut command = Command::new("dpkg-deb");
    command.env("SOURCE_DATE_EPOCH", release.epoch.to_string());
    // With one thread the blocks are the same everywhere.
    command.args(["--root-owner-group", "--threads-max=1", "-Zxz"]);
    command.arg(match squeeze {
        Squeeze::Well => "-z6",
        Squeeze::Quickly => "-z0",
    });
    answer(command.arg("--build").arg(tree.root()).arg(&deb))?;
    Ok(deb)
}

/// The entry of Debian's changelog for a release.
pub(super) fn changelog(release: &Release) -> Result<String> {
    let stanzas = stanzas()?;
    let maintainer = stanza_field(&stanzas[0], "Maintainer").context("config/debian/control names no maintainer")?;
    let (version, date) = (release.debian(), release.date()?);
    Ok(format!(
        "siglatch ({version}) unstable; urgency=medium\n\n  * What has changed stands in changelog.gz.\n\n \
         -- {maintainer}  {date}\n"
    ))
}

/// A package as it will be installed.
struct Installed<'a> {
    package: &'a str,
    architecture: &'a str,
    tree: &'a Tree,
    files: &'a [String],
}

impl Installed<'_> {
    /// The control file: the package's part of `config/debian/control`, with what only the built package can tell.
    fn control(&self, release: &Release, work: &Path) -> Result<String> {
        let stanzas = stanzas()?;
        let own = stanzas.iter().find(|stanza| stanza_field(stanza, "Package") == Some(self.package));
        let own = own.with_context(|| format!("config/debian/control knows no package {}", self.package))?;
        let common: String =
            stanzas[0].lines().filter(|line| !line.starts_with("Source:")).map(|line| format!("{line}\n")).collect();
        let size = self.size()?;
        let (name, rest) = own.split_once('\n').context("a package has more than a name")?;
        let text = format!(
            "{name}\nSource: siglatch\nVersion: {version}\nArchitecture: {architecture}\nInstalled-Size: {size}\n{common}{rest}\n",
            version = release.debian(),
            architecture = self.architecture,
        );
        let text = text.replace("${binary:Version}", &release.debian());
        Ok(text.replace("${shlibs:Depends}", &self.libraries(work)?))
    }

    /// In KiB, as dpkg reckons: each file and folder by whole ones.
    fn size(&self) -> Result<u64> {
        let mut size = 0;
        for file in self.files {
            size += self.tree.root().join(file).metadata()?.len().div_ceil(1024);
        }
        Ok(size)
    }

    /// The packages with the libraries that the programs are linked to.
    fn libraries(&self, work: &Path) -> Result<String> {
        // `dpkg-shlibdeps` runs nowhere else than beside a source package.
        let folder = work.join("debian");
        fs::create_dir_all(&folder)?;
        let source = format!("Source: siglatch\n\nPackage: {}\nArchitecture: any\n", self.package);
        fs::write(folder.join("control"), source)?;
        let mut command = Command::new("dpkg-shlibdeps");
        command.current_dir(work).args(["-O", "--warnings=0"]);
        for file in self.files {
            let path = self.tree.root().join(file);
            if path.metadata()?.permissions().mode() & 0o111 != 0 && fs::read(&path)?.starts_with(b"\x7fELF") {
                command.arg("-e").arg(path);
            }
        }
        let said = answer(&mut command).context("dpkg-shlibdeps is of Debian's package dpkg-dev")?;
        let needed = said.strip_prefix("shlibs:Depends=").unwrap_or_default();
        ensure!(!needed.is_empty(), "dpkg-shlibdeps finds no library: {said:?}");
        Ok(needed.to_owned())
    }
}

/// The parts of `config/debian/control`: what all packages have, then each package.
fn stanzas() -> Result<Vec<String>> {
    let control = workspace_root().join("config/debian/control");
    let text = fs::read_to_string(&control).with_context(|| format!("cannot read {}", control.display()))?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let text = lines.collect::<Vec<_>>().join("\n");
    let stanzas: Vec<String> = text.split("\n\n").map(|part| part.trim().to_owned()).collect();
    ensure!(stanzas.len() > 1, "{} describes no package", control.display());
    Ok(stanzas)
}

fn stanza_field<'a>(stanza: &'a str, name: &str) -> Option<&'a str> {
    stanza.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

#[cfg(test)]
mod tests {
    use super::super::contents::PACKAGES;
    use super::*;

    #[test]
    fn each_package_is_described_and_says_what_it_needs() {
        let stanzas = stanzas().unwrap();
        assert_eq!(stanza_field(&stanzas[0], "Source"), Some("siglatch"));
        for (package, _) in PACKAGES {
            let own = stanzas.iter().find(|stanza| stanza_field(stanza, "Package") == Some(package)).unwrap();
            assert!(stanza_field(own, "Depends").unwrap().contains("${shlibs:Depends}"), "{own}");
            assert!(stanza_field(own, "Description").is_some(), "{own}");
        }
    }

    #[test]
    fn a_changelog_of_debian_s_names_version_maintainer_and_time() {
        let entry = changelog(&Release { version: "1.2.3".to_owned(), epoch: 0 }).unwrap();
        assert!(entry.starts_with("siglatch (1.2.3-1) unstable; urgency=medium\n\n  * "), "{entry}");
        assert!(entry.ends_with(">  Thu, 01 Jan 1970 00:00:00 +0000\n"), "{entry}");
    }
}
