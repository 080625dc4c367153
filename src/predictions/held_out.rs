//! Predictions on rows that nobody behind them was fitted on, with the answers.
use crate::{
    data::{Dataset, Task},
    metrics::{Metrics, Truth},
    predictions::Predictions,
    resample::{assign_folds, unit::Units},
    Error, Result, Rows, Seed,
};
use candle_core::{DType, Device, Tensor, WithDType};
use std::collections::BTreeSet;

/// Predictions that no member behind them was fitted on, with what a rule may learn from.
///
/// [`Pool::held_out`](crate::Pool::held_out) makes one from the members' own records, and so that it cannot be
/// wrong. [`HeldOut::from_predictions`] takes predictions of any origin at your word.
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
}

impl HeldOut {
    /// Predictions of any origin with their targets: `(R,)` u32 class ids, or `(R,)` or `(R, K)` values. Rows about
    /// which no slot predicts are left out.
    ///
    /// That no member was fitted on a row it predicts is your word; nothing here can check it. A rule fitted
    /// on fitted predictions trusts the members that overfit most.
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
    /// When shapes differ, a label is out of range, a number is not finite, or no slot predicts any row.
    pub fn from_predictions(predictions: &Predictions, targets: &Tensor) -> Result<Self> {
        let rows = predictions.rows();
        if targets.dims().first() != Some(&rows) {
            let got = format!("{:?}", targets.dims());
            return Err(Error::invalid("shape of the targets", format!("({rows}, …), one a row"), got));
        }
        let targets = match predictions.task() {
            Task::Classification { .. } => targets.to_dtype(DType::U32)?.flatten_all()?,
            Task::Regression { .. } => targets.clone(),
        };
        let predicted = predicted(predictions)?;
        if predicted.is_empty() {
            return Err(Error::HeldOut { combiner: "the rule".into(), need: 1, have: 0, rows });
        }
        let slots = predictions.slots();
        let all = Self {
            predictions: predictions.clone(),
            targets,
            weights: None,
            groups: None,
            names: (0..slots).map(|s| format!("member {s}")).collect(),
            costs: vec![1.; slots],
            rows: (0..rows as u32).collect(),
            total_rows: rows,
            seed: Seed::from(0),
        };
        all.check()?;
        all.select(&predicted)
    }

    pub(crate) fn of_pool(
        predictions: &Predictions,
        data: &dyn Dataset,
        device: &Device,
        names: Vec<String>,
        costs: Vec<f64>,
    ) -> Result<Self> {
        let (of, rows) = (predictions.rows(), predicted(predictions)?);
        if rows.is_empty() {
            return Err(Error::HeldOut { combiner: "the rule".into(), need: 1, have: 0, rows: of });
        }
        Self::of_rows(predictions.select_rows(&rows)?, data, device, rows, names, costs)
    }

    /// What slots predict for these rows of a data set.
    pub(crate) fn of_rows(
        predictions: Predictions,
        data: &dyn Dataset,
        device: &Device,
        rows: Rows,
        names: Vec<String>,
        costs: Vec<f64>,
    ) -> Result<Self> {
        let batch = data.batch(&rows, device)?;
        let groups = data.groups().map(|g| rows.iter().map(|row| g[*row as usize]).collect());
        let (targets, weights, total_rows) = (batch.targets, batch.weights, data.rows());
        let seed = Seed::from(0);
        Ok(Self { predictions, targets, weights, groups, names, costs, rows, total_rows, seed })
    }

    /// Whether every number can be used: targets in range and finite, predictions that are there finite.
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

    /// These names for the slots, in place of `member 0`, `member 1`, …
    ///
    /// # Errors
    /// When there are not as many as slots.
    pub fn with_names(mut self, names: Vec<String>) -> Result<Self> {
        self.one_a_slot("names", names.len())?;
        self.names = names;
        Ok(self)
    }

    /// What each slot costs to ask, in any unit: seconds, parameters. In place of 1 each, or of a pool's parameters.
    ///
    /// # Errors
    /// When there are not as many as slots, or one is negative or not finite.
    pub fn with_costs(mut self, costs: Vec<f64>) -> Result<Self> {
        self.one_a_slot("costs", costs.len())?;
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

    /// The seed from which combiners that draw at random derive theirs, where they were given none. A pool's held-out
    /// predictions have the seed of its plan; predictions from elsewhere have seed 0.
    #[must_use]
    pub fn with_seed(mut self, seed: impl Into<Seed>) -> Self {
        self.seed = seed.into();
        self
    }

    /// The seed of what is drawn at random in a fit.
    #[must_use]
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// No rows, for combiners that need none.
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
        let (weights, groups, rows) = (None, None, Rows::new());
        Ok(Self { predictions, targets, weights, groups, names, costs, rows, total_rows, seed })
    }

