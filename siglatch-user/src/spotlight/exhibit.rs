//! How a datagram and a payload stand in the log when they are told in full: one line, no control character, no HMAC.

use std::fmt::Write as _;

use siglatch_common::wire::Wire;

/// The datagram in hex. Where a clear one has its HMAC there are dots: who knows the HMAC of a knock that did not arrive
/// elsewhere could send that knock there.
#[must_use]
pub fn datagram_text(datagram: &[u8], wire: Wire) -> String {
    let hidden = match wire {
        Wire::Clear => HMAC,
        Wire::Sealed | Wire::Stamped => 0..0,
    };
    let mut text = String::with_capacity(2 * datagram.len());
    for (at, byte) in datagram.iter().enumerate() {
        if hidden.contains(&at) {
            text.push_str("..");
        } else {
            let _ = write!(text, "{byte:02x}");
        }
    }
    text
}

/// The payload as printable ASCII, everything else escaped.
#[must_use]
pub fn payload_text(payload: &[u8]) -> String {
    payload.escape_ascii().to_string()
}

/// Where the HMAC stands in a packet of version 1: docs/wire.md.
const HMAC: std::ops::Range<usize> = 12..44;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clear_datagram_is_told_without_its_hmac() {
        let mut datagram = [0x11; 245];
        datagram[HMAC].fill(0xab);
        let text = datagram_text(&datagram, Wire::Clear);
        assert!(!text.contains("ab") && text.len() == 490);
        assert_eq!(text.matches("..").count(), 32);
        assert_eq!(&text[..26], "111111111111111111111111..");
        assert_eq!(&text[86..90], "..11");
    }

    #[test]
    fn a_sealed_datagram_is_told_whole() {
        assert_eq!(datagram_text(&[0xab, 0x01], Wire::Sealed), "ab01");
    }

    #[test]
    fn no_payload_makes_a_second_line_or_moves_the_cursor() {
        let every: Vec<u8> = (0..=255).collect();
        let text = payload_text(&every);
        assert!(text.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{text}");
        assert_eq!(payload_text(b"ttl=1m\n\x1b[2J"), "ttl=1m\\n\\x1b[2J");
    }
}
