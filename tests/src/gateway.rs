//! A gateway to knock on: keys, configuration and pins of its own, in a namespace; and the knocks for it.
//! Never judges what it does.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use siglatch_client::knocker::{Keys, Knock, Stamper, datagram, packet};
use siglatch_common::seal::{GateKey, HmacKey, ServerPublicKey};
use siglatch_common::stamp::{Epoch, Slot, stamp_sealed};
use siglatch_common::wire::Wire;
use siglatch_common::wire::v1::{ActionId, Packet, Payload, UserId};

use crate::netns::{GATE, Namespace, PIN_FOLDER, run, sweep, unique};
use crate::process::{PATIENCE, Process, program, wait_until};
use crate::scene::{GATEWAY, SEALED_PORT};

/// Everything that one daemon needs. Dropping it takes pins and files away; stop the daemon before.
#[derive(Debug)]
pub struct Gateway {
    namespace: Namespace,
    folder: PathBuf,
    pins: PathBuf,
}

/// What differs from gateway to gateway.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Lines under `[ingress]`, besides the pin folder.
    pub ingress: String,
    /// Who may knock: of `alice`, with id 1, and `bob`, with id 2.
    pub users: Vec<&'static str>,
    /// Lines under `[audit]`.
    pub audit: String,
    /// More lines in `alice`'s table.
    pub alice: String,
    /// All the rest: ports, firewall, actions, sequences.
    pub rules: String,
}

impl Default for Plan {
    /// Watches [`GATE`], knows everybody, and does what [`RULES`] say.
    fn default() -> Self {
        Self {
            ingress: format!("interfaces = [\"{GATE}\"]"),
            users: vec!["alice", "bob"],
            audit: "file = \"audit.jsonl\"".to_owned(),
            alice: String::new(),
            rules: RULES.to_owned(),
        }
    }
}

impl Plan {
    /// The default, with more rules.
    #[must_use]
    pub fn plus(more: &str) -> Self {
        Self { rules: format!("{RULES}\n{more}"), ..Self::default() }
    }

    /// The default, with one text of the rules in another's place.
    ///
    /// # Panics
    /// If the rules do not have that text.
    #[must_use]
    pub fn with(rule: &str, replaced: &str) -> Self {
        assert!(RULES.contains(rule), "the rules do not say {rule}");
        Self { rules: RULES.replace(rule, replaced), ..Self::default() }
    }
}

impl Gateway {
    /// Writes configuration and keys for a daemon in this namespace; starts nothing.
    ///
    /// # Errors
    /// If the programs are not built.
    pub fn new(namespace: &Namespace, plan: &Plan) -> Result<Self> {
        sweep();
        let material = material()?;
        let name = unique("gw");
        let gateway = Self {
            namespace: namespace.clone(),
            folder: std::env::temp_dir().join(&name),
            pins: Path::new(PIN_FOLDER).join(&name),
        };
        for folder in [gateway.folder.clone(), gateway.folder.join("state")] {
            DirBuilder::new().mode(0o700).create(folder)?;
        }
        for (file, contents) in &material.files {
            write(&gateway.folder.join(file), contents)?;
        }
        gateway.configure(plan)?;
        Ok(gateway)
    }

    /// Writes the configuration anew, for the next start.
    ///
    /// # Errors
    /// If the disk takes no more.
    pub fn configure(&self, Plan { ingress, users, audit, alice, rules }: &Plan) -> Result<()> {
        let user = |name: &&str| {
            let (id, more) = if *name == "alice" { (ALICE.0, alice.as_str()) } else { (BOB.0, "") };
            format!("[user.{name}]\nid = {id}\nkey = \"{name}.key\"\n{more}\n\n")
        };
        let users: String = users.iter().map(user).collect();
        let (host, pins) = (GATEWAY.v4, self.pins.display());
        let text = format!(
            "[gateway]\nhost = \"{host}\"\n\n[admin]\nsocket = \"admin.sock\"\n\n[audit]\n{audit}\n\n[ingress]\npin_dir = \"{pins}\"\n{ingress}\n\n[keys]\nserver = \
             \"server.key\"\n\n[state]\ndir = \"state\"\n\n{rules}\n{users}"
        );
        Ok(fs::write(self.config(), text)?)
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.file("siglatch.toml")
    }

