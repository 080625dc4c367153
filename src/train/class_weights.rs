//! Weights of classes in the loss of the training.
use crate::{
    data::{positions::FlatTargets, Dataset, Task},
    registry::{Argument, Entry, Registry},
    Error, Result,
};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::LazyLock};

/// Rows that are read at a time.
const ROWS: usize = 8192;

/// How much the rows of each class count in the loss of the training.
///
/// ```text
/// mean loss of a batch = Σ w_i c_{y_i} l_i / Σ w_i c_{y_i},     w: training weights of the rows, c: weights of the classes
/// Balanced:  c_k = n / (C n_k),     n_k of the n training rows of the run are of class k, and C classes occur
/// ```
///
/// It is `weight` of PyTorch's `CrossEntropyLoss`, for every loss of classes, and `class_weight="balanced"` of
/// scikit-learn, counted on the training rows of each run. A row counts by the weight of its label, also with label
/// smoothing and with soft targets, where PyTorch weights the share of each class in the target.
/// Validation and scoring are not concerned; set
/// [weights of rows](crate::data::TensorDataset::with_scoring_weights) for these.
///
/// Use it where a rare class must not be ignored, as measured by the balanced accuracy or the recall of the class. Don't
/// use it where probabilities are needed: they become those of a world in which the classes are as frequent as their
/// weights make them.
///
/// Cost: none in training. `Balanced` reads the training rows of a run once.
///
/// # Errors
/// A session returns [`Error::Invalid`] before it trains, if the task is not classification, or there is not one weight,
/// finite and not negative, for each class, or all are 0.
///
/// ```
/// use candle_ensemble::train::ClassWeights;
///
/// assert_eq!(ClassWeights::parse("balanced")?, ClassWeights::Balanced);
/// assert_eq!(ClassWeights::parse("given:1|2.5")?, ClassWeights::Given(vec![1., 2.5]));
/// // Three rows of class 0 and one of class 1: 4 / (2 · 3) and 4 / (2 · 1).
/// assert_eq!(ClassWeights::Balanced.of(&[0, 0, 1, 0], 2)?, [2. / 3., 2.]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: King and Zeng 2001, doi:10.1093/oxfordjournals.pan.a004868.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ClassWeights {
    /// Every class counts the same in total: the weight of a row is inversely proportional to how many training rows of
    /// the run are of its class.
    Balanced,
    /// These weights, one for each class.
    Given(Vec<f64>),
}

const WEIGHTS: &[Argument] = &[Argument::required("weights", "The weights of the classes, separated by |")];

impl ClassWeights {
    /// Class weights by name: `balanced`, and `given:1|2.5`.
    #[must_use]
    pub fn registry() -> &'static Registry<Self> {
        static REGISTRY: LazyLock<Registry<ClassWeights>> = LazyLock::new(|| {
            let balanced =
                Entry::new("balanced", "ClassWeights::Balanced", "Each class counts the same", |_| {
                    Ok(ClassWeights::Balanced)
                });
            let given = Entry::new("given", "ClassWeights::Given", "A weight for each class", |arguments| {
                let texts: String = arguments.get("weights")?;
                let number = |text: &str| {
                    text.trim()
                        .parse()
                        .map_err(|_| Error::invalid("a class weight", "a number", format!("{text:?}")))
                };
                texts.split('|').map(number).collect::<Result<_>>().map(ClassWeights::Given)
            });
            Registry::new("weights of classes", vec![balanced, given.with_arguments(WEIGHTS)])
        });
        &REGISTRY
    }

    /// Reads a text that [`registry`](Self::registry) knows. The trainer reads such a text from a run's setting
    /// `"class_weights"`.
    ///
    /// # Errors
    /// When the name is unknown, or a number cannot be read.
    pub fn parse(text: &str) -> Result<Self> {
        Self::registry().parse(text)
    }

    /// The weight of each class for rows of these classes. A class without rows has weight 0 with
    /// [`Balanced`](Self::Balanced).
    ///
    /// # Errors
    /// As the session before it trains, and when a label is not below `classes`.
    pub fn of(&self, labels: &[u32], classes: usize) -> Result<Vec<f64>> {
        self.check(Task::Classification { classes })?;
        let Self::Balanced = self else { return Ok(self.given().to_vec()) };
        let mut counts = vec![0usize; classes];
        for (row, label) in labels.iter().enumerate() {
            match counts.get_mut(*label as usize) {
                Some(count) => *count += 1,
                None => {
                    let must = format!("below {classes}, the number of classes");
                    return Err(Error::invalid(format!("label of row {row}"), must, label));
                }
            }
        }
        let occur = counts.iter().filter(|count| **count > 0).count();
        let weight = |count: usize| labels.len() as f64 / (occur * count) as f64;
        Ok(counts.into_iter().map(|count| if count > 0 { weight(count) } else { 0. }).collect())
    }

    fn given(&self) -> &[f64] {
        match self {
            Self::Balanced => &[],
            Self::Given(weights) => weights,
        }
    }

    /// Checks the weights, and that the task has classes.
    pub(crate) fn check(&self, task: Task) -> Result<()> {
        let Task::Classification { classes } = task else {
            return Err(Error::invalid("the task of a training with class weights", "classification", task));
        };
        let Self::Given(weights) = self else { return Ok(()) };
        if weights.len() != classes {
            let must = format!("{classes}, one for each class");
            return Err(Error::invalid("the number of class weights", must, weights.len()));
        }
        if let Some((class, w)) = weights.iter().enumerate().find(|(_, w)| !w.is_finite() || **w < 0.) {
            return Err(Error::invalid(format!("the weight of class {class}"), "finite and not negative", w));
        }
        match weights.iter().all(|w| *w == 0.) {
            true => Err(Error::invalid("the class weights", "above 0 for at least one class", "0 for all")),
            false => Ok(()),
        }
    }

    /// The weights of the classes for these training rows of a data set.
    pub(crate) fn fit(&self, data: &dyn Dataset, rows: &[u32]) -> Result<FittedClassWeights> {
        let mut labels = vec![];
        if let Self::Balanced = self {
            for part in rows.chunks(ROWS) {
                let flat = FlatTargets::of(&data.batch(part, &Device::Cpu)?, data.positions())?;
                labels.extend(flat.targets.to_vec1::<u32>()?);
            }
        }
        Ok(FittedClassWeights(self.of(&labels, data.task().width())?))
    }
}

