//! What a user's machine knows of one gateway: an enrolment file that was found sound.
//! Never reads the file: text in, profile or findings out.

mod finding;
mod table;

use std::collections::BTreeMap;
use std::ops::Range;

use siglatch_common::enrolment::ENROLMENT_VERSION;
use siglatch_common::seal::{GateKey, HmacKey, KeyFlaw, ServerPublicKey};
use siglatch_common::stamp::GATE_KEYS;
use siglatch_common::wire::Wire;
use siglatch_common::wire::v1::{ActionId, UserId};

pub use finding::{Finding, Findings};

use crate::gateway_name::GatewayName;
use crate::knocker::{Keys, Stamper};
use crate::nearest::nearest;
use table::{Reading, Table};

/// An enrolment file that was found sound.
#[derive(Debug)]
pub struct Profile {
    /// The operator's name for the gateway.
    pub gateway: GatewayName,
    /// Name or address that knocks are sent to.
    pub host: String,
    /// The knock port, 1 to 65535.
    pub port: u16,
    /// What makes the user's knocks believed; knows the wire.
    pub keys: Keys,
    /// Whom the gateway takes the bearer for.
    pub user: User,
    /// What may be asked for, by name.
    pub actions: BTreeMap<String, Action>,
    /// Actions that go in this order, by the sequence's name. Each is one of `actions`.
    pub sequences: BTreeMap<String, Vec<String>>,
}

/// Whom the gateway takes the bearer for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct User {
    /// The operator's name for the user.
    pub name: String,
    /// The number in the packet.
    pub id: UserId,
}

/// Something that a knock can ask for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Action {
    /// The number in the packet.
    pub id: ActionId,
    /// Whether the payload names the address that the grant is for.
    pub source: SourceRule,
}

/// Which address a grant is for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SourceRule {
    /// The datagram's.
    #[default]
    Packet,
    /// The one that the payload names, and it must be the datagram's.
    Match,
    /// The one that the payload names.
    Claimed,
}

impl Profile {
    /// Reads an enrolment file.
    ///
    /// # Errors
    /// [`Findings`] names everything that is wrong, with its place; never a key.
    pub fn parse(text: &str) -> Result<Self, Findings> {
        let (document, mut reading) = Reading::open(text);
        let read = reading.is_sound().then(|| Self::read(&Table::root(&document), &mut reading)).flatten();
        reading.finish(read)
    }

    /// The first action that does something by itself, else the first sequence: what to try first.
    #[must_use]
    pub fn first_try(&self) -> Option<FirstTry<'_>> {
        let is_step = |name: &str| self.sequences.values().flatten().any(|step| step == name);
        let action = self.actions.keys().find(|name| !is_step(name));
        let action = action.map(|name| FirstTry::Knock(name));
        action.or_else(|| self.sequences.keys().next().map(|name| FirstTry::Sequence(name)))
    }

    fn read(root: &Table<'_>, reading: &mut Reading<'_>) -> Option<Self> {
        reading.only(root, &FIELDS);
        let version = reading.number(root, "siglatch");
        if let Some((version, place)) = version
            && version != u32::from(ENROLMENT_VERSION)
        {
            reading.find(
                place,
                format!("form {version} of enrolment files; this siglatch reads form {ENROLMENT_VERSION}: update it"),
            );
        }
        let gateway = reading.text(root, "gateway").and_then(|(name, place)| {
            name.parse::<GatewayName>().map_err(|flaw| reading.find(place, flaw.to_string())).ok()
        });
        let host = read_host(root, reading);
        let port = reading.number(root, "port").and_then(|(port, place)| match u16::try_from(port) {
            Ok(port @ 1..) => Some(port),
            Ok(0) | Err(_) => {
                reading.find(place, "a port is a number from 1 to 65535".to_owned());
                None
            }
        });
        let wire = read_wire(root, reading);
        let server_key = read_server_key(root, wire.as_ref().map(|(wire, _)| *wire), reading);
        let stamper = read_stamper(root, wire.as_ref(), reading);
        let user = reading.table(root, "user").and_then(|table| read_user(&table, reading));
        let actions = read_actions(root, reading);
        let sequences = read_sequences(root, &actions, reading);
        let (user, key) = user?;
        let keys = match wire?.0 {
            Wire::Sealed => Keys::sealed(key, server_key?),
            Wire::Stamped => Keys::stamped(key, server_key?, stamper?),
            Wire::Clear => Keys::clear(key),
        };
        Some(Self { gateway: gateway?, host: host?, port: port?, keys, user, actions, sequences })
    }
}

