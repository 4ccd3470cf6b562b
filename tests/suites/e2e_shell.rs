//! `siglatchctl shell`, over a stream and at a terminal, beside a daemon at work.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "an operator has files, and runs the command")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};
use siglatch_tests::gateway::{Gateway, Plan};
use siglatch_tests::netns::Street;
use siglatch_tests::process::{PATIENCE, Process, program, wait_until};

#[test]
fn the_shell_does_what_the_commands_do() -> Result<()> {
    let scene = Scene::new()?;
    let (code, out, err) = scene.shell(
        "ban 192.0.2.9 --for 2h --comment 'two words'\n\n# a remark\nbans --json\nuser list\nexit\nban 192.0.2.10\n",
    )?;
    ensure!(code == 0 && err.is_empty(), "{code}: {err}");
    ensure!(out.starts_with("192.0.2.9 is banned for 2h.\n{"), "{out}");
    ensure!(out.contains("\"comment\":\"two words\"") && out.contains("alice"), "{out}");
    ensure!(scene.gateway.ctl_json(&["bans"])?["total"] == 1, "what stands behind exit is not done");
    let (code, out, err) = scene.shell("bans --colour red\nunban 192.0.2.9\nban 'x\nshell\n")?;
    ensure!(code == 64 && out == "192.0.2.9 is not banned any more.\n", "{code}: {out}");
    ensure!(
        err.contains("--colour") && err.contains("a quote is not closed") && err.contains("the shell already"),
        "{err}"
    );
    let (code, out, _) = scene.shell("help\n")?;
    ensure!(code == 0 && out.contains("revoke") && out.contains("grants"), "{out}");
    // One that fails does not end it.
    let (code, out, err) = scene.shell("unban 192.0.2.9\nbans\n")?;
    ensure!(code == 1 && out == "no bans\n" && err.contains("not banned"), "{code}: {out}{err}");
    Ok(())
}

#[test]
fn the_shell_s_configuration_is_that_of_every_command() -> Result<()> {
    let scene = Scene::new()?;
    let config = scene.gateway.config().display().to_string();
    for line in ["check\n", "check --lines\n", "user list\n", "status\n", "grants --json\n"] {
        let (code, out, err) = scene.shell(line)?;
        ensure!(code == 0, "{line}: {code}: {out}{err}");
    }
    let (_, _, err) = scene.shell("check\n")?;
    ensure!(err.contains(&format!("{config} is sound")), "{err}");
    // One that is named comes first.
    let other = scene.gateway.file("other.toml");
    fs::write(&other, "colour = \"red\"\n")?;
    let (code, _, err) = scene.shell(&format!("check {}\n", other.display()))?;
    ensure!(code == 78 && err.contains("other.toml") && !err.contains(&config), "{code}: {err}");
    Ok(())
}

#[test]
fn at_a_terminal_tab_completes_and_what_was_typed_is_kept_for_oneself() -> Result<()> {
    let scene = Scene::new()?;
    let home = scene.gateway.file("home");
    let mut terminal = Terminal::new(&scene.gateway.config(), &home)?;
    terminal.shows("Ctrl-D ends")?;
    terminal.answers("stat\t")?;
    terminal.shows("siglatch> status ")?;
    terminal.types("\r")?;
    terminal.shows("ports ")?;
    // A name that the daemon has; and the line is given up.
    terminal.answers("disable user bo\t")?;
    terminal.shows("disable user bob ")?;
    terminal.types("\x03")?;
    terminal.answers("bna\r")?;
    terminal.shows("unrecognized subcommand")?;
    terminal.answers(" unban 192.0.2.9\r")?;
    terminal.shows("not banned")?;
    terminal.answers("\x04")?;
    let (code, said) = terminal.end()?;
    ensure!(code == Some(0), "{code:?}: {said}");
    ensure!(scene.gateway.ctl_json(&["users", "--name", "bob"])?["users"][0]["enabled"] == true, "it was given up");

    let folder = home.join(".local/state/siglatch");
    let history = fs::read_to_string(folder.join("history"))?;
    ensure!(history.lines().any(|line| line.trim_end() == "status") && !history.contains("unban"), "{history}");
    let mode = |path: &Path| Ok::<_, anyhow::Error>(fs::metadata(path)?.permissions().mode() & 0o777);
    let modes = (mode(&folder)?, mode(&folder.join("history"))?);
    ensure!(modes == (0o700, 0o600), "{:o}, {:o}", modes.0, modes.1);

    let mut again = Terminal::new(&scene.gateway.config(), &home)?;
    // The last but one, out of the history.
    again.answers("\x1b[A\x1b[A")?;
    again.shows("siglatch> status")?;
    again.types("\x03")?;
    again.answers("\x04")?;
    let (code, said) = again.end()?;
    ensure!(code == Some(0), "{code:?}: {said}");
    Ok(())
}

