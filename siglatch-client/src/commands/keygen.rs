//! `siglatch keygen`: a new HMAC key. Never overwrites, and never shows the key unless standard output is named.

use serde::Serialize;
use zeroize::Zeroizing;

use crate::cli::KeygenArgs;
use crate::edge::{files, randomness, terminal};
use crate::failure::Failure;

#[derive(Serialize)]
struct Made {
    event: &'static str,
    path: String,
}

pub(super) fn run(args: &KeygenArgs, terminal: terminal::Terminal) -> Result<(), Failure> {
    let key = Zeroizing::new(randomness::hmac_key()?.to_hex_file());
    if args.out.as_os_str() == "-" {
        return terminal::put(key.as_slice());
    }
    let path = args.out.display().to_string();
    match files::create_private(&args.out, key.as_slice()) {
        Ok(()) => {}
        Err(source) if source.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(Failure::KeyExists { path: args.out.clone() });
        }
        Err(source) => return Err(files::failure("write", &args.out, source)),
    }
    let text = format!("made the key {path}\nnext: give it to the gateway's operator on a way that nobody can read");
    terminal.say(text, &Made { event: "key", path })
}
