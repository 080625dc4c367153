//! A combiner on top of other combiners.
use crate::{
    combine::{
        check_fitted_on,
        cross_fit::{in_order, others},
        Combiner, FittedCombiner, FittedOn,
    },
    predictions::Predictions,
    Error, HeldOut, Result, Rows, Seed,
};
use candle_core::{Result as CandleResult, Tensor};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt::Debug};

/// Which fit of a lower layer's combiners is used at inference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum InferenceMode {
    /// The combiners are fitted once more, on all held-out rows, as in scikit-learn.
    #[default]
    Refit,
    /// The fits on the folds are kept, and their predictions are averaged, as in AutoGluon. The top combiner
    /// then meets predictions of the same fits as those it was fitted on. A prediction costs as many times as
    /// much as there are folds.
    FoldMean,
}

/// Stacking in layers: fits several combiners on the held-out predictions, and one more combiner, the top, on
/// what they predict.
///
/// ```text
/// q_j = lower_j(p_1, …, p_S)    prediction = top(q_1, …, q_J [, p_1, …, p_S])
/// ```
///
/// Here `p_s` is the prediction of slot `s`. The top must be fitted on predictions for rows that the lower
/// combiners were not fitted on, or it would prefer the combiner that overfits most. So the held-out rows are
/// dealt into folds; for each fold the lower combiners are fitted on the other folds and predict the rows of
/// the fold. These predictions, one slot for each lower combiner, `(J, R, C)`, are what the top is fitted on.
/// With [`members`](Self::members) the slots' own predictions follow as further slots. At inference the lower
/// combiners are those of [`InferenceMode`].
///
/// The lower combiners are a [`CombinerSet`]: a tuple of one to eight combiners of any types, or a `Vec` of
/// one type. A third layer is a `MultiLayerStack` as the top:
/// `MultiLayerStack::new((a, b), MultiLayerStack::new((c, d), e))`.
///
/// Use it when several combiners do well on the same data and no single one is clearly best. It needs many
/// held-out rows: each layer is fitted on them, and each layer can overfit them. A good single combiner is
/// simpler and often as good; [`HeldOut::judge`] compares them. Fitting costs one fit of each lower combiner
/// for each fold, one more on all rows with [`InferenceMode::Refit`], and one fit of the top.
///
/// # Errors
/// Fitting fails when there are fewer than two folds, rows or groups, when the set of combiners is empty, and
/// when one of the combiners fails.
///
/// ```
/// # use candle_core::{Device, Tensor};
/// # use candle_ensemble::{combine::{*, stack::*}, data::Task, predictions::*, HeldOut};
/// # let y = Tensor::arange(0f64, 60., &Device::Cpu)?.reshape((60, 1))?;
/// # let predicted = Tensor::stack(&[(&y + 1.)?, (y.sin()? + &y)?, (y.cos()? * 2. + &y)?], 0)?;
/// # let predictions = Predictions::new(predicted, Task::Regression { outputs: 1 })?;
/// # let held_out = HeldOut::from_predictions(&predictions, &y)?;
/// let stack = MultiLayerStack::new((Stack::new(Ridge::new(1.)), Median, Mean), Stack::new(Linear));
/// let fitted = stack.fit(&held_out)?;
/// assert_eq!(fitted.combine(&predictions)?.dims(), [60, 1]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Wolpert 1992, doi:10.1016/S0893-6080(05)80023-1; van der Laan, Polley and Hubbard 2007,
/// doi:10.2202/1544-6115.1309; Erickson et al. 2020, arXiv:2003.06505.
#[derive(Clone, Copy, Debug)]
pub struct MultiLayerStack<L, T> {
    lower: L,
    top: T,
    folds: usize,
    inference_mode: InferenceMode,
    members: bool,
    seed: Option<Seed>,
}

