//! What a user calls a gateway: also a file name, so nothing that could be a path. Never touches a file.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// 1 to 64 characters of `a-z A-Z 0-9 . _ -`, not starting with a dot or a hyphen.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct GatewayName(String);

/// The text is no gateway name.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("a gateway's name is 1 to 64 of the characters a-z A-Z 0-9 . _ - and starts with none of . -")]
pub struct GatewayNameFlaw;

impl GatewayName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GatewayName {
    type Err = GatewayNameFlaw;

    fn from_str(text: &str) -> Result<Self, GatewayNameFlaw> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        match text.len() {
            1..=64 if !text.starts_with(['.', '-']) && text.bytes().all(allowed) => Ok(Self(text.to_owned())),
            _ => Err(GatewayNameFlaw),
        }
    }
}

impl fmt::Display for GatewayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_as_they_are() {
        for text in ["home", "gw.example.net", "A_1-b", &"x".repeat(64)] {
            assert_eq!(text.parse::<GatewayName>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn nothing_path_like_is_a_name() {
        for text in ["", ".", "..", ".hidden", "a/b", "../a", "a\\b", "a b", "C:", "gw\0", "ü", "-h", &"x".repeat(65)]
        {
            assert_eq!(text.parse::<GatewayName>(), Err(GatewayNameFlaw), "{text}");
        }
    }
}
