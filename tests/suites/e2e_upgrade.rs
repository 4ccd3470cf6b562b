//! What an earlier siglatch has left is taken over by this one under knocks and junk: nothing is lost, nothing admitted twice,
//! nothing slips through. And what a later one has left is refused, with what to do.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "files of the state folder are written as others have left them, and bpftool is an operator's"
)]

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use siglatch_tests::earlier::Earlier;
use siglatch_tests::earlier::measure::{admitted, under_knocks, witness, witnessed};
use siglatch_tests::earlier::record::{BANNED, BANNED_BY_HAND, BANNED_NETWORK, TWICE, plan};
use siglatch_tests::gateway::{Gateway, OPEN, SSH, knock, sealed, sealed_port};
use siglatch_tests::netns::{Street, run};
use siglatch_tests::process::{PATIENCE, Process, let_pass, outcome, wait_until};
use siglatch_tests::scene::{GATEWAY, STRANGER};
use siglatch_tests::script::Scripts;
use siglatch_tests::service::{Echo, closes_within, is_open};
use siglatch_tests::stage::{Stage, client};

#[test]
fn an_upgrade_under_knocks_loses_no_knock_no_ban_and_no_grant_and_admits_nothing_twice() -> Result<()> {
    let site = Site::new()?;
    let replays = site.earlier.admitted()?;
    ensure!(replays.len() == 5, "{replays:?}");
    let link = site.link()?;
    // Before anybody reads the rings: they wait there, as do the knocks below.
    site.replay()?;
    site.send_from_banned()?;
    let (sent, daemon) = under_knocks(&site.street, Duration::from_millis(4), || {
        let_pass(Duration::from_millis(300));
        let daemon = site.gateway.start()?;
        site.replay()?;
        site.send_from_banned()?;
        let_pass(Duration::from_millis(500));
        Ok(daemon)
    })?;
    ensure!(sent.knocks > 50 && sent.junk > 50, "{sent:?}");
    ensure!(
        wait_until(PATIENCE, || admitted(&daemon) >= sent.knocks),
        "{sent:?}, of them {}:\n{}",
        admitted(&daemon),
        daemon.said()
    );
    let said = daemon.said();
    ensure!(admitted(&daemon) == sent.knocks, "{sent:?}, and {} were admitted:\n{said}", admitted(&daemon));
    for lost in ["another layout", "made no sense", "damaged", "stopped without warning", "no nonce store", "set aside"]
    {
        ensure!(!said.contains(lost), "{lost}:\n{said}");
    }

    ensure!(witnessed(&site.street)? == 0, "{} datagrams slipped through", witnessed(&site.street)?);
    ensure!(site.link()? == link, "the interface was without a program for a moment");
    let replayed = |said: &str| said.matches("reason=\"replay\"").count();
    ensure!(wait_until(PATIENCE, || replayed(&daemon.said()) == 2 * replays.len()), "{}", daemon.said());
    ensure!(!said.contains(&format!("knock admitted source={BANNED}")), "{said}");
    Ok(())
}

#[test]
fn bans_hold_for_as_long_as_they_would_have() -> Result<()> {
    let site = Site::new()?;
    let _daemon = site.gateway.start()?;
    let listed = || site.gateway.ctl_json(&["bans"]);
    ensure!(
        wait_until(PATIENCE, || listed().is_ok_and(|bans| bans.to_string().contains(BANNED_BY_HAND))),
        "{}",
        listed()?
    );
    let bans = listed()?;
    for who in [BANNED, BANNED_NETWORK, BANNED_BY_HAND] {
        ensure!(bans.to_string().contains(who), "no {who} in {bans}");
    }
    let kept: Value = serde_json::from_str(&fs::read_to_string(site.gateway.file("state/bans.json"))?)?;
    let ban = kept["bans"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|ban| ban["network"].as_str().is_some_and(|network| network.starts_with(BANNED)));
    let until = ban.context("the ban is not kept")?["until"].as_u64().context("the ban has no end")?;
    let left = until.saturating_sub(siglatch_tests::gateway::now().into());
    ensure!((3400..=3600).contains(&left), "{left} seconds are left of an hour");

    let before = site.gateway.counted("banned")?;
    site.send_from_banned()?;
    ensure!(wait_until(PATIENCE, || site.gateway.counted("banned").is_ok_and(|count| count > before)));
    Ok(())
}

