//! How sure an ensemble is: intervals, sets of classes, and what its members disagree on.
use crate::{
    check,
    combine::FittedCombiner,
    conformal::{ConformalIntervals, ConformalSets, PredictionSets},
    data::{Dataset, Inputs, Positions, Task},
    ensemble::Ensemble,
    network::{positions::Layout, Output, Scale},
    predictions::{
        live::{flatten_inputs, LiveSlots},
        passes::{concat, Passes, Source},
        Predictions,
    },
    store::member::{in_slot_order, is_seen_unknown, leading},
    uncertainty::{energy_from, ClassUncertainty, ValueUncertainty},
    Error, HeldOut, Member, Network, Result,
};
use candle_core::{Result as CandleResult, Tensor};

impl<N: Network, F: FittedCombiner> Ensemble<N, F> {
    /// Conformal intervals of new rows, `(N, K, 2)` of type f64: the lower and the upper end for each of `K` outputs.
    ///
    /// The intervals were fitted by [`Pool::conformal`](crate::Pool::conformal) or
    /// [`OnDataset::conformal`](crate::OnDataset::conformal) for these members.
    ///
    /// ```
    /// # use candle_core::{Device, Tensor};
    /// use candle_ensemble::{conformal::*, prelude::*};
    /// # let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.02, -0.8)?.reshape((80, 1))?;
    /// # let data = TensorDataset::regression(&x, &x.sqr()?)?;
    /// # let trainer = Trainer::new(|vb| candle_nn::linear(1, 1, vb)).epochs(2);
    /// let pool = Session::new(&trainer, &data).fit(&KFold::new(5), 42)?;
    /// let conformal = pool.conformal(&Mean, &CrossIntervals::new(0.1))?; // CV+
    /// let intervals = pool.combine(&Mean)?.predict_intervals(&conformal, &x)?;
    /// let width = mean_width(&output_intervals(&intervals, 0)?)?;
    /// # assert!(width > 0.);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`predict`](Self::predict) and [`ConformalIntervals::predict`]. Intervals by group need the groups of the rows, which
    /// a data set has ([`on`](Self::on)).
    pub fn predict_intervals(
        &self,
        conformal: &ConformalIntervals,
        inputs: impl Into<Inputs>,
    ) -> Result<Tensor> {
        self.interval_passes(&self.passes(Source::Inputs(&inputs.into())), conformal, None)
    }

    /// Conformal sets of classes for new rows. The sets were fitted by [`Pool::conformal`](crate::Pool::conformal) or
    /// [`OnDataset::conformal`](crate::OnDataset::conformal) for these members. Where a row has several
    /// [`Positions`](crate::data::Positions), there is a set for each of them, row after row.
    ///
    /// # Errors
    /// As [`predict`](Self::predict) and [`ConformalSets::predict`]. Sets by group need the groups of the rows, which a data
    /// set has ([`on`](Self::on)).
    pub fn predict_sets(
        &self,
        conformal: &ConformalSets,
        inputs: impl Into<Inputs>,
    ) -> Result<PredictionSets> {
        self.set_passes(&self.passes(Source::Inputs(&inputs.into())), conformal, None)
    }

