//! What the system says of this process: memory, descriptors. Never says what is too much.

use std::fs::File;
use std::mem::MaybeUninit;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{RawDir, SeekFrom, seek};
use rustix::process::{Resource, getrlimit};

use crate::edge::descriptors;
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
            shortages: descriptors::shortages(),
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

    /// Takes none for itself: there may be no more.
    fn descriptors(&self) -> Option<u64> {
        let folder = self.descriptors.as_ref()?;
        seek(folder, SeekFrom::Start(0)).ok()?;
        let mut room = [MaybeUninit::uninit(); 4096];
        let mut entries = RawDir::new(folder, &mut room);
        let mut open = 0;
        while let Some(entry) = entries.next() {
            open += u64::from(!entry.ok()?.file_name().to_bytes().starts_with(b"."));
        }
        Some(open)
    }
}
