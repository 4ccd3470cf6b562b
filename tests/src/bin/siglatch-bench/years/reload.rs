//! Reloads of many users while knocks come steadily: how long each takes to be answered, beside a bare reading of the key files,
//! and how much longer knocks take meanwhile. Never believes a reload that has not been put in force.

use std::fs;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use siglatch_user::admin::Reloaded;
use siglatch_user::admin::protocol::Request;
use siglatch_user::edge::admin::AdminClient;

use crate::bed::{Bed, Terms};
use crate::figures::{Figure, Target, median, quantile};
use crate::latency::opening;

/// What a reload finds new in the file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum News {
    /// Nothing.
    Nothing,
    /// A user who was there goes, or comes back.
    User,
    /// One service more, or fewer, is protected.
    Service,
    /// The firewall table has another priority: `nft` writes it anew.
    Rules,
}

/// From a knock or request to its effect or answer.
#[derive(Clone, Copy, Debug)]
struct Span {
    begin: Instant,
    end: Instant,
}

/// The configuration, as it is changed.
struct Text {
    base: String,
    last_user: String,
    has_last_user: bool,
    has_service: bool,
    has_priority: bool,
}

/// All reloads of one kind.
struct Reloads {
    news: News,
    spans: Vec<Span>,
}

/// Reloads each kind so many times, in turns.
pub(super) fn figures() -> Result<Vec<Figure>> {
    let bed = Bed::build()?;
    let daemon = bed.start(USERS, Terms::WITHOUT_LIMITS)?;
    let letters = bed.writer()?.knocks(LETTERS)?;
    let mut text = Text::read(&bed)?;
    let mut reloads =
        [News::Nothing, News::User, News::Service, News::Rules].map(|news| Reloads { news, spans: Vec::new() });
    let mut floors = Vec::new();
    let is_over = AtomicBool::new(false);
    let knocks = thread::scope(|scope| -> Result<Vec<Span>> {
        let knocking = scope.spawn(|| bed.street.outside.within(|| knock_on(&letters, &is_over)));
        let reloaded = reload_in_turns(&bed, &mut text, &mut reloads, &mut floors);
        is_over.store(true, Ordering::Relaxed);
        let knocks = knocking.join().ok().context("the thread that knocks has panicked")???;
        reloaded.map(|()| knocks)
    })?;
    daemon.stop()?;
    Ok(figures_of(&reloads, &knocks, median(floors)))
}

fn figures_of(reloads: &[Reloads], knocks: &[Span], floor: f64) -> Vec<Figure> {
    let overlaps = |knock: &Span, reload: &Span| knock.begin < reload.end + AFTER && reload.begin < knock.end;
    let is_calm = |knock: &&Span| !reloads.iter().flat_map(|of| &of.spans).any(|reload| overlaps(knock, reload));
    let calm: Vec<_> = knocks.iter().filter(is_calm).map(Span::millis).collect();
    let (usual, worst) = (median(calm.clone()), quantile(calm.clone(), 1.0));
    let mut figures = Vec::new();
    for Reloads { news, spans } in reloads {
        let answered: Vec<_> = spans.iter().map(Span::millis).collect();
        let meanwhile = knocks.iter().filter(|knock| spans.iter().any(|reload| overlaps(knock, reload)));
        let meanwhile: Vec<_> = meanwhile.map(Span::millis).collect();
        let longest = quantile(meanwhile.clone(), 1.0);
        let within = |most| Some(Target::ValueAtMost(most));
        for (name, value, floor, target) in [
            ("answer_p50", median(answered.clone()), floor, within(100.0)),
            ("answer_worst", quantile(answered, 1.0), floor, None),
            ("knock_p50", median(meanwhile.clone()), usual, None),
            ("knock_p99", quantile(meanwhile, 0.99), quantile(calm.clone(), 0.99), None),
            // What the worst one without a reload is late by is the machine's.
            ("delay_worst", longest - usual, worst - usual, within(5.0)),
        ] {
            figures.push(Figure { name: format!("reload.{}.{name}", news.label()), value, unit: "ms", floor, target });
        }
    }
    figures
}

