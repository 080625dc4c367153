//! A network's architecture, apart from its weights.
use crate::{
    data::{passes, Dataset, FittedScalings, Inputs, Task},
    metrics::{nll, rmse, MetricList},
    network::{Output, Scale},
    plan::Settings,
    predictions::{
        passes::{Passes, Source},
        workers::{Build, Workers},
    },
    store::Record,
    threads,
    train::Learner,
    weights::{self, number_of_parameters, strict::builder, InitScheme, Vars, Weights},
    Error, Network, Result, Seed,
};
use candle_core::{DType, Device, Result as CandleResult, Tensor};
use candle_nn::VarBuilder;

/// An architecture of a learner that runs any weights that fit it.
///
/// Alignment, loss barriers and batch-norm statistics are computed through a model.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::TensorDataset, merge::Model, train::Trainer, weights::Weights};
/// use candle_nn::linear;
///
/// let x = Tensor::new(&[[0f32, 1.], [1., 0.]], &Device::Cpu)?;
/// let data = TensorDataset::classification(&x, &Tensor::new(&[0u32, 1], &Device::Cpu)?)?;
/// let trainer = Trainer::new(|vb| linear(2, 2, vb));
/// let model = Model::new(&trainer)?;
/// let zero = Weights::from([
///     ("weight".to_string(), Tensor::zeros((2, 2), candle_core::DType::F32, &Device::Cpu)?),
///     ("bias".to_string(), Tensor::zeros(2, candle_core::DType::F32, &Device::Cpu)?),
/// ]);
/// assert!((model.loss(&zero, &data, &[0, 1])? - 2f64.ln()).abs() < 1e-6);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Debug)]
pub struct Model<'a, L> {
    learner: &'a L,
    architecture: String,
    settings: Settings,
    features: Option<Vec<u32>>,
    scaling: FittedScalings,
    device: Device,
    batch_rows: usize,
    threads: Option<usize>,
}

impl<L> Clone for Model<'_, L> {
    fn clone(&self) -> Self {
        Self {
            learner: self.learner,
            architecture: self.architecture.clone(),
            settings: self.settings.clone(),
            features: self.features.clone(),
            scaling: self.scaling.clone(),
            device: self.device.clone(),
            batch_rows: self.batch_rows,
            threads: self.threads,
        }
    }
}

impl<'a, L: Learner> Model<'a, L> {
    /// The learner's first architecture, with the learner's own settings, on the CPU. Weights that were trained on
    /// scaled data need [`Model::of`], or their [`scaling`](Self::scaling).
    ///
    /// # Errors
    /// When the learner has no architecture.
    pub fn new(learner: &'a L) -> Result<Self> {
        let architecture = learner.architectures().into_iter().next();
        let architecture = architecture
            .ok_or_else(|| Error::invalid("the number of the learner's architectures", "at least 1", 0))?;
        Ok(Self {
            learner,
            architecture,
            settings: Settings::new(),
            features: None,
            scaling: FittedScalings::default(),
            device: Device::Cpu,
            batch_rows: 256,
            threads: None,
        })
    }

    /// The architecture, settings, features and scalings of a member, on the CPU.
    #[must_use]
    pub fn of(learner: &'a L, record: &Record) -> Self {
        Self {
            learner,
            architecture: record.architecture.clone(),
            settings: record.settings.clone(),
            features: record.features.clone(),
            scaling: record.scaling.clone(),
            device: Device::Cpu,
            batch_rows: 256,
            threads: None,
        }
    }

    /// Another architecture of the learner, by its name.
    #[must_use]
    pub fn architecture(mut self, name: &str) -> Self {
        self.architecture = name.into();
        self
    }

    /// The settings that differ from the learner's own.
    #[must_use]
    pub fn settings(mut self, settings: &Settings) -> Self {
        self.settings = settings.clone();
        self
    }

    /// The scalings of inputs and targets that the weights were trained with
    /// ([`Record::scaling`](crate::store::Record::scaling)). [`Model::of`] takes them from the record.
    #[must_use]
    pub fn scaling(mut self, scaling: &FittedScalings) -> Self {
        self.scaling = scaling.clone();
        self
    }

    /// The device that the model computes on; the CPU by default.
    #[must_use]
    pub fn device(mut self, device: &Device) -> Self {
        self.device = device.clone();
        self
    }

