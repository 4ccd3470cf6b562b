//! Everything that can keep a command from being done, each with what to do about it. Never holds a key.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use siglatch_common::seal::{KeyFlaw, PublicKeyFlaw, SealError};
use thiserror::Error;

use crate::bind::Family;
use crate::gateway_name::GatewayName;
use crate::nearest::nearest;
use crate::payload::PayloadFlaw;
use crate::profile::{Finding, Findings};

/// Why a command was not done.
#[derive(Debug, Error)]
pub enum Failure {
    /// Nobody imported a profile of that name.
    #[error("no profile {:?} in {}", gateway.as_str(), folder.display())]
    NoProfile {
        /// The name asked for.
        gateway: GatewayName,
        /// The names there are.
        known: Vec<GatewayName>,
        /// Where profiles live.
        folder: PathBuf,
    },
    /// A profile, or a file on its way to become one, is not sound.
    #[error("{name} is no sound enrolment file:\n{findings}")]
    Unsound {
        /// The file, or `standard input`.
        name: String,
        /// What is wrong.
        findings: Findings,
    },
    /// The folder holds a file whose name no gateway can have.
    #[error("{}: no gateway can be called so", path.display())]
    Misnamed {
        /// The file.
        path: PathBuf,
    },
    /// A file that is no text.
    #[error("{name} is no text")]
    NotText {
        /// The file, or `standard input`.
        name: String,
    },
    /// A file that is far larger than any of its kind.
    #[error("{name} is larger than {limit} bytes: it is something else")]
    Large {
        /// The file, or `standard input`.
        name: String,
        /// The most that is read.
        limit: u64,
    },
    /// The profile is there already.
    #[error("there is a profile {:?} already: {}", gateway.as_str(), path.display())]
    ProfileExists {
        /// Its name.
        gateway: GatewayName,
        /// Its file.
        path: PathBuf,
    },
    /// The key file is there already.
    #[error("{} exists, and keys are never overwritten", path.display())]
    KeyExists {
        /// The file.
        path: PathBuf,
    },
    /// The profile has no action of that name.
    #[error("{gateway} has no action {action:?}")]
    NoAction {
        /// The profile.
        gateway: GatewayName,
        /// The name asked for.
        action: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// The profile has no sequence of that name.
    #[error("{gateway} has no sequence {sequence:?}")]
    NoSequence {
        /// The profile.
        gateway: GatewayName,
        /// The name asked for.
        sequence: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// Other users of this machine can read a file that holds a key.
    #[error("{} holds a key and others can read it (mode {mode:04o})", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file's contents are no HMAC key.
    #[error("{} is no HMAC key: {flaw}", path.display())]
    HmacKey {
        /// The file.
        path: PathBuf,
        /// What it is.
        flaw: KeyFlaw,
    },
    /// A file's contents are no gate key.
    #[error("{} is no gate key: {}", path.display(), gate_key_flaw(*flaw))]
    GateKey {
        /// The file.
        path: PathBuf,
        /// What it is.
        flaw: KeyFlaw,
    },
    /// A file's contents are no server key.
    #[error("{} is no server key: {flaw}", path.display())]
    ServerKey {
        /// The file.
        path: PathBuf,
        /// What it is.
        flaw: PublicKeyFlaw,
    },
    /// The words of the knock make no payload.
    #[error(transparent)]
    Payload(#[from] PayloadFlaw),
    /// Sealing failed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The system gives no randomness.
    #[error("the system gives no randomness: {0}")]
    Randomness(getrandom::Error),
    /// The clock cannot be right.
    #[error("the clock of this machine shows a year that no knock can name")]
    Clock,
    /// The name of the host has no addresses.
    #[error("the host {host:?} cannot be found: {source}")]
    Unresolved {
        /// The name.
        host: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// The host has addresses, but none of the family that is wanted.
    #[error("{host:?} has no {} address, only {}", family.label(), listed(found))]
    NoAddress {
        /// The name.
        host: String,
        /// The family that is wanted.
        family: Family,
        /// What it has.
        found: Vec<IpAddr>,
    },
    /// The local address or port cannot be used.
    #[error("cannot send from {address}: {source}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The datagram did not leave.
    #[error("cannot send to {to}: {source}")]
    Send {
        /// Where it was to go.
        to: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// There is no place for profiles.
    #[error("cannot tell where profiles live: neither XDG_CONFIG_HOME nor a home folder is set")]
    Homeless,
    /// The system refuses something with a file.
    #[error("cannot {verb} {name}: {source}")]
    File {
        /// What was tried: `read`, `write`.
        verb: &'static str,
        /// The file.
        name: String,
        /// What the system says.
        source: io::Error,
    },
}

impl Failure {
    /// A stable name for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoProfile { .. } => "no_profile",
            Self::Unsound { .. } | Self::NotText { .. } | Self::Large { .. } => "unsound_profile",
            Self::Misnamed { .. } => "misnamed_profile",
            Self::ProfileExists { .. } => "profile_exists",
            Self::KeyExists { .. } => "key_exists",
            Self::NoAction { .. } => "no_action",
            Self::NoSequence { .. } => "no_sequence",
            Self::Exposed { .. } => "exposed_key",
            Self::HmacKey { .. } | Self::GateKey { .. } | Self::ServerKey { .. } => "unsound_key",
            Self::Payload(_) => "payload",
            Self::Seal(_) | Self::Randomness(_) => "no_randomness",
            Self::Clock => "clock",
            Self::Unresolved { .. } => "unresolved_host",
            Self::NoAddress { .. } => "no_address",
            Self::Bind { .. } => "bind",
            Self::Send { .. } => "not_sent",
            Self::Homeless => "no_home",
            Self::File { .. } => "file",
        }
    }

    /// What the process exits with (`sysexits.h`): 77 if the system forbids it, 78 if a profile or a key is unsound,
    /// otherwise 1.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Unsound { .. }
            | Self::NotText { .. }
            | Self::Large { .. }
            | Self::Misnamed { .. }
            | Self::Exposed { .. }
            | Self::HmacKey { .. }
            | Self::GateKey { .. }
            | Self::ServerKey { .. } => EX_CONFIG,
            Self::File { source, .. } | Self::Bind { source, .. } | Self::Send { source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                EX_NOPERM
            }
            _ => 1,
        }
    }

    /// What is wrong with a file, if that is the failure.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        match self {
            Self::Unsound { findings, .. } => findings.as_slice(),
            _ => &[],
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn fix(&self) -> String {
        match self {
            Self::NoProfile { gateway, known, .. } => {
                let known: Vec<_> = known.iter().map(GatewayName::as_str).collect();
                format!(
                    "{}import the file that the gateway's operator gave you: siglatch import FILE",
                    choices("profiles", gateway.as_str(), &known)
                )
            }
            Self::Unsound { .. } | Self::NotText { .. } | Self::Large { .. } => {
                "ask the gateway's operator for the file that `siglatchctl user add` wrote, and import that".to_owned()
            }
            Self::Misnamed { path } => format!("remove or rename it: {}", path.display()),
            Self::ProfileExists { .. } => {
                "overwrite it with --force, or keep both: siglatch import --name OTHER FILE".to_owned()
            }
            Self::KeyExists { .. } => "choose another --out, or move the old key away first".to_owned(),
            Self::NoAction { action, known, .. } => {
                let known: Vec<_> = known.iter().map(String::as_str).collect();
                format!("{}ask the operator for what is missing", choices("actions", action, &known))
            }
            Self::NoSequence { gateway, sequence, known } => {
                let known: Vec<_> = known.iter().map(String::as_str).collect();
                format!(
                    "{}or name the steps: siglatch sequence {gateway} --steps FIRST,SECOND",
                    choices("sequences", sequence, &known)
                )
            }
            Self::Exposed { path, .. } => format!("close it: chmod 600 {}", path.display()),
            Self::HmacKey { .. } => "siglatch keygen --out FILE makes one; the gateway must hold the same".to_owned(),
            Self::GateKey { .. } => "ask the gateway's operator for its gate key, and for the number of it".to_owned(),
            Self::ServerKey { .. } => "ask the gateway's operator for its public key".to_owned(),
            Self::Payload(PayloadFlaw::Long { .. }) => "shorten --payload".to_owned(),
            Self::Payload(PayloadFlaw::Twice { .. }) => "say it once".to_owned(),
            Self::Seal(_) | Self::Randomness(_) => "try again; early in the boot there may be none yet".to_owned(),
            Self::Clock => "set the clock: gateways refuse knocks that are a minute off".to_owned(),
            Self::Unresolved { .. } => {
                "check the name and the network, or give the address: --host 192.0.2.1".to_owned()
            }
            Self::NoAddress { family, .. } => match family {
                Family::V4 => "drop -4 or the IPv4 address that --bind or --source asks for".to_owned(),
                Family::V6 => "drop -6 or the IPv6 address that --bind or --source asks for".to_owned(),
            },
            Self::Bind { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => "ports below 1024 need rights: choose a higher one".to_owned(),
                io::ErrorKind::AddrInUse => "something else uses that port: choose another, or none".to_owned(),
                _ => "--bind takes an address of this machine".to_owned(),
            },
            Self::Send { source, .. } => match source.kind() {
                io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
                    "there is no way there: check the network, or try the other family with -4 or -6".to_owned()
                }
                io::ErrorKind::PermissionDenied => "a firewall of this machine forbids it: allow UDP there".to_owned(),
                io::ErrorKind::AddrNotAvailable | io::ErrorKind::InvalidInput => {
                    "that address cannot be reached from there: check --bind, -4 and -6".to_owned()
                }
                _ => "check the network".to_owned(),
            },
            Self::Homeless => "set HOME, or XDG_CONFIG_HOME to an absolute path".to_owned(),
            Self::File { source, verb, .. } => match source.kind() {
                io::ErrorKind::NotFound => "check the path".to_owned(),
                io::ErrorKind::PermissionDenied => format!("you may not {verb} it: check its owner and mode"),
                io::ErrorKind::StorageFull => "make room on the disk".to_owned(),
                _ => "check the path and the disk".to_owned(),
            },
        }
    }
}

