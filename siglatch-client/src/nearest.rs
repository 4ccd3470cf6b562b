//! What somebody probably meant. Never decides: the error that carries it does.

/// The one of `known` that `meant` is a slip of, if any is near enough.
pub(crate) fn nearest<'a>(meant: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&meant.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(slips, name)| *slips <= 1 + name.chars().count() / 4 && *slips < name.chars().count())
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_told_from_another_word() {
        let known = ["ssh", "web", "postgres"];
        assert_eq!(nearest("shs", known), Some("ssh"));
        assert_eq!(nearest("SSH", known), Some("ssh"));
        assert_eq!(nearest("postgers", known), Some("postgres"));
        assert_eq!(nearest("mail", known), None);
        assert_eq!(nearest("x", ["a"]), None);
        assert_eq!(nearest("ssh", []), None);
    }
}
