//! Where the tests play: a home with profiles, and a gateway that takes what comes. Never asserts what a test is about.

use std::ffi::OsStr;
use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::time::Duration;

use rsa::pkcs8::{EncodePublicKey as _, LineEnding};
use rsa::{Pkcs1v15Encrypt, RsaPrivateKey};
use siglatch_common::enrolment::{EnrolledAction, EnrolledGateKey, EnrolledUser, Enrolment};
use siglatch_common::seal::{self, GateKey, HmacKey};
use siglatch_common::stamp::{Epoch, STAMP_LEN, Slot, stamp_sealed};
use siglatch_common::wire::v1::Packet;
use tempfile::TempDir;

pub(super) const KEY: &str = "00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210";

pub(super) const GATE_KEY: &str = "ffeeddccbbaa99887766554433221100";

static SERVER: LazyLock<RsaPrivateKey> =
    LazyLock::new(|| RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap());

pub(super) struct Home(pub(super) TempDir);

impl Home {
    pub(super) fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn with_profile(change: impl FnOnce(&mut Enrolment)) -> Self {
        let home = Self::empty();
        let file = home.write("enrolment.toml", enrolment(change).as_bytes(), 0o600);
        let out = home.run(&["import", &file]);
        assert_eq!(out.code(), 0, "{out:?}");
        home
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    pub(super) fn profile(&self, gateway: &str) -> PathBuf {
        self.0.path().join(format!("siglatch/{gateway}.toml"))
    }

    pub(super) fn write(&self, name: &str, contents: impl AsRef<[u8]>, mode: u32) -> String {
        let path = self.path(name);
        fs::write(&path, contents).unwrap();
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        let _ = mode;
        path
    }

    /// Permission bits of a file among the profiles, or of their folder.
    pub(super) fn mode(&self, name: &str) -> u32 {
        let metadata = fs::metadata(self.0.path().join("siglatch").join(name)).unwrap();
        #[cfg(unix)]
        return std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
        #[cfg(not(unix))]
        return if metadata.is_dir() { 0o700 } else { 0o600 };
    }

    pub(super) fn command(&self, args: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_siglatch"));
        command.args(args).env("XDG_CONFIG_HOME", self.0.path()).current_dir(self.0.path());
        command
    }

    pub(super) fn run(&self, args: &[impl AsRef<OsStr>]) -> Ran {
        let ran = Ran(self.command(args).output().unwrap());
        let shown = ran.stdout() + &ran.stderr();
        assert!(!shown.contains(&KEY[..16]) && !shown.contains(&GATE_KEY[..16]), "a key was printed: {ran:?}");
        ran
    }

    pub(super) fn fails(&self, args: &[impl AsRef<OsStr>], words: &[&str]) {
        let out = self.run(args);
        assert!([1, 77, 78].contains(&out.code()), "{out:?}");
        for word in words {
            assert!(format!("{}{}", out.stdout(), out.stderr()).contains(word), "{word}: {}", out.stderr());
        }
    }
}

#[derive(Debug)]
pub(super) struct Ran(pub(super) Output);

impl Ran {
    pub(super) fn stdout(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    pub(super) fn stderr(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).unwrap()
    }

    pub(super) fn code(&self) -> i32 {
        self.0.status.code().unwrap()
    }
}

pub(super) struct Gateway(UdpSocket);

impl Gateway {
    pub(super) fn listen(address: &str) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self(socket)
    }

    pub(super) fn port(&self) -> String {
        self.0.local_addr().unwrap().port().to_string()
    }

    pub(super) fn clear(&self) -> (Packet, usize) {
        let datagram = self.datagram();
        let len = datagram.len();
        (Packet::decode(&datagram.try_into().unwrap()).unwrap(), len)
    }

    pub(super) fn opened(&self) -> (Packet, usize) {
        let datagram = self.datagram();
        (open(&datagram), datagram.len())
    }

    /// What is behind the stamp, which was made with this number's key in the epoch of the packet.
    pub(super) fn stamped(&self, number: u8) -> (Packet, usize) {
        let datagram = self.datagram();
        let (stamp, sealed) = datagram.split_first_chunk::<STAMP_LEN>().unwrap();
        let packet = open(sealed);
        let epoch = Epoch::at(packet.timestamp.into());
        let key = GateKey::parse(GATE_KEY.as_bytes()).unwrap().of_epoch(epoch);
        let slot = Slot::new(number, epoch).unwrap();
        assert_eq!(*stamp, stamp_sealed(slot, key, sealed.try_into().unwrap()));
        (packet, datagram.len())
    }

    /// Datagrams that came and were not looked at.
    pub(super) fn waiting(&self) -> usize {
        self.0.set_nonblocking(true).unwrap();
        std::iter::from_fn(|| self.0.recv(&mut [0; 512]).ok()).count()
    }

    fn datagram(&self) -> Vec<u8> {
        let mut bytes = [0; 512];
        let len = self.0.recv(&mut bytes).unwrap();
        bytes[..len].to_vec()
    }
}

fn open(sealed: &[u8]) -> Packet {
    let opened = SERVER.decrypt(Pkcs1v15Encrypt, sealed).unwrap();
    Packet::decode(&opened.try_into().unwrap()).unwrap()
}

/// Makes the profile one for a stamped knock port.
pub(super) fn stamped(profile: &mut Enrolment, number: u8) {
    profile.wire = "stamped".to_owned();
    profile.gate_key = Some(EnrolledGateKey { number, key: GATE_KEY.to_owned() });
}

pub(super) fn assert_authentic(packet: &Packet) {
    let key = HmacKey::parse(KEY.as_bytes()).unwrap();
    assert_eq!(packet.hmac, seal::hmac(packet, &key));
}

pub(super) fn server_pem() -> String {
    SERVER.to_public_key().to_public_key_pem(LineEnding::LF).unwrap()
}

pub(super) fn enrolment(change: impl FnOnce(&mut Enrolment)) -> String {
    let action = |id, source: Option<&str>| EnrolledAction { id, source: source.map(str::to_owned) };
    let mut enrolment = Enrolment {
        siglatch: 1,
        gateway: "home".to_owned(),
        host: "127.0.0.1".to_owned(),
        port: 62201,
        wire: "sealed".to_owned(),
        server_key: server_pem(),
        gate_key: None,
        user: EnrolledUser { name: "alice".to_owned(), id: 7, key: KEY.to_owned() },
        action: [
            ("ssh", action(1, None)),
            ("matched", action(2, Some("match"))),
            ("claimed", action(3, Some("claimed"))),
        ]
        .map(|(name, action)| (name.to_owned(), action))
        .into(),
        sequence: [("vault".to_owned(), ["ssh", "matched", "claimed"].map(str::to_owned).into())].into(),
    };
    change(&mut enrolment);
    toml::to_string(&enrolment).unwrap()
}
