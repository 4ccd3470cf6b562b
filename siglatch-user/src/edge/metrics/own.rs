//! What the system says of this process: memory, descriptors. Never says what is too much.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use rustix::fs::Dir;
use rustix::process::{Resource, getrlimit};

use crate::metrics::Process;

/// The files of `/proc` that say it, opened while this process may still open them.
#[derive(Debug)]
pub struct Own {
    memory: Option<File>,
    descriptors: Option<File>,
}

impl Own {
    /// Opens them; what cannot be opened is not told.
    #[must_use]
    pub fn open() -> Self {
        Self { memory: File::open("/proc/self/statm").ok(), descriptors: File::open("/proc/self/fd").ok() }
    }

    /// What they say.
    #[must_use]
    pub fn read(&self) -> Process {
        Process {
            resident: self.resident(),
            descriptors: self.descriptors(),
            descriptors_max: getrlimit(Resource::Nofile).current,
        }
    }

    /// proc(5): the second number of `statm` is resident pages.
    fn resident(&self) -> Option<u64> {
        let mut bytes = [0; 128];
        let length = self.memory.as_ref()?.read_at(&mut bytes, 0).ok()?;
        let text = std::str::from_utf8(bytes.get(..length)?).ok()?;
        let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
        Some(pages * rustix::param::page_size() as u64)
    }

    fn descriptors(&self) -> Option<u64> {
        let folder = self.descriptors.as_ref()?.try_clone().ok()?;
        let mut folder = Dir::new(folder).ok()?;
        folder.rewind();
        let entries = folder.filter_map(Result::ok).filter(|entry| !entry.file_name().to_bytes().starts_with(b"."));
        // The clone that this is read with is among them.
        Some((entries.count() as u64).saturating_sub(1))
    }
}
