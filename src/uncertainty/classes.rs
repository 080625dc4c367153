//! The uncertainty of predicted classes.
use crate::{
    check,
    data::Task,
    kernels::{argmax::argmax, cpu, float::Number},
    predictions::Predictions,
    Error, Result,
};
use candle_core::{DType, Device};
use rayon::prelude::*;

/// How uncertain the members of an ensemble are of the class of each row, in nats, and what part of it they disagree on.
///
/// ```text
/// total  H(p̄) = −Σ_c p̄_c ln p̄_c          with p̄ = 1/M Σ_m p_m
/// expected    1/M Σ_m H(p_m)              what each member leaves open
/// mutual information  H(p̄) − 1/M Σ_m H(p_m) = 1/M Σ_m KL(p_m ‖ p̄)
/// ```
///
/// The expected entropy is the part that more data of the same kind would not remove (aleatoric). The mutual information
/// is the part that the members disagree on (epistemic): it is large for rows unlike those of the training. With many
/// good members it vanishes where data are plenty.
///
/// Each list has a number for each row. A row that no slot predicts has NaN. Slots whose prediction is missing do not count,
/// so the numbers of a row come from [`slots`](Self::slots) slots.
///
/// Use the total to abstain, and the mutual information to find rows of another kind
/// ([`Detection`](crate::uncertainty::Detection)). A single network has a mutual information of 0 everywhere. Networks that
/// are overconfident have too small an expected entropy; calibrate them first.
///
/// Cost: `O(M N C)`, on all cores.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::Task, predictions::Predictions, uncertainty::ClassUncertainty};
///
/// // Two members: they agree that row 0 is open, and disagree on row 1.
/// let members = Tensor::new(&[[[0.5f64, 0.5], [1., 0.]], [[0.5, 0.5], [0., 1.]]], &Device::Cpu)?;
/// let uncertainty = ClassUncertainty::new(&Predictions::new(members, Task::Classification { classes: 2 })?)?;
/// let ln2 = std::f64::consts::LN_2;
/// assert_eq!(uncertainty.total, [ln2, ln2]);
/// assert_eq!(uncertainty.expected, [ln2, 0.]);
/// assert_eq!(uncertainty.mutual_information, [0., ln2]);
/// assert_eq!(uncertainty.variation_ratio, [0., 0.5]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Depeweg et al. 2018, arXiv:1710.07283; Smith and Gal 2018, arXiv:1803.08533. Variation ratio: Freeman 1965.
/// Pairwise divergence: Malinin 2019, doi:10.17863/CAM.45912.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ClassUncertainty {
    /// The entropy of the mean probabilities, from 0 to `ln C`.
    pub total: Vec<f64>,
    /// The mean entropy of the members, from 0 to `ln C`.
    pub expected: Vec<f64>,
    /// The difference of the two, from 0 to `ln M`.
    pub mutual_information: Vec<f64>,
    /// `1 − max_c p̄_c`, from 0 to `1 − 1/C`: the complement of the maximum softmax probability (Hendrycks and Gimpel 2017,
    /// arXiv:1610.02136).
    pub least_confidence: Vec<f64>,
    /// The share of the members that do not vote for the class with the most votes, from 0 to `1 − 1/C`.
    pub variation_ratio: Vec<f64>,
    /// The mean of `KL(p_i ‖ p_j)` over the ordered pairs of different members, 0 or more; infinite if a member rules out a
    /// class that another one does not. NaN for a row with fewer than two members.
    pub pairwise_kl: Vec<f64>,
    /// The number of slots that predict the row.
    pub slots: Vec<usize>,
}

/// By so much the sum of the probabilities of a row may differ from 1.
const TOLERANCE: f64 = 1e-3;

/// The figures of a row.
#[derive(Clone, Copy)]
struct Row {
    total: f64,
    expected: f64,
    mutual_information: f64,
    least_confidence: f64,
    variation_ratio: f64,
    pairwise_kl: f64,
    slots: usize,
}

impl ClassUncertainty {
    /// The uncertainty of predictions `(S, B, C)` of probabilities.
    ///
    /// # Errors
    /// When the predictions are values, a probability is not in [0, 1], or those of a row do not sum to 1.
    pub fn new(predictions: &Predictions) -> Result<Self> {
        Self::weighted(predictions, None)
    }

