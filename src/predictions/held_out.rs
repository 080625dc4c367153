//! Held-out predictions, with the targets of their rows.
use crate::{
    data::{positions::FlatTargets, Dataset, Positions, Task},
    distribution::Mixture,
    metrics::{Metrics, Truth},
    predictions::Predictions,
    resample::{assign_folds, unit::Units},
    Error, Result, Rows, Seed,
};
use candle_core::{DType, Device, Tensor, WithDType};
use std::{collections::BTreeSet, ops::RangeInclusive, sync::Arc};

/// The largest of some weights is in this range, so that no sum of them overflows, in f32 either.
const SAFE_WEIGHTS: RangeInclusive<f64> = 1e-30..=1e30;

/// Held-out predictions with the targets of their rows: what combiners are fitted on and scored on.
///
/// A prediction is held out when no member of the slot was trained on the row. Each slot has held-out
/// predictions for its own rows; the others are missing ([`Predictions::covered`]). The rows of a `HeldOut`
/// are those that at least one slot predicts. It also holds the names and the costs of the slots, and the
/// weights, the groups and the inputs of the rows, as far as they are known.
///
/// [`Pool::held_out`](crate::Pool::held_out) makes one from the records of the members, so that a prediction
/// for a row that shaped the member cannot slip in. [`HeldOut::from_predictions`] takes predictions from
/// elsewhere; the caller vouches that they are held out.
///
/// ```
/// # use candle_core::{Device, Tensor};
/// # use candle_ensemble::{combine::Mean, data::TensorDataset, strategy::Bagging, train::Trainer, Session};
/// # let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.02, -0.8)?.reshape((40, 2))?;
/// # let y = Tensor::from_iter((0..40u32).map(|i| i / 20), &Device::Cpu)?;
/// # let data = TensorDataset::classification(x, &y)?;
/// # let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).epochs(2);
/// let pool = Session::new(&trainer, &data).fit(&Bagging::new(10), 42)?;
/// let out_of_bag = pool.held_out()?;
/// println!("{:?} on {} of {} rows", out_of_bag.metrics(&Mean)?, out_of_bag.rows().len(), out_of_bag.total_rows());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct HeldOut {
    predictions: Predictions,
    targets: Tensor,
    weights: Option<Tensor>,
    groups: Option<Vec<u32>>,
    names: Vec<String>,
    costs: Vec<f64>,
    rows: Rows,
    total_rows: usize,
    seed: Seed,
    distributions: Option<Arc<Mixture>>,
}

/// The targets of held-out predictions.
pub(crate) struct Targets {
    /// `(R,)` class ids, or `(R,)` or `(R, K)` values.
    pub(crate) targets: Tensor,
    /// `(R,)`, if there are any.
    pub(crate) weights: Option<Tensor>,
    /// The row of the data set of each prediction.
    pub(crate) rows: Rows,
    /// How many predictions all rows of the data set take.
    pub(crate) total_rows: usize,
}

impl HeldOut {
    /// Joins predictions of any origin with the targets of their rows: `(R,)` u32 class ids, or `(R,)` or
    /// `(R, K)` values. Rows that no slot predicts are left out.
    ///
    /// The caller vouches that no member was trained on a row it predicts; nothing here can check it. A
    /// combiner fitted on predictions for training rows prefers the members that overfit most.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::{combine::Mean, data::Task, predictions::Predictions, HeldOut};
    ///
    /// let predicted = Tensor::new(&[[[0.9f32, 0.1], [0.4, 0.6]], [[0.7, 0.3], [0.2, 0.8]]], &Device::Cpu)?;
    /// let predictions = Predictions::new(predicted, Task::Classification { classes: 2 })?;
    /// let held_out = HeldOut::from_predictions(&predictions, &Tensor::new(&[0u32, 1], &Device::Cpu)?)?;
    /// assert_eq!(held_out.metrics(&Mean)?.headline(), 1.);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the shapes do not agree, a label is out of range, a number is not finite, or no slot predicts any
    /// row.
    pub fn from_predictions(predictions: &Predictions, targets: &Tensor) -> Result<Self> {
        let rows = predictions.rows();
        if targets.dims().first() != Some(&rows) {
            let got = format!("{:?}", targets.dims());
            return Err(Error::invalid(
                "shape of the targets",
                format!("({rows}, …), one for each row"),
                got,
            ));
        }
        let targets = match predictions.task() {
            Task::Classification { .. } => targets.to_dtype(DType::U32)?.flatten_all()?,
            Task::Regression { .. } => targets.clone(),
        };
        let predicted = predicted_rows(predictions)?;
        if predicted.is_empty() {
            return Err(Error::HeldOut { combiner: "the combiner".into(), need: 1, have: 0, rows });
        }
        let slots = predictions.slots();
        let all = Self {
            predictions: predictions.clone(),
            targets,
            weights: None,
            groups: None,
            names: predictions.names().map_or_else(|| default_names(slots), <[String]>::to_vec),
            costs: vec![1.; slots],
            rows: (0..rows as u32).collect(),
            total_rows: rows,
            seed: Seed::from(0),
            distributions: None,
        };
        all.check()?;
        all.select(&predicted)
    }

