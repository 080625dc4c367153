//! What a step minimises: the loss of the configuration, the user's or a teacher's, and the user's penalties.
use super::{spread::Spread, step::ReadyStep, Training};
use crate::{
    data::{Batch, Dataset, Task},
    network::Output,
    plan::RunSpec,
    train::{
        trainer::{diagnosis::check_data, TrainConfig},
        Distillation, JointLoss, Loss, MixedBatch, Noise, Run,
    },
    Error, Network, Result,
};
use candle_core::{Device, Result as CandleResult, Tensor};

impl<N: Network> Training<'_, N> {
    /// The loss of a batch for its targets: that of one member, or what several members minimise together.
    fn loss(&self, run: &Run<'_>, output: &Tensor, batch: &Batch) -> CandleResult<Tensor> {
        let mean = |output: &Tensor, batch: &Batch| self.mean_loss(run, output, batch);
        self.config.joint_loss.loss((run.task(), self.members.count), (output, batch), mean)
    }

    /// The mean loss of a batch for its targets.
    pub(super) fn mean_loss(&self, run: &Run<'_>, output: &Tensor, batch: &Batch) -> CandleResult<Tensor> {
        match self.custom.mean(self.config, output, batch) {
            Some(mean) => mean,
            None => self.loss_of(run, output).mean(output, &batch.targets, batch.weights.as_ref()),
        }
    }

    /// The mean loss of a step over all targets of its rows, without penalties, from the output for its rows and that for its
    /// positions, which is the same one where rows have one position.
    pub(in crate::train::trainer) fn loss_of_step(
        &self,
        run: &Run<'_>,
        (of_rows, output): (&Tensor, &Tensor),
        step: &ReadyStep,
    ) -> CandleResult<Tensor> {
        let (share, others) = &step.shares;
        if !others.is_empty() {
            let (share, others) = (*share, others.clone());
            let batch = MixedBatch { share, others, ..MixedBatch::from(step.seen.clone()) };
            return batch.loss_of_each(|targets, batch| match targets {
                0 => self.loss(run, output, batch),
                _ => self.loss(run, &step.at_positions(run, of_rows.clone(), targets)?, batch),
            });
        }
        let (Some(distillation), Some(teacher)) = (&self.config.distillation, &step.teacher) else {
            return self.loss(run, output, &step.seen);
        };
        let weights = step.seen.weights.as_ref();
        distillation.loss(run.task(), (output, teacher), weights, |targets| match targets {
            None => self.loss(run, output, &step.seen),
            Some(targets) => self.loss(run, output, &Batch { targets: targets.clone(), ..step.seen.clone() }),
        })
    }

    /// Whether a step minimises a loss of the library for the targets of the batch, without penalties of the user.
    pub(in crate::train::trainer) fn is_plain(&self) -> bool {
        let TrainConfig { custom_loss, custom_penalties, distillation, joint_loss, .. } = self.config;
        let is_of_data = custom_loss.is_none() && distillation.is_none();
        is_of_data && custom_penalties.is_empty() && *joint_loss == JointLoss::MemberMean
    }

    /// The sum of the user's penalties; `None` if there are none.
    pub(in crate::train::trainer) fn penalty(
        &self,
        run: &Run<'_>,
        output: &Tensor,
        step: &ReadyStep,
    ) -> CandleResult<Option<Tensor>> {
        self.custom.penalty(self.config, output, &step.seen, run.vars())
    }

    /// The loss of the library for outputs of this shape.
    pub(in crate::train::trainer) fn loss_of(&self, run: &Run<'_>, output: &Tensor) -> Loss {
        self.config.loss_for(run.task(), self.kind, output)
    }

    /// The batch with the weights of its rows' classes.
    pub(super) fn class_weighted(&self, batch: Batch) -> Result<Batch> {
        let Some(classes) = &self.class_weights else { return Ok(batch) };
        let weights = classes.of_rows(&batch.targets, batch.weights.as_ref())?;
        Ok(Batch { weights: Some(weights), ..batch })
    }

    /// The targets that the network is trained on, and what the teacher predicts. Soft targets are one or the other.
    pub(super) fn with_soft_targets(
        &self,
        run: &Run<'_>,
        batch: &Batch,
        (rows, spread): (&[u32], Option<&Spread>),
        targets: Tensor,
        when: impl Fn() -> String,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let Some(soft) = run.soft_targets(rows)? else { return Ok((targets, None)) };
        if self.first_pass {
            check_data(run, &Batch { targets: soft.clone(), ..batch.clone() }, rows, &when())?;
        }
        let soft = self.scalings.scale_targets(&soft)?;
        let soft = spread.map_or(Ok(soft.clone()), |spread| spread.of(&soft))?;
        Ok(match self.config.distillation {
            Some(_) => (targets, Some(soft)),
            None => (soft, None),
        })
    }

    /// Checks that the loss is defined for the targets and the outputs of a batch.
    pub(super) fn check_fit(&self, run: &Run<'_>, output: &Tensor, step: &ReadyStep) -> Result<()> {
        let rows = &step.output_rows();
        if let (Task::Classification { .. }, Some(teacher)) = (run.task(), &step.teacher) {
            Loss::KlDivergence.check_targets(teacher, rows)?;
        }
        if self.config.custom_loss.is_some() {
            return Ok(());
        }
        let loss = self.loss_of(run, output);
        loss.check_targets(&step.seen.targets, rows)?;
        loss.check_output_values(output, run.task(), self.kind, rows)
    }
}

