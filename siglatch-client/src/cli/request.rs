//! What a command line asks for, and what is missing from it. Never looks whether it exists.

use std::path::PathBuf;

use clap::error::ErrorKind;
use siglatch_common::wire::Wire;
use siglatch_common::wire::v1::{ActionId, UserId};

use super::{KeyArgs, KnockArgs, SendArgs, SequenceArgs, command};
use crate::gateway_name::GatewayName;

/// Everything that a profile would have said.
#[derive(Debug)]
pub struct KeyFiles<'a> {
    /// Name or address of the gateway.
    pub host: &'a str,
    /// The user's key.
    pub hmac_key: &'a PathBuf,
    /// What the knock port takes.
    pub wire: WireFiles<'a>,
    /// Number of the user.
    pub user: UserId,
}

/// What a knock port takes, and the files that such a datagram is made with.
#[derive(Debug)]
pub enum WireFiles<'a> {
    /// [`Wire::Sealed`].
    Sealed {
        /// The server's public key.
        server_key: &'a PathBuf,
    },
    /// [`Wire::Stamped`].
    Stamped {
        /// The server's public key.
        server_key: &'a PathBuf,
        /// The gate key.
        gate_key: &'a PathBuf,
        /// Its number.
        number: u8,
    },
    /// [`Wire::Clear`].
    Clear,
}

/// What `siglatch knock` asks for.
#[derive(Debug)]
pub enum KnockRequest<'a> {
    /// An action of a profile.
    Profile {
        /// The profile.
        gateway: &'a GatewayName,
        /// The action's name.
        action: &'a str,
    },
    /// An action by number, with keys from files.
    KeyFiles {
        /// Everything that a profile would have said.
        files: KeyFiles<'a>,
        /// The action's number.
        action: ActionId,
    },
}

/// What `siglatch sequence` asks for.
#[derive(Debug)]
pub enum SequenceRequest<'a> {
    /// A sequence of a profile.
    Profile {
        /// The profile.
        gateway: &'a GatewayName,
        /// The sequence's name.
        sequence: &'a str,
    },
    /// Actions of a profile.
    Steps {
        /// The profile.
        gateway: &'a GatewayName,
        /// The actions' names, in order.
        actions: &'a [String],
    },
    /// Actions by number, with keys from files.
    KeyFiles {
        /// Everything that a profile would have said.
        files: KeyFiles<'a>,
        /// The actions' numbers, in order.
        actions: Vec<ActionId>,
    },
}

impl KnockArgs {
    /// What is asked for.
    ///
    /// # Errors
    /// A usage error that names every part that is missing.
    pub fn request(&self) -> Result<KnockRequest<'_>, clap::Error> {
        self.sending.check("knock")?;
        match (&self.gateway, &self.action) {
            (Some(gateway), Some(action)) => Ok(KnockRequest::Profile { gateway, action }),
            (Some(gateway), None) => {
                Err(usage("knock", format!("which action? siglatch knock {gateway} ACTION; siglatch list shows them")))
            }
            (None, _) => {
                let missing = self.action_id.is_none().then_some("--action-id N");
                let files = self.keys.files(&self.sending, "knock", missing)?;
                Ok(KnockRequest::KeyFiles { files, action: ActionId(self.action_id.unwrap_or_default()) })
            }
        }
    }
}

