//! META-DES: a classifier that predicts which members are right.
use crate::{
    combine::{
        dynamic::{
            competence::{combine_weighted, Competence},
            coverage::Nearest,
            dynamic_selection::{sealed::Sealed, Settings},
            neighbours::Neighbours,
        },
        fixed::row_by_row::RowPredictions,
        CompetenceMeasure, DynamicSelection, FittedDynamicSelection, Space,
    },
    predictions::Predictions,
    Error, HeldOut, Result,
};
use candle_core::{DType, Result as CandleResult, Tensor};
use serde::{Deserialize, Serialize};

/// The default number of similar output profiles, as in DESlib.
const PROFILES: usize = 5;
/// The number of bounds that cut a meta-feature from 0 to 1 into bins.
const BOUNDS: usize = 10;

/// META-DES: a classifier learns from the held-out rows when a member is right; for each row, the members
/// vote that it expects to be right.
///
/// ```text
/// p_s = P(member s is right | f_s)    with the meta-features f_s of member s and the row
/// p_c = share of the votes for class c among the members with p_s > threshold
/// ```
///
/// If no member exceeds the threshold, all members vote. The meta-features of a member and a row are these
/// `2k + kp + 2` numbers:
///
/// - for each of the `k` nearest held-out rows, whether the member is right about it;
/// - for each of them, the probability that the member gives to the true class;
/// - the share of them that the member is right about;
/// - for each of the `kp` held-out rows with the most similar output profile, whether the member is right
///   about it (the output profile of a row is what all members predict for it);
/// - the probability of the class that the member votes for in the row itself.
///
/// The classifier is a multinomial naive Bayes on meta-features that are cut into bins, as in DESlib. It is
/// fitted on every pair of a held-out row and a member; the neighbours of a row are searched among the other
/// rows. All held-out rows are used, as in DESlib; the paper leaves out rows on which most members agree, and
/// compares several classifiers.
///
/// It is fitted on held-out predictions `(S, R, C)` and combines `(S, B, C)` to `(B, C)`. In a row with
/// missing predictions the slots that predict it can be selected. The classifier is fitted on the pairs whose
/// prediction is there, and each slot's neighbours and similar rows are those that it predicts itself; where a
/// slot predicts fewer than `k` or `kp`, the meta-features of the others are left out. Rows of weight 0 are
/// left out; the weights of the others weigh what the classifier learns.
///
/// Use it when members are good in different regions of the inputs and there are many held-out rows, some
/// thousand or more. With fewer, [`KnoraU`](crate::combine::KnoraU) needs no classifier. When members are
/// about equally good everywhere, [`Mean`](crate::combine::Mean) is as good and far cheaper. The inputs are
/// compared as they are, so standardize them first. For classes only; no gradient passes through it.
///
/// The fit searches the neighbours of all held-out rows and takes `R·S·(k + kp)` operations after that. It
/// keeps `R·(F + S·C)` numbers for `F` inputs. A prediction searches the nearest rows twice: by inputs, in a
/// k-d tree up to 16 of them, and by `S·C` predictions, among all `R` rows.
///
/// # Errors
/// Fitting fails for regression, when `k` or `kp` is 0, when the threshold is below 0 or not below 1, with
/// fewer than two held-out rows, and when the inputs are needed and missing.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, predictions::*, HeldOut};
///
/// // The first member is right for negative inputs, the second one for the others.
/// let x = Tensor::arange(-20f32, 20., &Device::Cpu)?.unsqueeze(1)?;
/// let right = x.lt(0f32)?.to_dtype(x.dtype())?;
/// let first = Tensor::cat(&[&right, &(1. - &right)?], 1)?;
/// let second = (1. - &first)?;
/// let predicted = Predictions::new(Tensor::stack(&[first, second], 0)?, Task::Classification { classes: 2 })?;
/// let held_out = HeldOut::from_predictions(&predicted, &Tensor::zeros(40, candle_core::DType::U32, &Device::Cpu)?)?;
/// let fitted = MetaDes::new(3).fit(&held_out.clone().with_inputs(&x)?)?;
/// let p = fitted.combine(&predicted.with_inputs(&x)?)?.to_vec2::<f32>()?;
/// assert!(p.iter().filter(|p| p[0] > 0.5).count() > 35); // the true class nearly everywhere
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Cruz, Sabourin, Cavalcanti and Ren 2015, doi:10.1016/j.patcog.2014.12.003, arXiv:1810.01270.
pub type MetaDes = DynamicSelection<MetaClassifier>;

/// A fitted [`MetaDes`].
pub type FittedMetaDes = FittedDynamicSelection<MetaClassifier>;

/// The competence measure of [`MetaDes`]: a classifier that predicts which members are right.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetaClassifier {
    profiles: usize,
    threshold: f64,
}

