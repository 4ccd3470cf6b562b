//! The implementation that decrypts against the one that seals: they agree on every block, good, bad or random.
//! Needs nothing.
#![expect(clippy::unwrap_used, reason = "a suite may fail where it stands")]

use rsa::pkcs8::DecodePrivateKey as _;
use rsa::traits::PublicKeyParts as _;
use rsa::{BigUint, Pkcs1v15Encrypt, RsaPrivateKey};
use siglatch_common::wire::v1::{PACKET_LEN, SEALED_LEN};
use siglatch_tests::mutation::Numbers;
use siglatch_tests::vectors::Vectors;
use siglatch_user::keys::ServerKey;

/// Both implementations, side by side.
struct Both {
    ours: ServerKey,
    theirs: RsaPrivateKey,
}

impl Both {
    fn new() -> Self {
        let pem = Vectors::load_from(&Vectors::default_folder()).unwrap().server_key;
        Self { ours: ServerKey::from_pem(&pem).unwrap(), theirs: RsaPrivateKey::from_pkcs8_pem(&pem).unwrap() }
    }

    fn open(&self, sealed: &[u8; SEALED_LEN]) -> Option<[u8; PACKET_LEN]> {
        let ours = self.ours.open(sealed);
        let theirs = self.theirs.decrypt(Pkcs1v15Encrypt, sealed).ok().and_then(|plain| plain.try_into().ok());
        assert_eq!(ours, theirs, "the implementations disagree on {sealed:02x?}");
        ours
    }

    /// The block that decrypts to exactly these bytes, whatever their padding is worth.
    fn raw(&self, encoded: &[u8; SEALED_LEN]) -> [u8; SEALED_LEN] {
        self.number_block(&BigUint::from_bytes_be(encoded).modpow(self.theirs.e(), self.theirs.n()))
    }

    fn number_block(&self, number: &BigUint) -> [u8; SEALED_LEN] {
        let bytes = number.to_bytes_be();
        let mut block = [0; SEALED_LEN];
        block[SEALED_LEN - bytes.len()..].copy_from_slice(&bytes);
        block
    }
}

#[test]
fn both_rsa_implementations_agree_on_every_recorded_block() {
    let (both, vectors) = (Both::new(), Vectors::load_from(&Vectors::default_folder()).unwrap());
    let blocks = vectors.packets.iter().filter_map(|recorded| <[u8; SEALED_LEN]>::try_from(&recorded.wire[..]).ok());
    let mut opened = 0;
    for block in blocks {
        opened += usize::from(both.open(&block).is_some());
        for bit in [0, 7, 1023, 2047] {
            let mut damaged = block;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(both.open(&damaged), None);
        }
    }
    assert!(opened > 10, "only {opened} blocks opened");
}

#[test]
fn both_rsa_implementations_agree_on_good_and_bad_padding() {
    let both = Both::new();
    let mut numbers = Numbers::seeded(0x00c0_ffee);
    let encoded = |start: [u8; 2], padding: usize, separator: u8, numbers: &mut Numbers| {
        let mut block: [u8; SEALED_LEN] = std::array::from_fn(|_| 1 + (numbers.next() % 255) as u8);
        block[..2].copy_from_slice(&start);
        if let Some(place) = block.get_mut(2 + padding) {
            *place = separator;
        }
        block
    };
    // RFC 8017, section 7.2.1: 0, 2, at least eight bytes that are not zero, 0, the message.
    let right = encoded([0, 2], 8, 0, &mut numbers);
    assert_eq!(both.open(&both.raw(&right)).as_ref().map(<[u8; 245]>::as_slice), Some(&right[11..]));
    for (start, padding, separator) in [
        ([0, 2], 7, 0),
        ([0, 2], 9, 0),
        ([0, 2], 0, 0),
        ([0, 2], 1, 0),
        ([0, 2], 8, 1),
        ([0, 2], 253, 0),
        ([0, 2], 252, 0),
        ([0, 2], 100, 0),
        ([0, 1], 8, 0),
        ([0, 0], 8, 0),
        ([0, 3], 8, 0),
        ([1, 2], 8, 0),
    ] {
        let block = encoded(start, padding, separator, &mut numbers);
        assert_eq!(both.open(&both.raw(&block)), None, "{start:?}, {padding} bytes of padding, then {separator}");
    }
}

#[test]
fn both_rsa_implementations_agree_on_random_and_extreme_blocks() {
    let both = Both::new();
    let mut numbers = Numbers::seeded(0xdead_beef);
    for _ in 0..100 {
        let block = std::array::from_fn(|_| numbers.next() as u8);
        assert_eq!(both.open(&block), None);
    }
    let one = BigUint::from(1_u8);
    for number in
        [BigUint::from(0_u8), one.clone(), both.theirs.n() - &one, both.theirs.n().clone(), both.theirs.n() + &one]
    {
        assert_eq!(both.open(&both.number_block(&number)), None);
    }
    assert_eq!(both.open(&[0xff; SEALED_LEN]), None);
}
