//! What an earlier siglatch has left when it was stopped for an upgrade: its pins, its state, its firewall table. Recorded
//! once from the real daemon ([`record`]), and laid there again as if it had just been. Never judges who takes it over.

pub mod measure;
pub mod record;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context as _, Result, ensure};
use aya::EbpfLoader;
use aya::programs::Xdp;
use aya::programs::links::FdLink;
use aya::programs::xdp::XdpMode;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use siglatch_client::knocker::Knock;
use siglatch_common::wire::v1::{ActionId, Payload, UserId};

use crate::gateway::Gateway;
use crate::netns::{GATE, Namespace, run};
use crate::script::Scripts;

/// A recording.
#[derive(Debug)]
pub struct Earlier {
    folder: PathBuf,
    then: Moment,
    now: Moment,
}

/// A reading of this machine's clocks, and which run of the kernel it is of.
#[derive(Clone, Debug)]
struct Moment {
    wall: i128,
    boot_ns: i128,
    run: String,
}

impl Moment {
    fn now() -> Result<Self> {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        let boot = clock_gettime(ClockId::Boottime);
        let boot_ns = i128::from(boot.tv_sec) * 1_000_000_000 + i128::from(boot.tv_nsec);
        let run = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
        Ok(Self { wall: wall.into(), boot_ns, run })
    }

    fn parse(text: &str) -> Result<Self> {
        let said: Value = serde_json::from_str(text)?;
        let number = |name: &str| said[name].as_i64().map(i128::from).with_context(|| format!("no {name} in {said}"));
        let run = said["boot_id"].as_str().context("no boot_id")?.to_owned();
        Ok(Self { wall: number("wall")?, boot_ns: number("boot_ns")?, run })
    }

    fn text(&self) -> String {
        format!("{{\"wall\": {}, \"boot_ns\": {}, \"boot_id\": \"{}\"}}\n", self.wall, self.boot_ns, self.run)
    }
}

