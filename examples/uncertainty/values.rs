//! Intervals of a noisy curve.
use super::{
    program::{say, Failure},
    table::{share, table},
    Args,
};
use candle_core::{DType, Device, Tensor};
use candle_ensemble::{
    chart::{Band, BandPoint, Chart, PredictionBands, ValuePoints},
    combine::Mean,
    conformal::{
        coverage, intervals_contain, mean_width, output_intervals, ConformalIntervals, CrossIntervals,
        SplitIntervals,
    },
    data::{Dataset, TensorDataset},
    nn::seq,
    strategy::{Bagging, KFold},
    train::Trainer,
    Ensemble, Network, Result, Seed, Session,
};
use candle_nn::{linear, Activation, VarBuilder};
use rand::Rng;
use rand_distr::StandardNormal;

const ROWS: usize = 240;
const FRESH: usize = 2000;
/// Rows of this range of inputs are missing.
const GAP: std::ops::Range<f64> = 0.4..1.3;
/// More epochs than for the images, whose rows are more.
const TIMES: usize = 5;

/// `y = sin 2x + x/3 + noise` for inputs from −3 to 3, without those of the gap.
fn curve(rows: usize, seed: Seed) -> Result<TensorDataset> {
    let mut rng = seed.rng();
    let draws = std::iter::repeat_with(|| rng.random_range(-3.0..3.0)).filter(|x| !GAP.contains(x));
    let inputs: Vec<f64> = draws.take(rows).collect();
    let mut rng = seed.child("noise").rng();
    let mut noise = || rng.sample::<f64, _>(StandardNormal);
    let targets: Vec<f64> = inputs.iter().map(|x| (2. * x).sin() + x / 3. + 0.25 * noise()).collect();
    let tensor = |values: Vec<f64>| Tensor::from_vec(values, (rows, 1), &Device::Cpu)?.to_dtype(DType::F32);
    TensorDataset::regression(tensor(inputs)?, &tensor(targets)?)
}

pub fn show(args: &Args) -> Result<(), Failure> {
    let seed = Seed::from(args.seed);
    let (data, fresh) = (curve(ROWS, seed.child("curve"))?, curve(FRESH, seed.child("fresh"))?);
    let network = |vb: VarBuilder<'_>| {
        let hidden = seq().add(linear(1, 32, vb.pp(0))?).add(Activation::Silu);
        let hidden = hidden.add(linear(32, 32, vb.pp(1))?).add(Activation::Silu);
        Ok(hidden.add(linear(32, 1, vb.pp(2))?))
    };
    let trainer = Trainer::new(network).epochs(TIMES * args.epochs as usize);
    let bagging = Bagging::new(args.members());

    let pool = Session::new(&trainer, &data).fit(&bagging, args.seed)?;
    let ensemble = pool.combine(&Mean)?;
    let out_of_bag = pool.conformal(&Mean, &CrossIntervals::new(args.alpha))?;
    let mut rows = vec![row("jackknife+-after-bootstrap", &ensemble, &out_of_bag, &fresh)?];

    let folds = Session::new(&trainer, &data).fit(&KFold::new(args.members()), args.seed)?;
    let cross = folds.conformal(&Mean, &CrossIntervals::new(args.alpha))?;
    rows.push(row("CV+", &folds.combine(&Mean)?, &cross, &fresh)?);

    // The members train on half of the rows.
    let half = Session::new(&trainer, &data).reserve(0.5).fit(&bagging, args.seed)?;
    let ensemble_of_half = half.combine(&Mean)?;
    let split = half.conformal(&Mean, &SplitIntervals::new(args.alpha))?;
    rows.push(row("split, half of the rows", &ensemble_of_half, &split, &fresh)?);
    let normalized = half.conformal(&Mean, &SplitIntervals::new(args.alpha).normalized(0.1))?;
    rows.push(row("split, normalized by the spread", &ensemble_of_half, &normalized, &fresh)?);

    say(format!(
        "{ROWS} rows, {} networks each; intervals that may miss {:.0} % of the targets, on {FRESH} fresh rows.\n",
        args.members,
        100. * args.alpha
    ));
    say(table(&["intervals", "calibration rows", "coverage", "mean width"], rows));
    if let Some(path) = &args.chart {
        picture(args, &ensemble, &out_of_bag, &data)?.save(path)?;
        say(format!("\nThe curve with its intervals: {}", path.display()));
    }
    Ok(())
}

/// A method with what its intervals are worth on fresh rows.
fn row<N: Network>(
    name: &str,
    ensemble: &Ensemble<N, Mean>,
    conformal: &ConformalIntervals,
    fresh: &TensorDataset,
) -> Result<Vec<String>> {
    let intervals = output_intervals(&ensemble.on(fresh).predict_intervals(conformal)?, 0)?;
    let targets = fresh.targets().flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    let covered = coverage(&intervals_contain(&intervals, &targets)?, 0.95)?;
    let width = format!("{:.2}", mean_width(&intervals)?);
    Ok(vec![name.into(), conformal.rows().to_string(), share(covered.share), width])
}

/// The mean, the spread and the intervals against the input, with the rows.
fn picture<N: Network>(
    args: &Args,
    ensemble: &Ensemble<N, Mean>,
    conformal: &ConformalIntervals,
    data: &TensorDataset,
) -> Result<PredictionBands> {
    let inputs: Vec<f64> = (-350..=350).map(|i| f64::from(i) / 100.).collect();
    let grid = Tensor::from_slice(&inputs, (inputs.len(), 1), &Device::Cpu)?.to_dtype(DType::F32)?;
    let uncertainty = ensemble.value_uncertainty(&grid)?;
    let numbers =
        |tensor: &Tensor| -> Result<Vec<f64>> { Ok(tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1()?) };
    let (mean, spread) = (numbers(&uncertainty.mean)?, numbers(&uncertainty.between.sqrt()?)?);
    let intervals = output_intervals(&ensemble.predict_intervals(conformal, &grid)?, 0)?;
    let ends = intervals.iter().zip(&inputs);
    let intervals = ends.map(|(i, input)| BandPoint { input: *input, low: i.low, high: i.high }).collect();
    let around = |(input, (mean, spread)): (&f64, (&f64, &f64))| BandPoint {
        input: *input,
        low: mean - 2. * spread,
        high: mean + 2. * spread,
    };
    let spread = inputs.iter().zip(mean.iter().zip(&spread)).map(around).collect();
    let rows = numbers(data.inputs().only()?)?.into_iter().zip(numbers(data.targets())?).collect();
    let percent = 100. * (1. - args.alpha);
    Ok(PredictionBands {
        title: format!("A noisy curve with a gap: bagging of {} networks", args.members),
        input: "input".into(),
        target: "target".into(),
        bands: vec![
            Band { name: format!("{percent:.0} % interval, jackknife+-after-bootstrap"), points: intervals },
            Band { name: "mean ± 2 sd of the networks".into(), points: spread },
        ],
        lines: vec![ValuePoints { name: "mean".into(), points: inputs.into_iter().zip(mean).collect() }],
        rows: vec![ValuePoints { name: format!("{} training rows", data.rows()), points: rows }],
    })
}
