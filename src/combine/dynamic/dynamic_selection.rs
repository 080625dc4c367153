//! The settings that KNORA-E, KNORA-U and META-DES share.
use crate::{
    combine::{check_fitted_on, Combiner, FittedCombiner, FittedOn, Space},
    predictions::Predictions,
    HeldOut, Result,
};
use candle_core::{Result as CandleResult, Tensor};
use sealed::Sealed;
use serde::{Deserialize, Serialize};
use std::{fmt::Debug, marker::PhantomData};

/// The default number of neighbours, as in DESlib.
const NEIGHBOURS: usize = 7;

/// A combiner that weighs the members for each row by how well they did on the held-out rows near it. `M`
/// says how the weights follow from that; use the combiners by their own names:
/// [`KnoraE`](crate::combine::KnoraE), [`KnoraU`](crate::combine::KnoraU) and
/// [`MetaDes`](crate::combine::MetaDes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DynamicSelection<M> {
    settings: Settings,
    pub(crate) measure: M,
}

/// A fitted [`DynamicSelection`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct FittedDynamicSelection<M: CompetenceMeasure> {
    pub(crate) fitted: M::Fitted,
    settings: Settings,
    on: FittedOn,
    measure: PhantomData<M>,
}

/// How a [`DynamicSelection`] weighs the members near a row:
/// [`KnoraEliminate`](crate::combine::KnoraEliminate), [`KnoraUnion`](crate::combine::KnoraUnion) or
/// [`MetaClassifier`](crate::combine::MetaClassifier).
///
/// The trait is sealed. A dynamic selection of your own implements [`Combiner`] and [`FittedCombiner`].
pub trait CompetenceMeasure: Sealed {}

/// Which rows are near, and how the selected members are combined.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    pub(crate) k: usize,
    pub(crate) space: Space,
    soft: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { k: NEIGHBOURS, space: Space::Inputs, soft: false }
    }
}

pub(crate) mod sealed {
    use super::{CandleResult, Debug, HeldOut, Predictions, Result, Settings, Tensor};
    use serde::{de::DeserializeOwned, Serialize};

    /// What a competence measure does.
    pub trait Sealed: Debug {
        /// The name of the combiner in tables and files.
        const NAME: &'static str;
        /// What is known about the members after the fit.
        type Fitted: Clone + Debug + PartialEq + Serialize + DeserializeOwned;

        fn fit(&self, settings: Settings, held_out: &HeldOut) -> Result<Self::Fitted>;

        /// Checks that the fields of `fitted` agree with each other and with the settings.
        fn check(fitted: &Self::Fitted, settings: Settings) -> Result<()>;

        /// Combines the weighted votes, or with `soft` the probabilities.
        fn combine(fitted: &Self::Fitted, predictions: &Predictions, soft: bool) -> CandleResult<Tensor>;
    }
}

impl<M: Default> DynamicSelection<M> {
    /// A dynamic selection with `k` neighbours in the inputs; the default is 7. If there are fewer held-out
    /// rows, all of them are used.
    #[must_use]
    pub fn new(k: usize) -> Self {
        Self { settings: Settings { k, ..Settings::default() }, measure: M::default() }
    }
}

impl<M> DynamicSelection<M> {
    /// The space in which the neighbours of a row are found; [`Space::Inputs`] by default.
    #[must_use]
    pub fn space(mut self, space: Space) -> Self {
        self.settings.space = space;
        self
    }

    /// Whether the probabilities of the selected members are averaged (`true`) or their votes are counted
    /// (`false`, the default).
    #[must_use]
    pub fn soft(mut self, soft: bool) -> Self {
        self.settings.soft = soft;
        self
    }
}

impl<M: CompetenceMeasure> Combiner for DynamicSelection<M> {
    type Fitted = FittedDynamicSelection<M>;

    fn fit(&self, held_out: &HeldOut) -> Result<Self::Fitted> {
        let fitted = self.measure.fit(self.settings, held_out)?;
        let on = FittedOn::new(held_out);
        Ok(FittedDynamicSelection { fitted, settings: self.settings, on, measure: PhantomData })
    }

    fn needs_inputs(&self) -> bool {
        self.settings.space == Space::Inputs
    }
}

impl<M: CompetenceMeasure> FittedCombiner for FittedDynamicSelection<M> {
    fn name(&self) -> String {
        M::NAME.into()
    }

    fn needs_inputs(&self) -> bool {
        self.settings.space == Space::Inputs
    }

    fn fitted_on(&self) -> Option<&FittedOn> {
        Some(&self.on)
    }

    fn check(&self) -> Result<()> {
        self.on.check(self.on.slots())?;
        M::check(&self.fitted, self.settings)
    }

    fn combine(&self, predictions: &Predictions) -> CandleResult<Tensor> {
        check_fitted_on(self, predictions)?;
        M::combine(&self.fitted, predictions, self.settings.soft)
    }
}
