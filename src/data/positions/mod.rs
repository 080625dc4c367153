//! Rows with several positions, each with a class of its own: pixels, tokens, labels.
mod flat;

pub(crate) use flat::FlatTargets;

use crate::{
    data::{
        tensor_dataset::{label, shape, TensorDataset},
        values::on_cpu,
        Inputs, Positions, Task,
    },
    kernels::cpu::on_values,
    Error, Result,
};
use candle_core::{DType, Device, Result as CandleResult, Tensor, WithDType};

/// The most numbers that a network puts out in a pass over rows with many positions, where nothing else is said.
const MOST_NUMBERS: usize = 1 << 20;

/// The rows of a pass: `most`, or fewer where rows have so many positions that the outputs of a pass would be large. `first`
/// are the inputs of one row.
pub(crate) fn pass_rows(
    most: usize,
    (task, positions): (Task, Positions),
    first: impl FnOnce() -> CandleResult<Inputs>,
) -> usize {
    let Positions::Many { .. } = positions else { return most };
    // A row that cannot be read is an error of the pass that reads it.
    let Ok(first) = first() else { return most };
    let numbers = first.tensors().iter().map(|tensor| {
        let channels = match *tensor.dims() {
            [_, channels, _, _, ..] => channels,
            [_, _, features] => features,
            _ => 1,
        };
        let all = tensor.elem_count();
        all.max((all / channels.max(1)).saturating_mul(task.width()))
    });
    let of_row = numbers.max().unwrap_or_default().max(1);
    most.min((MOST_NUMBERS / of_row).max(1))
}

impl TensorDataset {
    /// A data set with a class at each position of a row, such as the pixels of an image or the tokens of a text: inputs
    /// as in [`Self::classification`], and class ids of any integer dtype, `(N, H, W)` or `(N, T)` or with other
    /// dimensions after the rows. Positions whose id is `ignore_index` have no class, such as padding: they are neither
    /// trained on nor measured. A negative one, such as PyTorch's −100, becomes [`u32::MAX`] in the targets. The number
    /// of classes is the highest other id plus 1, unless [`Self::with_classes`] sets it.
    ///
    /// A network for it puts out logits `(B, C, H, W)` or `(B, T, C)`.
    ///
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use candle_ensemble::data::{Dataset, Positions, Task, TensorDataset};
    ///
    /// let images = Tensor::zeros((2, 1, 2, 2), DType::F32, &Device::Cpu)?;
    /// let pixels = Tensor::new(&[[[0u32, 1], [2, 255]], [[0, 0], [1, 255]]], &Device::Cpu)?;
    /// let data = TensorDataset::dense(images, &pixels, Some(255))?;
    /// assert_eq!(data.task(), Task::Classification { classes: 3 });
    /// assert_eq!(data.positions(), Positions::Many { ignore_index: Some(255) });
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Self::classification`], and when a row has no position with a class.
    pub fn dense(inputs: impl Into<Inputs>, targets: &Tensor, ignore_index: Option<i64>) -> Result<Self> {
        if targets.rank() < 2 {
            let must = "of shape (N, …), with a class id at each position";
            return Err(Error::invalid("targets", must, shape(targets)));
        }
        let per_row = (targets.elem_count() / targets.dim(0)?.max(1)).max(1);
        let ids = position_ids(targets, per_row, ignore_index)?;
        let ignore_index = ignore_index.map(stored_ignore_index);
        let (mut lowest, mut highest) = (u32::MAX, 0);
        for (row, ids) in ids.chunks(per_row).enumerate() {
            let mut counted = ids.iter().copied().filter(|id| Some(*id) != ignore_index).peekable();
            if counted.peek().is_none() {
                let must = "of a class at one position at least (leave the row out)";
                return Err(Error::invalid(format!("targets of row {row}"), must, "ignored at all of them"));
            }
            for id in counted {
                (lowest, highest) = (lowest.min(id), highest.max(id));
            }
        }
        if lowest == highest {
            return Err(Error::invalid("targets", "of more than one class", "of one class only"));
        }
        let targets = Tensor::from_vec(ids, targets.dims(), targets.device())?;
        let task = Task::Classification { classes: highest as usize + 1 };
        let data = Self::assemble(inputs.into(), &targets, None, task)?;
        Ok(data.with_positions(Positions::Many { ignore_index }))
    }

    /// A data set with several labels, each of which a row has or has not: inputs as in [`Self::classification`], and
    /// targets `(N, L)` of 0 and 1, of any dtype.
    ///
    /// A network for it puts out one logit for each label, `(B, L)`. Where it is not known of some rows whether they have a
    /// label, use [`Self::dense`] with an `ignore_index` for these, and a network with outputs `(B, L, 1)`.
    ///
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use candle_ensemble::data::{Dataset, Positions, TensorDataset};
    ///
    /// let x = Tensor::zeros((3, 4), DType::F32, &Device::Cpu)?;
    /// let labels = Tensor::new(&[[0f32, 1.], [1., 1.], [0., 0.]], &Device::Cpu)?;
    /// let data = TensorDataset::multi_label(x, &labels)?;
    /// assert_eq!(data.positions(), Positions::Labels { labels: 2 });
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Self::classification`], and when a target is neither 0 nor 1.
    pub fn multi_label(inputs: impl Into<Inputs>, targets: &Tensor) -> Result<Self> {
        let [_, labels] = *targets.dims() else {
            let must = "of shape (N, L), 0 or 1 for each of L labels";
            return Err(Error::invalid("targets", must, shape(targets)));
        };
        let values =
            targets.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
        if let Some((at, value)) = values.iter().enumerate().find(|(_, value)| **value != 0. && **value != 1.)
        {
            let what = format!("the target of row {}, label {}", at / labels, at % labels);
            let must = "0 or 1 (TensorDataset::dense takes labels that are not known, as an ignored id)";
            return Err(Error::invalid(what, must, value));
        }
        let targets = targets.to_dtype(DType::U32)?;
        let data = Self::assemble(inputs.into(), &targets, None, Task::Classification { classes: 2 })?;
        Ok(data.with_positions(Positions::Labels { labels }))
    }
}

