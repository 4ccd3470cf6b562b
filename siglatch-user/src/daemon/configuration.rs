//! The configuration that holds: read again when somebody asks, and put in force as a whole or not at all; with what
//! operators have switched off laid over it. Never judges a knock.

mod kept;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use siglatch_common::units::{Boot, Wall};
use tracing::{error, info, warn};

use super::Source;
use super::aside::{self, aside};
use super::ground::{as_ordered, tell_unfit};
use super::judge::Adopted;
use super::levers::{Committed, Levers};
use crate::admin::reload::{Changed, Found, How, Reloaded};
use crate::admin::{self, Switch, SwitchTarget};
use crate::causes::with_causes;
use crate::config::{self, Changes, Report, Settings};
use crate::ctl::{Failure, Loaded};
use crate::edge::clock;
use crate::edge::switch_store::SwitchStore;
use crate::switches::Switches;

use kept::Kept;

/// What holds, and where it comes from.
pub(super) struct Configuration {
    source: Source,
    dry_run: bool,
    levers: Levers,
    /// What the file said when it was last taken, but for the keys that hold from the next start.
    said: Arc<Settings>,
    /// The same as it is in force.
    in_force: Arc<Settings>,
    switches: Switches,
    kept: Kept,
    /// When [`Configuration::expire`] is tried again, if it failed.
    expires_again: Option<Boot>,
    /// When the file was taken, and which of its keys hold from the next start.
    taken: Taken,
}

#[derive(Clone, Debug)]
struct Taken {
    at: Wall,
    at_next_start: Vec<&'static str>,
}

/// What has changed in the file; and the settings to go by with what is new in them, if it is sound.
type Compared = (Reloaded, Option<(Arc<Settings>, Changes)>);

/// What came of other settings.
struct Came {
    /// Grants that have ended.
    grants: usize,
    /// What will not be run, because its program is gone.
    dropped: usize,
    /// What is not as the settings say, and why.
    undone: Vec<String>,
}

/// What is switched off at a start, and the settings with it.
pub(super) struct Beginning {
    pub(super) said: Settings,
    pub(super) in_force: Settings,
    pub(super) switches: Switches,
    pub(super) store: SwitchStore,
}

impl Beginning {
    /// Lays what was switched off by earlier runs over the settings.
    ///
    /// # Errors
    /// If it is not known what is off: then nobody is let in.
    pub(super) fn of(said: Settings, dry_run: bool) -> Result<Self> {
        let store = SwitchStore::new(&said.state_dir);
        let mut switches = store.read()?;
        switches.expire(clock::now().wall);
        for Switch { target, .. } in switches.iter() {
            warn!(kind = target.kind.label(), name = target.name, "switched off by an operator");
        }
        let in_force = as_ordered(switches.laid_over(said.clone()), dry_run);
        Ok(Self { said, in_force, switches, store })
    }
}

impl Configuration {
    pub(super) fn new(source: Source, dry_run: bool, begun: Beginning, levers: Levers) -> Self {
        let Beginning { said, in_force, switches, store } = begun;
        let taken = Taken { at: clock::now().wall, at_next_start: Vec::new() };
        let (said, in_force) = (Arc::new(said), Arc::new(in_force));
        let kept = Kept::new(store);
        let configuration =
            Self { source, dry_run, levers, said, in_force, switches, kept, expires_again: None, taken };
        configuration.show();
        configuration
    }

    /// The settings in force.
    pub(super) fn in_force(&self) -> &Settings {
        &self.in_force
    }

    /// The file.
    pub(super) fn file(&self) -> PathBuf {
        self.source.file.clone()
    }

    pub(super) const fn levers(&self) -> &Levers {
        &self.levers
    }

    /// Says what a reload would do.
    ///
    /// # Errors
    /// If the file cannot be read at all.
    pub(super) async fn check(&self) -> Result<Reloaded, String> {
        let begun = clock::boot();
        let (reloaded, _) = self.read().await?;
        Ok(Reloaded { millis: millis_since(begun), ..reloaded })
    }

    /// Reads the file, and goes by it if it is sound. Otherwise nothing has changed, and the findings say why.
    ///
    /// # Errors
    /// If the file cannot be read at all, or the system does not let the daemon follow it: why. Nothing has changed then.
    pub(super) async fn reload(&mut self) -> Result<Reloaded, String> {
        let begun = clock::boot();
        let (mut reloaded, new) = self.read().await?;
        if let Some((said, changes)) = new {
            tell_unfit(&said.policy, self.levers.starter.as_ref());
            let Came { grants, dropped, undone } = self.go_by(said).await?;
            (reloaded.grants, reloaded.dropped, reloaded.undone) = (grants, dropped, undone);
            self.taken = Taken { at: clock::now().wall, at_next_start: changes.at_next_start.clone() };
            self.show();
            for line in changes.words(TOLD) {
                info!("configuration: {line}");
            }
            reloaded.applied = true;
        }
        Ok(Reloaded { millis: millis_since(begun), ..reloaded })
    }

    /// Switches something off, or on. On a disk that takes nothing it holds all the same, and is kept later: says why.
    ///
    /// # Errors
    /// Why it is not done. Nothing has changed then.
    pub(super) async fn switch(&mut self, switches: Switches) -> Result<Option<String>, String> {
        let before = std::mem::replace(&mut self.switches, switches);
        // First: what an operator is told of must not be forgotten by a daemon that is killed.
        let unkept = self.kept.keep(&self.switches);
        if let Err(error) = self.go_by(Arc::clone(&self.said)).await {
            self.switches = before;
            // What is kept is what holds.
            self.kept.keep(&self.switches);
            return Err(error);
        }
        self.show();
        Ok(unkept)
    }

