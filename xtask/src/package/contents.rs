//! Which file stands where in which package. Never makes an archive.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use super::release::Release;
use super::tree::Tree;
use super::{Programs, deb};
use crate::workspace_root;

/// Puts a package's own files in their places.
pub(super) type Fill = fn(&Tree, &Programs) -> Result<()>;

/// The packages, and what fills them.
pub(super) const PACKAGES: [(&str, Fill); 3] =
    [("siglatch", daemon), ("siglatch-ctl", ctl), ("siglatch-client", client)];

/// Folders of the workspace with what an operator copies and changes, and the name beside the documents.
pub(super) const EXAMPLES: [(&str, &str); 6] = [
    ("config/examples", "examples"),
    ("config/scripts", "examples/scripts"),
    ("config/fail2ban", "examples/fail2ban"),
    ("config/grafana", "examples/grafana"),
    ("config/prometheus", "examples/prometheus"),
    ("config/systemd/examples", "examples/systemd"),
];

/// What operators read.
pub(super) const DOCUMENTS: [&str; 4] = ["docs/operating.md", "docs/packaging.md", "docs/audit.md", "docs/programs.md"];

/// Other documents that are packed where they exist.
pub(super) const MORE_DOCUMENTS: [&str; 2] = ["docs/metrics.md", "docs/threat-model.md"];

fn daemon(tree: &Tree, programs: &Programs) -> Result<()> {
    tree.program("usr/sbin/siglatch-user", &programs.path(Programs::DAEMON))?;
    tree.copy("usr/lib/systemd/system/siglatch.service", "config/systemd/siglatch.service")?;
    tree.copy("usr/lib/systemd/system/siglatch.socket", "config/systemd/siglatch.socket")?;
    tree.copy("usr/lib/sysusers.d/siglatch.conf", "config/systemd/sysusers.d/siglatch.conf")?;
    tree.copy("usr/lib/tmpfiles.d/siglatch.conf", "config/systemd/tmpfiles.d/siglatch.conf")?;
    tree.copy("etc/apparmor.d/siglatch-user", "config/apparmor/siglatch-user")?;
    // Group `siglatch` comes with the first installation: postinst gives it the folder.
    tree.folder("etc/siglatch", 0o750)?;
    manual_page(tree, 8, "siglatch-user.8", &fs::read(workspace_root().join("config/man/siglatch-user.8"))?)?;

    let documents = "usr/share/doc/siglatch";
    tree.copy(&format!("{documents}/examples/siglatch.toml"), "config/siglatch.toml")?;
    for (from, name) in EXAMPLES {
        tree.copy_all(&format!("{documents}/{name}"), from)?;
    }
    for document in DOCUMENTS.into_iter().chain(there(&MORE_DOCUMENTS)) {
        let name = document.trim_start_matches("docs/");
        tree.copy(&format!("{documents}/{name}"), document)?;
    }
    Ok(())
}

fn ctl(tree: &Tree, programs: &Programs) -> Result<()> {
    tree.program("usr/bin/siglatchctl", &programs.path(Programs::CTL))?;
    manual(tree, programs, Programs::CTL)?;
    completions(tree, programs, Programs::CTL)
}

fn client(tree: &Tree, programs: &Programs) -> Result<()> {
    tree.program("usr/bin/siglatch", &programs.path(Programs::CLIENT))?;
    manual(tree, programs, Programs::CLIENT)?;
    completions(tree, programs, Programs::CLIENT)
}

/// What every package of Debian's has: whose it is, what has changed, and what lintian may pass over.
pub(super) fn documents(tree: &Tree, package: &str, release: &Release) -> Result<()> {
    let folder = format!("usr/share/doc/{package}");
    tree.copy(&format!("{folder}/copyright"), "config/debian/copyright")?;
    tree.write_compressed(&format!("{folder}/changelog"), fs::read(workspace_root().join("CHANGELOG.md"))?)?;
    tree.write_compressed(&format!("{folder}/changelog.Debian"), deb::changelog(release)?)?;
    let overrides = format!("config/debian/{package}.lintian-overrides");
    if workspace_root().join(&overrides).is_file() {
        tree.copy(&format!("usr/share/lintian/overrides/{package}"), &overrides)?;
    }
    Ok(())
}

/// Those of the workspace's files that exist.
pub(super) fn there<'a>(files: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    files.iter().copied().filter(|file| workspace_root().join(file).is_file())
}

/// A program's manual pages, in the sections that their names end in.
fn manual(tree: &Tree, programs: &Programs, name: &str) -> Result<()> {
    let folder = tree.root().with_extension("man");
    programs.write_manual(name, &folder)?;
    let mut pages: Vec<_> = fs::read_dir(&folder)?.collect::<Result<_, _>>()?;
    ensure!(!pages.is_empty(), "{name} writes no manual pages");
    pages.sort_by_key(fs::DirEntry::file_name);
    for page in pages {
        let name = page.file_name().into_string().unwrap_or_default();
        let section = Path::new(&name).extension().and_then(|section| section.to_str()?.parse().ok());
        let Some(section @ 1..=8) = section else { anyhow::bail!("{name} is named like no manual page") };
        manual_page(tree, section, &name, &fs::read(page.path())?)?;
    }
    Ok(())
}

fn manual_page(tree: &Tree, section: u8, name: &str, page: &[u8]) -> Result<()> {
    tree.write_compressed(&format!("usr/share/man/man{section}/{name}"), page)
}

fn completions(tree: &Tree, programs: &Programs, name: &str) -> Result<()> {
    for (shell, place) in [
        ("bash", format!("usr/share/bash-completion/completions/{name}")),
        ("zsh", format!("usr/share/zsh/vendor-completions/_{name}")),
        ("fish", format!("usr/share/fish/vendor_completions.d/{name}.fish")),
    ] {
        tree.write(&place, programs.completions(name, shell)?, 0o644)?;
    }
    Ok(())
}
