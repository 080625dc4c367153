//! CombinerSet on top of rules.
use crate::{
    combine::{
        cross_fit::{in_order, others},
        Combiner, FittedCombiner,
    },
    predictions::Predictions,
    Error, HeldOut, Result, Rows, Seed,
};
use candle_core::{Result as CandleResult, Tensor};
use serde::{Deserialize, Serialize};

/// How a rule of a lower layer predicts at inference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum InferenceMode {
    /// As fitted on all held-out rows, as in scikit-learn.
    #[default]
    Refit,
    /// As the mean of its fits on the folds, as in AutoGluon: what the layer above was fitted on comes from the same
    /// fits; as many times the work.
    FoldMean,
}

/// Several rules, and a rule over what they say: stacking in layers.
///
/// The rules of the first layer are fitted on the held-out rows fold by fold; what each says of the rows outside its
/// fit are the predictions that the rule above is fitted on, so that it learns from honest words only. More layers are
/// layers within: `MultiLayerStack::new((a, b), MultiLayerStack::new((c, d), e))`. A layer is a tuple of one to eight rules, each with
/// nothing in common with the others but [`Combiner`], or a `Vec` of one kind.
///
/// Source: Wolpert 1992, doi:10.1016/S0893-6080(05)80023-1; in layers van der Laan, Polley and Hubbard 2007,
/// doi:10.2202/1544-6115.1309; Erickson et al. 2020, arXiv:2003.06505.
///
/// ```
/// # use candle_core::{Device, Tensor};
/// # use candle_ensemble::{combine::{*, stack::*}, data::Task, predictions::*, HeldOut};
/// # let y = Tensor::arange(0f64, 60., &Device::Cpu)?.reshape((60, 1))?;
/// # let predicted = Tensor::stack(&[(&y + 1.)?, (y.sin()? + &y)?, (y.cos()? * 2. + &y)?], 0)?;
/// # let predictions = Predictions::new(predicted, Task::Regression { outputs: 1 })?;
/// # let held_out = HeldOut::from_predictions(&predictions, &y)?;
/// let rule = MultiLayerStack::new((Stack::new(Ridge::new(1.)), Median, Mean), Stack::new(Linear));
/// let fitted = rule.fit(&held_out)?;
/// assert_eq!(fitted.combine(&predictions)?.dims(), [60, 1]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct MultiLayerStack<R, T> {
    rules: R,
    top: T,
    folds: usize,
    inference_mode: InferenceMode,
    members: bool,
    seed: Seed,
}

impl<R: CombinerSet, T: Combiner> MultiLayerStack<R, T> {
    /// `top` over what `rules` say, by five folds, refit.
    pub fn new(rules: R, top: T) -> Self {
        Self {
            rules,
            top,
            folds: 5,
            inference_mode: InferenceMode::default(),
            members: false,
            seed: Seed::from(0).child("layers"),
        }
    }

    /// Into how many folds the held-out rows are put, at least 2; fewer where there are fewer rows or groups.
    #[must_use]
    pub fn folds(mut self, folds: usize) -> Self {
        self.folds = folds;
        self
    }

    /// How the rules predict at inference; as refit on all held-out rows, if not set.
    #[must_use]
    pub fn inference_mode(mut self, inference_mode: InferenceMode) -> Self {
        self.inference_mode = inference_mode;
        self
    }

    /// Whether the members themselves, after the rules, are predictions of the layer above too; they are not, if not set.
    #[must_use]
    pub fn members(mut self, members: bool) -> Self {
        self.members = members;
        self
    }

    /// Of the folds.
    #[must_use]
    pub fn seed(mut self, seed: Seed) -> Self {
        self.seed = seed;
        self
    }
}

/// [`MultiLayerStack`], fitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedMultiLayerStack<H, T> {
    /// One, or one a fold.
    lower: Vec<H>,
    members: bool,
    top: T,
}

