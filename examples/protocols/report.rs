//! Tables of results beside their references, and the experiments of one run: horizontal and snapshot.
use super::{data, mean, network, repeat, score, singles, Args};
use candle_ensemble::{
    metrics::Summary,
    plan::{Horizontal, Snapshot, Unit},
    train::{Sgd, Velocity},
    Result,
};
use comfy_table::{presets::ASCII_MARKDOWN, Table};

/// What the reference obtains: the mean and, where it is compared, the standard deviation over repeats.
pub type Reference = (f64, Option<f64>);

/// A table of results beside their references.
pub struct Report {
    title: String,
    table: Table,
}

impl Report {
    pub fn new(title: &str) -> Self {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN).set_header(["", "here", "reference", "within ± 3 sd/√R"]);
        Self { title: title.into(), table }
    }

    /// A row whose mean is compared with the reference's.
    pub fn row(&mut self, name: &str, values: &[f64], (reference, sd): Reference) -> Result<()> {
        let found = Summary::of(values)?;
        let here = format!("{:.4} ± {:.4}", found.mean, found.sd.unwrap_or_default());
        let (there, gate) = match sd {
            None => (format!("{reference:.4}"), String::new()),
            Some(sd) => {
                let met = (found.mean - reference).abs() <= 3. * sd / (values.len() as f64).sqrt();
                (format!("{reference:.4} ± {sd:.4}"), if met { "met" } else { "missed" }.into())
            }
        };
        self.table.add_row([name.into(), here, there, gate]);
        Ok(())
    }

    /// A row that is compared where there is a reference.
    pub fn row_or_note(&mut self, name: &str, values: &[f64], reference: Option<Reference>) -> Result<()> {
        match reference {
            Some(reference) => self.row(name, values, reference),
            None => {
                let found = Summary::of(values)?;
                let here = format!("{:.4} ± {:.4}", found.mean, found.sd.unwrap_or_default());
                self.note(name, &here, "");
                Ok(())
            }
        }
    }

    /// A row of text.
    pub fn note(&mut self, name: &str, here: &str, reference: &str) {
        self.table.add_row([name, here, reference, ""]);
    }

    /// A row that counts the repeats in which something holds.
    pub fn count(&mut self, name: &str, held: usize, of: usize, reference: &str) {
        self.table.add_row([name.to_string(), format!("{held} of {of}"), reference.into(), String::new()]);
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n\n{}", self.title, self.table)
    }
}

pub fn horizontal(args: &Args) -> Result<Report> {
    let (train, test) = data::small(args.data_dir.as_deref())?;
    let trainer = network(25, 1000);
    let (mut last, mut means, mut half, mut all) = (vec![], vec![], vec![], vec![]);
    repeat(args, &trainer, &train, &test, &Horizontal::last(50), |trained| {
        let each = singles(&trained.test, &test)?;
        last.push(each[49]);
        means.push(mean(&each)?);
        half.push(score(&trained.test.narrow_slots(25, 25)?, &test)?);
        all.push(score(&trained.test, &test)?);
        Ok(())
    })?;
    let mut report = Report::new("4 Horizontal: members at the ends of epochs 950 to 999");
    report.row("final network", &last, (0.809, Some(0.005)))?;
    report.row("mean of the 50", &means, (0.810, Some(0.004)))?;
    report.row("ensemble of the last 25", &half, (0.810, Some(0.005)))?;
    report.row("ensemble of 50", &all, (0.810, Some(0.005)))?;
    let gained = all.iter().zip(&means).filter(|(ensemble, mean)| ensemble > mean).count();
    report.count("ensemble above the mean of its members", gained, all.len(), "no gain here");
    Ok(report)
}

pub fn snapshot(args: &Args) -> Result<Report> {
    let (train, test) = data::small(args.data_dir.as_deref())?;
    let sgd = Sgd::new(0.01).momentum(0.9).velocity(Velocity::LrInside);
    let trainer = network(50, 500).optimizer(sgd);
    let (mut last, mut first, mut means, mut spreads) = (vec![], vec![], vec![], vec![]);
    let mut ensembles = [(3, vec![]), (5, vec![]), (10, vec![])];
    repeat(args, &trainer, &train, &test, &Snapshot::new(10).per(Unit::Epoch), |trained| {
        let each = singles(&trained.test, &test)?;
        last.push(each[9]);
        first.push(each[0]);
        means.push(mean(&each)?);
        spreads.extend(Summary::of(&each)?.sd);
        for (size, scores) in &mut ensembles {
            scores.push(score(&trained.test.narrow_slots(10 - *size, *size)?, &test)?);
        }
        Ok(())
    })?;
    let mut report = Report::new("5 Snapshot: ten cosine cycles of 50 epochs");
    report.row("final network", &last, (0.811, Some(0.006)))?;
    report.row("first snapshot", &first, (0.778, None))?;
    report.row("mean of ten", &means, (0.805, None))?;
    report.row("standard deviation within a run", &spreads, (0.011, None))?;
    let references = [(0.809, 0.0035), (0.809, 0.003), (0.810, 0.003)];
    for ((size, scores), (reference, sd)) in ensembles.iter().zip(references) {
        report.row(&format!("ensemble of the last {size}"), scores, (reference, Some(sd)))?;
    }
    let gained = ensembles[2].1.iter().zip(&means).filter(|(ensemble, mean)| ensemble > mean).count();
    report.count("ensemble of ten above the mean of its members", gained, means.len(), "30 of 30");
    Ok(report)
}
