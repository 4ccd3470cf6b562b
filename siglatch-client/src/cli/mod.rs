//! The command line: what may be typed, and what it means. Never does any of it.

mod help;
mod request;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use siglatch_common::stamp::GATE_KEYS;
use siglatch_common::wire::Wire;

use crate::bind::{Bind, Family};
use crate::gap::Gap;
use crate::gateway_name::GatewayName;
use crate::ttl::Ttl;
use help::{COMPLETIONS_HELP, HELP, IMPORT_HELP, KEYGEN_HELP, KNOCK_HELP, LIST_HELP, MAN_HELP, SEQUENCE_HELP};
pub use request::{KeyFiles, KnockRequest, SequenceRequest, WireFiles};

/// Knocks on gateways that run siglatch.
#[derive(Debug, Parser)]
#[command(name = "siglatch", version, after_help = HELP, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sends one knock.
    #[command(after_help = KNOCK_HELP)]
    Knock(KnockArgs),
    /// Sends several knocks in order.
    #[command(after_help = SEQUENCE_HELP)]
    Sequence(SequenceArgs),
    /// Keeps an enrolment file as a profile.
    #[command(after_help = IMPORT_HELP)]
    Import(ImportArgs),
    /// Shows the profiles.
    #[command(after_help = LIST_HELP)]
    List(ListArgs),
    /// Makes an HMAC key.
    #[command(after_help = KEYGEN_HELP)]
    Keygen(KeygenArgs),
    /// Writes the manual pages: for packages.
    #[command(hide = true, after_help = MAN_HELP)]
    Man(ManArgs),
    /// Prints what makes a shell complete this command line: for packages.
    #[command(hide = true, after_help = COMPLETIONS_HELP)]
    Completions(CompletionsArgs),
}

/// `siglatch knock`.
#[derive(Args, Debug)]
pub struct KnockArgs {
    /// A profile: see `siglatch list`.
    pub gateway: Option<GatewayName>,
    /// An action of the profile.
    pub action: Option<String>,
    /// Number of the action.
    #[arg(long, value_name = "N", conflicts_with = "gateway", help_heading = WITHOUT_PROFILE)]
    pub action_id: Option<u8>,
    #[command(flatten)]
    keys: KeyArgs,
    /// What goes out, and how it is told.
    #[command(flatten)]
    pub sending: SendArgs,
}

/// `siglatch sequence`.
#[derive(Args, Debug)]
pub struct SequenceArgs {
    /// A profile: see `siglatch list`.
    pub gateway: Option<GatewayName>,
    /// A sequence of the profile.
    #[arg(conflicts_with = "steps")]
    pub name: Option<String>,
    /// Actions, or without a profile their numbers, in order.
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    pub steps: Vec<String>,
    /// Pause between two steps: networks reorder what is sent together.
    #[arg(long, default_value_t)]
    pub gap: Gap,
    #[command(flatten)]
    keys: KeyArgs,
    /// What goes out, and how it is told.
    #[command(flatten)]
    pub sending: SendArgs,
}

/// Keys from files: no profile is needed.
#[derive(Args, Debug)]
struct KeyArgs {
    /// The server's public key, PEM; not needed with `--wire clear`.
    #[arg(long, value_name = "FILE", conflicts_with = "gateway", help_heading = WITHOUT_PROFILE)]
    server_key: Option<PathBuf>,
    /// The user's key: 32 bytes or 64 hex digits, mode 0600.
    #[arg(long, value_name = "FILE", conflicts_with = "gateway", help_heading = WITHOUT_PROFILE)]
    hmac_key: Option<PathBuf>,
    /// Number of the user.
    #[arg(long, value_name = "N", conflicts_with = "gateway", help_heading = WITHOUT_PROFILE)]
    user_id: Option<u16>,
    /// What the knock port takes: sealed, stamped or clear [default: sealed].
    #[arg(long, value_parser = wire, conflicts_with = "gateway", help_heading = WITHOUT_PROFILE)]
    wire: Option<Wire>,
    /// With `--wire stamped`, the gate key: 16 bytes or 32 hex digits, mode 0600.
    #[arg(long, value_name = "FILE", conflicts_with = "gateway", help_heading = WITHOUT_PROFILE)]
    gate_key: Option<PathBuf>,
    /// Number of the gate key, 0 to 3.
    #[arg(long, value_name = "N", value_parser = gate_key_number, conflicts_with = "gateway", help_heading = WITHOUT_PROFILE)]
    gate_key_number: Option<u8>,
}