/// The id that stands for an ignored one in targets, which are not negative.
fn stored_ignore_index(index: i64) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// The class ids of all positions; `per_row` is the number of positions of a row.
fn position_ids(targets: &Tensor, per_row: usize, ignore_index: Option<i64>) -> Result<Vec<u32>> {
    if !targets.dtype().is_int() {
        return Err(Error::invalid("targets with positions", "integers", targets.dtype().as_str()));
    }
    let id = |at: usize, x: f64| match ignore_index {
        Some(ignored) if x == ignored as f64 => Ok(stored_ignore_index(ignored)),
        _ => label(at / per_row, x),
    };
    let targets = on_cpu(targets)?.flatten_all()?;
    on_values!(targets, values => values.iter().enumerate().map(|(at, x)| id(at, x.to_f64())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;

    fn rows(count: usize) -> Tensor {
        Tensor::zeros((count, 1), DType::F32, &Device::Cpu).unwrap()
    }

    #[test]
    fn passes_over_rows_with_many_positions_are_short() {
        let (task, many) = (Task::Classification { classes: 3 }, Positions::Many { ignore_index: None });
        let rows = |positions, dims: &[usize]| {
            let first = || Ok(Tensor::zeros(dims, DType::U8, &Device::Cpu)?.into());
            pass_rows(1024, (task, positions), first)
        };
        // 64 · 64 · 3 logits a picture, whose channels are no positions.
        assert_eq!(rows(many, &[1, 1, 64, 64]), 85);
        assert_eq!((rows(many, &[1, 3, 64, 64]), rows(many, &[1, 8, 64, 64])), (85, 32));
        assert_eq!((rows(many, &[1, 3, 1024, 1024]), rows(many, &[1, 3, 2, 2])), (1, 1024));
        // 1000 tokens, as numbers and with features.
        assert_eq!((rows(many, &[1, 1000]), rows(many, &[1, 1000, 7])), (349, 149));
        assert_eq!(rows(Positions::One, &[1, 3, 1024, 1024]), 1024);
    }

    #[test]
    fn dense_targets_are_counted_without_the_ignored_ones() -> Result<()> {
        let pixels = Tensor::new(&[[0i64, 3], [-100, 1]], &Device::Cpu)?;
        let data = TensorDataset::dense(rows(2), &pixels, Some(-100))?;
        assert_eq!(data.task(), Task::Classification { classes: 4 });
        assert_eq!(data.targets().to_vec2::<u32>()?, [[0, 3], [u32::MAX, 1]]);
        assert_eq!(data.positions(), Positions::Many { ignore_index: Some(u32::MAX) });
        assert_eq!(data.clone().with_classes(9)?.with_classes(4)?.task(), data.task());
        assert!(data
            .clone()
            .with_classes(3)
            .unwrap_err()
            .to_string()
            .contains("above the highest class id, 3"));
        let part = data.subset(&[1])?;
        assert_eq!((part.positions(), part.task()), (data.positions(), data.task()));
        let plain = TensorDataset::dense(rows(2), &Tensor::new(&[[0u32, 3], [2, 1]], &Device::Cpu)?, None)?;
        let ignoring =
            TensorDataset::dense(rows(2), &Tensor::new(&[[0u32, 3], [2, 1]], &Device::Cpu)?, Some(7))?;
        assert_ne!(plain.fingerprint(), ignoring.fingerprint());
        Ok(())
    }

    #[test]
    fn bad_targets_are_named() {
        let dense = |targets: &[[i64; 2]; 2]| {
            let targets = Tensor::new(targets, &Device::Cpu).unwrap();
            TensorDataset::dense(rows(2), &targets, Some(9)).unwrap_err().to_string()
        };
        let e = dense(&[[0, 1], [9, 9]]);
        assert!(e.contains("targets of row 1 must be of a class at one position at least"), "{e}");
        assert!(dense(&[[0, 1], [-1, 9]]).contains("row 1"));
        assert!(dense(&[[2, 9], [2, 9]]).contains("of more than one class"));
        let labels = Tensor::new(&[[0f32, 1.], [0.5, 1.]], &Device::Cpu).unwrap();
        let e = TensorDataset::multi_label(rows(2), &labels).unwrap_err().to_string();
        assert!(
            e.starts_with("the target of row 1, label 0 must be 0 or 1 (TensorDataset::dense takes labels"),
            "{e}"
        );
        assert!(e.ends_with("but is 0.5"), "{e}");
        let flat = Tensor::new(&[0f32, 1.], &Device::Cpu).unwrap();
        assert!(TensorDataset::multi_label(rows(2), &flat)
            .unwrap_err()
            .to_string()
            .contains("of shape (N, L)"));
    }
}
