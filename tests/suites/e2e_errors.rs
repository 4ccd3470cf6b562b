//! What keeps the daemon from starting: each is told with its cure, and the cure cures it.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "files and processes are what goes wrong here"
)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use anyhow::{Result, ensure};
use siglatch_tests::gateway::{Gateway, Plan, RULES};
use siglatch_tests::netns::{GATE, Street};
use siglatch_tests::parts::OBJECT;
use siglatch_tests::process::{outcome, program};

#[test]
fn an_unknown_interface_is_waited_for_and_told_with_those_there_are() -> Result<()> {
    let (_street, gateway) = scene(&Plan::default())?;
    let waiting = gateway.start_with(&["--iface", "eth7"])?;
    let said = waiting.said();
    ensure!(
        said.contains("no such interface yet") && said.contains("eth7") && said.contains("there are: gate, lo"),
        "{said}"
    );
    drop(waiting);
    gateway.start_with(&["--iface", GATE]).map(drop)
}

#[test]
fn no_interface_at_all_is_told_with_the_option() -> Result<()> {
    let (_street, gateway) = scene(&Plan { ingress: String::new(), ..Plan::default() })?;
    fails(&mut gateway.command()?, 1, &["no interface is named", "--iface NAME", "there are: gate, lo"])?;
    gateway.start_with(&["--iface", GATE]).map(drop)
}

#[test]
fn missing_capabilities_are_named() -> Result<()> {
    let (street, gateway) = scene(&Plan::default())?;
    let without = |capabilities: &str| {
        let mut command = street.gateway.command("setpriv");
        command.args([&format!("--bounding-set={capabilities}"), &format!("--inh-caps={capabilities}")]);
        daemon(command, &gateway)
    };
    let cures = ["AmbientCapabilities=", "--ingress socket"];
    fails(&mut without("-all")?, 77, &[&cures[..], &["needs CAP_BPF CAP_PERFMON CAP_NET_ADMIN:"]].concat())?;
    fails(&mut without("-bpf")?, 77, &[&cures[..], &["needs CAP_BPF:"]].concat())?;
    fails(without("-all")?.args(["--ingress", "socket"]), 77, &["CAP_NET_ADMIN is missing"])
}

#[test]
fn a_bpf_file_system_that_is_not_mounted_is_told_with_the_command_that_mounts_it() -> Result<()> {
    let (street, gateway) = scene(&Plan::default())?;
    let mut command = street.gateway.command("unshare");
    command.args(["--mount", "--", "sh", "-c", "umount /sys/fs/bpf && exec \"$@\"", "sh"]);
    fails(
        &mut daemon(command, &gateway)?,
        1,
        &["is not on a BPF file system", "mount -t bpf bpf /sys/fs/bpf", "pin_dir"],
    )
}

#[test]
fn somebody_elses_program_is_never_replaced() -> Result<()> {
    let (street, gateway) = scene(&Plan::default())?;
    let (object, pin) = (gateway.file("other.o"), format!("{}-other", gateway.pins().display()));
    fs::write(&object, OBJECT)?;
    let (object, pin) = (object.display(), Unpinned(pin.into()));
    let pinned = pin.0.display();
    street.gateway.shell(&format!(
        "bpftool prog load {object} {pinned} type xdp && bpftool net attach xdp pinned {pinned} dev {GATE}"
    ))?;
    let before = street.gateway.ip("link show gate")?;
    let cure = format!("ip link set dev {GATE} xdp off");
    fails(&mut gateway.command()?, 1, &["another XDP program (id ", "is attached to gate", &cure])?;
    ensure!(street.gateway.ip("link show gate")? == before, "the other program was touched");
    street.gateway.shell(&cure)?;
    gateway.start().map(drop)
}

#[test]
fn a_taken_port_is_told_with_the_command_that_shows_who_has_it() -> Result<()> {
    let (street, gateway) = scene(&Plan { ingress: "mode = \"socket\"".to_owned(), ..Plan::default() })?;
    let taken = street.gateway.udp("0.0.0.0:62201".parse()?)?;
    fails(&mut gateway.command()?, 1, &["UDP port 62201 of IPv4", "ss -lunp"])?;
    drop(taken);
    gateway.start().map(drop)
}

