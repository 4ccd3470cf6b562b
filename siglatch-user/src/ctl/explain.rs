//! `siglatchctl explain`: what a kind of finding means, and what is wrong and right. Never reads a configuration.

use clap::Args;
use serde_json::{Value, json};

use super::load::Failure;
use super::show::{Side, Table, print};
use crate::config::{Code, Explanation};

/// Say what a finding of `siglatchctl check` means, with an example of wrong and right.
///
/// Without a code, all of them, one a line.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  siglatchctl explain\n  siglatchctl explain host-scope")]
pub(super) struct Explain {
    /// What stands in brackets behind "error" or "warning"
    code: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Some(label) = self.code else {
            let all: Vec<_> = Code::ALL.iter().map(|code| code.explanation()).collect();
            return match self.json {
                true => print(&format!("{}\n", Value::from_iter(all.into_iter().map(as_json)))),
                false => print(&list(&all)),
            };
        };
        let label = label.trim_matches(['[', ']']).to_lowercase();
        let Some(code) = Code::named(&label) else {
            let hint = match Code::nearest(&label) {
                Some(near) => format!("did you mean {near}?"),
                None => "siglatchctl explain lists all codes".to_owned(),
            };
            return Err(Failure::Failed(anyhow::anyhow!("there is no finding \"{}\": {hint}", label.escape_debug())));
        };
        match self.json {
            true => print(&format!("{}\n", as_json(code.explanation()))),
            false => print(&text(code.explanation())),
        }
    }
}

fn list(all: &[&Explanation]) -> String {
    let mut table = Table::new([("CODE", Side::Left), ("SEVERITY", Side::Left), ("MEANING", Side::Left)]);
    for explanation in all {
        let Explanation { code, .. } = explanation;
        table.push([code.label().to_owned(), code.severity().label().to_owned(), explanation.in_short().to_owned()]);
    }
    table.text()
}

fn text(explanation: &Explanation) -> String {
    let Explanation { code, meaning, wrong, right } = explanation;
    let indented = |example: &str| example.lines().map(|line| format!("    {line}\n")).collect::<String>();
    format!(
        "{}[{}]\n\n{}\nWrong:\n\n{}\nRight:\n\n{}",
        code.severity().label(),
        code.label(),
        wrapped(meaning),
        indented(wrong),
        indented(right)
    )
}

fn as_json(explanation: &Explanation) -> Value {
    let Explanation { code, meaning, wrong, right } = explanation;
    json!({
        "code": code.label(),
        "severity": code.severity().label(),
        "meaning": meaning,
        "wrong": wrong,
        "right": right,
    })
}

/// The words in lines that a terminal shows without a break.
fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut width = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        match width {
            0 => {}
            _ if width + 1 + length > WIDTH => {
                lines.push('\n');
                width = 0;
            }
            _ => {
                lines.push(' ');
                width += 1;
            }
        }
        lines.push_str(word);
        width += length;
    }
    lines.push('\n');
    lines
}

/// Columns.
const WIDTH: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_fits_a_terminal_and_shows_both_examples() {
        for code in Code::ALL {
            let text = text(code.explanation());
            let meaning = text.split("\nWrong:").next().unwrap();
            assert!(meaning.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
            assert!(text.contains("\nWrong:\n\n    ") && text.contains("\nRight:\n\n    "), "{text}");
        }
        assert!(text(Code::NoRate.explanation()).starts_with("warning[no-rate]\n\nThere is no limit on"));
    }

    #[test]
    fn the_list_has_a_line_for_each_code() {
        let all: Vec<_> = Code::ALL.iter().map(|code| code.explanation()).collect();
        let list = list(&all);
        assert_eq!(list.lines().count(), 1 + Code::ALL.len());
        assert!(
            list.contains("\nno-rate               warning   There is no limit on what one source may send\n"),
            "{list}"
        );
    }
}
