//! The evaluation on the validation rows after an epoch.
use super::{no_weight, scalar, spread::Spread, Training, EVALUATION_BATCH};
use crate::{
    data::{positions::FlatTargets, Batch, Inputs},
    network::{mean_of_members, positions::Layout},
    train::{
        accumulate::weight,
        epoch_meter::EpochMeter,
        fit::check_output_at,
        trainer::{diagnosis::check_data, phase::Phase, validation::ValidationRows},
        Run,
    },
    Network, Result,
};
use candle_core::Tensor;

/// The fewest rows in a batch that is only evaluated, where a network puts out several for each.
const FEWEST_ROWS: usize = 64;

/// What a network predicts for a batch that is evaluated.
struct Evaluated {
    /// The outputs of the members, or the output of them together.
    output: Tensor,
    /// The mean loss.
    loss: f64,
    /// The prediction in the units of the targets, with means in place of distributions.
    unscaled: Tensor,
}

impl<N: Network> Training<'_, N> {
    /// The loss and the metric over the validation rows, if there are any. The metric is the one that is
    /// watched, or the usual one.
    pub(super) fn evaluate(&self, run: &Run<'_>, epoch: usize) -> Result<Option<(f64, f64)>> {
        let needed = !matches!(self.phase, Phase::Again { target: None, .. });
        if run.valid_rows().is_empty() || !needed {
            return Ok(None);
        }
        let mut meter = EpochMeter::new(run.task());
        let watched = self.watched.as_ref();
        let kind_of_targets = run.kind_of_targets();
        let watched =
            watched.map(|metric| ValidationRows::new(metric, self.kind, kind_of_targets, &self.scalings));
        let mut watched = watched.transpose()?;
        let most = match self.members.count {
            1 => EVALUATION_BATCH,
            count => (EVALUATION_BATCH / count).max(FEWEST_ROWS),
        };
        for (rows, batch) in run.validation_batches(run.evaluation_rows(most)) {
            let flattened = FlatTargets::flattened_some(batch?, run.positions())?;
            // Rows that do not count have no mean loss.
            let Some((batch, flat)) =
                flattened.filter(|(batch, _)| weight(batch).map_or(true, |sum| sum != 0.))
            else {
                continue;
            };
            let seen = self.scaled(&batch)?;
            let evaluated = match self.members.count {
                1 => self.evaluated(run, (rows.len(), flat.as_ref()), &seen)?,
                _ => self.members_evaluated(run, (rows.len(), flat.as_ref()), &seen)?,
            };
            let Evaluated { output, loss, unscaled } = evaluated;
            if loss.is_nan() {
                let when = format!("in the validation after epoch {epoch}");
                check_data(run, &batch, &rows, &when)?;
                let cause =
                    "the weights and the rows are finite, so the network's output in evaluation mode \
                             is not, or its loss is beyond the range of its type";
                return Err(run.not_finite("the validation loss".into(), loss, &when, cause));
            }
            meter.add(loss, &unscaled, &batch)?;
            if let Some(watched) = &mut watched {
                watched.add(&output, &unscaled, &batch)?;
            }
        }
        let (loss, metric) = meter.finish().ok_or_else(|| no_weight("validation"))?;
        let metric = watched.map_or(Ok(metric), |watched| watched.finish(run, epoch))?;
        Ok(Some((loss, metric)))
    }

    /// What a network of one member predicts for a batch, whose positions are its rows where rows have several.
    fn evaluated(
        &self,
        run: &Run<'_>,
        (rows, flat): (usize, Option<&FlatTargets>),
        seen: &Batch,
    ) -> Result<Evaluated> {
        let output = self.network().run(&seen.inputs, false)?.detach();
        check_output_at(&output, run.kind_of_targets(), rows, self.kind)?;
        let output = match flat {
            Some(flat) => Layout::flat_output(&output, run.kind_of_targets(), flat)?,
            None => output,
        };
        self.loss_of_output(run, output, seen)
    }

    /// What several members predict together: the loss is that of their prediction, and of distributions of values, whose mean
    /// is no output of the same kind, the mean of the members' losses.
    fn members_evaluated(
        &self,
        run: &Run<'_>,
        (rows, flat): (usize, Option<&FlatTargets>),
        seen: &Batch,
    ) -> Result<Evaluated> {
        let count = self.members.count;
        let outputs = self.outputs_of_members(run, (rows, flat), &seen.inputs)?;
        let aggregation = self.config.joint_loss.aggregation();
        if let Some(output) = aggregation.output((self.kind, run.task()), &outputs, count)? {
            return self.loss_of_output(run, output, seen);
        }
        let all = Spread::shared(count, seen.targets.dim(0)?).counted(seen.clone())?;
        let loss = scalar(&self.mean_loss(run, &outputs, &all)?)?;
        let mean = mean_of_members(&self.kind.values(&outputs)?, count)?;
        Ok(Evaluated { unscaled: self.scalings.unscale_outputs(&mean)?, output: outputs, loss })
    }

    /// The outputs of all members, `(M·B, …)`.
    fn outputs_of_members(
        &self,
        run: &Run<'_>,
        (rows, flat): (usize, Option<&FlatTargets>),
        inputs: &Inputs,
    ) -> Result<Tensor> {
        let count = self.members.count;
        let outputs = self.network().run_members(inputs)?.detach();
        check_output_at(&outputs, run.kind_of_targets(), count * rows, self.kind)?;
        let Some(flat) = flat else { return Ok(outputs) };
        let of_member = |member: usize| {
            let output = outputs.narrow(0, member * rows, rows)?;
            Layout::flat_output(&output, run.kind_of_targets(), flat)
        };
        let flat = (0..count).map(of_member).collect::<candle_core::Result<Vec<_>>>()?;
        Ok(Tensor::cat(&flat, 0)?)
    }

    fn loss_of_output(&self, run: &Run<'_>, output: Tensor, seen: &Batch) -> Result<Evaluated> {
        let loss = scalar(&self.mean_loss(run, &output, seen)?)?;
        let unscaled = self.unscaled(&output)?;
        Ok(Evaluated { output, loss, unscaled })
    }
}