    /// The uncertainty of predictions `(S, B, C)` of probabilities, where the slots count by these weights: `1/M Σ_m` becomes
    /// `Σ_m w_m`, and a vote counts `w_m`. The weights are divided by the sum of those of the slots that predict the row; a
    /// slot of weight 0 does not count, except where no other one predicts the row.
    ///
    /// The pairwise divergence is the mean over pairs with the weights `w_i w_j`.
    ///
    /// # Errors
    /// As [`new`](Self::new), and when there is not one weight for each slot, finite and 0 or more, with a positive sum.
    pub fn weighted(predictions: &Predictions, weights: Option<&[f64]>) -> Result<Self> {
        check::weights(weights, predictions.slots(), false)?;
        if let Task::Regression { .. } = predictions.task() {
            let must = "probabilities of classes (ValueUncertainty is for values)";
            return Err(Error::invalid("the predictions", must, "values"));
        }
        let predictions = predictions.to_device(&Device::Cpu)?;
        let probabilities = predictions.probabilities("the uncertainty of classes")?;
        let covered = predictions.coverage_by_slot()?;
        let (slots, rows, classes) = probabilities.dims3()?;
        let of = match probabilities.dtype() {
            DType::F64 => cpu::with_slice(&probabilities, |all: &[f64]| {
                each(all, covered.as_deref(), weights, [slots, rows, classes])
            }),
            _ => cpu::with_slice(&probabilities, |all: &[f32]| {
                each(all, covered.as_deref(), weights, [slots, rows, classes])
            }),
        }??;
        let list = |figure: fn(&Row) -> f64| of.iter().map(figure).collect();
        Ok(Self {
            total: list(|row| row.total),
            expected: list(|row| row.expected),
            mutual_information: list(|row| row.mutual_information),
            least_confidence: list(|row| row.least_confidence),
            variation_ratio: list(|row| row.variation_ratio),
            pairwise_kl: list(|row| row.pairwise_kl),
            slots: of.iter().map(|row| row.slots).collect(),
        })
    }
}

fn each<T: Number>(
    all: &[T],
    covered: Option<&[Vec<f32>]>,
    weights: Option<&[f64]>,
    [slots, rows, classes]: [usize; 3],
) -> Result<Vec<Row>> {
    let predicts = |slot: usize, row: usize| {
        covered.is_none_or(|covered| covered.get(slot).and_then(|c| c.get(row)).is_some_and(|c| *c > 0.))
    };
    let of_row = |row: usize| {
        let (mut members, mut shares) = (Vec::with_capacity(slots * classes), Vec::with_capacity(slots));
        let weight = |slot: usize| weights.map_or(1., |all| all.get(slot).copied().unwrap_or(0.));
        // Slots of weight 0 stand in where no other one predicts the row.
        let weighted = (0..slots).any(|slot| predicts(slot, row) && weight(slot) > 0.);
        for slot in (0..slots).filter(|slot| predicts(*slot, row) && (weight(*slot) > 0. || !weighted)) {
            shares.push(if weighted { weight(slot) } else { 1. });
            let (first, mut sum) = ((slot * rows + row) * classes, 0.);
            for (class, p) in all.get(first..first + classes).unwrap_or_default().iter().enumerate() {
                let p: f64 = (*p).into();
                // NaN is in no range.
                if !(0.0..=1.0 + TOLERANCE).contains(&p) {
                    let what = format!("probability of class {class} by member {slot}, row {row}");
                    return Err(Error::invalid(what, "from 0 to 1", p));
                }
                members.push(p);
                sum += p;
            }
            if (sum - 1.).abs() > TOLERANCE {
                let what = format!("sum of the probabilities by member {slot}, row {row}");
                return Err(Error::invalid(what, "1", sum));
            }
        }
        let sum: f64 = shares.iter().sum();
        shares.iter_mut().for_each(|share| *share /= sum);
        Ok(figures(&members, &shares, classes))
    };
    (0..rows).into_par_iter().map(of_row).collect()
}

