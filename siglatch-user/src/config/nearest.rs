//! What somebody probably meant. Never decides: the finding that carries it does.

/// The one of `known` that `meant` is a slip of, if any is near enough.
pub(super) fn nearest<'a>(meant: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let meant = meant.to_lowercase();
    known
        .into_iter()
        .map(|name| (slips(&meant, &name.to_lowercase()), name))
        .filter(|(slips, name)| *slips <= 1 + name.chars().count() / 4 && *slips < name.chars().count())
        .min()
        .map(|(_, name)| name)
}

/// Letters missing, added, wrong or swapped between the two (optimal string alignment). Texts of more than
/// [`LONGEST`] characters are never near.
fn slips(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().max(b.len()) > LONGEST {
        return usize::MAX;
    }
    let mut before = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let wrong = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = wrong.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

/// Twice the longest name; keeps the table small whatever a file holds.
const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_told_from_another_word() {
        let known = ["interfaces", "ssh", "max_ttl"];
        for (meant, found) in [
            ("interface", Some("interfaces")),
            ("shs", Some("ssh")),
            ("SSH", Some("ssh")),
            ("maxttl", Some("max_ttl")),
            ("mail", None),
            ("", None),
            (&"interfaces".repeat(100), None),
        ] {
            assert_eq!(nearest(meant, known), found, "{meant}");
        }
        assert_eq!(nearest("ssh", []), None);
    }

    #[test]
    fn slips_are_counted() {
        for (a, b, count) in [("", "", 0), ("ab", "ba", 1), ("abc", "axc", 1), ("abc", "abcd", 1), ("abc", "", 3)] {
            assert_eq!(slips(a, b), count, "{a} {b}");
            assert_eq!(slips(b, a), count, "{b} {a}");
        }
    }
}
