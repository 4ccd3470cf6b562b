//! One table of the configuration: gives each key's value in the type asked for, or reports why it cannot.
//! Never knows what a value is for.

use std::collections::HashSet;
use std::fmt::Display;
use std::hash::Hash;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::{DeTable, DeValue};
use toml::value::Datetime;

use super::finding::{Code, Findings, Span};
use super::nearest::nearest;
use super::schema::{Form, Key};
use super::value::{self, Flaw};

/// A value and the text it came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) span: Span,
}

/// A table whose keys are all known, and whose required keys are all there, or reported.
#[derive(Debug)]
pub(super) struct Section<'t> {
    form: &'static Form,
    title: String,
    header: Option<Span>,
    entries: Option<&'t DeTable<'t>>,
}

impl<'t> Section<'t> {
    /// The whole file.
    pub(super) fn root(form: &'static Form, entries: &'t DeTable<'t>, findings: &mut Findings) -> Self {
        let section = Self { form, title: form.title.to_owned(), header: None, entries: Some(entries) };
        section.check_keys(findings);
        section
    }

    /// The table under `key`. Without it, as if it were there and empty.
    pub(super) fn table(&self, key: &str, form: &'static Form, findings: &mut Findings) -> Section<'t> {
        let mut section = Section { form, title: form.title.to_owned(), header: None, entries: None };
        if let Some((name, entry)) = self.find(key) {
            section.header = Some(name.span);
            match entry.value {
                DeValue::Table(entries) => section.entries = Some(entries),
                other => {
                    self.wrong_type::<()>(key, entry.with(other), "a table", findings);
                    return section;
                }
            }
        }
        section.check_keys(findings);
        section
    }

    /// The tables under `key`, each with its name: `[user.alice]`, `[user.bob]`.
    pub(super) fn named(
        &self,
        key: &str,
        form: &'static Form,
        findings: &mut Findings,
    ) -> Vec<(Located<&'t str>, Section<'t>)> {
        let Some((_, entry)) = self.find(key) else { return Vec::new() };
        let DeValue::Table(entries) = entry.value else {
            self.wrong_type::<()>(key, entry, "a table", findings);
            return Vec::new();
        };
        let mut named = Vec::new();
        for (name, entry) in entries {
            let name = Located { value: name.get_ref().as_ref(), span: name.span().into() };
            let title = format!("[{key}.{}]", name.value.escape_debug());
            let DeValue::Table(entries) = entry.get_ref() else {
                let message = format!("`{}` must be a table, not {}", name.value.escape_debug(), noun(entry.get_ref()));
                findings.report(Code::WrongType, name.span, message, format!("begin a table with {title}"));
                continue;
            };
            if let Err(flaw) = value::name(name.value) {
                findings.report(flaw.code, name.span, flaw.message, flaw.help);
            }
            let section = Section { form, title, header: Some(name.span), entries: Some(entries) };
            section.check_keys(findings);
            named.push((name, section));
        }
        named.sort_by_key(|(name, _)| name.span);
        named
    }

    /// The tables of the list under `key`: `[[port]]`, `[[port]]`; nothing if it is no list.
    pub(super) fn listed(&self, key: &str, form: &'static Form, findings: &mut Findings) -> Option<Vec<Section<'t>>> {
        let Some((name, entry)) = self.find(key) else { return Some(Vec::new()) };
        let DeValue::Array(items) = entry.value else {
            let message = format!("`{key}` must be a list of tables, not {}", noun(entry.value));
            findings.report(Code::WrongType, name.span, message, format!("begin each table with {}", form.title));
            return None;
        };
        let mut listed = Vec::new();
        for item in items {
            let span = item.span().into();
            let DeValue::Table(entries) = item.get_ref() else {
                let message = format!("`{key}` must be a list of tables; this is {}", noun(item.get_ref()));
                findings.report(Code::WrongType, span, message, format!("begin each table with {}", form.title));
                continue;
            };
            let section = Section { form, title: form.title.to_owned(), header: Some(span), entries: Some(entries) };
            section.check_keys(findings);
            listed.push(section);
        }
        Some(listed)
    }

    /// The header's place; nothing if the table is not there.
    pub(super) const fn header(&self) -> Option<Span> {
        self.header
    }

    /// The header, as an operator writes it.
    pub(super) fn title(&self) -> &str {
        &self.title
    }

    /// Where a key stands, if it does.
    pub(super) fn place(&self, key: &str) -> Option<Span> {
        self.find(key).map(|(name, _)| name.span)
    }

    /// Whether the list under `key` is empty or not there; not if it is no list.
    pub(super) fn is_empty_list(&self, key: &str) -> bool {
        self.find(key).is_none_or(|(_, entry)| matches!(entry.value, DeValue::Array(items) if items.is_empty()))
    }

    /// Where a key's value stands; the header, or the file's start, without it.
    pub(super) fn value_place(&self, key: &str) -> Span {
        let place = self.find(key).map(|(_, value)| value.span).or(self.header);
        place.unwrap_or(Span { start: 0, end: 0 })
    }

    /// A text.
    pub(super) fn text(&self, key: &str, findings: &mut Findings) -> Option<Located<&'t str>> {
        let (_, entry) = self.find(key)?;
        match entry.value {
            DeValue::String(text) => Some(entry.with(text.as_ref())),
            _ => self.wrong_type(key, entry, "a text", findings),
        }
    }

    /// A text that `parse` takes.
    pub(super) fn parsed<T>(
        &self,
        key: &str,
        parse: impl FnOnce(&'t str) -> Result<T, Flaw>,
        findings: &mut Findings,
    ) -> Option<Located<T>> {
        let text = self.text(key, findings)?;
        text.parsed(parse, findings)
    }

    /// One of some words.
    pub(super) fn choice<T: Copy>(&self, key: &str, words: &[(&str, T)], findings: &mut Findings) -> Option<T> {
        let text = self.text(key, findings)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text.value) {
            return Some(*value);
        }
        let known: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let help = match nearest(text.value, words.iter().map(|(word, _)| *word)) {
            Some(near) => format!("did you mean {key} = \"{near}\"? It may be {}", known.join(" or ")),
            None => format!("write {key} = {}", known.join(" or ")),
        };
        let message = format!("`{key}` cannot be \"{}\"", text.value.escape_debug());
        findings.report(Code::UnknownChoice, text.span, message, help);
        None
    }

    /// A whole number.
    pub(super) fn number<N: TryFrom<i64>>(
        &self,
        key: &str,
        range: RangeInclusive<i64>,
        findings: &mut Findings,
    ) -> Option<Located<N>> {
        let (_, entry) = self.find(key)?;
        let DeValue::Integer(digits) = entry.value else {
            return self.wrong_type(key, entry, "a number", findings);
        };
        let number = i64::from_str_radix(digits.as_str(), digits.radix()).ok().filter(|number| range.contains(number));
        match number.and_then(|number| N::try_from(number).ok()) {
            Some(number) => Some(entry.with(number)),
            None => {
                let message = format!("`{key}` must be {} to {}", range.start(), range.end());
                findings.report(Code::OutOfRange, entry.span, message, self.example(key));
                None
            }
        }
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, key: &str, findings: &mut Findings) -> Option<bool> {
        let (_, entry) = self.find(key)?;
        match entry.value {
            DeValue::Boolean(flag) => Some(*flag),
            _ => self.wrong_type(key, entry, "true or false", findings),
        }
    }

    /// A date and time.
    pub(super) fn moment(&self, key: &str, findings: &mut Findings) -> Option<Located<&'t Datetime>> {
        let (_, entry) = self.find(key)?;
        match entry.value {
            DeValue::Datetime(moment) => Some(entry.with(moment)),
            _ => self.wrong_type(key, entry, "a date and time, without quotes", findings),
        }
    }

