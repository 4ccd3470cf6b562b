//! Everything of a daemon that is at work: threads, tasks, and the ways that lead to them. Begins and ends them in order;
//! never judges a knock.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result};
use siglatch_common::lane::PerLane;
use siglatch_common::units::Boot;
use siglatch_common::wire::Wire;
use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, warn};

use super::books::{Books, Left};
use super::desk::Desk;
use super::figures::{Filter, Sources};
use super::ground::Ground;
use super::judge::{self, Input, Judge};
use super::levers::{Levers, closed_ports};
use super::line::Line;
use super::pulse::{Pulse, feed_watchdog};
use super::report::{Around, Constants, Report, Tallies, Terms};
use super::wall::{Standing, Wall};
use super::warden::{self, ToWarden, Warden};
use super::way::Open;
use crate::admin::{self, Privileges, Roles};
use crate::audit::Event;
use crate::audit::event::By;
use crate::config::{LaneRule, Settings};
use crate::edge::action::{Endings, Starter};
use crate::edge::admin::{Asked, Bounds, Doorkeeper};
use crate::edge::audit::{AuditLog, Origin, Recorder};
use crate::edge::ban_store::BanStore;
use crate::edge::firewall::Watcher;
use crate::edge::instance::Instance;
use crate::edge::key_pool::{KeyPool, Places};
use crate::edge::lanes::{Lanes, Queues};
use crate::edge::lists::Dry;
use crate::edge::metrics;
use crate::edge::notify::Notifier;
use crate::edge::xdp::Gauge;
use crate::edge::{clock, itself, randomness};
use crate::gate::{Beginning, Gate, Grant, KnockId};
use crate::keys::Keyring;
use crate::precedence::Precedence;

/// A daemon at work.
pub(super) struct Works {
    /// The tasks by which datagrams and requests come in.
    pub(super) tasks: JoinSet<Result<()>>,
    /// Knocks that want the configuration read again.
    pub(super) reloads: Receiver<KnockId>,
    /// What operators ask of the configuration.
    pub(super) asked: Receiver<Asked>,
    pub(super) recorder: Recorder,
    pub(super) tallies: Arc<Tallies>,
    pool: Arc<KeyPool>,
    judge: JoinHandle<()>,
    to_judge: Sender<Input>,
    warden: JoinHandle<()>,
    to_warden: ToWarden,
    log: AuditLog,
    /// What the service manager shows.
    pub(super) line: Line,
    _instance: Instance,
}

/// What it begins with, besides settings and ground.
pub(super) struct Start {
    pub(super) at: Boot,
    /// Everything is judged and told, and nothing done.
    pub(super) dry_run: bool,
    /// What the daemon may still do.
    pub(super) privileges: Privileges,
    /// The processes that start programs; nothing if none are configured.
    pub(super) starter: Option<(Starter, Endings)>,
    /// Who is told that the daemon lives.
    pub(super) notifier: Arc<Notifier>,
}

