//! Selection by a learned judge of competence.
use crate::{
    combine::{
        dynamic::{combine, neighbours::Region, Competence, Local, Selection},
        fixed::row_by_row::RowPredictions,
        DynamicSelection, FittedDynamicSelection, Space,
    },
    predictions::Predictions,
    Error, HeldOut, Result,
};
use candle_core::{DType, Result as CandleResult, Tensor};
use serde::{Deserialize, Serialize};

/// Output profiles that are looked at, if nothing is predicted: DESlib's number.
const PROFILES: usize = 5;
/// Into how many steps a meta-feature from 0 to 1 is cut, besides 0.
const STEPS: usize = 10;

/// META-DES: those members vote that a meta-classifier holds for competent, from how they did near the row; where it
/// holds none for competent, all of them. Classes only; no gradient passes through it.
///
/// What it knows of a member and a row: whether the member is right about each of the `k` held-out rows next to it, how
/// probable it held the true class there, its accuracy over them, whether it is right about each of the `kp`
/// held-out rows of which the members say the most similar things, and how sure it is of this row. It learns from the
/// held-out rows, each with the others around it, which members are right. It is multinomial naive Bayes on features
/// cut into ten steps, as in DESlib, whose defaults these are: every row counts, whether members agree on it
/// or not (the paper leaves out rows on which most agree, and tries several meta-classifiers).
///
/// Source: Cruz et al. 2015, doi:10.1016/j.patcog.2014.12.003, arXiv:1810.01270. Row weights weigh what is learned. Where
/// predictions are missing, those that are there are selected among; a prediction missing from a held-out row is stood in for
/// by the mean of the others, and rows of weight 0 are left out.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, predictions::*, HeldOut};
///
/// // The first member is right below 0, the second above.
/// let x = Tensor::arange(-20f32, 20., &Device::Cpu)?.unsqueeze(1)?;
/// let right = x.lt(0f32)?.to_dtype(x.dtype())?;
/// let first = Tensor::cat(&[&right, &(1. - &right)?], 1)?;
/// let second = (1. - &first)?;
/// let predicted = Predictions::new(Tensor::stack(&[first, second], 0)?, Task::Classification { classes: 2 })?;
/// let held_out = HeldOut::from_predictions(&predicted, &Tensor::zeros(40, candle_core::DType::U32, &Device::Cpu)?)?;
/// let fitted = MetaDes::new(3).fit(&held_out.clone().with_inputs(&x)?)?;
/// let p = fitted.combine(&predicted.with_inputs(&x)?)?.to_vec2::<f32>()?;
/// assert!(p.iter().filter(|p| p[0] > 0.5).count() > 35); // class 0 on both sides
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub type MetaDes = DynamicSelection<Judged>;

/// [`MetaDes`], fitted: what each slot predicted and where it was right, O(held-out rows × (inputs + slots × classes)).
pub type FittedMetaDes = FittedDynamicSelection<Judged>;

/// The selection of [`MetaDes`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    profiles: usize,
    threshold: f64,
}

/// [`Judged`], fitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judging {
    known: Known,
    judge: NaiveBayes,
    threshold: f64,
}

impl Default for Judged {
    fn default() -> Self {
        Self { profiles: PROFILES, threshold: 0.5 }
    }
}

impl MetaDes {
    /// With so many similar output profiles; 5, if not set.
    #[must_use]
    pub fn profiles(mut self, kp: usize) -> Self {
        self.selection.profiles = kp;
        self
    }

    /// Selects members whose probability of being right is above this, from 0 to less than 1; 0.5, if not set.
    #[must_use]
    pub fn threshold(mut self, threshold: f64) -> Self {
        self.selection.threshold = threshold;
        self
    }
}

impl Selection for Judged {
    const NAME: &'static str = "meta-des";
    type Learned = Judging;

