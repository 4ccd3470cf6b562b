//! A network namespace for each test, and commands inside it.

use std::panic;
use std::process::Command;
use std::thread;

use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Runs `nft` and returns what it prints. The command is one argument, options come first.
pub fn nft(command: &str) -> String {
    let mut nft = Command::new("/usr/sbin/nft");
    let (options, command) = match command.split_once(' ') {
        Some((option, rest)) if option.starts_with('-') => (vec![option], rest),
        _ => (Vec::new(), command),
    };
    let output = nft.args(options).arg(command).output().expect("nft is installed: apt-get install nftables");
    assert!(output.status.success(), "nft {command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command line that must succeed.
pub fn shell(command: &str) {
    let path = format!("/usr/sbin:/sbin:{}", std::env::var("PATH").unwrap_or_default());
    let output = Command::new("sh").env("PATH", path).args(["-ec", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Runs the test in a thread that has a network namespace of its own; it vanishes with the thread.
pub fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let thread = thread::spawn(|| {
        enter_namespace();
        test();
    });
    if let Err(panic) = thread.join() {
        panic::resume_unwind(panic);
    }
}

/// Moves the thread into a namespace of its own.
pub fn enter_namespace() {
    // SAFETY: only FILES and similar flags let threads disagree on descriptors; NEWNET moves this thread alone.
    let done = unsafe { unshare_unsafe(UnshareFlags::NEWNET) };
    done.expect("a network namespace of its own takes root: run the tests as root");
}