impl SequenceArgs {
    /// What is asked for.
    ///
    /// # Errors
    /// A usage error that names every part that is missing.
    pub fn request(&self) -> Result<SequenceRequest<'_>, clap::Error> {
        self.sending.check("sequence")?;
        if self.steps.iter().any(String::is_empty) {
            return Err(usage("sequence", "--steps has an empty step: write --steps first,second"));
        }
        match (&self.gateway, &self.name) {
            (Some(gateway), Some(sequence)) => Ok(SequenceRequest::Profile { gateway, sequence }),
            (Some(gateway), None) if self.steps.is_empty() => Err(usage(
                "sequence",
                format!("which sequence? siglatch sequence {gateway} NAME, or --steps; siglatch list shows them"),
            )),
            (Some(gateway), None) => Ok(SequenceRequest::Steps { gateway, actions: &self.steps }),
            (None, _) => {
                let missing = self.steps.is_empty().then_some("--steps N,N,…");
                let files = self.keys.files(&self.sending, "sequence", missing)?;
                let action = |step: &String| match step.parse() {
                    Ok(number) => Ok(ActionId(number)),
                    Err(_) => Err(usage(
                        "sequence",
                        format!("without a profile --steps are action numbers, 0 to 255; not {step:?}"),
                    )),
                };
                let actions = self.steps.iter().map(action).collect::<Result<_, _>>()?;
                Ok(SequenceRequest::KeyFiles { files, actions })
            }
        }
    }
}

impl KeyArgs {
    fn files<'a>(
        &'a self,
        sending: &'a SendArgs,
        subcommand: &str,
        missing_too: Option<&'static str>,
    ) -> Result<KeyFiles<'a>, clap::Error> {
        let wire = self.wire.unwrap_or(Wire::Sealed);
        let stamps = wire == Wire::Stamped;
        if !stamps && (self.gate_key.is_some() || self.gate_key_number.is_some()) {
            return Err(usage(subcommand, "--gate-key and --gate-key-number are for --wire stamped"));
        }
        let missing: Vec<_> = [
            sending.host.is_none().then_some("--host HOST"),
            self.hmac_key.is_none().then_some("--hmac-key FILE"),
            (wire != Wire::Clear && self.server_key.is_none()).then_some("--server-key FILE"),
            (stamps && self.gate_key.is_none()).then_some("--gate-key FILE"),
            (stamps && self.gate_key_number.is_none()).then_some("--gate-key-number N"),
            self.user_id.is_none().then_some("--user-id N"),
            missing_too,
        ]
        .into_iter()
        .flatten()
        .collect();
        let (Some(host), Some(hmac_key), Some(wire), Some(user), true) =
            (&sending.host, &self.hmac_key, self.wire_files(wire), self.user_id, missing.is_empty())
        else {
            let missing = missing.join(" ");
            return Err(usage(subcommand, format!("name a profile (siglatch list shows them), or add: {missing}")));
        };
        Ok(KeyFiles { host, hmac_key, wire, user: UserId(user) })
    }

    /// Nothing if one is missing.
    fn wire_files(&self, wire: Wire) -> Option<WireFiles<'_>> {
        let server_key = self.server_key.as_ref();
        match wire {
            Wire::Sealed => Some(WireFiles::Sealed { server_key: server_key? }),
            Wire::Stamped => Some(WireFiles::Stamped {
                server_key: server_key?,
                gate_key: self.gate_key.as_ref()?,
                number: self.gate_key_number?,
            }),
            Wire::Clear => Some(WireFiles::Clear),
        }
    }
}

impl SendArgs {
    fn check(&self, subcommand: &str) -> Result<(), clap::Error> {
        match (self.family(), self.bind) {
            (Some(family), Some(bind)) if family != bind.family() => {
                Err(usage(subcommand, format!("--bind {} is no {} address", bind.address().ip(), family.label())))
            }
            _ => Ok(()),
        }
    }
}