#[test]
fn grants_hold_for_as_long_as_they_would_have_and_no_longer() -> Result<()> {
    let site = Site::new()?;
    let short = STRANGER.of(false);
    ensure!(site.is_open(short), "the grant of eight seconds is not there");
    let daemon = site.gateway.start()?;
    ensure!(daemon.said().contains("grants of an earlier run taken over grants="), "{}", daemon.said());
    for source in [client(true), client(false)] {
        ensure!(site.is_open(source), "closed to {source}: {}", daemon.said());
    }
    closes_within(PATIENCE, &site.street.outside, short, site.service(short))?;
    for source in [client(true), client(false)] {
        ensure!(site.is_open(source), "closed to {source}: {}", daemon.said());
    }
    let grants = site.gateway.ctl_json(&["grants"])?.to_string();
    ensure!(!grants.contains(&short.to_string()), "{grants}");
    Ok(())
}

#[test]
fn uses_debts_and_the_audit_log_go_on_where_they_ended() -> Result<()> {
    let site = Site::new()?;
    let daemon = site.gateway.start()?;
    site.scripts.wait_for("log", |log| log == "undo\n")?;
    site.gateway.knock(&site.street.outside, client(true), TWICE)?;
    daemon.wait_for("reason=\"action_used_up\"")?;
    site.gateway.wait_audited("undo_settled", 1)?;
    // Fails if a record does not follow from the one before.
    site.gateway.ctl(&["audit", "verify"])?;
    let (status, said) = daemon.terminate()?;
    ensure!(status.success(), "{status}: {said}");
    let_pass(Duration::from_millis(100));
    ensure!(site.scripts.note("log") == "undo\n", "{}", site.scripts.note("log"));
    Ok(())
}

#[test]
fn a_daemon_with_a_user_of_its_own_takes_over_what_root_has_left() -> Result<()> {
    let site = Site::new()?;
    site.with_one_folder()?;
    site.with_a_user()?;
    let (sent, daemon) = under_knocks(&site.street, Duration::from_millis(4), || site.gateway.start())?;
    ensure!(
        wait_until(PATIENCE, || admitted(&daemon) == sent.knocks),
        "{sent:?}, of them {}:\n{}",
        admitted(&daemon),
        daemon.said()
    );
    let said = daemon.said();
    ensure!(!said.contains("ermission denied") && !said.contains("set aside"), "{said}");
    site.gateway.ctl(&["ban", "203.0.113.77"])?;
    ensure!(site.is_open(client(false)) && site.gateway.ctl(&["bans"])?.contains(BANNED_NETWORK));
    ensure!(fs::metadata(site.gateway.file("state/bans.json"))?.uid() == NOBODY);
    let (status, said) = daemon.terminate()?;
    ensure!(status.success() && !said.contains("ermission denied"), "{said}");
    Ok(())
}

#[test]
fn a_daemon_with_a_user_of_its_own_ends_one_that_is_root() -> Result<()> {
    let site = Site::new()?;
    site.with_one_folder()?;
    let earlier = site.gateway.start()?;
    site.with_a_user()?;
    let (sent, daemon) = under_knocks(&site.street, Duration::from_millis(4), || site.gateway.start())?;
    let (status, before) = earlier.end()?;
    ensure!(status.success(), "{status}: {before}");
    let all = || before.matches("knock admitted").count() as u64 + admitted(&daemon);
    ensure!(wait_until(PATIENCE, || all() == sent.knocks), "{sent:?}, of them {}:\n{}", all(), daemon.said());
    Ok(())
}

#[test]
fn state_of_a_later_siglatch_is_refused_and_the_daemon_at_work_goes_on() -> Result<()> {
    let mut stage = Stage::new()?;
    let state = stage.gateway.file("state");
    for (name, text) in LATER {
        let path = state.join(name);
        let kept = fs::read(&path).ok();
        fs::write(&path, text)?;
        let (code, said) = outcome(&mut stage.gateway.command()?)?;
        ensure!(
            code == 1 && said.contains(name) && said.contains("a later one has written it"),
            "{name}: {code}: {said}"
        );
        ensure!(fs::read(&path)? == text.as_bytes(), "{name} was changed");
        match kept {
            Some(bytes) => fs::write(&path, bytes)?,
            None => fs::remove_file(&path)?,
        }
    }
    goes_on(&mut stage)
}

