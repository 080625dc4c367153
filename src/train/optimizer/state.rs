//! Applying an optimizer to variables, and saving its state.
use crate::{
    check::non_negative,
    train::{
        clip::norm,
        groups::Place,
        loss_scale::LossScaling,
        optimizer::{
            each,
            rule::{UpdateRule, MAX_MOMENTS},
            saved::{foreign, SavedOptimizer},
            variable::{begin, Moments, Variable},
        },
        Clip, Optimizer,
    },
    weights::finite::first_non_finite,
    Error, Result,
};
use candle_core::{backprop::GradStore, DType, Result as CResult, Tensor, Var};
use std::collections::HashSet;

/// An optimizer, the variables that it updates, and its moments of their gradients.
///
/// Each variable has its own count of steps, as in PyTorch. A step does not change a variable that has no
/// gradient.
///
/// # Half precision
/// A variable in `f16` or `bf16` has its weights a second time in `f32`. A step updates these, with moments in
/// `f32`, and rounds them into the variable. So updates that are smaller than the spacing of the variable's
/// type, which is 1/256 of its size or more in `bf16`, add up instead of vanishing. A weight of the variable
/// that something else has changed since the last step continues from its new value. It costs 4 bytes more for
/// each weight, in memory and in checkpoints ([`SavedOptimizer`]).
///
/// Source: Micikevicius et al. 2018, arXiv:1710.03740, section 3.1.
///
/// [`Trainer`](crate::train::Trainer) uses it; use it in a training loop of your own where a candle optimizer
/// lacks clipping or cannot be saved.
///
/// ```
/// use candle_core::{Device, Var};
/// use candle_ensemble::train::{Clip, Optimizer, OptimizerState};
///
/// // Minimise (w − 3)².
/// let w = Var::new(0f32, &Device::Cpu)?;
/// let optimizer = Optimizer::adam(0.1);
/// let mut state = OptimizerState::new(&optimizer, vec![("w".into(), w.clone())])?;
/// for _ in 0..200 {
///     let gradients = (w.as_tensor() - 3.0)?.sqr()?.backward()?;
///     state.step(&gradients, optimizer.learning_rate(), &Clip::None)?;
/// }
/// assert!((w.to_scalar::<f32>()? - 3.0).abs() < 0.01);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Debug)]
pub struct OptimizerState {
    optimizer: Optimizer,
    /// The same without weight decay, and with those of groups.
    others: Vec<Optimizer>,
    variables: Vec<Variable>,
}

/// The place, among the other optimizers, of that without weight decay.
const WITHOUT_DECAY: usize = 0;

impl OptimizerState {
    /// A new state for the floating-point variables among `vars`, in any order. A variable with several names
    /// is updated once, under the first of them.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a parameter is out of range ([`Optimizer::check`]), if a name occurs twice, or
    /// if there is no floating-point variable.
    pub fn new(optimizer: &Optimizer, vars: Vec<(String, Var)>) -> Result<Self> {
        Self::with_moments(optimizer, vars, |var| (var.dtype(), var.device().is_cpu()))
    }