    /// The predictions that at least one slot makes, and their places.
    pub(crate) fn predicted(predictions: &Predictions) -> Result<(Predictions, Rows)> {
        let (all, rows) = (predictions.rows(), predicted_rows(predictions)?);
        if rows.is_empty() {
            return Err(Error::HeldOut { combiner: "the combiner".into(), need: 1, have: 0, rows: all });
        }
        Ok((predictions.select_rows(&rows)?, rows))
    }

    /// Predictions for these rows of a data set, `(S, R, C)`, or for all of their positions.
    pub(crate) fn from_rows(
        predictions: Predictions,
        data: &dyn Dataset,
        device: &Device,
        rows: Rows,
        names: Vec<String>,
        costs: Vec<f64>,
    ) -> Result<Self> {
        let flat = FlatTargets::read(data, &rows, device)?;
        let (rows, total_rows) = match data.positions() {
            Positions::One => (rows, data.rows()),
            _ => (flat.rows(&rows), data.rows().saturating_mul(flat.per_row)),
        };
        let predictions = match &flat.kept {
            Some(kept) => predictions.select_rows(kept)?,
            None => predictions,
        };
        let targets = Targets { targets: flat.targets, weights: flat.weights, rows, total_rows };
        Self::from_targets(predictions, data, targets, names, costs)
    }

    /// Predictions, `(S, R, C)`, with the targets of the same rows or positions.
    pub(crate) fn from_targets(
        predictions: Predictions,
        data: &dyn Dataset,
        Targets { targets, weights, rows, total_rows }: Targets,
        names: Vec<String>,
        costs: Vec<f64>,
    ) -> Result<Self> {
        let group = |groups: &[u32]| rows.iter().map(|row| groups[*row as usize]).collect();
        let groups = match (data.groups(), data.positions()) {
            (Some(groups), _) => Some(group(groups)),
            (None, Positions::One) => None,
            // The positions of a row are alike, so they stay together.
            (None, _) => Some(rows.clone()),
        };
        let weights = weights.map(|w| w.to_dtype(DType::F64)).transpose()?;
        let predictions = predictions.with_names(names.clone())?;
        let (seed, distributions) = (Seed::from(0), None);
        Ok(Self {
            predictions,
            targets,
            weights,
            groups,
            names,
            costs,
            rows,
            total_rows,
            seed,
            distributions,
        })
    }

    /// Predictions with what is known of their rows, as they were stored.
    pub(crate) fn from_stored(
        predictions: Predictions,
        Targets { targets, weights, rows, total_rows }: Targets,
        groups: Option<Vec<u32>>,
        (names, costs): (Vec<String>, Vec<f64>),
        seed: Seed,
    ) -> Self {
        let distributions = None;
        Self { predictions, targets, weights, groups, names, costs, rows, total_rows, seed, distributions }
    }

    /// Checks that the targets are finite and in range, and that every prediction is finite unless it is
    /// missing.
    fn check(&self) -> Result<()> {
        match self.predictions.task() {
            Task::Classification { classes } => {
                let ids: Vec<u32> = self.targets.to_vec1()?;
                if let Some(row) = ids.iter().position(|id| *id as usize >= classes) {
                    let must = format!("below {classes}, the number of classes");
                    return Err(Error::invalid(format!("label of row {row}"), must, ids[row]));
                }
            }
            Task::Regression { outputs } => {
                let table = self.targets.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
                if table.len() != self.rows.len() * outputs {
                    let must = format!("({}, {outputs})", self.rows.len());
                    return Err(Error::invalid(
                        "shape of the targets",
                        must,
                        format!("{:?}", self.targets.dims()),
                    ));
                }
                if let Some(i) = table.iter().position(|x| !x.is_finite()) {
                    return Err(Error::invalid(format!("target of row {}", i / outputs), "finite", table[i]));
                }
            }
        }
        self.predictions.check_finite()
    }

