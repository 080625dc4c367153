//! What the rules share: settings, and members chosen row by row once fitted.
use crate::{
    combine::{Combiner, FittedCombiner, Space},
    predictions::Predictions,
    HeldOut, Result,
};
use candle_core::{Result as CandleResult, Tensor};
use serde::{Deserialize, Serialize};
use std::{fmt::Debug, marker::PhantomData};

/// How many neighbours, if nothing is predicted: DESlib's number.
const NEIGHBOURS: usize = 7;

/// Members chosen row by row by how well they did on held-out rows near it: [`KnoraE`](crate::combine::KnoraE),
/// [`KnoraU`](crate::combine::KnoraU) and [`MetaDes`](crate::combine::MetaDes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DynamicSelection<S> {
    local: Local,
    pub(crate) selection: S,
}

/// [`DynamicSelection`], fitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedDynamicSelection<S: Selection> {
    pub(crate) learned: S::Learned,
    local: Local,
    selection: PhantomData<S>,
}

/// Which rows are near, and what becomes of those selected.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Local {
    pub(crate) k: usize,
    pub(crate) space: Space,
    soft: bool,
}

impl Default for Local {
    fn default() -> Self {
        Self { k: NEIGHBOURS, space: Space::Inputs, soft: false }
    }
}

/// How members are chosen.
pub trait Selection: Debug {
    /// What tables and files call the rule.
    const NAME: &'static str;
    /// Who is right where.
    type Learned: Debug;

    fn learn(&self, local: Local, held_out: &HeldOut) -> Result<Self::Learned>;

    /// The votes of those chosen, or their probabilities where `soft`.
    fn combine(learned: &Self::Learned, predictions: &Predictions, soft: bool) -> CandleResult<Tensor>;
}

impl<S: Default> DynamicSelection<S> {
    /// With `k` neighbours in the inputs, of which there may be fewer; 7 by default. Votes are counted.
    #[must_use]
    pub fn new(k: usize) -> Self {
        Self { local: Local { k, ..Local::default() }, selection: S::default() }
    }
}

impl<S> DynamicSelection<S> {
    /// With neighbours in this space.
    #[must_use]
    pub fn space(mut self, space: Space) -> Self {
        self.local.space = space;
        self
    }

    /// With the probabilities of those selected averaged, rather than their votes counted.
    #[must_use]
    pub fn soft(mut self) -> Self {
        self.local.soft = true;
        self
    }
}

impl<S: Selection> Combiner for DynamicSelection<S> {
    type Fitted = FittedDynamicSelection<S>;

    fn fit(&self, held_out: &HeldOut) -> Result<Self::Fitted> {
        let learned = self.selection.learn(self.local, held_out)?;
        Ok(FittedDynamicSelection { learned, local: self.local, selection: PhantomData })
    }

    fn needs_inputs(&self) -> bool {
        self.local.space == Space::Inputs
    }
}

impl<S: Selection> FittedCombiner for FittedDynamicSelection<S> {
    fn name(&self) -> String {
        S::NAME.into()
    }

    fn needs_inputs(&self) -> bool {
        self.local.space == Space::Inputs
    }

    fn combine(&self, predictions: &Predictions) -> CandleResult<Tensor> {
        S::combine(&self.learned, predictions, self.local.soft)
    }
}