    /// The same with a choice, for each variable, of the type of its moments and of updates in place.
    pub(crate) fn with_moments(
        optimizer: &Optimizer,
        mut vars: Vec<(String, Var)>,
        kind: impl Fn(&Var) -> (DType, bool),
    ) -> Result<Self> {
        optimizer.check()?;
        vars.retain(|(_, var)| var.dtype().is_float());
        vars.sort_by(|(a, _), (b, _)| a.cmp(b));
        if let Some(pair) = vars.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(Error::invalid(
                "the names of the variables",
                "distinct",
                format!("`{}` twice", pair[0].0),
            ));
        }
        let mut seen = HashSet::new();
        vars.retain(|(_, var)| seen.insert(var.id()));
        if vars.is_empty() {
            return Err(Error::invalid("the variables", "at least one of a floating-point type", "none"));
        }
        let (names, initial) = (moment_names(optimizer), initial(optimizer));
        let fresh = |(name, var): (String, Var)| {
            let moments = match kind(&var) {
                (DType::F32, true) => Moments::F32(begin(&names, initial, &var)),
                (DType::F64, true) => Moments::F64(begin(&names, initial, &var)),
                _ => Moments::tensors(&names, initial, &var)?,
            };
            Ok(Variable { name, var, decays: true, group: 0, factor: 1., other: None, count: 0, moments })
        };
        let variables = vars.into_iter().map(fresh).collect::<Result<_>>()?;
        Ok(Self { optimizer: optimizer.clone(), others: vec![with_decay(optimizer, 0.)], variables })
    }

    /// Restricts weight decay to the variables for which `decays`, given the name and the variable, is true.
    /// Without it, weight decay acts on all variables, as in PyTorch.
    ///
    /// Use it to leave out biases and the gains of normalizations, as is common. It costs nothing.
    ///
    /// ```
    /// use candle_core::{DType, Device, Var};
    /// use candle_ensemble::train::{Clip, OptimizerState, Sgd};
    ///
    /// let kernel = Var::ones((2, 2), DType::F32, &Device::Cpu)?;
    /// let bias = Var::ones(2, DType::F32, &Device::Cpu)?;
    /// let vars = vec![("weight".into(), kernel.clone()), ("bias".into(), bias.clone())];
    /// let optimizer = Sgd::new(0.5).weight_decay(0.5).into();
    /// let mut state = OptimizerState::new(&optimizer, vars)?.decay_only(|_, var| var.rank() > 1);
    /// let gradients = (kernel.sum_all()? + bias.sum_all()?)?.backward()?;
    /// state.step(&gradients, 0.5, &Clip::None)?;
    /// assert_eq!(bias.to_vec1::<f32>()?, [0.5, 0.5]);
    /// assert_eq!(kernel.to_vec2::<f32>()?, [[0.25, 0.25], [0.25, 0.25]]);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn decay_only(mut self, decays: impl Fn(&str, &Var) -> bool) -> Self {
        for variable in &mut self.variables {
            variable.decays = decays(&variable.name, &variable.var);
        }
        self
    }

    /// Puts each variable in its place, by its name: the group whose learning rate it has, the factor on that, and its
    /// weight decay, if it decays.
    pub(crate) fn in_places(mut self, place: impl Fn(&str) -> Option<Place>) -> Self {
        for variable in &mut self.variables {
            let Some(Place { group, factor, weight_decay }) = place(&variable.name) else { continue };
            (variable.group, variable.factor) = (group, factor);
            if let Some(decay) = weight_decay {
                let other = with_decay(&self.optimizer, decay);
                let known = self.others.iter().position(|known| *known == other);
                variable.other = Some(known.unwrap_or_else(|| {
                    self.others.push(other);
                    self.others.len() - 1
                }));
            }
        }
        self
    }

    /// The variables that are updated and their names, sorted by name.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.variables.iter().map(|v| (v.name.as_str(), &v.var))
    }

    /// The Euclidean norm of the gradients of all variables together, before clipping.
    ///
    /// # Errors
    /// When candle fails.
    pub fn gradient_norm(&self, gradients: &GradStore) -> CResult<f64> {
        norm(self.with_gradients(gradients).map(|(_, _, gradient)| gradient))
    }

    /// The Euclidean norm of the gradient of each variable that has one, with the variable's name, before
    /// clipping. Sorted by name.
    ///
    /// # Errors
    /// When candle fails.
    pub fn gradient_norms(&self, gradients: &GradStore) -> CResult<Vec<(&str, f64)>> {
        let gradients = self.variables.iter().map(|v| (v.name.as_str(), gradients.get(&v.var)));
        let norms = gradients.filter_map(|(name, gradient)| Some((name, norm([gradient?].into_iter()))));
        norms.map(|(name, norm)| Ok((name, norm?))).collect()
    }

    /// The variables that have a gradient, and their gradients.
    fn with_gradients<'a>(
        &'a self,
        gradients: &'a GradStore,
    ) -> impl Iterator<Item = (&'a str, &'a Tensor, &'a Tensor)> {
        self.variables
            .iter()
            .filter_map(|v| gradients.get(&v.var).map(|gradient| (&*v.name, v.var.as_tensor(), gradient)))
    }

    /// Updates every variable that has a gradient.
    ///
    /// # Errors
    /// If the learning rate is negative or not finite, or the gradients cannot be clipped; nothing is changed
    /// then. Also if a gradient has another shape than its variable.
    pub fn step(&mut self, gradients: &GradStore, learning_rate: f64, clip: &Clip) -> CResult<()> {
        self.step_by(gradients, &[learning_rate], clip)
    }

    /// The same with the learning rates of the groups of variables, after that of the variables of no group.
    pub(crate) fn step_by(&mut self, gradients: &GradStore, rates: &[f64], clip: &Clip) -> CResult<()> {
        self.step_times(1.0, gradients, rates, clip)
    }

    /// Updates every variable that has a gradient, with the gradients of a loss that was
    /// [scaled](LossScaling::scale): they are divided by the scale before they are clipped. If the scale is
    /// [dynamic](crate::train::LossScale::Dynamic) and a gradient is not finite, it changes nothing but the
    /// scale, and returns `false`.
    ///
    /// The division is part of the update and costs nothing; the search for numbers that are not finite reads
    /// all gradients once more.
    ///
    /// # Errors
    /// As [`step`](Self::step). Also if gradients are not finite at the smallest scale.
    pub fn step_scaled(
        &mut self,
        gradients: &GradStore,
        learning_rate: f64,
        clip: &Clip,
        scaling: &mut LossScaling,
    ) -> CResult<bool> {
        self.step_scaled_by(gradients, &[learning_rate], clip, scaling)
    }

    /// The same with the learning rates of the groups of variables, after that of the variables of no group.
    pub(crate) fn step_scaled_by(
        &mut self,
        gradients: &GradStore,
        rates: &[f64],
        clip: &Clip,
        scaling: &mut LossScaling,
    ) -> CResult<bool> {
        let finite = !scaling.is_dynamic() || self.are_finite(gradients)?;
        if finite {
            self.step_times(1.0 / scaling.factor(), gradients, rates, clip)?;
        }
        scaling.after_step(finite)?;
        Ok(finite)
    }

    /// Updates every variable that has a gradient, with `factor` times the gradient.
    fn step_times(&mut self, factor: f64, gradients: &GradStore, rates: &[f64], clip: &Clip) -> CResult<()> {
        rates.iter().try_for_each(|rate| non_negative("the learning rate", *rate))?;
        let clipping = match clip.clipping(self.with_gradients(gradients), factor) {
            Ok(clipping) => clipping,
            Err(e) => return Err(self.gradient_error(gradients)?.map_or(e, Into::into)),
        };
        let Self { optimizer, others, variables } = self;
        let with_gradients = variables.iter_mut().filter_map(|v| gradients.get(&v.var).map(|g| (v, g)));
        for (index, (variable, gradient)) in with_gradients.enumerate() {
            let (limits, clipped) = clipping.of(index, gradient)?;
            let gradient = clipped.as_ref().unwrap_or(gradient);
            let other = if variable.decays { variable.other } else { Some(WITHOUT_DECAY) };
            let optimizer = other.and_then(|at| others.get(at)).unwrap_or(optimizer);
            let rate = rates.get(variable.group).or(rates.first()).copied().unwrap_or(0.) * variable.factor;
            each!(optimizer, o => variable.step(o, gradient, rate, limits))?;
        }
        Ok(())
    }

    /// Whether all gradients are finite.
    fn are_finite(&self, gradients: &GradStore) -> Result<bool> {
        for (_, _, gradient) in self.with_gradients(gradients) {
            if first_non_finite(gradient)?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The error that names the first gradient that is not finite, if there is one.
    fn gradient_error(&self, gradients: &GradStore) -> Result<Option<Error>> {
        for variable in &self.variables {
            let Some(gradient) = gradients.get(&variable.var) else { continue };
            if let Some(found) = first_non_finite(gradient)? {
                let what = format!("the gradient of `{}`{:?}", variable.name, found.position);
                return Ok(Some(Error::invalid(what, "finite to be clipped by its norm", found.value)));
            }
        }
        Ok(None)
    }

    /// The moments and the counts of steps, as data. The values of the variables are not included.
    ///
    /// # Errors
    /// When candle fails to copy moments from a device.
    pub fn save(&self) -> Result<SavedOptimizer> {
        let names = moment_names(&self.optimizer);
        let save = |v: &Variable| Ok((v.name.clone(), v.save(&names)?));
        Ok(SavedOptimizer { variables: self.variables.iter().map(save).collect::<CResult<_>>()? })
    }

    /// Restores a saved state. If the values of the variables are restored too, the optimizer continues
    /// exactly as it would have, to the bit.
    ///
    /// # Errors
    /// [`Error::Foreign`] that names a variable whose name, shape, type or moments differ. Nothing is changed
    /// then.
    pub fn restore(&mut self, saved: &SavedOptimizer) -> Result<()> {
        let names = moment_names(&self.optimizer);
        if let Some(name) =
            saved.variables.keys().find(|&name| self.variables.iter().all(|v| v.name != *name))
        {
            return Err(foreign(name, "this network has no such variable"));
        }
        let restored = |v: &Variable| {
            let saved = saved.variables.get(&v.name).ok_or_else(|| foreign(&v.name, "it was not saved"))?;
            Ok((saved.count, v.restored(saved, &names)?))
        };
        let restored = self.variables.iter().map(restored).collect::<Result<Vec<_>>>()?;
        for (variable, (count, moments)) in self.variables.iter_mut().zip(restored) {
            (variable.count, variable.moments) = (count, moments);
        }
        Ok(())
    }
}

/// The optimizer with another weight decay.
fn with_decay(optimizer: &Optimizer, decay: f64) -> Optimizer {
    let mut optimizer = optimizer.clone();
    optimizer.set_weight_decay(decay);
    optimizer
}

fn moment_names(optimizer: &Optimizer) -> [Option<&'static str>; MAX_MOMENTS] {
    each!(optimizer, o => o.moments())
}

fn initial(optimizer: &Optimizer) -> f64 {
    each!(optimizer, o => o.initial())
}