impl<L: CombinerSet, T: Combiner> MultiLayerStack<L, T> {
    /// `top` on what the combiners of `lower` predict, with five folds and [`InferenceMode::Refit`].
    pub fn new(lower: L, top: T) -> Self {
        Self { lower, top, folds: 5, inference_mode: InferenceMode::default(), members: false, seed: None }
    }

    /// The number of folds that the held-out rows are dealt into, at least 2; 5 by default. There are fewer
    /// when there are fewer rows or groups.
    #[must_use]
    pub fn folds(mut self, folds: usize) -> Self {
        self.folds = folds;
        self
    }

    /// Which fit of the lower combiners is used at inference; [`InferenceMode::Refit`] by default.
    #[must_use]
    pub fn inference_mode(mut self, inference_mode: InferenceMode) -> Self {
        self.inference_mode = inference_mode;
        self
    }

    /// Whether the top also gets the slots' own predictions, after those of the lower combiners; `false` by
    /// default. A prediction that is missing stays so; the top sees it as any combiner does.
    #[must_use]
    pub fn members(mut self, members: bool) -> Self {
        self.members = members;
        self
    }

    /// The seed of the folds; by default the seed of the held-out predictions ([`HeldOut::seed`]).
    #[must_use]
    pub fn seed(mut self, seed: impl Into<Seed>) -> Self {
        self.seed = Some(seed.into());
        self
    }
}

/// A fitted [`MultiLayerStack`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedMultiLayerStack<L, T> {
    /// One set, or one for each fold.
    lower: Vec<L>,
    members: bool,
    top: T,
    on: FittedOn,
}

impl<L, T> FittedMultiLayerStack<L, T> {
    /// The fitted lower combiners: one set with [`InferenceMode::Refit`], one set for each fold with
    /// [`InferenceMode::FoldMean`].
    #[must_use]
    pub fn lower(&self) -> &[L] {
        &self.lower
    }

    /// The fitted top combiner.
    #[must_use]
    pub fn top(&self) -> &T {
        &self.top
    }
}

/// The combiners of a lower layer of [`MultiLayerStack`]. It is implemented for tuples of one to eight
/// combiners, which may have different types, and for `Vec`s of combiners of one type.
pub trait CombinerSet: Debug {
    /// The fitted combiners, in the same order.
    type FittedSet: FittedSet;

    /// Fits each combiner on the same held-out predictions.
    ///
    /// # Errors
    /// When there is no combiner, or the fit of one fails.
    fn fit(&self, held_out: &HeldOut) -> Result<Self::FittedSet>;

    /// Whether one of the combiners needs the inputs of the rows.
    fn needs_inputs(&self) -> bool;
}

/// The fitted combiners of a lower layer of [`MultiLayerStack`].
pub trait FittedSet: Debug {
    /// Combines the predictions with each combiner, `(S, B, C) -> (B, C)`; the results are in the order of
    /// the combiners.
    ///
    /// # Errors
    /// When one of the combiners fails.
    fn combine(&self, predictions: &Predictions) -> CandleResult<Vec<Tensor>>;

    /// The names of the combiners, in order.
    fn names(&self) -> Vec<String>;

    /// Whether one of the combiners needs the inputs of the rows.
    fn needs_inputs(&self) -> bool;

    /// Checks each combiner ([`FittedCombiner::check`]).
    ///
    /// # Errors
    /// When there is no combiner, or one of them is not consistent.
    fn check(&self) -> Result<()>;
}

impl<C: Combiner> CombinerSet for Vec<C> {
    type FittedSet = Vec<C::Fitted>;

    fn fit(&self, held_out: &HeldOut) -> Result<Self::FittedSet> {
        match self.is_empty() {
            true => Err(no_combiners()),
            false => self.iter().map(|combiner| combiner.fit(held_out)).collect(),
        }
    }

    fn needs_inputs(&self) -> bool {
        self.iter().any(Combiner::needs_inputs)
    }
}

fn no_combiners() -> Error {
    Error::invalid("number of combiners in a layer", "at least 1", 0)
}

