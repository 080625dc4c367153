use super::*;
use crate::{data::Task, evaluate::RowTargets, predictions::Predictions};
use candle_core::{Device, Tensor};
use proptest::prelude::*;

// By `tests/reference/diversity.py`, in the order of [`parts`].
const SQUARED: [f64; 7] = [
    0.46798983202083977,
    0.5315342096693958,
    0.4749774572965999,
    0.056556752372795636,
    0.06354437764855589,
    0.4587759125513063,
    0.009213919469533448,
];
const CROSS_ENTROPY: [f64; 7] = [
    0.796200107926333,
    0.9369124947752417,
    0.8123197378486849,
    0.12459275692655668,
    0.14071238684890855,
    0.7681267706775009,
    0.0280733372488322,
];
const ZERO_ONE: [f64; 7] = [
    0.14285714285714285,
    0.3392857142857144,
    0.2799999999999999,
    0.059285714285714275,
    0.19642857142857145,
    0.1,
    0.04285714285714286,
];

/// A table of random numbers between 0 and 1.
fn table(seed: u64, count: usize) -> Vec<f64> {
    use rand::Rng;
    let mut rng = crate::Seed::from(seed).rng();
    (0..count).map(|_| rng.random_range(0.0..1.0)).collect()
}

fn tensor(values: &[f64], dims: (usize, usize, usize)) -> Tensor {
    Tensor::from_slice(values, dims, &Device::Cpu).unwrap()
}

fn distributions(values: &[f64], classes: usize) -> Vec<f64> {
    let row = |row: &[f64]| {
        // Some probabilities are 0.
        let raw: Vec<f64> = row.iter().map(|x| if *x < 0.1 { 0. } else { *x }).collect();
        let sum = raw.iter().sum::<f64>();
        raw.iter().map(|x| if sum > 0. { x / sum } else { 1. / classes as f64 }).collect::<Vec<_>>()
    };
    values.chunks(classes).flat_map(row).collect()
}

fn near(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-10 * (1. + b.abs()), "{a} is not {b}");
}

/// What the definitions say, computed with all repeats in memory: `(R, S, N, C)`.
struct Direct<'a> {
    kind: AdditiveLoss,
    all: &'a [f64],
    labels: &'a [u32],
    weights: &'a [f64],
    dims: (usize, usize, usize, usize),
}

impl Direct<'_> {
    fn row(&self, r: usize, s: usize, n: usize) -> Vec<f64> {
        let (_, slots, rows, c) = self.dims;
        let row = &self.all[((r * slots + s) * rows + n) * c..][..c];
        match self.kind {
            AdditiveLoss::Squared => row.to_vec(),
            AdditiveLoss::CrossEntropy => {
                let floored: Vec<f64> = row.iter().map(|p| p.max(crate::metrics::NLL_EPSILON)).collect();
                floored.iter().map(|p| p / floored.iter().sum::<f64>()).collect()
            }
        }
    }

    fn centroid(&self, rows: &[Vec<f64>]) -> Vec<f64> {
        let mean = |f: fn(f64) -> f64| -> Vec<f64> {
            (0..rows[0].len())
                .map(|k| rows.iter().map(|row| f(row[k])).sum::<f64>() / rows.len() as f64)
                .collect()
        };
        match self.kind {
            AdditiveLoss::Squared => mean(|x| x),
            AdditiveLoss::CrossEntropy => {
                let product: Vec<f64> = mean(f64::ln).iter().map(|x| x.exp()).collect();
                product.iter().map(|x| x / product.iter().sum::<f64>()).collect()
            }
        }
    }

    fn divergence(&self, p: &[f64], q: &[f64]) -> f64 {
        let terms = p.iter().zip(q);
        match self.kind {
            AdditiveLoss::Squared => terms.map(|(p, q)| (p - q).powi(2)).sum(),
            AdditiveLoss::CrossEntropy => {
                terms.map(|(p, q)| if *p > 0. { p * (p / q).ln() } else { 0. }).sum()
            }
        }
    }

    /// Loss, loss of the members, bias, variance, diversity, bias and variance of the ensemble.
    fn parts(&self) -> [f64; 7] {
        let (repeats, slots, rows, c) = self.dims;
        let mut sums = [0.; 7];
        for n in 0..rows {
            let y: Vec<f64> = (0..c).map(|k| f64::from(u8::from(self.labels[n] as usize == k))).collect();
            let w = self.weights[n] / self.weights.iter().sum::<f64>();
            let ensemble = |r| self.centroid(&(0..slots).map(|s| self.row(r, s, n)).collect::<Vec<_>>());
            let ensembles: Vec<_> = (0..repeats).map(ensemble).collect();
            let central = self.centroid(&ensembles);
            let share = w / repeats as f64;
            for ensemble in &ensembles {
                sums[0] += share * self.divergence(&y, ensemble);
                sums[6] += share * self.divergence(&central, ensemble);
            }
            sums[5] += w * self.divergence(&y, &central);
            for s in 0..slots {
                let of_slot: Vec<_> = (0..repeats).map(|r| self.row(r, s, n)).collect();
                let central = self.centroid(&of_slot);
                sums[2] += w / slots as f64 * self.divergence(&y, &central);
                for (row, ensemble) in of_slot.iter().zip(&ensembles) {
                    let share = share / slots as f64;
                    sums[1] += share * self.divergence(&y, row);
                    sums[3] += share * self.divergence(&central, row);
                    sums[4] += share * self.divergence(ensemble, row);
                }
            }
        }
        sums
    }
}

