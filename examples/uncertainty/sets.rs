//! Sets of digits.
use super::{
    digits,
    program::{say, Failure},
    table::{share, table},
    Args,
};
use candle_core::Tensor;
use candle_ensemble::{
    combine::Mean,
    conformal::{coverage, coverage_by_group, mean_set_size, ClassScore, ClassSets},
    data::TensorDataset,
    strategy::MultiRun,
    AnyNetwork, Ensemble, Result, Rows, Seed, Session,
};
use rand::Rng;
use rand_distr::StandardNormal;

/// The standard deviation of the noise of a pixel, whose values are from −1 to 1.
const NOISE: f64 = 0.7;

/// Digits with noise, which makes them hard to tell apart, and an ensemble that trained on half of them.
pub struct Noisy {
    pub data: TensorDataset,
    pub ensemble: Ensemble<AnyNetwork, Mean>,
    /// Rows that no network trained on: for the calibration, and to measure on.
    pub calibration: Rows,
    pub test: Rows,
}

impl Noisy {
    pub fn train(args: &Args) -> Result<Self> {
        let clean = digits::digits(&[64])?;
        let images = clean.inputs().only()?;
        let mut rng = Seed::from(args.seed).child("noise").rng();
        let noise: Vec<f32> =
            (0..images.elem_count()).map(|_| (NOISE * rng.sample::<f64, _>(StandardNormal)) as f32).collect();
        let noise = Tensor::from_vec(noise, images.shape(), images.device())?;
        let data = clean.with_inputs((images + noise)?)?;
        let trainer = args.classifier(10);
        let (ensemble, rows) = {
            let pool =
                Session::new(&trainer, &data).reserve(0.6).fit(&MultiRun::new(args.members()), args.seed)?;
            (pool.combine(&Mean)?, pool.reserved().to_vec())
        };
        // The reserved rows are in the order of the file, so every second one is a fair half.
        let (calibration, test) = (rows.iter().step_by(2), rows.iter().skip(1).step_by(2));
        let (calibration, test) = (calibration.copied().collect(), test.copied().collect());
        Ok(Self { data, ensemble, calibration, test })
    }

    /// The labels of the rows to measure on.
    pub fn labels(&self, rows: &[u32]) -> Vec<u32> {
        let labels = self.data.labels().unwrap_or_default();
        rows.iter().filter_map(|row| labels.get(*row as usize).copied()).collect()
    }
}

pub fn show(args: &Args, noisy: &Noisy) -> Result<(), Failure> {
    let sets = ClassSets::new(args.alpha);
    let raps = ClassScore::Raps { lambda: 0.1, k_reg: 2 };
    let methods = [
        ("LAC", sets),
        ("LAC, by class", sets.by_class()),
        ("APS", sets.score(ClassScore::Aps)),
        ("APS, randomized", sets.score(ClassScore::Aps).randomized(args.seed)),
        ("RAPS", sets.score(raps)),
        ("RAPS, randomized", sets.score(raps).randomized(args.seed)),
    ];
    let labels = noisy.labels(&noisy.test);
    let rows = methods.into_iter().map(|(name, method)| {
        let conformal = noisy.ensemble.on(&noisy.data).rows(&noisy.calibration).conformal(&method)?;
        let found = noisy.ensemble.on(&noisy.data).rows(&noisy.test).predict_sets(&conformal)?;
        let inside = found.contain(&labels)?;
        let by_class = coverage_by_group(&inside, &labels, 0.95)?;
        let least = by_class.values().map(|class| class.share.estimate).fold(1., f64::min);
        let (all, size) = (coverage(&inside, 0.95)?.share, mean_set_size(&found)?);
        Ok(vec![name.into(), share(all), format!("{least:.3}"), format!("{size:.2}")])
    });
    let rows = rows.collect::<Result<Vec<_>>>()?;
    let accuracy = noisy.ensemble.on(&noisy.data).rows(&noisy.test).evaluate()?.headline();
    say(format!(
        "The ensemble is right on {:.1} % of {} rows. Sets that may miss {:.0} % of the digits, by {} other rows.\n",
        100. * accuracy,
        noisy.test.len(),
        100. * args.alpha,
        noisy.calibration.len()
    ));
    say(table(&["sets", "coverage", "least coverage of a digit", "mean size"], rows));
    Ok(())
}