    /// A file beside the configuration: `server.pub.pem`, `alice.key`, `alice.siglatch`, …
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The folder of the pins.
    #[must_use]
    pub fn pins(&self) -> &Path {
        &self.pins
    }

    /// The daemon's command, with everything logged.
    ///
    /// # Errors
    /// If it is not built.
    pub fn command(&self) -> Result<Command> {
        Ok(self.command_of(&program("siglatch-user")?))
    }

    /// The same command of another daemon than this workspace's.
    #[must_use]
    pub fn command_of(&self, daemon: &Path) -> Command {
        let mut command = self.namespace.command(daemon);
        command.env("NO_COLOR", "1").arg("--config").arg(self.config()).args(["--log", "debug"]);
        command
    }

    /// Starts the daemon, and waits until it is ready.
    ///
    /// # Errors
    /// With its log if it does not get ready.
    pub fn start(&self) -> Result<Process> {
        self.start_with(&[])
    }

    /// Starts the daemon with more arguments, and waits until it is ready.
    ///
    /// # Errors
    /// With its log if it does not get ready.
    pub fn start_with(&self, arguments: &[&str]) -> Result<Process> {
        let daemon = Process::start(self.command()?.args(arguments))?;
        daemon.wait_for(" ready ")?;
        Ok(daemon)
    }

    /// Sends `alice`'s knock, stamped now, from an address of a namespace to the gateway's address of that family.
    ///
    /// # Errors
    /// If it does not leave.
    pub fn knock(&self, from: &Namespace, source: IpAddr, action: u8) -> Result<()> {
        from.send(&sealed(&knock(action))?, source, sealed_port(source))
    }

