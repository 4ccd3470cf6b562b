//! Shows findings to an operator: the place with a caret under it, or one line for each. Never judges.

use std::fmt::Write as _;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde_json::{Value, json};

use super::finding::{Finding, Severity, Span};

/// The findings about one text.
#[derive(Clone, Debug)]
pub struct Report {
    file: String,
    text: String,
    findings: Vec<Finding>,
}

/// How a report looks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Style {
    /// Without escape sequences.
    Plain,
    /// For a terminal.
    Coloured,
}

impl Report {
    /// Puts findings and the text that they are about together. `file` is what the operator calls it.
    #[must_use]
    pub fn new(file: impl Into<String>, text: impl Into<String>, findings: Vec<Finding>) -> Self {
        Self { file: file.into(), text: text.into(), findings }
    }

    /// The report with more findings.
    #[must_use]
    pub fn with(mut self, more: Vec<Finding>) -> Self {
        self.findings.extend(more);
        self.findings.sort_by_key(|finding| (finding.span, finding.code));
        self
    }

    /// The report with only those findings.
    #[must_use]
    pub fn retain(&self, keep: impl FnMut(&&Finding) -> bool) -> Self {
        let findings = self.findings.iter().filter(keep).cloned().collect();
        Self { findings, ..self.clone() }
    }

    /// What the findings are about.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The findings, in the order of the text.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Line and column of the start of each of these places in the text, counted from 1; columns count characters.
    pub fn positions(&self, spans: impl IntoIterator<Item = Option<Span>>) -> Vec<Option<(usize, usize)>> {
        let places = Places::of(&self.text);
        spans.into_iter().map(|span| span.map(|span| places.position(span.start))).collect()
    }

    /// How many of them keep the daemon from starting.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.findings.iter().filter(|finding| finding.severity() == Severity::Error).count()
    }

    /// Each finding with its line, a caret under the offending text, and what to write there.
    #[must_use]
    pub fn render(&self, style: Style) -> String {
        let renderer = match style {
            Style::Plain => Renderer::plain(),
            Style::Coloured => Renderer::styled(),
        };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let mut shown = String::new();
        let places = Places::of(&self.text);
        for finding in self.findings.iter().take(SHOWN_MAX) {
            shown.push_str(&renderer.render(&[self.group(finding, &places)]));
            shown.push_str("\n\n");
        }
        if let Some(more) = self.findings.len().checked_sub(SHOWN_MAX + 1) {
            let _ = writeln!(shown, "… and {} more like these\n", more + 1);
        }
        shown
    }

    /// Each finding on a line: `FILE:LINE:COLUMN: SEVERITY[CODE]: MESSAGE; HELP`. Lines and columns count from 1.
    #[must_use]
    pub fn lines(&self) -> String {
        let mut lines = String::new();
        let places = Places::of(&self.text);
        for finding in &self.findings {
            let (line, column) = finding.span.map_or((1, 1), |span| places.position(span.start));
            let (severity, code) = (finding.severity().label(), finding.code.label());
            let Finding { message, help, .. } = finding;
            let _ = writeln!(lines, "{}:{line}:{column}: {severity}[{code}]: {message}; {help}", self.file);
        }
        lines
    }

    /// One JSON document, which stays as it is: keys are added, but none is changed or taken out. See `docs/operating.md`.
    #[must_use]
    pub fn json(&self) -> Value {
        let places = Places::of(&self.text);
        let place = |span: Option<Span>| {
            let (start, end) = span.map(|span| (places.position(span.start), places.position(span.end))).unzip();
            let ((line, column), (end_line, end_column)) = (start.unzip(), end.unzip());
            (line, column, end_line, end_column)
        };
        let findings = self.findings.iter().map(|finding| {
            let Finding { code, span, message, help, note } = finding;
            let (line, column, end_line, end_column) = place(*span);
            json!({
                "code": code.label(),
                "severity": finding.severity().label(),
                "message": message,
                "help": help,
                "line": line,
                "column": column,
                "end_line": end_line,
                "end_column": end_column,
                "note": note.as_ref().map(|note| {
                    let (line, column, end_line, end_column) = place(Some(note.span));
                    let label = &note.label;
                    json!({ "label": label, "line": line, "column": column, "end_line": end_line, "end_column": end_column })
                }),
            })
        });
        let errors = self.errors();
        json!({
            "version": 1,
            "file": self.file,
            "sound": errors == 0,
            "errors": errors,
            "warnings": self.findings.len() - errors,
            "findings": findings.collect::<Vec<_>>(),
        })
    }

    /// One line on what was found: `2 errors, 1 warning`.
    #[must_use]
    pub fn summary(&self) -> String {
        let errors = self.errors();
        let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
        match (errors, self.findings.len() - errors) {
            (errors, 0) => count(errors, "error"),
            (0, warnings) => count(warnings, "warning"),
            (errors, warnings) => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
        }
    }

    fn group<'a>(&'a self, finding: &'a Finding, places: &Places<'_>) -> Group<'a> {
        let level = match finding.severity() {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let group = level.primary_title(&finding.message).id(finding.code.label());
        let group = match finding.span {
            None => group.element(Origin::path(&self.file)),
            Some(span) => group.element(self.snippet(finding, span, places)),
        };
        group.element(Level::HELP.message(&finding.help))
    }

    /// The lines from the first place to the last: a long file is not searched from its start for every finding.
    fn snippet<'a>(
        &'a self,
        finding: &'a Finding,
        span: Span,
        lines: &Places<'_>,
    ) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
        let places = || std::iter::once(span).chain(finding.note.as_ref().map(|note| note.span));
        let from = places().map(|place| place.start).min().unwrap_or(0).min(self.text.len());
        let to = places().map(|place| place.end).max().unwrap_or(0).clamp(from, self.text.len());
        let start = self.text.as_bytes()[..from].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let end =
            self.text.as_bytes()[to..].iter().position(|byte| *byte == b'\n').map_or(self.text.len(), |at| to + at);
        let within = |place: Span| {
            let first = place.start.clamp(start, end);
            first - start..place.end.clamp(first, end) - start
        };
        let snippet = Snippet::source(&self.text[start..end])
            .path(&self.file)
            .line_start(lines.position(start).0)
            .annotation(AnnotationKind::Primary.span(within(span)));
        match &finding.note {
            Some(note) => snippet.annotation(AnnotationKind::Context.span(within(note.span)).label(&note.label)),
            None => snippet,
        }
    }
}

/// Where the lines of a text begin.
struct Places<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Places<'t> {
    fn of(text: &'t str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(ends).collect() }
    }

    /// Line and column of a byte, counted from 1; columns count characters.
    fn position(&self, at: usize) -> (usize, usize) {
        let at = at.min(self.text.len());
        let line = self.starts.partition_point(|start| *start <= at);
        let start = line.checked_sub(1).and_then(|before| self.starts.get(before)).copied().unwrap_or(0);
        // A character's first byte is the one that continues no other (RFC 3629, section 3).
        let column = self.text.as_bytes()[start..at].iter().filter(|byte| **byte & 0xc0 != 0x80).count() + 1;
        (line, column)
    }
}

/// Nobody reads more at once.
const SHOWN_MAX: usize = 100;
