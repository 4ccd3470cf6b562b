//! Recorded packets and keys, as they lie in a folder of JSON files. Never judges a packet.
//!
//! Every object anywhere in any `.json` file that carries a packet's bytes is taken for a recording; fields and files
//! that nobody here knows are no fault.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use siglatch_common::seal::HmacKey;

/// A folder's contents.
#[derive(Debug)]
pub struct Vectors {
    /// Where they lay.
    pub folder: PathBuf,
    /// The server's private key, PKCS#8 PEM.
    pub server_key: String,
    /// The users, by the name under which recordings refer to them.
    pub users: BTreeMap<String, User>,
    /// Every packet found.
    pub packets: Vec<Recorded>,
    /// Files that hold one HMAC key each.
    pub key_files: Vec<PathBuf>,
}

/// A user of the recordings.
#[derive(Debug)]
pub struct User {
    /// See [`siglatch_common::wire::v1::UserId`].
    pub id: u16,
    /// The user's key.
    pub key: HmacKey,
    /// The user's own private key, PKCS#8 PEM: what replies are sealed under.
    pub private_key: Option<String>,
}

/// One recorded packet.
#[derive(Debug)]
pub struct Recorded {
    /// File and name, for messages.
    pub name: String,
    /// What was on the wire.
    pub wire: Vec<u8>,
    /// Whether it is encrypted, and for whom.
    pub sealed: Sealed,
    /// What is inside, if the recording says.
    pub plain: Option<Vec<u8>>,
    /// What is inside the packet, field by field; nothing for bytes that are no packet.
    pub fields: Option<Fields>,
    /// The HMAC that the packet should carry, if the recording says.
    pub right_hmac: Option<Vec<u8>>,
    /// Whether the HMAC holds.
    pub hmac_ok: bool,
    /// The name of the user under whose key it holds or not.
    pub key_of: Option<String>,
}

/// Whose key opens a recording.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sealed {
    /// Nobody's: it is not encrypted.
    Not,
    /// The server's.
    ForServer,
    /// The user's: it is a reply.
    ForUser,
}

/// The fields of a packet, as recorded.
#[derive(Debug)]
pub struct Fields {
    /// The version byte.
    pub version: u64,
    /// Seconds since the Unix epoch.
    pub timestamp: u64,
    /// Who knocks.
    pub user: u64,
    /// What for.
    pub action: u64,
    /// A random number.
    pub challenge: u64,
    /// As it stands in the packet.
    pub hmac: Vec<u8>,
    /// As it stands in the packet.
    pub payload_len: u64,
    /// The payload, if it was recorded.
    pub payload: Option<Vec<u8>>,
    /// Whether every byte behind the payload is zero.
    pub tail_all_zero: bool,
}

impl Vectors {
    /// The folder that `SIGLATCH_VECTORS` names, or the one beside this crate's sources.
    ///
    /// # Errors
    /// If it cannot be read, holds no keys or no packets, or a recording contradicts itself.
    pub fn load() -> Result<Self> {
        match std::env::var_os("SIGLATCH_VECTORS") {
            // A relative one is meant from where `cargo` was called: cargo runs tests in their package's folder.
            Some(named) => Self::load_from(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(named)),
            None => Self::load_from(&Self::default_folder()),
        }
    }