/// A fitted [`MetaClassifier`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedMetaClassifier {
    features: FeatureSource,
    classifier: NaiveBayes,
    threshold: f64,
}

impl Default for MetaClassifier {
    fn default() -> Self {
        Self { profiles: PROFILES, threshold: 0.5 }
    }
}

impl MetaDes {
    /// The number `kp` of held-out rows with a similar output profile; 5 by default. If there are fewer other
    /// rows, all of them are used.
    #[must_use]
    pub fn profiles(mut self, kp: usize) -> Self {
        self.measure.profiles = kp;
        self
    }

    /// The probability of being right above which a member is selected, from 0 to less than 1; 0.5 by
    /// default.
    #[must_use]
    pub fn threshold(mut self, threshold: f64) -> Self {
        self.measure.threshold = threshold;
        self
    }
}

impl CompetenceMeasure for MetaClassifier {}

impl Sealed for MetaClassifier {
    const NAME: &'static str = "meta-des";
    type Fitted = FittedMetaClassifier;

    fn fit(&self, settings: Settings, held_out: &HeldOut) -> Result<FittedMetaClassifier> {
        if !(0. ..1.).contains(&self.threshold) {
            let must = "from 0 to less than 1";
            return Err(Error::invalid("the selection threshold of META-DES", must, self.threshold));
        }
        if self.profiles == 0 {
            return Err(Error::invalid("number of output profiles of META-DES", "1 or more", 0));
        }
        // A row is not its own neighbour, so there must be another one.
        let (competence, held_out) = Competence::fit("META-DES", settings, 2, held_out)?;
        let features = FeatureSource::new(competence, self.profiles, &held_out)?;
        let classifier = features.fit_classifier(&held_out)?;
        Ok(FittedMetaClassifier { features, classifier, threshold: self.threshold })
    }

    fn check(fitted: &FittedMetaClassifier, settings: Settings) -> Result<()> {
        fitted.features.check(settings)?;
        match (fitted.classifier.log_odds.len(), fitted.features.count()) {
            (got, count) if got == count => Ok(()),
            (got, count) => Err(Error::invalid("number of log-odds of META-DES", count.to_string(), got)),
        }
    }

    fn combine(fitted: &FittedMetaClassifier, predictions: &Predictions, soft: bool) -> CandleResult<Tensor> {
        let FittedMetaClassifier { features, classifier, threshold } = fitted;
        let nearest = features.competence.nearest(predictions)?;
        let similar = features.similar(predictions)?;
        combine_weighted(predictions, soft, |row_predictions| {
            let row = row_predictions.row;
            let selected = |(i, slot): (usize, &usize)| {
                let rows = (nearest.of(row, *slot), similar.of(row, *slot));
                let features = features.of(rows, *slot, confidence(row_predictions, i));
                f64::from(u8::from(classifier.probability_of_right(features) > *threshold))
            };
            row_predictions.slots.iter().enumerate().map(selected).collect()
        })
    }
}

/// The probability of the class that the `i`-th slot of the row votes for.
fn confidence(row_predictions: &RowPredictions<'_>, i: usize) -> f64 {
    row_predictions.value(i, row_predictions.most_probable(i))
}

/// The held-out rows, from which meta-features are computed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct FeatureSource {
    competence: Competence,
    /// The held-out rows by their output profiles.
    profiles: Neighbours,
    kp: usize,
    /// The probability that each slot gives to the true class of each row, row by row; 0 where its prediction
    /// is missing.
    true_class: Vec<f64>,
}

impl FeatureSource {
    fn new(competence: Competence, kp: usize, held_out: &HeldOut) -> Result<Self> {
        let (predictions, rows) = (held_out.predictions(), held_out.rows().len());
        let labels = held_out.targets().to_dtype(DType::U32)?.reshape((1, rows, 1))?;
        let labels = labels.broadcast_as((competence.slots, rows, 1))?.contiguous()?;
        let true_class = predictions.values().detach().contiguous()?.gather(&labels, 2)?.squeeze(2)?;
        let mut true_class: Vec<f64> = true_class.t()?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
        if let Some(coverage) = &competence.coverage {
            coverage.clear_missing(&mut true_class);
        }
        let profiles = Neighbours::fit(Space::Outputs, predictions)?;
        Ok(Self { competence, profiles, kp: kp.min(rows - 1), true_class })
    }

