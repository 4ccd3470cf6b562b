//! The commands that operator and user type, as they type them: in the folder, on the host. Never says what they show.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use siglatch_tests::netns::run;
use siglatch_tests::process::{Process, program};

use crate::town::{Host, Town};

/// The folder in which everything is written. Dropping it takes it away.
pub(crate) struct Desk {
    folder: PathBuf,
}

impl Desk {
    /// The folder bears the name of a namespace of this process, by which it is known if it is ever left behind.
    pub(crate) fn new(town: &Town) -> Result<Self> {
        let folder = std::env::temp_dir().join(town.gateway.place.name());
        fs::DirBuilder::new().mode(0o700).create(&folder).with_context(|| folder.display().to_string())?;
        Ok(Self { folder })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes the gateway's name known, to this process and its children alone: they have mounts of their own.
    pub(crate) fn name_hosts(&self, town: &Town) -> Result<()> {
        let file = self.folder.join("hosts");
        fs::write(&file, town.hosts())?;
        run(Command::new("mount").arg("--bind").arg(file).arg("/etc/hosts"))?;
        Ok(())
    }

    /// Types a command line on a host, waits for its end, and returns what it prints.
    pub(crate) fn types(&self, line: &str, at: &Host) -> Result<String> {
        run(&mut self.command(line, at)?)
    }

    /// Types a command line that does not end.
    pub(crate) fn starts(&self, line: &str, at: &Host) -> Result<Process> {
        Process::start(self.command(line, at)?.env("SIGLATCH_LOG", "debug").env("NO_COLOR", "1"))
    }

    fn command(&self, line: &str, at: &Host) -> Result<Command> {
        let mut words = line.split(' ');
        let name = words.next().unwrap_or_default();
        let path = if name.starts_with("siglatch") { program(name)? } else { name.into() };
        let mut command = at.place.command(path);
        command.args(words).current_dir(&self.folder).env("XDG_CONFIG_HOME", self.folder.join("alice"));
        Ok(command)
    }

    pub(crate) fn read(&self, file: &str) -> Result<String> {
        let path = self.folder.join(file);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    }

    /// One letter of a file, changed in a copy of it.
    pub(crate) fn tampers(&self, file: &str, copy: &str) -> Result<()> {
        Ok(fs::write(self.folder.join(copy), self.read(file)?.replacen("alice", "alicf", 1))?)
    }

    /// Closes a second service, lets a sequence of three steps open it, and has a program greet whoever knocks for it.
    pub(crate) fn add_actions(&self) -> Result<()> {
        let path = self.folder.join(CONFIG);
        let text = self.read(CONFIG)?;
        let (closed, wanted) = ("protect = [\"tcp/22\"]", "protect = [\"tcp/22\", \"tcp/5432\"]");
        anyhow::ensure!(text.contains(closed), "the configuration does not say {closed}");
        Ok(fs::write(&path, text.replacen(closed, wanted, 1) + ACTIONS)?)
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// As `siglatchctl init --dir gw` names it.
pub(crate) const CONFIG: &str = "gw/siglatch.toml";

/// Its audit log, as `siglatchctl init` names it.
pub(crate) const AUDIT: &str = "gw/state/audit.jsonl";

const ACTIONS: &str = r#"
[sequence.db]
steps = ["db-1", "db-2", "db-3"]

[action.db-1]
id = 10
users = "all"
kind = "step"

[action.db-2]
id = 11
users = "all"
kind = "step"

[action.db-3]
id = 12
users = "all"
grant = ["tcp/5432"]

[action.hello]
id = 20
users = "all"
exec = ["/bin/sh", "-c", 'echo "hello $3, I am $(id -un)"', "hello"]
run_as = "nobody"
"#;