    /// What `bpftool` prints of a pinned map, as JSON.
    ///
    /// # Errors
    /// If it is not there.
    pub fn dump(&self, map: &str) -> Result<serde_json::Value> {
        let map = self.pins.join(map);
        let text = run(Command::new("bpftool").args(["-j", "map", "dump", "pinned"]).arg(map))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// What `siglatchctl` prints, asking this gateway's daemon.
    ///
    /// # Errors
    /// With what it says if it fails.
    pub fn ctl(&self, arguments: &[&str]) -> Result<String> {
        run(Command::new(program("siglatchctl")?).args(arguments).arg("--config").arg(self.config()))
    }

    /// The same, as JSON.
    ///
    /// # Errors
    /// With what it says if it fails.
    pub fn ctl_json(&self, arguments: &[&str]) -> Result<serde_json::Value> {
        Ok(serde_json::from_str(&self.ctl(&[arguments, &["--json"]].concat())?)?)
    }

    /// The records of the audit log of one event, oldest first; every event's without a name.
    ///
    /// # Errors
    /// If a line is no JSON.
    pub fn audited(&self, event: &str) -> Result<Vec<serde_json::Value>> {
        let text = fs::read_to_string(self.file("audit.jsonl")).unwrap_or_default();
        // The last line may be under way.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let records = whole.lines().map(|line| Ok(serde_json::from_str(line)?));
        let records: Vec<serde_json::Value> = records.collect::<Result<_>>()?;
        Ok(records.into_iter().filter(|record| event.is_empty() || record["event"] == event).collect())
    }

    /// Waits until the audit log has so many records of an event, and gives them.
    ///
    /// # Errors
    /// With what it has if they do not come.
    pub fn wait_audited(&self, event: &str, count: usize) -> Result<Vec<serde_json::Value>> {
        let are_there = || self.audited(event).is_ok_and(|records| records.len() >= count);
        if !wait_until(PATIENCE, are_there) {
            let all = fs::read_to_string(self.file("audit.jsonl")).unwrap_or_default();
            anyhow::bail!("no {count} records of {event}:\n{all}");
        }
        self.audited(event)
    }

    /// How many frames the filter has counted under an outcome, over all CPUs.
    ///
    /// # Errors
    /// If there is no such counter.
    pub fn counted(&self, outcome: &str) -> Result<u64> {
        let dump = self.dump("counters")?;
        let values = dump[0]["formatted"]["values"].as_array().context("no values in the counters")?;
        let each = values.iter().map(|value| value["value"][outcome].as_u64());
        each.sum::<Option<u64>>().with_context(|| format!("no counter {outcome} in {dump}"))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.pins);
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The knock port of the sealed wire, at the gateway's address of `source`'s family.
#[must_use]
pub fn sealed_port(source: IpAddr) -> SocketAddr {
    SocketAddr::new(GATEWAY.of(source.is_ipv4()), SEALED_PORT)
}

/// `alice`'s knock for an action, stamped now; no two are alike.
#[must_use]
pub fn knock(action: u8) -> Knock {
    static CHALLENGE: AtomicU32 = AtomicU32::new(1);
    let challenge = CHALLENGE.fetch_add(1, Ordering::Relaxed);
    Knock { user: ALICE, action: ActionId(action), payload: Payload::EMPTY, timestamp: now(), challenge }
}

/// The knock with words for the action.
///
/// # Panics
/// If there are more than 199 bytes of them.
#[must_use]
pub fn with_words(knock: Knock, words: &str) -> Knock {
    Knock { payload: Payload::new(words.as_bytes()).expect("a payload is at most 199 bytes"), ..knock }
}

/// The Unix time, in seconds.
#[must_use]
pub fn now() -> u32 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

/// The knock's datagram for a sealed port, signed by the user that it names.
///
/// # Errors
/// If the programs are not built.
pub fn sealed(knock: &Knock) -> Result<Vec<u8>> {
    let material = material()?;
    Ok(datagram(knock, &Keys::sealed(material.key(knock.user).clone(), material.public.clone()))?)
}

/// The knock's datagram for a stamped port, signed by the user that it names, with the stamp of its own timestamp.
///
/// # Errors
/// If the programs are not built.
pub fn stamped(knock: &Knock) -> Result<Vec<u8>> {
    let material = material()?;
    let stamper = Stamper::new(GATE_KEY, material.gate_key.clone()).context("there is no such gate key")?;
    Ok(datagram(knock, &Keys::stamped(material.key(knock.user).clone(), material.public.clone(), stamper))?)
}

/// The knock's datagram for a clear port, signed by the user that it names.
///
/// # Errors
/// If the programs are not built.
pub fn clear(knock: &Knock) -> Result<Vec<u8>> {
    Ok(datagram(knock, &Keys::clear(material()?.key(knock.user).clone()))?)
}

/// The datagram, for the wire, of a signed packet that was changed afterwards.
///
/// # Errors
/// If the programs are not built.
pub fn forged(knock: &Knock, wire: Wire, change: impl FnOnce(&mut Packet)) -> Result<Vec<u8>> {
    let material = material()?;
    let mut packet = packet(knock, material.key(knock.user));
    change(&mut packet);
    match wire {
        Wire::Sealed => Ok(material.public.seal(&packet)?.to_vec()),
        Wire::Stamped => {
            let sealed = material.public.seal(&packet)?;
            let epoch = Epoch::at(now().into());
            let slot = Slot::new(GATE_KEY, epoch).context("there is no such gate key")?;
            Ok([stamp_sealed(slot, material.gate_key.of_epoch(epoch), &sealed).as_slice(), sealed.as_slice()].concat())
        }
        Wire::Clear => Ok(packet.encode().to_vec()),
    }
}

/// Keys and an empty nonce store, as the tools for operators write them.
struct Material {
    /// Name within the gateway's folder, and contents.
    files: Vec<(PathBuf, Vec<u8>)>,
    public: ServerPublicKey,
    alice: HmacKey,
    bob: HmacKey,
    gate_key: GateKey,
}

impl Material {
    /// Users whom no gateway knows sign with `bob`'s key.
    fn key(&self, user: UserId) -> &HmacKey {
        if user == ALICE { &self.alice } else { &self.bob }
    }

    fn make() -> Result<Self> {
        let folder = std::env::temp_dir().join(unique("keys"));
        let made = Self::make_in(&folder);
        let _ = fs::remove_dir_all(&folder);
        made
    }

    fn make_in(folder: &Path) -> Result<Self> {
        let ctl = || Ok::<_, anyhow::Error>(Command::new(program("siglatchctl")?));
        let host = GATEWAY.v4.to_string();
        run(ctl()?.args(["init", "--host", &host, "--iface", GATE, "--dir"]).arg(folder))?;
        // The files that are handed over are for the port of [`RULES`].
        let config = folder.join("siglatch.toml");
        fs::write(&config, fs::read_to_string(&config)?.replace("wire = \"stamped\"", "wire = \"sealed\""))?;
        for user in ["alice", "bob"] {
            let mut add = ctl()?;
            add.args(["user", "add", user, "--config"]).arg(&config);
            run(add.arg("--out").arg(folder.join(user).with_extension("siglatch")))?;
        }
        let mut files = Vec::new();
        for (from, to) in ["server.key", "server.pub.pem", "alice.siglatch", "bob.siglatch"]
            .map(|name| (name.into(), name))
            .into_iter()
            .chain(["alice.key", "bob.key", "gate-0.key"].map(|name| (format!("keys/{name}"), name)))
            .chain([("state/nonces.current".to_owned(), "state/nonces.current")])
        {
            files.push((
                to.into(),
                fs::read(folder.join(&from)).with_context(|| format!("siglatchctl made no {from}"))?,
            ));
        }
        let key = |name: &str| Ok::<_, anyhow::Error>(HmacKey::parse(&fs::read(folder.join("keys").join(name))?)?);
        let public = ServerPublicKey::from_pem(&fs::read_to_string(folder.join("server.pub.pem"))?)?;
        let gate_key = GateKey::parse(&fs::read(folder.join("keys/gate-0.key"))?)?;
        Ok(Self { alice: key("alice.key")?, bob: key("bob.key")?, gate_key, public, files })
    }
}

fn material() -> Result<&'static Material> {
    static MATERIAL: OnceLock<Result<Material>> = OnceLock::new();
    MATERIAL.get_or_init(Material::make).as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))
}

