//! Transforms of batches that are functions of the user's.
use crate::{data::Batch, weights::finite::first_non_finite, Error, Result, Seed};
use candle_core::Result as CandleResult;
use std::sync::Arc;

type Function = dyn Fn(Batch, Seed) -> CandleResult<Batch> + Send + Sync;

/// Functions by which a training changes its batches, one after the other.
#[derive(Clone, Default)]
pub(crate) struct OwnTransforms(Vec<(String, Arc<Function>)>);

impl OwnTransforms {
    pub(crate) fn add(
        &mut self,
        name: impl Into<String>,
        function: impl Fn(Batch, Seed) -> CandleResult<Batch> + Send + Sync + 'static,
    ) {
        self.0.push((name.into(), Arc::new(function)));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, for the tag of a trainer.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// Checks that each has a name of its own, by which a store knows it.
    pub(crate) fn check(&self) -> Result<()> {
        let names = self.names();
        let twice = |at: &usize| names.get(..*at).is_some_and(|before| before.contains(&names[*at]));
        match (names.contains(&""), (0..names.len()).find(twice)) {
            (true, _) => Err(Error::invalid("the name of a batch transform", "a text", "empty")),
            (_, Some(at)) => Err(Error::invalid(
                "the names of batch transforms",
                "distinct",
                format!("{:?} twice", names[at]),
            )),
            _ => Ok(()),
        }
    }

    /// Checks that they have returned finite numbers.
    pub(crate) fn check_finite(&self, batch: &Batch) -> Result<()> {
        for tensor in batch.inputs.tensors().iter().chain([&batch.targets]).chain(&batch.weights) {
            if let Some(found) = first_non_finite(tensor)? {
                let what = format!("a number of a batch after the transforms {:?}", self.names());
                return Err(Error::invalid(what, "finite", found.value));
            }
        }
        Ok(())
    }

    /// The batch after all of them.
    pub(crate) fn apply(&self, batch: Batch, seed: Seed) -> Result<Batch> {
        let rows = batch.inputs.rows();
        (0..).zip(&self.0).try_fold(batch, |batch, (index, (name, function))| {
            let batch = function(batch, seed.nth("own", index))?;
            let tensors = batch.inputs.tensors().iter().chain([&batch.targets]).chain(&batch.weights);
            let mut counts = tensors.map(|tensor| tensor.dims().first().copied().unwrap_or(0));
            let odd = counts.find(|count| *count != rows);
            drop(counts);
            match odd {
                None => Ok(batch),
                Some(got) => {
                    let what =
                        format!("the rows of each tensor of the batch that the transform {name:?} returns");
                    Err(Error::invalid(what, format!("{rows}, as before"), got))
                }
            }
        })
    }
}