    fn learn(&self, local: Local, held_out: &HeldOut) -> Result<Judging> {
        if !(0. ..1.).contains(&self.threshold) {
            let must = "from 0 to less than 1";
            return Err(Error::invalid("the selection threshold of META-DES", must, self.threshold));
        }
        if self.profiles == 0 {
            return Err(Error::invalid("number of output profiles of META-DES", "1 or more", 0));
        }
        // Each row learns from another one at least.
        let (competence, held_out) = Competence::fit("META-DES", local, 2, held_out)?;
        let known = Known::of(competence, self.profiles, &held_out)?;
        let judge = known.judge(&held_out)?;
        Ok(Judging { known, judge, threshold: self.threshold })
    }

    fn combine(learned: &Judging, predictions: &Predictions, soft: bool) -> CandleResult<Tensor> {
        let Judging { known, judge, threshold } = learned;
        let (k, kp) = (known.competence.k, known.kp);
        let (near, alike) = (known.competence.around(predictions)?, known.profiles.around(predictions, kp)?);
        combine(predictions, soft, |row_predictions| {
            let around = (&near[row_predictions.row * k..][..k], &alike[row_predictions.row * kp..][..kp]);
            let chosen = |(prediction, slot): (usize, &usize)| {
                let right = judge.of(known.features(around, *slot, surety(row_predictions, prediction)));
                (right > *threshold).then_some(*slot)
            };
            let chosen: Vec<usize> = row_predictions.slots.iter().enumerate().filter_map(chosen).collect();
            move |slot| f64::from(u8::from(chosen.contains(&slot)))
        })
    }
}

/// How probable a member holds the class that it holds for the most probable.
fn surety(row_predictions: &RowPredictions<'_>, prediction: usize) -> f64 {
    row_predictions.says(prediction, row_predictions.vote(prediction))
}

/// What meta-features are made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Known {
    competence: Competence,
    /// Held-out rows by what the members predict for them.
    profiles: Region,
    kp: usize,
    /// How probable each slot held the true class of a row, row by row.
    support: Vec<f64>,
}

impl Known {
    fn of(competence: Competence, kp: usize, held_out: &HeldOut) -> Result<Self> {
        let (predictions, rows) = (held_out.predictions(), held_out.rows().len());
        let labels = held_out.targets().to_dtype(DType::U32)?.reshape((1, rows, 1))?;
        let labels = labels.broadcast_as((competence.slots, rows, 1))?.contiguous()?;
        let support = predictions.values().detach().contiguous()?.gather(&labels, 2)?.squeeze(2)?;
        let support = support.t()?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
        let profiles = Region::of(Space::Outputs, predictions)?;
        Ok(Self { competence, profiles, kp: kp.min(rows - 1), support })
    }

    /// What is known of a slot with these held-out rows near and alike, in steps.
    fn features<'a>(
        &'a self,
        (near, alike): (&'a [u32], &'a [u32]),
        slot: usize,
        surety: f64,
    ) -> impl Iterator<Item = f64> + 'a {
        let right = move |row: &u32| f64::from(u8::from(self.competence.is_right(*row, slot)));
        let support = move |row: &u32| {
            self.support.get(*row as usize * self.competence.slots + slot).copied().unwrap_or_default()
        };
        let accuracy = near.iter().map(right).sum::<f64>() / near.len() as f64;
        let features = near.iter().map(right).chain(near.iter().map(support)).chain([accuracy]);
        features.chain(alike.iter().map(right)).chain([surety]).map(step)
    }

    /// Learns from the held-out rows, each with the others around it.
    fn judge(&self, held_out: &HeldOut) -> Result<NaiveBayes> {
        let Competence { k, slots, .. } = self.competence;
        let (near, alike) = (self.competence.region.among(k)?, self.profiles.among(self.kp)?);
        let sure = held_out.predictions().values().detach().max(2)?.t()?;
        let sure: Vec<f64> = sure.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
        let rows = held_out.rows().len();
        let mean = (0..rows as u32).map(|row| self.competence.weight(row)).sum::<f64>() / rows as f64;
        let mut counts = Counts::new(2 * k + self.kp + 2);
        for row in 0..rows {
            let around = (&near[row * k..][..k], &alike[row * self.kp..][..self.kp]);
            let weight = self.competence.weight(row as u32) / mean;
            for slot in 0..slots {
                let right = self.competence.is_right(row as u32, slot);
                counts.add(right, self.features(around, slot, sure[row * slots + slot]), weight);
            }
        }
        Ok(counts.model())
    }
}