    /// The folder beside this crate's sources.
    #[must_use]
    pub fn default_folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
    }

    /// Reads one folder. Keys that it does not bring are taken from the default one.
    ///
    /// # Errors
    /// As [`Vectors::load`].
    pub fn load_from(folder: &Path) -> Result<Self> {
        let mut own_keys = folder.join(KEYS);
        if !own_keys.exists() {
            own_keys = Self::default_folder().join(KEYS);
        }
        let keys = json(&own_keys)?;
        let server_key = keys["server"]["private_pkcs8"].as_str().map(pem);
        let users = keys["users"].as_object().context("keys.json names no users")?;
        let mut vectors = Self {
            folder: folder.canonicalize().with_context(|| format!("cannot find {}", folder.display()))?,
            server_key: server_key.context("keys.json has no private key of the server")?,
            users: users.iter().map(|(name, user)| Ok((name.clone(), User::read(user)?))).collect::<Result<_>>()?,
            packets: Vec::new(),
            key_files: Vec::new(),
        };
        for path in files(folder)? {
            if path.extension().is_some_and(|extension| extension == "json") && !path.ends_with(KEYS) {
                let file = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
                vectors.collect(&file, &json(&path)?)?;
            } else if path.extension().is_some_and(|extension| extension == "key") {
                vectors.key_files.push(path);
            }
        }
        ensure!(!vectors.packets.is_empty(), "no packets in {}", folder.display());
        Ok(vectors)
    }

    /// Takes every recording out of a JSON value, however deep.
    fn collect(&mut self, place: &str, value: &Value) -> Result<()> {
        let name = value["name"].as_str().map_or_else(|| place.to_owned(), |name| format!("{place} {name}"));
        match value {
            Value::Array(entries) => entries.iter().try_for_each(|entry| self.collect(place, entry))?,
            Value::Object(entry) => {
                self.packets.extend(Recorded::read(value, &name).with_context(|| name.clone())?);
                entry
                    .values()
                    .filter(|value| value.is_array() || value.is_object())
                    .try_for_each(|value| self.collect(&name, value))?;
            }
            _ => {}
        }
        Ok(())
    }
}

impl User {
    fn read(value: &Value) -> Result<Self> {
        let key = HmacKey::parse(value["hmac_hex"].as_str().context("a user without a key")?.as_bytes())?;
        let private_key = value["private_pkcs8"].as_str().map(pem);
        Ok(Self { id: number(&value["id"], "id")?.try_into()?, key, private_key })
    }
}

impl Recorded {
    /// The recordings of one object: none, a packet, or a request with its reply.
    fn read(value: &Value, name: &str) -> Result<Vec<Self>> {
        let mut found = Vec::new();
        if value["wire_hex"].is_string() {
            found.push(Self::packet(value, name)?);
        }
        if value["request_wire_hex"].is_string() {
            found.push(Self::request(value, name)?);
        }
        if value["reply_wire_hex"].is_string() {
            found.push(Self::reply(value, name)?);
        }
        Ok(found)
    }

    fn packet(value: &Value, name: &str) -> Result<Self> {
        let wire = bytes(&value["wire_hex"], "wire_hex")?.context("no bytes")?;
        if let Some(length) = value["wire_len"].as_u64() {
            ensure!(length == wire.len() as u64, "wire_len is {length}, wire_hex has {} bytes", wire.len());
        }
        let sealed = value["encrypted"].as_bool().unwrap_or(wire.len() == SEALED);
        let structured = value["fields"].is_object() && value["dead_drop"].as_bool() != Some(true);
        Ok(Self {
            name: name.to_owned(),
            sealed: if sealed { Sealed::ForServer } else { Sealed::Not },
            plain: bytes(&value["plaintext_hex"], "plaintext_hex")?,
            fields: structured.then(|| Fields::read(&value["fields"])).transpose()?,
            right_hmac: bytes(&value["hmac_recomputed"], "hmac_recomputed")?,
            hmac_ok: structured && value["hmac_ok"].as_bool().context("no hmac_ok")?,
            key_of: value["hmac_key_user"].as_str().map(str::to_owned),
            wire,
        })
    }

    /// A request that was answered: it was authentic, and its fields are those of its plain bytes.
    fn request(value: &Value, name: &str) -> Result<Self> {
        let wire = bytes(&value["request_wire_hex"], "request_wire_hex")?.context("no bytes")?;
        Ok(Self {
            name: format!("{name}: request"),
            sealed: if wire.len() == SEALED { Sealed::ForServer } else { Sealed::Not },
            plain: bytes(&value["request_plain_hex"], "request_plain_hex")?,
            fields: bytes(&value["request_plain_hex"], "request_plain_hex")?.as_deref().map(Fields::of).transpose()?,
            right_hmac: None,
            hmac_ok: true,
            key_of: None,
            wire,
        })
    }