fn choices(what: &str, meant: &str, known: &[&str]) -> String {
    if known.is_empty() {
        return format!("there are no {what}; ");
    }
    let nearest = nearest(meant, known.iter().copied());
    let nearest = nearest.map(|name| format!("did you mean {name}? ")).unwrap_or_default();
    format!("{nearest}{what}: {}; ", known.join(", "))
}

fn gate_key_flaw(flaw: KeyFlaw) -> String {
    match flaw {
        KeyFlaw::Form => "neither 16 raw bytes nor 32 hex digits".to_owned(),
        KeyFlaw::Zero => flaw.to_string(),
    }
}

fn listed(addresses: &[IpAddr]) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
}

/// `sysexits.h`: insufficient permission.
const EX_NOPERM: u8 = 77;
/// `sysexits.h`: something was found in an unconfigured or misconfigured state.
const EX_CONFIG: u8 = 78;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_second_try_can_mend_has_an_exit_status_of_its_own() {
        let file = |kind| Failure::File { verb: "read", name: "f".to_owned(), source: io::Error::from(kind) };
        assert_eq!(file(io::ErrorKind::PermissionDenied).exit_status(), 77);
        assert_eq!(file(io::ErrorKind::StorageFull).exit_status(), 1);
        assert_eq!(Failure::Exposed { path: "alice.key".into(), mode: 0o644 }.exit_status(), 78);
        assert_eq!(Failure::Clock.exit_status(), 1);
    }

    #[test]
    fn a_fix_names_what_there_is_and_what_was_meant() {
        let failure = Failure::NoAction {
            gateway: "home".parse().unwrap(),
            action: "shs".to_owned(),
            known: vec!["ssh".to_owned(), "web".to_owned()],
        };
        assert_eq!(failure.to_string(), "home has no action \"shs\"");
        assert_eq!(failure.fix(), "did you mean ssh? actions: ssh, web; ask the operator for what is missing");
    }

    #[test]
    fn a_missing_route_and_a_firewall_are_told_apart() {
        let fix = |kind| Failure::Send { to: "192.0.2.1:1".parse().unwrap(), source: io::Error::from(kind) }.fix();
        assert!(fix(io::ErrorKind::NetworkUnreachable).contains("-4 or -6"));
        assert!(fix(io::ErrorKind::PermissionDenied).contains("firewall"));
    }
}