    /// The weight of each row, `(R,)`: finite, not negative, not all zero.
    ///
    /// # Errors
    /// When they are not so many or out of range.
    pub fn with_weights(mut self, weights: &Tensor) -> Result<Self> {
        let values: Vec<f32> = weights.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        self.one_a_row("weights", values.len())?;
        if let Some(row) = values.iter().position(|w| !w.is_finite() || *w < 0.) {
            return Err(Error::invalid(
                format!("weight of row {row}"),
                "finite and not negative",
                values[row],
            ));
        }
        if values.iter().all(|w| *w == 0.) {
            return Err(Error::invalid("sum of the weights", "positive", 0));
        }
        self.weights = Some(Tensor::from_vec(values, self.rows.len(), weights.device())?);
        Ok(self)
    }

    /// The group of each row: rules that split these rows again keep groups whole.
    ///
    /// # Errors
    /// When they are not so many.
    pub fn with_groups(mut self, groups: Vec<u32>) -> Result<Self> {
        self.one_a_row("groups", groups.len())?;
        self.groups = Some(groups);
        Ok(self)
    }

    /// The inputs of each row, `(R, F)`, for rules that look at them ([`Combiner::needs_inputs`]).
    ///
    /// [`Combiner::needs_inputs`]: crate::combine::Combiner::needs_inputs
    ///
    /// # Errors
    /// When they are not so many or not finite.
    pub fn with_inputs(mut self, inputs: &Tensor) -> Result<Self> {
        self.predictions = self.predictions.with_inputs(inputs)?;
        Ok(self)
    }

    fn one_a_slot(&self, what: &str, got: usize) -> Result<()> {
        match self.predictions.slots() {
            slots if slots == got => Ok(()),
            slots => Err(Error::invalid(format!("number of {what}"), format!("{slots}, one a slot"), got)),
        }
    }

    fn one_a_row(&self, what: &str, got: usize) -> Result<()> {
        match self.rows.len() {
            rows if rows == got => Ok(()),
            rows => Err(Error::invalid(format!("number of {what}"), format!("{rows}, one a row"), got)),
        }
    }

    /// `(S, R, C)`: what the slots predict for the rows, with coverage.
    #[must_use]
    pub fn predictions(&self) -> &Predictions {
        &self.predictions
    }

    /// Targets of the same rows: `(R,)` class ids, or `(R,)` or `(R, K)` values.
    #[must_use]
    pub fn targets(&self) -> &Tensor {
        &self.targets
    }

    /// Weights of the same rows, `(R,)`, where the data has them.
    #[must_use]
    pub fn weights(&self) -> Option<&Tensor> {
        self.weights.as_ref()
    }

    /// Groups of the same rows, where the data has them.
    #[must_use]
    pub fn groups(&self) -> Option<&[u32]> {
        self.groups.as_deref()
    }

    /// The slots' names.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// What each slot costs to ask: for a pool the parameters of its networks.
    #[must_use]
    pub fn costs(&self) -> &[f64] {
        &self.costs
    }

    /// Numbers of the rows, sorted.
    #[must_use]
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// How many rows the data set has.
    #[must_use]
    pub fn total_rows(&self) -> usize {
        self.total_rows
    }

    /// The metrics of combined predictions `(R, C)` of the same rows.
    pub(crate) fn metrics_of(&self, predicted: &Tensor) -> Result<Metrics> {
        let weights = self.row_weights()?;
        match self.predictions.task() {
            Task::Classification { .. } => {
                Metrics::classification(predicted, &self.targets.to_vec1::<u32>()?, weights.as_deref())
            }
            Task::Regression { .. } => Metrics::regression(predicted, &self.targets, weights.as_deref()),
        }
    }

    /// The rows that every slot predicts.
    ///
    /// # Errors
    /// When there is no such row, or candle fails.
    pub fn complete(&self) -> Result<Self> {
        let Some(covered) = self.predictions.coverage()? else { return Ok(self.clone()) };
        let all = |row: &u32| covered.iter().all(|slot| slot[*row as usize] > 0.);
        let keep: Rows = (0..self.rows.len() as u32).filter(all).collect();
        if keep.is_empty() {
            let combiner = "a rule that needs every slot".to_string();
            return Err(Error::HeldOut { combiner, need: 1, have: 0, rows: self.total_rows });
        }
        let mut some = self.select(&keep)?;
        some.predictions = some.predictions.uncovered();
        Ok(some)
    }

