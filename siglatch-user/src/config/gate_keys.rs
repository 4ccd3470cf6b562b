//! The configuration's `[[gate_key]]` tables, and the stamped ports that need them. Never makes a key for an epoch.

use siglatch_common::seal::GateKey;
use siglatch_common::stamp::GATE_KEYS;
use siglatch_common::wire::Wire;
use subtle::ConstantTimeEq as _;

use super::finding::{Code, Findings};
use super::key_files::{self, Cabinet};
use super::section::{Located, Section};
use super::settings::KnockPort;
use super::{schema, value};
use crate::keys::GateKeys;

/// The gate keys in the order of the text, the last one the newest; nothing only if a finding says why.
pub(super) fn read(
    root: &Section<'_>,
    ports: &[Located<KnockPort>],
    cabinet: &Cabinet<'_>,
    findings: &mut Findings,
) -> Option<GateKeys> {
    let sections = root.listed("gate_key", &schema::GATE_KEY, findings)?;
    let entries: Vec<Entry> = sections.iter().map(|section| entry(section, cabinet, findings)).collect();
    distinct(&entries, findings);
    let stamped = ports.iter().find(|port| port.value.wire == Wire::Stamped);
    match (stamped, sections.first()) {
        (Some(port), None) => {
            let message = format!("port {} takes stamped knocks, and there is no gate key", port.value.port);
            findings.report(Code::NoGateKey, port.span, message, "make one: siglatchctl gate-key rotate");
        }
        (None, Some(first)) => {
            let help = "write wire = \"stamped\" under a [[port]], or take the gate keys out";
            findings.report(
                Code::UnusedGateKey,
                first.header(),
                "no knock port is stamped: a gate key is unused",
                help,
            );
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
    let mut keys = GateKeys::default();
    for Entry { number, key } in entries {
        // A number that is taken was reported.
        let _ = keys.put(number?.value, key?.value);
    }
    Some(keys)
}

/// A gate key as far as the text goes; what is missing was reported.
struct Entry {
    number: Option<Located<u8>>,
    key: Option<Located<GateKey>>,
}

fn entry(section: &Section<'_>, cabinet: &Cabinet<'_>, findings: &mut Findings) -> Entry {
    let number = section.number("number", 0..=GATE_KEYS as i64 - 1, findings);
    let path = section.parsed("file", value::path, findings);
    let key = path.and_then(|path| Some(path.with(key_files::gate_key(path, cabinet, findings)?)));
    Entry { number, key }
}

/// Each has a number and a key of its own.
fn distinct(entries: &[Entry], findings: &mut Findings) {
    let numbers = || entries.iter().filter_map(|entry| entry.number);
    let keys = || entries.iter().filter_map(|entry| entry.key.as_ref());
    for (index, number) in numbers().enumerate() {
        let Some(first) = numbers().take(index).find(|first| first.value == number.value) else { continue };
        let taken = |free: &u8| numbers().any(|number| number.value == *free);
        let help = match (0..GATE_KEYS as u8).find(|free| !taken(free)) {
            Some(free) => format!("write a number that no gate key has, for example: number = {free}"),
            None => format!("a host has at most {GATE_KEYS} gate keys: take one out"),
        };
        let message = format!("there is a gate key {} already", number.value);
        findings.report_with(Code::DuplicateGateKey, number.span, message, help, (first.span, "here"));
    }
    for (index, key) in keys().enumerate() {
        let is_same = |first: &&Located<GateKey>| bool::from(first.value.ct_eq(&key.value));
        let Some(first) = keys().take(index).find(is_same) else { continue };
        let message = "this is the same key as another gate key: taking one out would not take its stamps out";
        let help = "name a file with a key of its own; siglatchctl gate-key rotate makes one";
        findings.report_with(Code::SharedGateKey, key.span, message, help, (first.span, "here"));
    }
}
