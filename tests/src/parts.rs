//! The filter's parts, each a program of its own under `BPF_PROG_TEST_RUN`: what one look-up or hash costs.
//! Never attached to an interface.

use std::os::fd::{AsFd as _, BorrowedFd};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{Map, MapError, ProgramArray};
use aya::programs::{ProgramFd, TestRun as _, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};

use crate::bpf::XDP_DROP;

/// The parts, as an ELF object.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/siglatch-parts.o"));

/// The parts, loaded with maps of their own.
pub struct Parts(Ebpf);

/// How large their maps are.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Entries of the hash, and of the trie.
    pub entries: u32,
    /// Places in the array, a power of two.
    pub places: u32,
    /// Entries of the LRU hash.
    pub lru: u32,
}

impl Parts {
    /// Has the kernel make the maps; no program is loaded yet.
    ///
    /// # Errors
    /// If it refuses, which it does without root.
    pub fn load(sizes: Sizes) -> Result<Self> {
        let mut loader = EbpfLoader::new();
        let mask = sizes.places - 1;
        loader
            .override_global("MASK", &mask, true)
            .map_max_entries("hash", sizes.entries)
            .map_max_entries("trie", sizes.entries)
            .map_max_entries("array", sizes.places)
            .map_max_entries("lru", sizes.lru);
        Ok(Self(loader.load(OBJECT).context("cannot load the parts of the XDP program: this needs root")?))
    }

    /// One of the programs, such as `part_hash`.
    ///
    /// # Errors
    /// If there is none of that name, or the kernel refuses it.
    pub fn program(&mut self, name: &str) -> Result<BorrowedFd<'_>> {
        let program: &mut Xdp = self.0.program_mut(name).context(format!("no program {name}"))?.try_into()?;
        if program.fd().is_err() {
            program.load().context(format!("the kernel refuses {name}"))?;
        }
        Ok(program.fd()?.as_fd())
    }

    /// Runs a program once; returns what it made of the frame.
    ///
    /// # Errors
    /// As [`Parts::program`]; and if it does not answer that all is well.
    pub fn run(&mut self, name: &str, frame: &[u8]) -> Result<Vec<u8>> {
        self.program(name)?;
        let program: &Xdp = self.0.program(name).context("no such program")?.try_into()?;
        let mut out = vec![0; frame.len()];
        let options = TestRunOptions { data_in: Some(frame), data_out: Some(&mut out), ..TestRunOptions::default() };
        let verdict = program.test_run(options)?.return_value;
        ensure!(verdict == XDP_DROP, "{name} answered {verdict}");
        Ok(out)
    }

    /// One of the maps.
    ///
    /// # Errors
    /// If there is none of that name and form.
    pub fn map<'a, M: TryFrom<&'a mut Map, Error = MapError>>(&'a mut self, name: &str) -> Result<M> {
        Ok(self.0.map_mut(name).context("no map of that name")?.try_into()?)
    }

    /// Makes `part_forge` jump to that program.
    ///
    /// # Errors
    /// If the kernel refuses: the program must be for XDP, and for frames of several pieces.
    pub fn forge_for(&mut self, program: &ProgramFd) -> Result<()> {
        Ok(self.map::<ProgramArray<_>>("jump")?.set(0, program, 0)?)
    }

    /// The descriptor of one of the programs, for [`Parts::forge_for`].
    ///
    /// # Errors
    /// As [`Parts::program`].
    pub fn descriptor(&mut self, name: &str) -> Result<ProgramFd> {
        self.program(name)?;
        let program: &Xdp = self.0.program(name).context("no such program")?.try_into()?;
        Ok(program.fd()?.try_clone()?)
    }
}
