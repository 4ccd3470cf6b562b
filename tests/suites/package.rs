//! The packages, on a machine with systemd: installed, configured, started, upgraded under knocks, removed, purged.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "packages are made of files, and handled by programs"
)]

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use siglatch_tests::gateway::SSH;
use siglatch_tests::machine::Machine;
use siglatch_tests::netns::{CLIENT, DOOR, GATE, Street, run};
use siglatch_tests::process::{let_pass, outcome, program, wait_until};
use siglatch_tests::scene::{GATEWAY, STRANGER};
use siglatch_tests::service::{Echo, is_open, opens_within};
use xtask::package::{Programs, Release, Squeeze, debs};

#[test]
fn a_machine_lives_through_all_that_happens_to_packages() -> Result<()> {
    let packages = packages()?;
    let street = Street::new()?;
    let machine = Machine::boot(&street.gateway)?;
    let service = Echo::start(&street.gateway, SSH)?;
    let site = Site { machine, street, _service: service };
    // Its index would be made anew each time, which takes longer than everything else.
    site.machine.shell("rm -f /var/lib/man-db/auto-update")?;
    let before: BTreeSet<String> = site.machine.changed_files()?.into_iter().collect();

    site.install(&packages.first)?;
    site.nothing_runs_before_it_is_configured()?;
    site.configure()?;
    site.machine.shell("systemctl enable --now siglatch || journalctl --no-pager -u siglatch >&2")?;
    site.is_ready()?;
    site.a_knock_opens()?;
    site.a_reload_keeps_what_is_open()?;
    site.an_upgrade_loses_nothing(&packages.next)?;
    site.a_version_that_refuses_the_configuration_does_not_replace_the_daemon(&packages.next)?;
    site.a_program_runs_as_its_user_with_the_drop_in_and_the_daemon_says_so_without()?;
    site.a_removal_leaves_nothing_in_the_kernel()?;
    site.a_purge_leaves_no_file(&before)
}

#[test]
fn the_same_programs_make_the_same_packages_byte_by_byte() -> Result<()> {
    let again = Folder::new("again")?;
    let made = make("", &again.0)?;
    for (deb, first) in made.iter().zip(&packages()?.first) {
        ensure!(fs::read(deb)? == fs::read(first)?, "{} differs", deb.display());
    }
    Ok(())
}

#[test]
fn lintian_finds_no_error() -> Result<()> {
    let mut lintian = Command::new("timeout");
    let said = run(lintian.args(["300", "lintian", "--fail-on=error"]).args(&packages()?.first))?;
    ensure!(!said.lines().any(|line| line.starts_with("E:")), "{said}");
    Ok(())
}

#[test]
fn apparmor_s_parser_takes_the_profile() -> Result<()> {
    let parser = xtask::programs::on_path("apparmor_parser").context("no apparmor_parser: run `cargo xtask setup`")?;
    // Compiled, and neither loaded nor kept: this kernel need not know AppArmor.
    let compile = |profile: &Path| {
        outcome(Command::new(&parser).args(["--skip-kernel-load", "--skip-cache", "--abort-on-error"]).arg(profile))
    };
    let profile = xtask::workspace_root().join("config/apparmor/siglatch-user");
    let (code, said) = compile(&profile)?;
    ensure!(code == 0, "{code}: {said}");
    let names = run(Command::new(&parser).arg("--names").arg(&profile))?;
    ensure!(["siglatch-user", "siglatch-nft"].iter().all(|name| names.lines().any(|line| line == *name)), "{names}");

    let folder = Folder::new("profile")?;
    let wrong = folder.0.join("siglatch-user");
    fs::write(&wrong, fs::read_to_string(&profile)?.replace("capability bpf,", "capability bpff,"))?;
    let (code, said) = compile(&wrong)?;
    ensure!(code != 0, "it takes anything: {said}");
    Ok(())
}

#[test]
fn the_daemon_s_manual_page_knows_every_option() -> Result<()> {
    let (_, help) = outcome(Command::new(program("siglatch-user")?).arg("--help"))?;
    let page = fs::read_to_string(xtask::workspace_root().join("config/man/siglatch-user.8"))?.replace("\\-", "-");
    let words = help.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    for option in words.filter(|word| word.starts_with("--") && word.len() > 2) {
        ensure!(page.contains(option), "the page does not know {option}");
    }
    Ok(())
}

/// The machine, and the street before it.
struct Site {
    machine: Machine,
    _service: Echo,
    street: Street,
}