/// A daemon, and an operator beside it.
struct Scene {
    _daemon: Process,
    gateway: Gateway,
    _street: Street,
}

impl Scene {
    fn new() -> Result<Self> {
        let street = Street::new()?;
        let gateway = Gateway::new(&street.gateway, &Plan::default())?;
        Ok(Self { _daemon: gateway.start()?, gateway, _street: street })
    }

    /// What the shell makes of these lines: its exit code, what it prints, and what it complains of.
    fn shell(&self, lines: &str) -> Result<(i32, String, String)> {
        let mut command = Command::new(program("siglatchctl")?);
        command.arg("shell").arg("--config").arg(self.gateway.config());
        let mut shell = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        shell.stdin.take().context("no standard input")?.write_all(lines.as_bytes())?;
        let output = shell.wait_with_output()?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok((output.status.code().context("no exit code")?, text(output.stdout), text(output.stderr)))
    }
}

/// The shell at a terminal of its own, which `script` (bsdutils) makes.
struct Terminal {
    shell: Child,
    keys: ChildStdin,
    screen: Receiver<Vec<u8>>,
    /// All that it has shown.
    shown: String,
    /// How much of that was looked for.
    seen: usize,
}

impl Terminal {
    fn new(config: &Path, home: &Path) -> Result<Self> {
        let line = format!("{} shell --config {}", program("siglatchctl")?.display(), config.display());
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env("TERM", "xterm").env("HOME", home);
        command.env_remove("XDG_STATE_HOME").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = command.spawn().context("script: is bsdutils installed?")?;
        let (keys, mut out) = (shell.stdin.take().context("no keys")?, shell.stdout.take().context("no screen")?);
        let (send, screen) = channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = out.read(&mut bytes) {
                if send.send(bytes[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Ok(Self { shell, keys, screen, shown: String::new(), seen: 0 })
    }

    /// Types this when there is a prompt: what is typed before one may be gone with the line before.
    fn answers(&mut self, keys: &str) -> Result<()> {
        self.shows("siglatch> ")?;
        self.types(keys)
    }

    fn types(&mut self, keys: &str) -> Result<()> {
        self.keys.write_all(keys.as_bytes())?;
        Ok(self.keys.flush()?)
    }

    /// Waits until it has shown this, behind what it was seen to show before.
    fn shows(&mut self, text: &str) -> Result<()> {
        loop {
            let fresh = self.shown.get(self.seen..).unwrap_or_default();
            if let Some(place) = fresh.find(text) {
                self.seen += place + text.len();
                return Ok(());
            }
            match self.screen.recv_timeout(PATIENCE) {
                Ok(bytes) => self.shown += &String::from_utf8_lossy(&bytes),
                Err(_) => bail!("{text:?} is not shown, but {:?}", self.shown),
            }
        }
    }

    /// Waits for its end: what it exits with, and all that it has shown.
    fn end(mut self) -> Result<(Option<i32>, String)> {
        ensure!(wait_until(PATIENCE, || matches!(self.shell.try_wait(), Ok(Some(_)))), "it goes on: {:?}", self.shown);
        let code = self.shell.wait()?.code();
        while let Ok(bytes) = self.screen.recv_timeout(PATIENCE) {
            self.shown += &String::from_utf8_lossy(&bytes);
        }
        Ok((code, std::mem::take(&mut self.shown)))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