#[test]
fn pins_of_a_later_siglatch_are_refused_and_the_daemon_at_work_goes_on() -> Result<()> {
    let mut stage = Stage::new()?;
    stage.gateway.ctl(&["ban", "198.51.100.9"])?;
    let layout = format!("bpftool map update pinned {}/layout key 0 0 0 0 value", stage.gateway.pins().display());
    for later in ["99 0 0 0", "2 0 1 0"] {
        stage.street.gateway.shell(&format!("{layout} {later}"))?;
        let (code, said) = outcome(&mut stage.gateway.command()?)?;
        ensure!(code == 1 && said.contains("a later one has made them") && said.contains("--detach"), "{code}: {said}");
    }
    goes_on(&mut stage)?;
    // What the message says helps.
    stage.daemon.kill()?;
    outcome(stage.gateway.command()?.arg("--detach"))?;
    stage.daemon = stage.gateway.start()?;
    ensure!(stage.gateway.ctl(&["bans"])?.contains("198.51.100.9"));
    goes_on(&mut stage)
}

/// A gateway that was left by an earlier siglatch a moment ago.
struct Site {
    earlier: Earlier,
    gateway: Gateway,
    scripts: Scripts,
    _service: Echo,
    street: Street,
}

impl Site {
    fn new() -> Result<Self> {
        let (scripts, street) = (Scripts::new()?, Street::new()?);
        let service = Echo::start(&street.gateway, SSH)?;
        // Keys; the recording has a configuration of its own.
        let gateway = Gateway::new(&street.gateway, &plan(&scripts)?)?;
        let earlier = Earlier::recorded()?;
        earlier.lay(&gateway, &street.gateway, &scripts)?;
        witness(&street)?;
        Ok(Self { earlier, gateway, scripts, _service: service, street })
    }

    /// Sends every knock that the earlier daemon has admitted once more, in another datagram.
    fn replay(&self) -> Result<()> {
        let thief = STRANGER.of(false);
        let knocks = self.earlier.admitted()?;
        knocks.iter().try_for_each(|knock| self.street.outside.send(&sealed(knock)?, thief, sealed_port(thief)))
    }

    /// Everything that the daemon writes is in one folder, which is root's and can be given away.
    fn with_one_folder(&self) -> Result<()> {
        let config = fs::read_to_string(self.gateway.config())?;
        let config = config.replace("\"admin.sock\"", "\"state/admin.sock\"");
        fs::write(self.gateway.config(), config.replace("\"audit.jsonl\"", "\"state/audit.jsonl\""))?;
        fs::rename(self.gateway.file("audit.jsonl"), self.gateway.file("state/audit.jsonl"))?;
        Ok(fs::set_permissions(self.gateway.file(""), fs::Permissions::from_mode(0o755))?)
    }

    /// The next daemon is to become a user that owns nothing yet.
    fn with_a_user(&self) -> Result<()> {
        let config = fs::read_to_string(self.gateway.config())?;
        Ok(fs::write(self.gateway.config(), format!("[daemon]\nuser = \"nobody\"\n\n{config}"))?)
    }

    fn send_from_banned(&self) -> Result<()> {
        let banned: IpAddr = BANNED.parse()?;
        self.street.outside.send(&sealed(&knock(OPEN))?, banned, sealed_port(banned))
    }

    fn is_open(&self, source: IpAddr) -> bool {
        is_open(&self.street.outside, source, self.service(source))
    }

    fn service(&self, source: IpAddr) -> std::net::SocketAddr {
        (GATEWAY.of(source.is_ipv4()), SSH).into()
    }

    /// The number of the link at the interface: it stays if its program is replaced in place.
    fn link(&self) -> Result<u64> {
        let shown = run(Command::new("bpftool")
            .args(["-j", "link", "show", "pinned"])
            .arg(self.gateway.pins().join("link_gate")))?;
        let shown: Value = serde_json::from_str(&shown)?;
        shown["id"].as_u64().with_context(|| format!("no number in {shown}"))
    }
}

/// The daemon is the one that it was, and a new knock opens.
fn goes_on(stage: &mut Stage) -> Result<()> {
    let daemon: &mut Process = &mut stage.daemon;
    ensure!(daemon.is_running(), "it has ended: {}", daemon.said());
    let source = stage.newcomer()?;
    stage.knock(&knock(OPEN), source)?;
    stage.opens(source)
}

/// Debian's number of the user that owns nothing.
const NOBODY: u32 = 65534;

/// Files as a later siglatch could write them.
const LATER: [(&str, &str); 5] = [
    ("nonces.previous", "siglatch nonce 2 and more"),
    ("ledger", "5e0c1f0a {\"begun\":{\"version\":2,\"boot\":\"\"}}\n"),
    ("bans.json", "{\"version\":2,\"bans\":{}}"),
    ("known.json", "{\"version\":2}"),
    ("switches.json", "{\n  \"version\": 2,\n  \"off\": {}\n}"),
];
