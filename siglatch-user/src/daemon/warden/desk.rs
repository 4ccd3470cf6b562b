//! What the warden answers operators. Never reads from a socket.

use siglatch_common::address::{Address, Network};
use siglatch_common::units::{Boot, Now};
use tracing::info;

use super::Warden;
use crate::admin::protocol::{Code, Problem, Reply, Request};
use crate::admin::{BanOrder, BanPage, Banned, KnownEntry, KnownPage, KnownQuery, Lifted, network_text};
use crate::audit;
use crate::bans::{Full, NotLifted};
use crate::causes::with_causes;
use crate::daemon::desk;
use crate::daemon::report::{Holding, Report};
use crate::edge::admin::Asked;
use crate::edge::clock;
use crate::edge::lists::ListError;

impl Warden {
    /// Answers one request.
    pub(super) fn answer(&mut self, asked: Asked, report: &mut Report) {
        let now = clock::now();
        let answer = match &asked.request {
            Request::Status {} => {
                let status = report.status(&*self.lists, self.holding(), now.boot);
                status.map(|status| Reply::Status(Box::new(status))).map_err(|error| failed(&error))
            }
            Request::Bans(query) => {
                self.bans.expire(now);
                Ok(Reply::Bans(BanPage::select(self.bans.entries(now), query)))
            }
            Request::Ban(order) => self.ban(order, now).map(Reply::Banned),
            Request::Unban(order) => self.unban(order.network, now).map(Reply::Lifted),
            Request::Known(query) => Ok(Reply::Known(self.known(query, now))),
            Request::Debug {}
            | Request::DebugOn(_)
            | Request::DebugOff(_)
            | Request::Grants(_)
            | Request::Revoke(_)
            | Request::Extend(_)
            | Request::Users(_)
            | Request::Actions {}
            | Request::Sequences {}
            | Request::Debts(_)
            | Request::Reload {}
            | Request::Check {}
            | Request::Enable(_)
            | Request::Disable(_) => Err(desk::astray(&asked)),
        };
        self.carry_out(now);
        desk::answer(asked, answer, &self.recorder);
    }

    /// Writes into the log how the daemon is, because a knock has asked for it.
    pub(super) fn tell_status(&mut self, report: &mut Report, now: Now) {
        match report.status(&*self.lists, self.holding(), now.boot) {
            Ok(status) => {
                let text = serde_json::to_string(&status).unwrap_or_default();
                info!(status = text, "status");
            }
            Err(error) => self.news.list_failed(&error),
        }
    }

    pub(super) fn holding(&self) -> Holding {
        let addresses = self.bans.addresses();
        Holding { addresses, networks: self.bans.len() - addresses, known: self.known.len(), allowed: self.allow.len() }
    }

    fn ban(&mut self, order: &BanOrder, now: Now) -> Result<Banned, Problem> {
        if order.network.swallows_ipv4() {
            let message = format!("{} holds every IPv4 address, too", network_text(order.network));
            return Err(Problem::new(Code::Malformed, message).with_help("2000::/3 is all of the internet's IPv6"));
        }
        let mut banned = self.bans.ban(order, now).map_err(|Full { capacity }| {
            Problem::new(Code::Full, format!("there is no room for more than {capacity} bans"))
                .with_help("lift some, or raise `capacity` under [ban]")
        })?;
        if let Some(error) = self.carry_out(now) {
            return Err(failed(&error));
        }
        let allowed = self.allow.iter().find(|allowed| allowed.contains(order.network.address()));
        let notes = [
            banned.note.take(),
            allowed.map(|allowed| format!("The [allow] list goes before bans, and says {}", network_text(*allowed))),
            self.is_owed_to_the_disk(),
        ];
        banned.note = joined(notes);
        let network = network_text(order.network);
        let seconds = order.seconds.map_or_else(|| "for good".to_owned(), |seconds| seconds.to_string());
        info!(%network, seconds, comment = order.comment.as_str(), "banned by the operator");
        self.recorder.record(audit::Event::banned(&banned));
        Ok(banned)
    }

    fn unban(&mut self, network: Network, now: Now) -> Result<Lifted, Problem> {
        let mut lifted = self.bans.lift(network, now).map_err(|reason| not_lifted(network, reason))?;
        if let Some(error) = self.carry_out(now) {
            return Err(failed(&error));
        }
        lifted.note = joined([lifted.note.take(), self.is_owed_to_the_disk(), None]);
        info!(network = network_text(network), "ban lifted by the operator");
        self.recorder.record(audit::Event::lifted(&lifted));
        Ok(lifted)
    }

    fn known(&self, query: &KnownQuery, now: Now) -> KnownPage {
        let left = |(origin, until): (Address, Boot)| KnownEntry {
            origin: origin.into(),
            left: until.since(now.boot).as_secs(),
        };
        KnownPage::select(self.known.iter().filter(|(_, until)| *until > now.boot).map(left), query)
    }

    /// What to tell if what was just changed could not be kept.
    fn is_owed_to_the_disk(&self) -> Option<String> {
        self.due.keep.map(|_| "It could not be written to the disk, and does not outlive a reboot yet".to_owned())
    }
}

fn not_lifted(network: Network, reason: NotLifted) -> Problem {
    let text = network_text(network);
    match reason {
        NotLifted::NotBanned(None) => Problem::new(Code::NotBanned, format!("{text} is not banned")),
        NotLifted::NotBanned(Some(wider)) => {
            let wider = network_text(wider);
            Problem::new(Code::NotBanned, format!("{text} is not banned by itself, but as a part of {wider}"))
                .with_help(format!("siglatchctl unban {wider}"))
        }
        NotLifted::FromFile(file) => Problem::new(Code::FromFile, format!("{text} is banned by {file}"))
            .with_help("take it out there: the file is read again when it changes"),
    }
}

fn failed(error: &ListError) -> Problem {
    Problem::new(Code::Failed, with_causes(error)).with_help("the daemon's log may say more")
}

fn joined(notes: [Option<String>; 3]) -> Option<String> {
    let notes: Vec<_> = notes.into_iter().flatten().map(|note| format!("{note}.")).collect();
    (!notes.is_empty()).then(|| notes.join(" "))
}
