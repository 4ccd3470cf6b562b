//! One line of the ledger: the CRC-32 of the rest in eight hex digits, a space, and JSON. Never touches a file.
//!
//! ```text
//! 5e0c1f0a {"begun":{"version":1,"boot":"0c5a…"}}
//! 9d1b7c22 {"noted":[{"user":{"name":"alice","times":3}},{"settled":7}]}
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use siglatch_common::address::Network;
use siglatch_common::units::{Boot, Wall};
use siglatch_common::wire::v1::{ActionId, Payload, UserId};

use crate::gate::{Call, Debt, DebtId, Entry};

/// What a line says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Line {
    /// The first one: the run of the kernel that all of it is of.
    Begun { boot: String },
    /// Everything that was noted at once.
    Noted(Vec<Entry>),
}

impl Line {
    /// The bytes, the line feed included.
    pub(super) fn encode(&self) -> Vec<u8> {
        let said = match self {
            Self::Begun { boot } => LineText::Begun { version: VERSION, boot: boot.clone() },
            Self::Noted(entries) => LineText::Noted(entries.iter().map(EntryText::new).collect()),
        };
        let json = serde_json::to_string(&said).expect("names and numbers have a JSON form");
        format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())).into_bytes()
    }

    /// Reads a line without its line feed; nothing if it is damaged.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (sum, rest) = bytes.split_first_chunk::<8>()?;
        let json = rest.strip_prefix(b" ")?;
        if *sum != *format!("{:08x}", crc32fast::hash(json)).as_bytes() {
            return None;
        }
        match serde_json::from_slice(json).ok()? {
            LineText::Begun { version, boot } => (version == VERSION).then_some(Self::Begun { boot }),
            LineText::Noted(entries) => {
                entries.into_iter().map(EntryText::entry).collect::<Option<_>>().map(Self::Noted)
            }
        }
    }
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum LineText {
    Begun { version: u32, boot: String },
    Noted(Vec<EntryText>),
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum EntryText {
    User { name: String, times: u32 },
    Action { name: String, times: u32 },
    Owed(Box<DebtText>),
    Settled(u64),
}

/// A debt. The payload is Base64, the end in Unix seconds and in nanoseconds of `CLOCK_BOOTTIME`.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct DebtText {
    id: u64,
    program: String,
    knock: String,
    source: String,
    user: u16,
    user_name: String,
    action: u8,
    action_name: String,
    sealed: bool,
    payload: String,
    due: u64,
    due_boot_ns: u64,
    ends_with_boot: bool,
}

impl EntryText {
    fn new(entry: &Entry) -> Self {
        match entry {
            Entry::UserUsed { name, times } => Self::User { name: name.clone(), times: *times },
            Entry::ActionUsed { name, times } => Self::Action { name: name.clone(), times: *times },
            Entry::Owed(debt) => Self::Owed(Box::new(DebtText::new(debt))),
            Entry::Settled(DebtId(id)) => Self::Settled(*id),
        }
    }

    fn entry(self) -> Option<Entry> {
        Some(match self {
            Self::User { name, times } => Entry::UserUsed { name, times },
            Self::Action { name, times } => Entry::ActionUsed { name, times },
            Self::Owed(debt) => Entry::Owed(Box::new(debt.debt()?)),
            Self::Settled(id) => Entry::Settled(DebtId(id)),
        })
    }
}

impl DebtText {
    fn new(debt: &Debt) -> Self {
        let Debt { id, program, call, due, due_wall, ends_with_boot } = debt;
        Self {
            id: id.0,
            program: program.clone(),
            knock: call.knock.to_string(),
            source: call.source.to_string(),
            user: call.user.0,
            user_name: call.user_name.clone(),
            action: call.action.0,
            action_name: call.action_name.clone(),
            sealed: call.sealed,
            payload: BASE64.encode(call.payload.as_bytes()),
            due: due_wall.as_secs(),
            due_boot_ns: due.as_nanos(),
            ends_with_boot: *ends_with_boot,
        }
    }

    fn debt(self) -> Option<Debt> {
        let call = Call {
            knock: self.knock.parse().ok()?,
            source: self.source.parse::<Network>().ok()?.as_single()?,
            user: UserId(self.user),
            user_name: self.user_name,
            action: ActionId(self.action),
            action_name: self.action_name,
            sealed: self.sealed,
            payload: Payload::new(&BASE64.decode(self.payload).ok()?)?,
        };
        Some(Debt {
            id: DebtId(self.id),
            program: self.program,
            call,
            due: Boot::from_nanos(self.due_boot_ns),
            due_wall: Wall::from_secs(self.due),
            ends_with_boot: self.ends_with_boot,
        })
    }
}

const VERSION: u32 = 1;