impl Site {
    fn install(&self, debs: &[PathBuf]) -> Result<String> {
        let folder = self.machine.file("/var/tmp/debs");
        drop(fs::remove_dir_all(&folder));
        fs::create_dir(&folder)?;
        for deb in debs {
            fs::copy(deb, folder.join(deb.file_name().context("a package has a name")?))?;
        }
        let said = self.machine.shell("dpkg --install /var/tmp/debs/*.deb </dev/null; rm -r /var/tmp/debs")?;
        let audit = self.machine.shell("dpkg --audit")?;
        ensure!(audit.is_empty(), "{audit}");
        Ok(said)
    }

    fn nothing_runs_before_it_is_configured(&self) -> Result<()> {
        ensure!(self.machine.shell("systemctl is-enabled siglatch || true")?.trim() == "disabled");
        self.machine.shell("systemctl start siglatch")?;
        let shown = self.machine.shell("systemctl show --property=ActiveState,ConditionResult siglatch")?;
        ensure!(shown.contains("ActiveState=inactive") && shown.contains("ConditionResult=no"), "{shown}");
        let owner = self.machine.shell("stat --format='%U:%G %a' /etc/siglatch")?;
        ensure!(owner.trim() == "root:siglatch 750", "{owner}");
        let shown =
            self.machine.shell("man --locale=C siglatchctl | head -n 4; siglatch --version; siglatchctl --version")?;
        ensure!(shown.contains("siglatchctl") && shown.contains("siglatch 0."), "{shown}");
        Ok(())
    }

    fn configure(&self) -> Result<()> {
        let host = GATEWAY.v4;
        self.machine.shell(&format!(
            "siglatchctl init --host {host} --iface {GATE} --protect tcp/{SSH}; \
             siglatchctl user add alice --out /root/alice.siglatch; siglatchctl check"
        ))?;
        fs::create_dir(self.profiles())?;
        self.import()
    }

    /// Has the client take what she was handed.
    fn import(&self) -> Result<()> {
        let file = self.machine.file("/root/alice.siglatch");
        let mut import = Command::new(program("siglatch")?);
        run(import.env("XDG_CONFIG_HOME", self.profiles()).args(["import", "--force"]).arg(file))?;
        Ok(())
    }

    /// Where the client keeps her keys.
    fn profiles(&self) -> PathBuf {
        self.machine.file("/root/client")
    }

    fn is_ready(&self) -> Result<()> {
        let is_ready = || self.machine.shell("siglatchctl status").is_ok();
        if wait_until(SERVICE, is_ready) {
            return Ok(());
        }
        let told = self.machine.shell("systemctl status siglatch; journalctl --no-pager -n 50 -u siglatch || true");
        anyhow::bail!("the daemon does not get ready: {told:?}")
    }

    fn knock(&self) -> Result<()> {
        self.knock_for("ssh")
    }

    fn knock_for(&self, action: &str) -> Result<()> {
        let source = CLIENT.v4.to_string();
        let mut knock = self.street.outside.command(program("siglatch")?);
        knock.env("XDG_CONFIG_HOME", self.profiles());
        run(knock.args(["knock", "gateway", action, "--bind", &source, "--quiet"]))?;
        Ok(())
    }

    fn ssh(&self) -> SocketAddr {
        SocketAddr::new(GATEWAY.of(true), SSH)
    }

    fn is_open_to_the_client(&self) -> bool {
        is_open(&self.street.outside, CLIENT.of(true), self.ssh())
    }

    fn a_knock_opens(&self) -> Result<()> {
        ensure!(!self.is_open_to_the_client(), "it is open before anybody has knocked");
        self.knock()?;
        opens_within(SERVICE, &self.street.outside, CLIENT.of(true), self.ssh())?;
        ensure!(!is_open(&self.street.outside, STRANGER.of(true), self.ssh()), "it is open to everybody");
        Ok(())
    }

    fn a_reload_keeps_what_is_open(&self) -> Result<()> {
        self.machine.shell("siglatchctl user add bob --out /root/bob.siglatch; systemctl reload siglatch")?;
        self.is_ready()?;
        ensure!(self.is_open_to_the_client(), "a reload has ended a grant");
        self.knock_is_admitted()
    }

    fn knock_is_admitted(&self) -> Result<()> {
        let before = self.admitted();
        self.knock()?;
        ensure!(wait_until(SERVICE, || self.admitted() == before + 1), "{} and not one more", self.admitted());
        Ok(())
    }

    fn admitted(&self) -> usize {
        let log = fs::read_to_string(self.machine.file("/var/log/siglatch/audit.jsonl")).unwrap_or_default();
        let is_knock = |line: &&str| line.contains("\"event\":\"knock\"") && line.contains("\"admitted\"");
        log.lines().filter(is_knock).count()
    }

