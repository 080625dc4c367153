//! Scores, times and sizes, as a table and as JSON.
use super::program::Failure;
use candle_ensemble::{
    statistics::{corrected_t_interval, t_interval, Interval},
    Result,
};
use comfy_table::{presets::ASCII_MARKDOWN, CellAlignment, Table};
use serde::Serialize;
use std::{fmt, fs, path::Path};

/// The results of all methods on one data set.
#[derive(Serialize)]
pub struct Results {
    /// The data in one line.
    pub data: String,
    pub metric: &'static str,
    pub higher_is_better: bool,
    pub train_rows: usize,
    pub test_rows: usize,
    /// Whether the test rows are the same ones in all repeats.
    pub fixed_test: bool,
    pub methods: Vec<MethodResults>,
}

/// The results of one method.
#[derive(Serialize)]
pub struct MethodResults {
    pub name: String,
    pub is_plain: bool,
    pub members: usize,
    pub parameters: usize,
    /// The settings that were chosen, if any.
    pub settings: Option<String>,
    /// The score on the test rows, repeat by repeat.
    pub scores: Vec<f64>,
    pub train_seconds: Vec<f64>,
    /// Milliseconds for a thousand rows.
    pub predict_milliseconds: Vec<f64>,
}

impl Results {
    /// The gain over one network: above 0 is better.
    fn gain(&self, of: &MethodResults) -> Result<Option<Interval>> {
        let Some(plain) = self.methods.iter().find(|method| method.is_plain && method.name != of.name) else {
            return Ok(None);
        };
        let sign = if self.higher_is_better { 1. } else { -1. };
        let pairs = of.scores.iter().zip(&plain.scores);
        let gains: Vec<f64> = pairs.map(|(own, plain)| sign * (own - plain)).collect();
        match self.fixed_test {
            true => t_interval(&gains, 0.95).map(Some),
            false => corrected_t_interval(&gains, self.test_rows, self.train_rows, 0.95).map(Some),
        }
    }

    /// Writes the results of all data sets.
    pub fn write(all: &[Self], path: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(all).map_err(|e| Failure::from(e.to_string()))?;
        fs::write(path, text + "\n").map_err(|e| format!("{} cannot be written: {e}", path.display()).into())
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
    (squares / (values.len() as f64 - 1.)).sqrt()
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repeats = self.methods.first().map_or(0, |method| method.scores.len());
        let of = if self.fixed_test { "seeds" } else { "splits" };
        writeln!(f, "{}; {repeats} {of}\n", self.data)?;
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN).set_header([
            "method",
            "members",
            &format!("{} (sd)", self.metric),
            "gain over one [95 %]",
            "parameters",
            "training s",
            "ms for 1000 rows",
        ]);
        for method in &self.methods {
            let gain = match self.gain(method) {
                Ok(Some(gain)) => format!("{:+.4} [{:+.4}, {:+.4}]", gain.estimate, gain.low, gain.high),
                Ok(None) => String::new(),
                Err(_) => "not finite".into(),
            };
            table.add_row([
                method.name.clone(),
                method.members.to_string(),
                format!("{:.4} ({:.4})", mean(&method.scores), deviation(&method.scores)),
                gain,
                method.parameters.to_string(),
                format!("{:.2}", mean(&method.train_seconds)),
                format!("{:.2}", mean(&method.predict_milliseconds)),
            ]);
        }
        table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        writeln!(f, "{table}")?;
        for method in &self.methods {
            if let Some(settings) = &method.settings {
                writeln!(f, "{}: {settings}", method.name)?;
            }
        }
        Ok(())
    }
}