impl<H, T> FittedMultiLayerStack<H, T> {
    /// The rules of the first layer: one set, or one a fold.
    #[must_use]
    pub fn lower(&self) -> &[H] {
        &self.lower
    }

    /// The rule on top.
    #[must_use]
    pub fn top(&self) -> &T {
        &self.top
    }
}

/// The rules of one layer.
pub trait CombinerSet: std::fmt::Debug {
    /// The rules, fitted.
    type FittedSet: FittedSet;

    /// Fits each of them on the same rows.
    ///
    /// # Errors
    /// The first that one of them meets.
    fn fit(&self, held_out: &HeldOut) -> Result<Self::FittedSet>;

    /// Whether one of them looks at the rows' inputs.
    fn needs_inputs(&self) -> bool;
}

/// The fitted rules of one layer.
pub trait FittedSet: std::fmt::Debug {
    /// What each says, `(B, C)`, in order.
    ///
    /// # Errors
    /// The first that one of them meets.
    fn combine(&self, predictions: &Predictions) -> CandleResult<Vec<Tensor>>;

    /// What each is called.
    fn names(&self) -> Vec<String>;

    /// Whether one of them looks at the rows' inputs.
    fn needs_inputs(&self) -> bool;
}

impl<C: Combiner> CombinerSet for Vec<C> {
    type FittedSet = Vec<C::Fitted>;

    fn fit(&self, held_out: &HeldOut) -> Result<Self::FittedSet> {
        match self.is_empty() {
            true => Err(Error::invalid("a layer", "of at least one rule", "empty")),
            false => self.iter().map(|rule| rule.fit(&held_out)).collect(),
        }
    }

    fn needs_inputs(&self) -> bool {
        self.iter().any(Combiner::needs_inputs)
    }
}

impl<H: FittedCombiner> FittedSet for Vec<H> {
    fn combine(&self, predictions: &Predictions) -> CandleResult<Vec<Tensor>> {
        self.iter().map(|fitted| fitted.combine(predictions)).collect()
    }

    fn names(&self) -> Vec<String> {
        self.iter().map(FittedCombiner::name).collect()
    }

    fn needs_inputs(&self) -> bool {
        self.iter().any(FittedCombiner::needs_inputs)
    }
}

macro_rules! layer {
    ($($rule:ident $at:tt),+) => {
        impl<$($rule: Combiner),+> CombinerSet for ($($rule,)+) {
            type FittedSet = ($($rule::Fitted,)+);

            fn fit(&self, held_out: &HeldOut) -> Result<Self::FittedSet> {
                Ok(($(self.$at.fit(&held_out)?,)+))
            }

            fn needs_inputs(&self) -> bool {
                $(self.$at.needs_inputs())||+
            }
        }

        impl<$($rule: FittedCombiner),+> FittedSet for ($($rule,)+) {
            fn combine(&self, predictions: &Predictions) -> CandleResult<Vec<Tensor>> {
                Ok(vec![$(self.$at.combine(predictions)?),+])
            }

            fn names(&self) -> Vec<String> {
                vec![$(self.$at.name()),+]
            }

            fn needs_inputs(&self) -> bool {
                $(self.$at.needs_inputs())||+
            }
        }
    };
}

layer!(A 0);
layer!(A 0, B 1);
layer!(A 0, B 1, C 2);
layer!(A 0, B 1, C 2, D 3);
layer!(A 0, B 1, C 2, D 3, E 4);
layer!(A 0, B 1, C 2, D 3, E 4, F 5);
layer!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
layer!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);

impl<R: CombinerSet, T: Combiner> Combiner for MultiLayerStack<R, T> {
    type Fitted = FittedMultiLayerStack<R::FittedSet, T::Fitted>;

