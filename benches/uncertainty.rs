//! Time and peak memory of what says how sure an ensemble is, over members, rows and classes.
//!
//! `cargo bench --bench uncertainty` measures everything, and with `-- RAPS` what has this text in its name. Each line is
//! measured in a process of its own: the seconds, and the growth of the peak resident memory. The exponents are those of
//! time and memory since the line before it, as the product of members, rows and classes grows: 1 is in proportion.
use candle_core::{Device, Tensor};
use candle_ensemble::{
    conformal::{
        Aggregation, ClassConformal, ClassProbabilities, ClassScore, Condition, CrossClassConformal,
        CrossConformal, CrossMethod, EmptySets, SplitConformal,
    },
    data::Task,
    distribution::{Family, Mixture, Score},
    predictions::Predictions,
    threads,
    uncertainty::{ClassUncertainty, Detection, Mahalanobis, RiskCoverage},
    Result,
};
use comfy_table::{presets::ASCII_MARKDOWN, Table};
use rand::{rngs::StdRng, Rng, SeedableRng};

mod own_process;

const MIB: f64 = 1024. * 1024.;

/// Numbers of members, rows and classes (or features).
type Size = [usize; 3];

/// A calculation by name. It is given its numbers, and returns the growth of the peak in MiB and the seconds.
type Case = (&'static str, &'static [Size], fn(Size) -> Result<(f64, f64)>);

const CASES: &[Case] = &[
    (
        "entropies, mutual information, pairwise KL",
        &[
            [10, 10_000, 10],
            [10, 100_000, 10],
            [10, 1_000_000, 10],
            [100, 100_000, 10],
            [10, 100_000, 100],
            [10, 10_000, 1000],
        ],
        decomposition,
    ),
    ("Mahalanobis, fit and distances", &[[1, 10_000, 64], [1, 100_000, 64], [1, 100_000, 512]], mahalanobis),
    ("AUROC, AUPR, FPR at 95 %", &[[1, 100_000, 1], [1, 1_000_000, 1], [1, 10_000_000, 1]], detection),
    ("risk-coverage curve and guarantee", &[[1, 100_000, 1], [1, 1_000_000, 1]], risk_coverage),
    ("split intervals", &[[1, 100_000, 1], [1, 1_000_000, 1]], split),
    ("CV+, 10 folds", &[[10, 10_000, 1], [10, 100_000, 1], [10, 1_000_000, 1]], cross_validation),
    (
        "jackknife+-after-bootstrap",
        &[[20, 1000, 1], [20, 10_000, 1], [20, 100_000, 1], [100, 10_000, 1]],
        after_bootstrap,
    ),
    ("RAPS sets", &[[1, 10_000, 10], [1, 100_000, 10], [1, 1_000_000, 10], [1, 10_000, 1000]], sets),
    ("CV+ sets, 10 folds, APS", &[[10, 10_000, 10], [10, 100_000, 10], [10, 10_000, 100]], cross_sets),
    ("CRPS of a mixture", &[[5, 10_000, 1], [5, 100_000, 1], [50, 100_000, 1]], crps),
    ("central interval of a mixture", &[[5, 10_000, 1], [5, 100_000, 1], [50, 100_000, 1]], interval),
];

fn numbers(count: usize, seed: u64) -> Vec<f64> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..count).map(|_| rng.random()).collect()
}

/// Probabilities of classes, row by row.
fn probabilities(rows: usize, classes: usize) -> Vec<f64> {
    let mut all = numbers(rows * classes, 1);
    for row in all.chunks_exact_mut(classes) {
        let total: f64 = row.iter().sum();
        row.iter_mut().for_each(|p| *p /= total);
    }
    all
}

fn labels(rows: usize, classes: usize) -> Vec<u32> {
    let mut rng = StdRng::seed_from_u64(2);
    (0..rows).map(|_| rng.random_range(0..classes as u32)).collect()
}

fn decomposition([members, rows, classes]: Size) -> Result<(f64, f64)> {
    let values = probabilities(members * rows, classes).into_iter().map(|p| p as f32).collect();
    let values = Tensor::from_vec(values, (members, rows, classes), &Device::Cpu)?;
    let predictions = Predictions::new(values, Task::Classification { classes })?;
    Ok(own_process::growth_and_seconds(|| ClassUncertainty::new(&predictions)))
}

fn mahalanobis([_, rows, features]: Size) -> Result<(f64, f64)> {
    let values = numbers(rows * features, 3).into_iter().map(|x| x as f32).collect();
    let (table, labels) =
        (Tensor::from_vec::<_, f32>(values, (rows, features), &Device::Cpu)?, labels(rows, 10));
    Ok(own_process::growth_and_seconds(|| Mahalanobis::fit(&table, &labels, 0.)?.distances(&table)))
}

fn detection([_, rows, _]: Size) -> Result<(f64, f64)> {
    let (inside, outside) = (numbers(rows, 4), numbers(rows, 5));
    Ok(own_process::growth_and_seconds(|| Detection::new(&inside, &outside)))
}

fn risk_coverage([_, rows, _]: Size) -> Result<(f64, f64)> {
    let uncertainty = numbers(rows, 6);
    let losses: Vec<f64> = numbers(rows, 7).iter().zip(&uncertainty).map(|(u, x)| f64::from(u < x)).collect();
    Ok(own_process::growth_and_seconds(|| RiskCoverage::new(&uncertainty, &losses)?.guaranteed(0.1, 0.05)))
}

