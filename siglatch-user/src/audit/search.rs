//! Which records an operator asks for. Never opens a file.

use siglatch_common::address::Network;

use super::Record;

/// What a record must be to be shown; what is not said, may be anything.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Query {
    /// Of this user: a name or a number.
    pub user: Option<String>,
    /// For this action: a name or a number.
    pub action: Option<String>,
    /// About an address or a network inside of this one; or about a network around it.
    pub source: Option<Network>,
    /// One of these events; a name also stands for those that begin with it and an underscore.
    pub events: Vec<String>,
    /// Of this knock.
    pub knock: Option<String>,
    /// With this reason, decision, result or state.
    pub reason: Option<String>,
    /// Not before: microseconds since the Unix epoch.
    pub since: Option<i64>,
    /// Before.
    pub until: Option<i64>,
}

impl Query {
    /// Whether the record is asked for.
    #[must_use]
    pub fn asks_for(&self, record: &Record) -> bool {
        let is = |name: &str, wanted: &String| record.text(name) == Some(wanted);
        let is_numbered =
            |name: &str, wanted: &String| wanted.parse().is_ok_and(|number: u64| record.number(name) == Some(number));
        let near = |net: &Network| {
            let source = record.source();
            source.is_some_and(|source| net.contains(source.address()) || source.contains(net.address()))
        };
        let is_event = |wanted: &String| {
            let event = record.text("event").unwrap_or_default();
            let rest = event.strip_prefix(wanted.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        };
        let is_reason = |wanted: &String| REASONS.iter().any(|name| is(name, wanted));
        self.user.as_ref().is_none_or(|user| is("user", user) || is_numbered("user_id", user))
            && self.action.as_ref().is_none_or(|action| is("action", action) || is_numbered("action_id", action))
            && self.knock.as_ref().is_none_or(|knock| is("knock", knock))
            && self.reason.as_ref().is_none_or(is_reason)
            && (self.events.is_empty() || self.events.iter().any(is_event))
            && self.source.as_ref().is_none_or(near)
            && (self.since.is_none() && self.until.is_none() || self.is_in_time(record))
    }

    /// Whether a line can be one that is asked for: what is asked for must stand in it. Costs less than to read it.
    #[must_use]
    pub fn may_ask_for(&self, line: &[u8]) -> bool {
        // A number is no text of the record's.
        let names = [&self.user, &self.action].into_iter().flatten().filter(|name| name.parse::<u64>().is_err());
        let texts = [&self.knock, &self.reason].into_iter().flatten();
        names.chain(texts).all(|text| holds(line, text.as_bytes()))
    }

    fn is_in_time(&self, record: &Record) -> bool {
        let Some(micros) = record.micros() else {
            return false;
        };
        self.since.is_none_or(|since| micros >= since) && self.until.is_none_or(|until| micros < until)
    }
}

fn holds(line: &[u8], text: &[u8]) -> bool {
    text.is_empty() || line.windows(text.len()).any(|window| window == text)
}

/// The fields that say why, or what came of it.
const REASONS: [&str; 4] = ["reason", "decision", "result", "state"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::chain::{Chain, Link, Stamp};
    use crate::audit::event::samples;
    use crate::gate::Refusal;
    use siglatch_common::units::Boot;

    fn found(query: &Query) -> Vec<String> {
        let mut chain = Chain::after(Link::NONE, 7);
        let mut found = Vec::new();
        for event in samples::every() {
            let mut line = Vec::new();
            let micros = 1_000_000 * i64::try_from(chain.last().seq).unwrap();
            chain.append(&event, Stamp { micros, boot: Boot::from_nanos(0) }, &mut line);
            let record = Record::parse(&line).unwrap();
            if query.asks_for(&record) {
                assert!(query.may_ask_for(&line), "{query:?} of {record:?}");
                found.push(event.name().to_owned());
            }
        }
        found
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn what_is_not_said_may_be_anything() {
        assert_eq!(found(&Query::default()).len(), samples::every().len());
    }

    #[test]
    fn each_field_leaves_others_out() {
        let by = |query: Query| found(&query);
        let alice = by(Query { user: some("alice"), ..Query::default() });
        assert_eq!(by(Query { user: some("1"), events: vec!["knock".into()], ..Query::default() }).len(), 3);
        assert!(alice.contains(&"grant".to_owned()) && !alice.contains(&"ban".to_owned()), "{alice:?}");
        assert!(by(Query { user: some("alic"), ..Query::default() }).is_empty());
        assert!(by(Query { action: some("vpn"), ..Query::default() }).iter().all(|event| event != "knock"));
        assert_eq!(
            by(Query { knock: some("0000000700000001"), ..Query::default() }),
            ["knock", "grant", "grant_failed"]
        );
        assert_eq!(by(Query { reason: some(Refusal::Replay.label()), ..Query::default() }), ["knock"]);
        assert_eq!(by(Query { reason: some("failing"), ..Query::default() }), ["disk"]);
    }

    #[test]
    fn an_event_stands_for_those_that_it_is_made_of() {
        let events = |name: &str| found(&Query { events: vec![name.to_owned()], ..Query::default() });
        assert_eq!(events("grant"), ["grant", "grant_failed"]);
        assert_eq!(events("grant_failed"), ["grant_failed"]);
        assert!(events("exec").len() > 3);
        assert!(events("gran").is_empty());
    }

    #[test]
    fn networks_find_what_is_in_them_and_around_them() {
        let net = |text: &str| found(&Query { source: Some(text.parse().unwrap()), ..Query::default() }).len();
        let all = net("192.0.2.7");
        assert!(all > 10);
        assert_eq!((net("192.0.2.0/24"), net("0.0.0.0/0"), net("192.0.2.8"), net("2001:db8::/32")), (all, all, 0, 0));
    }

    #[test]
    fn times_begin_with_since_and_end_before_until() {
        let between = |since, until| found(&Query { since, until, ..Query::default() }).len();
        assert_eq!(between(Some(3_000_000), Some(5_000_000)), 2);
        assert_eq!(between(Some(2_999_999), Some(5_000_001)), 3);
        assert_eq!(between(None, Some(0)), 0);
    }
}