fn reload_in_turns(bed: &Bed, text: &mut Text, reloads: &mut [Reloads], floors: &mut Vec<f64>) -> Result<()> {
    let mut admin = bed.admin()?;
    for turn in 0..WARM_UP + TURNS {
        for Reloads { news, spans } in &mut *reloads {
            text.change(*news);
            fs::write(bed.config(), text.to_toml())?;
            thread::sleep(PAUSE);
            let span = reload(&mut admin, *news).with_context(|| format!("{news:?}"))?;
            thread::sleep(AFTER + PAUSE);
            if turn >= WARM_UP {
                spans.push(span);
            }
        }
        // While nothing is reloaded; beside knocks, too.
        floors.push(bare_reading(bed, USERS)?);
    }
    Ok(())
}

fn reload(admin: &mut AdminClient, news: News) -> Result<Span> {
    let begin = Instant::now();
    let reloaded: Reloaded = admin.ask(&Request::Reload {})?;
    let span = Span { begin, end: Instant::now() };
    let expected = usize::from(news != News::Nothing);
    ensure!(reloaded.applied && reloaded.changes == expected, "not reloaded as it should be: {reloaded:?}");
    Ok(span)
}

/// Knocks from one address after the other, until it is over.
fn knock_on(letters: &[[u8; 256]], is_over: &AtomicBool) -> Result<Vec<Span>> {
    rustix::thread::set_current_timer_slack(NonZero::new(1))?;
    let mut spans = Vec::new();
    for (number, letter) in (0..).zip(letters) {
        if is_over.load(Ordering::Relaxed) {
            return Ok(spans);
        }
        let took = opening(Bed::source(number), letter)?;
        let end = Instant::now();
        spans.push(Span { begin: end - took, end });
    }
    anyhow::bail!("{LETTERS} knocks are not enough")
}

/// Milliseconds for the bytes of every key file, one after the other.
pub(super) fn bare_reading(bed: &Bed, users: u16) -> Result<f64> {
    let paths: Vec<_> = (1..=users).map(|id| bed.keys_folder().join(format!("{id}.key"))).collect();
    let begin = Instant::now();
    let read = paths.iter().map(fs::read).collect::<Result<Vec<_>, _>>()?;
    let millis = begin.elapsed().as_secs_f64() * 1e3;
    ensure!(read.iter().all(|key| key.len() == 32), "not a key");
    Ok(millis)
}

impl Span {
    fn millis(&self) -> f64 {
        (self.end - self.begin).as_secs_f64() * 1e3
    }
}

impl News {
    const fn label(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::User => "user",
            Self::Service => "service",
            Self::Rules => "rules",
        }
    }
}

impl Text {
    fn read(bed: &Bed) -> Result<Self> {
        let text = fs::read_to_string(bed.config())?;
        let at = text.find(&format!("\n[user.user-{USERS}]")).context("the last user is not there")?;
        let (base, last_user) = text.split_at(at);
        ensure!(base.contains(PROTECT), "the template says nothing of {PROTECT:?}");
        let (base, last_user) = (base.into(), last_user.into());
        Ok(Self { base, last_user, has_last_user: true, has_service: false, has_priority: false })
    }

    fn change(&mut self, news: News) {
        match news {
            News::Nothing => {}
            News::User => self.has_last_user = !self.has_last_user,
            News::Service => self.has_service = !self.has_service,
            News::Rules => self.has_priority = !self.has_priority,
        }
    }

    fn to_toml(&self) -> String {
        let protect = if self.has_service { PROTECT_MORE } else { PROTECT };
        let priority = if self.has_priority { PRIORITY } else { "" };
        let last = if self.has_last_user { &self.last_user } else { "" };
        self.base.replacen(PROTECT, &format!("{protect}{priority}"), 1) + last
    }
}

const USERS: u16 = 10_000;
const PROTECT: &str = "protect = [\"tcp/22\"]";
const PROTECT_MORE: &str = "protect = [\"tcp/22\", \"tcp/2222\"]";
const PRIORITY: &str = "\npriority = -20";
const WARM_UP: u32 = 1;
const TURNS: u32 = 20;
/// Without a reload, before and after each.
const PAUSE: Duration = Duration::from_millis(100);
/// So long after its answer a reload may still cost something: the daemon looks after its firewall.
const AFTER: Duration = Duration::from_millis(60);
/// More than come in all the turns; they are sealed before, and admitted for a minute.
const LETTERS: usize = 12_000;