impl Earlier {
    /// The recording in `tests/vectors/earlier`, as if it had been made now.
    ///
    /// # Errors
    /// If a file of it is missing.
    pub fn recorded() -> Result<Self> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors/earlier");
        let then = Moment::parse(&fs::read_to_string(folder.join("moment.json"))?)?;
        Ok(Self { folder, then, now: Moment::now()? })
    }

    /// Lays everything there: state folder, audit log, configuration, firewall table, maps, program and link.
    ///
    /// # Errors
    /// If a file is missing, or the kernel does not take the object, which it does not without root.
    pub fn lay(&self, gateway: &Gateway, namespace: &Namespace, scripts: &Scripts) -> Result<()> {
        let config = self.text("siglatch.toml")?;
        let config = config.replace(PINS, &gateway.pins().display().to_string());
        fs::write(gateway.config(), config.replace(SCRIPTS, &scripts.as_ref().display().to_string()))?;
        namespace.shell(&format!("nft -f {}", self.folder.join("table.nft").display()))?;
        self.lay_pins(gateway, namespace)?;
        self.lay_state(gateway)
    }

    /// The knocks that the earlier daemon has admitted, as they would have been sent now.
    ///
    /// # Errors
    /// If a file is missing.
    pub fn admitted(&self) -> Result<Vec<Knock>> {
        let nonces = self.nonces()?;
        let admitted = nonces.iter().filter(|record| record[0] == NONCE).map(|record| {
            let number = |at: usize| u32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]]);
            let user = UserId(u16::from_le_bytes([record[2], record[3]]));
            let (timestamp, challenge) = (number(4), number(8));
            Knock { user, action: ActionId(crate::gateway::OPEN), payload: Payload::EMPTY, timestamp, challenge }
        });
        Ok(admitted.collect())
    }

    fn lay_state(&self, gateway: &Gateway) -> Result<()> {
        let state = gateway.file("state");
        fs::write(state.join("nonces.current"), [&MAGIC[..], self.nonces()?.as_flattened()].concat())?;
        let lists = ["blacklist", "blacklist_networks"].map(|map| map_number(gateway, map));
        let [addresses, networks] = lists;
        let lists = addresses? << 32 | networks?;
        for file in ["bans.json", "known.json"] {
            let mut said: Value = serde_json::from_str(&self.text(&format!("state/{file}"))?)?;
            self.age(&mut said)?;
            // The numbers of maps are the kernel's to give.
            said["lists"] = if file == "bans.json" { json!(lists) } else { json!(0) };
            fs::write(state.join(file), said.to_string())?;
        }
        let mut ledger = Vec::new();
        for line in self.text("state/ledger")?.lines() {
            let (_, json) = line.split_once(' ').context("a line of the ledger begins with its checksum")?;
            let mut said: Value = serde_json::from_str(json)?;
            self.age(&mut said)?;
            let json = said.to_string();
            ledger.push(format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())));
        }
        fs::write(state.join("ledger"), ledger.concat())?;
        fs::copy(self.folder.join("state/audit.head"), state.join("audit.head"))?;
        fs::copy(self.folder.join("audit.jsonl"), gateway.file("audit.jsonl"))?;
        Ok(())
    }

    /// Loads, fills, attaches and pins as that daemon did: its knock ports and limits are globals in frozen memory.
    fn lay_pins(&self, gateway: &Gateway, namespace: &Namespace) -> Result<()> {
        let pins = gateway.pins();
        fs::create_dir_all(pins)?;
        let object = fs::read(self.folder.join("siglatch-xdp.o"))?;
        let maps: Value = serde_json::from_str(&self.text("maps.json")?)?;
        let maps = maps.as_object().context("no maps")?;
        let (ports, tuning) = (self.bytes("ports")?, self.bytes("tuning")?);
        let mut loader = EbpfLoader::new();
        loader.override_global("PORTS", ports.as_slice(), true).override_global("TUNING", tuning.as_slice(), true);
        let names: Vec<&'static str> = maps.keys().map(|name| &*name.clone().leak()).collect();
        for name in names {
            loader.map_pin_path(name, pins.join(name));
            let entries = maps[name]["max_entries"].as_u64().context("a map has a size")?;
            loader.map_max_entries(name, u32::try_from(entries)?);
        }
        let mut ebpf = loader.load(&object).context("cannot load the earlier XDP object: this needs root")?;
        self.fill(gateway, maps)?;
        let program: &mut Xdp = ebpf.program_mut("siglatch").context("no program in the object")?.try_into()?;
        program.load().context("the kernel refuses the earlier XDP program")?;
        namespace.within(|| attach(program, gateway))?
    }

    fn fill(&self, gateway: &Gateway, maps: &serde_json::Map<String, Value>) -> Result<()> {
        let mut orders = String::new();
        for (name, map) in maps {
            for entry in map["entries"].as_array().into_iter().flatten() {
                let [key, value] = ["key", "value"].map(|part| octets(&entry[part]));
                let value = match name.as_str() {
                    "blacklist" | "blacklist_networks" | "known" => self.aged_end(value?)?,
                    _ => value?,
                };
                let pin = gateway.pins().join(name);
                orders.push_str(&format!(
                    "map update pinned {} key {} value {}\n",
                    pin.display(),
                    decimal(&key?),
                    decimal(&value)
                ));
            }
        }
        let file = gateway.file("orders");
        fs::write(&file, orders)?;
        run(Command::new("bpftool").args(["batch", "file"]).arg(&file))?;
        Ok(fs::remove_file(&file)?)
    }

    /// A value of a map that begins with an end by `CLOCK_BOOTTIME`, or with 0 if it has none.
    fn aged_end(&self, mut value: Vec<u8>) -> Result<Vec<u8>> {
        let (end, _) = value.split_first_chunk_mut::<8>().context("an end takes eight bytes")?;
        let until = u64::from_ne_bytes(*end);
        if until != 0 {
            *end = u64::try_from(i128::from(until) + self.now.boot_ns - self.then.boot_ns)?.to_ne_bytes();
        }
        Ok(value)
    }

    /// The records of the nonce store, 16 bytes each: kind, unused, ten bytes, and the CRC-32 of them all.
    fn nonces(&self) -> Result<Vec<[u8; 16]>> {
        let bytes = fs::read(self.folder.join("state/nonces.current"))?;
        let records = bytes.strip_prefix(MAGIC).context("the recorded nonces begin otherwise")?;
        let (records, rest) = records.as_chunks::<16>();
        ensure!(rest.is_empty(), "the recorded nonces end in the middle of one");
        let since = self.now.wall - self.then.wall;
        let aged = records.iter().map(|record| {
            let mut record = *record;
            match record[0] {
                NONCE => {
                    let stamp = u32::from_le_bytes([record[4], record[5], record[6], record[7]]);
                    record[4..8].copy_from_slice(&u32::try_from(i128::from(stamp) + since)?.to_le_bytes());
                }
                LEASE | FLOOR => {
                    let (_, rest) = record.split_at_mut(2);
                    let (until, _) = rest.split_first_chunk_mut::<8>().context("a record has 16 bytes")?;
                    *until = u64::try_from(i128::from(u64::from_le_bytes(*until)) + since)?.to_le_bytes();
                }
                OPENED => {
                    let digits: String = self.now.run.chars().filter(char::is_ascii_hexdigit).take(16).collect();
                    record[2..10].copy_from_slice(&u64::from_str_radix(&digits, 16)?.to_be_bytes());
                }
                _ => {}
            }
            let sum = crc32fast::hash(&record[..12]);
            record[12..].copy_from_slice(&sum.to_le_bytes());
            Ok(record)
        });
        aged.collect()
    }

    /// Makes of every time in a file one that is as far from now as it was from then.
    fn age(&self, said: &mut Value) -> Result<()> {
        match said {
            Value::Array(parts) => parts.iter_mut().try_for_each(|part| self.age(part)),
            Value::Object(fields) => fields.iter_mut().try_for_each(|(name, value)| {
                let since = match name.as_str() {
                    "until" | "since" | "forget" | "due" => self.now.wall - self.then.wall,
                    name if name.ends_with("_boot_ns") => self.now.boot_ns - self.then.boot_ns,
                    "boot" => {
                        *value = json!(self.now.run);
                        return Ok(());
                    }
                    _ => return self.age(value),
                };
                if let Some(time) = value.as_u64() {
                    *value = json!(u64::try_from(i128::from(time) + since)?);
                }
                Ok(())
            }),
            _ => Ok(()),
        }
    }

    fn text(&self, file: &str) -> Result<String> {
        let path = self.folder.join(file);
        fs::read_to_string(&path).with_context(|| format!("no {}", path.display()))
    }

    /// A global of the recorded program.
    fn bytes(&self, global: &str) -> Result<Vec<u8>> {
        let globals: Value = serde_json::from_str(&self.text("globals.json")?)?;
        octets(&globals[global])
    }
}