/// What to try first with a new profile.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FirstTry<'a> {
    /// This action.
    Knock(&'a str),
    /// This sequence.
    Sequence(&'a str),
}

impl SourceRule {
    /// Every rule.
    pub const ALL: [Self; 3] = [Self::Packet, Self::Match, Self::Claimed];

    /// The name in enrolment files.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Packet => "packet",
            Self::Match => "match",
            Self::Claimed => "claimed",
        }
    }

    fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.label() == label)
    }
}

fn read_host(root: &Table<'_>, reading: &mut Reading<'_>) -> Option<String> {
    let (host, place) = reading.text(root, "host")?;
    let allowed = |c: char| !c.is_control() && !c.is_whitespace() && c != '/';
    if host.is_empty() || host.len() > 255 || !host.chars().all(allowed) {
        reading.find(place, "a host is a name or an address alone, such as gw.example.net or 192.0.2.1".to_owned());
        return None;
    }
    Some(host)
}

fn read_wire(root: &Table<'_>, reading: &mut Reading<'_>) -> Option<(Wire, Range<usize>)> {
    let (label, place) = reading.text(root, "wire")?;
    let wire = Wire::from_label(&label);
    if wire.is_none() {
        reading.find(place.clone(), format!("this siglatch knows the wires {}", joined(Wire::ALL.map(Wire::label))));
    }
    Some((wire?, place))
}

fn read_server_key(root: &Table<'_>, wire: Option<Wire>, reading: &mut Reading<'_>) -> Option<ServerPublicKey> {
    let (pem, place) = reading.text(root, "server_key")?;
    if wire == Some(Wire::Clear) && pem.is_empty() {
        return None;
    }
    ServerPublicKey::from_pem(&pem).map_err(|flaw| reading.find(place, flaw.to_string())).ok()
}

/// The gate key is there exactly if the wire is stamped.
fn read_stamper(root: &Table<'_>, wire: Option<&(Wire, Range<usize>)>, reading: &mut Reading<'_>) -> Option<Stamper> {
    let table = reading.table_if_there(root, "gate_key");
    match (wire, &table) {
        (Some((Wire::Stamped, place)), None) if !root.has("gate_key") => reading.find(
            place.clone(),
            "the wire \"stamped\" needs a table [gate_key] with the gate key's number and key".to_owned(),
        ),
        (Some((wire @ (Wire::Sealed | Wire::Clear), _)), Some(table)) => reading.find(
            table.place(),
            format!("[gate_key] is for the wire \"stamped\"; this file's wire is {:?}", wire.label()),
        ),
        (Some(_) | None, _) => {}
    }
    let table = table?;
    reading.only(&table, &["number", "key"]);
    let number = reading.number(&table, "number").and_then(|(number, place)| {
        let sound = u8::try_from(number).ok().filter(|number| usize::from(*number) < GATE_KEYS);
        if sound.is_none() {
            reading.find(place, format!("a gate key's number is 0 to {}", GATE_KEYS - 1));
        }
        sound
    });
    let key = reading.secret(&table, "key").and_then(|(hex, place)| {
        // 16 characters would pass for 16 raw bytes.
        let key = if hex.len() == 16 { Err(KeyFlaw::Form) } else { GateKey::parse(hex.as_bytes()) };
        let flaw = match key {
            Ok(key) => return Some(key),
            Err(KeyFlaw::Form) => "a gate key is 32 hex digits".to_owned(),
            Err(flaw @ KeyFlaw::Zero) => flaw.to_string(),
        };
        reading.find(place, flaw);
        None
    });
    Stamper::new(number?, key?)
}

