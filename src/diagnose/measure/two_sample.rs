//! Whether two sets of rows come from one distribution.
use super::table::{Table, Targets};
use crate::{
    codec::real,
    data::{Dataset, Scaling, TensorDataset},
    exec::Sequential,
    nn::{seq, Activation},
    strategy::KFold,
    train::{Optimizer, Trainer},
    weights::InitScheme,
    Error, Result, Rows, Seed, Session,
};
use candle_core::{Device, Tensor};
use candle_nn::{linear, VarBuilder};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};
use std::collections::BTreeSet;

/// A classifier two-sample test: can a network tell the rows of one set from those of another?
///
/// If both sets come from one distribution, no classifier does better than chance on rows that it has not learned from.
/// If one does, the sets differ, in single columns, in their relations, or in the relation of inputs and targets, which
/// are part of the rows. Of rows with a class at each position, the shares of the classes in a row are its targets.
///
/// ```text
/// draw as many rows from either set; train a network on one half of them to tell the sets apart, and the other way round
/// AUC  = the mean, over the halves, of the area under the ROC curve on the half that was not learned from
/// z    = the mean of (AUC_half − 1/2) / √((n₁ + n₂ + 1) / (12 n₁ n₂))       p = P(Z ≥ z) of a standard normal Z
/// ```
///
/// The two statistics are correlated, at most perfectly, so the p-value is never too small, and mostly too large. Where
/// the data has groups, one row of each group is drawn: rows of one group are alike, so splits by groups would always
/// differ.
///
/// Use it to find out whether validation rows stand for the rows that a network was trained on. It needs about 50 rows of
/// either set. The network has 16 hidden units and is trained by Adam.
///
/// Cost: two trainings of a small network.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::TensorDataset, diagnose::TwoSampleTest};
///
/// let x = Tensor::rand(-1f32, 1., (400, 2), &Device::Cpu)?;
/// let data = TensorDataset::regression(&x, &x.sum(1)?)?;
/// let (first, second): (Vec<u32>, Vec<u32>) = ((0..200).collect(), (200..400).collect());
/// let report = TwoSampleTest::default().run(&data, &first, &second, 1)?;
/// assert_eq!(report.rows, 200);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Lopez-Paz and Oquab 2017, arXiv:1610.06545, who use the accuracy on one half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TwoSampleTest {
    /// The most rows that are drawn from either set, at least 10. Default 1000.
    pub rows: usize,
    /// The epochs of the trainings, at least 1. Default 20.
    pub epochs: usize,
}

impl Default for TwoSampleTest {
    fn default() -> Self {
        Self { rows: 1000, epochs: 20 }
    }
}

/// The result of a [`TwoSampleTest`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TwoSampleReport {
    /// The number of rows that were drawn from either set.
    pub rows: usize,
    /// How well the sets can be told apart: the probability that the classifier gives a row of the second set the higher
    /// score than one of the first. 1/2 for equal distributions, and 1 for sets that do not overlap.
    #[serde(with = "real")]
    pub auc: f64,
    /// The p-value of the hypothesis that the distributions are equal.
    #[serde(with = "real")]
    pub p_value: f64,
}

/// The smallest number of rows of either set.
const LEAST_ROWS: usize = 10;
const UNITS: usize = 16;

impl TwoSampleTest {
    /// Sets the most rows that are drawn from either set.
    #[must_use]
    pub fn rows(mut self, rows: usize) -> Self {
        self.rows = rows;
        self
    }

    /// Sets the epochs of the trainings.
    #[must_use]
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// Runs the test. It depends on its arguments alone.
    ///
    /// # Errors
    /// When a parameter is out of range; when a set has fewer than 10 rows (of different groups, where there are groups);
    /// when the data cannot be read, or a number is NaN or infinite.
    pub fn run(
        &self,
        data: &dyn Dataset,
        first: &[u32],
        second: &[u32],
        seed: impl Into<Seed>,
    ) -> Result<TwoSampleReport> {
        for (what, value, least) in
            [("TwoSampleTest::rows", self.rows, LEAST_ROWS), ("TwoSampleTest::epochs", self.epochs, 1)]
        {
            if value < least {
                return Err(Error::invalid(what, format!("at least {least}"), value));
            }
        }
        let seed = seed.into().child("two-sample test");
        let sides = [drawn(data, first, seed.child("first")), drawn(data, second, seed.child("second"))];
        let count = sides.iter().map(Vec::len).min().unwrap_or(0).min(self.rows);
        if count < LEAST_ROWS {
            let must = format!("at least {LEAST_ROWS}, of different groups where there are groups");
            return Err(Error::invalid("the number of rows of either set of a two-sample test", must, count));
        }
        let tables = sides.each_ref().map(|rows| rows.get(..count).map(|rows| Table::read(data, rows)));
        let [Some(a), Some(b)] = tables else {
            return Err(Error::invalid("the rows of a two-sample test", "drawn", "missing"));
        };
        let (a, b) = (a?, b?);
        let both = labelled(&a, &b)?;
        self.test(&both, a.len().min(b.len()), seed)
    }

