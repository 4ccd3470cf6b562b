//! The terminal, taken over for a while: a screen of its own, and keys as they are typed. Never decides what is shown.

use std::io::{self, IsTerminal as _, Write as _, stdin, stdout};
use std::process;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};

/// The terminal, until dropped. It is given back, too, when the program panics or a signal ends it.
#[derive(Debug)]
pub struct Terminal {
    drawn: Size,
}

/// How large the terminal is, in characters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Size {
    /// Characters of a line.
    pub columns: usize,
    /// Lines.
    pub rows: usize,
}

/// Why waiting is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Woken {
    /// A key was hit; control keys by their ASCII code.
    Key(u8),
    /// Whoever typed has gone.
    Left,
    /// The terminal has another size.
    Resized,
    /// The time is over.
    Timeout,
}

impl Terminal {
    /// Takes the terminal over; nothing if there is none, or one that can only print.
    ///
    /// # Errors
    /// If the terminal cannot be set, or the system gives no thread.
    pub fn take() -> io::Result<Option<Self>> {
        let able = std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
        if !(able && stdin().is_terminal() && stdout().is_terminal()) {
            return Ok(None);
        }
        let before = tcgetattr(stdin())?;
        let mut keys = before.clone();
        keys.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        keys.special_codes[SpecialCodeIndex::VMIN] = 1;
        keys.special_codes[SpecialCodeIndex::VTIME] = 0;
        *saved() = Some(before);
        give_back_on_panic();
        give_back_on_signals()?;
        tcsetattr(stdin(), OptionalActions::Flush, &keys)?;
        let terminal = Self { drawn: size() };
        write(ENTER)?;
        Ok(Some(terminal))
    }

    /// How large it is.
    #[must_use]
    pub fn size(&self) -> Size {
        size()
    }

    /// Shows these lines, from the top, and nothing else. They must not be longer than the terminal's.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        self.drawn = size();
        let mut text = String::from(BEGIN);
        for (row, line) in lines.iter().take(self.drawn.rows).enumerate() {
            if row > 0 {
                text.push_str("\r\n");
            }
            text.push_str(line);
            text.push_str(CLEAR_LINE);
        }
        text.push_str(CLEAR_BELOW);
        text.push_str(END);
        write(&text)
    }

    /// Waits for a key or another size.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub fn wait(&self, span: Duration) -> io::Result<Woken> {
        let deadline = Instant::now() + span;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.drawn != size() {
                return Ok(Woken::Resized);
            }
            if left.is_zero() {
                return Ok(Woken::Timeout);
            }
            let slice = left.min(SLICE);
            let timeout = Timespec { tv_sec: 0, tv_nsec: slice.subsec_nanos().into() };
            match poll(&mut [PollFd::new(&stdin(), PollFlags::IN)], Some(&timeout)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => {
                    // A key such as an arrow is several bytes at once, and none of ours.
                    let mut bytes = [0; 64];
                    match rustix::io::read(stdin(), &mut bytes)? {
                        0 => return Ok(Woken::Left),
                        1 => return Ok(Woken::Key(bytes[0])),
                        _ => {}
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back();
    }
}

/// Waits, without a terminal.
pub fn pause(span: Duration) {
    thread::sleep(span);
}

/// What the terminal was like; nothing if it is ours no more.
fn saved() -> std::sync::MutexGuard<'static, Option<Termios>> {
    static SAVED: Mutex<Option<Termios>> = Mutex::new(None);
    SAVED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives the terminal back, once.
fn give_back() {
    if let Some(before) = saved().take() {
        let _ = write(LEAVE);
        let _ = tcsetattr(stdin(), OptionalActions::Flush, &before);
    }
}

fn give_back_on_panic() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        give_back();
        before(panic);
    }));
}

/// On a thread of its own, which ends with the process.
fn give_back_on_signals() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut hangup, mut interrupt, mut terminate) = {
        let _within = runtime.enter();
        (signal(SignalKind::hangup())?, signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    thread::Builder::new().name("signals".into()).spawn(move || {
        let code = runtime.block_on(async {
            tokio::select! {
                _ = hangup.recv() => libc::SIGHUP,
                _ = interrupt.recv() => libc::SIGINT,
                _ = terminate.recv() => libc::SIGTERM,
            }
        });
        give_back();
        process::exit(128 + code);
    })?;
    Ok(())
}

/// That of a terminal that says none is the VT100's.
fn size() -> Size {
    let size = tcgetwinsize(stdout()).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
    size.map_or(Size { columns: 80, rows: 24 }, |size| Size { columns: size.ws_col.into(), rows: size.ws_row.into() })
}

fn write(text: &str) -> io::Result<()> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// How often the size is looked at.
const SLICE: Duration = Duration::from_millis(100);

// xterm, "XTerm Control Sequences": the alternate screen (1049), the cursor (25), what is drawn at once (2026, which a
// terminal that does not know it ignores).
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
const BEGIN: &str = "\x1b[?2026h\x1b[H";
const END: &str = "\x1b[?2026l";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";