    /// The same with every prediction: one that is missing is stood in for by the mean of those that are there. Rules
    /// that learn go by this, so that each row with a prediction counts.
    ///
    /// # Errors
    /// When candle fails.
    pub fn filled(&self) -> Result<Self> {
        Ok(Self { predictions: self.predictions.filled()?, ..self.clone() })
    }

    /// The rows at these positions (not numbers), in this order.
    ///
    /// # Errors
    /// When there is none, or a position is out of range.
    pub fn select(&self, positions: &[u32]) -> Result<Self> {
        let count = self.rows.len();
        if positions.is_empty() {
            return Err(Error::invalid("positions of held-out rows", "at least one", "none"));
        }
        if let Some(bad) = positions.iter().find(|p| **p as usize >= count) {
            return Err(Error::invalid("a position of a held-out row", format!("below {count}"), bad));
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
        })
    }

    /// These slots only, in this order.
    ///
    /// # Errors
    /// When there is none, or one is out of range; when no row is left that one of them predicts.
    pub fn select_slots(&self, slots: &[usize]) -> Result<Self> {
        let predictions = self.predictions.select_slots(slots)?;
        let predicted = predicted(&predictions)?;
        let names = slots.iter().map(|s| self.names[*s].clone()).collect();
        let costs = slots.iter().map(|s| self.costs[*s]).collect();
        let some = Self { predictions, names, costs, ..self.clone() };
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
    /// The same rows with other predictions, of slots called `names`.
    pub(crate) fn with_predictions(&self, predictions: Predictions, names: Vec<String>) -> Self {
        let costs = vec![1.; names.len()];
        Self { predictions, names, costs, ..self.clone() }
    }

    /// `k` folds of these rows, as positions, each row in one: groups whole where there are groups, classes in
    /// proportion where there are classes.
    ///
    /// # Errors
    /// When `k` is below 2 or above the number of rows or groups.
    pub fn folds(&self, k: usize, seed: Seed) -> Result<Vec<Rows>> {
        let labels: Vec<u32>;
        let units = match (&self.groups, self.predictions.task()) {
            (Some(groups), _) => Units::Groups(groups),
            (None, Task::Classification { .. }) => {
                labels = self.targets.to_vec1()?;
                Units::Strata(&labels)
            }
            (None, Task::Regression { .. }) => Units::Rows(self.rows.len()),
        };
        let of = assign_folds(k, units, seed)?;
        let mut folds = vec![vec![]; k];
        (0u32..).zip(of).for_each(|(position, fold)| folds[fold].push(position));
        Ok(folds)
    }

    /// The weights as plain numbers, where the data has them.
    pub(crate) fn row_weights<T: WithDType>(&self) -> Result<Option<Vec<T>>> {
        Ok(self.weights.as_ref().map(|w| w.to_dtype(T::DTYPE)?.to_vec1()).transpose()?)
    }

    /// The same, 1 where the data has none.
    pub(crate) fn every_weight(&self) -> Result<Vec<f64>> {
        Ok(self.row_weights()?.unwrap_or_else(|| vec![1.; self.rows.len()]))
    }

    /// The answers as plain numbers.
    pub(crate) fn truth(&self) -> Result<Truth> {
        Ok(match self.predictions.task() {
            Task::Classification { .. } => Truth::Classes(self.targets.to_vec1()?),
            Task::Regression { .. } => {
                Truth::Values(self.targets.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
            }
        })
    }

    /// How many units there are that folds keep whole: groups, or rows.
    pub(crate) fn units(&self) -> usize {
        self.groups.as_ref().map_or(self.rows.len(), |groups| groups.iter().collect::<BTreeSet<_>>().len())
    }

    #[cfg(feature = "learned")]
    /// The targets as columns: the indicator of each class, or each output.
    pub(crate) fn target_table(&self) -> Result<Vec<Vec<f64>>> {
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

/// The rows that some slot predicts.
fn predicted(predictions: &Predictions) -> Result<Rows> {
    let all = 0..predictions.rows() as u32;
    Ok(match predictions.coverage()? {
        None => all.collect(),
        Some(covered) => all.filter(|row| covered.iter().any(|slot| slot[*row as usize] > 0.)).collect(),
    })
}