    fn an_upgrade_loses_nothing(&self, debs: &[PathBuf]) -> Result<()> {
        self.machine.shell("siglatchctl ban 198.51.100.9 --for 1h")?;
        let (earlier, before) = (self.main_process()?, self.admitted());
        let done = AtomicBool::new(false);
        let sent = thread::scope(|scope| {
            let knocking = scope.spawn(|| {
                let mut sent = 0;
                while !done.load(Ordering::Relaxed) {
                    self.knock()?;
                    sent += 1;
                    ensure!(self.is_open_to_the_client(), "closed after {sent} knocks");
                    let_pass(Duration::from_millis(100));
                }
                Ok(sent)
            });
            let installed = self.install(debs).and_then(|_| self.is_ready());
            let_pass(Duration::from_millis(300));
            done.store(true, Ordering::Relaxed);
            let sent = knocking.join().unwrap_or_else(|panicked| std::panic::resume_unwind(panicked));
            installed.and(sent)
        })?;
        ensure!(sent > 5, "only {sent} knocks were sent");
        let all = wait_until(SERVICE, || self.admitted() == before + sent);
        ensure!(all, "of {sent} knocks {} were admitted", self.admitted() - before);
        ensure!(self.main_process()? != earlier, "the earlier daemon still runs");
        let version = self.machine.shell("dpkg-query --show --showformat='${Version}' siglatch")?;
        ensure!(version.contains(NEXT), "{version}");
        let bans = self.machine.shell("siglatchctl bans")?;
        ensure!(bans.contains("198.51.100.9"), "the ban is gone: {bans}");
        ensure!(self.machine.shell("systemctl is-enabled siglatch")?.trim() == "enabled");
        Ok(())
    }

    fn a_version_that_refuses_the_configuration_does_not_replace_the_daemon(&self, debs: &[PathBuf]) -> Result<()> {
        let config = self.machine.file("/etc/siglatch/siglatch.toml");
        let (good, earlier) = (fs::read_to_string(&config)?, self.main_process()?);
        fs::write(&config, format!("{good}\n[of_another_version]\n"))?;
        let said = self.install(debs)?;
        ensure!(said.contains("the daemon of the earlier one runs on"), "{said}");
        ensure!(self.main_process()? == earlier, "it was restarted");
        fs::write(&config, good)?;
        self.knock_is_admitted()
    }

    fn a_program_runs_as_its_user_with_the_drop_in_and_the_daemon_says_so_without(&self) -> Result<()> {
        let examples = "/usr/share/doc/siglatch/examples/systemd";
        self.machine.shell(&format!("test -s {examples}/socket-ingress.conf"))?;
        let config = self.machine.file("/etc/siglatch/siglatch.toml");
        let rules = format!("{}\n{WHO}", fs::read_to_string(&config)?);
        fs::write(&config, rules)?;
        self.machine.shell(
            "mkdir -p /usr/local/lib/siglatch; cd /usr/local/lib/siglatch; printf '#!/bin/sh\nid -un\n' >who; chmod 755 who; \
             rm /root/alice.siglatch; siglatchctl user enrol alice --out /root/alice.siglatch; systemctl restart siglatch",
        )?;
        self.is_ready()?;
        self.import()?;
        let (without, line) = (self.asked_who(1)?, "what starts programs cannot become nobody");
        ensure!(without.contains("\"reason\":\"other_user\""), "{without}");
        self.machine.shell("systemctl reload siglatch")?;
        let said = self.machine.shell("journalctl --no-pager -u siglatch --grep 'cannot become'")?;
        let warned = said.lines().filter(|told| told.contains("WARN") && told.contains(line)).count();
        ensure!(warned == 2, "{warned} warnings, not one at the start and one at the reload: {said}");
        let has = |text: &str| said.lines().any(|told| told.contains(line) && told.contains(text));
        ensure!(has("program not started") && has(&format!("copy {examples}/programs.conf")), "{said}");

        self.machine.shell(&format!(
            "mkdir /etc/systemd/system/siglatch.service.d; \
             cp {examples}/programs.conf /etc/systemd/system/siglatch.service.d/; systemctl daemon-reload; \
             systemd-analyze verify siglatch.service; journalctl --rotate --vacuum-size=1 2>&1; systemctl restart siglatch",
        ))?;
        self.is_ready()?;
        let with = self.asked_who(2)?;
        ensure!(with.contains("\"code\":0") && with.contains("nobody\\\\n"), "{with}");
        let privileges = self.machine.shell("siglatchctl status | grep ^privileges")?;
        ensure!(privileges.starts_with("privileges: user=siglatch caps=net_admin "), "{privileges}");
        let said = self.machine.shell("journalctl --no-pager -u siglatch")?;
        ensure!(!said.contains("cannot become"), "{said}");
        self.machine.shell("rm -r /usr/local/lib/siglatch")?;
        Ok(())
    }