    /// Tries again what could not be kept, when it is time.
    pub(super) fn keep_again(&mut self) {
        self.kept.keep_again(&self.switches);
    }

    /// What is switched off.
    pub(super) const fn switches(&self) -> &Switches {
        &self.switches
    }

    /// Switches on what was off until now, and names it.
    ///
    /// # Errors
    /// Why it is not done.
    pub(super) async fn expire(&mut self, now: Wall) -> Result<Vec<SwitchTarget>, String> {
        if self.expires_again.is_some_and(|at| clock::boot() < at) {
            return Ok(Vec::new());
        }
        let mut switches = self.switches.clone();
        let on = switches.expire(now);
        if !on.is_empty() {
            let switched = self.switch(switches).await;
            self.expires_again = switched.is_err().then(|| clock::boot().after(EXPIRY_PAUSE));
            switched?;
        }
        Ok(on)
    }

    /// Whether the file, as it was taken last, has such a thing.
    pub(super) fn has(&self, target: &SwitchTarget) -> bool {
        target.is_in(&self.said)
    }

    /// Reads the file: what has changed in it; and the settings to go by, if it is sound.
    async fn read(&self) -> Result<Compared, String> {
        let (read, said) = (Arc::clone(&self.source.read), Arc::clone(&self.said));
        let file = self.source.file.display().to_string();
        aside(move || compare(read(), &said, file)).await.map_err(|error| with_causes(error.as_ref()))?
    }

    /// Goes by these settings, with what is switched off laid over them.
    async fn go_by(&mut self, said: Arc<Settings>) -> Result<Came, String> {
        let (settings, switches, dry_run) = (Arc::clone(&said), self.switches.clone(), self.dry_run);
        let words = |error: anyhow::Error| with_causes(error.as_ref());
        let new = aside(move || as_ordered(switches.laid_over(Settings::clone(&settings)), dry_run));
        let new = Arc::new(new.await.map_err(words)?);
        let ready = self.levers.prepare(&self.in_force, &new).await.map_err(words)?;
        let Committed { adopted, undone } = self.levers.commit(&self.in_force, &new, ready).await.map_err(words)?;
        for what in &undone {
            error!("the configuration holds, but {what}");
        }
        let Adopted { before, withdrawn, dropped, lost_debts } = adopted;
        let before = (before, std::mem::replace(&mut self.in_force, new), std::mem::replace(&mut self.said, said));
        // Wiping many keys takes a while. Without a thread for it, it is done here.
        drop(aside::begin(move || drop(before)));
        Ok(Came { grants: withdrawn, dropped: dropped + lost_debts, undone })
    }

    /// Says in the status what holds.
    fn show(&self) {
        self.levers.configuration.send_replace(admin::Configuration {
            file: self.source.file.display().to_string(),
            loaded: self.taken.at.as_secs(),
            at_next_start: self.taken.at_next_start.iter().map(|key| (*key).to_owned()).collect(),
            switches: self.switches.iter().take(admin::Configuration::SWITCHES).collect(),
            switched_off: self.switches.iter().count(),
            dry_run: self.dry_run,
        });
    }
}

/// What has changed since `said`, in a file that was read; and the settings to go by, if it is sound.
fn compare(read: Result<Loaded, Failure>, said: &Settings, file: String) -> Result<Compared, String> {
    match read {
        Ok(Loaded { settings, report }) => {
            let changes = Changes::between(said, &settings);
            let settings = Arc::new(config::holding_back(settings, said));
            let reloaded = Reloaded {
                file,
                sound: true,
                changes: changes.live.len(),
                changed: changes.live.iter().map(changed).collect(),
                at_next_start: changes.at_next_start.iter().map(|key| (*key).to_owned()).collect(),
                findings: found(&report),
                ..Reloaded::default()
            };
            Ok((reloaded.within_bounds(), Some((settings, changes))))
        }
        Err(Failure::Unsound(report)) => {
            let reloaded = Reloaded { file, findings: found(&report), ..Reloaded::default() };
            Ok((reloaded.within_bounds(), None))
        }
        Err(Failure::Failed(error)) => Err(with_causes(error.as_ref())),
    }
}

fn changed(change: &config::Changed) -> Changed {
    let (how, detail) = match &change.how {
        config::How::Added => (How::Added, String::new()),
        config::How::Removed => (How::Removed, String::new()),
        config::How::Changed(keys) => (How::Changed, keys.join(", ")),
        config::How::Set { from, to } => (How::Changed, format!("{from} → {to}")),
    };
    Changed { what: change.what.to_owned(), name: change.name.clone(), how, detail }
}

fn found(report: &Report) -> Vec<Found> {
    let one = |(finding, place): (&config::Finding, Option<(usize, usize)>)| Found {
        severity: finding.severity().label().to_owned(),
        code: finding.code.label().to_owned(),
        message: finding.message.clone(),
        line: place.map(|(line, _)| line),
        column: place.map(|(_, column)| column),
        help: Some(finding.help.clone()).filter(|help| !help.is_empty()),
    };
    let shown = report.findings().iter().take(Reloaded::FINDINGS);
    let places = report.positions(shown.clone().map(|finding| finding.span));
    shown.zip(places).map(one).collect()
}

fn millis_since(begun: Boot) -> u64 {
    u64::try_from(clock::boot().since(begun).as_millis()).unwrap_or(u64::MAX)
}

/// After what was off until now could not be switched on: the log is told each time.
const EXPIRY_PAUSE: Duration = Duration::from_secs(60);

/// Changes that the log has; more are counted.
const TOLD: usize = 50;
