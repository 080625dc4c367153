//! Time and peak memory of fits on held-out predictions on disk, by members and rows.
//!
//! Without arguments it measures a few sizes of up to 400 MB; `1000x100000` measures this number of members and rows,
//! `1000x100000 squares` the rules with this text in their name, and `100x100000x0.37` members that each predict this share
//! of the rows. The predictions are probabilities of ten classes in f32. The file lies in the folder
//! for temporary files (`TMPDIR`), and each fit is measured in a process of its own: seconds, and the growth of the peak
//! resident memory in MiB, beside the size of the file.
use crate::own_process;
use candle_core::{Device, Tensor};
use candle_ensemble::{
    combine::{
        stack::{Linear, Stack},
        Combiner, EnsembleSelection, InverseError, Mean, SimplexLogLoss, SimplexSquares,
    },
    data::Task,
    metrics::RowLoss,
    predictions::{HeldOutWriter, Predictions},
    threads, HeldOut, HeldOutFile, Result,
};
use comfy_table::{presets::ASCII_MARKDOWN, Table};
use rand::{rngs::StdRng, Rng, SeedableRng};
use rayon::prelude::*;
use std::{fs, path::Path, time::Instant};

const CLASSES: usize = 10;
const MIB: f64 = 1024. * 1024.;
/// Rows that are made at a time.
const PART: usize = 2000;

type Fit = fn(&HeldOutFile) -> Result<()>;

fn fitted<C: Combiner>(combiner: &C, file: &HeldOutFile) -> Result<()> {
    combiner.fit_on_disk(file).map(drop)
}

const RULES: [(&str, Fit); 8] = [
    ("metrics of the mean", |file| file.metrics(&Mean).map(drop)),
    ("inverse error", |file| fitted(&InverseError::new(), file)),
    ("simplex squares", |file| fitted(&SimplexSquares::new(), file)),
    ("simplex log-loss", |file| fitted(&SimplexLogLoss::new(), file)),
    ("selection, Brier, 20 steps", |file| {
        fitted(&EnsembleSelection::new(20).criterion(RowLoss::Brier), file)
    }),
    ("selection, log-loss, 20 steps", |file| fitted(&EnsembleSelection::new(20), file)),
    ("selection, error, 20 steps", |file| {
        fitted(&EnsembleSelection::new(20).criterion(RowLoss::Error), file)
    }),
    ("linear stack", |file| fitted(&Stack::new(Linear), file)),
];

/// Softmax probabilities of noise, some of which the members share, with a logit of the true class that increases with the
/// member's skill. Of a member's predictions this share is there.
fn part(members: usize, rows: usize, share: f64, seed: u64) -> Result<HeldOut> {
    let mut rng = StdRng::seed_from_u64(seed);
    let labels: Vec<u32> = (0..rows).map(|_| rng.random_range(0..CLASSES as u32)).collect();
    let common: Vec<f32> = (0..rows * CLASSES).map(|_| rng.random::<f32>()).collect();
    let of_member = |member: usize| {
        let mut rng = StdRng::seed_from_u64(seed * 1_000_003 + member as u64 + 1);
        let skill = 1. + member as f32 / members as f32;
        let mut predicted = Vec::with_capacity(rows * CLASSES);
        for (row, label) in labels.iter().enumerate() {
            let from = predicted.len();
            for class in 0..CLASSES {
                let own = if class == *label as usize { skill } else { 0. };
                predicted.push((2. * rng.random::<f32>() + common[row * CLASSES + class] + own).exp());
            }
            let total: f32 = predicted[from..].iter().sum();
            predicted[from..].iter_mut().for_each(|p| *p /= total);
        }
        let covered: Vec<u8> = (0..rows).map(|_| u8::from(rng.random_bool(share))).collect();
        (predicted, covered)
    };
    let all: Vec<_> = (0..members).into_par_iter().map(of_member).collect();
    let (predicted, covered): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    let predicted = Tensor::from_vec(predicted.concat(), (members, rows, CLASSES), &Device::Cpu)?;
    let task = Task::Classification { classes: CLASSES };
    let predictions = match share < 1. {
        true => {
            let covered = Tensor::from_vec(covered.concat(), (members, rows), &Device::Cpu)?;
            Predictions::partial(predicted, covered, task)?
        }
        false => Predictions::new(predicted, task)?,
    };
    HeldOut::from_predictions(&predictions, &Tensor::new(labels, &Device::Cpu)?)
}

