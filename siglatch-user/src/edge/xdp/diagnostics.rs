//! Brings what the XDP program tells of single frames to the log, in words. Never asks it to tell anything.

use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{Log, Metadata, Record};
use siglatch_common::address::Address;
use siglatch_common::outcome::Outcome;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tracing::info;

use super::XdpError;

/// What the program tells of single frames: nothing, as long as the rules want nothing told.
pub struct Diagnostics(AsyncFd<EbpfLogger<Words>>);

impl Diagnostics {
    /// Must be called within a tokio runtime.
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, XdpError> {
        let logger = EbpfLogger::init_with_logger(ebpf, Words).map_err(|_| XdpError::Object("AYA_LOGS"))?;
        // SAFETY: the logger owns its descriptor, gives always the same one, and keeps it open as long as it lives.
        #[expect(unsafe_code, reason = "aya's logger hands out its descriptor; tokio wants a promise about it")]
        let logger = unsafe { AsyncFd::register_with_interest(logger, Interest::READABLE) };
        logger.map(Self).map_err(|error| XdpError::Poll(error.into()))
    }

    /// Logs what is told, as long as the daemon runs.
    ///
    /// # Errors
    /// If it can no longer be waited for.
    pub async fn run(mut self) -> std::io::Result<()> {
        loop {
            let mut ready = self.0.readable_mut().await?;
            ready.clear_ready();
            ready.get_inner_mut().flush();
        }
    }
}

/// Puts words to the numbers that the program tells.
struct Words;

impl Log for Words {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let text = record.args().to_string();
        if let Some((outcome, source)) = read(&text) {
            info!(outcome = outcome.label(), %source, "frame");
        }
    }

    fn flush(&self) {}
}

/// The number of an outcome, and the two halves of an address.
fn read(text: &str) -> Option<(Outcome, Address)> {
    let mut numbers = text.split_ascii_whitespace().map(str::parse::<u64>);
    let mut next = || numbers.next()?.ok();
    let (outcome, first, last) = (next()?, next()?, next()?);
    let outcome = Outcome::from_number(u32::try_from(outcome).ok()?)?;
    Some((outcome, Address::v6((u128::from(first) << 64 | u128::from(last)).to_be_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_program_tells_is_put_into_words() {
        let told = format!("{} 0 {}", Outcome::WrongLength as u32, 0xffff_c000_0207_u64);
        assert_eq!(read(&told), Some((Outcome::WrongLength, Address::v4([192, 0, 2, 7]))));
        assert_eq!(read("99 0 0"), None);
        assert_eq!(read("1 2"), None);
        assert_eq!(read("one two three"), None);
    }
}