    /// The number of rows of a forward pass, at least 2; 256 by default. If one row were left for the last
    /// pass, it joins the pass before.
    #[must_use]
    pub fn batch_rows(mut self, rows: usize) -> Self {
        self.batch_rows = rows.max(2);
        self
    }

    /// Sets how many threads share the passes over rows, at least 1, in [`loss`](Self::loss),
    /// [`loss_tensor`](Self::loss_tensor) and [`re_estimate`](crate::merge::re_estimate()). The default is one for
    /// each core; it is one where candle's kernels use all cores themselves
    /// ([`one_core_per_member`](crate::threads::one_core_per_member) was not called), on a device other than the
    /// CPU, and on a thread of a rayon pool. Each thread builds the network once more. The results are the same to
    /// the bit, unless the network remembers more than its variables hold.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads.max(1));
        self
    }

    /// The mean loss over `rows` in evaluation mode: the negative log-likelihood in nats for classes, the
    /// squared error for values. Rows count by the weights of the data set; of rows with several positions it is the mean
    /// over all positions that have a class.
    ///
    /// # Errors
    /// [`Error::Incompatible`] when the weights do not fit the network (the differences are listed). When
    /// there are no rows, a row is out of range, or an output is NaN.
    pub fn loss(&self, weights: &Weights, data: &dyn Dataset, rows: &[u32]) -> Result<f64> {
        if rows.is_empty() {
            return Err(Error::invalid("the number of rows", "at least 1", 0));
        }
        let (_, live) = self.live(weights)?;
        let (output, kind) = (self.learner.output(), (data.task(), data.positions()));
        let predict = |live: &Live<L::Network>, inputs: &Inputs| {
            Ok(output.prediction_at(&live.run(inputs, false)?, kind, Scale::Probability)?.detach())
        };
        if !data.positions().is_one() {
            return self.loss_of_positions(weights, (data, rows), &live, predict);
        }
        let (mut predicted, mut targets, mut counts) = (vec![], vec![], vec![]);
        // A NaN is an error of the metric.
        let passes = Passes::new(Source::Rows(data, rows), self.batch_rows, &self.device).allow_nan(true);
        passes.spread(&self.workers(&live, weights), predict, |pass, of_pass| {
            let Some(flat) = pass.positions(data.positions())? else { return Ok(()) };
            match &flat.weights {
                Some(weights) => counts.extend(weights.to_dtype(DType::F64)?.to_vec1::<f64>()?),
                None => counts.resize(counts.len() + flat.targets.dim(0)?, 1.),
            }
            predicted.push(flat.kept_of(of_pass)?);
            targets.push(flat.targets);
            Ok(())
        })?;
        let (predicted, targets) = (Tensor::cat(&predicted, 0)?, Tensor::cat(&targets, 0)?);
        match data.task() {
            Task::Classification { .. } => nll(&predicted, &targets.to_vec1::<u32>()?, Some(&counts)),
            Task::Regression { .. } => {
                Ok(rmse(&predicted, &targets.reshape(predicted.shape())?, Some(&counts))?.powi(2))
            }
        }
    }

    /// The negative log-likelihood of all positions of these rows that have a class, of which no more than those of a pass
    /// are held.
    fn loss_of_positions(
        &self,
        weights: &Weights,
        (data, rows): (&dyn Dataset, &[u32]),
        live: &Live<L::Network>,
        predict: impl Fn(&Live<L::Network>, &Inputs) -> CandleResult<Tensor> + Sync,
    ) -> Result<f64> {
        let nll = MetricList::parse("nll")?;
        let mut loss = nll.class_parts();
        let passes = Passes::new(Source::Rows(data, rows), self.batch_rows, &self.device).allow_nan(true);
        passes.spread(&self.workers(live, weights), predict, |pass, of_pass| {
            let Some(flat) = pass.positions(data.positions())? else { return Ok(()) };
            let counts = flat.weights.as_ref().map(|weights| weights.to_dtype(DType::F64)?.to_vec1::<f64>());
            loss.add(&flat.kept_of(of_pass)?, &flat.targets.to_vec1::<u32>()?, counts.transpose()?.as_deref())
        })?;
        Ok(loss.finish()?.first().copied().unwrap_or(f64::NAN))
    }

    /// The network's output in evaluation mode, `(B, …)` for `B` rows, in one pass; of a distribution the mean.
    ///
    /// # Errors
    /// [`Error::Incompatible`] when the weights do not fit the network. When the inputs do not fit it.
    pub fn output(&self, weights: &Weights, inputs: impl Into<Inputs>) -> Result<Tensor> {
        let inputs = inputs.into().to_device(&self.device)?;
        Ok(self.live(weights)?.1.run(&inputs, false)?.detach())
    }

    /// The rows, divided into passes.
    pub(crate) fn passes<'r>(&self, rows: &'r [u32]) -> Result<Vec<&'r [u32]>> {
        passes(rows, self.batch_rows)
    }

    /// The device that the model computes on.
    pub(crate) fn target_device(&self) -> &Device {
        &self.device
    }

    /// How many threads share passes over this number of rows.
    pub(crate) fn threads_for(&self, weights: &Weights, rows: usize) -> usize {
        match self.device {
            Device::Cpu => {
                let work = number_of_parameters(weights).saturating_mul(rows);
                threads::for_passes(self.threads, work)
            }
            _ => 1,
        }
    }

    /// A network that predicts, and what builds it once more on other threads, from the same weights.
    fn workers<'w>(
        &'w self,
        live: &'w Live<L::Network>,
        weights: &'w Weights,
    ) -> Workers<'w, Live<L::Network>> {
        let build: Build<'w, _> = Box::new(move || Ok(self.of_tensors(weights)?.0));
        let build = Some(build).filter(|_| self.device.is_cpu());
        Workers::new(live, build, number_of_parameters(weights)).threads(self.threads)
    }

    /// A network of these tensors, which it shares, and the names of those that it does not have.
    pub(super) fn of_tensors(&self, tensors: &Weights) -> CandleResult<(Live<L::Network>, Vec<String>)> {
        let (vb, unread) = builder(tensors, self.learner.dtype(), &self.device);
        Ok((self.build(vb)?, unread.names()))
    }

    /// The name of the architecture.
    pub(super) fn name(&self) -> &str {
        &self.architecture
    }

    /// What the network outputs for classes.
    pub(super) fn output_kind(&self) -> Output {
        self.learner.output()
    }

    /// The type of the weights.
    pub(super) fn dtype(&self) -> DType {
        self.learner.dtype()
    }

    /// The number of rows of a forward pass.
    pub(super) fn pass_rows(&self) -> usize {
        self.batch_rows
    }

    /// A network whose variables hold `weights`, with the variables.
    pub(crate) fn live(&self, weights: &Weights) -> Result<(Vars, Live<L::Network>)> {
        let (vars, live) = self.fresh()?;
        vars.load(weights)?;
        Ok((vars, live))
    }

    /// A network with the weights that its constructor gives it, with its variables.
    pub(crate) fn fresh(&self) -> Result<(Vars, Live<L::Network>)> {
        let (vars, vb) =
            weights::fresh(Seed::from(0), InitScheme::AsDeclared, self.learner.dtype(), &self.device);
        Ok((vars, self.build(vb)?))
    }

    fn build(&self, vb: VarBuilder<'static>) -> CandleResult<Live<L::Network>> {
        let network = self.learner.build(&self.architecture, &self.settings, vb)?;
        let (features, scaling, output) =
            (self.features.clone(), self.scaling.clone(), self.learner.output());
        Ok(Live { network, features, scaling, output })
    }
}

