//! Figures and how they are shown: a table for people, a flat object for programs. Never measures.

use std::fmt;

use serde_json::{Map, Value, json};

/// One measured figure beside the floor that the same machine gave in the same run.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    /// Its name in the JSON file.
    pub(crate) name: String,
    /// What was measured.
    pub(crate) value: f64,
    /// Of value and floor.
    pub(crate) unit: &'static str,
    /// What nothing could beat.
    pub(crate) floor: f64,
    /// What it should come to, if anything is promised.
    pub(crate) target: Option<Target>,
}

/// A promise about the ratio of value to floor, or about the value alone.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// The ratio is at most this.
    RatioAtMost(f64),
    /// The ratio is at least this.
    RatioAtLeast(f64),
    /// The value itself is at most this.
    ValueAtMost(f64),
}

impl Figure {
    /// Value over floor.
    pub(crate) fn ratio(&self) -> f64 {
        self.value / self.floor
    }

    /// Whether the promise is kept; nothing if there is none.
    pub(crate) fn kept(&self) -> Option<bool> {
        self.target.map(|target| match target {
            Target::RatioAtMost(most) => self.ratio() <= most,
            Target::RatioAtLeast(least) => self.ratio() >= least,
            Target::ValueAtMost(most) => self.value <= most,
        })
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value, unit, floor, target } = self;
        let width = f.width().unwrap_or_default();
        // Shares are told to the hundredth.
        let digits = if value.max(*floor) <= 1.0 { 3 } else { 1 };
        write!(f, "{name:width$} {value:>10.digits$} {unit:12} floor {floor:>10.digits$}  {:>6.2} x", self.ratio())?;
        match (target, self.kept()) {
            (Some(target), Some(true)) => write!(f, "  {target}"),
            (Some(target), Some(false)) => write!(f, "  {target} MISSED"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RatioAtMost(most) => write!(f, "target <= {most} x"),
            Self::RatioAtLeast(least) => write!(f, "target >= {least} x"),
            Self::ValueAtMost(most) => write!(f, "target <= {most}"),
        }
    }
}

/// The flat object: name to value, unit, floor and ratio.
pub(crate) fn json(figures: &[Figure]) -> Value {
    let entry = |figure: &Figure| {
        let Figure { name, value, unit, floor, .. } = figure;
        (name.clone(), json!({"value": value, "unit": unit, "floor": floor, "ratio": figure.ratio()}))
    };
    Value::Object(figures.iter().map(entry).collect::<Map<_, _>>())
}

/// The middle of some measurements, which must not be none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
    f64::midpoint(low, high)
}

/// The smallest measurement that this share of them, above zero, does not exceed; there must be one.
pub(crate) fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * share).ceil() as usize;
    values[rank.clamp(1, values.len()) - 1]
}