fn parts(of: &BiasVarianceDiversity) -> [f64; 7] {
    let BiasVarianceDiversity { loss, member_loss, bias, variance, diversity, .. } = of;
    [*loss, *member_loss, *bias, *variance, *diversity, of.ensemble_bias, of.ensemble_variance]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_parts_add_up_and_are_those_of_the_definitions(
        seed in 0u64..10_000, repeats in 1usize..5, slots in 1usize..5, rows in 1usize..6, classes in 2usize..13,
    ) {
        let count = repeats * slots * rows * classes;
        let all = distributions(&table(seed, count), classes);
        let labels: Vec<u32> = table(seed + 1, rows).iter().map(|x| (x * classes as f64) as u32).collect();
        let weights: Vec<f64> = table(seed + 2, rows).iter().map(|x| x + 0.01).collect();
        let targets = RowTargets::classes(&labels, classes).unwrap().with_weights(&weights).unwrap();
        for kind in [AdditiveLoss::Squared, AdditiveLoss::CrossEntropy] {
            let mut sums = DiversityRepeats::new(kind, &targets).unwrap();
            let mut first = BiasVarianceRepeats::new(kind, &targets).unwrap();
            for repeat in all.chunks(slots * rows * classes) {
                let ensemble = tensor(repeat, (slots, rows, classes));
                sums.push(&ensemble).unwrap();
                first.push(&ensemble.get(0).unwrap()).unwrap();
            }
            let got = sums.finish().unwrap();
            near(got.bias + got.variance - got.diversity, got.loss);
            near(got.bias + got.variance, got.member_loss);
            near(got.ensemble_bias + got.ensemble_variance, got.loss);
            let dims = (repeats, slots, rows, classes);
            let want = Direct { kind, all: &all, labels: &labels, weights: &weights, dims }.parts();
            parts(&got).into_iter().zip(want).for_each(|(got, want)| near(got, want));
            prop_assert_eq!(first.finish().unwrap(), got.members[0]);
            if let Some(unbiased) = got.unbiased() {
                near(unbiased.bias + unbiased.variance - unbiased.diversity, got.loss);
            }
            if let Some(covariance) = got.covariance() {
                near(covariance.bias + covariance.variance_term() + covariance.covariance_term(), got.loss);
                let direct = covariance_of(&all, &weights, dims);
                prop_assert_eq!(direct.is_some(), covariance.covariance.is_some());
                if let (Some(direct), Some(got)) = (direct, covariance.covariance) {
                    near(got, direct);
                }
            }
        }
    }

    #[test]
    fn the_parts_of_the_error_rate_add_up(
        seed in 0u64..10_000, repeats in 1usize..6, slots in 1usize..5, rows in 1usize..6, classes in 2usize..13,
    ) {
        let all = table(seed, repeats * slots * rows * classes);
        let labels: Vec<u32> = table(seed + 1, rows).iter().map(|x| (x * classes as f64) as u32).collect();
        let weights: Vec<f64> = table(seed + 2, rows).iter().map(|x| x + 0.01).collect();
        let targets = RowTargets::classes(&labels, classes).unwrap().with_weights(&weights).unwrap();
        let probabilities = distributions(&table(seed + 3, rows * classes), classes);
        let known = Tensor::from_slice(&probabilities, (rows, classes), &Device::Cpu).unwrap();
        let mut effects = DiversityEffectRepeats::new(&targets).unwrap();
        let mut noisy = ZeroOneRepeats::new(&targets).unwrap().class_probabilities(&known).unwrap();
        // The probability that the first slot is not a target drawn anew.
        let mut loss = 0.;
        for repeat in all.chunks(slots * rows * classes) {
            let ensemble = tensor(repeat, (slots, rows, classes));
            effects.push(&ensemble).unwrap();
            noisy.push(&ensemble.get(0).unwrap()).unwrap();
            for (n, scores) in repeat[..rows * classes].chunks(classes).enumerate() {
                let class = crate::kernels::argmax::argmax(scores);
                loss += weights[n] / weights.iter().sum::<f64>() * (1. - probabilities[n * classes + class]);
            }
        }
        let got = effects.finish().unwrap();
        near(got.bias + got.variance_effect - got.diversity_effect, got.loss);
        near(got.ensemble_bias + got.ensemble_variance_effect, got.loss);
        let got = noisy.finish().unwrap();
        near(got.loss, loss / repeats as f64);
        near(got.noise + got.bias + got.net_variance, got.loss);
    }

    #[test]
    fn the_ambiguity_is_what_the_ensemble_gains(
        seed in 0u64..10_000, slots in 1usize..6, rows in 1usize..6, outputs in 1usize..4, missing in any::<bool>(),
    ) {
        let values = tensor(&table(seed, slots * rows * outputs), (slots, rows, outputs));
        let y = Tensor::from_vec(table(seed + 1, rows * outputs), (rows, outputs), &Device::Cpu).unwrap();
        let weights: Vec<f64> = table(seed + 2, slots);
        let task = Task::Regression { outputs };
        let predictions = if missing {
            let covered: Vec<u8> = table(seed + 3, slots * rows).iter().map(|x| u8::from(*x < 0.7)).collect();
            prop_assume!(covered.contains(&1));
            let covered = Tensor::from_vec(covered, (slots, rows), &Device::Cpu).unwrap();
            Predictions::partial(values, covered, task).unwrap()
        } else {
            Predictions::new(values, task).unwrap()
        };
        let got = ambiguity(&predictions, &RowTargets::values(&y).unwrap(), Some(&weights)).unwrap();
        near(got.member_loss - got.ambiguity, got.loss);
        prop_assert!(got.ambiguity >= 0.);
    }
}

