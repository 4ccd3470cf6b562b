//! Files and folders besides keys that others may write, and so decide who is let in. Never opens one.

use std::path::{Path, PathBuf};

use super::finding::{Code, Findings, Span};
use super::key_files::{Facts, KeyFiles, Owner};

/// The configuration itself, and the folders of it and of the keys.
pub(super) fn configuration(file: &Path, folders: &[PathBuf], files: &dyn KeyFiles, findings: &mut Findings) {
    writable_file(file, "who is let in", None, files, findings);
    for folder in folders {
        let Ok(facts) = files.facts(folder) else { continue };
        // In a folder with the sticky bit nobody replaces a file of somebody else's.
        let by = if facts.mode & STICKY == 0 { writers(facts) } else { owner(facts) };
        if let Some(by) = by {
            let message = format!("{by} may replace what is in {}, keys for example", folder.display());
            let help = format!("chown root: {0}; chmod go-w {0}", folder.display());
            findings.report(Code::WeakMode, None, message, help);
        }
    }
}

/// A file of banned networks.
pub(super) fn blacklist(path: &Path, span: Span, files: &dyn KeyFiles, findings: &mut Findings) {
    writable_file(path, "who is banned", Some(span), files, findings);
}

fn writable_file(path: &Path, decides: &str, span: Option<Span>, files: &dyn KeyFiles, findings: &mut Findings) {
    // What is not there is found elsewhere.
    let Some(by) = files.facts(path).ok().and_then(writers) else { return };
    let message = format!("{by} may write {}, and so decides {decides}", path.display());
    findings.report(Code::WeakMode, span, message, format!("chown root: {0}; chmod go-w {0}", path.display()));
}

/// Who besides root and us may write something; nothing: nobody.
fn writers(facts: Facts) -> Option<String> {
    let by_group = facts.mode & GROUP_WRITES != 0 && facts.group != ROOT;
    match facts.mode & WORLD_WRITES {
        0 => owner(facts).or_else(|| by_group.then(|| format!("the group {}", facts.group))),
        _ => Some("everybody on this machine".to_owned()),
    }
}

/// The owner, if it is neither root nor us.
fn owner(facts: Facts) -> Option<String> {
    match facts.owner {
        Owner::Stranger { uid } => Some(format!("the user {uid}")),
        Owner::Us | Owner::Root => None,
    }
}

/// The group whose members can be whoever they like anyway.
const ROOT: u32 = 0;

const GROUP_WRITES: u32 = 0o020;
const WORLD_WRITES: u32 = 0o002;
const STICKY: u32 = 0o1000;
