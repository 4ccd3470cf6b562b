//! Lists that the daemon gives page by page: asked for until there is enough, and shown. Never changes anything.

use clap::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::load::Failure;
use super::reach::Reach;
use super::show;
use crate::admin::protocol::Request;
use crate::edge::admin::AdminClient;

/// How much of a list is shown, and how.
#[derive(Args, Debug)]
pub(super) struct Listing {
    /// At most so many [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// One JSON object, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: Reach,
}

/// A page of a list, and the list that pages add up to.
pub(super) trait Page: DeserializeOwned + Serialize + Default {
    /// What is asked for.
    type Query;
    /// What the list is of.
    type Entry;

    /// What asks for the next page, of at most so many.
    fn ask(query: &Self::Query, limit: usize) -> Request;

    /// Goes on behind that entry.
    fn go_on(query: &mut Self::Query, last: &Self::Entry);

    /// How many there are, whether there are more behind these, and these.
    fn parts(&mut self) -> (&mut usize, &mut bool, &mut Vec<Self::Entry>);
}

impl Listing {
    /// Shows what is asked for; `nothing`, if there is none of it.
    pub(super) fn show<P: Page>(
        self,
        query: P::Query,
        nothing: &str,
        table: impl FnOnce(&[P::Entry]) -> String,
    ) -> Result<(), Failure> {
        self.show_gathered::<P>(nothing, table, |client, limit| gather(client, query, limit))
    }

    /// The same, of what `gather` asks for, of which there are so many at most.
    pub(super) fn show_gathered<P: Page>(
        self,
        nothing: &str,
        table: impl FnOnce(&[P::Entry]) -> String,
        gather: impl FnOnce(&mut AdminClient, usize) -> Result<P, Failure>,
    ) -> Result<(), Failure> {
        let Self { limit, json, daemon } = self;
        let mut all = gather(&mut daemon.connect()?, limit.unwrap_or(usize::MAX))?;
        if json {
            return show::json(&all);
        }
        let (total, more, entries) = all.parts();
        if entries.is_empty() {
            return show::print(&format!("{nothing}\n"));
        }
        show::print(&table(entries))?;
        show::tell_more(*more, entries.len(), *total);
        Ok(())
    }
}

/// Asks for one page after the other until there are as many as are wanted, or no more.
pub(super) fn gather<P: Page>(client: &mut AdminClient, mut query: P::Query, limit: usize) -> Result<P, Failure> {
    let mut all = P::default();
    loop {
        let (total, more, entries) = all.parts();
        if entries.len() >= limit {
            return Ok(all);
        }
        let mut page: P = client.ask(&P::ask(&query, limit - entries.len()))?;
        let (in_all, are_more, new) = page.parts();
        (*total, *more) = (*in_all, *are_more && !new.is_empty());
        let last = new.last().filter(|_| *more).map(|last| P::go_on(&mut query, last));
        entries.append(new);
        if last.is_none() {
            return Ok(all);
        }
    }
}

/// Says of a page what its query, its request and its entries are called.
macro_rules! page {
    ($page:ty, $query:ty, $entry:ty, $request:ident, $entries:ident, $last:expr) => {
        impl $crate::ctl::listing::Page for $page {
            type Query = $query;
            type Entry = $entry;

            fn ask(query: &$query, limit: usize) -> $crate::admin::protocol::Request {
                let mut query = query.clone();
                query.limit = Some(limit);
                $crate::admin::protocol::Request::$request(query)
            }

            fn go_on(query: &mut $query, last: &$entry) {
                query.after = Some($last(last));
            }

            fn parts(&mut self) -> (&mut usize, &mut bool, &mut Vec<$entry>) {
                (&mut self.total, &mut self.more, &mut self.$entries)
            }
        }
    };
}
pub(super) use page;
