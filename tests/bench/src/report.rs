//! How results look: tables on stdout, each with what was aimed at.
//!
//! Knows nothing of what was measured.

use crate::process;

/// Says where this was measured.
pub(crate) fn machine(threads: usize) {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1)).unwrap_or("?");
    println!(
        "{threads} cores ({model}), Linux {}, load {}",
        read("/proc/sys/kernel/osrelease").trim(),
        process::load()
    );
    println!(
        "Compared sides take turns in rounds; medians of the rounds are shown. Other work on the machine moves all"
    );
    println!("figures, the ratios least: where it used much, run this again.");
}

/// A heading with a table below it.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these columns; the first has no heading.
    pub(crate) fn new(title: &str, columns: &[&str]) -> Self {
        println!("\n{title}");
        let heading = std::iter::once("").chain(columns.iter().copied()).map(str::to_owned).collect();
        Self { rows: vec![heading] }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, name: &str, cells: &[String]) {
        self.rows.push(std::iter::once(name.to_owned()).chain(cells.iter().cloned()).collect());
    }

    /// Prints it, numbers below each other.
    pub(crate) fn print(self) {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |row: &[String], at: usize| row.get(at).cloned().unwrap_or_default();
        let widths: Vec<usize> = (0..columns)
            .map(|at| self.rows.iter().map(|row| cell(row, at).chars().count()).max().unwrap_or(0))
            .collect();
        for row in &self.rows {
            let cells = (0..columns).map(|at| match at {
                0 => format!("  {:<1$}", cell(row, at), widths[at]),
                _ => format!("{:>1$}", cell(row, at), widths[at]),
            });
            println!("{}", cells.collect::<Vec<_>>().join("   ").trim_end());
        }
    }
}

/// Whether a goal was reached.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// No less than this.
    AtLeast(f64),
    /// No more than this.
    AtMost(f64),
}

/// Says whether a goal was reached. `unit` follows the figures.
pub(crate) fn verdict(what: &str, value: f64, unit: &str, goal: Goal) {
    let (reached, word, aim) = match goal {
        Goal::AtLeast(aim) => (value >= aim, "at least", aim),
        Goal::AtMost(aim) => (value <= aim, "at most", aim),
    };
    println!("  {} {what}: {value:.2}{unit} (goal: {word} {aim}{unit})", if reached { "reached" } else { "MISSED " });
}

/// A time with a unit that suits it.
pub(crate) fn time(seconds: f64) -> String {
    match seconds {
        s if s.is_nan() => "-".to_owned(),
        s if s < 1e-3 => format!("{:.1} µs", s * 1e6),
        s if s < 1.0 => format!("{:.2} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

/// A whole number with its thousands apart.
pub(crate) fn count(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A ratio.
pub(crate) fn ratio(value: f64) -> String {
    format!("{value:.2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_easy_to_read() {
        assert_eq!([count(7.0), count(1234.4), count(1_234_567.0)], ["7", "1,234", "1,234,567"]);
        assert_eq!([time(0.0000123), time(0.0123), time(1.5), time(f64::NAN)], ["12.3 µs", "12.30 ms", "1.50 s", "-"]);
    }
}