fn write(path: &Path, contents: &[u8]) -> Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(contents)).with_context(|| format!("cannot write {}", path.display()))
}

/// Allowed everything in [`RULES`].
pub const ALICE: UserId = UserId(1);
/// Not allowed the action [`ALICES`].
pub const BOB: UserId = UserId(2);

/// Number of the gate key of [`stamped`].
pub const GATE_KEY: u8 = 0;
/// Knock port of the stamped wire, where [`STAMPED`] stands beside the rules.
pub const STAMPED_PORT: u16 = 62203;

/// Opens [`SSH`] for ten minutes.
pub const OPEN: u8 = 1;
/// Opens [`SSH`] for two seconds.
pub const BRIEF: u8 = 2;
/// Opens [`SSH`] for ten minutes if the knock names its own source.
pub const MATCH: u8 = 3;
/// Opens [`SSH`] for ten minutes, to `alice` alone.
pub const ALICES: u8 = 4;
/// The steps that open [`DATABASE`] in this order, within two seconds.
pub const STEPS: [u8; 3] = [10, 11, 12];

/// A protected TCP port.
pub const SSH: u16 = 22;
/// A protected TCP port that takes a sequence.
pub const DATABASE: u16 = 5432;

/// One more knock port, for [`stamped`] datagrams.
pub const STAMPED: &str = r#"
[[port]]
port = 62203
wire = "stamped"

[[gate_key]]
number = 0
file = "gate-0.key"
"#;

/// What [`RULES`] say of strangers, for plans that say something else.
pub const LENIENT: &str = "[limits]\nrate = 100_000\nburst = 100_000\ncopies = 0\n\n[lane.unknown]\nbudget = 0\n\n[ban]\nstrikes = 0\nflood = 0\n";

/// Two knock ports, two protected services, and an action of each kind: see the constants above. One source may send
/// what it likes as often as it likes, and earns no ban by it.
pub const RULES: &str = r#"
[limits]
rate = 100_000
burst = 100_000
copies = 0

[lane.unknown]
budget = 0

[ban]
strikes = 0
flood = 0

[[port]]
port = 62201

[[port]]
port = 62205
wire = "clear"

[firewall]
protect = ["tcp/22", "tcp/5432"]

[action.open]
id = 1
users = "all"
grant = ["tcp/22"]

[action.brief]
id = 2
users = "all"
grant = ["tcp/22"]
ttl = "2s"

[action.match]
id = 3
users = "all"
grant = ["tcp/22"]
source = "match"

[action.alices]
id = 4
users = ["alice"]
grant = ["tcp/22"]

[sequence.database]
steps = ["first", "second", "third"]
within = "2s"

[action.first]
id = 10
users = "all"
kind = "step"

[action.second]
id = 11
users = "all"
kind = "step"

[action.third]
id = 12
users = "all"
grant = ["tcp/5432"]
"#;
