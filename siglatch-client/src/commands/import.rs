//! `siglatch import`: an enrolment file becomes a profile, byte for byte. Never deletes the file.

use std::path::Path;

use serde::Serialize;

use super::list::Listed;
use super::read_profile;
use crate::cli::ImportArgs;
use crate::edge::files::{self, Contents, Exposure, Overwrite, STANDARD_INPUT};
use crate::edge::store::Store;
use crate::edge::terminal::Terminal;
use crate::failure::Failure;
use crate::gateway_name::GatewayName;
use crate::profile::{FirstTry, Profile};

#[derive(Serialize)]
struct Imported<'a> {
    event: &'static str,
    #[serde(flatten)]
    listed: &'a Listed<'a>,
}

pub(super) fn run(args: &ImportArgs, terminal: Terminal) -> Result<(), Failure> {
    let from_input = args.file.as_os_str() == "-";
    let Contents { bytes, exposure } = if from_input {
        Contents { bytes: files::read_standard_input()?, exposure: Exposure::Passing }
    } else {
        files::read(&args.file)?
    };
    let profile =
        read_profile(&bytes, || if from_input { STANDARD_INPUT.to_owned() } else { args.file.display().to_string() })?;

    let name = args.name.as_ref().unwrap_or(&profile.gateway);
    let overwrite = if args.force { Overwrite::Yes } else { Overwrite::Never };
    let path = Store::of_user()?.keep(name, &bytes, overwrite)?;

    let listed = Listed::new(name, &profile, &path);
    let text = format!("imported {listed}\nstored in {}\n{}", path.display(), next(name, &profile));
    terminal.say(text, &Imported { event: "imported", listed: &listed })?;
    remark_on_file(&args.file, exposure, terminal);
    Ok(())
}

fn next(name: &GatewayName, profile: &Profile) -> String {
    match profile.first_try() {
        Some(FirstTry::Knock(action)) => format!("next: siglatch knock {name} {action}"),
        Some(FirstTry::Sequence(sequence)) => format!("next: siglatch sequence {name} {sequence}"),
        None => "it names no action: ask the gateway's operator what you may ask for".to_owned(),
    }
}

fn remark_on_file(file: &Path, exposure: Exposure, terminal: Terminal) {
    let file = file.display();
    match exposure {
        Exposure::Passing => {}
        Exposure::Private => terminal.remark(format_args!("{file} still holds your key: delete it (rm {file})")),
        Exposure::Open { mode } => terminal.remark(format_args!(
            "{file} holds your key and others can read it (mode {mode:04o}): delete it (rm {file}), and if others use \
             this machine ask the operator for a new key"
        )),
    }
}
