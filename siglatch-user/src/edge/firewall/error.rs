//! What can go wrong between siglatch and nftables, each with its cure. Never logged here.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::gate::GrantKey;
use crate::policy::Door;

/// Why the firewall is not as it should be.
#[derive(Debug, Error)]
pub enum FirewallError {
    /// The program that writes rules is not installed.
    #[error("the program nft is neither in PATH nor in /usr/sbin or /sbin: apt-get install nftables")]
    NftMissing,
    /// It is there and cannot be run, or answers what cannot be read.
    #[error("{} cannot be used: check it with `{} --version`", program.display(), program.display())]
    NftUnusable {
        /// The program.
        program: PathBuf,
        /// What happened.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It ran, and the kernel or nft itself said no.
    #[error("nft refused {doing}: {said}")]
    NftRefused {
        /// What was asked for.
        doing: String,
        /// Its words.
        said: String,
    },
    /// The capability is missing.
    #[error(
        "not permitted to {doing}: CAP_NET_ADMIN is missing; start as root, or with AmbientCapabilities=CAP_NET_ADMIN"
    )]
    NotPermitted {
        /// What was asked for.
        doing: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The kernel was built without nf_tables, or cannot load it.
    #[error("cannot {doing}: this kernel has no nf_tables; try `modprobe nf_tables` (CONFIG_NF_TABLES)")]
    Unsupported {
        /// What was asked for.
        doing: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The table, or a set in it, is gone.
    #[error("cannot {doing}: siglatch's table, or a set in it, is gone; restoring puts it back")]
    Gone {
        /// What was asked for.
        doing: String,
    },
    /// A set in the operator's table is not there.
    #[error("set {set} is missing from table {table}; make it: {cure}")]
    SetMissing {
        /// Family and name.
        table: String,
        /// Its name.
        set: String,
        /// A command.
        cure: String,
    },
    /// A set in the operator's table cannot hold grants.
    #[error("set {set} of table {table} cannot hold grants: {flaw}; delete the rules that use it, then: {cure}")]
    SetUnfit {
        /// Family and name.
        table: String,
        /// Its name.
        set: String,
        /// What is wrong with it.
        flaw: String,
        /// Commands.
        cure: String,
    },
    /// The address has an IP version for which the operator named no set.
    #[error("no set for {source_address} is configured: name one under [firewall] as `{key}`")]
    NoSet {
        /// Whose address.
        source_address: String,
        /// The missing key of the configuration.
        key: &'static str,
    },
    /// Our own table has no sets for hosts behind this one, because nothing of theirs is protected.
    #[error("{door} is not closed by siglatch, so it cannot be opened: name it under [firewall] in `protect_forward`")]
    NotProtected {
        /// The service and its host.
        door: Door,
    },
    /// nftables knows more families than siglatch can fill sets of.
    #[error("sets in a table of family {family} cannot hold grants: use inet, ip or ip6")]
    Family {
        /// As configured.
        family: String,
    },
    /// Another mode or table, while grants stand in this one.
    #[error("`mode`, `table` and `family` of [firewall] count from the next start: restart siglatch")]
    NotLive,
    /// The kernel refused something else.
    #[error("the kernel refused to {doing}")]
    Kernel {
        /// What was asked for.
        doing: String,
        /// Its answer.
        #[source]
        source: io::Error,
    },
    /// Some grants of a batch did not get in; all others did.
    #[error("{} of the grants were not written, the first for {}", failed.len(), first(failed))]
    NotWritten {
        /// Those that are missing.
        failed: Vec<GrantKey>,
        /// Why the first of them is.
        #[source]
        source: Box<FirewallError>,
    },
}

impl FirewallError {
    /// The grants that did not get in, if all others did.
    #[must_use]
    pub fn not_written(&self) -> Option<&[GrantKey]> {
        if let Self::NotWritten { failed, .. } = self { Some(failed) } else { None }
    }

    /// Names the kernel's answer: `doing` completes the sentence "cannot …".
    pub(super) fn kernel(doing: impl Into<String>, source: io::Error) -> Self {
        let doing = doing.into();
        match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::NotPermitted { doing, source },
            Some(libc::ENOENT) => Self::Gone { doing },
            Some(libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT) => Self::Unsupported { doing, source },
            _ => Self::Kernel { doing, source },
        }
    }
}

/// What a grant is for, as sentences have it: `192.0.2.7 to tcp/22`, `192.0.2.7 to tcp/22@10.0.0.5`.
pub(super) fn grant_text(key: &GrantKey) -> String {
    let GrantKey { source, destination, service } = *key;
    match destination {
        None => format!("{source} to {service}"),
        Some(destination) => format!("{source} to {}", Door { destination, service }),
    }
}

fn first(failed: &[GrantKey]) -> String {
    failed.first().map(grant_text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_answers_are_told_apart() {
        let of = |errno| FirewallError::kernel("write a grant", io::Error::from_raw_os_error(errno));
        assert!(matches!(of(libc::EPERM), FirewallError::NotPermitted { .. }));
        assert!(matches!(of(libc::ENOENT), FirewallError::Gone { .. }));
        assert!(matches!(of(libc::EOPNOTSUPP), FirewallError::Unsupported { .. }));
        assert!(matches!(of(libc::ENOSPC), FirewallError::Kernel { .. }));
    }

    #[test]
    fn cures_are_in_the_message() {
        let not_permitted = FirewallError::kernel("write a grant", io::Error::from_raw_os_error(libc::EPERM));
        assert!(not_permitted.to_string().contains("CAP_NET_ADMIN"));
        assert!(FirewallError::NftMissing.to_string().contains("apt-get install nftables"));
    }
}
