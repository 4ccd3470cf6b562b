//! Does what the command line says, and tells how it went. Never decides what bytes a knock has.

mod completions;
mod delivery;
mod import;
mod keygen;
mod knock;
mod list;
mod man;
mod sequence;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use siglatch_common::seal::{GateKey, HmacKey, ServerPublicKey};

use crate::cli::{Cli, Command, DEFAULT_PORT, KeyFiles, SendArgs, WireFiles};
use crate::edge::files;
use crate::edge::store::Store;
use crate::edge::terminal::Terminal;
use crate::failure::Failure;
use crate::gateway_name::GatewayName;
use crate::knocker::{Keys, Stamper};
use crate::profile::Profile;
use delivery::Sender;

/// Runs the command of these arguments, the first of which is the program's name.
///
/// The exit status is 0 for sent or done, 64 for a command line that is wrong, otherwise [`Failure::exit_status`].
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let done = Cli::try_parse_from(args).and_then(|cli| match &cli.command {
        Command::Knock(args) => {
            let request = args.request()?;
            let terminal = terminal_for(&args.sending);
            Ok(told(terminal, knock::run(&request, &args.sending, terminal)))
        }
        Command::Sequence(args) => {
            let request = args.request()?;
            let terminal = terminal_for(&args.sending);
            Ok(told(terminal, sequence::run(&request, args, terminal)))
        }
        Command::Import(args) => {
            let terminal = Terminal { json: args.json, quiet: false };
            Ok(told(terminal, import::run(args, terminal)))
        }
        Command::List(args) => {
            let terminal = Terminal { json: args.json, quiet: false };
            match list::run(terminal) {
                Ok(list::Health::Sound) => Ok(ExitCode::SUCCESS),
                Ok(list::Health::SomeBroken) => Ok(ExitCode::FAILURE),
                Err(failure) => Ok(told(terminal, Err(failure))),
            }
        }
        Command::Keygen(args) => {
            let terminal = Terminal { json: args.json, quiet: false };
            Ok(told(terminal, keygen::run(args, terminal)))
        }
        Command::Man(args) => Ok(told(LOUD, man::run(args))),
        Command::Completions(args) => Ok(told(LOUD, completions::run(args))),
    });
    done.unwrap_or_else(|error| {
        let _ = error.print();
        if error.use_stderr() { ExitCode::from(EX_USAGE) } else { ExitCode::SUCCESS }
    })
}

/// For commands without such options.
const LOUD: Terminal = Terminal { json: false, quiet: false };

fn terminal_for(sending: &SendArgs) -> Terminal {
    Terminal { json: sending.json, quiet: sending.quiet }
}

fn told(terminal: Terminal, done: Result<(), Failure>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            terminal.complain(&failure);
            ExitCode::from(failure.exit_status())
        }
    }
}

fn load_profile(gateway: &GatewayName, store: &Store) -> Result<Profile, Failure> {
    let contents = store.load(gateway)?;
    read_profile(&contents, || store.path(gateway).display().to_string())
}

fn read_profile(contents: &[u8], name: impl Fn() -> String) -> Result<Profile, Failure> {
    let text = str::from_utf8(contents).map_err(|_| Failure::NotText { name: name() })?;
    Profile::parse(text).map_err(|findings| Failure::Unsound { name: name(), findings })
}

fn sender_of_profile(gateway: &GatewayName, profile: &Profile, sending: &SendArgs) -> Sender {
    Sender {
        gateway: Some(gateway.clone()),
        user_name: Some(profile.user.name.clone()),
        user: profile.user.id,
        host: sending.host.clone().unwrap_or_else(|| profile.host.clone()),
        port: sending.port.unwrap_or(profile.port),
        keys: profile.keys.clone(),
    }
}

fn sender_of_key_files(files: &KeyFiles<'_>, sending: &SendArgs) -> Result<Sender, Failure> {
    let hmac = read_hmac_key(files.hmac_key)?;
    let keys = match files.wire {
        WireFiles::Sealed { server_key } => Keys::sealed(hmac, read_server_key(server_key)?),
        WireFiles::Stamped { server_key, gate_key, number } => {
            Keys::stamped(hmac, read_server_key(server_key)?, read_stamper(gate_key, number)?)
        }
        WireFiles::Clear => Keys::clear(hmac),
    };
    let port = sending.port.unwrap_or(DEFAULT_PORT);
    Ok(Sender { gateway: None, user_name: None, user: files.user, host: files.host.to_owned(), port, keys })
}

fn read_hmac_key(path: &Path) -> Result<HmacKey, Failure> {
    let contents = files::read_private(path)?;
    HmacKey::parse(&contents).map_err(|flaw| Failure::HmacKey { path: path.to_owned(), flaw })
}

fn read_stamper(path: &Path, number: u8) -> Result<Stamper, Failure> {
    let contents = files::read_private(path)?;
    let key = GateKey::parse(&contents).map_err(|flaw| Failure::GateKey { path: path.to_owned(), flaw })?;
    Ok(Stamper::new(number, key).expect("the command line was read with a gate key's number"))
}

fn read_server_key(path: &Path) -> Result<ServerPublicKey, Failure> {
    let contents = files::read(path)?.bytes;
    let text = str::from_utf8(&contents).unwrap_or_default();
    ServerPublicKey::from_pem(text).map_err(|flaw| Failure::ServerKey { path: path.to_owned(), flaw })
}

/// `sysexits.h`: the command was used incorrectly.
const EX_USAGE: u8 = 64;
