//! Sets up and tends a siglatch gateway.

use std::process::ExitCode;

fn main() -> ExitCode {
    siglatch_user::ctl::run(std::env::args_os())
}
