//! The real XDP program under `BPF_PROG_TEST_RUN`: one frame in; verdict, counter and ring record out.
//! Never attaches it to an interface.

use std::os::fd::{AsFd as _, BorrowedFd};

use anyhow::{Context as _, Result, bail, ensure};
use aya::maps::{Array, Map, MapData, MapError, PerCpuArray, RingBuf};
use aya::programs::{ProgramFd, TestRun as _, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};
use rustix::system::uname;
use rustix::time::{ClockId, clock_gettime};
use siglatch_common::address::Address;
use siglatch_common::lane::Lane;
use siglatch_common::layout::{Candidate, OwnBucket, PortRule, PortTable, Tuning};
use siglatch_common::outcome::{Counters, Fate, Outcome};
use siglatch_common::own_addresses::{BUCKETS, bucket_of, empty_bucket, put};
use siglatch_user::edge::xdp::{LiveRules, OBJECT};
use zerocopy::FromBytes as _;

/// A loaded program with maps of its own, pinned nowhere.
pub struct Subject {
    object: Ebpf,
    rings: [RingBuf<MapData>; 3],
    /// What it goes by.
    pub rules: LiveRules,
}

/// What became of one frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Judged {
    /// The one counter that moved.
    pub outcome: Outcome,
    /// What came out of the ring.
    pub candidate: Option<Candidate>,
}

impl Subject {
    /// Loads the program for a host with these knock ports and addresses, and without any limit.
    ///
    /// # Errors
    /// If the kernel refuses the program, which it does without root, or the maps are not what they should be.
    pub fn load(ports: &[PortRule], own: &[Address]) -> Result<Self> {
        Self::with(ports, own, &Tuning::NONE)
    }

    /// Loads the program for a host with these knock ports, addresses and limits.
    ///
    /// # Errors
    /// If the kernel refuses the program, which it does without root, or the maps are not what they should be.
    pub fn with(ports: &[PortRule], own: &[Address], tuning: &Tuning) -> Result<Self> {
        Self::with_room(ports, own, tuning, &[])
    }