/// What goes out, and how it is told.
#[derive(Args, Debug)]
pub struct SendArgs {
    /// Asks that the grant lasts so long: 90s, 10m, 1h30m, 1d. The gateway may give less.
    #[arg(long)]
    pub ttl: Option<Ttl>,
    /// Asks for the grant for this address. Where the action must name one and you do not, it is the address that
    /// the knock leaves from.
    #[arg(long, value_name = "ADDRESS", value_parser = source)]
    pub source: Option<IpAddr>,
    /// More words for the action, 199 bytes with all others.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub payload: String,
    /// Name or address of the gateway [default: the profile's].
    #[arg(long)]
    pub host: Option<String>,
    /// The knock port [default: the profile's, or 62201].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// Sends from this address of this machine.
    #[arg(long, value_name = "ADDRESS[:PORT]")]
    pub bind: Option<Bind>,
    /// Uses IPv4 alone.
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    ipv4: bool,
    /// Uses IPv6 alone.
    #[arg(short = '6', long)]
    ipv6: bool,
    /// Does everything but send, and prints the packet; never the HMAC.
    #[arg(long)]
    pub dry_run: bool,
    /// Prints one JSON object a line, failures too.
    #[arg(long)]
    pub json: bool,
    /// Prints failures alone.
    #[arg(short, long, conflicts_with_all = ["json", "dry_run"])]
    pub quiet: bool,
}

/// `siglatch import`.
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// The file that the gateway's operator gave you, or - for standard input.
    pub file: PathBuf,
    /// Calls the profile so, not as the file does.
    #[arg(long, value_name = "GATEWAY")]
    pub name: Option<GatewayName>,
    /// Replaces a profile of that name.
    #[arg(long)]
    pub force: bool,
    /// Prints one JSON object a line, failures too.
    #[arg(long)]
    pub json: bool,
}

/// `siglatch list`.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Prints one JSON object a line, failures too.
    #[arg(long)]
    pub json: bool,
}

/// `siglatch keygen`.
#[derive(Args, Debug)]
pub struct KeygenArgs {
    /// The new file, mode 0600; - for standard output.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Prints one JSON object a line, failures too.
    #[arg(long)]
    pub json: bool,
}

/// `siglatch man`.
#[derive(Args, Debug)]
pub struct ManArgs {
    /// Where to, one file a command.
    #[arg(long, value_name = "FOLDER")]
    pub dir: PathBuf,
}

/// `siglatch completions`.
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// The shell.
    pub shell: clap_complete::Shell,
}

/// The whole command, as manual pages and completions need it.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

impl SendArgs {
    /// The family that the user insists on.
    #[must_use]
    pub fn family(&self) -> Option<Family> {
        match (self.ipv4, self.ipv6) {
            (true, _) => Some(Family::V4),
            (false, true) => Some(Family::V6),
            (false, false) => self.bind.map(Bind::family),
        }
    }
}

/// The knock port where nobody says another.
pub const DEFAULT_PORT: u16 = 62201;

fn wire(label: &str) -> Result<Wire, String> {
    Wire::from_label(label).ok_or_else(|| format!("a wire is one of: {}", Wire::ALL.map(Wire::label).join(", ")))
}

fn gate_key_number(text: &str) -> Result<u8, String> {
    let number = text.parse().ok().filter(|number| usize::from(*number) < GATE_KEYS);
    number.ok_or_else(|| format!("a gate key's number is 0 to {}", GATE_KEYS - 1))
}

fn source(text: &str) -> Result<IpAddr, String> {
    let address = text.parse::<IpAddr>().map_err(|_| "write an address alone: 192.0.2.7 or 2001:db8::7")?;
    let address = address.to_canonical();
    if address.is_unspecified() || address.is_multicast() {
        return Err("nothing can be granted to that address".to_owned());
    }
    Ok(address)
}

const WITHOUT_PROFILE: &str = "Without a profile";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound_and_every_command_shows_an_example() {
        command().debug_assert();
        for subcommand in command().get_subcommands() {
            let help = subcommand.get_after_help().unwrap().to_string();
            assert!(help.contains(&format!("  siglatch {}", subcommand.get_name())), "{help}");
        }
    }
}
