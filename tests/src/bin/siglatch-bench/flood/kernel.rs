//! What the filter's answers to a flood cost, each beside the parts that it is made of, timed in turns with them.
//! Never attaches anything.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::rc::Rc;

use anyhow::{Context as _, Result, ensure};
use aya::programs::ProgramFd;
use siglatch_common::outcome::Outcome;
use siglatch_tests::bpf::XDP_DROP;
use siglatch_tests::parts::Parts;
use siglatch_tests::raw_bpf::time;
use siglatch_tests::scene::STRANGER;

use super::filter::{Filter, LARGE, SMALL, Strictness, datagram, knock, large_parts, small_parts, stamped};
use crate::figures::{Figure, Target, median};

/// Times everything, in turns, in rounds that have nothing in common: where the kernel happens to put a map decides about
/// some of what random look-ups in it cost.
pub(super) fn figures(rounds: u32) -> Result<Vec<Figure>> {
    let mut medians = BTreeMap::<String, Vec<f64>>::new();
    for _ in 0..rounds {
        for (name, nanos) in round()? {
            medians.entry(name).or_default().push(nanos);
        }
    }
    Medians(medians.into_iter().map(|(name, values)| (name, median(values))).collect()).figures()
}

/// Nanoseconds a frame, by name.
fn round() -> Result<Vec<(String, f64)>> {
    let mut course = Course { forge: Rc::new(RefCell::new(small_parts()?)), runners: Vec::new() };
    let small = Rc::new(Filter::load(Strictness::OfSources, SMALL)?);
    let large = Rc::new(Filter::load(Strictness::OfSources, LARGE)?);
    let lax = Rc::new(Filter::load(Strictness::OfLanes, SMALL)?);
    course.add_parts()?;
    course.add_wholes(&small, &lax)?;
    course.add_forged_wholes(&[("forged_64k", &small, SMALL), ("forged_1m", &large, LARGE)])?;
    (0..TURNS).try_for_each(|_| course.turn())?;
    Ok(course.runners.into_iter().map(|runner| (runner.name, median(runner.nanos))).collect())
}

/// Programs to be timed in turns.
struct Course {
    /// Has the program that forges sources, and then jumps to another.
    forge: Rc<RefCell<Parts>>,
    runners: Vec<Runner>,
}

struct Runner {
    name: String,
    program: ProgramFd,
    /// What to come from.
    forge: Option<Rc<RefCell<Parts>>>,
    frame: Vec<u8>,
    /// The filter that must count this outcome.
    counting: Option<(Rc<Filter>, Outcome)>,
    nanos: Vec<f64>,
}

impl Course {
    fn add_parts(&mut self) -> Result<()> {
        let mut parts = [small_parts()?, large_parts()?];
        let (small, large) = (0, 1);
        for (name, which, program) in [
            ("empty", small, "part_empty"),
            ("source", small, "part_source"),
            ("parse", small, "part_parse"),
            ("counter", small, "part_counter"),
            ("own_addresses", small, "part_own"),
            ("allowlist", large, "part_trie"),
            ("blacklist", small, "part_hash"),
            ("blacklist_networks", small, "part_trie"),
            ("known", large, "part_hash"),
            ("hash_of_source", small, "part_spread"),
            ("array", small, "part_array"),
            ("bucket_64k", small, "part_bucket"),
            ("bucket_1m", large, "part_bucket"),
            ("lru_1m", large, "part_lru"),
            ("copy", small, "part_copy"),
            ("budget", small, "part_budget"),
            ("stamp", small, "part_stamp"),
            ("boot_clock", small, "part_boot_clock"),
        ] {
            for (prefix, forge) in [("", None), ("forged_", Some(Rc::clone(&self.forge)))] {
                let (program, frame) = (parts[which].descriptor(program)?, stamped(STRANGER.v4));
                self.runners.push(Runner {
                    name: format!("{prefix}part.{name}"),
                    program,
                    forge,
                    frame,
                    counting: None,
                    nanos: Vec::new(),
                });
            }
        }
        // Full, as it is a second after a flood has begun.
        self.forge(&parts[large].descriptor("part_lru")?, &stamped(STRANGER.v4), 3 * LARGE)
    }