    /// Whether either set has enough rows, of different groups where there are groups.
    pub(crate) fn enough(&self, data: &dyn Dataset, first: &[u32], second: &[u32]) -> bool {
        [first, second].iter().all(|rows| drawn(data, rows, Seed::from(0)).len() >= LEAST_ROWS)
    }

    fn test(&self, both: &TensorDataset, rows: usize, seed: Seed) -> Result<TwoSampleReport> {
        let width = both.inputs().only()?.dim(1)?;
        let network = move |vb: VarBuilder<'static>| {
            let hidden = seq().add(linear(width, UNITS, vb.pp("hidden"))?).add(Activation::Relu);
            Ok(hidden.add(linear(UNITS, 2, vb.pp("output"))?))
        };
        let trainer = Trainer::new(network)
            .init(InitScheme::he_normal())
            .input_scaling(Scaling::Standardize)
            .optimizer(Optimizer::adam(0.01))
            .epochs(self.epochs);
        let pool = Session::new(&trainer, both).executor(&Sequential).fit(&KFold::new(2), seed)?;
        let scores = pool.held_out()?.predictions().values().get(0)?.get_on_dim(1, 1)?;
        let scores = scores.to_dtype(candle_core::DType::F64)?.to_vec1::<f64>()?;
        let labels = both.labels().unwrap_or(&[]);
        let (mut auc, mut z, mut halves) = (0., 0., 0.);
        for member in pool.members() {
            let own = &member.record.seen;
            let rows = scores.iter().zip(labels).zip(0u32..).filter(|(_, row)| !own.contains(*row));
            let (of_half, n) = area(rows.map(|((score, label), _)| (*score, *label == 1)).collect());
            let [n1, n2] = n.map(|n| n as f64);
            auc += of_half;
            z += (of_half - 0.5) / ((n1 + n2 + 1.) / (12. * n1 * n2)).sqrt();
            halves += 1.;
        }
        let p_value = Normal::standard().sf(z / halves);
        Ok(TwoSampleReport { rows, auc: auc / halves, p_value })
    }
}

/// The rows in a random order; of each group one.
fn drawn(data: &dyn Dataset, rows: &[u32], seed: Seed) -> Rows {
    let mut rows = rows.to_vec();
    rows.sort_unstable();
    rows.dedup();
    rows.shuffle(&mut seed.rng());
    if let Some(groups) = data.groups() {
        let mut seen = BTreeSet::new();
        rows.retain(|row| groups.get(*row as usize).is_some_and(|group| seen.insert(*group)));
    }
    rows
}

/// The rows of both tables, inputs and targets side by side, as a classification of the two.
fn labelled(a: &Table, b: &Table) -> Result<TensorDataset> {
    let mut numbers: Vec<f32> = vec![];
    for table in [a, b] {
        for row in 0..table.len() {
            numbers.extend(table.row(row).map(|x| x as f32));
            match &table.targets {
                Targets::Classes(ids, classes) => {
                    let id = ids.get(row).copied().unwrap_or_default() as usize;
                    numbers.extend((0..*classes).map(|class| f32::from(u8::from(class == id))));
                }
                Targets::Values(outputs) | Targets::Shares(outputs) => {
                    numbers.extend(outputs.iter().filter_map(|values| values.get(row)).map(|y| *y as f32));
                }
            }
        }
    }
    let rows = a.len() + b.len();
    let width = numbers.len() / rows.max(1);
    let labels: Vec<u32> = (0..rows).map(|row| u32::from(row >= a.len())).collect();
    let numbers = Tensor::from_vec(numbers, (rows, width), &Device::Cpu)?;
    TensorDataset::classification(&numbers, &Tensor::new(labels, &Device::Cpu)?)
}

/// The area under the ROC curve, and the numbers of rows of either label. Equal scores count half.
fn area(mut rows: Vec<(f64, bool)>) -> (f64, [usize; 2]) {
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut pairs, mut positive) = (0usize, 0f64, 0usize);
    for equal in rows.chunk_by(|a, b| a.0 == b.0) {
        let ones = equal.iter().filter(|(_, label)| *label).count();
        let zeros = equal.len() - ones;
        pairs += ones as f64 * (below as f64 + 0.5 * zeros as f64);
        (below, positive) = (below + zeros, positive + ones);
    }
    (pairs / (below as f64 * positive as f64), [below, positive])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scikit-learn: `roc_auc_score([0, 1, 0, 1, 1], [.1, .4, .4, .8, .3])` is 0.75.
    #[test]
    fn the_area_is_that_of_scikit_learn() {
        let rows = vec![(0.1, false), (0.4, true), (0.4, false), (0.8, true), (0.3, true)];
        assert_eq!(area(rows), (0.75, [2, 3]));
    }
}