#[test]
fn native_mode_that_the_driver_has_not_is_told_with_the_key_that_helps() -> Result<()> {
    let mut plan = Plan { ingress: "interfaces = [\"lo\"]\nattach = \"native\"".to_owned(), ..Plan::default() };
    let (_street, gateway) = scene(&plan)?;
    fails(&mut gateway.command()?, 1, &["lo takes no XDP program in native mode", "attach = \"auto\""])?;
    plan.ingress = plan.ingress.replace("native", "auto");
    gateway.configure(&plan)?;
    let daemon = gateway.start()?;
    ensure!(daemon.said().contains("interface=lo mode=\"generic\""), "{}", daemon.said());
    Ok(())
}

#[test]
fn flaws_of_the_configuration_are_told_all_at_once_with_line_and_column() -> Result<()> {
    let rules = RULES.replace("ttl = \"2s\"", "tll = \"2s\"").replace("port = 62205", "port = \"62205\"");
    let (_street, gateway) = scene(&Plan { rules, ..Plan::default() })?;
    let config = format!("{}:", gateway.config().display());
    let told = ["unknown", "tll", "ttl", "\"62205\"", &config];
    fails(&mut gateway.command()?, 78, &told)?;
    fails(gateway.command()?.arg("--check"), 78, &told)?;
    ensure!(!gateway.pins().exists(), "nothing is loaded for a configuration with flaws");
    Ok(())
}

#[test]
fn a_check_starts_nothing() -> Result<()> {
    let (street, gateway) = scene(&Plan::default())?;
    fails(gateway.command()?.arg("--check"), 0, &["siglatch.toml is sound"])?;
    ensure!(!gateway.pins().exists() && street.gateway.shell("nft list ruleset")?.is_empty());
    Ok(())
}

#[test]
fn a_missing_configuration_is_told_with_the_command_that_writes_one() -> Result<()> {
    let (_street, gateway) = scene(&Plan::default())?;
    fs::remove_file(gateway.config())?;
    let file = gateway.config().display().to_string();
    fails(&mut gateway.command()?, 78, &[&file, "siglatchctl init"])
}

#[test]
fn keys_that_are_missing_or_readable_by_others_are_told() -> Result<()> {
    let (_street, gateway) = scene(&Plan::default())?;
    fs::remove_file(gateway.file("alice.key"))?;
    fs::set_permissions(gateway.file("bob.key"), Permissions::from_mode(0o644))?;
    fs::write(gateway.file("server.key"), "no key\n")?;
    fails(&mut gateway.command()?, 78, &["alice.key", "bob.key", "chmod", "server.key"])
}

#[test]
fn a_state_folder_that_cannot_be_used_is_told_with_the_key_that_names_another() -> Result<()> {
    let (_street, gateway) = scene(&Plan::default())?;
    fs::remove_dir_all(gateway.file("state"))?;
    fs::write(gateway.file("state"), "a file")?;
    fails(&mut gateway.command()?, 1, &["state", "`dir` under [state]"])
}

#[test]
fn a_daemon_that_cannot_start_leaves_the_running_one_alone() -> Result<()> {
    let (_street, gateway) = scene(&Plan::default())?;
    let mut running = gateway.start()?;
    gateway.configure(&Plan { ingress: String::new(), ..Plan::default() })?;
    fails(&mut gateway.command()?, 1, &["no interface"])?;
    ensure!(running.is_running(), "{}", running.said());
    Ok(())
}

fn scene(plan: &Plan) -> Result<(Street, Gateway)> {
    let street = Street::new()?;
    let gateway = Gateway::new(&street.gateway, plan)?;
    Ok((street, gateway))
}

/// A command that ends with another one, given the daemon's.
fn daemon(mut command: Command, gateway: &Gateway) -> Result<Command> {
    command.env("NO_COLOR", "1").arg(program("siglatch-user")?).arg("--config").arg(gateway.config());
    Ok(command)
}

/// Runs a command that ends by itself with that code, and says all of that.
fn fails(command: &mut Command, wanted: i32, words: &[&str]) -> Result<()> {
    let (code, said) = outcome(command)?;
    let missing: Vec<_> = words.iter().filter(|words| !said.contains(**words)).collect();
    ensure!(code == wanted && missing.is_empty(), "exit code {code}, not {wanted}; {missing:?} missing in:\n{said}");
    Ok(())
}

/// A pin that is taken away when this is dropped.
struct Unpinned(std::path::PathBuf);

impl Drop for Unpinned {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
