//! `siglatch`: knocks on gateways. See the library.

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    siglatch_client::run(env::args_os())
}
