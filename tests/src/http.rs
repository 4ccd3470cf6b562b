//! HTTP, as much of it as asking for a page takes. Never judges what is on it.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::netns::Namespace;

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub code: u16,
    /// The head, as it came.
    pub head: String,
    /// The body.
    pub body: String,
}

/// Asks a server inside a namespace for a page; `more` are lines of the request's head.
///
/// # Errors
/// If it does not answer.
pub fn get(from: &Namespace, server: SocketAddr, path: &str, more: &str) -> Result<Answer> {
    let own = IpAddr::from([127, 0, 0, 1]);
    let mut stream = from.connect(own, server, PATIENCE).with_context(|| format!("nobody listens at {server}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // Of version 1.0, so that the answer is in one piece and ends with the connection.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {server}\r\n{more}\r\n").as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").with_context(|| format!("this is no HTTP: {text:?}"))?;
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("there is no status")?;
    Ok(Answer { code, head: head.to_owned(), body: body.to_owned() })
}

/// A value for the query of a path: everything but letters and digits is escaped (RFC 3986, section 2.1).
#[must_use]
pub fn escaped(value: &str) -> String {
    let each = value.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    each.collect()
}

const PATIENCE: Duration = Duration::from_secs(60);