    /// Each answer, to one source.
    fn add_wholes(&mut self, small: &Rc<Filter>, lax: &Rc<Filter>) -> Result<()> {
        let (first, second) = (knock(STRANGER.v4, 1), knock(STRANGER.v4, 2));
        for (name, filter, outcome, frame) in [
            ("wrong_length", small, Outcome::WrongLength, datagram(STRANGER.v4, 200)),
            ("ban_hit", small, Outcome::Banned, knock(Filter::BANNED_FOR_NOW, 1)),
            ("endless_ban_hit", small, Outcome::Banned, knock(Filter::BANNED, 1)),
            ("rate_limit_hit", small, Outcome::OverRate, first.clone()),
            ("copy", lax, Outcome::Copy, first),
            ("over_budget", lax, Outcome::OverBudgetUnknown, second),
            ("wrong_stamp", lax, Outcome::WrongStamp, stamped(STRANGER.v4)),
        ] {
            // The first one has what those after it are refused.
            time(filter.descriptor()?, &frame, 2)?;
            self.add_whole(name, filter, None, frame, outcome)?;
        }
        Ok(())
    }

    /// Too much from each of more sources than there are places.
    fn add_forged_wholes(&mut self, filters: &[(&str, &Rc<Filter>, u32)]) -> Result<()> {
        for (name, filter, places) in filters {
            let frame = knock(STRANGER.v4, 1);
            // By then one place in 3,000 has not been used up.
            self.forge(&filter.program()?, &frame, 8 * places)?;
            self.add_whole(name, filter, Some(Rc::clone(&self.forge)), frame, Outcome::OverRate)?;
        }
        Ok(())
    }

    fn add_whole(
        &mut self,
        name: &str,
        filter: &Rc<Filter>,
        forge: Option<Rc<RefCell<Parts>>>,
        frame: Vec<u8>,
        outcome: Outcome,
    ) -> Result<()> {
        self.runners.push(Runner {
            name: name.into(),
            program: filter.program()?,
            forge,
            frame,
            counting: Some((Rc::clone(filter), outcome)),
            nanos: Vec::new(),
        });
        Ok(())
    }

    fn forge(&self, program: &ProgramFd, frame: &[u8], repeat: u32) -> Result<()> {
        let mut forge = self.forge.borrow_mut();
        forge.forge_for(program)?;
        time(forge.program(FORGE)?, frame, repeat)?;
        Ok(())
    }

    fn turn(&mut self) -> Result<()> {
        self.runners.iter_mut().try_for_each(Runner::run)
    }
}

impl Runner {
    fn run(&mut self) -> Result<()> {
        let before = self.counted()?;
        let timed = match &self.forge {
            None => time(self.program.as_fd(), &self.frame, REPEAT),
            Some(forge) => {
                let mut forge = forge.borrow_mut();
                forge.forge_for(&self.program)?;
                time(forge.program(FORGE)?, &self.frame, REPEAT)
            }
        };
        let timed = timed.with_context(|| self.name.clone())?;
        ensure!(timed.verdict == XDP_DROP, "{} answered {}", self.name, timed.verdict);
        if let (Some(before), Some(after)) = (before, self.counted()?) {
            let counted = after - before;
            ensure!(counted >= u64::from(REPEAT) * 99 / 100, "{}: {counted} of {REPEAT} frames", self.name);
        }
        self.nanos.push(f64::from(timed.nanos));
        Ok(())
    }

    fn counted(&self) -> Result<Option<u64>> {
        self.counting.as_ref().map(|(filter, outcome)| Ok(filter.counters()?.of(*outcome))).transpose()
    }
}

/// Nanoseconds a frame, by name.
struct Medians(BTreeMap<String, f64>);