    /// A length of time within bounds.
    pub(super) fn duration(
        &self,
        key: &str,
        range: RangeInclusive<Duration>,
        findings: &mut Findings,
    ) -> Option<Located<Duration>> {
        let (_, entry) = self.find(key)?;
        if let DeValue::Integer(digits) = entry.value {
            let message = format!("`{key}` must be a text with a unit, not a bare number");
            let help = format!("write {key} = \"{}s\" if you mean seconds", digits.as_str());
            findings.report(Code::WrongType, entry.span, message, help);
            return None;
        }
        let duration = self.parsed(key, value::duration, findings)?;
        if !range.contains(&duration.value) {
            let (least, most) = (value::duration_text(*range.start()), value::duration_text(*range.end()));
            let message = format!("`{key}` must be {least} to {most}");
            findings.report(Code::OutOfRange, duration.span, message, self.example(key));
            return None;
        }
        Some(duration)
    }

    /// A number of bytes within bounds.
    pub(super) fn size(&self, key: &str, range: RangeInclusive<u64>, findings: &mut Findings) -> Option<Located<u64>> {
        let (_, entry) = self.find(key)?;
        if let DeValue::Integer(_) = entry.value {
            let message = format!("`{key}` must be a text with a unit, not a bare number");
            findings.report(Code::WrongType, entry.span, message, self.example(key));
            return None;
        }
        let size = self.parsed(key, value::size, findings)?;
        if !range.contains(&size.value) {
            let (least, most) = (value::size_text(*range.start()), value::size_text(*range.end()));
            let message = format!("`{key}` must be {least} to {most}");
            findings.report(Code::OutOfRange, size.span, message, self.example(key));
            return None;
        }
        Some(size)
    }

