//! A linfa model that is fitted.
use super::{output::LinfaOutput, target::Target};
use crate::{
    combine::{
        fixed::weighted::to_probabilities,
        stack::{fit_rows::to_f64, MetaModel},
    },
    data::Task,
    Error, Result,
};
use candle_core::{DType, Result as CandleResult, Tensor};
use ndarray::{Array2, Axis};
use serde::{Deserialize, Serialize};
use std::{
    any::{type_name, Any},
    fmt,
    marker::PhantomData,
    panic::{catch_unwind, AssertUnwindSafe},
};

/// The fitted [`Linfa`](super::Linfa): fitted linfa models of type `M`, whose predictions `R` reads.
///
/// It predicts on the CPU, whatever the device of the members, and no gradient passes through it. A row with
/// a meta-feature that is not finite gives NaN; the model does not get it.
#[derive(Serialize, Deserialize)]
#[serde(bound(serialize = "M: Serialize", deserialize = "M: Deserialize<'de>"))]
pub struct LinfaModel<M, R> {
    pub(super) task: Task,
    /// The number of meta-features.
    pub(super) width: usize,
    pub(super) present: Vec<usize>,
    pub(super) models: Vec<M>,
    #[serde(skip)]
    pub(super) output: PhantomData<R>,
}

impl<M: Clone, R> Clone for LinfaModel<M, R> {
    fn clone(&self) -> Self {
        Self { present: self.present.clone(), models: self.models.clone(), ..*self }
    }
}

impl<M: PartialEq, R> PartialEq for LinfaModel<M, R> {
    fn eq(&self, other: &Self) -> bool {
        let about = |model: &Self| (model.task, model.width);
        about(self) == about(other) && self.present == other.present && self.models == other.models
    }
}

impl<M, R> fmt::Debug for LinfaModel<M, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("LinfaModel");
        shown
            .field("model", &last_part(type_name::<M>()))
            .field("task", &self.task)
            .field("width", &self.width);
        shown.field("present", &self.present).field("models", &self.models.len()).finish()
    }
}

impl<M, R> LinfaModel<M, R> {
    /// The fitted linfa models: one for each output, one for each class against the rest, or a single one.
    #[must_use]
    pub fn models(&self) -> &[M] {
        &self.models
    }
}

impl<M, R: LinfaOutput<M>> LinfaModel<M, R> {
    /// Whether the number of models and the classes agree with the task.
    fn suits_task(&self) -> bool {
        let (count, _) = <R::Target as Target>::models(self.task, self.present.len());
        let in_order = self.present.windows(2).all(|pair| pair[0] < pair[1]);
        let in_range = self.present.iter().all(|class| *class < self.task.width());
        self.models.len() == count && in_order && in_range
    }

    /// Predicts `(B, F) -> (B, C)` from finite features.
    pub(super) fn table(&self, features: &Array2<f64>) -> CandleResult<Array2<f64>> {
        let name = last_part(type_name::<M>());
        if !self.suits_task() {
            candle_core::bail!("linfa's {name} does not go with {:?}", self.task);
        }
        let (count, each) = <R::Target as Target>::models(self.task, self.present.len());
        let mut read = Vec::with_capacity(count);
        for model in &self.models {
            let table = match guarded(|| R::read(model, features, each)) {
                Ok(table) => table?,
                Err(why) => candle_core::bail!("linfa's {name} cannot predict: {why}"),
            };
            if table.dim() != (features.nrows(), each) {
                let got = table.dim();
                candle_core::bail!(
                    "linfa's {name} must give ({}, {each}), but gives {got:?}",
                    features.nrows()
                );
            }
            read.push(table);
        }
        Ok(<R::Target as Target>::assemble(self.task, &self.present, read))
    }
}

impl<M, R: LinfaOutput<M>> MetaModel for LinfaModel<M, R> {
    /// `linfa-` and the type of the fitted model, in lower case with hyphens: `linfa-decision-tree`.
    fn name(&self) -> String {
        let mut name = "linfa".to_string();
        for letter in last_part(type_name::<M>()).chars() {
            if letter.is_uppercase() {
                name.push('-');
            }
            name.extend(letter.to_lowercase());
        }
        name
    }

    fn check(&self, features: usize, task: Task) -> Result<()> {
        match self.task == task && self.width == features && self.suits_task() {
            true => Ok(()),
            false => {
                let must = format!("for {features} meta-features and {task:?}");
                let got = format!("for {} meta-features and {:?}", self.width, self.task);
                Err(Error::invalid(format!("linfa's {}", last_part(type_name::<M>())), must, got))
            }
        }
    }

