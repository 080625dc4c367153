//! Transforms that a run fits on its training rows, as variables of the network.
use crate::{
    check::require,
    data::Batch,
    train::{run::named_element, Run},
    weights::{finite::first_non_finite, Vars, Weights},
    Error, Result, Seed,
};
use candle_core::{Result as CandleResult, Tensor};
use std::{collections::BTreeSet, fmt, sync::Arc};

type Fit = dyn Fn(&TrainingRows<'_>) -> CandleResult<Weights> + Send + Sync;

/// A transform that is fitted on the training rows of each run, such as a projection on principal components. It is part of
/// the network: its tensors are variables, which the constructor makes and the forward pass uses. The run sets them before
/// the first step, and does not train them.
///
/// ```text
/// θ = fit(training rows of the run),       network(x) = rest(transform(x; θ))
/// ```
///
/// So it belongs to the member. It is saved with its weights and applied in prediction, an ensemble takes the inputs of the
/// data set, and no row that a run does not train on has an effect on it: neither those of another fold nor validation rows.
/// A run that trains again after early stopping ([`Retrain`](crate::train::Retrain)) keeps it.
///
/// Use it for transforms that [`Scaling`](crate::data::Scaling) lacks. For scalings of columns use
/// [`Trainer::input_scaling`](crate::train::Trainer::input_scaling), which also knows when members can be merged: members
/// with transforms of their own rows are different functions of the inputs, so do not average their weights.
///
/// Cost: as many passes over the training rows as the function makes, once for each run.
///
/// # Errors
/// A session fails before it trains, if a name is empty or occurs twice. A run fails before its first step, if the network has
/// no variable of a name, if the function returns tensors of other names or shapes, or numbers that are not finite.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_ensemble::{combine::Mean, data::TensorDataset, nn::seq, strategy::KFold, train::{FitTransform, Trainer}, Session};
/// use candle_nn::{linear, Init};
///
/// // The mean of the inputs, over the rows that the run trains on.
/// let centre = FitTransform::new("centre, 1", ["centre"], |rows| {
///     let (mut sum, mut count) = (Tensor::zeros(2, DType::F32, &Device::Cpu)?, 0);
///     for batch in rows.batches(1000) {
///         let x = batch?.inputs.only()?.clone();
///         (sum, count) = ((sum + x.sum(0)?)?, count + x.dim(0)?);
///     }
///     Ok([("centre".into(), (sum / count as f64)?)].into())
/// });
/// let trainer = Trainer::new(|vb| {
///     let centre = vb.get_with_hints(2, "centre", Init::Const(0.))?;
///     Ok(seq().add_fn(move |x| x.broadcast_sub(&centre)).add(linear(2, 1, vb.pp("out"))?))
/// });
/// let trainer = trainer.fit_transform(centre).epochs(2);
///
/// let x = Tensor::arange(0f32, 40., &Device::Cpu)?.reshape((20, 2))?;
/// let data = TensorDataset::regression(&x, &x.sum(1)?)?;
/// let session = Session::new(&trainer, &data);
/// let plan = session.plan(&KFold::new(4), 1)?;
/// let pool = session.train(&plan)?;
/// let rows = Tensor::new(plan.runs[0].train.to_vec()?, &Device::Cpu)?;
/// let mean = x.index_select(&rows, 0)?.mean(0)?.to_vec1::<f32>()?;
/// assert_eq!(pool.members()[0].weights["centre"].to_vec1::<f32>()?, mean);
/// assert_eq!(pool.combine(&Mean)?.predict(&x)?.dims(), [20, 1]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone)]
pub struct FitTransform {
    name: String,
    variables: Vec<String>,
    fit: Arc<Fit>,
}

impl fmt::Debug for FitTransform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FitTransform")
            .field("name", &self.name)
            .field("variables", &self.variables)
            .finish_non_exhaustive()
    }
}