    /// Names the slots; their names are those of the predictions ([`Predictions::with_names`]), or `member 0`,
    /// `member 1`, … otherwise.
    ///
    /// # Errors
    /// When there are not as many names as slots.
    pub fn with_names(mut self, names: Vec<String>) -> Result<Self> {
        self.predictions = self.predictions.with_names(names.clone())?;
        self.names = names;
        Ok(self)
    }

    /// Sets what a prediction of each slot costs, in any unit, such as seconds. The default is the number of
    /// parameters for a pool and 1 for predictions from elsewhere.
    ///
    /// # Errors
    /// When there are not as many costs as slots, or one is negative or not finite.
    pub fn with_costs(mut self, costs: Vec<f64>) -> Result<Self> {
        self.check_slot_count("costs", costs.len())?;
        if let Some(slot) = costs.iter().position(|c| !c.is_finite() || *c < 0.) {
            return Err(Error::invalid(
                format!("cost of {}", self.names[slot]),
                "finite and not negative",
                costs[slot],
            ));
        }
        self.costs = costs;
        Ok(self)
    }

    /// Sets the seed of combiners that draw at random and were given no seed of their own. The default is the
    /// seed of the plan for a pool and 0 for predictions from elsewhere.
    #[must_use]
    pub fn with_seed(mut self, seed: impl Into<Seed>) -> Self {
        self.seed = seed.into();
        self
    }

    /// The seed of combiners that draw at random and were given no seed of their own.
    #[must_use]
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// Held-out predictions of zero rows, for combiners that need none.
    pub(crate) fn none(
        task: Task,
        names: Vec<String>,
        costs: Vec<f64>,
        total_rows: usize,
        seed: Seed,
    ) -> Result<Self> {
        let (slots, width) = (names.len(), task.width());
        let predictions =
            Predictions::new(Tensor::zeros((slots, 0, width), DType::F32, &Device::Cpu)?, task)?;
        let targets = match task {
            Task::Classification { .. } => Tensor::zeros(0, DType::U32, &Device::Cpu)?,
            Task::Regression { outputs } => Tensor::zeros((0, outputs), DType::F32, &Device::Cpu)?,
        };
        let (weights, groups, distributions, rows) = (None, None, None, Rows::new());
        Ok(Self {
            predictions,
            targets,
            weights,
            groups,
            names,
            costs,
            rows,
            total_rows,
            seed,
            distributions,
        })
    }

    /// Attaches a weight to each row, `(R,)`: finite, not negative, not all zero.
    ///
    /// A row of weight 2 counts as two rows of weight 1, and a row of weight 0 does not count. For metrics
    /// and for fits without a penalty only the ratios of the weights matter. Weights that are all below
    /// 1e-30, or of which one is above 1e30, are divided by the largest, so that no sum of them leaves the
    /// range of the numbers.
    ///
    /// # Errors
    /// When there are not as many weights as rows, or one is out of range.
    ///
    /// ```
    /// # use candle_core::{Device, Tensor};
    /// # use candle_ensemble::{combine::Mean, data::Task, predictions::Predictions, HeldOut};
    /// # let predicted = Tensor::new(&[[[0.9f32, 0.1], [0.4, 0.6]], [[0.7, 0.3], [0.2, 0.8]]], &Device::Cpu)?;
    /// # let predictions = Predictions::new(predicted, Task::Classification { classes: 2 })?;
    /// let held_out = HeldOut::from_predictions(&predictions, &Tensor::new(&[0u32, 0], &Device::Cpu)?)?;
    /// let weighted = held_out.with_weights(&Tensor::new(&[3e300f64, 1e300], &Device::Cpu)?)?;
    /// assert_eq!(weighted.metrics(&Mean)?.headline(), 0.75); // the first row is right, the second is not
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    pub fn with_weights(mut self, weights: &Tensor) -> Result<Self> {
        let mut values: Vec<f64> = weights.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
        self.check_row_count("weights", values.len())?;
        if let Some(row) = values.iter().position(|w| !w.is_finite() || *w < 0.) {
            return Err(Error::invalid(
                format!("weight of row {row}"),
                "finite and not negative",
                values[row],
            ));
        }
        let largest = values.iter().copied().fold(0., f64::max);
        if largest == 0. {
            return Err(Error::invalid("sum of the weights", "positive", 0));
        }
        if !SAFE_WEIGHTS.contains(&largest) {
            values.iter_mut().for_each(|w| *w /= largest);
        }
        self.weights = Some(Tensor::from_vec(values, self.rows.len(), weights.device())?);
        Ok(self)
    }