    fn reply(value: &Value, name: &str) -> Result<Self> {
        let wire = bytes(&value["reply_wire_hex"], "reply_wire_hex")?.context("no bytes")?;
        let plain = bytes(&value["reply_plain_hex"], "reply_plain_hex")?;
        let fields = plain.as_deref().map(Fields::of).transpose()?;
        if let Some(fields) = &fields {
            fields.must_be(&value["reply"])?;
        }
        Ok(Self {
            name: format!("{name}: reply"),
            sealed: if wire.len() == SEALED { Sealed::ForUser } else { Sealed::Not },
            plain,
            fields,
            right_hmac: None,
            hmac_ok: value["reply"]["hmac_ok"].as_bool().context("no hmac_ok")?,
            key_of: None,
            wire,
        })
    }

    /// Whether it is of the form that version 1 demands, going by what was recorded alone.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.fields
            .as_ref()
            .is_some_and(|fields| fields.version == 1 && fields.payload_len <= 199 && fields.tail_all_zero)
    }
}

impl Fields {
    fn read(value: &Value) -> Result<Self> {
        Ok(Self {
            version: number(&value["version"], "version")?,
            timestamp: number(&value["timestamp"], "timestamp")?,
            user: number(&value["user_id"], "user_id")?,
            action: number(&value["action_id"], "action_id")?,
            challenge: number(&value["challenge"], "challenge")?,
            hmac: bytes(&value["hmac"], "hmac")?.context("no hmac")?,
            payload_len: number(&value["payload_len"], "payload_len")?,
            payload: bytes(&value["payload"], "payload")?,
            tail_all_zero: value["tail_all_zero"].as_bool().unwrap_or(true),
        })
    }

    /// The fields of plain bytes, for recordings that do not list them; read here, not by the code under test.
    fn of(plain: &[u8]) -> Result<Self> {
        ensure!(plain.len() == 245, "{} plain bytes", plain.len());
        let little =
            |from: usize, to: usize| plain[from..to].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let payload_len = little(44, 46);
        let (payload, tail) = plain[46..].split_at(usize::try_from(payload_len)?.min(199));
        Ok(Self {
            version: little(0, 1),
            timestamp: little(1, 5),
            user: little(5, 7),
            action: little(7, 8),
            challenge: little(8, 12),
            hmac: plain[12..44].to_vec(),
            payload_len,
            payload: Some(payload.to_vec()),
            tail_all_zero: tail.iter().all(|byte| *byte == 0),
        })
    }

    /// Compares with what a recording lists of them.
    fn must_be(&self, listed: &Value) -> Result<()> {
        for (name, ours) in [
            ("version", self.version),
            ("timestamp", self.timestamp),
            ("user_id", self.user),
            ("action_id", self.action),
            ("challenge", self.challenge),
            ("payload_len", self.payload_len),
        ] {
            if let Some(theirs) = listed[name].as_u64() {
                ensure!(ours == theirs, "{name} is {ours} in the bytes, {theirs} in the list");
            }
        }
        Ok(())
    }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read the folder {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn json(path: &Path) -> Result<Value> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no JSON", path.display()))
}

fn number(value: &Value, name: &str) -> Result<u64> {
    value.as_u64().with_context(|| format!("{name} is no number"))
}

/// Bytes in hex; nothing if the field is missing or null.
fn bytes(value: &Value, name: &str) -> Result<Option<Vec<u8>>> {
    let Some(text) = value.as_str() else { return Ok(None) };
    ensure!(text.is_ascii() && text.len().is_multiple_of(2), "{name} is no hex");
    let pairs = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16));
    match pairs.collect() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(_) => bail!("{name} is no hex"),
    }
}

/// RFC 7468: base64 of DER, in lines, under a label.
fn pem(base64: &str) -> String {
    let lines: Vec<_> = base64.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}

const KEYS: &str = "keys.json";
/// Length of a sealed packet, in bytes.
const SEALED: usize = 256;