impl FitTransform {
    /// A transform whose tensors are the variables of these names. `fit` returns them for the training rows of a run. The name
    /// is part of the trainer's tag: change it, as by a version, when the function does something else.
    pub fn new<S: Into<String>>(
        name: impl Into<String>,
        variables: impl IntoIterator<Item = S>,
        fit: impl Fn(&TrainingRows<'_>) -> CandleResult<Weights> + Send + Sync + 'static,
    ) -> Self {
        let variables = variables.into_iter().map(Into::into).collect();
        Self { name: name.into(), variables, fit: Arc::new(fit) }
    }

    /// The tensors for the rows of a run, checked, in the types of the variables.
    fn fitted(&self, rows: &TrainingRows<'_>, vars: &Vars) -> Result<Vec<(String, Tensor)>> {
        let tensors = (self.fit)(rows)?;
        let names = |names: &mut dyn Iterator<Item = &String>| names.cloned().collect::<BTreeSet<_>>();
        let [must, got] = [names(&mut self.variables.iter()), names(&mut tensors.keys())];
        if got != must {
            return Err(Error::invalid(self.what("the tensors"), format!("{must:?}"), format!("{got:?}")));
        }
        let all = vars.named();
        let checked = |(name, tensor): (String, Tensor)| {
            let what = || self.what(&format!("`{name}`"));
            let Some((_, var)) = all.iter().find(|(known, _)| *known == name) else {
                return Err(Error::invalid(what(), "a variable of the network", "none"));
            };
            if tensor.dims() != var.dims() {
                let must = format!("of shape {:?}, as the variable is", var.dims());
                return Err(Error::invalid(what(), must, format!("{:?}", tensor.dims())));
            }
            let tensor = tensor.detach().to_dtype(var.dtype())?;
            if let Some(found) = first_non_finite(&tensor)? {
                let what = self.what(&named_element(&name, &found));
                require(false, &what, "finite", found.value)?;
            }
            Ok((name, tensor))
        };
        tensors.into_iter().map(checked).collect()
    }

    fn what(&self, of: &str) -> String {
        format!("{of} that the transform {:?} fits", self.name)
    }
}

/// The training rows of a run, on which a [`FitTransform`] is fitted.
#[allow(missing_debug_implementations)] // a data set need not be Debug
pub struct TrainingRows<'r> {
    rows: &'r [u32],
    read: &'r dyn Fn(&[u32]) -> Result<Batch>,
    seed: Seed,
}

impl TrainingRows<'_> {
    /// The number of rows; one that is drawn twice counts twice.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // a run has at least one row
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The rows in batches of `size`, at least 1, in the order of the plan, as the network gets them: with the features of the
    /// run, and scaled where the trainer scales. They are read anew in each call.
    pub fn batches(&self, size: usize) -> impl Iterator<Item = CandleResult<Batch>> + '_ {
        self.rows.chunks(size.max(1)).map(|rows| Ok((self.read)(rows)?))
    }

    /// A seed for random draws, which depends on the run.
    #[must_use]
    pub fn seed(&self) -> Seed {
        self.seed
    }
}

/// The fitted transforms of a trainer.
#[derive(Clone, Debug, Default)]
pub(crate) struct FitTransforms(Vec<FitTransform>);

impl FitTransforms {
    pub(crate) fn add(&mut self, transform: FitTransform) {
        self.0.push(transform);
    }

    /// The names, for the tag of a trainer.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.0.iter().map(|transform| transform.name.as_str()).collect()
    }

    /// The names of all their variables.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &String> {
        self.0.iter().flat_map(|transform| &transform.variables)
    }

    /// Checks that names and variables occur once each.
    pub(crate) fn check(&self) -> Result<()> {
        let once = |what: &str, all: Vec<&str>| {
            let mut seen = BTreeSet::new();
            match all.into_iter().find(|name| name.is_empty() || !seen.insert(*name)) {
                None => Ok(()),
                Some("") => Err(Error::invalid(what, "texts", "empty")),
                Some(name) => Err(Error::invalid(what, "distinct", format!("{name:?} twice"))),
            }
        };
        once("the names of fitted transforms", self.names())?;
        once("the variables of fitted transforms", self.variables().map(String::as_str).collect())
    }

    /// Fits all on the training rows of the run, and sets their variables.
    pub(crate) fn fit(&self, run: &Run<'_>) -> Result<()> {
        let (batch, scaling) = (run.reader(), run.scaling());
        let read = |rows: &[u32]| -> Result<Batch> {
            let batch = batch(rows)?;
            let inputs = scaling.scale_inputs(&batch.inputs)?;
            Ok(Batch { inputs, targets: scaling.scale_targets(&batch.targets)?, ..batch })
        };
        for (index, transform) in (0..).zip(&self.0) {
            let seed = run.seed("fit").nth("transform", index);
            let rows = TrainingRows { rows: run.train_rows(), read: &read, seed };
            let mut weights = run.vars().snapshot()?;
            weights.extend(transform.fitted(&rows, run.vars())?);
            run.vars().load(&weights)?;
        }
        Ok(())
    }
}
