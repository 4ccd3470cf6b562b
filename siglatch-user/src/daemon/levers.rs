//! The ways by which a daemon at work is changed: to the key pool, the judge, the warden, the filter. Never decides what is
//! to change.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, sync_channel};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use siglatch_common::lane::PerLane;
use siglatch_common::siphash::Key;
use tokio::sync::watch;

use super::aside::aside;
use super::judge::{Adopted, Adoption, Input};
use super::report::Terms;
use super::warden::ToWarden;
use super::way::{Prepared, RuleSetter};
use super::works::{keyring, shares_of, warden_rules};
use crate::admin::protocol::Problem;
use crate::admin::{self, RevokeOrder, Revoked, Roles};
use crate::causes::with_causes;
use crate::config::{Ingress, Settings};
use crate::edge::action::Starter;
use crate::edge::audit::Recorder;
use crate::edge::key_pool::KeyPool;
use crate::edge::privilege::is_withheld;
use crate::edge::xdp;
use crate::gate::Cut;
use crate::keys::Keyring;
use crate::policy::Policy;

/// All of them.
pub(super) struct Levers {
    pub(super) pool: Arc<KeyPool>,
    pub(super) to_judge: Sender<Input>,
    pub(super) to_warden: ToWarden,
    /// By which ports, limits and interfaces are changed.
    pub(super) rules: RuleSetter,
    /// The secret that spreads sources over the filter's tables.
    pub(super) spread: Key,
    /// The processes that start programs; nothing if there were none to start when the daemon began.
    pub(super) starter: Option<Starter>,
    /// How the lanes share the private key.
    pub(super) shares: watch::Sender<PerLane<u8>>,
    /// Who may ask.
    pub(super) roles: watch::Sender<Roles>,
    /// What the status shows of ports and lanes.
    pub(super) terms: watch::Sender<Terms>,
    /// What the status says of the configuration.
    pub(super) configuration: watch::Sender<admin::Configuration>,
    pub(super) recorder: Recorder,
}

/// What cannot be left half done: made ready, and not in force yet.
pub(super) struct Ready {
    keys: Arc<Keyring>,
    policy: Arc<Policy>,
    rules: Prepared,
}

/// What is in force.
pub(super) struct Committed {
    pub(super) adopted: Adopted,
    /// What is not, of all the rest, and why: in words for the operator.
    pub(super) undone: Vec<String>,
}

impl Levers {
    /// Does everything that can fail. What it has changed when it fails is as it was before.
    ///
    /// # Errors
    /// What stands in the way, in words for the operator.
    pub(super) async fn prepare(&self, old: &Settings, new: &Arc<Settings>) -> Result<Ready> {
        reaches_lists(old, new)?;
        // For many users these take a while: not here, where knocks come by.
        let settings = Arc::clone(new);
        let (keys, policy) = aside(move || (keyring(&settings), settings.policy.clone())).await?;
        let (keys, policy) = (Arc::new(keys?), Arc::new(policy));
        self.prepare_programs(old, new).await?;
        let rules = self.rules.prepare(&new.ports, xdp::Measures::new(new, self.spread))?;
        if old.firewall != new.firewall || closed_ports(old) != closed_ports(new) {
            self.rebuild(new).await.context("the firewall stays as it was")?;
        }
        Ok(Ready { keys, policy, rules })
    }

    /// Has the firewall go over to other settings. `nft` takes longer than a knock may wait: it is not run by the judge.
    async fn rebuild(&self, new: &Settings) -> Result<()> {
        let (reply, answer) = sync_channel(1);
        let (firewall, knock_ports) = (Box::new(new.firewall.clone()), closed_ports(new));
        self.to_judge.send(Input::Rebuild { firewall, knock_ports, reply }).ok().context(GONE)?;
        let Some(rewrite) = heard(answer).await?.map_err(anyhow::Error::msg)? else {
            return Ok(());
        };
        let (reply, answer) = sync_channel(1);
        let to_judge = self.to_judge.clone();
        // Whatever becomes of whoever has asked, the judge hears of its end.
        tokio::task::spawn_blocking(move || {
            let rewritten = Box::new(rewrite.write());
            to_judge.send(Input::Rebuilt { rewritten, reply })
        });
        heard(answer).await?.map_err(anyhow::Error::msg)
    }