    /// Checks that the fields agree with each other and with the settings.
    fn check(&self, settings: Settings) -> Result<()> {
        self.competence.check(settings)?;
        self.profiles.check(Space::Outputs)?;
        let rows = self.competence.rows();
        if self.profiles.rows() != rows {
            return Err(Error::invalid("number of output profiles", rows.to_string(), self.profiles.rows()));
        }
        if !(1..=rows).contains(&self.kp) {
            return Err(Error::invalid("number of similar profiles", format!("from 1 to {rows}"), self.kp));
        }
        match (rows * self.competence.slots, self.true_class.len()) {
            (want, got) if want == got => Ok(()),
            (want, got) => {
                Err(Error::invalid("number of probabilities of the true class", want.to_string(), got))
            }
        }
    }

    /// The number of meta-features.
    fn count(&self) -> usize {
        2 * self.competence.k + self.kp + 2
    }

    /// For each row and each slot the held-out rows with a similar output profile that the slot predicts.
    fn similar(&self, predictions: &Predictions) -> CandleResult<Nearest> {
        self.profiles.nearest(predictions, self.kp, self.competence.coverage.as_ref())
    }

    /// The binned meta-features of a slot and a row, given the nearest held-out rows, those with a similar
    /// output profile, and the probability of the class that the slot votes for. Those of rows that there are
    /// too few of are NaN.
    fn of<'a>(
        &'a self,
        (nearest, similar): (&'a [u32], &'a [u32]),
        slot: usize,
        confidence: f64,
    ) -> impl Iterator<Item = f64> + 'a {
        let right = move |row: &u32| f64::from(u8::from(self.competence.is_right(*row, slot)));
        let true_class = move |row: &u32| {
            self.true_class.get(*row as usize * self.competence.slots + slot).copied().unwrap_or_default()
        };
        let accuracy = nearest.iter().map(right).sum::<f64>() / nearest.len() as f64;
        let fill = |count: usize, of: &[u32]| std::iter::repeat_n(f64::NAN, count.saturating_sub(of.len()));
        let (k, kp) = (self.competence.k, self.kp);
        let features = nearest.iter().map(right).chain(fill(k, nearest));
        let features = features.chain(nearest.iter().map(true_class)).chain(fill(k, nearest));
        let features = features.chain([accuracy]).chain(similar.iter().map(right)).chain(fill(kp, similar));
        features.chain([confidence]).map(bin)
    }

    /// Fits the classifier on every pair of a held-out row and a slot. The neighbours of a row are other
    /// rows.
    fn fit_classifier(&self, held_out: &HeldOut) -> Result<NaiveBayes> {
        let slots = self.competence.slots;
        let coverage = self.competence.coverage.as_ref();
        let nearest = self.competence.neighbours.nearest_others(self.competence.k, coverage)?;
        let similar = self.profiles.nearest_others(self.kp, coverage)?;
        let confidence = held_out.predictions().values().detach().max(2)?.t()?;
        let confidence: Vec<f64> = confidence.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
        let rows = held_out.rows().len();
        let mean_weight = (0..rows as u32).map(|row| self.competence.weight(row)).sum::<f64>() / rows as f64;
        let mut counts = Counts::new(self.count());
        for row in 0..rows {
            let weight = self.competence.weight(row as u32) / mean_weight;
            for slot in (0..slots).filter(|slot| self.competence.predicts(row, *slot)) {
                let right = self.competence.is_right(row as u32, slot);
                let rows = (nearest.of(row, slot), similar.of(row, slot));
                let features = self.of(rows, slot, confidence[row * slots + slot]);
                counts.add(right, features, weight);
            }
        }
        Ok(counts.model())
    }
}

/// The bin of a number: how many of the bounds 0.1, 0.2, …, 1 are not above it; NaN has none. The bounds are
/// equal to numpy's `linspace(0.1, 1, 10)`, bit by bit.
fn bin(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    let bound = |i: usize| if i + 1 == BOUNDS { 1. } else { i as f64 * ((1. - 0.1) / 9.) + 0.1 };
    (0..BOUNDS).filter(|i| bound(*i) <= x).count() as f64
}

/// The counts of multinomial naive Bayes, first for members that are wrong, then for members that are right.
struct Counts {
    cases: [f64; 2],
    features: [Vec<f64>; 2],
}

impl Counts {
    fn new(features: usize) -> Self {
        Self { cases: [0.; 2], features: [vec![0.; features], vec![0.; features]] }
    }

    fn add(&mut self, right: bool, features: impl Iterator<Item = f64>, weight: f64) {
        let class = usize::from(right);
        self.cases[class] += weight;
        let counts = self.features[class].iter_mut().zip(features).filter(|(_, x)| !x.is_nan());
        counts.for_each(|(count, x)| *count += weight * x);
    }

