//! Single operations that decisions rest on: the private key by two implementations, and a nonce on the disk.
//! Never runs a daemon.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rsa::pkcs8::DecodePrivateKey as _;
use rsa::rand_core::OsRng;
use rsa::{Pkcs1v15Encrypt, RsaPrivateKey};
use rustix::time::{ClockId, Timespec, clock_gettime};
use siglatch_common::wire::v1::UserId;
use siglatch_user::edge::clock;
use siglatch_user::edge::nonce_store::NonceStore;
use siglatch_user::gate::Nonce;

use crate::bed::Bed;
use crate::figures::{Figure, median};
use crate::letters::server_key;

/// CPU time of one operation on a sound knock, by each implementation; the floor of both is the faster one.
pub(crate) fn private_key(bed: &Bed) -> Result<Vec<Figure>> {
    let ours = server_key(&bed.server_key_file())?;
    let other = RsaPrivateKey::from_pkcs8_pem(&fs::read_to_string(bed.server_key_file())?)?;
    let sealed = bed.writer()?.knock()?;
    let (mut by_ours, mut by_other) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        by_ours.push(cpu_micros(|| ours.open(&sealed).is_some())?);
        by_other.push(cpu_micros(|| other.decrypt_blinded(&mut OsRng, Pkcs1v15Encrypt, &sealed).is_ok())?);
    }
    let (by_ours, by_other) = (median(by_ours), median(by_other));
    let figure = |name: &str, value| Figure { name: name.into(), value, unit: "us", floor: by_ours, target: None };
    Ok(vec![figure("private_key.aws_lc_rs", by_ours), figure("private_key.rsa", by_other)])
}

/// One nonce kept, and one lease written through to the disk, beside a bare write of as many bytes to the same disk.
pub(crate) fn nonces(folder: &Path) -> Result<Vec<Figure>> {
    let folder = folder.join("bench-nonces");
    fs::create_dir_all(&folder)?;
    let now = clock::now();
    let (mut store, ..) = NonceStore::open(&folder, Duration::from_secs(60), now)?;
    let mut bare = File::create(folder.join("bare"))?;
    let [mut append, mut bare_append, mut lease, mut bare_lease] = [const { Vec::new() }; 4];
    for round in 0..4 * ROUNDS {
        let nonce = Nonce { user: UserId(1), timestamp: 1, challenge: round };
        append.push(wall_micros(|| Ok(store.remember(&[nonce])?))?);
        bare_append.push(wall_micros(|| Ok(bare.write_all(&RECORD)?))?);
        lease.push(wall_micros(|| Ok(store.lease(now.wall)?))?);
        bare_lease.push(wall_micros(|| {
            bare.write_all(&RECORD)?;
            Ok(bare.sync_data()?)
        })?);
    }
    drop(store);
    fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let figure = |name: &str, values, floors| Figure {
        name: name.into(),
        value: median(values),
        unit: "us",
        floor: median(floors),
        target: None,
    };
    Ok(vec![figure("nonce.append", append, bare_append), figure("nonce.fdatasync", lease, bare_lease)])
}

fn cpu_micros(operation: impl Fn() -> bool) -> Result<f64> {
    let begin = thread_cpu();
    for _ in 0..REPEAT {
        ensure!(operation(), "a sound knock does not open");
    }
    Ok((thread_cpu() - begin).as_secs_f64() * 1e6 / f64::from(REPEAT))
}

fn wall_micros(mut operation: impl FnMut() -> Result<()>) -> Result<f64> {
    let begin = Instant::now();
    operation()?;
    Ok(begin.elapsed().as_secs_f64() * 1e6)
}

/// What the calling thread has had of a processor.
pub(crate) fn thread_cpu() -> Duration {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(tv_sec.cast_unsigned(), u32::try_from(tv_nsec).unwrap_or(0))
}

const ROUNDS: u32 = 25;
const REPEAT: u32 = 10;
/// As long as a record of the nonce store.
const RECORD: [u8; 16] = [0; 16];