    /// The process that starts programs reads the file itself: so nobody in the daemon can have it start anything else.
    async fn prepare_programs(&self, old: &Settings, new: &Settings) -> Result<()> {
        if old.policy.programs() == new.policy.programs() {
            return Ok(());
        }
        let Some(starter) = self.starter.clone() else {
            bail!("the daemon was started without programs, and can start none: restart it to have some");
        };
        let read = tokio::task::spawn_blocking(move || starter.prepare(PATIENCE)).await?;
        let theirs = read.map_err(anyhow::Error::msg).context("the programs stay as they were")?;
        ensure!(
            Some(theirs) == Starter::digest_of(new.policy.programs()),
            "the file changes while it is read: try again"
        );
        Ok(())
    }

    /// Puts it in force: knocks from one number on are opened with the new keys and judged by the new rules. From then on
    /// there is no way back, and everything is done that can be.
    ///
    /// # Errors
    /// If a thread is gone: then the daemon must be started anew.
    pub(super) async fn commit(&mut self, old: &Settings, new: &Settings, ready: Ready) -> Result<Committed> {
        let Ready { keys, policy, rules } = ready;
        let adoption = Box::new(Adoption {
            policy,
            programs_at_once: new.programs_at_once,
            nonce_capacity: new.nonce_capacity,
            when_unaudited: new.audit.when_failing,
            debug: (old.debug != new.debug).then(|| new.debug.clone()),
        });
        let (reply, answer) = sync_channel(1);
        let (pool, to_judge) = (Arc::clone(&self.pool), self.to_judge.clone());
        // The new key is used once before, and the old keys are wiped: not here, where knocks come by.
        let swap = move || {
            pool.swap(keys, |from| _ = to_judge.send(Input::Adopt { from, adoption, reply }));
        };
        tokio::task::spawn_blocking(swap).await?;
        let adopted = heard(answer).await?;
        let mut undone = Vec::new();
        if let Err(error) = self.rules.commit(rules).await {
            let error = with_causes(error.as_ref());
            undone.push(format!(
                "the filter goes by the earlier ports, rates and budgets: {error}; restart siglatch-user"
            ));
        }
        if let (Ingress::Xdp(before), Ingress::Xdp(after)) = (&old.ingress, &new.ingress)
            && before.interfaces != after.interfaces
            && let Err(error) = self.rules.set_interfaces(&after.interfaces).await
        {
            let error = with_causes(error.as_ref());
            undone.push(format!(
                "not every interface is as it should be: {error}; siglatchctl status says how they stand"
            ));
        }
        self.to_warden.adopt(warden_rules(new));
        if old.audit != new.audit {
            self.recorder.set_rule(new.audit.clone());
        }
        self.shares.send_replace(shares_of(&new.lanes));
        self.roles.send_replace(Roles::from(&new.admin));
        self.terms.send_replace(Terms::of(new));
        Ok(Committed { adopted, undone })
    }

    /// Ends grants, and says whose connections are to be cut as well, if any: they still stand.
    ///
    /// # Errors
    /// What the judge says against it.
    pub(super) async fn revoke(&self, order: RevokeOrder) -> Result<Result<(Revoked, Option<Cut>), Problem>> {
        let (reply, answer) = sync_channel(1);
        self.to_judge.send(Input::Revoke { order: Box::new(order), reply }).ok().context(GONE)?;
        heard(answer).await
    }
}

/// Says which files of banned networks, of those that are new, are in folders that this process gave up.
fn reaches_lists(old: &Settings, new: &Settings) -> Result<()> {
    for list in new.blacklist.iter().filter(|list| !old.blacklist.contains(list)) {
        ensure!(
            !is_withheld(list),
            "the running daemon may not read {0}: it keeps to folders that it knew at its start; put the file into one of \
             them, such as that of the configuration, or restart the daemon: from its next start on it reads {0}",
            list.display()
        );
    }
    Ok(())
}

/// The knock ports that the firewall closes, in case the XDP program is detached one day.
pub(super) fn closed_ports(settings: &Settings) -> Vec<u16> {
    match settings.ingress {
        Ingress::Xdp(_) => settings.ports.iter().map(|port| port.port).collect(),
        Ingress::Socket => Vec::new(),
    }
}

/// Waits for a thread's answer, on another one.
async fn heard<T: Send + 'static>(answer: Receiver<T>) -> Result<T> {
    tokio::task::spawn_blocking(move || answer.recv()).await?.context(GONE)
}

/// How long the process that starts programs may take to read the file.
const PATIENCE: Duration = Duration::from_secs(10);

const GONE: &str = "the thread that judges knocks is gone";