    /// The classifier, with 1 added to each count (Laplace smoothing).
    fn model(&self) -> NaiveBayes {
        let log_shares = |class: usize| {
            let counts = &self.features[class];
            let total: f64 = counts.iter().map(|count| count + 1.).sum();
            counts.iter().map(move |count| ((count + 1.) / total).ln())
        };
        NaiveBayes {
            constant: match self.cases {
                [0., _] => Some(true),
                [_, 0.] => Some(false),
                _ => None,
            },
            prior: if self.cases.contains(&0.) { 0. } else { (self.cases[1] / self.cases[0]).ln() },
            log_odds: log_shares(1).zip(log_shares(0)).map(|(right, wrong)| right - wrong).collect(),
        }
    }
}

/// Multinomial naive Bayes for two classes: the log-odds are linear in the features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct NaiveBayes {
    /// The answer for all features, if the members were always right or always wrong.
    constant: Option<bool>,
    prior: f64,
    log_odds: Vec<f64>,
}

impl NaiveBayes {
    fn probability_of_right(&self, features: impl Iterator<Item = f64>) -> f64 {
        if let Some(right) = self.constant {
            return f64::from(u8::from(right));
        }
        let known = self.log_odds.iter().zip(features).filter(|(_, x)| !x.is_nan());
        let log_odds = self.prior + known.map(|(odds, x)| odds * x).sum::<f64>();
        1. / (1. + (-log_odds).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::tables, *};
    use crate::{
        combine::{tests::missing_in_meta_learners::votes, Combiner},
        metrics::Summary,
    };

    /// The probability that each slot is right about each fresh row, row by row.
    fn probabilities_of_right(classes: usize) -> Vec<f64> {
        let (held_out, fresh) = tables(classes);
        let fitted = MetaDes::new(7).fit(&held_out).unwrap();
        let FittedMetaClassifier { features, classifier, .. } = &fitted.fitted;
        let nearest = features.competence.nearest(&fresh).unwrap();
        let similar = features.similar(&fresh).unwrap();
        let confidence: Vec<Vec<f64>> = fresh.values().max(2).unwrap().to_vec2().unwrap();
        let probability = |i: usize| {
            let (row, slot) = (i / 5, i % 5);
            let rows = (nearest.of(row, slot), similar.of(row, slot));
            classifier.probability_of_right(features.of(rows, slot, confidence[slot][row]))
        };
        (0..12 * 5).map(probability).collect()
    }

    fn assert_near(got: &[f64], want: &[f64]) {
        assert_eq!(got.len(), want.len());
        for (i, (a, b)) in got.iter().zip(want).enumerate() {
            assert!((a - b).abs() < 1e-11, "row {}, slot {}: {a} against {b}", i / 5, i % 5);
        }
    }

    /// Reference numbers: `tests/reference/deslib_rules.py`.
    #[test]
    fn probabilities_of_being_right_equal_those_of_deslib() {
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
        assert_near(&probabilities_of_right(3), &three.concat());
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
        assert_near(&probabilities_of_right(2), &two.concat());
    }

    /// Four members that are right with probability .6 on each row, and predict 10 to 100 % of the held-out
    /// rows, are expected to be right equally often on rows like these: over 100 seeds the mean probabilities
    /// are within four standard errors of that of the member that predicts all rows.
    #[test]
    fn equally_good_members_are_expected_to_be_right_equally_often() {
        let probabilities = |seed: u64| -> Vec<f64> {
            let (held_out, _) = votes(seed);
            let fresh = votes(seed + 1000).0;
            let FittedMetaClassifier { features, classifier, .. } =
                &MetaDes::new(7).fit(&held_out).unwrap().fitted;
            let nearest = features.competence.nearest(fresh.predictions()).unwrap();
            let similar = features.similar(fresh.predictions()).unwrap();
            let of_slot = |slot: usize| {
                let of_row = |row: usize| {
                    let rows = (nearest.of(row, slot), similar.of(row, slot));
                    classifier.probability_of_right(features.of(rows, slot, 0.7))
                };
                (0..fresh.rows().len()).map(of_row).sum::<f64>() / fresh.rows().len() as f64
            };
            let all: Vec<f64> = (0..4).map(of_slot).collect();
            all[..3].iter().map(|p| p - all[3]).collect()
        };
        let found: Vec<Vec<f64>> = (0..100).map(probabilities).collect();
        for slot in 0..3 {
            let differences: Vec<f64> = found.iter().map(|run| run[slot]).collect();
            let Summary { mean, sd, .. } = Summary::of(&differences).unwrap();
            let error = sd.unwrap() / 10.;
            assert!(mean.abs() < 4. * error && error < 0.02, "slot {slot}: {mean} ± {error}");
        }
    }

    #[test]
    fn bins_equal_those_of_numpy() {
        // numpy.digitize(x, numpy.linspace(0.1, 1, 10))
        let bins = [
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
        for (x, want) in bins {
            assert_eq!(bin(x), want, "{x}");
        }
    }
}