impl Works {
    /// Takes over what earlier runs have left, begins the threads, and lets datagrams in.
    ///
    /// # Errors
    /// What is missing, and its cure.
    pub(super) async fn begin(settings: &Settings, ground: Ground, start: Start) -> Result<(Self, Levers)> {
        let Ground { network, way, spread, operators, observers, metrics, instance } = ground;
        let Start { at, dry_run, privileges, starter, notifier } = start;
        let policy = Arc::new(settings.policy.clone());
        let run = randomness::run()?;
        let origin = Origin { version: VERSION.to_owned(), run, dry_run, state_dir: settings.state_dir.clone() };
        let (recorder, log) = AuditLog::begin(&settings.audit, origin)?;
        let tallies = Arc::new(Tallies::default());
        let (to_judge, judged) = channel();
        // They seed their randomness, which takes a while, while the firewall is written.
        let (answers, operations) = (to_judge.clone(), Arc::clone(&tallies));
        let pool = Arc::new(KeyPool::start(&Arc::new(keyring(settings)?), settings.key_threads, move |answer| {
            operations.operation(answer.candidate.lane());
            operations.figures.opened(Wire::from_number(answer.candidate.wire), answer.took);
            // Fails only when the judge has stopped, and then nothing is admitted any more.
            let _ = answers.send(Input::Answer(Box::new(answer)));
        })?);
        let (books, Left { remembered, noted }) = Books::open(&settings.state_dir, policy.max_skew())?;
        let (wall, Standing { grants, withdrawn, watcher }) =
            Wall::open(&settings.firewall, &closed_ports(settings), &policy)?;
        let beginning = Beginning {
            policy,
            nonce_capacity: settings.nonce_capacity,
            programs_at_once: settings.programs_at_once,
            run,
            remembered,
            noted,
            grants: &grants,
        };
        let gate = begin_gate(beginning, &withdrawn, &recorder);
        let (lists, counted) = (way.lists()?, Filter::of(way.lists()?));
        // Before the program is attached: whoever is banned does not get through meanwhile, nor is anybody unknown.
        let (warden, to_warden) = Warden::begin(warden::Parts {
            lists: if dry_run { Box::new(Dry::new(lists)) } else { lists },
            store: BanStore::open(&settings.state_dir)?,
            rules: warden_rules(settings),
            recorder: recorder.clone(),
            spread: randomness::spread()?,
            judge: to_judge.clone(),
        })?;
        let (configuration, told) = watch::channel(admin::Configuration { dry_run, ..Default::default() });
        let around = Around {
            recorder: recorder.clone(),
            configuration: told,
            forbidden: Arc::default(),
            missed: Arc::default(),
        };
        let [judging, keeping] = [(); 2].map(|()| Pulse::for_watchdog(notifier.watchdog()));
        let (starter, endings) = starter.unzip();
        let (reload, reloads) = tokio::sync::mpsc::channel(1);
        let mut judge = Judge::new(judge::Parts {
            gate,
            books,
            wall,
            starter: starter.clone(),
            recorder: recorder.clone(),
            when_unaudited: settings.audit.when_failing,
            warden: to_warden.clone(),
            reload,
            tallies: Arc::clone(&tallies),
            pulse: Arc::clone(&judging),
        });
        judge.follow(&settings.debug, clock::boot());
        let judge = thread::Builder::new().name("judge".into()).spawn(move || judge.run(&judged))?;
        watch_firewall(watcher, to_judge.clone())?;
        if let Some(endings) = endings {
            watch_programs(endings, to_judge.clone())?;
        }

        pool.wait_until_warm();
        let mut tasks = JoinSet::new();
        let Open { lanes, ingress, interfaces, rules } =
            way.open(&settings.ports, network, recorder.clone(), &mut tasks).await?;
        itself::give_memory_back();
        let (shares, shared) = watch::channel(shares_of(&settings.lanes));
        let depths = lanes.depths();
        tasks.spawn(feed(lanes, shared, Arc::clone(&pool), Arc::clone(&tallies)));
        if let Some((listener, own)) = metrics {
            let interfaces = interfaces.clone();
            let sources = Sources {
                started: clock::now().wall,
                ingress,
                interfaces: Box::new(move || interfaces.borrow().clone()),
                filter: counted,
                depths: depths.clone(),
                rooms: rooms(ingress, &settings.lanes),
                places: KeyPool::places(settings.key_threads) as u64,
                tallies: Arc::clone(&tallies),
                recorder: recorder.clone(),
                warden: to_warden.clone(),
                own,
            };
            metrics::serve(listener, metrics::Bounds::default(), move || sources.read())?;
        }
        let line = Line::new(ingress, interfaces.clone(), tallies.programs_fail.subscribe(), settings);
        tasks.spawn(line.clone().follow(Arc::clone(&notifier)));
        tasks.spawn(feed_watchdog(notifier, vec![("judge", judging), ("warden", Arc::clone(&keeping))]));
        let (terms, known_terms) = watch::channel(Terms::of(settings));
        let constants =
            Constants { started: at, privileges, ingress, interfaces: interfaces.clone(), terms: known_terms };
        let (forbidden, missed) = (Arc::clone(&around.forbidden), Arc::clone(&around.missed));
        let report = Report::new(constants, Arc::clone(&tallies), around, move || depths.waiting());
        let warden = thread::Builder::new().name("warden".into()).spawn(move || warden.run(report, &keeping))?;
        let (errands, asked) = tokio::sync::mpsc::channel(ERRANDS);
        let desk = Desk { judge: to_judge.clone(), warden: to_warden.clone(), errands };
        let (roles, known_roles) = watch::channel(Roles::from(&settings.admin));
        let doorkeeper = Doorkeeper { roles: known_roles, forbidden };
        if let Some(observers) = observers {
            let (doorkeeper, recorder) = (doorkeeper.clone(), recorder.clone());
            tasks.spawn(async move { observers.serve(doorkeeper, recorder, missed).await });
        }
        tasks.spawn(async move { operators.serve(Bounds::default(), doorkeeper, move |asked| desk.ask(asked)).await });
        let levers = Levers {
            pool: Arc::clone(&pool),
            to_judge: to_judge.clone(),
            to_warden: to_warden.clone(),
            rules,
            spread,
            starter,
            shares,
            roles,
            terms,
            configuration,
            recorder: recorder.clone(),
        };
        let works = Self {
            tasks,
            reloads,
            asked,
            recorder,
            tallies,
            pool,
            judge,
            to_judge,
            warden,
            to_warden,
            log,
            line,
            _instance: instance,
        };
        Ok((works, levers))
    }

