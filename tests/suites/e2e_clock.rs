//! The clock on the wall is set by hours, back and forth, while a daemon is at work: nothing is admitted twice, nothing outlives
//! its time, and honest knocks go by the new clock.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use siglatch_client::knocker::Knock;
use siglatch_tests::fake_clock::{FakeClock, now_by};
use siglatch_tests::gateway::{BRIEF, DATABASE, OPEN, Plan, SSH, STAMPED, STAMPED_PORT, STEPS, knock, stamped};
use siglatch_tests::process::PATIENCE;
use siglatch_tests::scene::GATEWAY;
use siglatch_tests::service::closes_within;
use siglatch_tests::stage::Stage;

#[test]
fn a_clock_that_is_set_by_hours_admits_nothing_twice_and_ends_nothing_early_or_late() -> Result<()> {
    let mut scene = Scene::new()?;
    scene.stage.gateway.ctl(&["ban", BANNED, "--for", "1h"])?;
    for (times, ahead) in [THREE_HOURS, 0, -THREE_HOURS, THREE_HOURS, 0].into_iter().enumerate() {
        // Begun before the step: a sequence, a grant that ends soon, and one that does not.
        let before = scene.ahead;
        let [walker, brief, steady] = [scene.stage.newcomer()?, scene.stage.newcomer()?, scene.stage.newcomer()?];
        scene.stage.knock(&by(before, STEPS[0]), walker)?;
        scene.lets_in(BRIEF, brief)?;
        scene.lets_in(OPEN, steady)?;

        scene.clock.set(ahead)?;
        scene.ahead = ahead;
        let told = "the clock on the wall was set";
        scene.stage.daemon.wait_until(told, |log| log.matches(told).count() > times)?;

        // By the old clock it is hours late or early; by the new one it is honest, in the kernel's eyes as well.
        let late = scene.stage.newcomer()?;
        scene.stage.knock(&by(before, OPEN), late)?;
        scene.stage.refuses(1, "stale", late)?;
        let (honest, at_once) = (scene.stage.newcomer()?, scene.stage.newcomer()?);
        scene.lets_in(OPEN, honest)?;
        let knock = by(ahead, OPEN);
        let port = SocketAddr::new(GATEWAY.of(true), STAMPED_PORT);
        scene.stage.street.outside.send(&stamped(&knock)?, at_once, port)?;
        scene.stage.opens(at_once)?;
        scene.admitted.push((knock, at_once));

        // What has begun goes on, and ends when it would have ended.
        for step in &STEPS[1..] {
            scene.stage.knock(&by(ahead, *step), walker)?;
        }
        scene.stage.port_opens(DATABASE, walker)?;
        closes_within(PATIENCE, &scene.stage.street.outside, brief, scene.stage.service(SSH, brief))?;
        scene.stage.opens(steady)?;
        scene.has_a_ban_of_an_hour()?;
        scene.admits_nothing_again()?;
    }
    // And a daemon that begins by another clock than the one before has ended by.
    for ahead in [THREE_HOURS, -THREE_HOURS, 0] {
        scene.stage.daemon.kill()?;
        scene.told.push_str(&scene.stage.daemon.said());
        scene.clock.set(ahead)?;
        scene.ahead = ahead;
        scene.stage.daemon = scene.clock.start(&scene.stage.gateway)?;
        scene.has_a_ban_of_an_hour()?;
        scene.admits_nothing_again()?;
    }
    Ok(())
}

/// A daemon, its clock, and what it has admitted.
struct Scene {
    stage: Stage,
    clock: FakeClock,
    /// By how many seconds the clock is ahead of the machine's.
    ahead: i64,
    admitted: Vec<(Knock, IpAddr)>,
    /// What earlier daemons have told.
    told: String,
}

impl Scene {
    fn new() -> Result<Self> {
        let mut plan = Plan::with("within = \"2s\"", "within = \"5m\"");
        // No knock is forgotten while this lasts, nor so much else that its stamp would be below the floor.
        plan.rules.push_str(&format!("{STAMPED}\n[knock]\nmax_skew = \"5m\"\n"));
        let mut stage = Stage::with(&plan)?;
        stage.daemon.kill()?;
        let clock = FakeClock::new(&stage.gateway)?;
        stage.daemon = clock.start(&stage.gateway)?;
        Ok(Self { stage, clock, ahead: 0, admitted: Vec::new(), told: String::new() })
    }

    /// A knock by the clock as it is opens the service to a source.
    fn lets_in(&mut self, action: u8, source: IpAddr) -> Result<()> {
        let knock = by(self.ahead, action);
        self.stage.knock(&knock, source)?;
        self.stage.opens(source)?;
        self.admitted.push((knock, source));
        Ok(())
    }

    /// Everything that was admitted comes once more, in other datagrams, and opens nothing.
    fn admits_nothing_again(&mut self) -> Result<()> {
        for (knock, source) in &self.admitted {
            self.stage.knock(knock, *source)?;
        }
        // Each was judged by now, for the last of all is.
        let last = self.stage.newcomer()?;
        self.lets_in(OPEN, last)?;
        let told = format!("{}{}", self.told, self.stage.daemon.said());
        for (_, source) in &self.admitted {
            let opened = told.matches(&format!("grant opened source={source} ")).count();
            ensure!(opened == 1, "{source} was let in {opened} times:\n{told}");
        }
        Ok(())
    }

    fn has_a_ban_of_an_hour(&self) -> Result<()> {
        let bans = self.stage.gateway.ctl_json(&["bans"])?;
        let left = bans["bans"][0]["left"].as_u64().with_context(|| format!("no ban in {bans}"))?;
        ensure!((3000..=3600).contains(&left), "{bans}");
        Ok(())
    }
}

/// A knock stamped by a clock that is so many seconds ahead.
fn by(ahead: i64, action: u8) -> Knock {
    Knock { timestamp: now_by(ahead), ..knock(action) }
}

const THREE_HOURS: i64 = 3 * 3600;
const BANNED: &str = "198.51.100.7";
