//! The BPF object that daemons carry: the same bytes wherever it is built.

use anyhow::{Result, ensure};
use xtask::build_ebpf::Plan;

#[test]
fn two_builds_from_two_folders_are_the_same_bytes() -> Result<()> {
    let bytes = Plan::find()?.verify()?;
    ensure!(bytes > 10_000, "an object of {bytes} bytes");
    Ok(())
}
