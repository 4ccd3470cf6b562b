//! Reads the configuration: text in; sound settings, or every finding at once, out. Never touches a file.

#![forbid(unsafe_code)]

mod assembly;
mod audit;
mod changes;
mod deeds;
mod explanations;
mod finding;
mod firewall;
mod gate_keys;
mod host;
mod hours;
mod key_files;
mod limits;
mod modes;
mod nearest;
mod paths;
mod people;
mod relations;
mod report;
mod running;
pub mod schema;
mod section;
mod settings;
mod single;
mod terms;
mod value;

#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::path::Path;

use siglatch_common::address::Address;
use siglatch_common::units::Wall;
use toml::de::DeTable;

pub use changes::{Changed, Changes, How, holding_back};
pub use explanations::Explanation;
pub use finding::{Code, Finding, Note, Severity, Span};
pub use key_files::{Account, Facts, KeyFile, KeyFiles, Owner, Unreadable};
pub use report::{Report, Style};
pub use settings::{
    AdminRule, Attach, AuditRule, BanRule, DebugRule, Diagnostics, Firewall, Gateway, Ingress, KnockPort, KnownRule,
    LaneRule, Limits, MetricsAddress, OperatorSets, OwnTable, Peer, Scope, Settings, WhenFailing, Xdp,
};
pub use single::{admin_socket, audit_log, length_of_time, network, observer_socket, place_of_action};

use finding::Findings;
use key_files::Cabinet;
use section::Section;

/// What is settled before the configuration is read.
#[derive(Clone, Debug)]
pub struct Given {
    /// Processors of this machine: the private key is used by as many threads, unless the text says otherwise.
    pub cores: NonZeroUsize,
    /// Whether the command line names the interfaces.
    pub interfaces: bool,
    /// The addresses of this machine, each with its interface's name; nothing: they are not known.
    pub addresses: Option<Vec<(String, Address)>>,
    /// The time; nothing: it does not matter.
    pub now: Option<Wall>,
}

/// A configuration that the daemon can start with.
#[derive(Debug)]
pub struct Sound {
    /// What it says.
    pub settings: Settings,
    /// What is legal, but hardly meant; in the order of the text.
    pub warnings: Vec<Finding>,
}

/// Reads a configuration that stands in `file`. Relative paths in it count from that one's folder.
///
/// # Errors
/// Every finding, errors and warnings, in the order of the text. A text that is no TOML is judged no further: what its
/// author meant would be guesswork.
pub fn read(text: &str, file: &Path, given: &Given, files: &dyn KeyFiles) -> Result<Sound, Vec<Finding>> {
    let mut findings = Findings::default();
    let (tree, flaws) = DeTable::parse_recoverable(text);
    for flaw in &flaws {
        let help = "see https://toml.io for how such files are written";
        findings.report(Code::Syntax, flaw.span().map(Span::from), one_line(flaw.message()), help);
    }
    if !flaws.is_empty() {
        return Err(findings.into_sorted());
    }
    let settings = settings_of(tree.get_ref(), file, given, files, &mut findings);
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
    file: &Path,
    given: &Given,
    files: &dyn KeyFiles,
    findings: &mut Findings,
) -> Option<Settings> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let root = Section::root(&schema::ROOT, tree, findings);
    let daemon = running::daemon(&root, files, findings);
    let cabinet = Cabinet::new(folder, files, daemon.user);
    let (gateway, zone) = host::gateway(&root, files, findings);
    let ingress = host::ingress(&root, folder, given, findings);
    let ports = host::ports(&root, findings);
    host::clear_ports(&root, &ports, &ingress, given, findings);
    let gate_keys = gate_keys::read(&root, &ports, &cabinet, findings);
    let (server_key, key_threads) = host::keys(&root, given, &cabinet, findings);
    let max_skew = host::max_skew(&root, findings);
    let (state_dir, nonce_capacity) = host::state(&root, folder, findings);
    let limits = limits::limits(&root, findings);
    let lanes = limits::lanes(&root, key_threads, findings);
    let known = limits::known(&root, findings);
    let allow = limits::allow(&root, findings);
    let ban = limits::ban(&root, &limits, &allow, findings);
    let blacklist = limits::blacklist(&root, folder, files, findings);
    let admin = running::admin(&root, folder, files, findings);
    let metrics = running::metrics(&root, folder, findings);
    running::sockets(&root, &admin, metrics.as_ref(), findings);
    let (firewall, protected) = firewall::read(&root, findings);
    let people = people::read(&root, &cabinet, findings);
    cabinet.tell_closed(findings);
    let key_folders = cabinet.into_folders();
    modes::configuration(file, &key_folders, files, findings);
    let audit = audit::audit(&root, folder, findings);
    let at_once = deeds::at_once(&root, findings);
    let deeds = deeds::read(&root, &zone, findings);
    let paths = paths::read(&root, findings);

    relations::periods(&people, &deeds, given.now, findings);
    relations::networks(&people, &deeds, findings);
    relations::people(&people, &deeds, root.place("user"), findings);
    relations::actions(&deeds, &people, findings);
    relations::programs(&deeds, at_once, findings);
    relations::sequences(&paths, &deeds, &people, findings);
    relations::services(&ports, &protected, &deeds, findings);

    let told = people.iter().filter(|person| person.debug).filter_map(|person| Some(person.id?.value));
    let debug = audit::debug(&root, told.collect(), findings);
    let (policy, user_keys) = assembly::policy(people, &deeds, &paths, max_skew)?;
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
        key_folders,
        admin,
        metrics,
        daemon_user: daemon.user.map(|(name, _)| name.to_owned()),
        watch_file: daemon.watch_file,
        audit,
        debug,
        programs_at_once: at_once.value,
        state_dir,
        key_threads,
        nonce_capacity,
        firewall: firewall?,
        policy,
        server_key: server_key?,
        user_keys,
    })
}

/// The parser's words, in one line.
fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
