//! A gateway with a real daemon and many users, and a neighbour with many addresses. Never measures.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use siglatch_common::seal::{HmacKey, ServerPublicKey};
use siglatch_common::wire::v1::{ActionId, UserId};
use siglatch_tests::netns::{CLIENT, GATE, Street, run};
use siglatch_tests::process::program;
use siglatch_tests::scene::GATEWAY;
use siglatch_user::edge::admin::AdminClient;

use crate::letters::{Writer, server_key};

/// Everything that the daemon stands on.
pub(crate) struct Bed {
    pub(crate) street: Street,
    folder: PathBuf,
    pins: PathBuf,
}

/// What a daemon is started with, besides its users.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    /// Whether datagrams come by way of sockets, and not of the XDP program.
    pub(crate) socket: bool,
    /// Whether there is an audit log.
    pub(crate) audit: bool,
    /// More lines of configuration.
    pub(crate) more: &'a str,
}

/// A running daemon; dropping it ends it.
pub(crate) struct Daemon {
    process: Child,
}

impl Bed {
    /// Builds the namespaces, and opens the service that knocks are for.
    pub(crate) fn build() -> Result<Self> {
        let street = Street::new()?;
        // Every address there is the neighbour's, without a word of ARP.
        street.outside.ip(&format!("route add local {SOURCES}/{SOURCES_PREFIX} dev lo"))?;
        street.gateway.ip(&format!("route add {SOURCES}/{SOURCES_PREFIX} via {}", CLIENT.v4))?;
        let listener = street.gateway.within(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, SERVICE)))??;
        thread::spawn(move || listener.incoming().for_each(drop));
        let name = street.gateway.name();
        let (folder, pins) = (std::env::temp_dir().join(name), Path::new("/sys/fs/bpf").join(name));
        Ok(Self { street, folder, pins })
    }

    /// Writes keys and a configuration with so many users, and starts the daemon.
    pub(crate) fn start(&self, users: u16, terms: Terms<'_>) -> Result<Daemon> {
        self.configure(users, terms)?;
        let mut daemon = self.begin()?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.log()?.contains(" ready") {
            let ended = daemon.process.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                bail!("the daemon is not ready: {}", self.log()?);
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(daemon)
    }

    /// Starts the daemon of what was written before, and does not wait for it.
    pub(crate) fn begin(&self) -> Result<Daemon> {
        let log = File::create(self.folder.join("log"))?;
        let mut command = self.street.gateway.command(program("siglatch-user")?);
        Ok(Daemon { process: command.arg("--config").arg(self.config()).stderr(log).spawn()? })
    }

    /// Takes away what daemons have left in the kernel.
    pub(crate) fn take_down(&self) -> Result<()> {
        let mut command = self.street.gateway.command(program("siglatch-user")?);
        run(command.arg("--take-down").arg("--config").arg(self.config()))?;
        Ok(())
    }

    /// Writes keys and a configuration with so many users.
    pub(crate) fn configure(&self, users: u16, terms: Terms<'_>) -> Result<()> {
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder)?;
        }
        let (host, service) = (GATEWAY.v4.to_string(), format!("tcp/{SERVICE}"));
        let mut init = Command::new(program("siglatchctl")?);
        init.args(["init", "--host", &host, "--iface", GATE, "--protect", &service, "--dir"]).arg(&self.folder);
        run(&mut init)?;
        let path = self.config();
        let mut text = fs::read_to_string(&path)?;
        let pins = format!("mode = \"xdp\"\npin_dir = \"{}\"", self.pins.display());
        let interfaces = format!("mode = \"xdp\"\ninterfaces = [\"{GATE}\"]\n");
        let (before, after) =
            if terms.socket { (&interfaces[..], "mode = \"socket\"\n") } else { ("mode = \"xdp\"", &pins[..]) };
        let ports = format!(
            "port = {}\nwire = \"sealed\"\n\n[[port]]\nport = {}\nwire = \"stamped\"",
            KNOCKS.port(),
            STAMPED_KNOCKS.port()
        );
        let audit = format!("[audit]\nenabled = {}\n", terms.audit);
        for (before, after) in [(before, after), ("port = 62201\nwire = \"stamped\"", &ports), ("[audit]\n", &audit)] {
            ensure!(text.contains(before), "the template says nothing of {before:?}");
            text = text.replacen(before, after, 1);
        }
        text.push_str(terms.more);
        for id in 1..=users {
            writeln!(text, "\n[user.user-{id}]\nid = {id}\nkey = \"keys/{id}.key\"")?;
            let key = self.folder.join(format!("keys/{id}.key"));
            let mut options = File::options();
            options.write(true).create_new(true).mode(0o600);
            std::io::Write::write_all(&mut options.open(key)?, &user_key(id))?;
        }
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(())
    }

    /// The configuration.
    pub(crate) fn config(&self) -> PathBuf {
        self.folder.join("siglatch.toml")
    }

    /// The key of each user and of the gate, one a file.
    pub(crate) fn keys_folder(&self) -> PathBuf {
        self.folder.join("keys")
    }

    /// The operator's way to the daemon.
    pub(crate) fn admin(&self) -> Result<AdminClient> {
        Ok(AdminClient::connect(&self.state_folder().join("admin.sock"))?)
    }

    /// Somebody who may knock.
    pub(crate) fn writer(&self) -> Result<Writer> {
        let (key, server) = self.keys()?;
        Ok(Writer::new(UserId(1), ActionId(1), key, server))
    }

    /// What the somebody of [`Bed::writer`] holds.
    pub(crate) fn keys(&self) -> Result<(HmacKey, ServerPublicKey)> {
        Ok((HmacKey::parse(&user_key(1))?, server_key(&self.server_key_file())?.public().clone()))
    }

    /// What stamps are made with.
    pub(crate) fn gate_key_file(&self) -> PathBuf {
        self.folder.join("keys/gate-0.key")
    }

    pub(crate) fn server_key_file(&self) -> PathBuf {
        self.folder.join("server.key")
    }

    pub(crate) fn state_folder(&self) -> PathBuf {
        self.folder.join("state")
    }

    pub(crate) fn pin(&self, map: &str) -> PathBuf {
        self.pins.join(map)
    }

    /// Bytes that the daemon has said.
    pub(crate) fn log_bytes(&self) -> Result<u64> {
        Ok(fs::metadata(self.folder.join("log"))?.len())
    }

    /// What the daemon has said.
    pub(crate) fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.folder.join("log"))?)
    }

    /// What the audit log has of an event.
    pub(crate) fn audited(&self, event: &str) -> Result<Vec<Value>> {
        let text = fs::read_to_string(self.state_folder().join("audit.jsonl"))?;
        // The last line may be under way.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let records = whole.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
        Ok(records.into_iter().filter(|record| record["event"] == event).collect())
    }

    /// Grants that the kernel holds, by `nft`'s word.
    pub(crate) fn grants(&self) -> Result<usize> {
        let listed = self.street.gateway.shell("nft list set inet siglatch grants_v4")?;
        Ok(listed.matches(" expires ").count())
    }

    /// An address of the neighbour's; each number has another.
    pub(crate) fn source(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(SOURCES.to_bits() + 1 + number).into()
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.pins);
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Terms<'_> {
    /// Takes whatever comes, as fast as it comes: for measurements of everything but that.
    pub(crate) const WITHOUT_LIMITS: Self = Self {
        socket: false,
        audit: true,
        more: "\n[limits]\nrate = 0\n\n[lane.unknown]\nbudget = 0\n\n[lane.known]\nbudget = 0\n\n[ban]\nstrikes = \
               0\nflood = 0\n",
    };
}

impl Daemon {
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Ends it as an operator would.
    pub(crate) fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).context("no pid")?;
        kill_process(pid, Signal::TERM)?;
        let status = self.process.wait()?;
        ensure!(status.success(), "the daemon has ended badly: {status}");
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn user_key(id: u16) -> [u8; 32] {
    let mut key = [0x5a; 32];
    key[..2].copy_from_slice(&id.to_le_bytes());
    key
}

pub(crate) const KNOCKS: SocketAddr = SocketAddr::new(IpAddr::V4(GATEWAY.v4), 62201);
pub(crate) const STAMPED_KNOCKS: SocketAddr = SocketAddr::new(IpAddr::V4(GATEWAY.v4), 62202);
pub(crate) const PROTECTED: SocketAddr = SocketAddr::new(IpAddr::V4(GATEWAY.v4), SERVICE);
const SERVICE: u16 = 22;
/// The neighbour's many addresses: a part of RFC 2544's.
const SOURCES: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
const SOURCES_PREFIX: u8 = 15;