    fn predict(&self, features: &Tensor) -> CandleResult<Tensor> {
        let all = to_f64(features)?;
        if all.ncols() != self.width {
            candle_core::bail!("the model was fitted on {} meta-features, not {}", self.width, all.ncols());
        }
        let usable = |row: &usize| all.row(*row).iter().all(|x| x.is_finite());
        let rows: Vec<usize> = (0..all.nrows()).filter(usable).collect();
        let mut out = Array2::from_elem((all.nrows(), self.task.width()), f64::NAN);
        if !rows.is_empty() {
            let table = self.table(&all.select(Axis(0), &rows))?;
            for (row, values) in rows.iter().zip(table.rows()) {
                out.row_mut(*row).assign(&values);
            }
        }
        let (shape, dtype) = (out.dim(), features.dtype());
        let out = Tensor::from_vec(out.into_iter().collect(), shape, features.device())?;
        let out = match self.task {
            Task::Classification { .. } => to_probabilities(&out)?,
            Task::Regression { .. } => out,
        };
        if dtype == DType::F64 {
            Ok(out)
        } else {
            out.to_dtype(dtype)
        }
    }
}

/// `Name` of a path `a::b::Name<…>`.
pub(super) fn last_part(path: &str) -> &str {
    let plain = path.split('<').next().unwrap_or(path);
    plain.rsplit("::").next().unwrap_or(plain)
}

/// Calls code of another crate; a panic becomes an error with its message. Nothing that the code changes is
/// used after a panic.
pub(super) fn guarded<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    let why = |panic: Box<dyn Any + Send>| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(other) => {
            other.downcast::<&str>().map_or_else(|_| "a panic".to_string(), |text| text.to_string())
        }
    };
    catch_unwind(AssertUnwindSafe(f)).map_err(why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{codec, combine::stack::ByLabel};
    use candle_core::Device;
    use linfa::{traits::Fit, DatasetBase};
    use linfa_trees::DecisionTree;
    use ndarray::Array1;

    type Tree = LinfaModel<DecisionTree<f64, usize>, ByLabel>;

    fn tree() -> Tree {
        let x = Array2::from_shape_fn((12, 2), |(row, column)| (row * (column + 3) % 7) as f64);
        let y = Array1::from_shape_fn(12, |row| row % 3);
        let model = DecisionTree::params().fit(&DatasetBase::new(x, y)).unwrap();
        let task = Task::Classification { classes: 3 };
        LinfaModel { task, width: 2, present: vec![0, 1, 2], models: vec![model], output: PhantomData }
    }

    #[test]
    fn models_survive_serialization_and_damaged_bytes_do_not_panic() {
        let (tree, features) = (tree(), Tensor::new(&[[1f64, 2.], [5., 3.]], &Device::Cpu).unwrap());
        let bytes = codec::encode(&tree).unwrap();
        let back: Tree = codec::decode(&bytes).unwrap();
        assert!(back == tree);
        assert_eq!(codec::encode(&back).unwrap(), bytes);
        for i in 0..bytes.len() {
            assert!(codec::decode::<Tree>(&bytes[..i]).is_err());
            for flip in [0x01, 0x80, 0xff] {
                let mut odd = bytes.clone();
                odd[i] ^= flip;
                if let Ok(odd) = codec::decode::<Tree>(&odd) {
                    let _ = odd.predict(&features);
                }
            }
        }
    }

    #[test]
    fn a_model_that_does_not_go_with_its_task_is_an_error() {
        let features = Tensor::new(&[[1f64, 2.]], &Device::Cpu).unwrap();
        let odd = |change: &dyn Fn(&mut Tree)| {
            let mut tree = tree();
            change(&mut tree);
            tree.predict(&features).unwrap_err().to_string()
        };
        assert!(odd(&|tree| tree.models.clear()).contains("does not go with"));
        assert!(odd(&|tree| tree.present = vec![0, 3]).contains("does not go with"));
        assert!(odd(&|tree| tree.present = vec![1, 1, 2]).contains("does not go with"));
        assert!(odd(&|tree| tree.width = 3).contains("was fitted on 3 meta-features"));
        assert!(odd(&|tree| tree.task = Task::Classification { classes: 2 }).contains("does not go with"));
    }

    #[test]
    fn the_name_comes_from_the_type_of_the_model() {
        assert_eq!(tree().name(), "linfa-decision-tree");
        assert_eq!(last_part("a::b::Name<c::D<e>, f>"), "Name");
        assert_eq!(last_part("Name"), "Name");
    }
}