    /// Attaches the number of a group to each row. Combiners that split the rows into folds keep each group
    /// in one fold.
    ///
    /// # Errors
    /// When there are not as many numbers as rows.
    pub fn with_groups(mut self, groups: Vec<u32>) -> Result<Self> {
        self.check_row_count("groups", groups.len())?;
        self.groups = Some(groups);
        Ok(self)
    }

    /// Attaches the inputs of the rows, `(R, F)`, for combiners that use them ([`Combiner::needs_inputs`]).
    ///
    /// [`Combiner::needs_inputs`]: crate::combine::Combiner::needs_inputs
    ///
    /// # Errors
    /// When `inputs` is not a table of floats with one row for each held-out row.
    pub fn with_inputs(mut self, inputs: &Tensor) -> Result<Self> {
        self.predictions = self.predictions.with_inputs(inputs)?;
        Ok(self)
    }

    /// Attaches the distributions that the ensemble predicts for the rows, for methods that use them
    /// ([`ConformalMethod::needs_distributions`](crate::conformal::ConformalMethod::needs_distributions)). They are those of
    /// all slots together, so a choice of slots drops them.
    ///
    /// # Errors
    /// When there is not one distribution for each row and output.
    pub fn with_distributions(mut self, distributions: Mixture) -> Result<Self> {
        self.check_row_count("distributions", distributions.rows())?;
        let outputs = self.predictions.task().width();
        if distributions.outputs() != outputs {
            let must = format!("{outputs}, one for each output");
            return Err(Error::invalid("number of distributions of a row", must, distributions.outputs()));
        }
        self.distributions = Some(Arc::new(distributions));
        Ok(self)
    }

    /// The distributions that the ensemble predicts for the rows, if they are attached.
    #[must_use]
    pub fn distributions(&self) -> Option<&Mixture> {
        self.distributions.as_deref()
    }

    fn check_slot_count(&self, what: &str, got: usize) -> Result<()> {
        match self.predictions.slots() {
            slots if slots == got => Ok(()),
            slots => {
                Err(Error::invalid(format!("number of {what}"), format!("{slots}, one for each slot"), got))
            }
        }
    }

    fn check_row_count(&self, what: &str, got: usize) -> Result<()> {
        match self.rows.len() {
            rows if rows == got => Ok(()),
            rows => {
                Err(Error::invalid(format!("number of {what}"), format!("{rows}, one for each row"), got))
            }
        }
    }

    /// What the slots predict for the rows, `(S, R, C)`, with coverage.
    #[must_use]
    pub fn predictions(&self) -> &Predictions {
        &self.predictions
    }

    /// The targets of the rows: `(R,)` class ids, or `(R,)` or `(R, K)` values.
    #[must_use]
    pub fn targets(&self) -> &Tensor {
        &self.targets
    }

    /// The weights of the rows, `(R,)` of type f64, if there are any.
    #[must_use]
    pub fn weights(&self) -> Option<&Tensor> {
        self.weights.as_ref()
    }

    /// The groups of the rows, if there are any.
    #[must_use]
    pub fn groups(&self) -> Option<&[u32]> {
        self.groups.as_deref()
    }

    /// The names of the slots.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// What a prediction of each slot costs: for a pool, the number of parameters of the slot's networks.
    #[must_use]
    pub fn costs(&self) -> &[f64] {
        &self.costs
    }

    /// The numbers of the rows in the data set, in the order of the predictions. A row with several positions occurs once
    /// for each of them.
    #[must_use]
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// The number of rows of the data set, or of their positions, with or without held-out predictions.
    #[must_use]
    pub fn total_rows(&self) -> usize {
        self.total_rows
    }

