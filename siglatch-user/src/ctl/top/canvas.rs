//! Lines of coloured text, and bars made of characters. Never decides what stands in them.

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ink {
    Plain,
    Strong,
    Faint,
    /// As it should be.
    Good,
    /// Junk that is being dropped.
    Busy,
    /// Something that an operator should look at.
    Bad,
}

/// One line of the screen.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Line(Vec<(Ink, String)>);

/// What this terminal can show.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Shades {
    pub(super) colours: bool,
    pub(super) blocks: bool,
}

impl Line {
    pub(super) fn new(ink: Ink, text: impl Into<String>) -> Self {
        Self(vec![(ink, text.into())])
    }

    #[must_use]
    pub(super) fn then(mut self, ink: Ink, text: impl Into<String>) -> Self {
        self.0.push((ink, text.into()));
        self
    }

    /// The line, no longer than that.
    #[must_use]
    pub(super) fn cut(mut self, columns: usize) -> Self {
        let mut left = columns;
        for (_, text) in &mut self.0 {
            if let Some((end, _)) = text.char_indices().nth(left) {
                text.truncate(end);
            }
            left -= text.chars().count();
        }
        self
    }

    /// The text alone.
    #[cfg(test)]
    pub(super) fn text(&self) -> String {
        self.0.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// The text as the terminal takes it.
    pub(super) fn painted(&self, shades: Shades) -> String {
        let painted = self.0.iter().map(|(ink, text)| match ink.code(shades.colours) {
            Some(code) => format!("\x1b[{code}m{text}\x1b[0m"),
            None => text.clone(),
        });
        painted.collect()
    }
}

impl Ink {
    /// ECMA-48, "select graphic rendition". Without colours, what is bad is bold at least.
    const fn code(self, colours: bool) -> Option<&'static str> {
        match (self, colours) {
            (Self::Plain, _) | (Self::Good | Self::Busy, false) => None,
            (Self::Strong, _) | (Self::Bad, false) => Some("1"),
            (Self::Faint, _) => Some("2"),
            (Self::Good, true) => Some("32"),
            (Self::Busy, true) => Some("33"),
            (Self::Bad, true) => Some("1;31"),
        }
    }
}

impl Shades {
    /// By the environment: colours unless somebody objects (<https://no-color.org>), blocks if texts are UTF-8.
    pub(super) fn of_this_terminal() -> Self {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
        let locale = locale.to_ascii_lowercase();
        Self {
            colours: std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty()),
            blocks: locale.contains("utf-8") || locale.contains("utf8"),
        }
    }

    /// The last of these values, the newest at the right, as high as the highest of them allows.
    pub(super) fn curve(self, values: impl DoubleEndedIterator<Item = f64> + Clone, columns: usize) -> String {
        let shown: Vec<f64> = values.rev().take(columns).collect();
        let top = shown.iter().copied().fold(0.0, f64::max);
        let steps: &[char] = if self.blocks { &BLOCKS } else { &SIGNS };
        let step = |value: f64| {
            let height = if top > 0.0 { value / top * steps.len() as f64 } else { 0.0 };
            // What is not nothing shows.
            let height = if value > 0.0 { height.ceil().max(1.0) } else { 0.0 };
            (height as usize).checked_sub(1).and_then(|at| steps.get(at)).copied().unwrap_or(' ')
        };
        let curve: String = shown.into_iter().rev().map(step).collect();
        format!("{curve:>columns$}")
    }

    /// A bar, full at 1.
    pub(super) fn bar(self, part: f64, columns: usize) -> String {
        let (full, empty) = if self.blocks { ('█', '░') } else { ('#', '.') };
        let part = if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.0 };
        let filled = ((part * columns as f64).round() as usize).max(usize::from(part > 0.0));
        (0..columns).map(|at| if at < filled { full } else { empty }).collect()
    }
}

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const SIGNS: [char; 5] = ['.', ':', '+', '*', '#'];

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: Shades = Shades { colours: true, blocks: true };
    const SIGN: Shades = Shades { colours: false, blocks: false };

    #[test]
    fn a_curve_is_as_wide_as_it_may_be_and_hides_nothing() {
        let values = [0.0, 1.0, 500.0, 1000.0];
        assert_eq!(BLOCK.curve(values.into_iter(), 6), "   ▁▄█");
        assert_eq!(SIGN.curve(values.into_iter(), 3), ".+#");
        assert_eq!(BLOCK.curve([0.0, 0.0].into_iter(), 3), "   ");
        assert_eq!(BLOCK.curve(values.into_iter(), 0), "");
    }

    #[test]
    fn a_bar_is_empty_only_at_nothing() {
        assert_eq!(SIGN.bar(0.0, 4), "....");
        assert_eq!(SIGN.bar(0.01, 4), "#...");
        assert_eq!(BLOCK.bar(1.5, 2), "██");
        assert_eq!(SIGN.bar(f64::NAN, 2), "..");
    }

    #[test]
    fn a_line_is_cut_between_characters_and_painted() {
        let line = Line::new(Ink::Bad, "é█x").then(Ink::Plain, "yz").then(Ink::Good, "g");
        assert_eq!(line.clone().cut(2).text(), "é█");
        assert_eq!(line.clone().cut(4).text(), "é█xy");
        assert_eq!(line.clone().cut(80).painted(BLOCK), "\x1b[1;31mé█x\x1b[0myz\x1b[32mg\x1b[0m");
        assert_eq!(line.painted(SIGN), "\x1b[1mé█x\x1b[0myzg");
    }
}
