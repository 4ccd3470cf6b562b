//! The parts of the configuration that are about this host: name, ingress, ports, keys, state. Never about people.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use siglatch_common::address::Address;
use siglatch_common::layout::PortTable;
use siglatch_common::wire::Wire;

use super::finding::{Code, Findings, Span};
use super::key_files::{self, Cabinet, KeyFiles};
use super::schema;
use super::section::{Located, Section};
use super::settings::{Attach, Diagnostics, Gateway, Ingress, KnockPort, Xdp};
use super::{Given, hours, value};
use crate::keys::ServerKey;

/// What users know of this host, and the time zone of its hours.
pub(super) fn gateway(
    root: &Section<'_>,
    files: &dyn KeyFiles,
    findings: &mut Findings,
) -> (Option<Gateway>, TimeZone) {
    let section = root.table("gateway", &schema::GATEWAY, findings);
    let name = section.parsed("name", value::name, findings).map_or(DEFAULT_NAME, |name| name.value);
    let host = section.parsed("host", value::host, findings);
    let gateway = host.map(|host| Gateway { name: name.to_owned(), host: host.value.to_owned() });
    (gateway, hours::zone("time_zone", &section, files, findings))
}

pub(super) fn ingress(root: &Section<'_>, folder: &Path, given: &Given, findings: &mut Findings) -> Ingress {
    let section = root.table("ingress", &schema::INGRESS, findings);
    let is_socket = section.choice("mode", &[("xdp", false), ("socket", true)], findings).unwrap_or(false);
    let interfaces = section.parsed_list("interfaces", value::interface, findings);
    let xdp = Xdp {
        interfaces: interfaces.iter().flatten().map(|interface| interface.value.to_owned()).collect(),
        attach: section.choice("attach", &ATTACH, findings).unwrap_or_default(),
        pin_dir: place(&section, "pin_dir", Xdp::DEFAULT_PIN_DIR, folder, findings),
        diagnostics: section.choice("diagnostics", &DIAGNOSTICS, findings).unwrap_or_default(),
    };
    if is_socket {
        return Ingress::Socket;
    }
    if !given.interfaces && section.is_empty_list("interfaces") {
        findings.report(
            Code::NoInterface,
            section.place("interfaces").or(section.header()),
            "no interface is named to watch for knocks",
            "write, for example: interfaces = [\"eth0\"] in [ingress], or start with --iface eth0",
        );
    }
    Ingress::Xdp(xdp)
}

pub(super) fn ports(root: &Section<'_>, findings: &mut Findings) -> Vec<Located<KnockPort>> {
    let Some(sections) = root.listed("port", &schema::PORT, findings) else { return Vec::new() };
    if sections.is_empty() {
        findings.report(
            Code::NoPort,
            root.place("port"),
            "no knock port: nobody could be heard",
            "write [[port]] and below it, for example: port = 62201",
        );
    }
    let mut ports = Vec::new();
    let mut taken: HashMap<u16, Span> = HashMap::new();
    for section in &sections {
        let wires = Wire::ALL.map(|wire| (wire.label(), wire));
        let wire = section.choice("wire", &wires, findings).unwrap_or(Wire::Sealed);
        let Some(port) = section.number::<u16>("port", 1..=65_535, findings) else { continue };
        if let Some(first) = taken.insert(port.value, port.span) {
            let message = format!("port {} is a knock port already", port.value);
            let help = "give each [[port]] its own number: one port takes one wire";
            findings.report_with(Code::DuplicatePort, port.span, message, help, (first, "here"));
        }
        ports.push(port.with(KnockPort { port: port.value, wire }));
    }
    if let Some(extra) = ports.get(PortTable::CAPACITY) {
        let message = format!("{} knock ports are too many", ports.len());
        findings.report(Code::TooManyPorts, extra.span, message, format!("keep at most {}", PortTable::CAPACITY));
    }
    ports
}

