//! The files that the tests' texts name: keys, and a time zone.

use super::*;
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
use rsa::pkcs8::DecodePrivateKey as _;

/// Key files by path; made once, as an RSA key takes its time.
pub(super) static FILES: LazyLock<Table> = LazyLock::new(|| {
    // In a debug build much faster than the other library, which alone makes keys that are too short.
    let private = |size| {
        let key: Pkcs8V1Der<'static> = PrivateDecryptingKey::generate(size).unwrap().as_der().unwrap();
        rsa::RsaPrivateKey::from_pkcs8_der(key.as_ref()).unwrap()
    };
    let pem = |key: &rsa::RsaPrivateKey| key.to_pkcs8_pem(LineEnding::LF).unwrap().as_bytes().to_vec();
    let server = private(KeySize::Rsa2048);
    let public = server.to_public_key().to_public_key_pem(LineEnding::LF).unwrap();
    let short = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 1024).unwrap();
    let mut table = HashMap::new();
    let mut put = |name: &str, mode, owner, contents: &[u8]| {
        table.insert(Path::new(FOLDER).join(name), (mode, owner, contents.to_vec()));
    };
    put("server.key", 0o600, Owner::Root, &pem(&server));
    put("other.key", 0o600, Owner::Root, &pem(&private(KeySize::Rsa2048)));
    put("server.pub.pem", 0o600, Owner::Root, public.as_bytes());
    put("short.key", 0o600, Owner::Root, &pem(&short));
    put("long.key", 0o600, Owner::Root, &pem(&private(KeySize::Rsa3072)));
    put("alice.key", 0o600, Owner::Us, &[1; 32]);
    put("alice.hex", 0o600, Owner::Us, "01".repeat(32).as_bytes());
    put("bob.key", 0o600, Owner::Us, &[2; 32]);
    put("keys/alice.key", 0o600, Owner::Us, &[1; 32]);
    put("keys/bob.key", 0o600, Owner::Us, &[2; 32]);
    put("keys/carol.key", 0o600, Owner::Us, &[3; 32]);
    put("keys/envelope.key", 0o600, Owner::Us, &[4; 32]);
    for name in ["gate-0.key", "keys/gate-0.key"] {
        put(name, 0o600, Owner::Us, &[1; 16]);
    }
    put("gate-0.hex", 0o600, Owner::Us, "01".repeat(16).as_bytes());
    put("gate-1.key", 0o600, Owner::Us, &[2; 16]);
    put("gate-zero.key", 0o600, Owner::Us, &[0; 16]);
    put("gate-world.key", 0o604, Owner::Us, &[3; 16]);
    put("root.key", 0o600, Owner::Root, &[3; 32]);
    put("stranger.key", 0o600, Owner::Stranger { uid: 1000 }, &[4; 32]);
    put("world.key", 0o604, Owner::Us, &[5; 32]);
    put("group.key", 0o640, Owner::Us, &[6; 32]);
    put("daemon.key", 0o640, Owner::Root, &[8; 32]);
    put("server/daemon.key", 0o640, Owner::Root, &pem(&server));
    put("writable/daemon.key", 0o660, Owner::Root, &[8; 32]);
    put("ours/daemon.key", 0o640, Owner::Us, &[8; 32]);
    put("read-only.key", 0o400, Owner::Us, &[7; 32]);
    put("zero.key", 0o600, Owner::Us, &[0; 32]);
    put("empty.key", 0o600, Owner::Us, &[]);
    for folder in ["shared", "sticky", "carol"] {
        table.insert(Path::new("/srv").join(folder).join("a.key"), (0o600, Owner::Us, vec![9; 32]));
    }
    Table(table)
});

pub(super) struct Table(pub(super) HashMap<PathBuf, (u32, Owner, Vec<u8>)>);

impl KeyFiles for Table {
    fn read(&self, path: &Path) -> Result<KeyFile, Unreadable> {
        if path.ends_with("forbidden.key") {
            return Err(Unreadable::Forbidden);
        }
        if path.ends_with("withheld.key") {
            return Err(Unreadable::Withheld);
        }
        let (mode, owner, contents) = self.0.get(path).ok_or(Unreadable::Missing)?;
        let group = if path.ends_with("daemon.key") { 107 } else { 0 };
        let facts = Facts { mode: *mode, owner: *owner, group };
        Ok(KeyFile { contents: Zeroizing::new(contents.clone()), facts })
    }

    fn facts(&self, path: &Path) -> Result<Facts, Unreadable> {
        let facts = |mode, owner| Ok(Facts { mode, owner, group: 1001 });
        match path.to_str() {
            Some("/etc/siglatch/siglatch.toml" | "/etc/siglatch/banned.txt") => facts(0o644, Owner::Root),
            Some("/etc/siglatch" | "/etc/siglatch/keys") => facts(0o755, Owner::Root),
            Some("/etc/siglatch/by-all.txt") => facts(0o646, Owner::Root),
            Some("/etc/siglatch/by-group.txt") => facts(0o664, Owner::Root),
            Some("/etc/siglatch/by-carol.txt") => facts(0o644, Owner::Stranger { uid: 1000 }),
            Some("/srv/shared") => facts(0o777, Owner::Root),
            Some("/srv/sticky") => facts(0o1777, Owner::Root),
            Some("/srv/carol") => facts(0o1755, Owner::Stranger { uid: 1000 }),
            _ => Err(Unreadable::Missing),
        }
    }

    fn zone(&self, name: &str) -> Result<Vec<u8>, Unreadable> {
        match name {
            "Europe/Berlin" => Ok(zone_file("CET-1CEST,M3.5.0,M10.5.0/3")),
            "Damaged" => Ok(b"TZif2".to_vec()),
            _ => Err(Unreadable::Missing),
        }
    }

    fn user(&self, name: &str) -> Option<Account> {
        match name {
            "root" | "0" => Some(Account { uid: 0, gid: 0 }),
            "gate" => Some(Account { uid: 106, gid: 107 }),
            "carol" | "1000" => Some(Account { uid: 1000, gid: 1001 }),
            _ => None,
        }
    }

    fn group(&self, name: &str) -> Option<u32> {
        match name {
            "siglatch-admin" => Some(108),
            "adm" => Some(4),
            _ => None,
        }
    }
}

/// The file of a time zone with one rule for all times (RFC 9636, section 3).
fn zone_file(rule: &str) -> Vec<u8> {
    // A block of one type of local time, UTC, whose name is empty.
    let counts = [0_u32, 0, 0, 0, 1, 1].map(u32::to_be_bytes).concat();
    let block = [b"TZif2".as_slice(), &[0; 15], &counts, &[0; 6], b"\0"].concat();
    [&*block, &*block, b"\n", rule.as_bytes(), b"\n"].concat()
}