    /// Loads the program for a host with these knock ports, addresses and limits, and with room for so many entries in
    /// the maps that are named.
    ///
    /// # Errors
    /// If the kernel refuses the program, which it does without root, or the maps are not what they should be.
    pub fn with_room(
        ports: &[PortRule],
        own: &[Address],
        tuning: &Tuning,
        room: &[(&'static str, u32)],
    ) -> Result<Self> {
        anyhow::ensure!(ports.len() <= PortTable::CAPACITY, "too many knock ports");
        let mut loader = EbpfLoader::new();
        loader.map_max_entries("buckets", tuning.bucket_mask + 1).map_max_entries("copies", tuning.copy_mask + 1);
        for (name, entries) in room {
            loader.map_max_entries(name, *entries);
        }
        let object = loader.load(OBJECT);
        let mut object = object.context("cannot load the XDP object: these tests need root")?;
        let rules = LiveRules::begin(&mut object, ports, tuning)?;
        let program: &mut Xdp = object.program_mut(PROGRAM).context("no program in the object")?.try_into()?;
        program.load().context("the kernel refuses the XDP program: these tests need root")?;
        fill_own_addresses(&mut object, own)?;
        let mut ring = |name| RingBuf::try_from(object.take_map(name).context("no map of that name")?).context(name);
        let rings = [ring("lane_stamped")?, ring("lane_known")?, ring("lane_unknown")?];
        Ok(Self { object, rings, rules })
    }

    /// Runs one frame through the program.
    ///
    /// # Errors
    /// If the kernel does not run it, if not exactly one counter moved by one, if verdict or ring contradict that
    /// counter, or if the frame was changed.
    pub fn judge(&mut self, frame: &[u8]) -> Result<Judged> {
        let before = self.counters()?;
        let earliest = boot_nanos();
        let verdict = self.run(frame)?;
        let latest = boot_nanos();
        let after = self.counters()?;

        let moved: Vec<_> =
            Outcome::ALL.into_iter().filter(|outcome| before.of(*outcome) != after.of(*outcome)).collect();
        let [outcome] = moved[..] else { bail!("{} counters moved: {moved:?}", moved.len()) };
        ensure!(after.of(outcome) == before.of(outcome) + 1, "{} moved by more than one", outcome.label());
        let expected = match outcome.fate() {
            Fate::Drop => XDP_DROP,
            Fate::Pass => XDP_PASS,
        };
        ensure!(verdict == expected, "{} answered {verdict}", outcome.label());
        let candidate = self.take()?;
        ensure!(candidate.is_some() == outcome.is_submitted(), "{} and yet {candidate:?} in the ring", outcome.label());
        if let Some(candidate) = &candidate {
            ensure!((earliest..=latest).contains(&candidate.arrival_ns), "arrived outside of its time");
        }
        ensure!(self.take()?.is_none(), "a second record in the ring");
        Ok(Judged { outcome, candidate })
    }

    /// Runs one frame and leaves what it put into the ring there. Returns the verdict.
    ///
    /// # Errors
    /// If the kernel does not run it, or the frame was changed.
    pub fn run(&self, frame: &[u8]) -> Result<u32> {
        let mut out = vec![0; frame.len()];
        let options = TestRunOptions { data_in: Some(frame), data_out: Some(&mut out), ..TestRunOptions::default() };
        let result = self.program()?.test_run(options).context("the kernel does not run the frame")?;
        ensure!(result.data_size_out as usize == frame.len() && out == frame, "the program changed the frame");
        Ok(result.return_value)
    }

    /// Whether this kernel can do [`Subject::run_split`].
    #[must_use]
    pub fn splits_frames() -> bool {
        let release = uname().release().to_string_lossy().into_owned();
        let mut numbers =
            release.split(|char: char| !char.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
        (numbers.next(), numbers.next()) >= (Some(6), Some(18))
    }

    /// Runs one frame of which only the first `linear` bytes lie in the first buffer, as drivers that split headers
    /// from payloads hand them over. Returns the verdict.
    ///
    /// # Errors
    /// If the kernel does not run it; before 6.18 it cannot.
    pub fn run_split(&self, frame: &[u8], linear: u32) -> Result<u32> {
        // `linux/bpf.h`, `struct xdp_md`: data, data_end, data_meta, three interface numbers.
        let context: Vec<u8> = [0, linear, 0, 0, 0, 0].iter().flat_map(|field: &u32| field.to_ne_bytes()).collect();
        let options = TestRunOptions { data_in: Some(frame), ctx_in: Some(&context), ..TestRunOptions::default() };
        Ok(self.program()?.test_run(options).context("the kernel does not run the split frame")?.return_value)
    }

    /// Takes the oldest record out of a ring, the best lane first.
    ///
    /// # Errors
    /// If it is not of a candidate's size.
    pub fn take(&mut self) -> Result<Option<Candidate>> {
        for (lane, ring) in Lane::ALL.into_iter().zip(&mut self.rings) {
            let Some(record) = ring.next() else { continue };
            let Ok(candidate) = Candidate::read_from_bytes(&record) else {
                bail!("a record of {} bytes in the ring {}", record.len(), lane.label());
            };
            ensure!(candidate.lane() == Some(lane), "a record of {:?} in the ring {}", candidate.lane(), lane.label());
            return Ok(Some(candidate));
        }
        Ok(None)
    }

    /// One of the program's maps.
    ///
    /// # Errors
    /// If there is none of that name and form.
    pub fn map<'a, M: TryFrom<&'a mut Map, Error = MapError>>(&'a mut self, name: &str) -> Result<M> {
        Ok(self.object.map_mut(name).context("no map of that name")?.try_into()?)
    }

    /// All counters, summed over the CPUs.
    ///
    /// # Errors
    /// If the map cannot be read.
    pub fn counters(&self) -> Result<Counters> {
        let counters =
            PerCpuArray::<_, Counters>::try_from(self.object.map("counters").context("no map named counters")?)?;
        Ok(Counters::sum(&counters.get(&0, 0)?))
    }

    /// The loaded program's descriptor.
    ///
    /// # Errors
    /// If it is not loaded.
    pub fn descriptor(&self) -> Result<BorrowedFd<'_>> {
        Ok(self.program()?.fd()?.as_fd())
    }

    /// The loaded program, for those who jump to it.
    ///
    /// # Errors
    /// If it is not loaded.
    pub fn program_descriptor(&self) -> Result<ProgramFd> {
        Ok(self.program()?.fd()?.try_clone()?)
    }

    /// Instructions that the verifier went through, each as often as a way led to it; nothing if this kernel does not say.
    ///
    /// # Errors
    /// If the kernel says nothing of the program.
    pub fn verified_instructions(&self) -> Result<Option<u32>> {
        Ok(self.program()?.info()?.verified_instruction_count())
    }

    fn program(&self) -> Result<&Xdp> {
        Ok(self.object.program(PROGRAM).context("no program in the object")?.try_into()?)
    }
}

fn fill_own_addresses(object: &mut Ebpf, own: &[Address]) -> Result<()> {
    let map = object.map_mut("own_addresses").context("no map named own_addresses")?;
    let mut map = Array::<_, OwnBucket>::try_from(map)?;
    let mut buckets: Vec<_> = (0..BUCKETS).map(empty_bucket).collect();
    for address in own {
        let room = put(&mut buckets[bucket_of(address.halves()) as usize], *address);
        anyhow::ensure!(room, "five addresses in one bucket");
    }
    for (index, bucket) in (0..).zip(buckets) {
        map.set(index, bucket, 0)?;
    }
    Ok(())
}

fn boot_nanos() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

const PROGRAM: &str = "siglatch";

/// `linux/bpf.h`, `enum xdp_action`.
pub const XDP_DROP: u32 = 1;
/// `linux/bpf.h`, `enum xdp_action`.
pub const XDP_PASS: u32 = 2;