/// The figures of a row from the probabilities of its members, one after the other, and the shares of the members.
fn figures(members: &[f64], shares: &[f64], classes: usize) -> Row {
    if shares.is_empty() {
        let nan = f64::NAN;
        return Row {
            total: nan,
            expected: nan,
            mutual_information: nan,
            least_confidence: nan,
            variation_ratio: nan,
            pairwise_kl: nan,
            slots: 0,
        };
    }
    let each = || members.chunks_exact(classes).zip(shares);
    let (mut mean, mut votes) = (vec![0.; classes], vec![0.; classes]);
    for (member, share) in each() {
        mean.iter_mut().zip(member).for_each(|(mean, p)| *mean += share * p);
        if let Some(votes) = votes.get_mut(argmax(member)) {
            *votes += share;
        }
    }
    let greatest = |values: &[f64]| values.iter().copied().fold(0., f64::max);
    Row {
        total: entropy(&mean),
        expected: each().map(|(member, share)| share * entropy(member)).sum(),
        // As a mean of divergences it is exactly 0 where the members agree, and never below.
        mutual_information: each().map(|(member, share)| share * divergence(member, &mean)).sum(),
        least_confidence: 1. - greatest(&mean),
        variation_ratio: (1. - greatest(&votes)).max(0.),
        pairwise_kl: pairwise(members, shares, classes),
        slots: shares.len(),
    }
}

/// `−Σ p ln p`
fn entropy(p: &[f64]) -> f64 {
    // Not −0 for a certain prediction.
    0. - p.iter().filter(|p| **p > 0.).map(|p| p * p.ln()).sum::<f64>()
}

/// `Σ p ln(p / q)`, at least 0.
fn divergence(p: &[f64], q: &[f64]) -> f64 {
    let terms = p.iter().zip(q).filter(|(p, _)| **p > 0.);
    terms.map(|(p, q)| p * (p / q).ln()).sum::<f64>().max(0.)
}

