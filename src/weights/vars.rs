//! The variables of a network under construction or in training.
use crate::{
    weights::{
        compatibility::{differences, is_statistic, kinds, list},
        Weights,
    },
    Error, Result,
};
use candle_core::{Device, Result as CResult, Var};
use std::{
    collections::BTreeMap,
    fmt,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The variables of a model by name, in the order of names. Clones are handles to the same variables.
///
/// ```
/// use candle_core::{DType, Device};
/// use candle_ensemble::weights::{fresh, InitScheme};
///
/// let (vars, vb) = fresh(1, InitScheme::AsDeclared, DType::F32, &Device::Cpu);
/// let layer = candle_nn::linear(4, 2, vb.pp("head"))?;
/// let names: Vec<_> = vars.named().into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["head.bias", "head.weight"]);
///
/// let before = vars.snapshot()?;
/// vars.all_vars()[0].set(&layer.bias().unwrap().ones_like()?)?;
/// vars.load(&before)?;
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Vars(Arc<Mutex<Made>>);

/// The variables that have been made, by name and in the order in which they were made.
#[derive(Default)]
pub(super) struct Made {
    by_name: BTreeMap<String, Var>,
    names: Vec<String>,
}

impl Made {
    /// Adds a variable, or replaces the one of the same name, which keeps its place.
    pub(super) fn insert(&mut self, name: String, var: Var) {
        if self.by_name.insert(name.clone(), var).is_none() {
            self.names.push(name);
        }
    }

    /// The names in the order in which the variables were made.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }
}

impl Deref for Made {
    type Target = BTreeMap<String, Var>;

    fn deref(&self) -> &Self::Target {
        &self.by_name
    }
}

impl Vars {
    /// The variables with their names, in the order of names.
    #[must_use]
    pub fn named(&self) -> Vec<(String, Var)> {
        self.lock().iter().map(|(name, var)| (name.clone(), var.clone())).collect()
    }

    /// The variables in the order of names, as candle's optimizers take them.
    #[must_use]
    pub fn all_vars(&self) -> Vec<Var> {
        self.lock().values().cloned().collect()
    }

    /// The names of the variables in the order in which the model's constructor made them. It is the order of
    /// the layers in most models; see [`layers`](crate::weights::layers()).
    #[must_use]
    pub fn creation_order(&self) -> Vec<String> {
        self.lock().names().to_vec()
    }

    /// Calls `visit` with each variable, in the order of names.
    pub(crate) fn visit(&self, mut visit: impl FnMut(&str, &Var) -> Result<()>) -> Result<()> {
        self.lock().iter().try_for_each(|(name, var)| visit(name, var))
    }

    /// Whether the model has batch normalization: variables for running statistics.
    pub(crate) fn has_statistics(&self) -> bool {
        self.lock().keys().any(|name| is_statistic(name))
    }

    /// Copies of the current values, on the CPU. Later changes of the variables do not reach them.
    ///
    /// # Errors
    /// When a copy from the device fails.
    pub fn snapshot(&self) -> CResult<Weights> {
        let copy = |var: &Var| if var.device().is_cpu() { var.copy() } else { var.to_device(&Device::Cpu) };
        self.lock().iter().map(|(name, var)| Ok((name.clone(), copy(var)?.detach()))).collect()
    }

    /// Sets all variables to the values of a [snapshot](Self::snapshot).
    ///
    /// # Errors
    /// [`Error::Incompatible`] lists the differences when names, shapes or dtypes differ. No variable is
    /// changed then.
    pub fn load(&self, values: &Weights) -> Result<()> {
        let vars = self.lock();
        let model = kinds(vars.iter().map(|(name, var)| (name, var.as_tensor())));
        let differences = differences(&model, &kinds(values.iter()));
        if !differences.is_empty() {
            return Err(Error::Incompatible {
                what: "the network and the weights".into(),
                why: list(&differences),
            });
        }
        let pairs = vars.iter().zip(values.values());
        // All copies to the device are made first, because they may fail.
        let pairs = pairs.map(|((_, var), value)| Ok((var, value.to_device(var.device())?)));
        for (var, value) in pairs.collect::<CResult<Vec<_>>>()? {
            var.set(&value)?;
        }
        Ok(())
    }

    /// The map. A thread that panicked cannot have left it half changed, so a poisoned lock is used as it is.
    pub(super) fn lock(&self) -> MutexGuard<'_, Made> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Vars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.lock().iter().map(|(name, var)| (name, var.shape()))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        weights::{fresh, InitScheme},
        Seed,
    };
    use candle_core::DType;
    use candle_core::Tensor;
    use candle_nn::{init::DEFAULT_KAIMING_NORMAL, VarBuilder};

    const CPU: Device = Device::Cpu;

    fn variables() -> (Vars, VarBuilder<'static>) {
        fresh(Seed::from(1), InitScheme::AsDeclared, DType::F64, &CPU)
    }

    #[test]
    fn a_snapshot_does_not_follow_the_variables() {
        let (vars, vb) = variables();
        let w = vb.get_with_hints((2, 3), "w", DEFAULT_KAIMING_NORMAL).unwrap();
        let before = vars.snapshot().unwrap();
        vars.all_vars()[0].set(&w.ones_like().unwrap()).unwrap();
        assert_ne!(before["w"].to_vec2::<f64>().unwrap(), [[1.; 3]; 2]);
        assert!(!before["w"].track_op() && !before["w"].is_variable());
        vars.load(&before).unwrap();
        assert_eq!(w.to_vec2::<f64>().unwrap(), before["w"].to_vec2::<f64>().unwrap(), "the model sees it");
        assert_eq!(format!("{vars:?}"), r#"{"w": [2, 3]}"#);
    }

    #[test]
    fn loading_lists_all_differences_and_changes_nothing() {
        let (vars, vb) = variables();
        for name in ["a", "b", "c", "d"] {
            vb.get((2, 2), name).unwrap();
        }
        let ones = |dims: &[usize], dtype| Tensor::ones(dims, dtype, &CPU).unwrap();
        let other = BTreeMap::from([
            ("a".to_string(), ones(&[2, 2], DType::F64)),
            ("b".into(), ones(&[2, 3], DType::F64)),
            ("c".into(), ones(&[2, 2], DType::F32)),
            ("e".into(), ones(&[2, 2], DType::F64)),
        ]);
        let message = vars.load(&other).unwrap_err().to_string();
        for part in [
            "b is f64 [2, 3] in place of f64 [2, 2]",
            "c is f32 [2, 2] in place of f64 [2, 2]",
            "d is missing",
            "e is not of this model",
        ] {
            assert!(message.contains(part), "{message}");
        }
        assert!(!message.contains("a is"), "{message}");
        assert_eq!(vars.snapshot().unwrap()["a"].to_vec2::<f64>().unwrap(), [[0.; 2]; 2]);
    }
}
