//! How the predictions of a linfa model become a table of numbers.
use super::target::Target;
use candle_core::Result as CandleResult;
use linfa::{dataset::Pr, traits::Predict};
use ndarray::{Array1, Array2, Axis};
use std::{fmt, marker::PhantomData};

/// How the predictions of a fitted linfa model `M` become a table of numbers: [`ByValue`], [`ByLabel`],
/// [`OneVsRest`], or a type of your own for a model that has its own method for probabilities.
///
/// It is part of the type of the fitted model. A file does not contain it; a program that loads the file
/// gives the type.
///
/// ```
/// use candle_core::{Device, Result, Tensor};
/// use candle_ensemble::{combine::{stack::*, Combiner, FittedCombiner, Stack, Predictions}, data::Task, HeldOut};
/// use linfa_logistic::{MultiFittedLogisticRegression, MultiLogisticRegression};
/// use ndarray::Array2;
///
/// /// linfa's logistic regression gives a column of probabilities for each class that it was fitted on.
/// #[derive(Debug)]
/// struct Softmax;
/// impl LinfaOutput<MultiFittedLogisticRegression<f64, usize>> for Softmax {
///     type Target = usize;
///     fn read(
///         model: &MultiFittedLogisticRegression<f64, usize>,
///         features: &Array2<f64>,
///         width: usize,
///     ) -> Result<Array2<f64>> {
///         let mut all = Array2::zeros((features.nrows(), width));
///         let found = model.predict_probabilities(features);
///         for (class, column) in model.classes().iter().zip(found.columns()) {
///             all.column_mut(*class).assign(&column);
///         }
///         Ok(all)
///     }
/// }
///
/// let member = Tensor::new(&[[[0.9f64, 0.1], [0.3, 0.7], [0.8, 0.2], [0.4, 0.6]]], &Device::Cpu)?;
/// let members = Predictions::new(member, Task::Classification { classes: 2 })?;
/// let held_out = HeldOut::from_predictions(&members, &Tensor::new(&[0u32, 1, 0, 1], &Device::Cpu)?)?;
/// let learner = Linfa::custom(MultiLogisticRegression::default(), Softmax);
/// let fitted = Stack::new(learner).fit(&held_out)?;
/// assert_eq!(fitted.combine(&members)?.argmax(1)?.to_vec1::<u32>()?, [0, 1, 0, 1]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub trait LinfaOutput<M>: fmt::Debug {
    /// The type of the targets that the model is fitted on: `f64`, `usize` or `bool`.
    type Target: LinfaTarget;

    /// Predicts `(B, width)` numbers from `(B, F)` finite meta-features. For `usize` the width is the number
    /// of classes, with one probability for each class id. For `f64` it is 1, the value; for `bool` it is 1,
    /// the probability of `true`.
    ///
    /// # Errors
    /// When the model cannot predict.
    fn read(model: &M, features: &Array2<f64>, width: usize) -> CandleResult<Array2<f64>>;
}

/// The model predicts values: [`linfa::traits::Predict`] into `Array1<f64>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByValue;

/// The model predicts class ids: [`linfa::traits::Predict`] into `Array1<usize>`. The class gets a
/// probability of 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByLabel;

/// The model predicts whether a row has a class: [`linfa::traits::Predict`] into `Array1<bool>`, or into
/// `Array1<Pr>`, linfa's probability, as the type parameter says. There is one model for each class, and the
/// probabilities of a row are divided by their sum; for two classes there is a single model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OneVsRest<T = bool>(pub(super) PhantomData<T>);

impl<M: for<'a> Predict<&'a Array2<f64>, Array1<f64>>> LinfaOutput<M> for ByValue {
    type Target = f64;

    fn read(model: &M, features: &Array2<f64>, _: usize) -> CandleResult<Array2<f64>> {
        Ok(model.predict(features).insert_axis(Axis(1)))
    }
}

impl<M: for<'a> Predict<&'a Array2<f64>, Array1<usize>>> LinfaOutput<M> for ByLabel {
    type Target = usize;

    fn read(model: &M, features: &Array2<f64>, width: usize) -> CandleResult<Array2<f64>> {
        let labels = model.predict(features);
        let mut all = Array2::zeros((labels.len(), width));
        for (mut row, label) in all.rows_mut().into_iter().zip(&labels) {
            match row.get_mut(*label) {
                Some(p) => *p = 1.,
                None => candle_core::bail!("the model predicts class {label}, but there are {width}"),
            }
        }
        Ok(all)
    }
}

impl<M: for<'a> Predict<&'a Array2<f64>, Array1<bool>>> LinfaOutput<M> for OneVsRest<bool> {
    type Target = bool;

    fn read(model: &M, features: &Array2<f64>, _: usize) -> CandleResult<Array2<f64>> {
        Ok(model.predict(features).mapv(|yes| f64::from(u8::from(yes))).insert_axis(Axis(1)))
    }
}

impl<M: for<'a> Predict<&'a Array2<f64>, Array1<Pr>>> LinfaOutput<M> for OneVsRest<Pr> {
    type Target = bool;

    fn read(model: &M, features: &Array2<f64>, _: usize) -> CandleResult<Array2<f64>> {
        Ok(model.predict(features).mapv(|p| f64::from(*p)).insert_axis(Axis(1)))
    }
}

/// The types of targets that a linfa model can be fitted on: `f64`, `usize` and `bool`. The trait is sealed.
pub trait LinfaTarget: Target {}

impl LinfaTarget for f64 {}
impl LinfaTarget for usize {}
impl LinfaTarget for bool {}