/// Checks that the configuration and the soft targets of the data go together.
pub(crate) fn check_soft_targets(
    config: &TrainConfig,
    run: &RunSpec,
    data: &dyn Dataset,
    output: Output,
) -> Result<()> {
    let has_soft = match run.train.a_row() {
        None => false,
        Some(row) => data.soft_targets(&[row], &Device::Cpu)?.is_some(),
    };
    if has_soft {
        data.positions().check_one("a training with soft targets")?;
        if config.augment.mix(data.positions()) {
            let must = "without those that mix rows, such as mixup, where the data set has soft targets";
            return Err(Error::invalid("the batch transforms", must, format!("{:?}", config.augment)));
        }
    }
    if config.class_weights.is_some() && config.augment.mix(data.positions()) {
        let must = "without those that mix rows, such as mixup, in a training with class weights";
        return Err(Error::invalid("the batch transforms", must, format!("{:?}", config.augment)));
    }
    let task = data.task();
    match (&config.distillation, has_soft) {
        (Some(_), true) => Distillation::check_output(task, output),
        (Some(_), false) => {
            let must = "one with the predictions of a teacher as soft targets \
                        (TensorDataset::with_soft_targets, Pool::distill) for a training with distillation";
            Err(Error::invalid("the data set", must, "one without"))
        }
        (None, false) => Ok(()),
        (None, true) if config.noise.iter().any(|noise| matches!(noise, Noise::Targets(_))) => {
            let must = "off with soft targets, which take the place of the targets";
            Err(Error::invalid("noise on targets", must, "on"))
        }
        (None, true) => match (task, config.loss, &config.custom_loss) {
            (Task::Regression { .. }, ..) | (_, _, Some(_)) => Ok(()),
            (_, None, None) if output == Output::Logits => Ok(()),
            (_, Some(Loss::CrossEntropy { .. } | Loss::BinaryCrossEntropy | Loss::KlDivergence), _) => Ok(()),
            (_, loss, _) => {
                let must =
                    "Loss::CrossEntropy, Loss::BinaryCrossEntropy or Loss::KlDivergence, for networks with \
                            Output::Logits, where the data set has soft targets";
                let got =
                    loss.map_or_else(|| format!("the default for Output::{output:?}"), |l| format!("{l:?}"));
                Err(Error::invalid("the loss", must, got))
            }
        },
    }
}