/// As [`ClassWeights::parse`] reads it.
impl fmt::Display for ClassWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Balanced => f.write_str("balanced"),
            Self::Given(weights) => {
                let texts: Vec<_> = weights.iter().map(f64::to_string).collect();
                write!(f, "given:{}", texts.join("|"))
            }
        }
    }
}

/// A weight for each class.
pub(crate) struct FittedClassWeights(Vec<f64>);

impl FittedClassWeights {
    /// The weights of rows with these labels and these weights of their own, on the device of the labels.
    pub(crate) fn of_rows(&self, labels: &Tensor, weights: Option<&Tensor>) -> Result<Tensor> {
        let mut all: Vec<f64> = match weights {
            Some(weights) => weights.to_dtype(candle_core::DType::F64)?.to_vec1()?,
            None => vec![1.; labels.dim(0)?],
        };
        for (weight, label) in all.iter_mut().zip(labels.to_vec1::<u32>()?) {
            *weight *= self.0.get(label as usize).copied().unwrap_or_default();
        }
        let all: Vec<f32> = all.into_iter().map(|weight| weight as f32).collect();
        Ok(Tensor::new(all, labels.device())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Loss;

    /// `sklearn.utils.class_weight.compute_class_weight("balanced", classes=[0, 1, 2], y=[0, 0, 0, 1, 2, 2])` is
    /// `[6 / 9, 6 / 3, 6 / 6]`.
    #[test]
    fn balanced_weights_are_those_of_scikit_learn() {
        let of = |labels: &[u32], classes| ClassWeights::Balanced.of(labels, classes).unwrap();
        assert_eq!(of(&[0, 0, 0, 1, 2, 2], 3), [6. / 9., 2., 1.]);
        // Classes that do not occur are not counted, as numpy.unique does not find them.
        assert_eq!(of(&[0, 0, 0, 2], 4), [4. / 6., 0., 2., 0.]);
        let e = ClassWeights::Balanced.of(&[0, 3], 3).unwrap_err().to_string();
        assert_eq!(e, "label of row 1 must be below 3, the number of classes, but is 3");
    }

    /// `torch.nn.functional.cross_entropy(z, y, weight=c)` is `Σ c_{y_i} l_i / Σ c_{y_i}`.
    #[test]
    fn the_mean_is_over_the_sum_of_the_weights() {
        let z = Tensor::new(&[[0f64, 0.], [3f64.ln(), 0.], [0., 3f64.ln()]], &Device::Cpu).unwrap();
        let y = Tensor::new(&[0u32, 1, 1], &Device::Cpu).unwrap();
        let own = Tensor::new(&[1f32, 2., 0.5], &Device::Cpu).unwrap();
        let fitted = FittedClassWeights(vec![1., 4.]);
        let weights = fitted.of_rows(&y, Some(&own)).unwrap();
        assert_eq!(weights.to_vec1::<f32>().unwrap(), [1., 8., 2.]);
        let mean = Loss::CrossEntropy { smoothing: 0. }.mean(&z, &y, Some(&weights)).unwrap();
        let by_hand = (2f64.ln() + 8. * 4f64.ln() + 2. * (4f64 / 3.).ln()) / 11.;
        assert!((mean.to_scalar::<f64>().unwrap() - by_hand).abs() < 1e-14);
        let alone = fitted.of_rows(&y, None).unwrap();
        assert_eq!(alone.to_vec1::<f32>().unwrap(), [1., 4., 4.]);
    }

    #[test]
    fn weights_are_read_from_text_and_written_as_it() {
        for weights in [ClassWeights::Balanced, ClassWeights::Given(vec![1., 0.25, 1e-3])] {
            assert_eq!(ClassWeights::parse(&weights.to_string()).unwrap(), weights);
        }
        let e = ClassWeights::parse("given:1|x").unwrap_err().to_string();
        assert!(e.contains("a number"), "{e}");
    }

    #[test]
    fn bad_weights_are_named() {
        let of = |weights: Vec<f64>| {
            ClassWeights::Given(weights).check(Task::Classification { classes: 2 }).unwrap_err().to_string()
        };
        assert_eq!(of(vec![1.]), "the number of class weights must be 2, one for each class, but is 1");
        assert!(of(vec![1., -1.]).starts_with("the weight of class 1 must be finite and not negative"));
        assert!(of(vec![f64::NAN, 1.]).contains("class 0"));
        assert!(of(vec![0., 0.]).contains("above 0 for at least one class"));
        let e = ClassWeights::Balanced.check(Task::Regression { outputs: 1 }).unwrap_err().to_string();
        assert!(e.contains("must be classification, but is regression with 1 output"), "{e}");
    }
}