/// The mean covariance of two slots, from its definition.
fn covariance_of(all: &[f64], weights: &[f64], (r, s, n, c): (usize, usize, usize, usize)) -> Option<f64> {
    let at = |i: usize, slot: usize, cell: usize| all[(i * s + slot) * n * c + cell];
    let mean = |slot, cell| (0..r).map(|i| at(i, slot, cell)).sum::<f64>() / r as f64;
    let mut sum = 0.;
    for (a, b) in (0..s).flat_map(|a| (0..s).map(move |b| (a, b))).filter(|(a, b)| a != b) {
        for cell in 0..n * c {
            let products =
                (0..r).map(|i| (at(i, a, cell) - mean(a, cell)) * (at(i, b, cell) - mean(b, cell)));
            sum += weights[cell / c] * products.sum::<f64>() / r as f64;
        }
    }
    (s > 1).then(|| sum / (s * (s - 1)) as f64 / weights.iter().sum::<f64>())
}

/// The tables of `tests/reference/diversity.py`: the repeats, `(5, 70, 3)` each, and the labels.
pub(in crate::evaluate) fn reference() -> (Vec<Tensor>, Vec<u32>) {
    const DIMS: (usize, usize, usize) = (5, 70, 3);
    let labels: Vec<u32> = (0..DIMS.1 as u32).map(|i| (i * i + 1) % 3).collect();
    let repeat = |r: usize| {
        let mut all = vec![];
        for (s, i) in (0..DIMS.0).flat_map(|s| (0..DIMS.1).map(move |i| (s, i))) {
            let lucky = (i * 11 + s * 29 + r * 13 + s * i * 3) % 7 < 4;
            let raw = [0, 1, 2].map(|c| {
                let raw =
                    (s * 131 + i * 37 + c * 101 + s * i * c * 17 + s * c * 59 + r * 71 + r * i * 13) % 97 + 1;
                (raw + if lucky && labels[i] as usize == c { 60 } else { 0 }) as f64
            });
            all.extend(raw.map(|x| x / raw.iter().sum::<f64>()));
        }
        tensor(&all, DIMS)
    };
    ((0..4).map(repeat).collect(), labels)
}

