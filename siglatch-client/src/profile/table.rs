//! Reads typed fields from TOML and collects what is wrong instead of stopping at the first.
//! Never knows what the fields mean.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use super::finding::{Finding, Findings};
use crate::nearest::nearest;

/// A text on its way to a value, and what was found wrong so far.
pub(super) struct Reading<'t> {
    text: &'t str,
    findings: Vec<Finding>,
}

/// A table of the document.
pub(super) struct Table<'d> {
    fields: &'d DeTable<'d>,
    place: Range<usize>,
    /// What findings call it: `[user]`; empty at the top.
    name: String,
}

impl<'t> Reading<'t> {
    /// The text as TOML; empty if it is none, and then something was found wrong.
    pub(super) fn open(text: &'t str) -> (DeTable<'t>, Self) {
        let mut reading = Self { text, findings: Vec::new() };
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            reading.find(error.span().unwrap_or(0..0), format!("not TOML: {}", error.message()));
        }
        (document.into_inner(), reading)
    }

    /// Whether nothing was found wrong so far.
    pub(super) const fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    /// Notes something wrong.
    pub(super) fn find(&mut self, place: Range<usize>, message: String) {
        self.findings.push(Finding::at(self.text, place, message));
    }

    /// The value, unless something was found wrong.
    pub(super) fn finish<T>(mut self, value: Option<T>) -> Result<T, Findings> {
        self.findings.sort_by_key(|finding| (finding.line, finding.column));
        match value {
            Some(value) if self.findings.is_empty() => Ok(value),
            Some(_) | None => Err(Findings(self.findings)),
        }
    }

    /// Finds fault with every field that has no such name.
    pub(super) fn only(&mut self, table: &Table<'_>, names: &[&str]) {
        for field in table.fields.keys() {
            if names.contains(&field.get_ref().as_ref()) {
                continue;
            }
            let meant = match nearest(field.get_ref(), names.iter().copied()) {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => format!("known here: {}", names.join(", ")),
            };
            self.find(field.span(), format!("unknown key {:?}; {meant}", shown(field.get_ref())));
        }
    }

    /// A string that must be there.
    pub(super) fn text(&mut self, table: &Table<'_>, name: &str) -> Option<(String, Range<usize>)> {
        let value = self.field(table, name)?;
        self.string(value, name).map(|text| (text.to_owned(), value.span()))
    }

    /// A string that may be there.
    pub(super) fn text_if_there(&mut self, table: &Table<'_>, name: &str) -> Option<(String, Range<usize>)> {
        let value = table.fields.get(name)?;
        self.string(value, name).map(|text| (text.to_owned(), value.span()))
    }

    /// A string that must be there and is wiped after use.
    pub(super) fn secret(&mut self, table: &Table<'_>, name: &str) -> Option<(Zeroizing<String>, Range<usize>)> {
        let value = self.field(table, name)?;
        self.string(value, name).map(|text| (Zeroizing::new(text.to_owned()), value.span()))
    }

    /// A number that must be there and is not negative.
    pub(super) fn number(&mut self, table: &Table<'_>, name: &str) -> Option<(u32, Range<usize>)> {
        let value = self.field(table, name)?;
        let Some(digits) = value.get_ref().as_integer() else {
            self.mistyped(value, name, "a number");
            return None;
        };
        match u32::from_str_radix(digits.as_str(), digits.radix()) {
            Ok(number) => Some((number, value.span())),
            Err(_) => {
                self.find(value.span(), format!("{name} is negative or far too large"));
                None
            }
        }
    }

    /// A table that must be there.
    pub(super) fn table<'d>(&mut self, table: &Table<'d>, name: &str) -> Option<Table<'d>> {
        let value = self.field(table, name)?;
        self.inner(value, format!("[{name}]"))
    }

    /// A table that may be there.
    pub(super) fn table_if_there<'d>(&mut self, table: &Table<'d>, name: &str) -> Option<Table<'d>> {
        let value = table.fields.get(name)?;
        self.inner(value, format!("[{name}]"))
    }

    /// The tables inside a table that may be there, by their names.
    pub(super) fn tables<'d>(&mut self, table: &Table<'d>, name: &str) -> Vec<(String, Table<'d>)> {
        let mut tables = Vec::new();
        for (key, place, value) in self.entries(table, name) {
            if self.is_name(&key, place)
                && let Some(table) = self.inner(value, format!("[{name}.{key}]"))
            {
                tables.push((key, table));
            }
        }
        tables
    }

    /// The lists of strings inside a table that may be there, by their names and with their places.
    pub(super) fn lists(&mut self, table: &Table<'_>, name: &str) -> Vec<List> {
        let mut lists = Vec::new();
        for (key, place, value) in self.entries(table, name) {
            if !self.is_name(&key, place) {
                continue;
            }
            let Some(items) = value.get_ref().as_array() else {
                self.mistyped(value, &key, "a list of action names");
                continue;
            };
            let texts =
                items.iter().filter_map(|item| Some((self.string(item, "a step")?.to_owned(), item.span()))).collect();
            lists.push((key, texts, value.span()));
        }
        lists
    }

    /// Whether a text can be shown on a terminal and typed as one word.
    pub(super) fn is_name(&mut self, name: &str, place: Range<usize>) -> bool {
        let sound = !name.is_empty()
            && name.len() <= 64
            && !name.starts_with('-')
            && name.chars().all(|c| !c.is_control() && !c.is_whitespace());
        if !sound {
            self.find(place, "a name is 1 to 64 bytes without spaces, and starts with no hyphen".to_owned());
        }
        sound
    }

    fn field<'d>(&mut self, table: &Table<'d>, name: &str) -> Option<&'d Spanned<DeValue<'d>>> {
        let value = table.fields.get(name);
        if value.is_none() {
            let of = if table.name.is_empty() { String::new() } else { format!(" in {}", table.name) };
            self.find(table.place.clone(), format!("{name:?} is missing{of}"));
        }
        value
    }

    fn entries<'d>(&mut self, table: &Table<'d>, name: &str) -> Vec<Entry<'d>> {
        let Some(value) = table.fields.get(name) else {
            return Vec::new();
        };
        let Some(fields) = value.get_ref().as_table() else {
            self.mistyped(value, name, "a table");
            return Vec::new();
        };
        fields.iter().map(|(key, value)| (key.get_ref().to_string(), key.span(), value)).collect()
    }

    fn inner<'d>(&mut self, value: &'d Spanned<DeValue<'d>>, name: String) -> Option<Table<'d>> {
        match value.get_ref().as_table() {
            Some(fields) => Some(Table { fields, place: value.span(), name: shown(&name).into_owned() }),
            None => {
                self.mistyped(value, &name, "a table");
                None
            }
        }
    }

    fn string<'d>(&mut self, value: &'d Spanned<DeValue<'d>>, name: &str) -> Option<&'d str> {
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.mistyped(value, name, "a string, in quotes");
        }
        text
    }

    fn mistyped(&mut self, value: &Spanned<DeValue<'_>>, name: &str, wanted: &str) {
        self.find(value.span(), format!("{name} must be {wanted}"));
    }
}

impl<'d> Table<'d> {
    /// The document itself.
    pub(super) const fn root(fields: &'d DeTable<'d>) -> Self {
        Self { fields, place: 0..0, name: String::new() }
    }

    /// Whether it has a field of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// Where it begins.
    pub(super) fn place(&self) -> Range<usize> {
        self.place.clone()
    }
}

/// A name, its place and its value.
type Entry<'d> = (String, Range<usize>, &'d Spanned<DeValue<'d>>);

/// A list's name, its strings with their places, and its own place.
pub(super) type List = (String, Vec<(String, Range<usize>)>, Range<usize>);

/// A name without what a terminal would obey.
fn shown(name: &str) -> Cow<'_, str> {
    if name.chars().any(char::is_control) { Cow::Owned(name.escape_debug().to_string()) } else { Cow::Borrowed(name) }
}
