//! Single things that mean on a command line what they mean in the configuration, and what counts in it even if the rest
//! is not sound: where the daemon's socket is, and where its audit log. Never reads a file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use siglatch_common::address::Network;
use toml::de::DeTable;

use super::finding::Span;
use super::value::{self, Flaw};
use super::{AdminRule, AuditRule};

/// A network for one of the filter's lists, or one address as a network of one.
///
/// # Errors
/// What is wrong with it, and what to write.
pub fn network(text: &str) -> Result<Network, String> {
    value::listed_network(text).map_err(one_line)
}

/// A length of time such as `90s`, `10m` or `1h30m`.
///
/// # Errors
/// What is wrong with it, and what to write.
pub fn length_of_time(text: &str) -> Result<Duration, String> {
    value::duration(text).map_err(one_line)
}

/// Where the daemon's socket is, by a configuration in that folder.
#[must_use]
pub fn admin_socket(text: &str, folder: &Path) -> PathBuf {
    let (tree, _) = DeTable::parse_recoverable(text);
    let admin = tree.get_ref().get("admin").and_then(|admin| admin.get_ref().as_table());
    let socket = admin.and_then(|admin| admin.get("socket")).and_then(|socket| socket.get_ref().as_str());
    folder.join(socket.unwrap_or(AdminRule::DEFAULT_SOCKET))
}

/// Where the daemon tells observers what happens, by a configuration in that folder; nothing if it does nowhere.
#[must_use]
pub fn observer_socket(text: &str, folder: &Path) -> Option<PathBuf> {
    let (tree, _) = DeTable::parse_recoverable(text);
    let admin = tree.get_ref().get("admin").and_then(|admin| admin.get_ref().as_table())?;
    admin.get("observer_socket").and_then(|socket| socket.get_ref().as_str()).map(|socket| folder.join(socket))
}

/// The file of the audit log, and the folder where its head is, by a configuration in that folder.
#[must_use]
pub fn audit_log(text: &str, folder: &Path) -> (PathBuf, PathBuf) {
    let (tree, _) = DeTable::parse_recoverable(text);
    let said = |table: &str, key: &str| {
        let table = tree.get_ref().get(table).and_then(|table| table.get_ref().as_table());
        table.and_then(|table| table.get(key)?.get_ref().as_str().map(str::to_owned))
    };
    let of = |table, key, otherwise: &str| folder.join(said(table, key).unwrap_or_else(|| otherwise.to_owned()));
    (of("audit", "file", AuditRule::DEFAULT_FILE), of("state", "dir", STATE_DIR))
}

/// Where the table of an action stands, by its name.
#[must_use]
pub fn place_of_action(text: &str, name: &str) -> Option<Span> {
    let (tree, _) = DeTable::parse_recoverable(text);
    let actions = tree.get_ref().get("action")?.get_ref().as_table()?;
    actions.get_key_value(name).map(|(name, _)| name.span().into())
}

/// Where the daemon keeps its state unless the operator says otherwise.
const STATE_DIR: &str = "/var/lib/siglatch";

fn one_line(flaw: Flaw) -> String {
    format!("{}; {}", flaw.message, flaw.help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_found_in_what_the_daemon_would_not_start_with() {
        let folder = Path::new("/etc/siglatch");
        for (text, path) in [
            ("", AdminRule::DEFAULT_SOCKET),
            ("[admin]\n", AdminRule::DEFAULT_SOCKET),
            ("[admin]\nsocket = 7\n", AdminRule::DEFAULT_SOCKET),
            ("[admin]\nsocket = \"/run/a.sock\"\n[nonsense]\n", "/run/a.sock"),
            ("admin.socket = \"a.sock\"\n", "/etc/siglatch/a.sock"),
            ("[admin]\nsocket = \"/run/a.sock\"\n[ban\nsteps = [", "/run/a.sock"),
        ] {
            assert_eq!(admin_socket(text, folder), Path::new(path), "{text}");
        }
    }

    #[test]
    fn the_audit_log_is_found_there_too() {
        let folder = Path::new("/etc/siglatch");
        let places = |text| audit_log(text, folder);
        let defaults = (PathBuf::from(AuditRule::DEFAULT_FILE), PathBuf::from(STATE_DIR));
        assert_eq!(places("[audit]\nenabled = true\n[nonsense"), defaults);
        let said = places("[audit]\nfile = \"a.jsonl\"\n[state]\ndir = \"/srv/s\"\n");
        assert_eq!(said, (PathBuf::from("/etc/siglatch/a.jsonl"), PathBuf::from("/srv/s")));
    }

    #[test]
    fn a_flaw_comes_with_its_cure() {
        assert_eq!(length_of_time("2h"), Ok(Duration::from_secs(7200)));
        assert!(length_of_time("2").unwrap_err().contains("write \"2s\""));
        assert_eq!(network("192.0.2.7").unwrap().to_string(), "192.0.2.7/32");
        assert!(network("192.0.2.7/24").unwrap_err().contains("write \"192.0.2.0/24\""));
    }
}
