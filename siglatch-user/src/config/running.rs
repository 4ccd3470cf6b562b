//! The parts of the configuration that are about the daemon as it runs: who may ask it, where its figures are, which user
//! it is. Never about knocks.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::finding::{Code, Findings, Span};
use super::key_files::{Account, KeyFiles};
use super::section::{Located, Section};
use super::settings::{AdminRule, MetricsAddress, Peer, Settings};
use super::value::{Flaw, shown};
use super::{schema, value};

/// The daemon's user, and whether it follows changes of the file.
pub(super) struct Daemon<'t> {
    /// Nothing: it stays who it is.
    pub(super) user: Option<(&'t str, Account)>,
    pub(super) watch_file: bool,
}

/// Which user the daemon becomes, and whether it reads the file again when it has changed.
pub(super) fn daemon<'t>(root: &Section<'t>, files: &dyn KeyFiles, findings: &mut Findings) -> Daemon<'t> {
    let section = root.table("daemon", &schema::DAEMON, findings);
    let watch_file = section.flag("reload_on_change", findings).unwrap_or(false);
    if section.place("user").is_none() {
        let user = files.user(Settings::DEFAULT_DAEMON_USER).map(|account| (Settings::DEFAULT_DAEMON_USER, account));
        return Daemon { user, watch_file };
    }
    let Some(name) = section.parsed("user", value::account, findings) else { return Daemon { user: None, watch_file } };
    let user = files.user(name.value);
    match user {
        None => {
            let message = format!("this machine has no user {}: the daemon could not become it", name.value);
            let help = format!("make it: useradd --system --shell /usr/sbin/nologin {}", name.value);
            findings.report(Code::NoDaemonUser, name.span, message, help);
        }
        Some(Account { uid: 0, .. }) => {
            let message = "the daemon stays root: a hole in it would be a hole in the whole machine";
            let help = "write user = \"siglatch\", which the package makes; or take it out";
            findings.report(Code::DaemonAsRoot, name.span, message, help);
        }
        Some(_) => {}
    }
    Daemon { user: user.filter(|account| account.uid != 0).map(|account| (name.value, account)), watch_file }
}

/// Who may ask the daemon, and where.
pub(super) fn admin(root: &Section<'_>, folder: &Path, files: &dyn KeyFiles, findings: &mut Findings) -> AdminRule {
    let section = root.table("admin", &schema::ADMIN, findings);
    let operators = peers("operators", &section, files, findings);
    let observers = peers("observers", &section, files, findings);
    for observer in &observers {
        if let Some(operator) = operators.iter().find(|operator| operator.value == observer.value) {
            let message = "an operator may look anyway";
            let help = "take it out of one of the lists";
            findings.report_with(Code::DuplicateEntry, observer.span, message, help, (operator.span, "an operator"));
        }
    }
    let only = |peers: Vec<Located<Peer>>| peers.into_iter().map(|peer| peer.value).collect();
    AdminRule {
        socket: socket("socket", &section, folder, findings).unwrap_or_else(|| AdminRule::DEFAULT_SOCKET.into()),
        operators: only(operators),
        observers: only(observers),
        observer_socket: socket("observer_socket", &section, folder, findings),
    }
}

/// Where the daemon's figures are to be had.
pub(super) fn metrics(root: &Section<'_>, folder: &Path, findings: &mut Findings) -> Option<MetricsAddress> {
    let section = root.table("metrics", &schema::METRICS, findings);
    let listen = section.parsed("listen", listener, findings)?;
    match listen.value {
        Listener::Unix(path) => {
            let socket = folder.join(path);
            too_long("listen", &socket, listen.span, &section, findings);
            Some(MetricsAddress::Unix(socket))
        }
        Listener::Tcp(address) => {
            if !address.ip().to_canonical().is_loopback() {
                let message = format!("everybody who reaches {address} could read how this host is knocked at");
                let help =
                    format!("write listen = \"127.0.0.1:{}\", and let a proxy ask for a password", address.port());
                findings.report(Code::PublicMetrics, listen.span, message, help);
            }
            Some(MetricsAddress::Tcp(address))
        }
    }
}