    /// The metrics of combined predictions, `(R, C)`, on the rows.
    pub(crate) fn metrics_of(&self, predicted: &Tensor) -> Result<Metrics> {
        let weights = self.row_weights()?;
        match self.predictions.task() {
            Task::Classification { .. } => {
                Metrics::classification(predicted, &self.targets.to_vec1::<u32>()?, weights.as_deref())
            }
            Task::Regression { .. } => Metrics::regression(predicted, &self.targets, weights.as_deref()),
        }
    }

    /// Only the rows that every slot predicts, so that no prediction is missing.
    ///
    /// With bagging few rows or none are left when there are many members: of `M` members each leaves out
    /// about 37 % of the rows, and all of them leave out `0.37^M`. Use it to score combiners that need every
    /// slot.
    ///
    /// # Errors
    /// When there is no such row, or candle fails.
    pub fn complete_rows(&self) -> Result<Self> {
        let Some(covered) = self.predictions.coverage_by_slot()? else { return Ok(self.clone()) };
        let all = |row: &u32| covered.iter().all(|slot| slot[*row as usize] > 0.);
        let keep: Rows = (0..self.rows.len() as u32).filter(all).collect();
        if keep.is_empty() {
            let combiner = "a combiner that needs every slot".to_string();
            return Err(Error::HeldOut { combiner, need: 1, have: 0, rows: self.total_rows });
        }
        let mut some = self.select(&keep)?;
        some.predictions = some.predictions.assume_complete();
        Ok(some)
    }

    /// The rows whose weight is above 0; all rows when there are no weights. A row of weight 0 counts for
    /// nothing, so a combiner is fitted as if it were not there.
    pub(crate) fn rows_with_weight(&self) -> Result<Self> {
        let Some(weights) = self.row_weights::<f64>()? else { return Ok(self.clone()) };
        let rows: Rows = (0..weights.len() as u32).filter(|row| weights[*row as usize] > 0.).collect();
        match rows.len() {
            0 => Err(Error::invalid("sum of the weights of the held-out rows", "positive", 0)),
            count if count == weights.len() => Ok(self.clone()),
            _ => self.select(&rows),
        }
    }

    /// Replaces each missing prediction by the mean of the slots that predict the row
    /// ([`Predictions::fill_missing`]), for a function that cannot work with missing predictions.
    ///
    /// # Errors
    /// When candle fails.
    pub fn fill_missing(&self) -> Result<Self> {
        Ok(Self { predictions: self.predictions.fill_missing()?, ..self.clone() })
    }

    /// The rows at these positions, in this order. Position `i` is the `i`-th held-out row; its number in the
    /// data set is `rows()[i]`.
    ///
    /// # Errors
    /// When `positions` is empty, or one of them is out of range.
    pub fn select(&self, positions: &[u32]) -> Result<Self> {
        let count = self.rows.len();
        if positions.is_empty() {
            return Err(Error::invalid("positions of held-out rows", "at least one", "none"));
        }
        if let Some(bad) = positions.iter().find(|p| **p as usize >= count) {
            return Err(Error::invalid("position of a held-out row", format!("below {count}"), bad));
        }
        let pick = |ids: &[u32]| positions.iter().map(|p| ids[*p as usize]).collect::<Vec<_>>();
        let index = Tensor::new(positions, self.targets.device())?;
        Ok(Self {
            predictions: self.predictions.select_rows(positions)?,
            targets: self.targets.index_select(&index, 0)?,
            weights: self.weights.as_ref().map(|w| w.index_select(&index, 0)).transpose()?,
            groups: self.groups.as_deref().map(pick),
            names: self.names.clone(),
            costs: self.costs.clone(),
            rows: pick(&self.rows),
            total_rows: self.total_rows,
            seed: self.seed,
            distributions: match &self.distributions {
                Some(all) => Some(Arc::new(all.select_rows(positions)?)),
                None => None,
            },
        })
    }

    /// Only these slots, in this order, and the rows that at least one of them predicts.
    ///
    /// # Errors
    /// When `slots` is empty or one of them is out of range, and when they predict no row.
    pub fn select_slots(&self, slots: &[usize]) -> Result<Self> {
        let predictions = self.predictions.select_slots(slots)?;
        let predicted = predicted_rows(&predictions)?;
        let names = slots.iter().map(|s| self.names[*s].clone()).collect();
        let costs = slots.iter().map(|s| self.costs[*s]).collect();
        let some = Self { predictions, names, costs, distributions: None, ..self.clone() };
        if predicted.len() == some.rows.len() {
            return Ok(some);
        }
        if predicted.is_empty() {
            return Err(Error::HeldOut {
                combiner: "these slots".into(),
                need: 1,
                have: 0,
                rows: self.total_rows,
            });
        }
        some.select(&predicted)
    }

