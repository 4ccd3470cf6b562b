//! Keeps a service from starting that a package brings, when only its programs are wanted. Never touches one that is there.

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// Services that do not start while packages are installed. Dropping it takes away what is needed for that time alone.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    policy: Option<PathBuf>,
}

impl Quiet {
    /// Masks the units for good, and forbids their start meanwhile where there is no systemd to know of it.
    ///
    /// # Errors
    /// If the system does not allow it; nothing is to be installed then.
    pub(super) fn keep(units: &[&str]) -> io::Result<Self> {
        Self::keep_in(units, Path::new("/"))
    }

    fn keep_in(units: &[&str], root: &Path) -> io::Result<Self> {
        for unit in units {
            // What systemctl mask does; also where no systemd runs.
            let link = root.join("etc/systemd/system").join(format!("{unit}.service"));
            fs::create_dir_all(root.join("etc/systemd/system"))?;
            match symlink("/dev/null", link) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        if units.is_empty() {
            return Ok(Self::default());
        }
        // invoke-rc.d(8) asks it; a machine that has one of its own says there what it wants.
        let policy = root.join("usr/sbin/policy-rc.d");
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(&policy);
        match file {
            Ok(mut file) => {
                let names = units.iter().map(|unit| format!("{unit}|{unit}.service")).collect::<Vec<_>>().join("|");
                write!(file, "#!/bin/sh\ncase \"$1\" in {names}) exit 101 ;; esac\nexit 0\n")?;
                Ok(Self { policy: Some(policy) })
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Some(policy) = &self.policy {
            let _ = fs::remove_file(policy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_masked_and_a_policy_stands_only_meanwhile() {
        let root = std::env::temp_dir().join(format!("siglatch-quiet-{}", std::process::id()));
        fs::create_dir_all(root.join("usr/sbin")).unwrap();
        let policy = root.join("usr/sbin/policy-rc.d");
        let quiet = Quiet::keep_in(&["prometheus"], &root).unwrap();
        let mask = fs::read_link(root.join("etc/systemd/system/prometheus.service")).unwrap();
        assert_eq!(mask, Path::new("/dev/null"));
        assert!(fs::read_to_string(&policy).unwrap().contains("prometheus|prometheus.service) exit 101"));
        drop(quiet);
        assert!(!policy.exists());
        // One that is there stays as it is, and so does the mask.
        fs::write(&policy, "exit 101\n").unwrap();
        drop(Quiet::keep_in(&["prometheus"], &root).unwrap());
        assert_eq!(fs::read_to_string(&policy).unwrap(), "exit 101\n");
        fs::remove_dir_all(root).unwrap();
    }
}