    fn fit(&self, held_out: &HeldOut) -> Result<Self::Fitted> {
        if self.folds < 2 {
            return Err(Error::invalid("the folds of the layers", "at least 2", self.folds));
        }
        let folds = held_out.folds(self.folds.min(held_out.units()), self.seed)?;
        let (heads, words) = self.fold_by_fold(&held_out, &folds)?;
        let lower = match self.inference_mode {
            InferenceMode::FoldMean => heads,
            InferenceMode::Refit => vec![self.rules.fit(&held_out)?],
        };
        let mut names = lower.first().map_or_else(Vec::new, FittedSet::names);
        if self.members {
            names.extend_from_slice(held_out.names());
        }
        let above = above(held_out.predictions(), words, self.members)?;
        let above = held_out.with_predictions(above, numbered(names));
        let top = self.top.fit(&above)?;
        Ok(FittedMultiLayerStack { lower, members: self.members, top })
    }

    fn needs_inputs(&self) -> bool {
        self.rules.needs_inputs() || self.top.needs_inputs()
    }
}

impl<R: CombinerSet, T: Combiner> MultiLayerStack<R, T> {
    /// The rules as fitted outside each fold, and what each of them says of the rows, every row by the fit that has not
    /// seen it.
    fn fold_by_fold(&self, held_out: &HeldOut, folds: &[Rows]) -> Result<(Vec<R::FittedSet>, Vec<Tensor>)> {
        let rows = held_out.rows().len();
        let (mut heads, mut words): (Vec<R::FittedSet>, Vec<Vec<Tensor>>) = (vec![], vec![]);
        for fold in folds {
            let fitted = self.rules.fit(&held_out.select(&others(rows, fold))?)?;
            for (rule, predicted) in
                fitted.combine(held_out.select(fold)?.predictions())?.into_iter().enumerate()
            {
                if words.len() <= rule {
                    words.push(vec![]);
                }
                words[rule].push(predicted.detach());
            }
            heads.push(fitted);
        }
        let words = words.iter().map(|predicted| in_order(predicted, folds)).collect::<Result<_>>()?;
        Ok((heads, words))
    }
}

/// The predictions of the layer above.
fn above(predictions: &Predictions, words: Vec<Tensor>, members: bool) -> CandleResult<Predictions> {
    let mut words = words;
    if members {
        let filled = predictions.filled()?;
        for slot in 0..predictions.slots() {
            words.push(filled.values().get(slot)?);
        }
    }
    predictions.replaced(Tensor::stack(&words, 0)?)
}

/// Names that occur twice are told apart.
fn numbered(names: Vec<String>) -> Vec<String> {
    let again = |i: usize| names[..i].iter().filter(|name| **name == names[i]).count();
    let name = |i: usize| match again(i) {
        0 => names[i].clone(),
        n => format!("{} {}", names[i], n + 1),
    };
    (0..names.len()).map(name).collect()
}

impl<H: FittedSet, T: FittedCombiner> FittedCombiner for FittedMultiLayerStack<H, T> {
    fn name(&self) -> String {
        let lower = self.lower.first().map_or_else(Vec::new, FittedSet::names);
        format!("{} over {}", self.top.name(), lower.join(", "))
    }

    fn needs_inputs(&self) -> bool {
        self.top.needs_inputs() || self.lower.iter().any(FittedSet::needs_inputs)
    }

    fn combine(&self, predictions: &Predictions) -> CandleResult<Tensor> {
        let mut sums: Vec<Tensor> = vec![];
        for heads in &self.lower {
            let predicted = heads.combine(predictions)?;
            sums = match sums.is_empty() {
                true => predicted,
                false => sums.iter().zip(&predicted).map(|(a, b)| a + b).collect::<CandleResult<_>>()?,
            };
        }
        if sums.is_empty() {
            candle_core::bail!("layers without rules")
        }
        let fits = self.lower.len() as f64;
        let words = sums.into_iter().map(|sum| sum / fits).collect::<CandleResult<_>>()?;
        self.top.combine(&above(predictions, words, self.members)?)
    }
}