impl<F: FittedCombiner> FittedSet for Vec<F> {
    fn combine(&self, predictions: &Predictions) -> CandleResult<Vec<Tensor>> {
        self.iter().map(|fitted| fitted.combine(predictions)).collect()
    }

    fn names(&self) -> Vec<String> {
        self.iter().map(FittedCombiner::name).collect()
    }

    fn needs_inputs(&self) -> bool {
        self.iter().any(FittedCombiner::needs_inputs)
    }

    fn check(&self) -> Result<()> {
        match self.is_empty() {
            true => Err(no_combiners()),
            false => self.iter().try_for_each(FittedCombiner::check),
        }
    }
}

/// Implements the traits for a tuple.
macro_rules! combiner_tuple {
    ($($combiner:ident $at:tt),+) => {
        impl<$($combiner: Combiner),+> CombinerSet for ($($combiner,)+) {
            type FittedSet = ($($combiner::Fitted,)+);

            fn fit(&self, held_out: &HeldOut) -> Result<Self::FittedSet> {
                Ok(($(self.$at.fit(held_out)?,)+))
            }

            fn needs_inputs(&self) -> bool {
                $(self.$at.needs_inputs())||+
            }
        }

        impl<$($combiner: FittedCombiner),+> FittedSet for ($($combiner,)+) {
            fn combine(&self, predictions: &Predictions) -> CandleResult<Vec<Tensor>> {
                Ok(vec![$(self.$at.combine(predictions)?),+])
            }

            fn names(&self) -> Vec<String> {
                vec![$(self.$at.name()),+]
            }

            fn needs_inputs(&self) -> bool {
                $(self.$at.needs_inputs())||+
            }

            fn check(&self) -> Result<()> {
                $(self.$at.check()?;)+
                Ok(())
            }
        }
    };
}

combiner_tuple!(A 0);
combiner_tuple!(A 0, B 1);
combiner_tuple!(A 0, B 1, C 2);
combiner_tuple!(A 0, B 1, C 2, D 3);
combiner_tuple!(A 0, B 1, C 2, D 3, E 4);
combiner_tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
combiner_tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
combiner_tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);

impl<L: CombinerSet, T: Combiner> Combiner for MultiLayerStack<L, T> {
    type Fitted = FittedMultiLayerStack<L::FittedSet, T::Fitted>;

    fn fit(&self, held_out: &HeldOut) -> Result<Self::Fitted> {
        if self.folds < 2 {
            return Err(Error::invalid("number of folds of a multi-layer stack", "at least 2", self.folds));
        }
        let held_out = &held_out.rows_with_weight()?;
        let seed = self.seed.unwrap_or_else(|| held_out.seed().child("layers"));
        let folds = held_out.folds(self.folds.min(held_out.units()), seed)?;
        let (fold_fits, combined) = self.cross_fit_lower(held_out, &folds)?;
        let lower = match self.inference_mode {
            InferenceMode::FoldMean => fold_fits,
            InferenceMode::Refit => vec![self.lower.fit(held_out)?],
        };
        let mut names = lower.first().map_or_else(Vec::new, FittedSet::names);
        if self.members {
            names.extend_from_slice(held_out.names());
        }
        let predictions = top_predictions(held_out.predictions(), &combined, self.members)?;
        let top = self.top.fit(&held_out.with_predictions(predictions, number_repeats(names)))?;
        Ok(FittedMultiLayerStack { lower, members: self.members, top, on: FittedOn::new(held_out) })
    }

    fn needs_inputs(&self) -> bool {
        self.lower.needs_inputs() || self.top.needs_inputs()
    }
}

