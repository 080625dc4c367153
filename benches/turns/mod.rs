//! Measures two functions in turn and prints a table of the ratios of their times.
use comfy_table::{presets::ASCII_MARKDOWN, Table};
use criterion::{Criterion, SamplingMode};
use std::time::{Duration, Instant};

/// The requirement for a ratio.
#[derive(Clone, Copy)]
#[allow(dead_code)] // no benchmark uses all of them
pub enum Target {
    AtMost(f64),
    AtLeast(f64),
    Open,
}

/// The seconds of each run of two functions.
struct Row {
    name: String,
    ours: Vec<f64>,
    theirs: Vec<f64>,
    target: Target,
}

pub struct Bench {
    criterion: Criterion,
    rows: Vec<Row>,
}

impl Bench {
    /// A benchmark with the command-line arguments of criterion.
    pub fn new() -> Self {
        let criterion = Criterion::default()
            .sample_size(10)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_millis(1500))
            .configure_from_args();
        Self { criterion, rows: vec![] }
    }

    /// Whether times are measured; `cargo test` runs each benchmark once without optimization.
    pub fn measured() -> bool {
        std::env::args().any(|arg| arg == "--bench")
    }

    /// Prints the table of the measured ratios.
    pub fn finish(self) {
        self.criterion.final_summary();
        if Self::measured() {
            println!("{}", self.table());
        }
    }

    /// Measures `ours` and `theirs` in turn. The target is for the time of `ours` divided by that of
    /// `theirs`.
    pub fn pair(&mut self, name: String, target: Target, ours: impl Fn(), theirs: Option<&dyn Fn()>) {
        let seconds = |f: &dyn Fn()| {
            let start = Instant::now();
            f();
            start.elapsed().as_secs_f64()
        };
        let mut row = Row { name, ours: vec![], theirs: vec![], target };
        let (group, case) = row.name.split_once('/').expect("a name in two parts");
        let mut group = self.criterion.benchmark_group(group);
        // Criterion is given the time of `ours` only.
        group.sampling_mode(SamplingMode::Flat).bench_function(case, |bencher| {
            bencher.iter_custom(|runs| {
                let from = row.ours.len();
                for _ in 0..runs {
                    // The order alternates, so that neither side always runs with the caches of the other.
                    let ours_first = row.ours.len().is_multiple_of(2);
                    if ours_first {
                        row.ours.push(seconds(&ours));
                    }
                    row.theirs.extend(theirs.map(seconds));
                    if !ours_first {
                        row.ours.push(seconds(&ours));
                    }
                }
                Duration::from_secs_f64(row.ours[from..].iter().sum())
            });
        });
        group.finish();
        self.rows.push(row);
    }

    /// The table of the rows that were measured.
    fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        table.set_header(["", "ms", "ms against", "ratio", "middle half", "target", ""]);
        for Row { name, ours, theirs, target } in self.rows.iter().filter(|row| !row.ours.is_empty()) {
            let ratios = ours.iter().zip(theirs).map(|(a, b)| a / b).collect::<Vec<_>>();
            let ms =
                |seconds: &[f64]| quantile(seconds, 0.5).map_or("".into(), |s| format!("{:.1}", s * 1e3));
            let ratio = quantile(&ratios, 0.5);
            let [low, high] = [0.25, 0.75].map(|q| quantile(&ratios, q).unwrap_or_default());
            let (bound, met) = match (*target, ratio) {
                (Target::AtMost(limit), Some(ratio)) => (format!("≤ {limit}"), Some(ratio <= limit)),
                (Target::AtLeast(limit), Some(ratio)) => (format!("≥ {limit}"), Some(ratio >= limit)),
                _ => (String::new(), None),
            };
            let met = met.map_or("", |met| if met { "met" } else { "missed" });
            let (ratio, spread) =
                ratio.map_or_else(Default::default, |r| (format!("{r:.3}"), format!("{low:.3} – {high:.3}")));
            table.add_row([name.clone(), ms(ours), ms(theirs), ratio, spread, bound, met.into()]);
        }
        table.to_string()
    }
}

fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get((sorted.len() as f64 * q) as usize).copied()
}
