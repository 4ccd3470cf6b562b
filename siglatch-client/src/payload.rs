//! The words that a knock carries for its action: `source=192.0.2.7 ttl=10m`.
//! Never decides what they may be: the gateway's policy does.

use std::net::IpAddr;

use siglatch_common::wire::v1::{PAYLOAD_MAX, Payload};
use thiserror::Error;

use crate::ttl::Ttl;

/// The words of one knock.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Words {
    /// Whom the grant is for.
    pub source: Option<IpAddr>,
    /// For how long.
    pub ttl: Option<Ttl>,
    /// Whatever else the action wants, as it is.
    pub free: String,
}

/// Why words make no payload.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum PayloadFlaw {
    /// A payload holds 199 bytes.
    #[error("the payload is {over} bytes too long: a knock holds {PAYLOAD_MAX}")]
    Long {
        /// Bytes over 199.
        over: usize,
    },
    /// An option and the free text both say it.
    #[error("--payload already has the word {word}: drop --{} or the word", word.trim_end_matches('='))]
    Twice {
        /// The word, with its equals sign.
        word: &'static str,
    },
}

impl Words {
    /// Whether the free text has a word that starts so.
    #[must_use]
    pub fn names(&self, word: &str) -> bool {
        self.free.split_ascii_whitespace().any(|free| free.starts_with(word))
    }

    /// The payload: known words in a fixed order, then the free text.
    ///
    /// # Errors
    /// [`PayloadFlaw`] if the words are too many, or one is there twice.
    pub fn payload(&self) -> Result<Payload, PayloadFlaw> {
        let mut words = Vec::new();
        if let Some(source) = self.source {
            self.not_twice(SOURCE)?;
            words.push(format!("{SOURCE}{source}"));
        }
        if let Some(ttl) = self.ttl {
            self.not_twice(TTL)?;
            words.push(format!("{TTL}{ttl}"));
        }
        if !self.free.is_empty() {
            words.push(self.free.clone());
        }
        let text = words.join(" ");
        Payload::new(text.as_bytes()).ok_or(PayloadFlaw::Long { over: text.len().saturating_sub(PAYLOAD_MAX) })
    }

    fn not_twice(&self, word: &'static str) -> Result<(), PayloadFlaw> {
        if self.names(word) { Err(PayloadFlaw::Twice { word }) } else { Ok(()) }
    }
}

/// The word that names the address of a grant.
pub const SOURCE: &str = "source=";

/// The word that names the time of a grant.
pub const TTL: &str = "ttl=";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(source: Option<&str>, ttl: Option<&str>, free: &str) -> Words {
        Words {
            source: source.map(|source| source.parse().unwrap()),
            ttl: ttl.map(|ttl| ttl.parse().unwrap()),
            free: free.to_owned(),
        }
    }

    fn text(words: &Words) -> String {
        String::from_utf8(words.payload().unwrap().as_bytes().to_vec()).unwrap()
    }

    proptest! {
        #[test]
        fn a_payload_splits_back_into_its_words(source: Option<IpAddr>, seconds in 1..86_400_u32, free in "[a-z]{0,20}") {
            let words = Words { source, ttl: format!("{seconds}s").parse().ok(), free };
            let text = text(&words);
            let back = Words {
                source: text.split(' ').find_map(|word| word.strip_prefix(SOURCE)).map(|word| word.parse().unwrap()),
                ttl: text.split(' ').find_map(|word| word.strip_prefix(TTL)).map(|word| word.parse().unwrap()),
                free: text.split(' ').filter(|word| !word.contains('=')).collect(),
            };
            prop_assert_eq!(back, words);
        }

        #[test]
        fn free_text_goes_as_it_is(free in ".{0,60}") {
            if free.len() <= PAYLOAD_MAX {
                prop_assert_eq!(text(&words(None, None, &free)), free);
            }
        }
    }

    #[test]
    fn words_stand_in_one_order() {
        assert_eq!(text(&words(None, None, "")), "");
        assert_eq!(text(&words(Some("2001:DB8:0::7"), Some("600s"), "note")), "source=2001:db8::7 ttl=10m note");
    }

    #[test]
    fn the_200th_byte_is_too_much() {
        assert!(words(None, None, &"x".repeat(199)).payload().is_ok());
        assert_eq!(words(None, None, &"x".repeat(200)).payload(), Err(PayloadFlaw::Long { over: 1 }));
        let flaw = words(None, Some("10m"), &"x".repeat(199)).payload().unwrap_err();
        assert_eq!(flaw.to_string(), "the payload is 8 bytes too long: a knock holds 199");
    }

    #[test]
    fn a_word_is_said_once() {
        let flaw = words(None, Some("10m"), "a ttl=5m").payload().unwrap_err();
        assert_eq!(flaw.to_string(), "--payload already has the word ttl=: drop --ttl or the word");
        assert!(words(None, None, "ttl=5m").payload().is_ok());
        assert!(words(None, Some("10m"), "battle=5m").payload().is_ok());
    }
}