    /// A list of texts.
    pub(super) fn texts(&self, key: &str, findings: &mut Findings) -> Option<Vec<Located<&'t str>>> {
        let (_, entry) = self.find(key)?;
        match entry.value {
            DeValue::Array(items) => {
                let mut texts = Vec::with_capacity(items.len());
                for item in items {
                    let span = item.span().into();
                    if let DeValue::String(text) = item.get_ref() {
                        texts.push(Located { value: text.as_ref(), span });
                    } else {
                        let message = format!("`{key}` is a list of texts; this is {}", noun(item.get_ref()));
                        findings.report(Code::WrongType, span, message, self.example(key));
                    }
                }
                Some(texts)
            }
            DeValue::String(text) => {
                let message = format!("`{key}` must be a list, not a single text");
                let help = format!("write {key} = [\"{}\"]", text.escape_debug());
                findings.report(Code::WrongType, entry.span, message, help);
                None
            }
            _ => self.wrong_type(key, entry, "a list of texts", findings),
        }
    }

    /// A list of texts that `parse` takes; without those that stand there twice.
    pub(super) fn parsed_list<T: Copy + Display + Eq + Hash>(
        &self,
        key: &str,
        parse: impl Fn(&'t str) -> Result<T, Flaw>,
        findings: &mut Findings,
    ) -> Option<Vec<Located<T>>> {
        let texts = self.texts(key, findings)?;
        let parsed = texts.into_iter().filter_map(|text| text.parsed(&parse, findings)).collect();
        Some(distinct(parsed, findings))
    }

    /// Reports keys that mean nothing here, and why.
    pub(super) fn refuse(&self, keys: &[&str], because: &str, findings: &mut Findings) {
        for key in keys {
            if let Some(span) = self.place(key) {
                let message = format!("`{key}` means nothing in {}: {because}", self.title);
                findings.report(Code::MisplacedKey, span, message, format!("take `{key}` out"));
            }
        }
    }

    /// Reports that a key is missing which the schema does not demand everywhere.
    pub(super) fn demand(&self, key: &str, because: &str, findings: &mut Findings) {
        if self.find(key).is_none() {
            let message = format!("`{key}` is missing in {}: {because}", self.title);
            findings.report(Code::MissingKey, self.header, message, self.example(key));
        }
    }

    /// Help that shows a key with a value.
    pub(super) fn example(&self, key: &str) -> String {
        match self.form.key(key) {
            Some(Key { example, .. }) => format!("write, for example: {key} = {example}"),
            None => String::new(),
        }
    }

    fn find(&self, key: &str) -> Option<(Located<&'t str>, Located<&'t DeValue<'t>>)> {
        debug_assert!(self.form.key(key).is_some(), "{key} is not in the schema");
        let (name, value) = self.entries?.get_key_value(key)?;
        Some((
            Located { value: name.get_ref().as_ref(), span: name.span().into() },
            Located { value: value.get_ref(), span: value.span().into() },
        ))
    }

    fn check_keys(&self, findings: &mut Findings) {
        for (name, _) in self.entries.into_iter().flatten() {
            let (text, span) = (name.get_ref().as_ref(), Span::from(name.span()));
            if self.form.key(text).is_some() {
                continue;
            }
            let known = self.form.keys.iter().map(|key| key.name);
            let help = match nearest(text, known.clone()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here are: {}", known.collect::<Vec<_>>().join(", ")),
            };
            let message = format!("{} has no key `{}`", self.title, text.escape_debug());
            findings.report(Code::UnknownKey, span, message, help);
        }
        for key in self.form.keys.iter().filter(|key| key.required) {
            if self.find(key.name).is_some() {
                continue;
            }
            let message = format!("`{}` is missing in {}", key.name, self.title);
            let help = match self.entries {
                Some(_) => self.example(key.name),
                None => format!("write {} and below it, for example: {} = {}", self.title, key.name, key.example),
            };
            findings.report(Code::MissingKey, self.header, message, help);
        }
    }

    fn wrong_type<T>(
        &self,
        key: &str,
        found: Located<&DeValue<'_>>,
        expected: &str,
        findings: &mut Findings,
    ) -> Option<T> {
        let message = format!("`{key}` must be {expected}, not {}", noun(found.value));
        findings.report(Code::WrongType, found.span, message, self.example(key));
        None
    }
}

impl<T> Located<T> {
    /// Another value from the same text.
    pub(super) fn with<U>(&self, value: U) -> Located<U> {
        Located { value, span: self.span }
    }
}

impl<'t> Located<&'t str> {
    /// What `parse` makes of the text; a flaw is reported.
    pub(super) fn parsed<T>(
        self,
        parse: impl FnOnce(&'t str) -> Result<T, Flaw>,
        findings: &mut Findings,
    ) -> Option<Located<T>> {
        match parse(self.value) {
            Ok(value) => Some(self.with(value)),
            Err(flaw) => {
                findings.report(flaw.code, self.span, flaw.message, flaw.help);
                None
            }
        }
    }
}

/// The list without repetitions, which are reported.
pub(super) fn distinct<T: Copy + Display + Eq + Hash>(
    list: Vec<Located<T>>,
    findings: &mut Findings,
) -> Vec<Located<T>> {
    let mut seen = HashSet::new();
    list.into_iter()
        .filter(|item| {
            let first = seen.insert(item.value);
            if !first {
                let message = format!("{} stands in this list twice", item.value);
                findings.report(Code::DuplicateEntry, item.span, message, "take one of them out");
            }
            first
        })
        .collect()
}

/// What an operator calls a value's type.
const fn noun(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