    #[cfg(feature = "learned")]
    /// The same rows with predictions of other slots, which are called `names`.
    pub(crate) fn with_predictions(&self, predictions: Predictions, names: Vec<String>) -> Self {
        let costs = vec![1.; names.len()];
        Self { predictions, names, costs, distributions: None, ..self.clone() }
    }

    /// Deals the rows into `k` folds, given as positions. Each row is in one fold. Where there are groups,
    /// each group is in one fold; otherwise, for classes, each fold has about the same share of every class.
    ///
    /// # Errors
    /// When `k` is below 2 or above the number of rows, or of groups where there are groups.
    pub fn folds(&self, k: usize, seed: impl Into<Seed>) -> Result<Vec<Rows>> {
        let (units, least) = (self.units(), k.max(2));
        if units < least {
            let (what, why) = match self.groups {
                Some(_) => {
                    (format!("groups of the {} held-out rows", self.rows.len()), "folds keep groups whole")
                }
                None => ("held-out rows".into(), "they are dealt into folds"),
            };
            return Err(Error::invalid(
                format!("number of {what}"),
                format!("at least {least}, as {why}"),
                units,
            ));
        }
        let labels: Vec<u32>;
        let units = match (&self.groups, self.predictions.task()) {
            (Some(groups), _) => Units::Groups(groups),
            (None, Task::Classification { .. }) => {
                labels = self.targets.to_vec1()?;
                Units::Strata(&labels)
            }
            (None, Task::Regression { .. }) => Units::Rows(self.rows.len()),
        };
        let fold_of_row = assign_folds(k, units, seed.into())?;
        let mut folds = vec![vec![]; k];
        (0u32..).zip(fold_of_row).for_each(|(position, fold)| folds[fold].push(position));
        Ok(folds)
    }

    /// The weights of the rows as numbers, if there are any.
    pub(crate) fn row_weights<T: WithDType>(&self) -> Result<Option<Vec<T>>> {
        Ok(self.weights.as_ref().map(|w| w.to_dtype(T::DTYPE)?.to_vec1()).transpose()?)
    }

    /// The weights of the rows as numbers; 1 for each row when there are none.
    pub(crate) fn weights_or_ones(&self) -> Result<Vec<f64>> {
        Ok(self.row_weights()?.unwrap_or_else(|| vec![1.; self.rows.len()]))
    }

    /// The targets as numbers.
    pub(crate) fn truth(&self) -> Result<Truth> {
        Ok(match self.predictions.task() {
            Task::Classification { .. } => Truth::Classes(self.targets.to_vec1()?),
            Task::Regression { .. } => {
                Truth::Values(self.targets.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
            }
        })
    }

    /// The number of units that folds keep whole: groups if there are any, rows otherwise.
    pub(crate) fn units(&self) -> usize {
        self.groups.as_ref().map_or(self.rows.len(), |groups| groups.iter().collect::<BTreeSet<_>>().len())
    }

    #[cfg(feature = "learned")]
    /// The targets as columns: for each class 1 where a row has it and 0 elsewhere, or the values of each
    /// output.
    pub(crate) fn target_columns(&self) -> Result<Vec<Vec<f64>>> {
        match self.predictions.task() {
            Task::Classification { classes } => {
                let ids: Vec<u32> = self.targets.to_vec1()?;
                let column = |c: usize| ids.iter().map(|id| f64::from(u8::from(*id as usize == c))).collect();
                Ok((0..classes).map(column).collect())
            }
            Task::Regression { outputs } => {
                let table = self.targets.to_dtype(DType::F64)?.reshape(((), outputs))?;
                Ok(table.t()?.to_vec2()?)
            }
        }
    }
}

/// The names of slots that were given none.
fn default_names(slots: usize) -> Vec<String> {
    (0..slots).map(|s| format!("member {s}")).collect()
}

/// The rows that at least one slot predicts.
fn predicted_rows(predictions: &Predictions) -> Result<Rows> {
    let all = 0..predictions.rows() as u32;
    Ok(match predictions.coverage_by_slot()? {
        None => all.collect(),
        Some(covered) => all.filter(|row| covered.iter().any(|slot| slot[*row as usize] > 0.)).collect(),
    })
}
