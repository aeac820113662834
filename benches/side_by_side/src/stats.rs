//! Medians and spreads.

use serde_json::{Value, json};

/// What a handful of measurements come to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summary {
    /// Half of them are below.
    pub(crate) median: f64,
    /// A quarter of them are below.
    pub(crate) low: f64,
    /// A quarter of them are above.
    pub(crate) high: f64,
    min: f64,
    max: f64,
}

impl Summary {
    /// Of at least one value.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let [low, high] = [25, 75].map(|percent| percentile(&values, percent));
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Self { median, low, high, min: values[0], max: values[values.len() - 1] }
    }

    /// `1.08 (1.05–1.12)`.
    pub(crate) fn text(&self, decimals: usize) -> String {
        format!("{:.decimals$} ({:.decimals$}–{:.decimals$})", self.median, self.low, self.high)
    }

    /// All of it.
    pub(crate) fn to_json(self) -> Value {
        json!({
            "median": self.median, "quartiles": [self.low, self.high], "range": [self.min, self.max],
        })
    }
}

/// The value that so many percent of the sorted ones do not exceed.
pub(crate) fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted[rank - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Summary::of([3.0, 1.0, 2.0]).median.to_string(), "2");
        assert_eq!(Summary::of([4.0, 1.0]).median.to_string(), "2.5");
        assert_eq!(Summary::of([7.0]).text(2), "7.00 (7.00–7.00)");
    }

    #[test]
    fn half_of_the_values_are_between_the_quartiles() {
        assert_eq!(Summary::of((1..=8).map(f64::from)).text(1), "4.5 (2.0–6.0)");
        assert_eq!(Summary::of([9.0, 1.0, 5.0, 3.0, 7.0]).text(1), "5.0 (3.0–7.0)");
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        let found = [50, 99, 100].map(|percent| percentile(&hundred, percent).to_string());
        assert_eq!(found, ["50", "99", "100"]);
        assert_eq!(percentile(&[7.0], 99).to_string(), "7");
    }
}