    /// How uncertain the members are of the class of each row, and what part of it they disagree on. Where the combiner has
    /// weights, the members count by them, which must be 0 or more then. Where a row has several
    /// [`Positions`](crate::data::Positions), there are figures for each of them, row after row.
    ///
    /// ```
    /// # use candle_core::{Device, Tensor};
    /// # use candle_ensemble::prelude::*;
    /// # let x = Tensor::arange(0f32, 40., &Device::Cpu)?.affine(0.05, -1.)?.reshape((20, 2))?;
    /// # let y = Tensor::from_iter((0..20u32).map(|i| i / 10), &Device::Cpu)?;
    /// # let data = TensorDataset::classification(x.clone(), &y)?;
    /// # let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).epochs(2);
    /// let ensemble = Session::new(&trainer, &data).fit(&MultiRun::new(3), 42)?.combine(&Mean)?;
    /// let uncertainty = ensemble.class_uncertainty(&x)?;
    /// assert!(uncertainty.mutual_information.iter().zip(&uncertainty.total).all(|(part, all)| part <= all));
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`predict`](Self::predict) and [`ClassUncertainty::weighted`].
    pub fn class_uncertainty(&self, inputs: impl Into<Inputs>) -> Result<ClassUncertainty> {
        self.class_uncertainty_passes(&self.passes(Source::Inputs(&inputs.into())))
    }

    /// How uncertain the members are of the values of each row: the variance between them, which is what they disagree on,
    /// and, for networks that put out distributions, the mean of the variances that they predict, which is what the data
    /// leave open. Where the combiner has weights, the members count by them, which must be 0 or more then.
    ///
    /// ```
    /// # use candle_core::{Device, Tensor};
    /// use candle_ensemble::{prelude::*, train::Output};
    /// # let x = Tensor::arange(0f32, 40., &Device::Cpu)?.affine(0.05, -1.)?.reshape((20, 2))?;
    /// # let data = TensorDataset::regression(&x, &x.sum(1)?)?;
    /// let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).output(Output::Laplace).epochs(2);
    /// let ensemble = Session::new(&trainer, &data).fit(&MultiRun::new(3), 1)?.combine(&Mean)?;
    /// let uncertainty = ensemble.value_uncertainty(&x)?;
    /// let (disagreement, noise) = (&uncertainty.between, &uncertainty.within);
    /// assert_eq!((disagreement.dims(), noise.dims()), (&[20, 1][..], &[20, 1][..]));
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`predict`](Self::predict) and [`ValueUncertainty::weighted`]; for distributions, as
    /// [`Pool::distributions`](crate::Pool::distributions).
    pub fn value_uncertainty(&self, inputs: impl Into<Inputs>) -> Result<ValueUncertainty> {
        self.value_uncertainty_passes(&self.passes(Source::Inputs(&inputs.into())))
    }

    /// The [energy](crate::uncertainty::energy) of each row, the mean of those of all networks, from their logits: larger for
    /// rows that are less like those of the training. The temperature is 1 as a rule. A single logit `z` of two classes
    /// counts as the logits 0 and `z`. Where a row has several [`Positions`](crate::data::Positions), there is an energy for
    /// each of them, row after row.
    ///
    /// ```
    /// # use candle_core::{Device, Tensor};
    /// # use candle_ensemble::prelude::*;
    /// use candle_ensemble::uncertainty::Detection;
    /// # let x = Tensor::arange(0f32, 40., &Device::Cpu)?.affine(0.05, -1.)?.reshape((20, 2))?;
    /// # let y = Tensor::from_iter((0..20u32).map(|i| i / 10), &Device::Cpu)?;
    /// # let data = TensorDataset::classification(x.clone(), &y)?;
    /// # let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).epochs(2);
    /// # let other = (&x + 3.)?;
    /// let ensemble = Session::new(&trainer, &data).fit(&MultiRun::new(3), 42)?.combine(&Mean)?;
    /// let detection = Detection::new(&ensemble.energy(&x, 1.)?, &ensemble.energy(&other, 1.)?)?;
    /// println!("AUROC {}", detection.auroc);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the networks do not output logits of classes, or the temperature is not above 0; as [`predict`](Self::predict).
    pub fn energy(&self, inputs: impl Into<Inputs>, temperature: f64) -> Result<Vec<f64>> {
        self.energy_passes(&self.passes(Source::Inputs(&inputs.into())), temperature)
    }

    pub(super) fn energy_passes(&self, passes: &Passes<'_>, temperature: f64) -> Result<Vec<f64>> {
        let kind = (self.task(), self.positions());
        let (Output::Logits, Task::Classification { .. }) = (self.live.output, kind.0) else {
            let got = format!("{:?} for {}", self.live.output, kind.0);
            return Err(Error::invalid("the output of the networks", "Output::Logits for classes", got));
        };
        let mut energies = vec![];
        let run = |live: &LiveSlots<N>, inputs: &Inputs| live.outputs(inputs);
        passes.spread(&self.workers(), run, |pass, outputs| {
            let start = energies.len();
            for output in &outputs {
                let of_network = energy_from(&logits(output, kind)?, temperature, pass.start)?;
                energies.resize(start + of_network.len(), 0.);
                let sums = energies.iter_mut().skip(start);
                sums.zip(of_network).for_each(|(sum, energy)| *sum += energy / outputs.len() as f64);
            }
            Ok(())
        })?;
        Ok(energies)
    }

    pub(super) fn class_uncertainty_passes(&self, passes: &Passes<'_>) -> Result<ClassUncertainty> {
        ClassUncertainty::weighted(&self.all_predictions(passes, false)?, self.fitted.weights())
    }

    pub(super) fn value_uncertainty_passes(&self, passes: &Passes<'_>) -> Result<ValueUncertainty> {
        let weights = self.fitted.weights();
        if self.live.output.is_distribution() {
            let equal = vec![1.; self.live.len()];
            let weights = weights.unwrap_or(&equal);
            check::weights(Some(weights), equal.len(), false)?;
            return ValueUncertainty::of_distributions(&self.workers().distributions(passes, weights)?);
        }
        ValueUncertainty::weighted(&self.all_predictions(passes, false)?, None, weights)
    }

    /// The intervals of the rows, pass by pass.
    pub(super) fn interval_passes(
        &self,
        passes: &Passes<'_>,
        conformal: &ConformalIntervals,
        groups: Option<&[u32]>,
    ) -> Result<Tensor> {
        if conformal.needs_distributions() {
            return conformal.predict_distributions(&self.distribution_passes(passes)?, groups);
        }
        let mut parts = vec![];
        self.predictions_passes(passes, conformal.of_members(), |start, predictions| {
            let groups = groups.and_then(|groups| groups.get(start..start + predictions.rows()));
            parts.push(conformal.predict(&predictions, &self.fitted, groups)?);
            Ok(())
        })?;
        Ok(concat(parts, 0)?)
    }

    pub(super) fn set_passes(
        &self,
        passes: &Passes<'_>,
        conformal: &ConformalSets,
        groups: Option<&[u32]>,
    ) -> Result<PredictionSets> {
        // All at once, because the draws of randomized sets belong to the rows of a call.
        let predictions = self.all_predictions(passes, conformal.of_members())?;
        let groups = groups.map(|groups| of_positions(groups, predictions.rows()));
        conformal.predict(&predictions, &self.fitted, groups.as_deref())
    }

    /// Refuses rows of the pool's own data set on which a member or the combiner was fitted: their errors are smaller than
    /// those of new rows.
    pub(super) fn check_calibration_rows(&self, data: &dyn Dataset, rows: &[u32]) -> Result<()> {
        let Some(origin) = self.origin.filter(|origin| origin.data == data.fingerprint()) else {
            return Ok(());
        };
        let refused = |got: String| {
            let must = "rows on which neither a member nor the combiner was fitted: those of Pool::unseen for a combiner \
                        that is not fitted, those that Pool::conformal takes, or those of another data set";
            Err(Error::invalid("the calibration rows", must, got))
        };
        if self.fitted.fitted_on().is_some() {
            return refused(format!("rows of the pool, on which {:?} was fitted", self.fitted.name()));
        }
        if origin.new_data {
            return Ok(());
        }
        if is_seen_unknown(&self.members) {
            let unknown = self.members.iter().filter(|member| member.record.seen_unknown);
            return Err(Error::UnknownRows { members: unknown.map(Member::name).collect() });
        }
        let is_seen = |row: &&u32| self.members.iter().any(|member| member.record.seen.contains(**row));
        match rows.iter().filter(is_seen).count() {
            0 => Ok(()),
            seen => refused(format!("{} rows, {seen} of which members have seen", rows.len())),
        }
    }

    /// Gives the predictions for these rows of a data set, with their targets, and the combiner to `fit`.
    pub(super) fn calibrate<T>(
        &self,
        passes: &Passes<'_>,
        of_members: bool,
        data: &dyn Dataset,
        rows: &[u32],
        fit: impl FnOnce(HeldOut, &F) -> Result<T>,
    ) -> Result<T> {
        let predictions = self.all_predictions(passes, of_members)?;
        let names = match (predictions.names(), self.fitted.fitted_on().and_then(|on| on.names())) {
            (Some(names), _) | (None, Some(names)) => names.to_vec(),
            (None, None) => (0..predictions.slots()).map(|slot| format!("member {slot}")).collect(),
        };
        let (costs, device) = (vec![1.; predictions.slots()], &self.live.device);
        fit(HeldOut::from_rows(predictions, data, device, rows.to_vec(), names, costs)?, &self.fitted)
    }

    /// The predictions of the slots, or of the members, for all rows.
    fn all_predictions(&self, passes: &Passes<'_>, of_members: bool) -> Result<Predictions> {
        let mut parts = vec![];
        self.predictions_passes(passes, of_members, |_, predictions| {
            parts.push(predictions);
            Ok(())
        })?;
        Ok(Predictions::concat_rows(parts)?)
    }

    /// Gives the first row of each pass, and the predictions of the slots, or of the members with their names, to `take`.
    fn predictions_passes(
        &self,
        passes: &Passes<'_>,
        of_members: bool,
        mut take: impl FnMut(usize, Predictions) -> Result<()>,
    ) -> Result<()> {
        let scale = if of_members { Scale::Probability } else { self.fitted.scale() };
        let names: Option<Vec<String>> = of_members
            .then(|| leading(&in_slot_order(&self.members)).into_iter().map(Member::name).collect());
        let run = |live: &LiveSlots<N>, inputs: &Inputs| match of_members {
            true => live.predict_members(inputs),
            false => Ok(live.predict(inputs, scale)?.detached().values().clone()),
        };
        passes.spread(&self.workers(), run, |pass, predicted| {
            let per_row = predicted.dim(1)? / pass.inputs.rows().max(1);
            passes.check_predicted(&predicted, 1, (pass.start, per_row))?;
            let mut predictions = Predictions::on_scale(predicted, None, self.task(), scale)?;
            if let Some(names) = &names {
                predictions = predictions.with_names(names.clone())?;
            }
            if self.fitted.needs_inputs() {
                self.check_reads_inputs()?;
                predictions = predictions.with_inputs(&flatten_inputs(&pass.inputs)?)?;
            }
            take(pass.start, predictions)
        })
    }
}

/// The group of each position, from those of the rows.
fn of_positions(groups: &[u32], positions: usize) -> Vec<u32> {
    let per_row = positions / groups.len().max(1);
    groups.iter().flat_map(|group| std::iter::repeat_n(*group, per_row)).collect()
}

/// The output of a network as logits of each class, `(B, C)`. Positions are rows of their own.
fn logits(output: &Tensor, (task, positions): (Task, Positions)) -> CandleResult<Tensor> {
    let flat = match positions.is_one() {
        true => output.clone(),
        false => Layout::of(output.dims(), task, positions)?.flatten(output)?,
    };
    let flat = if flat.rank() == 1 { flat.unsqueeze(1)? } else { flat };
    match flat.dims() {
        [_, 1] => Tensor::cat(&[&flat.zeros_like()?, &flat], 1),
        _ => Ok(flat),
    }
}
