//! Says an error together with its causes. Never says one twice that a message before it names already.

use std::error::Error;

/// The error and what caused it, on one line.
pub(crate) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Flaw {
        text: &'static str,
        source: Option<Box<Flaw>>,
    }

    #[test]
    fn every_cause_is_said_once() {
        let flaw = |text, source: Option<Flaw>| Flaw { text, source: source.map(Box::new) };
        let full = flaw("disk full", None);
        let chain = flaw("no store", Some(flaw("cannot write a: disk full. Use another", Some(full))));
        assert_eq!(with_causes(&chain), "no store: cannot write a: disk full. Use another");
    }
}