impl Medians {
    fn figures(&self) -> Result<Vec<Figure>> {
        let empty = self.of("part.empty")?;
        let every = ["parse", "counter", "own_addresses", "own_addresses"];
        let lists = [&every[..], &["allowlist", "blacklist", "blacklist_networks", "known"]].concat();
        let refused = |bucket| [&lists[..], &[bucket]].concat();
        let copy = [&refused("bucket_64k")[..], &["copy"]].concat();
        let mut figures = vec![figure("empty", empty, empty, None)];
        for (name, parts) in [
            ("ban_hit", [&every[..], &["allowlist", "blacklist", "boot_clock"]].concat()),
            ("endless_ban_hit", [&every[..], &["allowlist", "blacklist"]].concat()),
            ("rate_limit_hit", refused("bucket_64k")),
            ("copy", copy.clone()),
            ("wrong_stamp", [&every[..], &["key_of_slot", "stamp"]].concat()),
            ("over_budget", [&copy[..], &["budget"]].concat()),
        ] {
            figures.push(figure(name, self.of(name)?, empty, None));
            figures.push(figure(&format!("{name}.parts"), self.of(name)?, self.sum("", &parts)?, Some(TO_PARTS)));
        }
        let forged_empty = self.of("forged_part.empty")?;
        for (name, bucket) in [("forged_64k", "bucket_64k"), ("forged_1m", "bucket_1m")] {
            figures.push(figure(name, self.of(name)?, forged_empty, None));
            let sum = self.sum("forged_", &refused(bucket))?;
            figures.push(figure(&format!("{name}.parts"), self.of(name)?, sum, Some(TO_PARTS)));
        }
        // The same token bucket in an array and in a hash that forgets.
        let (bucket, forgetful) = (self.part("forged_", "bucket_1m")?, self.part("forged_", "lru_1m")?);
        figures.push(figure("forged_1m.limit", bucket, forgetful, Some(Target::RatioAtMost(0.25))));
        for (prefix, name) in [("", "part"), ("forged_", "forged_part")] {
            for part in PARTS {
                figures.push(figure(&format!("{name}.{part}"), self.part(prefix, part)?, empty, None));
            }
        }
        Ok(figures)
    }

    /// What a frame would cost that these parts are all there is to.
    ///
    /// Behind the program that forges, the processor does some of a part's work while it waits; alone, the part counts
    /// for what it adds there or without forging, whichever is more.
    fn sum(&self, prefix: &str, parts: &[&str]) -> Result<f64> {
        let alone = |part: &&str| Ok(self.part("", part)?.max(self.part(prefix, part)?));
        let sum: f64 = parts.iter().map(alone).sum::<Result<_>>()?;
        Ok(self.of(&format!("{prefix}part.empty"))? + sum)
    }

    /// What a part adds to a program that does nothing else.
    fn part(&self, prefix: &str, part: &str) -> Result<f64> {
        let of = |part: &str| self.of(&format!("{prefix}part.{part}"));
        Ok(match part {
            // A look-up without the hash.
            "key_of_slot" => of("array")? - of("hash_of_source")?,
            "parse" | "counter" | "stamp" | "copy" | "budget" | "boot_clock" => of(part)? - of("empty")?,
            _ => of(part)? - of("source")?,
        }
        .max(0.0))
    }

    fn of(&self, name: &str) -> Result<f64> {
        self.0.get(name).copied().with_context(|| format!("{name} was not timed"))
    }
}

fn figure(name: &str, value: f64, floor: f64, target: Option<Target>) -> Figure {
    Figure { name: format!("flood.xdp.{name}"), value, unit: "ns/packet", floor, target }
}

/// What is told of, alone.
const PARTS: [&str; 16] = [
    "parse",
    "counter",
    "own_addresses",
    "allowlist",
    "blacklist",
    "blacklist_networks",
    "known",
    "hash_of_source",
    "bucket_64k",
    "bucket_1m",
    "lru_1m",
    "copy",
    "budget",
    "key_of_slot",
    "stamp",
    "boot_clock",
];

const FORGE: &str = "part_forge";
const TO_PARTS: Target = Target::RatioAtMost(1.2);
/// Calls of each program in a round.
const TURNS: u32 = 7;
/// Packets a call; a call costs some 20 ms besides them.
const REPEAT: u32 = 200_000;
