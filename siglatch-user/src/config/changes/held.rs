//! What a running daemon cannot change, and goes on with until its next start. Never says why two values differ.

use crate::config::settings::{Firewall, Ingress, Settings, Xdp};

/// The settings that a daemon with `old` goes on with: the new ones, but for the keys that count from its next start.
#[must_use]
pub fn holding_back(mut new: Settings, old: &Settings) -> Settings {
    for held in HELD {
        (held.keep)(&mut new, old);
    }
    new
}

/// The keys that count from the next start and are not the same.
pub(super) fn differing(old: &Settings, new: &Settings) -> Vec<&'static str> {
    HELD.iter().filter(|held| (held.differs)(old, new)).map(|held| held.key).collect()
}

/// A key that counts from the next start.
struct Held {
    /// As an operator writes it.
    key: &'static str,
    /// Old, then new.
    differs: fn(&Settings, &Settings) -> bool,
    /// Puts the old value into the new settings.
    keep: fn(&mut Settings, &Settings),
}

/// One that is a field.
macro_rules! held {
    ($key:literal, $($field:tt)+) => {
        Held {
            key: $key,
            differs: |old, new| old.$($field)+ != new.$($field)+,
            keep: |new, old| new.$($field)+.clone_from(&old.$($field)+),
        }
    };
}

/// One of XDP's, which is only there in that mode.
macro_rules! xdp {
    ($key:literal, $field:ident) => {
        Held {
            key: $key,
            differs: |old, new| both(&old.ingress, &new.ingress).is_some_and(|(old, new)| old.$field != new.$field),
            keep: |new, old| {
                if let (Ingress::Xdp(new), Ingress::Xdp(old)) = (&mut new.ingress, &old.ingress) {
                    new.$field.clone_from(&old.$field);
                }
            },
        }
    };
}

/// Maps and rings keep their size, files and sockets their place, and whoever gave up root's rights cannot take them back.
const HELD: &[Held] = &[
    Held {
        key: "[ingress] mode",
        differs: |old, new| !is_same_mode(&old.ingress, &new.ingress),
        keep: |new, old| {
            if !is_same_mode(&old.ingress, &new.ingress) {
                new.ingress.clone_from(&old.ingress);
            }
        },
    },
    xdp!("[ingress] attach", attach),
    xdp!("[ingress] pin_dir", pin_dir),
    held!("[keys] threads", key_threads),
    held!("[state] dir", state_dir),
    held!("[limits] sources", limits.sources),
    held!("[limits] copies", limits.copies),
    held!("[lane.stamped] ring", lanes.stamped.ring_kib),
    held!("[lane.known] ring", lanes.known.ring_kib),
    held!("[lane.unknown] ring", lanes.unknown.ring_kib),
    held!("[known] capacity", known.capacity),
    held!("[ban] capacity", ban.capacity),
    held!("[admin] socket", admin.socket),
    held!("[admin] observer_socket", admin.observer_socket),
    held!("[metrics] listen", metrics),
    held!("[daemon] user", daemon_user),
    held!("[audit] enabled", audit.enabled),
    held!("[audit] file", audit.file),
    Held {
        key: "[firewall] mode",
        differs: |old, new| !is_same_kind(&old.firewall, &new.firewall),
        keep: |new, old| {
            if !is_same_kind(&old.firewall, &new.firewall) {
                new.firewall.clone_from(&old.firewall);
            }
        },
    },
    Held {
        key: "[firewall] table",
        differs: |old, new| is_same_kind(&old.firewall, &new.firewall) && table(&old.firewall) != table(&new.firewall),
        keep: |new, old| match (&mut new.firewall, &old.firewall) {
            (Firewall::Table(new), Firewall::Table(old)) => new.name.clone_from(&old.name),
            // The sets that are named are those of the other table.
            (Firewall::Sets(new), Firewall::Sets(old)) if (&new.family, &new.table) != (&old.family, &old.table) => {
                new.clone_from(old);
            }
            (Firewall::Table(_) | Firewall::Sets(_) | Firewall::Untouched, _) => {}
        },
    },
];

const fn both<'a>(old: &'a Ingress, new: &'a Ingress) -> Option<(&'a Xdp, &'a Xdp)> {
    match (old, new) {
        (Ingress::Xdp(old), Ingress::Xdp(new)) => Some((old, new)),
        (Ingress::Xdp(_) | Ingress::Socket, _) => None,
    }
}

fn is_same_mode(old: &Ingress, new: &Ingress) -> bool {
    std::mem::discriminant(old) == std::mem::discriminant(new)
}

fn is_same_kind(old: &Firewall, new: &Firewall) -> bool {
    std::mem::discriminant(old) == std::mem::discriminant(new)
}

/// Whose table it is: family and name.
fn table(firewall: &Firewall) -> Option<(&str, &str)> {
    match firewall {
        Firewall::Table(own) => Some(("inet", &own.name)),
        Firewall::Sets(sets) => Some((&sets.family, &sets.table)),
        Firewall::Untouched => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_manual_names_every_key_that_is_held_back_and_no_other() {
        let manual = include_str!("../../../../docs/operating.md");
        let (_, rows) = manual.split_once("| table | from the next start on |\n|---|---|\n").unwrap();
        let mut named = BTreeSet::new();
        for row in rows.lines().map_while(|line| line.strip_prefix("| `[")) {
            let (table, keys) = row.split_once("]` | ").unwrap();
            // What comes along with a key is behind `and`.
            let keys = keys.split(" and ").next().unwrap();
            let names = keys.trim_end_matches(" |").split(", ").map(|key| key.trim_matches('`'));
            named.extend(names.map(|key| format!("[{table}] {key}")));
        }
        let held: BTreeSet<_> = HELD
            .iter()
            .map(|held| match held.key.split_once(' ') {
                Some((table, key)) if table.starts_with("[lane.") => format!("[lane.*] {key}"),
                _ => held.key.to_owned(),
            })
            .collect();
        assert_eq!(named, held);
    }
}