impl<L: CombinerSet, T: Combiner> MultiLayerStack<L, T> {
    /// For each fold the lower combiners as fitted on the other folds; and for each lower combiner its
    /// predictions for all rows, each row by the fit that leaves its fold out.
    fn cross_fit_lower(
        &self,
        held_out: &HeldOut,
        folds: &[Rows],
    ) -> Result<(Vec<L::FittedSet>, Vec<Tensor>)> {
        let rows = held_out.rows().len();
        let (mut fits, mut combined): (Vec<L::FittedSet>, Vec<Vec<Tensor>>) = (vec![], vec![]);
        for fold in folds {
            let fitted = self.lower.fit(&held_out.select(&others(rows, fold))?)?;
            let of_fold = fitted.combine(held_out.select(fold)?.predictions())?;
            for (combiner, predicted) in of_fold.into_iter().enumerate() {
                if combined.len() <= combiner {
                    combined.push(vec![]);
                }
                combined[combiner].push(predicted.detach());
            }
            fits.push(fitted);
        }
        let combined = combined.iter().map(|by_fold| in_order(by_fold, folds)).collect::<Result<_>>()?;
        Ok((fits, combined))
    }
}

/// The predictions for the top: a slot for each lower combiner, and then the slots of `predictions` if
/// `members` is set; what is missing there stays missing.
fn top_predictions(
    predictions: &Predictions,
    combined: &[Tensor],
    members: bool,
) -> CandleResult<Predictions> {
    let lower = Tensor::stack(combined, 0)?;
    if !members {
        return predictions.replace_slots(lower);
    }
    let (values, task) = (Tensor::cat(&[&lower, predictions.values()], 0)?, predictions.task());
    let Some(covered) = predictions.covered() else { return predictions.replace_slots(values) };
    let present = Tensor::ones((combined.len(), predictions.rows()), covered.dtype(), covered.device())?;
    let all = Predictions::partial(values, Tensor::cat(&[&present, covered], 0)?, task)?;
    predictions.inputs().map_or(Ok(all.clone()), |inputs| all.with_inputs(inputs))
}

/// Appends a number to names that occurred before: `a`, `b`, `a 2`.
fn number_repeats(names: Vec<String>) -> Vec<String> {
    let earlier = |i: usize| names[..i].iter().filter(|name| **name == names[i]).count();
    let numbered = |i: usize| match earlier(i) {
        0 => names[i].clone(),
        n => format!("{} {}", names[i], n + 1),
    };
    (0..names.len()).map(numbered).collect()
}

impl<L: FittedSet, T: FittedCombiner> FittedCombiner for FittedMultiLayerStack<L, T> {
    fn name(&self) -> String {
        let lower = self.lower.first().map_or_else(Vec::new, FittedSet::names);
        format!("{} over {}", self.top.name(), lower.join(", "))
    }

    fn needs_inputs(&self) -> bool {
        self.top.needs_inputs() || self.lower.iter().any(FittedSet::needs_inputs)
    }

    fn fitted_on(&self) -> Option<&FittedOn> {
        Some(&self.on)
    }

    fn check(&self) -> Result<()> {
        self.on.check(self.on.slots())?;
        let sizes: BTreeSet<usize> = self.lower.iter().map(|set| set.names().len()).collect();
        if sizes.len() != 1 {
            let must = "at least one fit, each of as many combiners";
            return Err(Error::invalid("the lower layer", must, format!("fits of {sizes:?} combiners")));
        }
        self.lower.iter().try_for_each(FittedSet::check)?;
        self.top.check()
    }

    fn combine(&self, predictions: &Predictions) -> CandleResult<Tensor> {
        check_fitted_on(self, predictions)?;
        let mut sums: Vec<Tensor> = vec![];
        for set in &self.lower {
            let combined = set.combine(predictions)?;
            sums = match sums.is_empty() {
                true => combined,
                false => sums.iter().zip(&combined).map(|(a, b)| a + b).collect::<CandleResult<_>>()?,
            };
        }
        if sums.is_empty() {
            candle_core::bail!("a multi-layer stack must have at least one lower combiner, but has none")
        }
        let fits = self.lower.len() as f64;
        let combined = sums.into_iter().map(|sum| sum / fits).collect::<CandleResult<Vec<_>>>()?;
        self.top.combine(&top_predictions(predictions, &combined, self.members)?)
    }
}