/// In which step from 0 to 10 a number lies: how many of .1, .2 … 1 are not above it. The bounds are numpy's
/// `linspace(0.1, 1, 10)` to the bit.
fn step(x: f64) -> f64 {
    let bound = |i: usize| if i + 1 == STEPS { 1. } else { i as f64 * ((1. - 0.1) / 9.) + 0.1 };
    (0..STEPS).filter(|i| bound(*i) <= x).count() as f64
}

/// What multinomial naive Bayes counts, for members that are wrong and for those that are right.
struct Counts {
    cases: [f64; 2],
    features: [Vec<f64>; 2],
}

impl Counts {
    fn new(width: usize) -> Self {
        Self { cases: [0.; 2], features: [vec![0.; width], vec![0.; width]] }
    }

    fn add(&mut self, right: bool, features: impl Iterator<Item = f64>, weight: f64) {
        let class = usize::from(right);
        self.cases[class] += weight;
        self.features[class].iter_mut().zip(features).for_each(|(count, x)| *count += weight * x);
    }

    /// With one added to each count (Laplace).
    fn model(&self) -> NaiveBayes {
        let logs = |class: usize| {
            let counts = &self.features[class];
            let total: f64 = counts.iter().map(|count| count + 1.).sum();
            counts.iter().map(move |count| ((count + 1.) / total).ln())
        };
        NaiveBayes {
            always: match self.cases {
                [0., _] => Some(true),
                [_, 0.] => Some(false),
                _ => None,
            },
            prior: if self.cases.contains(&0.) { 0. } else { (self.cases[1] / self.cases[0]).ln() },
            odds: logs(1).zip(logs(0)).map(|(right, wrong)| right - wrong).collect(),
        }
    }
}

/// Multinomial naive Bayes for two classes, which comes to log-odds that are linear in the features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct NaiveBayes {
    /// What it knows without looking, where it has only seen one thing.
    always: Option<bool>,
    prior: f64,
    odds: Vec<f64>,
}