    /// Ends everything, so that nothing is lost: what was let in is judged, and what was decided is done and written.
    ///
    /// # Errors
    /// If a thread has panicked.
    pub(super) async fn end(mut self, why: &'static str) -> Result<()> {
        self.tasks.shutdown().await;
        if let Some(pool) = Arc::into_inner(self.pool) {
            pool.finish();
        }
        let _ = self.to_judge.send(Input::Stop);
        let threads = move || {
            let judge = self.judge.join();
            // What the judge has said last is heard before.
            self.to_warden.stop();
            let threads = judge.and(self.warden.join());
            self.log.close(why);
            threads
        };
        tokio::task::spawn_blocking(threads).await?.map_err(|_| anyhow::anyhow!("a thread has panicked"))
    }

    /// The ways in are gone: writes down why, and nothing else.
    pub(super) fn give_up(self) {
        self.log.close("error");
    }
}

/// A gate that goes on where an earlier run has ended. What cannot be undone any more is told.
fn begin_gate(beginning: Beginning<'_>, withdrawn: &[Grant], recorder: &Recorder) -> Gate {
    // Without grants it would say that there was nothing to end.
    if !withdrawn.is_empty() {
        Event::revoked(None, withdrawn, By::Configuration).into_iter().for_each(|event| recorder.record(event));
    }
    let mut gate = Gate::new(beginning, clock::now());
    gate.end_debts_of(withdrawn, clock::now());
    for debt in gate.take_lost_debts() {
        warn!(program = debt.program, source = %debt.call.source, user = debt.call.user_name, "this will never be undone: its program is gone");
        recorder.record(Event::undo_lost(&debt));
    }
    gate
}

/// The keys of everybody who may knock.
pub(super) fn keyring(settings: &Settings) -> Result<Keyring> {
    let users = settings.user_keys.iter().filter(|(user, _)| settings.policy.may_knock(*user)).cloned();
    Ok(Keyring::new(settings.server_key.clone(), users, randomness::hmac_key()?))
}

/// What the warden goes by.
pub(super) fn warden_rules(settings: &Settings) -> warden::Rules {
    warden::Rules {
        ban: settings.ban.clone(),
        known: settings.known,
        allow: settings.allow.clone(),
        blacklist: settings.blacklist.clone(),
        gate_keys: settings.gate_keys.clone(),
    }
}

/// How the lanes share the private key.
pub(super) fn shares_of(lanes: &PerLane<LaneRule>) -> PerLane<u8> {
    PerLane::from_fn(|lane| lanes.of(lane).share)
}

/// Datagrams that can wait in each lane.
fn rooms(ingress: admin::Ingress, lanes: &PerLane<LaneRule>) -> PerLane<u64> {
    PerLane::from_fn(|lane| match ingress {
        admin::Ingress::Xdp => u64::from(lanes.of(lane).ring_kib) * 1024 / Gauge::RECORD as u64,
        admin::Ingress::Socket => Queues::ROOM as u64,
    })
}

/// Brings candidates from the lanes to the pool. A place is taken first, so that who comes next is decided when there is
/// one: what finds none waits in its lane, and what finds no room there is dropped, and counted.
async fn feed(
    mut lanes: Lanes,
    mut shares: watch::Receiver<PerLane<u8>>,
    pool: Arc<KeyPool>,
    tallies: Arc<Tallies>,
) -> Result<()> {
    let mut precedence = Precedence::new(*shares.borrow_and_update());
    let mut places = Places::default();
    loop {
        let place = pool.one_of(&mut places).await;
        let candidate = lanes.next(&mut precedence).await.context("the lanes")?;
        tallies.figures.handed();
        pool.submit(candidate, place);
        // An error would say that nobody changes them any more.
        if shares.has_changed().unwrap_or(false) {
            precedence.set_shares(*shares.borrow_and_update());
        }
    }
}

/// Tells the judge what becomes of programs. On a thread of its own, which ends when there is nothing more to tell.
fn watch_programs(endings: Endings, inputs: Sender<Input>) -> Result<()> {
    let watch = move || {
        for news in endings {
            if inputs.send(Input::Program(news)).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("endings".into()).spawn(watch)?;
    Ok(())
}

/// Tells the judge when somebody else has changed the table. On a thread of its own, which ends with the process.
fn watch_firewall(watcher: Option<Watcher>, inputs: Sender<Input>) -> Result<()> {
    let Some(mut watcher) = watcher else { return Ok(()) };
    let watch = move || loop {
        match watcher.wait() {
            Ok(change) => {
                if inputs.send(Input::FirewallChanged(change)).is_err() {
                    return;
                }
            }
            Err(error) => {
                error!(%error, "changes of the firewall are no longer noticed; restart siglatch-user");
                return;
            }
        }
    };
    thread::Builder::new().name("nft-watch".into()).spawn(watch)?;
    Ok(())
}

/// Requests about the configuration that wait for one another.
const ERRANDS: usize = 4;

/// Of this daemon.
const VERSION: &str = env!("CARGO_PKG_VERSION");
