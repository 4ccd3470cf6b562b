//! The words in a grant's payload: `source=ADDR ttl=10m`. Never says whether what they ask for is allowed.

use std::net::IpAddr;
use std::time::Duration;

use siglatch_common::address::Address;

use super::Refusal;

/// What a payload asks for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Words {
    pub(super) source: Option<Address>,
    pub(super) ttl: Option<Duration>,
}

impl Words {
    /// Reads UTF-8 words separated by spaces; an empty payload has none.
    ///
    /// # Errors
    /// [`Refusal::BadPayload`] for anything unknown, malformed or said twice.
    pub(super) fn read(payload: &[u8]) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(payload).map_err(|_| Refusal::BadPayload)?;
        let mut words = Self::default();
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            let said_before = match word.split_once('=') {
                Some(("source", address)) => {
                    words.source.replace(source(address).ok_or(Refusal::BadPayload)?).is_some()
                }
                Some(("ttl", span)) => words.ttl.replace(ttl(span).ok_or(Refusal::BadPayload)?).is_some(),
                Some(_) | None => return Err(Refusal::BadPayload),
            };
            if said_before {
                return Err(Refusal::BadPayload);
            }
        }
        Ok(words)
    }
}

fn source(text: &str) -> Option<Address> {
    let address = Address::from(text.parse::<IpAddr>().ok()?);
    (!address.is_impossible_source()).then_some(address)
}

/// `30s`, `10m`, `2h` or `1d`; at least one second.
fn ttl(text: &str) -> Option<Duration> {
    let unit = match text.as_bytes().last()? {
        b's' => 1,
        b'm' => 60,
        b'h' => 3_600,
        b'd' => 86_400,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let secs = digits.parse::<u32>().ok()?.checked_mul(unit)?;
    (secs > 0).then(|| Duration::from_secs(secs.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_read_in_any_order() {
        let both = Words { source: Some(Address::v4([192, 0, 2, 1])), ttl: Some(Duration::from_secs(600)) };
        assert_eq!(Words::read(b"source=192.0.2.1 ttl=10m"), Ok(both));
        assert_eq!(Words::read(b"  ttl=600s  source=::ffff:192.0.2.1 "), Ok(both));
        assert_eq!(Words::read(b""), Ok(Words::default()));
    }

    #[test]
    fn what_is_nearly_a_word_is_refused() {
        for payload in [
            "hello",
            "ttl",
            "ttl=",
            "ttl=10",
            "ttl=m",
            "ttl=0s",
            "ttl=-1s",
            "ttl=+1s",
            "ttl=1.5h",
            "ttl=5000000000s",
            "ttl=4294967295d",
            "ttl=10m ttl=10m",
            "TTL=10m",
            "source=",
            "source=host",
            "source=127.0.0.1",
            "source=ff02::1",
            "source=192.0.2.1/32",
            "source=192.0.2.1 source=192.0.2.1",
            "ttl=10m\n",
            "ttl=1\u{664}s",
            "user=1",
        ] {
            assert_eq!(Words::read(payload.as_bytes()), Err(Refusal::BadPayload), "{payload:?}");
        }
        assert_eq!(Words::read(&[0xff]), Err(Refusal::BadPayload));
    }

    proptest! {
        #[test]
        fn no_payload_panics(payload in proptest::collection::vec(any::<u8>(), 0..=199)) {
            let _ = Words::read(&payload);
        }

        #[test]
        fn no_text_panics(payload in "(source=|ttl=)?[0-9a-f:.smhd =\u{e9}]{0,40}") {
            let _ = Words::read(payload.as_bytes());
        }
    }
}