fn split([_, rows, _]: Size) -> Result<(f64, f64)> {
    let (predictions, targets) = (numbers(rows, 8), numbers(rows, 9));
    Ok(own_process::growth_and_seconds(|| {
        SplitConformal::fit(&predictions, &targets, None, 0.1)?.predict(&predictions, None)
    }))
}

fn cross_validation([members, rows, _]: Size) -> Result<(f64, f64)> {
    let (targets, new) = (numbers(rows, 10), numbers(members * rows, 11));
    let held_out: Vec<f64> = (0..members * rows)
        .map(|at| if at % rows % members == at / rows { new[at] } else { f64::NAN })
        .collect();
    let (mean, plus) = (Aggregation::Mean, CrossMethod::Plus);
    Ok(own_process::growth_and_seconds(|| {
        CrossConformal::fit(&held_out, members, &targets, mean, plus, 0.1)?.predict(&new)
    }))
}

/// As many new rows as rows in the bags, but at most a thousand.
fn after_bootstrap([members, rows, _]: Size) -> Result<(f64, f64)> {
    let (targets, predictions) = (numbers(rows, 12), numbers(members * rows, 13));
    let mut rng = StdRng::seed_from_u64(14);
    let mut in_bag = vec![false; members * rows];
    for bag in in_bag.chunks_exact_mut(rows) {
        (0..rows).for_each(|_| bag[rng.random_range(0..rows)] = true);
    }
    let new = numbers(members * rows.min(1000), 15);
    let (mean, plus) = (Aggregation::Mean, CrossMethod::Plus);
    Ok(own_process::growth_and_seconds(|| {
        CrossConformal::after_bootstrap(&predictions, &in_bag, members, &targets, mean, plus, 0.1)?
            .predict(&new)
    }))
}

fn sets([_, rows, classes]: Size) -> Result<(f64, f64)> {
    let (values, labels) = (probabilities(rows, classes), labels(rows, classes));
    let table = ClassProbabilities::new(&values, classes)?;
    let score = ClassScore::Raps { lambda: 0.01, k_reg: 2 };
    Ok(own_process::growth_and_seconds(|| {
        ClassConformal::fit(score, &table, &labels, Condition::Marginal, 0.1, None)?.predict(
            &table,
            None,
            EmptySets::default(),
            None,
        )
    }))
}

fn cross_sets([members, rows, classes]: Size) -> Result<(f64, f64)> {
    let (new, labels) = (probabilities(members * rows, classes), labels(rows, classes));
    let mut held_out = new.clone();
    for (at, of_row) in held_out.chunks_exact_mut(classes).enumerate() {
        if at % rows % members != at / rows {
            of_row.fill(f64::NAN);
        }
    }
    Ok(own_process::growth_and_seconds(|| {
        CrossClassConformal::fit(ClassScore::Aps, &held_out, members, classes, &labels, 0.1, None)?.predict(
            &new,
            EmptySets::default(),
            None,
        )
    }))
}

fn mixture([members, rows, _]: Size) -> Result<(Mixture, Tensor)> {
    let shape = (members, rows, 1);
    let locations = Tensor::from_vec(numbers(members * rows, 16), shape, &Device::Cpu)?;
    let scales = Tensor::from_vec(numbers(members * rows, 17), shape, &Device::Cpu)?.affine(1., 0.1)?;
    let targets = Tensor::from_vec(numbers(rows, 18), (rows, 1), &Device::Cpu)?;
    Ok((Mixture::new(Family::Gaussian, &locations, &scales)?, targets))
}

fn crps(size: Size) -> Result<(f64, f64)> {
    let (mixture, targets) = mixture(size)?;
    Ok(own_process::growth_and_seconds(|| mixture.scores(Score::Crps, &targets)))
}

fn interval(size: Size) -> Result<(f64, f64)> {
    let (mixture, _) = mixture(size)?;
    Ok(own_process::growth_and_seconds(|| mixture.interval(0.9)))
}

fn main() -> Result<()> {
    threads::one_core_per_member();
    if let Some(args) = own_process::case() {
        let number = |at: usize| args[at].parse::<usize>().expect("a number");
        let (_, _, work) = CASES[number(0)];
        let (growth, seconds) = work([number(1), number(2), number(3)])?;
        println!("{growth} {seconds}");
        return Ok(());
    }
    let measured = own_process::measured();
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(["", "members × rows × classes", "MiB as f64", "s", "growth, MiB", "exponents"]);
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    for (case, (name, sizes, _)) in CASES.iter().enumerate().filter(|(_, case)| case.0.contains(&filter)) {
        let mut last: Option<[f64; 3]> = None;
        let sizes = if measured { sizes.to_vec() } else { vec![[3, 60, 2]] };
        for [members, rows, classes] in sizes {
            let figures = own_process::run(&[case, members, rows, classes].map(|number| number.to_string()));
            let now = [(members * rows * classes) as f64, figures[1], figures[0].max(0.1)];
            let exponent = |last: [f64; 3], of: usize| (now[of] / last[of]).ln() / (now[0] / last[0]).ln();
            let exponents = match last.filter(|last| last[0] != now[0]) {
                Some(last) => format!("{:.2}, {:.2}", exponent(last, 1), exponent(last, 2)),
                None => String::new(),
            };
            table.add_row([
                (*name).to_owned(),
                format!("{members} × {rows} × {classes}"),
                format!("{:.1}", now[0] * 8. / MIB),
                format!("{:.3}", now[1]),
                format!("{:.1}", figures[0]),
                exponents,
            ]);
            last = Some(now);
        }
    }
    if measured {
        println!("{table}");
    }
    Ok(())
}