/// Writes a file of so many members and rows.
fn write(path: &Path, (members, rows, share): (usize, usize, f64)) -> Result<()> {
    let mut writer = HeldOutWriter::create(path)?;
    for first in (0..rows).step_by(PART) {
        writer.push(&part(members, PART.min(rows - first), share, first as u64 + 7)?)?;
    }
    writer.finish().map(drop)
}

/// The growth of the peak in MiB and the seconds of a rule on a file.
pub fn case(arguments: &[String]) -> Result<Vec<f64>> {
    threads::one_core_per_member();
    let (path, rule) = (&arguments[0], &arguments[1]);
    let Some((_, fit)) = RULES.iter().find(|(name, _)| name == rule) else { return Ok(vec![]) };
    let file = HeldOutFile::open(path)?;
    let (growth, seconds) = own_process::growth_and_seconds(|| fit(&file));
    Ok(vec![growth, seconds])
}

fn measure(table: &mut Table, size: (usize, usize, f64), filter: &str) -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let path = folder.path().join("predictions.heldout");
    let start = Instant::now();
    write(&path, size)?;
    let bytes = fs::metadata(&path).map_or(0, |about| about.len());
    let (members, rows, share) = size;
    let label = format!("{members} × {rows} × {CLASSES}, {:.0} %", 100. * share);
    let megabytes = format!("{:.0}", bytes as f64 / MIB);
    let mut row = |rule: &str, growth: f64, seconds: f64| {
        table.add_row([&*label, &megabytes, rule, &format!("{seconds:.2}"), &format!("{growth:.0}")]);
    };
    row("made and written", f64::NAN, start.elapsed().as_secs_f64());
    let path = path.display().to_string();
    for (rule, _) in RULES.iter().filter(|(rule, _)| rule.contains(filter)) {
        // The decomposition of the moments of more meta-features takes minutes, and that of 10⁴ is refused.
        if members * CLASSES > 500 && rule.contains("stack") {
            continue;
        }
        if let [growth, seconds] = own_process::run(&["held-out", path.as_str(), rule])[..] {
            row(rule, growth, seconds);
        }
    }
    Ok(())
}

/// Members, rows and share, as in `100x100000` and `100x100000x0.37`.
fn size_of(argument: &str) -> Option<(usize, usize, f64)> {
    let numbers: Vec<f64> = argument.split('x').map(|x| x.parse().ok()).collect::<Option<_>>()?;
    match numbers[..] {
        [members, rows] => Some((members as usize, rows as usize, 1.)),
        [members, rows, share] => Some((members as usize, rows as usize, share)),
        _ => None,
    }
}

/// Prints the table of the sizes and rules that the arguments pick.
pub fn print(arguments: &[String]) -> Result<()> {
    threads::one_core_per_member();
    let sizes: Vec<_> = arguments.iter().filter_map(|argument| size_of(argument)).collect();
    let filter = arguments.iter().find(|argument| size_of(argument).is_none());
    let usual: &[(usize, usize, f64)] = match own_process::measured() {
        true => &[(10, 10_000, 1.), (10, 100_000, 1.), (50, 10_000, 1.), (50, 40_000, 1.), (20, 5000, 0.37)],
        false => &[(3, 100, 1.), (3, 100, 0.5)],
    };
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(["members × rows × classes, share", "file MiB", "rule", "seconds", "peak growth MiB"]);
    for size in if sizes.is_empty() { usual } else { &sizes } {
        measure(&mut table, *size, filter.map_or("", String::as_str))?;
    }
    println!("{table}");
    Ok(())
}