fn usage(subcommand: &str, message: impl std::fmt::Display) -> clap::Error {
    let mut command = command();
    command.build();
    match command.find_subcommand_mut(subcommand) {
        Some(subcommand) => subcommand.error(ErrorKind::MissingRequiredArgument, message),
        None => command.error(ErrorKind::MissingRequiredArgument, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::help::{KNOCK_HELP, SEQUENCE_HELP};
    use crate::cli::{Cli, Command};
    use clap::Parser as _;

    fn knock(line: &str) -> Result<KnockArgs, clap::Error> {
        let cli = Cli::try_parse_from(["siglatch", "knock"].into_iter().chain(line.split_whitespace()))?;
        let Command::Knock(args) = cli.command else { panic!("knock is knock") };
        args.request()?;
        Ok(args)
    }

    fn sequence(line: &str) -> Result<SequenceArgs, clap::Error> {
        let cli = Cli::try_parse_from(["siglatch", "sequence"].into_iter().chain(line.split_whitespace()))?;
        let Command::Sequence(args) = cli.command else { panic!("sequence is sequence") };
        args.request()?;
        Ok(args)
    }

    #[test]
    fn the_examples_of_knock_and_sequence_parse() {
        for help in [KNOCK_HELP, SEQUENCE_HELP] {
            for line in help.lines().filter_map(|line| line.strip_prefix("  siglatch ")) {
                let (subcommand, line) = line.split_once(' ').unwrap();
                let error = if subcommand == "knock" { knock(line).err() } else { sequence(line).err() };
                assert!(error.is_none(), "{line}: {error:?}");
            }
        }
    }

    #[test]
    fn everything_that_is_missing_is_named_at_once() {
        let missing = |line: &str| knock(line).unwrap_err().to_string();
        let all = missing("");
        for option in ["--host", "--hmac-key", "--server-key", "--user-id", "--action-id"] {
            assert!(all.contains(option), "{all}");
        }
        let some = missing("--host h --user-id 1 --wire clear");
        assert!(some.contains("add: --hmac-key FILE --action-id N"), "{some}");
        assert!(missing("home").contains("siglatch knock home ACTION"));
        assert!(sequence("home").unwrap_err().to_string().contains("siglatch sequence home NAME"));
        assert!(sequence("").unwrap_err().to_string().contains("--steps"));
    }

    #[test]
    fn each_wire_needs_its_own_keys() {
        let with = |more: &str| knock(&format!("--host h --hmac-key k --user-id 1 --action-id 1 {more}"));
        assert!(with("--wire clear").is_ok());
        assert!(with("--wire sealed").is_err());
        assert!(with("--wire sealed --server-key s").is_ok());
        let missing = with("--wire stamped").unwrap_err().to_string();
        assert!(missing.contains("add: --server-key FILE --gate-key FILE --gate-key-number N"), "{missing}");
        assert!(with("--wire stamped --server-key s --gate-key g --gate-key-number 3").is_ok());
        let number = with("--wire stamped --server-key s --gate-key g --gate-key-number 4").unwrap_err().to_string();
        assert!(number.contains("a gate key's number is 0 to 3"), "{number}");
        let unused = with("--server-key s --gate-key g --gate-key-number 3").unwrap_err().to_string();
        assert!(unused.contains("--gate-key and --gate-key-number are for --wire stamped"), "{unused}");
    }

    #[test]
    fn contradictions_are_refused() {
        for line in [
            "home ssh -4 -6",
            "home ssh -4 --bind ::1",
            "home ssh -6 --bind 192.0.2.7:4000",
            "home ssh --user-id 1",
            "home ssh --gate-key k",
            "home ssh --quiet --json",
            "home ssh --port 0",
            "home ssh --source 0.0.0.0",
            "home ssh --source ff02::1",
            "home ssh --ttl 10",
            "../home ssh",
        ] {
            assert!(knock(line).is_err(), "{line}");
        }
        assert!(knock("home ssh -6 --bind ::1").is_ok());
        assert!(sequence("home vault --steps a,b").is_err());
        assert!(sequence("home --steps a,,b").is_err());
        assert!(sequence("--host h --hmac-key k --server-key s --user-id 1 --steps 1,256").is_err());
    }

    #[test]
    fn a_source_has_one_form() {
        let args = knock("home ssh --source ::ffff:192.0.2.7").unwrap();
        assert_eq!(args.sending.source, Some("192.0.2.7".parse().unwrap()));
    }
}