    /// Knocks for the program that says who it is, for the `number`th time, and returns how that ended.
    fn asked_who(&self, number: usize) -> Result<String> {
        self.knock_for("who")?;
        let ends = || {
            let log = fs::read_to_string(self.machine.file("/var/log/siglatch/audit.jsonl")).unwrap_or_default();
            log.lines().filter(|line| line.contains("\"event\":\"exec_ended\"")).map(str::to_owned).collect::<Vec<_>>()
        };
        ensure!(wait_until(SERVICE, || ends().len() == number), "not {number} ends: {:?}", ends());
        ends().pop().context("there was one")
    }

    fn main_process(&self) -> Result<String> {
        self.machine.shell("systemctl show --property=MainPID --value siglatch")
    }

    fn a_removal_leaves_nothing_in_the_kernel(&self) -> Result<()> {
        let link = || self.street.gateway.ip(&format!("link show {GATE}"));
        ensure!(link()?.contains(" xdp "), "{}", link()?);
        self.machine.shell("dpkg --remove siglatch")?;
        ensure!(wait_until(SERVICE, || link().is_ok_and(|link| !link.contains(" xdp "))), "{}", link()?);
        ensure!(self.street.gateway.shell("nft list tables")?.is_empty());
        ensure!(!self.machine.file("/sys/fs/bpf/siglatch").exists());
        ensure!(is_open(&self.street.outside, STRANGER.of(true), self.ssh()), "what was protected is closed for ever");
        self.machine.shell("test -e /etc/siglatch/siglatch.toml; test -e /var/lib/siglatch")?;
        ensure!(self.street.outside.ip(&format!("link show {DOOR}")).is_ok());
        Ok(())
    }

    fn a_purge_leaves_no_file(&self, before: &BTreeSet<String>) -> Result<()> {
        self.machine
            .shell("dpkg --purge siglatch siglatch-ctl siglatch-client; rm -r /root/client /root/*.siglatch")?;
        let after = self.machine.changed_files()?;
        let is_left = |file: &&String| !before.contains(*file) && !KEPT.iter().any(|kept| file.starts_with(kept));
        let left: Vec<_> = after.iter().filter(is_left).collect();
        ensure!(left.is_empty(), "a purge leaves {left:#?}");
        for folder in ["/etc/siglatch", "/var/lib/siglatch", "/var/log/siglatch", "/usr/share/doc/siglatch"] {
            ensure!(!self.machine.file(folder).exists(), "a purge leaves {folder}");
        }
        Ok(())
    }
}

/// Packages of two versions, for all tests that run at once.
struct Packages {
    first: Vec<PathBuf>,
    next: Vec<PathBuf>,
    _folder: Folder,
}

/// Those that another test holds, or new ones.
fn packages() -> Result<Arc<Packages>> {
    static HELD: Mutex<Weak<Packages>> = Mutex::new(Weak::new());
    let mut held = HELD.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(packages) = held.upgrade() {
        return Ok(packages);
    }
    let folder = Folder::new("packages")?;
    let packages = Packages { first: make("", &folder.0)?, next: make(NEXT, &folder.0)?, _folder: folder };
    let packages = Arc::new(packages);
    *held = Arc::downgrade(&packages);
    Ok(packages)
}

fn make(suffix: &str, out: &Path) -> Result<Vec<PathBuf>> {
    let daemon = program(Programs::DAEMON)?;
    let programs = Programs::in_folder(daemon.parent().context("a program lies in a folder")?)?;
    // The time does not matter, as long as it is always the same.
    let release = Release { epoch: 1_800_000_000, ..Release::of_this_checkout(suffix)? };
    debs(&programs, &release, Squeeze::Quickly, out)
}

/// A folder that is taken away when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(role: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("siglatch-test-{}-{role}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// An action that says whom it runs as.
const WHO: &str = r#"
[action.who]
id = 77
users = "all"
exec = ["/usr/local/lib/siglatch/who"]
run_as = "nobody"
"#;

/// How long a service of a busy machine may take.
const SERVICE: Duration = Duration::from_secs(20);

/// Behind the version that comes next.
const NEXT: &str = "+next";

/// What packages leave on every machine: the package system's own books, system users, and logs of others.
const KEPT: [&str; 10] = [
    "/etc/group",
    "/etc/gshadow",
    "/etc/passwd",
    "/etc/shadow",
    "/etc/.pwd.lock",
    "/var/cache/",
    "/var/lib/dpkg/",
    "/var/lib/systemd/",
    "/var/log/",
    "/run/",
];