fn attach(program: &mut Xdp, gateway: &Gateway) -> Result<()> {
    let link = program.attach(GATE, XdpMode::Driver)?;
    let link = FdLink::try_from(program.take_link(link)?)?;
    link.pin(gateway.pins().join(format!("link_{GATE}")))?;
    program.pin(gateway.pins().join("program"))?;
    Ok(())
}

/// The number that the kernel has given a pinned map.
fn map_number(gateway: &Gateway, map: &str) -> Result<u64> {
    let shown = run(Command::new("bpftool").args(["-j", "map", "show", "pinned"]).arg(gateway.pins().join(map)))?;
    let shown: Value = serde_json::from_str(&shown)?;
    shown["id"].as_u64().with_context(|| format!("{map} has no number"))
}

/// Bytes as the recording has them: two hex digits each.
fn octets(recorded: &Value) -> Result<Vec<u8>> {
    let digits = recorded.as_str().with_context(|| format!("no bytes: {recorded}"))?.as_bytes();
    let (pairs, rest) = digits.as_chunks::<2>();
    ensure!(rest.is_empty(), "half a byte: {recorded}");
    pairs.iter().map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?)).collect()
}

/// Bytes as bpftool reads them.
fn decimal(bytes: &[u8]) -> String {
    bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(" ")
}

/// What stands in the recorded configuration for the folder of the pins.
const PINS: &str = "@PINS@";
/// What stands there for the folder of the scripts.
const SCRIPTS: &str = "@SCRIPTS@";

/// How the nonce store began, and the kinds of its records.
const MAGIC: &[u8; 16] = b"siglatch nonce 1";
const NONCE: u8 = 1;
const LEASE: u8 = 2;
const FLOOR: u8 = 3;
const OPENED: u8 = 4;
