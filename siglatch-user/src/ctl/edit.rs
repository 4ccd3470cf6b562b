//! Changes to the configuration's text that keep its comments and its order. Never writes it, and never judges it.

use thiserror::Error;
use toml_edit::{Array, Datetime, DocumentMut, Item, Table, value};

/// A user to be written into the configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewUser<'a> {
    pub(super) name: &'a str,
    pub(super) id: u16,
    /// Path of the key file, as it will stand in the text.
    pub(super) key: &'a str,
    /// Names of actions that the user may ask for; those for everyone need not be named.
    pub(super) actions: &'a [String],
    /// Names of groups that the user is in.
    pub(super) groups: &'a [String],
    /// How many knocks have an effect.
    pub(super) uses: Option<u32>,
    /// When the user's time is over.
    pub(super) until: Option<Datetime>,
}

/// Why a change cannot be made.
#[derive(Debug, Error)]
pub(super) enum Obstacle {
    /// The text is no TOML.
    #[error(transparent)]
    Syntax(#[from] toml_edit::TomlError),
    /// There is such a user.
    #[error("there is a user {0} already; siglatchctl user enrol {0} --out FILE writes the enrolment file again")]
    UserExists(String),
    /// There is no such action.
    #[error("there is no action {name}; there are: {known}")]
    NoAction {
        /// The name asked for.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// There is no such gate key.
    #[error("there is no gate key {number}; there are: {known}")]
    NoGateKey {
        /// The number asked for.
        number: u8,
        /// Those that there are.
        known: String,
    },
    /// Somebody wrote something unusual there.
    #[error("`{0}` is written in an unusual form, so it cannot be changed here: edit the file by hand")]
    Form(&'static str),
}

/// The text with a user added: a table behind the other users', and the name in the `users` of the actions.
pub(super) fn add_user(text: &str, user: NewUser<'_>) -> Result<String, Obstacle> {
    let mut document: DocumentMut = text.parse()?;
    for action in user.actions {
        allow(&mut document, action, user.name)?;
    }
    let mut table = Table::new();
    table.insert("id", value(i64::from(user.id)));
    table.insert("key", value(user.key));
    if !user.groups.is_empty() {
        table.insert("groups", value(Array::from_iter(user.groups)));
    }
    if let Some(uses) = user.uses {
        table.insert("uses", value(i64::from(uses)));
    }
    if let Some(until) = user.until {
        table.insert("not_after", value(until));
    }
    // Behind the other users; the first one at the end of the file, where comments stay before it.
    let mut before = String::from("\n");
    if !document.contains_key("user") {
        let comments = document.trailing().as_str().unwrap_or_default().trim_end().to_owned();
        document.set_trailing("");
        before.insert_str(0, &if comments.is_empty() { comments } else { comments + "\n" });
    }
    table.decor_mut().set_prefix(before);
    let mut users = Table::new();
    users.set_implicit(true);
    let users = document.entry("user").or_insert(Item::Table(users));
    let users = users.as_table_mut().ok_or(Obstacle::Form("user"))?;
    if users.contains_key(user.name) {
        return Err(Obstacle::UserExists(user.name.to_owned()));
    }
    users.insert(user.name, Item::Table(table));
    Ok(document.to_string())
}

fn allow(document: &mut DocumentMut, action: &str, user: &str) -> Result<(), Obstacle> {
    let actions = document.get_mut("action").and_then(Item::as_table_like_mut);
    let Some(actions) = actions else {
        return Err(Obstacle::NoAction { name: action.to_owned(), known: "none".to_owned() });
    };
    let known = actions.iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>().join(", ");
    let Some(table) = actions.get_mut(action).and_then(Item::as_table_like_mut) else {
        return Err(Obstacle::NoAction { name: action.to_owned(), known });
    };
    match table.get_mut("users") {
        Some(users) if users.as_str() == Some("all") => {}
        Some(users) => push(users.as_array_mut().ok_or(Obstacle::Form("users"))?, user),
        None => {
            table.insert("users", value(Array::from_iter([user])));
        }
    }
    Ok(())
}

/// Adds a name to a list, in the list's own manner: on its own line if the last one has one.
fn push(users: &mut Array, user: &str) {
    if users.iter().any(|name| name.as_str() == Some(user)) {
        return;
    }
    let prefix = users.iter().last().and_then(|last| last.decor().prefix()?.as_str()).map(str::to_owned);
    let mut name = toml_edit::Value::from(user);
    if let Some(prefix) = prefix.filter(|prefix| prefix.contains('\n') && !prefix.contains('#')) {
        name.decor_mut().set_prefix(prefix);
        users.push_formatted(name);
    } else {
        users.push(user);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# before
[user.alice] # the first
id = 1
key = \"keys/alice.key\"

[action.ssh]
users = \"all\" # everyone
[action.db]
users = [\"alice\"] # few
[action.web]
users = [
  \"alice\",
]
# at the end
";

    fn add(text: &str, name: &str, actions: &[&str]) -> Result<String, Obstacle> {
        let actions: Vec<String> = actions.iter().map(|action| (*action).to_owned()).collect();
        let user =
            NewUser { name, id: 7, key: "keys/new.key", actions: &actions, groups: &[], uses: None, until: None };
        add_user(text, user)
    }

    #[test]
    fn what_bounds_a_user_stands_in_the_users_table() {
        let user = NewUser {
            name: "bob",
            id: 7,
            key: "keys/new.key",
            actions: &[],
            groups: &["ops".to_owned(), "web".to_owned()],
            uses: Some(1),
            until: Some("2030-01-01T00:00:00Z".parse().unwrap()),
        };
        let expected = "\n[user.bob]\nid = 7\nkey = \"keys/new.key\"\ngroups = [\"ops\", \"web\"]\nuses = 1\n\
                        not_after = 2030-01-01T00:00:00Z\n";
        assert_eq!(add_user("", user).unwrap(), expected);
    }

    #[test]
    fn everything_else_stays_as_it_was() {
        let expected = "\
# before
[user.alice] # the first
id = 1
key = \"keys/alice.key\"

[user.bob]
id = 7
key = \"keys/new.key\"

[action.ssh]
users = \"all\" # everyone
[action.db]
users = [\"alice\", \"bob\"] # few
[action.web]
users = [
  \"alice\",
  \"bob\",
]
# at the end
";
        assert_eq!(add(TEXT, "bob", &["ssh", "db", "web"]).unwrap(), expected);
    }

    #[test]
    fn the_first_user_comes_behind_the_comments_at_the_end() {
        let text = "[action.ssh]\nusers = \"all\"\n\n# Who may knock:\n";
        let expected = format!("{text}\n[user.bob]\nid = 7\nkey = \"keys/new.key\"\n");
        assert_eq!(add(text, "bob", &[]).unwrap(), expected);
    }

    #[test]
    fn odd_names_are_quoted() {
        assert_eq!(add("", "a.b", &[]).unwrap(), "\n[user.\"a.b\"]\nid = 7\nkey = \"keys/new.key\"\n");
    }

    #[test]
    fn obstacles_are_named() {
        assert!(matches!(add(TEXT, "alice", &[]), Err(Obstacle::UserExists(_))));
        assert_eq!(
            add(TEXT, "bob", &["shs"]).unwrap_err().to_string(),
            "there is no action shs; there are: ssh, db, web"
        );
        assert!(matches!(add("user = { a = 1 }", "bob", &[]), Err(Obstacle::Form("user"))));
        assert!(matches!(add("[", "bob", &[]), Err(Obstacle::Syntax(_))));
    }
}
