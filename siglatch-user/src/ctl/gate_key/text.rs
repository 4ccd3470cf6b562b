//! The `[[gate_key]]` tables in the configuration's text: read, added and taken out, while everything else stays as it
//! is. Never writes the text, and never judges it.

use toml_edit::{ArrayOfTables, Document, DocumentMut, Item, Table, value};

use crate::ctl::edit::Obstacle;

/// A gate key as the text has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct GateKeyEntry {
    pub(super) number: u8,
    /// The path as it stands in the text.
    pub(super) file: String,
}

/// The gate keys, in the order of the text; those that lack something are left out.
pub(super) fn gate_keys(text: &str) -> Result<Vec<GateKeyEntry>, Obstacle> {
    let document = Document::parse(text)?;
    let tables = document.get(KEY).map(|item| item.as_array_of_tables().ok_or(Obstacle::Form(KEY))).transpose()?;
    Ok(tables.into_iter().flatten().filter_map(entry).collect())
}

/// The text with a gate key behind the others; the first one stands behind the knock ports.
pub(super) fn add(text: &str, number: u8, file: &str) -> Result<String, Obstacle> {
    let mut document: DocumentMut = text.parse()?;
    let mut table = Table::new();
    table.insert("number", value(i64::from(number)));
    table.insert("file", value(file));
    table.decor_mut().set_prefix("\n");
    if !document.contains_key(KEY) {
        let last_port = document.get("port").and_then(Item::as_array_of_tables).and_then(|ports| ports.iter().last());
        table.set_position(last_port.and_then(Table::position));
    }
    let tables = document.entry(KEY).or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
    tables.as_array_of_tables_mut().ok_or(Obstacle::Form(KEY))?.push(table);
    Ok(document.to_string())
}

/// The text without a gate key, and what it said of it. Comments around the table stay: they may be about more.
pub(super) fn drop(text: &str, number: u8) -> Result<(String, GateKeyEntry), Obstacle> {
    let document = Document::parse(text)?;
    let tables = document.get(KEY).map(|item| item.as_array_of_tables().ok_or(Obstacle::Form(KEY))).transpose()?;
    let found = tables.into_iter().flatten().find_map(|table| {
        let entry = entry(table).filter(|entry| entry.number == number)?;
        let header = table.span()?;
        let end = table.iter().filter_map(|(_, item)| item.span()).fold(header.end, |end, span| end.max(span.end));
        Some((entry, text.get(..header.start)?, text.get(end..)?))
    });
    let Some((entry, before, rest)) = found else {
        let known = gate_keys(text)?.iter().map(|key| key.number.to_string()).collect::<Vec<_>>().join(", ");
        return Err(Obstacle::NoGateKey { number, known: if known.is_empty() { "none".to_owned() } else { known } });
    };
    let before = before.trim_end_matches([' ', '\t']);
    let (_, after) = rest.split_once('\n').unwrap_or_default();
    // Of the empty lines around it one goes with it; not the one that parts a comment about it from other tables.
    let is_followed = after.trim_start_matches('\n').starts_with("[[gate_key]]");
    let after = match before.is_empty() || before.ends_with("\n\n") || is_followed {
        true => after.strip_prefix('\n').unwrap_or(after),
        false => after,
    };
    Ok((format!("{before}{after}"), entry))
}

fn entry(table: &Table) -> Option<GateKeyEntry> {
    let number = u8::try_from(table.get("number")?.as_integer()?).ok()?;
    Some(GateKeyEntry { number, file: table.get("file")?.as_str()?.to_owned() })
}

const KEY: &str = "gate_key";

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# ports
[[port]]
port = 62201
wire = \"stamped\" # for most

# keys
[[gate_key]] # the first
number = 0
file = \"keys/gate-0.key\" # old

# more
[keys]
server = \"server.key\"

# the end
";

    const TWO: &str = "\
# ports
[[port]]
port = 62201
wire = \"stamped\" # for most

# keys
[[gate_key]] # the first
number = 0
file = \"keys/gate-0.key\" # old

[[gate_key]]
number = 2
file = \"g\"

# more
[keys]
server = \"server.key\"

# the end
";

    #[test]
    fn a_new_one_stands_last_and_everything_else_stays() {
        assert_eq!(add(TEXT, 2, "g").unwrap(), TWO);
        let expected = [(0, "keys/gate-0.key"), (2, "g")];
        let found: Vec<_> = gate_keys(TWO).unwrap().into_iter().map(|key| (key.number, key.file)).collect();
        assert_eq!(found, expected.map(|(number, file)| (number, file.to_owned())));
        let again = add(TWO, 1, "h").unwrap();
        assert!(again.contains("file = \"g\"\n\n[[gate_key]]\nnumber = 1\nfile = \"h\"\n\n# more"), "{again}");
    }

    #[test]
    fn the_first_one_stands_behind_the_ports() {
        let text =
            "[[port]]\nport = 1\n[[port]]\nport = 2\n\n# more\n[keys]\nserver = \"s\"\n[user.a]\nid = 1\n# end\n";
        let expected = text.replace("port = 2\n", "port = 2\n\n[[gate_key]]\nnumber = 0\nfile = \"g\"\n");
        assert_eq!(add(text, 0, "g").unwrap(), expected);
        assert_eq!(gate_keys(text).unwrap(), []);
        assert_eq!(add("", 0, "g").unwrap(), "\n[[gate_key]]\nnumber = 0\nfile = \"g\"\n");
    }

    #[test]
    fn one_goes_and_everything_else_stays() {
        let (without_new, dropped) = drop(TWO, 2).unwrap();
        assert_eq!(without_new, TEXT);
        assert_eq!(dropped, GateKeyEntry { number: 2, file: "g".to_owned() });
        let (without_old, dropped) = drop(TWO, 0).unwrap();
        let lines = "[[gate_key]] # the first\nnumber = 0\nfile = \"keys/gate-0.key\" # old\n\n";
        assert_eq!(without_old, TWO.replace(lines, ""));
        assert_eq!(dropped.file, "keys/gate-0.key");
        let (without_any, _) = drop(&without_old, 2).unwrap();
        assert_eq!(gate_keys(&without_any).unwrap(), []);
        for comment in ["# ports", "# for most", "# keys", "# more", "# the end"] {
            assert!(without_any.contains(comment), "{without_any}");
        }
        assert_eq!(drop("[[gate_key]]\nnumber = 0\nfile = \"g\"", 0).unwrap().0, "");
    }

    #[test]
    fn obstacles_are_named() {
        assert_eq!(drop(TWO, 1).unwrap_err().to_string(), "there is no gate key 1; there are: 0, 2");
        assert_eq!(drop("", 0).unwrap_err().to_string(), "there is no gate key 0; there are: none");
        let inline = "gate_key = [{ number = 0, file = \"g\" }]";
        assert!(matches!(add(inline, 1, "h"), Err(Obstacle::Form(KEY))));
        assert!(matches!(drop(inline, 0), Err(Obstacle::Form(KEY))));
        assert!(matches!(gate_keys(inline), Err(Obstacle::Form(KEY))));
        assert!(matches!(add("[", 0, "g"), Err(Obstacle::Syntax(_))));
    }
}
