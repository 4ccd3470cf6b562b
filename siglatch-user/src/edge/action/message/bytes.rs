//! Numbers and texts in a row, little-endian, texts after their length. Never reads beyond the end, never takes anything
//! that would not be written so.

use std::time::Duration;

/// Puts one field after the other.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

/// Takes one field after the other; nothing as soon as one is not sound.
#[derive(Debug)]
pub(super) struct Reader<'b>(&'b [u8]);

impl Writer {
    pub(super) fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub(super) fn u16(&mut self, value: u16) -> &mut Self {
        self.fixed(value.to_le_bytes())
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.fixed(value.to_le_bytes())
    }

    pub(super) fn u64(&mut self, value: u64) -> &mut Self {
        self.fixed(value.to_le_bytes())
    }

    pub(super) fn i32(&mut self, value: i32) -> &mut Self {
        self.fixed(value.to_le_bytes())
    }

    pub(super) fn span(&mut self, span: Duration) -> &mut Self {
        self.u64(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(super) fn fixed<const N: usize>(&mut self, bytes: [u8; N]) -> &mut Self {
        self.0.extend(bytes);
        self
    }

    /// What is longer than 64 kB cannot be told; it is cut, and refused by whoever reads it or checks the whole.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.u16(length);
        self.0.extend(bytes.iter().take(length.into()));
        self
    }

    pub(super) fn texts(&mut self, texts: &[String]) -> &mut Self {
        self.u16(u16::try_from(texts.len()).unwrap_or(u16::MAX));
        for text in texts {
            self.bytes(text.as_bytes());
        }
        self
    }
}

impl<'b> Reader<'b> {
    pub(super) const fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.fixed::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.fixed().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.fixed().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.fixed().map(u64::from_le_bytes)
    }

    pub(super) fn i32(&mut self) -> Option<i32> {
        self.fixed().map(i32::from_le_bytes)
    }

    pub(super) fn span(&mut self) -> Option<Duration> {
        self.u64().map(Duration::from_nanos)
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    pub(super) fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (fixed, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*fixed)
    }

    pub(super) fn bytes(&mut self, most: usize) -> Option<&'b [u8]> {
        let length = self.u16().map(usize::from).filter(|length| *length <= most)?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// A text that a program can be told: without a zero byte.
    pub(super) fn text(&mut self, most: usize) -> Option<String> {
        let text = str::from_utf8(self.bytes(most)?).ok()?;
        (!text.contains('\0')).then(|| text.to_owned())
    }

    pub(super) fn texts(&mut self, most: usize) -> Option<Vec<String>> {
        let count = self.u16()?;
        (0..count).map(|_| self.text(most)).collect()
    }

    /// Nothing if something is left over.
    pub(super) fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}