/// The mean of the divergences of ordered pairs, from sums over the members.
///
/// ```text
/// Σ_ij w_i w_j KL(p_i ‖ p_j) = Σ_c [ Σ_i w_i p_i ln p_i − Σ_i w_i p_i · Σ_j w_j ln p_j ]
/// ```
fn pairwise(members: &[f64], shares: &[f64], classes: usize) -> f64 {
    if shares.len() < 2 {
        return f64::NAN;
    }
    let of_class = |class: usize| {
        let of_members = || members.iter().skip(class).step_by(classes).zip(shares);
        let sum: f64 = of_members().map(|(p, share)| share * p).sum();
        match sum > 0. {
            // Every member rules the class out.
            false => 0.,
            true => {
                let possible = of_members().filter(|(p, _)| **p > 0.);
                let own: f64 = possible.map(|(p, share)| share * p * p.ln()).sum();
                let logarithms: f64 = of_members().map(|(p, share)| share * p.ln()).sum();
                own - sum * logarithms
            }
        }
    };
    // The weights of the pairs of different members.
    let pairs: f64 = shares.iter().map(|share| share * (1. - share)).sum();
    ((0..classes).map(of_class).sum::<f64>() / pairs).max(0.)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Tensor;
    use proptest::prelude::*;

    fn predictions(values: &[f64], slots: usize, classes: usize) -> Predictions {
        let rows = values.len() / slots / classes;
        let values = Tensor::from_slice(values, (slots, rows, classes), &Device::Cpu).unwrap();
        Predictions::new(values, Task::Classification { classes }).unwrap()
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12 * b.abs().max(1.)
    }

    /// By hand: members (0.8, 0.2) and (0.4, 0.6), mean (0.6, 0.4).
    #[test]
    fn figures_are_those_computed_by_hand() {
        let got = ClassUncertainty::new(&predictions(&[0.8, 0.2, 0.4, 0.6], 2, 2)).unwrap();
        assert!(near(got.total[0], 0.673_011_667_009_256_4), "{got:?}");
        assert!(near(got.expected[0], 0.586_707_045_273_722_2), "{got:?}");
        assert!(near(got.mutual_information[0], 0.086_304_621_735_534_33), "{got:?}");
        assert!(near(got.least_confidence[0], 0.4) && near(got.variation_ratio[0], 0.5), "{got:?}");
        let one = 0.8 * 2f64.ln() + 0.2 * (1f64 / 3.).ln();
        let other = 0.4 * 0.5f64.ln() + 0.6 * 3f64.ln();
        assert!(near(got.pairwise_kl[0], (one + other) / 2.), "{got:?}");
        assert_eq!(got.slots, [2]);
    }

    proptest! {
        #[test]
        fn the_parts_add_up_and_have_their_ranges(
            raw in prop::collection::vec(0.0f64..1., 30),
            slots in prop::sample::select(vec![1usize, 2, 3, 5]),
            zeros: bool,
        ) {
            let classes = 3;
            let mut p: Vec<f64> = raw.iter().map(|x| if zeros && *x < 0.2 { 0. } else { *x + 1e-3 }).collect();
            for row in p.chunks_exact_mut(classes) {
                row[0] += 1e-3;
                let sum: f64 = row.iter().sum();
                row.iter_mut().for_each(|x| *x /= sum);
            }
            let rows = 10 / slots;
            let p = &p[..slots * rows * classes];
            let got = ClassUncertainty::new(&predictions(p, slots, classes)).unwrap();
            for row in 0..rows {
                let of = |slot: usize| &p[(slot * rows + row) * classes..][..classes];
                let (total, expected, mutual) = (got.total[row], got.expected[row], got.mutual_information[row]);
                prop_assert!((total - expected - mutual).abs() < 1e-12);
                prop_assert!(mutual >= 0. && mutual <= (slots as f64).ln() + 1e-12);
                prop_assert!(total <= (classes as f64).ln() + 1e-12);
                // Pair by pair.
                let mut sum = 0.;
                for i in 0..slots {
                    for j in (0..slots).filter(|j| *j != i) {
                        sum += of(i).iter().zip(of(j)).filter(|(a, _)| **a > 0.).map(|(a, b)| a * (a / b).ln()).sum::<f64>();
                    }
                }
                let mean = sum / (slots * (slots - 1)) as f64;
                let kl = got.pairwise_kl[row];
                prop_assert!((kl.is_nan() && slots == 1) || kl == mean || (kl - mean).abs() < 1e-9, "{kl} {mean}");
            }
        }
    }

    /// Weights in proportion to whole numbers repeat members, except for pairs of copies.
    #[test]
    fn weights_repeat_members() {
        let (a, b) = ([0.7, 0.2, 0.1], [0.1, 0.3, 0.6]);
        let two = predictions(&[a, b].concat(), 2, 3);
        let four = ClassUncertainty::new(&predictions(&[a, a, a, b].concat(), 4, 3)).unwrap();
        let got = ClassUncertainty::weighted(&two, Some(&[1.5, 0.5])).unwrap();
        for (of, found) in [
            (four.total[0], got.total[0]),
            (four.expected[0], got.expected[0]),
            (four.mutual_information[0], got.mutual_information[0]),
            (four.least_confidence[0], got.least_confidence[0]),
            (four.variation_ratio[0], got.variation_ratio[0]),
        ] {
            assert!(near(found, of), "{found} {of}");
        }
        // The only pair of different members, and its reverse, whatever the weights.
        assert!(near(got.pairwise_kl[0], ClassUncertainty::new(&two).unwrap().pairwise_kl[0]));
        let one = ClassUncertainty::weighted(&two, Some(&[0., 2.])).unwrap();
        assert_eq!((one.slots[0], one.mutual_information[0]), (1, 0.));
        assert!(ClassUncertainty::weighted(&two, Some(&[1.])).is_err());
        assert!(ClassUncertainty::weighted(&two, Some(&[2., -1.])).is_err());
    }

    #[test]
    fn missing_predictions_do_not_count() {
        let values =
            Tensor::new(&[[[0.8f32, 0.2], [f32::NAN, f32::NAN]], [[0.4, 0.6], [f32::NAN, 1.]]], &Device::Cpu)
                .unwrap();
        let covered = Tensor::new(&[[1u8, 0], [0, 0]], &Device::Cpu).unwrap();
        let some = Predictions::partial(values, covered, Task::Classification { classes: 2 }).unwrap();
        let got = ClassUncertainty::new(&some).unwrap();
        assert_eq!(got.slots, [1, 0]);
        assert!(got.total[1].is_nan() && got.mutual_information[0] == 0. && got.pairwise_kl[0].is_nan());
    }

    #[test]
    fn numbers_that_are_no_probabilities_are_errors_that_name_the_place() {
        for bad in [-0.1, 1.5, f64::NAN] {
            let e = ClassUncertainty::new(&predictions(&[0.5, 0.5, bad, 0.5], 2, 2)).unwrap_err();
            assert!(e.to_string().contains("class 0 by member 1, row 0"), "{e}");
        }
        let e = ClassUncertainty::new(&predictions(&[0.5, 0.5, 0.9, 0.9], 2, 2)).unwrap_err().to_string();
        assert_eq!(e, "sum of the probabilities by member 1, row 0 must be 1, but is 1.8");
        let values = Tensor::zeros((2, 3, 1), DType::F32, &Device::Cpu).unwrap();
        let values = Predictions::new(values, Task::Regression { outputs: 1 }).unwrap();
        let e = ClassUncertainty::new(&values).unwrap_err().to_string();
        assert!(e.starts_with("the predictions must be probabilities of classes"), "{e}");
    }
}
