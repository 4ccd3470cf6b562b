//! What is still to be undone, as an operator sees it. Never undoes it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Which debts to list.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DebtsQuery {
    /// At most so many; [`DebtPage::MAX`], if it is more, or if it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Only those with higher numbers: where the last page ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

/// Debts, as many as a reply takes.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct DebtPage {
    /// How many there are, `after` aside.
    pub total: usize,
    /// Whether there are more behind these.
    pub more: bool,
    /// The debts, by number.
    pub debts: Vec<DebtEntry>,
}

/// Something that is to be undone.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct DebtEntry {
    /// Its number, as the audit log has it.
    pub debt: u64,
    /// The program that does it.
    pub program: String,
    /// Whose knock has made it.
    pub user: String,
    /// What for.
    pub action: String,
    /// For which address.
    pub source: IpAddr,
    /// The number of that knock.
    pub knock: String,
    /// When it is undone, in Unix time.
    pub due: u64,
    /// Seconds until then; 0 if it is due.
    pub left: u64,
}

impl DebtPage {
    /// The most debts of one reply.
    pub const MAX: usize = 1000;

    /// The debts that a query asks for, of all that there are, in the order of their numbers.
    #[must_use]
    pub fn select(debts: impl IntoIterator<Item = DebtEntry>, query: &DebtsQuery) -> Self {
        let limit = query.limit.unwrap_or(Self::MAX).min(Self::MAX);
        let mut page = Self::default();
        for debt in debts {
            page.total += 1;
            if query.after.is_some_and(|after| debt.debt <= after) {
                continue;
            }
            match page.debts.len() < limit {
                true => page.debts.push(debt),
                false => page.more = true,
            }
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_one_another_until_there_is_no_more() {
        let text = |text: &str| text.to_owned();
        let debt = |debt| DebtEntry {
            debt,
            program: text("undo"),
            user: text("alice"),
            action: text("vpn"),
            source: [192, 0, 2, 7].into(),
            knock: text("c0ffee0000000007"),
            due: 1_900_000_000,
            left: 60,
        };
        let mut query = DebtsQuery { limit: Some(2), after: None };
        let first = DebtPage::select((1..=3).map(debt), &query);
        assert_eq!((first.total, first.more, first.debts.len()), (3, true, 2));
        query.after = first.debts.last().map(|debt| debt.debt);
        let second = DebtPage::select((1..=3).map(debt), &query);
        assert_eq!((second.total, second.more, second.debts), (3, false, vec![debt(3)]));
    }
}