/// No two sockets have one path.
pub(super) fn sockets(
    root: &Section<'_>,
    admin: &AdminRule,
    metrics: Option<&MetricsAddress>,
    findings: &mut Findings,
) {
    let mut quiet = Findings::default();
    let (own, figures) =
        (root.table("admin", &schema::ADMIN, &mut quiet), root.table("metrics", &schema::METRICS, &mut quiet));
    let figures_at = match metrics {
        Some(MetricsAddress::Unix(path)) => Some(path),
        Some(MetricsAddress::Tcp(_)) | None => None,
    };
    let paths: [(Option<&PathBuf>, Span); 3] = [
        (Some(&admin.socket), own.value_place("socket")),
        (admin.observer_socket.as_ref(), own.value_place("observer_socket")),
        (figures_at, figures.value_place("listen")),
    ];
    let mut taken: HashMap<&PathBuf, Span> = HashMap::new();
    for (path, span) in paths.into_iter().filter_map(|(path, span)| Some((path?, span))) {
        if let Some(first) = taken.insert(path, span) {
            let message = format!("there is another socket of the daemon's at {}", path.display());
            findings.report_with(Code::SharedSocket, span, message, "name another path here", (first, "here"));
        }
    }
}

/// Users, and groups behind an `@`. Whom this machine does not know is left out, and reported.
fn peers(key: &str, section: &Section<'_>, files: &dyn KeyFiles, findings: &mut Findings) -> Vec<Located<Peer>> {
    let names = section.parsed_list(key, peer, findings).unwrap_or_default();
    let mut peers = Vec::with_capacity(names.len());
    for name in names {
        let (what, known) = match name.value.strip_prefix('@') {
            Some(group) => ("group", files.group(group).map(Peer::Group)),
            None => ("user", files.user(name.value).map(|account| Peer::User(account.uid))),
        };
        match known {
            Some(peer) => peers.push(name.with(peer)),
            None => {
                let message = format!("this machine has no {what} {}: nobody is let in by it", name.value);
                let help = "write a user that `getent passwd` shows, or an @ and a group that `getent group` shows";
                findings.report(Code::UnknownAccount, name.span, message, help);
            }
        }
    }
    peers
}

fn peer(text: &str) -> Result<&str, Flaw> {
    value::account(text.strip_prefix('@').unwrap_or(text)).map(|_| text)
}

/// The path of a socket, which is short.
fn socket(key: &str, section: &Section<'_>, folder: &Path, findings: &mut Findings) -> Option<PathBuf> {
    let path = section.parsed(key, value::path, findings)?;
    let socket = folder.join(path.value);
    too_long(key, &socket, path.span, section, findings);
    Some(socket)
}

fn too_long(key: &str, socket: &Path, span: Span, section: &Section<'_>, findings: &mut Findings) {
    if socket.as_os_str().len() > SOCKET_PATH_MAX {
        let message = format!("the path of a Unix socket has at most {SOCKET_PATH_MAX} bytes");
        findings.report(Code::OutOfRange, span, message, section.example(key));
    }
}

enum Listener<'t> {
    Tcp(SocketAddr),
    Unix(&'t str),
}

/// `127.0.0.1:9707`, `[::1]:9707` or `unix:/run/siglatch/metrics.sock`.
fn listener(text: &str) -> Result<Listener<'_>, Flaw> {
    if let Some(path) = text.strip_prefix("unix:") {
        return value::path(path).map(Listener::Unix);
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(Listener::Tcp(address)),
        Ok(_) | Err(_) => Err(Flaw {
            code: Code::BadListener,
            message: format!("\"{}\" is no address to listen at", shown(text)),
            help: "write \"127.0.0.1:9707\", \"[::1]:9707\" or \"unix:/run/siglatch/metrics.sock\"".to_owned(),
        }),
    }
}

/// `sun_path` of `unix(7)`, less the final zero.
const SOCKET_PATH_MAX: usize = 107;