/// A network that scales its inputs and outputs.
pub(crate) struct Live<N> {
    network: N,
    features: Option<Vec<u32>>,
    scaling: FittedScalings,
    output: Output,
}

impl<N: Network> Live<N> {
    pub(crate) fn run(&self, inputs: &Inputs, train: bool) -> CandleResult<Tensor> {
        self.scaling.unscale_outputs(&self.output.values(&self.run_scaled(&self.scaled(inputs)?, train)?)?)
    }

    /// The inputs as the network gets them: its columns, scaled.
    pub(crate) fn scaled(&self, inputs: &Inputs) -> CandleResult<Inputs> {
        self.scaling.scale_inputs(&inputs.columns(self.features.as_deref())?)
    }

    /// The network alone.
    pub(crate) fn run_scaled(&self, inputs: &Inputs, train: bool) -> CandleResult<Tensor> {
        self.network.run(inputs, train)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{data::TensorDataset, train::Trainer};
    use candle_nn::linear;

    fn weights(w: &[[f32; 2]], b: &[f32]) -> Weights {
        let w = Tensor::from_slice(w.as_flattened(), (w.len(), 2), &Device::Cpu).unwrap();
        let b = Tensor::new(b, &Device::Cpu).unwrap();
        Weights::from([("weight".into(), w), ("bias".into(), b)])
    }

    #[test]
    fn the_loss_does_not_depend_on_passes_and_counts_row_weights() {
        // y = x₀ − x₁ against 0: errors 1, −2, 3, squared 1, 4, 9.
        let x = Tensor::new(&[[1f32, 0.], [0., 2.], [4., 1.]], &Device::Cpu).unwrap();
        let data =
            TensorDataset::regression(&x, &Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap()).unwrap();
        let weighted = data.clone().with_weights(vec![1., 1., 2.]).unwrap();
        let trainer = Trainer::new(|vb| linear(2, 1, vb));
        let line = weights(&[[1., -1.]], &[0.]);
        for rows in [2, 3, 10] {
            let model = Model::new(&trainer).unwrap().batch_rows(rows);
            assert!((model.loss(&line, &data, &[0, 1, 2]).unwrap() - 14. / 3.).abs() < 1e-6);
            assert!((model.loss(&line, &weighted, &[0, 1, 2]).unwrap() - 23. / 4.).abs() < 1e-6);
            assert!((model.loss(&line, &data, &[2, 2]).unwrap() - 9.).abs() < 1e-6);
        }
        let model = Model::new(&trainer).unwrap();
        for (data, expected) in [(&data, 14. / 3.), (&weighted, 23. / 4.)] {
            let tensor = model.loss_tensor(&line, data, &[0, 1, 2]).unwrap();
            assert!((tensor.to_scalar::<f32>().unwrap() - expected).abs() < 1e-6);
        }
        assert!(model.loss(&line, &data, &[]).is_err() && model.loss(&line, &data, &[3]).is_err());
        let e = model.loss(&weights(&[[1., 1.], [1., 1.]], &[0.]), &data, &[0]).unwrap_err().to_string();
        assert!(e.contains("weight is f32 [2, 2] in place of f32 [1, 2]"), "{e}");
    }

    #[test]
    fn the_differentiable_loss_equals_the_loss() {
        let x = Tensor::new(&[[1f32, 0.], [0., 2.], [4., 1.]], &Device::Cpu).unwrap();
        let y = Tensor::new(&[0u32, 1, 1], &Device::Cpu).unwrap();
        let data = TensorDataset::classification(&x, &y).unwrap().with_weights(vec![1., 3., 0.5]).unwrap();
        let two = Trainer::new(|vb| linear(2, 2, vb));
        let one = Trainer::new(|vb| linear(2, 1, vb));
        for (trainer, weights) in
            [(&two, weights(&[[1., -1.], [0.5, 2.]], &[0., 0.3])), (&one, weights(&[[-0.5, 3.]], &[0.3]))]
        {
            let model = Model::new(trainer).unwrap();
            let tracked: Weights = weights
                .iter()
                .map(|(name, t)| {
                    (name.clone(), candle_core::Var::from_tensor(t).unwrap().as_tensor().clone())
                })
                .collect();
            let tensor = model.loss_tensor(&tracked, &data, &[2, 0, 1]).unwrap();
            let loss = model.loss(&weights, &data, &[0, 1, 2]).unwrap();
            assert!((f64::from(tensor.to_scalar::<f32>().unwrap()) - loss).abs() < 1e-6);
            let gradients = tensor.backward().unwrap();
            assert!(tracked.values().all(|tensor| gradients.get(tensor).is_some()));
        }
        let mut odd = weights(&[[1., -1.]], &[0.]);
        odd.insert("more".into(), x.clone());
        let e = Model::new(&one).unwrap().loss_tensor(&odd, &data, &[0]).unwrap_err().to_string();
        assert!(e.contains("has no more"), "{e}");
    }

    #[test]
    fn a_member_reads_its_own_features() {
        let trainer = Trainer::new(|vb| linear(2, 1, vb));
        let record = Record {
            refit: false,
            run: 0,
            index: 0,
            slot: 0,
            architecture: trainer.architectures()[0].clone(),
            settings: Settings::new(),
            features: Some(vec![2, 0]),
            scaling: Default::default(),
            seen: Default::default(),
            in_network: None,
            seen_unknown: false,
            round: None,
            curve: vec![],
            key: String::new(),
        };
        let model = Model::of(&trainer, &record);
        let x = Tensor::new(&[[1f32, 10., 100.]], &Device::Cpu).unwrap();
        let y = model.output(&weights(&[[1., 2.]], &[0.5]), &x).unwrap();
        assert_eq!(y.to_vec2::<f32>().unwrap(), [[102.5]]);
    }
}
