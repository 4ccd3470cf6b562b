//! What the daemon and `siglatchctl` exit with (`sysexits.h`). Never prints why.
//!
//! Service managers go by it: what no restart can mend is told apart from what one can.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use super::load::NoConfiguration;
use crate::admin::protocol::{Code, ReplyFlaw};
use crate::edge::activation::ActivationError;
use crate::edge::admin::AskError;
use crate::edge::descriptors::TooFew;
use crate::edge::firewall::FirewallError;
use crate::edge::switch_store::SwitchStoreError;
use crate::edge::xdp::XdpError;

/// The command was used incorrectly.
pub const EX_USAGE: u8 = 64;
/// An operating system error, such as a limit that is too low.
pub const EX_OSERR: u8 = 71;
/// Insufficient permission.
pub const EX_NOPERM: u8 = 77;
/// Something was found in an unconfigured or misconfigured state.
pub const EX_CONFIG: u8 = 78;

/// Prints what is wrong with a command line, or the help that it asks for.
#[must_use]
pub fn usage(error: &clap::Error) -> ExitCode {
    // A pipe that nobody reads changes nothing about it.
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(EX_USAGE) } else { ExitCode::SUCCESS }
}

/// The code for something that was not done: 1, unless its cause has one of its own.
pub(super) fn code_of(error: &(dyn Error + 'static)) -> u8 {
    match (code_of_cause(error), error.source()) {
        (Some(code), _) => code,
        (None, Some(cause)) => code_of(cause),
        (None, None) => 1,
    }
}

fn code_of_cause(cause: &(dyn Error + 'static)) -> Option<u8> {
    let is_forbidden = cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::PermissionDenied)
        || matches!(cause.downcast_ref(), Some(AskError::Reply(ReplyFlaw::Refused(problem))) if problem.code == Code::Forbidden)
        || matches!(cause.downcast_ref(), Some(XdpError::Capability { .. }))
        || matches!(cause.downcast_ref(), Some(FirewallError::NotPermitted { .. }));
    match cause.downcast_ref() {
        _ if is_forbidden => Some(EX_NOPERM),
        _ if cause.is::<NoConfiguration>() => Some(EX_CONFIG),
        _ if matches!(cause.downcast_ref(), Some(SwitchStoreError::Damaged { .. })) => Some(EX_CONFIG),
        Some(ActivationError::NoKnockPort { .. } | ActivationError::NoDatagrams { .. } | ActivationError::Unused) => {
            Some(EX_CONFIG)
        }
        _ if cause.is::<TooFew>() => Some(EX_OSERR),
        Some(ActivationError::Environment(_)) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;
    use crate::admin::protocol::{Problem, Role};

    #[test]
    fn what_is_forbidden_is_told_apart_however_deep_it_lies() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(code_of(&denied()), EX_NOPERM);
        let deep = Err::<(), _>(denied()).context("the keys").context("cannot start").unwrap_err();
        assert_eq!(code_of(deep.as_ref()), EX_NOPERM);
        assert_eq!(code_of(&AskError::Forbidden { path: "/run/s".into(), group: None, source: denied() }), EX_NOPERM);
        let no = AskError::Reply(ReplyFlaw::Refused(Problem::forbidden(Role::Observe)));
        assert_eq!(code_of(&no), EX_NOPERM);
        assert_eq!(code_of(&XdpError::Capability { missing: "CAP_BPF".to_owned() }), EX_NOPERM);
        assert_eq!(code_of(&io::Error::from(io::ErrorKind::NotFound)), 1);
    }

    #[test]
    fn sockets_that_fit_nothing_are_a_matter_of_configuration() {
        assert_eq!(code_of(&ActivationError::Unused), EX_CONFIG);
        assert_eq!(code_of(&ActivationError::Environment(io::ErrorKind::InvalidInput.into())), 1);
    }
}