/// Reports clear ports where everybody can read along: on public addresses, or if nobody knows on which.
pub(super) fn clear_ports(
    root: &Section<'_>,
    ports: &[Located<KnockPort>],
    ingress: &Ingress,
    given: &Given,
    findings: &mut Findings,
) {
    let Some(place) = public_place(root, ingress, given) else { return };
    for port in ports.iter().filter(|port| port.value.wire == Wire::Clear) {
        let message = format!("knocks on port {} can be read by everyone on the path{place}", port.value.port);
        let help = "write wire = \"sealed\", unless this port is reached through a VPN only";
        findings.report(Code::ClearWire, port.span, message, help);
    }
}

/// Where knocks come in over the internet, in words behind a message; nothing: nowhere.
fn public_place(root: &Section<'_>, ingress: &Ingress, given: &Given) -> Option<String> {
    let mut quiet = Findings::default();
    let gateway = root.table("gateway", &schema::GATEWAY, &mut quiet);
    let host = gateway.text("host", &mut quiet).and_then(|host| host.value.parse::<IpAddr>().ok());
    if let Some(host) = host.map(Address::from).filter(Address::is_global) {
        return Some(format!(" to {host}"));
    }
    let Some(addresses) = &given.addresses else { return Some(String::new()) };
    let is_watched = |name: &String| match ingress {
        // Those of the command line are not known here.
        Ingress::Xdp(xdp) => given.interfaces || xdp.interfaces.contains(name),
        Ingress::Socket => true,
    };
    let public = addresses.iter().find(|(name, address)| is_watched(name) && address.is_global());
    public.map(|(name, address)| format!(" to {address} ({name})"))
}

/// The private key, and how many threads use it.
pub(super) fn keys(
    root: &Section<'_>,
    given: &Given,
    cabinet: &Cabinet<'_>,
    findings: &mut Findings,
) -> (Option<ServerKey>, usize) {
    let section = root.table("keys", &schema::KEYS, findings);
    let server = section.parsed("server", value::path, findings);
    let server = server.and_then(|path| key_files::server_key(path, cabinet, findings));
    let threads = section.number("threads", 1..=256, findings).map_or(given.cores.get(), |threads| threads.value);
    (server, threads)
}

pub(super) fn max_skew(root: &Section<'_>, findings: &mut Findings) -> Duration {
    let section = root.table("knock", &schema::KNOCK, findings);
    section.duration("max_skew", LEAST_SKEW..=MOST_SKEW, findings).map_or(DEFAULT_SKEW, |skew| skew.value)
}

/// The folder for state, and how many nonces it may hold.
pub(super) fn state(root: &Section<'_>, folder: &Path, findings: &mut Findings) -> (PathBuf, usize) {
    let section = root.table("state", &schema::STATE, findings);
    let dir = place(&section, "dir", DEFAULT_STATE_DIR, folder, findings);
    let nonces = section.number("nonces", 1_000..=100_000_000, findings).map_or(DEFAULT_NONCES, |nonces| nonces.value);
    (dir, nonces)
}

fn place(section: &Section<'_>, key: &str, default: &str, folder: &Path, findings: &mut Findings) -> PathBuf {
    folder.join(section.parsed(key, value::path, findings).map_or(default, |path| path.value))
}

const ATTACH: [(&str, Attach); 3] = [("auto", Attach::Auto), ("native", Attach::Native), ("generic", Attach::Generic)];

const DIAGNOSTICS: [(&str, Diagnostics); 3] =
    [("off", Diagnostics::Off), ("drops", Diagnostics::Drops), ("all", Diagnostics::All)];

const DEFAULT_NAME: &str = "gateway";

const DEFAULT_STATE_DIR: &str = "/var/lib/siglatch";

/// More than a knock every 0.2 ms for the default window of two minutes.
const DEFAULT_NONCES: usize = 1_000_000;

const DEFAULT_SKEW: Duration = Duration::from_secs(60);

/// Less would refuse honest clients: a clock that is kept by NTP over a slow line, and a network that takes its time.
const LEAST_SKEW: Duration = Duration::from_secs(5);

/// What the oldest clients of the protocol need.
const MOST_SKEW: Duration = Duration::from_secs(300);