#[test]
fn agrees_with_the_code_of_the_authors_of_the_theory() {
    let (repeats, labels) = reference();
    let targets = RowTargets::classes(&labels, 3).unwrap();
    for (kind, want) in [(AdditiveLoss::Squared, SQUARED), (AdditiveLoss::CrossEntropy, CROSS_ENTROPY)] {
        let mut sums = DiversityRepeats::new(kind, &targets).unwrap();
        repeats.iter().for_each(|repeat| sums.push(repeat).unwrap());
        parts(&sums.finish().unwrap()).into_iter().zip(want).for_each(|(got, want)| near(got, want));
    }
    let mut sums = DiversityEffectRepeats::new(&targets).unwrap();
    repeats.iter().for_each(|repeat| sums.push(repeat).unwrap());
    let got = sums.finish().unwrap();
    let all = [got.loss, got.member_loss, got.bias, got.variance_effect, got.diversity_effect];
    let all = all.into_iter().chain([got.ensemble_bias, got.ensemble_variance_effect]);
    all.zip(ZERO_ONE).for_each(|(got, want)| near(got, want));
}

/// By hand: three classes, five repeats predict 1, 1, 1, 0, 2 where 0 is right. The main prediction is 1, so the
/// bias is 1 and the variance 2/5. c₂ = −P(y = 0 | y ≠ 1) = −1/2, and 1 − 1/2 · 2/5 = 4/5 is the error rate.
#[test]
fn variance_helps_less_where_there_are_more_classes() {
    let mut sums = ZeroOneRepeats::new(&RowTargets::classes(&[0], 3).unwrap()).unwrap();
    for class in [1, 1, 1, 0, 2] {
        let scores: Vec<f64> = (0..3).map(|k| f64::from(u8::from(k == class))).collect();
        sums.push(&Tensor::from_vec(scores, (1, 3), &Device::Cpu).unwrap()).unwrap();
    }
    let got = sums.finish().unwrap();
    near(got.loss, 0.8);
    near(got.bias, 1.);
    near(got.variance, 0.4);
    near(got.biased_variance, 0.2);
    near(got.net_variance, -0.2);
}

#[test]
fn bad_repeats_are_errors_and_add_nothing() {
    let targets = RowTargets::classes(&[0, 1], 2).unwrap();
    let mut sums = DiversityRepeats::new(AdditiveLoss::CrossEntropy, &targets).unwrap();
    assert_eq!(sums.finish().unwrap_err().to_string(), "number of repeats must be at least 1, but is 0");
    sums.push(&tensor(&[0.5; 8], (2, 2, 2))).unwrap();
    let before = sums.finish().unwrap();
    assert!(sums.push(&tensor(&[0.5; 4], (1, 2, 2))).is_err());
    assert!(sums.push(&tensor(&[0.4; 8], (2, 2, 2))).is_err());
    assert!(sums.push(&tensor(&[f64::NAN; 8], (2, 2, 2))).is_err());
    assert_eq!(sums.finish().unwrap(), before);
    let values = RowTargets::values(&Tensor::new(&[1f32], &Device::Cpu).unwrap()).unwrap();
    assert!(DiversityRepeats::new(AdditiveLoss::CrossEntropy, &values).is_err());
    assert!(ZeroOneRepeats::new(&values).is_err());
}