fn read_user(table: &Table<'_>, reading: &mut Reading<'_>) -> Option<(User, HmacKey)> {
    reading.only(table, &["name", "id", "key"]);
    let name = reading.text(table, "name").filter(|(name, place)| reading.is_name(name, place.clone()));
    let id = reading.number(table, "id").and_then(|(id, place)| match u16::try_from(id) {
        Ok(id) => Some(UserId(id)),
        Err(_) => {
            reading.find(place, "a user's id is a number from 0 to 65535".to_owned());
            None
        }
    });
    let key = reading.secret(table, "key").and_then(|(hex, place)| {
        // 32 characters would pass for 32 raw bytes.
        let key = if hex.len() == 32 { Err(KeyFlaw::Form) } else { HmacKey::parse(hex.as_bytes()) };
        let flaw = match key {
            Ok(key) => return Some(key),
            Err(KeyFlaw::Form) => "a user's key is 64 hex digits".to_owned(),
            Err(flaw @ KeyFlaw::Zero) => flaw.to_string(),
        };
        reading.find(place, flaw);
        None
    });
    Some((User { name: name?.0, id: id? }, key?))
}

fn read_actions(root: &Table<'_>, reading: &mut Reading<'_>) -> BTreeMap<String, Action> {
    let mut actions = BTreeMap::new();
    for (name, table) in reading.tables(root, "action") {
        reading.only(&table, &["id", "source"]);
        let id = reading.number(&table, "id").and_then(|(id, place)| match u8::try_from(id) {
            Ok(id) => Some(ActionId(id)),
            Err(_) => {
                reading.find(place, "an action's id is a number from 0 to 255".to_owned());
                None
            }
        });
        let source = reading.text_if_there(&table, "source").and_then(|(label, place)| {
            let rule = SourceRule::from_label(&label);
            if rule.is_none() {
                reading
                    .find(place, format!("an action's source is {}", joined(SourceRule::ALL.map(SourceRule::label))));
            }
            rule
        });
        // An action with a flaw is kept, so that the steps that name it are not found at fault too: findings are
        // an error whatever is returned.
        let action = Action { id: id.unwrap_or(ActionId(0)), source: source.unwrap_or_default() };
        actions.insert(name, action);
    }
    actions
}

fn read_sequences(
    root: &Table<'_>,
    actions: &BTreeMap<String, Action>,
    reading: &mut Reading<'_>,
) -> BTreeMap<String, Vec<String>> {
    let mut sequences = BTreeMap::new();
    for (name, steps, place) in reading.lists(root, "sequence") {
        if steps.len() < 2 {
            reading.find(place, "a sequence has at least two steps".to_owned());
        }
        let mut names = Vec::new();
        for (step, place) in steps {
            if !actions.contains_key(&step) {
                let meant = nearest(&step, actions.keys().map(String::as_str));
                let meant = meant.map(|meant| format!("; did you mean {meant:?}?")).unwrap_or_default();
                reading.find(place, format!("the step {step:?} is no action of this file{meant}"));
            } else if names.contains(&step) {
                reading.find(place, format!("the step {step:?} is twice in one sequence"));
            }
            names.push(step);
        }
        sequences.insert(name, names);
    }
    sequences
}

fn joined<const N: usize>(labels: [&str; N]) -> String {
    let quoted: Vec<_> = labels.iter().map(|label| format!("{label:?}")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} or {last}", before.join(", ")),
        None => String::new(),
    }
}

/// The fields of an enrolment file.
const FIELDS: [&str; 10] =
    ["siglatch", "gateway", "host", "port", "wire", "server_key", "gate_key", "user", "action", "sequence"];

#[cfg(test)]
mod tests;
