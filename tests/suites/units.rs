//! The units for systemd: sound alone and with each drop-in, exposing little, and started before the network also where the
//! system's own start comes after it.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "units are files, and systemd-analyze reads them"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use siglatch_tests::netns::unique;
use siglatch_tests::process::outcome;

#[test]
fn the_units_are_sound() -> Result<()> {
    let units = Units::new()?;
    for unit in UNITS {
        units.are_sound_for(unit)?;
    }
    Ok(())
}

#[test]
fn the_service_exposes_little() -> Result<()> {
    let units = Units::new()?;
    let mut security = Command::new("systemd-analyze");
    let unit = units.folder.join("siglatch.service");
    let (code, said) = outcome(security.args(["security", "--offline=true", "--threshold=20"]).arg(unit))?;
    ensure!(code == 0, "the unit exposes more than 2.0:\n{said}");
    Ok(())
}

#[test]
fn the_service_is_sound_with_each_drop_in_and_with_all() -> Result<()> {
    let examples = shipped("examples");
    let names: Vec<_> = fs::read_dir(&examples)?.map(|entry| Ok(entry?.file_name())).collect::<Result<_>>()?;
    ensure!(names.len() == 2, "{names:?}");
    let all = Units::new()?;
    for name in &names {
        let (units, text) = (Units::new()?, fs::read_to_string(examples.join(name))?);
        let name = name.to_str().context("a plain name")?;
        for each in [&units, &all] {
            each.drop_in(name, &text)?;
            each.are_sound_for("siglatch.service")?;
        }
        // Otherwise they are not looked at.
        units.drop_in(name, &format!("{text}NoSuchKey=1\n"))?;
        let said = units.verified("siglatch.service")?;
        ensure!(said.contains("NoSuchKey"), "{name} is not read: {said}");
    }
    Ok(())
}

/// Where cloud-init prepares a machine, the system's own start (`sysinit.target`) waits for the network, and the network for us.
#[test]
fn nothing_waits_for_itself_where_the_system_s_start_waits_for_the_network() -> Result<()> {
    let units = Units::new()?;
    units.add_boot()?;
    units.are_sound_for("multi-user.target")?;
    for unit in UNITS {
        let sound = units.text(unit)?;
        for wrong in ["yes", "no\nAfter=sysinit.target", "no\nAfter=firewalld.service"] {
            let text = sound.replace("DefaultDependencies=no", &format!("DefaultDependencies={wrong}"));
            ensure!(text != sound, "{unit} says nothing of its dependencies");
            fs::write(units.folder.join(unit), text)?;
            let said = units.verified("multi-user.target")?;
            ensure!(said.contains("Found ordering cycle"), "{unit} with {wrong:?}: nothing found: {said}");
        }
        fs::write(units.folder.join(unit), sound)?;
    }
    units.are_sound_for("multi-user.target")
}

/// A folder in which systemd finds every unit that it is told of here, and no other.
struct Units {
    folder: PathBuf,
}

impl Units {
    /// Ours, with programs that are there in place of those that the package brings.
    fn new() -> Result<Self> {
        let units = Self { folder: std::env::temp_dir().join(unique("units")) };
        fs::create_dir_all(&units.folder)?;
        for unit in UNITS {
            let text = fs::read_to_string(shipped(unit))?;
            let text = text.replace("/usr/sbin/", "/bin/true -- ").replace("/usr/bin/", "/bin/true -- ");
            fs::write(units.folder.join(unit), text.replace("Documentation=", "#"))?;
        }
        for target in ["sysinit.target", "basic.target", "sockets.target", "network-pre.target", "shutdown.target"] {
            units.add(target, "DefaultDependencies=no")?;
        }
        Ok(units)
    }

    /// What is started together where ifupdown and cloud-init are, and in which order, as their packages have it.
    fn add_boot(&self) -> Result<()> {
        for (unit, text) in BOOT {
            self.add(unit, text)?;
        }
        Ok(())
    }

    fn add(&self, unit: &str, ordered: &str) -> Result<()> {
        let service = if unit.ends_with(".service") { "[Service]\nType=oneshot\nExecStart=/bin/true\n" } else { "" };
        fs::write(self.folder.join(unit), format!("[Unit]\nDescription={unit}\n{ordered}\n{service}"))?;
        Ok(())
    }

    fn drop_in(&self, name: &str, text: &str) -> Result<()> {
        let folder = self.folder.join("siglatch.service.d");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(name), text)?;
        Ok(())
    }

    fn text(&self, unit: &str) -> Result<String> {
        Ok(fs::read_to_string(self.folder.join(unit))?)
    }

    /// What systemd says of starting that unit: nothing, if all is well.
    fn verified(&self, unit: &str) -> Result<String> {
        let mut analyze = Command::new("systemd-analyze");
        analyze.env("SYSTEMD_UNIT_PATH", &self.folder).arg("verify").arg(self.folder.join(unit));
        let (code, said) = outcome(&mut analyze)?;
        Ok(if code == 0 { said } else { format!("{code}: {said}") })
    }

    fn are_sound_for(&self, unit: &str) -> Result<()> {
        let said = self.verified(unit)?;
        ensure!(said.is_empty(), "systemd-analyze verify of {unit} says: {said}");
        Ok(())
    }
}

impl Drop for Units {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.folder));
    }
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/systemd").join(name)
}

const UNITS: [&str; 2] = ["siglatch.service", "siglatch.socket"];

/// Units of a boot, and what they say of each other.
const BOOT: [(&str, &str); 16] = [
    ("shutdown.target", "DefaultDependencies=no"),
    ("local-fs.target", "DefaultDependencies=no\nConflicts=shutdown.target"),
    (
        "sysinit.target",
        "DefaultDependencies=no\nConflicts=shutdown.target\nAfter=local-fs.target\nWants=local-fs.target \
         systemd-sysusers.service systemd-tmpfiles-setup.service apparmor.service nftables.service cloud-init.service",
    ),
    ("sockets.target", "Wants=siglatch.socket"),
    ("basic.target", "Requires=sysinit.target\nWants=sockets.target\nAfter=sysinit.target sockets.target"),
    ("network-pre.target", ""),
    ("network.target", "After=network-pre.target"),
    ("network-online.target", "After=network.target"),
    (
        "multi-user.target",
        "Requires=basic.target\nAfter=basic.target\nWants=siglatch.service networking.service firewalld.service",
    ),
    // Named like firewalld, and waiting for all of the system's start as it does; not before the network, where it makes a
    // cycle of its own.
    ("firewalld.service", ""),
    ("systemd-sysusers.service", "DefaultDependencies=no\nBefore=sysinit.target"),
    (
        "systemd-tmpfiles-setup.service",
        "DefaultDependencies=no\nAfter=local-fs.target systemd-sysusers.service\nBefore=sysinit.target",
    ),
    ("nftables.service", "DefaultDependencies=no\nWants=network-pre.target\nBefore=network-pre.target"),
    ("apparmor.service", "DefaultDependencies=no\nAfter=local-fs.target\nBefore=sysinit.target"),
    (
        "networking.service",
        "DefaultDependencies=no\nWants=network.target\nAfter=local-fs.target network-pre.target apparmor.service\n\
         Before=network.target network-online.target",
    ),
    (
        "cloud-init.service",
        "DefaultDependencies=no\nWants=networking.service\nAfter=networking.service\nBefore=network-online.target sysinit.target",
    ),
];
