//! The words of a line: apart by spaces, unless in quotes. Never expands anything.

/// The words of a line; what is in single or double quotes is one word. A backslash takes the next character as it is.
///
/// # Errors
/// If a quote is not closed.
pub(super) fn words(line: &str) -> Result<Vec<String>, &'static str> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        match (quote, char) {
            (Some(open), char) if char == open => quote = None,
            (Some('"') | None, '\\') => word.get_or_insert_default().extend(chars.next()),
            (Some(_), char) => word.get_or_insert_default().push(char),
            (None, '"' | '\'') => {
                word.get_or_insert_default();
                quote = Some(char);
            }
            (None, char) if char.is_whitespace() => words.extend(word.take()),
            (None, char) => word.get_or_insert_default().push(char),
        }
    }
    words.extend(word);
    if quote.is_some() { Err("a quote is not closed") } else { Ok(words) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_apart_by_spaces_and_together_in_quotes() {
        for (line, expected) in [
            ("", &[][..]),
            ("  \t ", &[]),
            ("ban 192.0.2.7", &["ban", "192.0.2.7"]),
            ("a  'b c' \"d 'e'\"f ''", &["a", "b c", "d 'e'f", ""]),
            (r#"a\ b "c\"d" '\'"#, &["a b", "c\"d", "\\"]),
        ] {
            assert_eq!(words(line).unwrap(), expected, "{line}");
        }
        assert!(words("a 'b").is_err() && words("\"").is_err());
    }
}
