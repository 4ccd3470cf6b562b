//! Reads the configuration: text in; sound settings, or every finding at once, out. Never touches a file.

#![forbid(unsafe_code)]

mod deeds;
mod finding;
mod firewall;
mod gate_keys;
mod host;
mod key_files;
mod limits;
mod nearest;
mod paths;
mod people;
mod relations;
mod report;
pub mod schema;
mod section;
mod settings;
mod single;
mod value;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::path::Path;

use siglatch_common::wire::v1::{ActionId, UserId};
use toml::de::DeTable;

pub use finding::{Code, Finding, Note, Severity, Span};
pub use key_files::{KeyFile, KeyFiles, Owner, Unreadable};
pub use report::{Report, Style};
pub use settings::{
    Attach, AuditRule, BanRule, DebugRule, Diagnostics, Firewall, Gateway, Ingress, KnockPort, KnownRule, LaneRule,
    Limits, OperatorSets, OwnTable, Scope, Settings, WhenFailing, Xdp,
};
pub use single::{ADMIN_SOCKET, admin_socket, length_of_time, network};

use crate::policy::{Action, Allowed, Period, Policy, Sequence};
use deeds::{Deed, Users};
use finding::Findings;
use section::Section;

/// What is settled before the configuration is read.
#[derive(Clone, Copy, Debug)]
pub struct Given {
    /// Processors of this machine: the private key is used by as many threads, unless the text says otherwise.
    pub cores: NonZeroUsize,
    /// Whether the command line names the interfaces.
    pub interfaces: bool,
}

/// A configuration that the daemon can start with.
#[derive(Debug)]
pub struct Sound {
    /// What it says.
    pub settings: Settings,
    /// What is legal, but hardly meant; in the order of the text.
    pub warnings: Vec<Finding>,
}

/// Reads a configuration. Relative paths in it count from `folder`.
///
/// # Errors
/// Every finding, errors and warnings, in the order of the text. A text that is no TOML is judged no further: what its
/// author meant would be guesswork.
pub fn read(text: &str, folder: &Path, given: &Given, files: &dyn KeyFiles) -> Result<Sound, Vec<Finding>> {
    let mut findings = Findings::default();
    let (tree, flaws) = DeTable::parse_recoverable(text);
    for flaw in &flaws {
        let help = "see https://toml.io for how such files are written";
        findings.report(Code::Syntax, flaw.span().map(Span::from), one_line(flaw.message()), help);
    }
    if !flaws.is_empty() {
        return Err(findings.into_sorted());
    }
    let settings = settings_of(tree.get_ref(), folder, given, files, &mut findings);
    let findings = findings.into_sorted();
    match settings {
        Some(settings) if findings.iter().all(|finding| finding.severity() == Severity::Warning) => {
            Ok(Sound { settings, warnings: findings })
        }
        Some(_) | None => Err(findings),
    }
}

/// The settings; nothing only if a finding says why.
fn settings_of(
    tree: &DeTable<'_>,
    folder: &Path,
    given: &Given,
    files: &dyn KeyFiles,
    findings: &mut Findings,
) -> Option<Settings> {
    let root = Section::root(&schema::ROOT, tree, findings);
    let gateway = host::gateway(&root, findings);
    let ingress = host::ingress(&root, folder, given, findings);
    let ports = host::ports(&root, findings);
    let gate_keys = gate_keys::read(&root, &ports, folder, files, findings);
    let (server_key, key_threads) = host::keys(&root, folder, given, files, findings);
    let max_skew = host::max_skew(&root, findings);
    let (state_dir, nonce_capacity) = host::state(&root, folder, findings);
    let limits = limits::limits(&root, findings);
    let lanes = limits::lanes(&root, key_threads, findings);
    let known = limits::known(&root, findings);
    let allow = limits::allow(&root, findings);
    let ban = limits::ban(&root, &limits, &allow, findings);
    let blacklist = limits::blacklist(&root, folder, findings);
    let admin_socket = limits::admin_socket(&root, folder, findings);
    let (firewall, protected) = firewall::read(&root, findings);
    let people = people::read(&root, folder, files, findings);
    let deeds = deeds::actions(&root, findings);
    let paths = paths::read(&root, findings);

    relations::people(&people, &deeds, root.place("user"), findings);
    relations::actions(&deeds, &people, findings);
    relations::sequences(&paths, &deeds, &people, findings);
    relations::services(&ports, &protected, &deeds, findings);

    let (users, keys): (Vec<_>, Vec<_>) =
        people.into_iter().map(people::Person::finish).collect::<Option<Vec<_>>>()?.into_iter().unzip();
    let user_ids: HashMap<&str, UserId> = users.iter().map(|user| (user.name.as_str(), user.id)).collect();
    let actions = deeds.into_iter().map(|deed| action(deed, &user_ids)).collect::<Option<Vec<_>>>()?;
    let action_ids: HashMap<&str, ActionId> = actions.iter().map(|action| (action.name.as_str(), action.id)).collect();
    let sequences = paths.into_iter().map(|path| sequence(path, &action_ids)).collect::<Option<Vec<_>>>()?;
    let user_keys = users.iter().map(|user| user.id).zip(keys).collect();
    Some(Settings {
        gateway: gateway?,
        ingress,
        ports: ports.into_iter().map(|port| port.value).collect(),
        limits,
        lanes,
        known,
        allow,
        ban,
        blacklist,
        gate_keys: gate_keys?,
        admin_socket,
        audit: AuditRule::default(),
        debug: DebugRule::default(),
        programs_at_once: 16,
        state_dir,
        key_threads,
        nonce_capacity,
        firewall: firewall?,
        policy: Policy::new(users, actions, sequences, max_skew),
        server_key: server_key?,
        user_keys,
    })
}

fn action(deed: Deed<'_>, user_ids: &HashMap<&str, UserId>) -> Option<Action> {
    let allowed = match deed.users?.value {
        Users::All => Allowed::All,
        Users::Only(names) => {
            let ids = names.into_iter().map(|name| user_ids.get(name.value).copied());
            Allowed::Only(ids.collect::<Option<BTreeSet<_>>>()?)
        }
    };
    Some(Action {
        id: deed.id?.value,
        name: deed.name.value.to_owned(),
        allowed,
        networks: deed.networks,
        period: Period::default(),
        hours: None,
        uses: None,
        dry_run: false,
        kind: deed.kind?,
    })
}

fn sequence(path: paths::Path<'_>, action_ids: &HashMap<&str, ActionId>) -> Option<Sequence> {
    let steps = path.steps?.value.into_iter().map(|step| action_ids.get(step.value).copied());
    Some(Sequence { name: path.name.value.to_owned(), steps: steps.collect::<Option<Vec<_>>>()?, within: path.within })
}

/// The parser's words, in one line.
fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