impl NaiveBayes {
    /// The probability of being right.
    fn of(&self, features: impl Iterator<Item = f64>) -> f64 {
        if let Some(always) = self.always {
            return f64::from(u8::from(always));
        }
        let odds = self.prior + self.odds.iter().zip(features).map(|(odds, x)| odds * x).sum::<f64>();
        1. / (1. + (-odds).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::tables, *};
    use crate::combine::Combiner;

    /// The probability of being right that the fitted has for each slot, row by row.
    fn competence(classes: usize) -> Vec<f64> {
        let (held_out, fresh) = tables(classes);
        let fitted = MetaDes::new(7).fit(&held_out).unwrap();
        let Judging { known, judge, .. } = &fitted.learned;
        let near = known.competence.around(&fresh).unwrap();
        let alike = known.profiles.around(&fresh, 5).unwrap();
        let sure: Vec<Vec<f64>> = fresh.values().max(2).unwrap().to_vec2().unwrap();
        let of = |i: usize| {
            let (row, slot) = (i / 5, i % 5);
            let around = (&near[row * 7..][..7], &alike[row * 5..][..5]);
            judge.of(known.features(around, slot, sure[slot][row]))
        };
        (0..12 * 5).map(of).collect()
    }

    fn assert_near(got: &[f64], want: &[f64]) {
        assert_eq!(got.len(), want.len());
        for (i, (a, b)) in got.iter().zip(want).enumerate() {
            assert!((a - b).abs() < 1e-11, "row {}, slot {}: {a} against {b}", i / 5, i % 5);
        }
    }

    /// Reference numbers: `tests/reference/deslib_rules.py`.
    #[test]
    fn competence_is_deslibs() {
        let three = [
            [0.94657090087034, 0.460341839894827, 0.799745241551962, 0.876354553004407, 0.952558721751578],
            [0.912007769222746, 0.924826419610575, 0.95924405698603, 0.948190677942034, 0.973234133837572],
            [0.533664303235917, 0.690319636673904, 0.97125363663909, 0.858501664566258, 0.008672091548756],
            [0.981404954062887, 0.725679980204144, 0.957999300944306, 0.479834473029216, 0.981062655416323],
            [0.800942221453172, 0.387115474396544, 0.056466629426649, 0.681707409470976, 0.918498253070749],
            [0.992084955400728, 0.966538600764463, 0.323579663822711, 0.956407488681734, 0.1103616202598],
            [0.877980183775015, 0.820125847487545, 0.67387965422325, 0.97506343121434, 0.999455787946482],
            [0.976759781711142, 0.258698211856088, 0.962025311860833, 0.923177180965338, 0.958932357676792],
            [0.725163766029887, 0.999254325623141, 0.974938224822278, 0.285843720618921, 0.188705164361721],
            [0.96703193957732, 0.01635644226847, 0.820335464053683, 0.963307161056392, 0.9631676422526],
            [0.925987863064948, 0.99386627368859, 0.934165066019168, 0.897597883302705, 0.405033289890356],
            [0.877027710675799, 0.472799555277324, 0.02492535560873, 0.929385465259948, 0.998544053189724],
        ];
        assert_near(&competence(3), &three.concat());
        let two = [
            [0.99967816561478, 0.999831913262722, 0.550383862969872, 0.999984750182285, 0.725398711195015],
            [0.00058630911634, 0.321119317916038, 0.867200311606622, 0.957931802422706, 0.990196732048098],
            [0.08535676659198, 0.001146849248653, 0.185185003802576, 0.997875980722192, 0.000137372961205],
            [0.727176972085938, 0.989049456949459, 0.998075888421202, 0.996888915492088, 0.999853393343722],
            [0.002228889786826, 0.999556389774427, 0.027581963968199, 0.996390713720327, 0.997717119860691],
            [0.000620011731702, 0.503486240649224, 0.140599056002932, 0.190730400421299, 0.820225376432757],
            [0.002831931580535, 0.002644083936935, 0.999802279695064, 0.012495007507922, 0.996937049278586],
            [0.407671086304638, 0.999498548641484, 0.997775940211277, 0.999906738703388, 0.999242648280878],
            [0.007172667233883, 0.113731239424078, 0.027807476177581, 0.999994202910819, 0.965950068792319],
            [0.733358592334132, 0.004973266612632, 0.025896352182441, 0.916117029785738, 0.978170893542791],
            [0.000536558375072, 0.002414286144197, 0.999460221232034, 0.512826207422058, 0.000932175489792],
            [0.008711271443418, 0.992473626314678, 0.096535752349899, 0.152103092858111, 0.021091706280804],
        ];
        assert_near(&competence(2), &two.concat());
    }

    #[test]
    fn steps_are_numpys() {
        // numpy.digitize(x, numpy.linspace(0.1, 1, 10))
        let steps = [
            (0., 0.),
            (0.05, 0.),
            (0.1, 1.),
            (0.2, 2.),
            (0.3, 2.),
            (0.6, 6.),
            (0.7, 6.),
            (0.99, 9.),
            (1., 10.),
        ];
        for (x, want) in steps {
            assert_eq!(step(x), want, "{x}");
        }
    }
}
