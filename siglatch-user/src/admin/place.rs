//! What a grant opens, as operators write it: `tcp/22`, or `tcp/5432@10.0.0.5` behind the gateway. Never opens it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use siglatch_common::address::Address;

use crate::policy::{Door, DoorFlaw, Service, ServiceFlaw};

/// A service of this host, or of one behind it. Ordered as the gate's grants of one source are.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Place {
    /// The host behind this one; nothing: this one.
    pub destination: Option<Address>,
    /// Its service.
    pub service: Service,
}

impl FromStr for Place {
    type Err = DoorFlaw;

    fn from_str(text: &str) -> Result<Self, DoorFlaw> {
        if text.contains('@') {
            let Door { destination, service } = text.parse()?;
            return Ok(Self { destination: Some(destination), service });
        }
        let service = text.parse().map_err(|flaw: ServiceFlaw| DoorFlaw::Service(flaw))?;
        Ok(Self { destination: None, service })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.destination {
            None => self.service.fmt(f),
            Some(destination) => Door { destination, service: self.service }.fmt(f),
        }
    }
}

impl TryFrom<String> for Place {
    type Error = DoorFlaw;

    fn try_from(text: String) -> Result<Self, DoorFlaw> {
        text.parse()
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_back_as_they_were_written() {
        for text in ["tcp/22", "udp/51820", "tcp/5432@10.0.0.5", "udp/53@2001:db8::5"] {
            let place: Place = text.parse().unwrap();
            assert_eq!((place.to_string(), String::from(place)), (text.to_owned(), text.to_owned()));
        }
        for text in ["", "22", "tcp/0", "tcp/22@", "@10.0.0.5", "tcp/22@10.0.0.0/8"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
