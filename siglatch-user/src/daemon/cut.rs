//! Has connections cut along with grants, and says what an operator should know about it. Never decides whose.

use tracing::error;

use crate::causes::with_causes;
use crate::edge::conntrack;
use crate::gate::{Cut, Lack, Whose};

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// How many there were; nothing if that failed.
    pub(super) cut: Option<usize>,
    /// What the operator should know about it.
    pub(super) note: Option<String>,
}

/// Cuts them. There may be many to go through: not on a thread that others wait for.
pub(super) fn carry_out(cut: &Cut) -> Done {
    match conntrack::cut(&cut.whose) {
        Ok(count) => Done { cut: Some(count), note: note(cut) },
        Err(error) => {
            let error = with_causes(&error);
            error!(error, "connections could not be cut");
            Done { cut: None, note: Some(format!("The connections could not be cut: {error}.")) }
        }
    }
}

/// Two notes in one.
pub(super) fn joined(one: Option<String>, other: Option<String>) -> Option<String> {
    let notes: Vec<_> = [one, other].into_iter().flatten().collect();
    (!notes.is_empty()).then(|| notes.join(" "))
}

fn note(cut: &Cut) -> Option<String> {
    let shared = match cut.shared {
        0 => None,
        1 => Some(
            "1 of these grants is another's as well, from the same address: whoever is there can come back by it."
                .to_owned(),
        ),
        count => Some(format!(
            "{count} of these grants are others' as well, from the same addresses: whoever is there can come back by them."
        )),
    };
    let lack = cut.lack.map(|lack| {
        let unknown = match lack {
            Lack::Started => "Grants that had ended before the daemon was started are not known",
            Lack::Room => "More grants have ended lately than are known",
        };
        format!(
            "{unknown}: a connection that came of one stands. siglatchctl revoke --all --cut cuts every connection."
        )
    });
    // Nobody's are left of everybody's.
    match cut.whose {
        Whose::Of(_) => joined(shared, lack),
        Whose::Everybody(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_left_is_said() {
        let cut = |shared, lack| note(&Cut { whose: Whose::Of([].into()), shared, lack }).unwrap_or_default();
        assert_eq!(cut(0, None), "");
        assert!(cut(1, None).starts_with("1 of these grants is another's as well"));
        assert!(cut(2, None).starts_with("2 of these grants are others'"));
        assert!(cut(0, Some(Lack::Started)).contains("before the daemon was started"));
        let both = cut(1, Some(Lack::Room));
        assert!(
            both.contains("come back by it. More grants have ended") && both.ends_with("every connection."),
            "{both}"
        );
    }
}
