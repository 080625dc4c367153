//! Outputs with a prediction at each position of a row, and the layout of their dimensions.
use crate::{
    data::{positions::FlatTargets, Positions, Task},
    Error,
};
use candle_core::{Result, Tensor, D};
use std::fmt;

/// Where the classes are among the dimensions of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Classes {
    /// `(B, C, …)`, as convolutions put them out.
    First,
    /// `(B, …, C)`, as token models put them out.
    Last,
    /// `(B, …)`: a single logit at each position.
    Single,
}

/// The layout of an output with several positions for each row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    classes: Classes,
    /// The dimensions of the positions: `[H, W]`, `[T]` or `[L]`.
    positions: Vec<usize>,
}

impl Layout {
    /// The layout of an output with these dimensions. Where the classes could be the second dimension and the last one,
    /// they are the second of four dimensions or more, and the last of three.
    ///
    /// # Errors
    /// When the dimensions do not fit the task.
    pub(crate) fn of(dims: &[usize], task: Task, positions: Positions) -> Result<Self> {
        let classes = task.width();
        let found = match (positions, dims) {
            (Positions::Labels { labels }, [_, width]) if *width == labels => Some(Classes::Single),
            (Positions::Many { .. }, [_, second, .., last]) if dims.len() > 2 => {
                let binary = |width: usize| width == 1 && classes == 2;
                let first = (*second == classes || binary(*second)).then_some(Classes::First);
                let last = (*last == classes || binary(*last)).then_some(Classes::Last);
                if dims.len() > 3 {
                    first.or(last)
                } else {
                    last.or(first)
                }
            }
            _ => None,
        };
        match found {
            Some(Classes::Single) => Ok(Self { classes: Classes::Single, positions: tail(dims, 1) }),
            Some(Classes::First) => Ok(Self { classes: Classes::First, positions: tail(dims, 2) }),
            Some(Classes::Last) => {
                let positions = dims.get(1..dims.len() - 1).unwrap_or_default().to_vec();
                Ok(Self { classes: Classes::Last, positions })
            }
            None => Err(Error::invalid(
                "the network's output",
                must(classes, positions),
                format!("of shape {dims:?}"),
            )
            .into()),
        }
    }

    /// Whether two outputs have the same positions, wherever their classes are.
    pub(crate) fn has_positions_of(&self, other: &Self) -> bool {
        self.positions == other.positions
    }

    /// The number of positions of a row.
    pub(crate) fn per_row(&self) -> usize {
        self.positions.iter().product()
    }

    /// An output `(B, …)` as one row for each position, `(B · P, C)`. Gradients pass through.
    pub(crate) fn flatten(&self, output: &Tensor) -> Result<Tensor> {
        match self.classes {
            Classes::Single => output.flatten_all()?.unsqueeze(1),
            Classes::Last => output.flatten_to(D::Minus2),
            Classes::First => {
                let (rows, classes) = (output.dim(0)?, output.dim(1)?);
                let positions = self.per_row();
                let table = output.reshape((rows, classes, positions))?.transpose(1, 2)?;
                table.contiguous()?.reshape((rows * positions, classes))
            }
        }
    }

    /// The part of an output that is of the last position, `(B, C)`, where positions follow each other.
    pub(crate) fn last(&self, output: &Tensor) -> Result<Tensor> {
        let [length] = *self.positions else {
            let must = "one after the other, (B, T, C) or (B, C, T), such as those of texts";
            return Err(Error::invalid("the positions of an output", must, self).into());
        };
        let dim = if self.classes == Classes::First { 2 } else { 1 };
        output.narrow(dim, length.saturating_sub(1), 1)?.squeeze(dim)
    }

    /// An output `(B, …)` as one row for each position that has a class, in the order of `targets`, `(P, C)`.
    pub(crate) fn flat_output(
        output: &Tensor,
        (task, positions): (Task, Positions),
        targets: &FlatTargets,
    ) -> Result<Tensor> {
        let layout = Self::of(output.dims(), task, positions)?;
        if layout.per_row() != targets.per_row {
            let must = format!("{}, the number of targets of a row", targets.per_row);
            let what = format!("the number of positions of the network's output, which are {layout},");
            return Err(Error::invalid(what, must, layout.per_row()).into());
        }
        targets.kept_of(layout.flatten(output)?)
    }

    /// One prediction for each position, `(B · P, C)`, in the layout of the output, `(B, C, …)` or `(B, …, C)`. For
    /// labels, `(B, L)`, that is the prediction of class 1.
    pub(crate) fn unflatten(&self, flat: &Tensor) -> Result<Tensor> {
        let (all, classes) = flat.dims2()?;
        let rows = all / self.per_row().max(1);
        match self.classes {
            Classes::Single => flat.narrow(1, classes - 1, 1)?.reshape(self.dims(rows, None)),
            Classes::Last => flat.reshape(self.dims(rows, Some(classes))),
            Classes::First => {
                let table = flat.reshape((rows, self.per_row(), classes))?.transpose(1, 2)?.contiguous()?;
                let mut dims = vec![rows, classes];
                dims.extend(&self.positions);
                table.reshape(dims)
            }
        }
    }

    /// What [`unflatten`](Self::unflatten) returns, or the predictions as they are where rows have one position.
    pub(crate) fn of_rows(layout: Option<&Self>, flat: Tensor) -> Result<Tensor> {
        match layout {
            Some(layout) => layout.unflatten(&flat),
            None => Ok(flat),
        }
    }

    /// Log-probabilities of each position, `(B · P, C)`, as logits in the layout of the output. For labels, `(B, L)`, that is
    /// the log of the odds of class 1.
    pub(crate) fn logits(&self, flat: &Tensor) -> Result<Tensor> {
        match self.classes {
            Classes::Single => {
                let (zero, one) = (flat.narrow(1, 0, 1)?, flat.narrow(1, 1, 1)?);
                self.unflatten_ids(&(one - zero)?)
            }
            _ => self.unflatten(flat),
        }
    }

    /// One number for each position, `(B · P,)`, as `(B, …)`.
    pub(crate) fn unflatten_ids(&self, flat: &Tensor) -> Result<Tensor> {
        let rows = flat.elem_count() / self.per_row().max(1);
        flat.reshape(self.dims(rows, None))
    }

    fn dims(&self, rows: usize, last: Option<usize>) -> Vec<usize> {
        let mut dims = vec![rows];
        dims.extend(&self.positions);
        dims.extend(last);
        dims
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.positions)
    }
}

/// The dimensions from this one on.
fn tail(dims: &[usize], from: usize) -> Vec<usize> {
    dims.get(from..).unwrap_or_default().to_vec()
}

/// What an output with several positions must be.
fn must(classes: usize, positions: Positions) -> String {
    match positions {
        Positions::Labels { labels } => {
            format!("of shape (B, {labels}), one logit for each of {labels} labels")
        }
        _ => format!(
            "of shape (B, {classes}, …) or (B, …, {classes}), logits of {classes} classes at each position"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use proptest::prelude::*;

    const DENSE: Positions = Positions::Many { ignore_index: None };
    const THREE: Task = Task::Classification { classes: 3 };
    const TWO: Task = Task::Classification { classes: 2 };

    fn arange(dims: &[usize]) -> Tensor {
        let count = dims.iter().product::<usize>();
        Tensor::arange(0f32, count as f32, &Device::Cpu).unwrap().reshape(dims).unwrap()
    }

    #[test]
    fn classes_are_found_in_the_second_or_the_last_dimension() -> Result<()> {
        let layout = |dims: &[usize], of| Layout::of(dims, THREE, of).map(|l| (l.classes, l.positions));
        assert_eq!(layout(&[5, 3, 4, 6], DENSE)?, (Classes::First, vec![4, 6]));
        assert_eq!(layout(&[5, 4, 6, 3], DENSE)?, (Classes::Last, vec![4, 6]));
        assert_eq!(layout(&[5, 3, 3, 3], DENSE)?, (Classes::First, vec![3, 3]));
        assert_eq!(layout(&[5, 3, 3], DENSE)?, (Classes::Last, vec![3]));
        assert_eq!(layout(&[5, 3, 8], DENSE)?, (Classes::First, vec![8]));
        assert_eq!(Layout::of(&[5, 1, 4, 6], TWO, DENSE)?.classes, Classes::First);
        assert_eq!(layout(&[5, 4], Positions::Labels { labels: 4 })?, (Classes::Single, vec![4]));
        for (dims, positions) in [
            (&[5usize, 4, 6, 2][..], DENSE),
            (&[5, 3], DENSE),
            (&[5], DENSE),
            (&[5, 3], Positions::Labels { labels: 4 }),
        ] {
            let e = Layout::of(dims, THREE, positions).unwrap_err().to_string();
            assert!(e.starts_with("the network's output must be of shape (B, "), "{e}");
        }
        Ok(())
    }

    #[test]
    fn positions_become_rows_by_hand() -> Result<()> {
        // Row 0 has the logits 0, 4, 8 of three classes at its first position.
        let output = arange(&[2, 3, 2, 2]);
        let flat = Layout::of(output.dims(), THREE, DENSE)?.flatten(&output)?;
        assert_eq!(flat.dims(), [8, 3]);
        assert_eq!(flat.to_vec2::<f32>()?[..2], [[0., 4., 8.], [1., 5., 9.]]);
        assert_eq!(flat.to_vec2::<f32>()?[7], [15., 19., 23.]);
        let labels = arange(&[2, 3]);
        let layout = Layout::of(labels.dims(), TWO, Positions::Labels { labels: 3 })?;
        assert_eq!(layout.flatten(&labels)?.to_vec2::<f32>()?[4], [4.]);
        let two = Tensor::cat(&[&arange(&[6, 1]), &(arange(&[6, 1]) * 10.)?], 1)?;
        assert_eq!(layout.unflatten(&two)?.to_vec2::<f32>()?, [[0., 10., 20.], [30., 40., 50.]]);
        Ok(())
    }

    proptest! {
        #[test]
        fn unflatten_undoes_flatten(rows in 1usize..4, height in 1usize..4, width in 1usize..4) {
            for dims in [vec![rows, 3, height, width], vec![rows, height, width, 3], vec![rows, height, 3]] {
                let output = arange(&dims);
                let layout = Layout::of(&dims, THREE, DENSE).unwrap();
                let flat = layout.flatten(&output).unwrap();
                prop_assert_eq!(flat.dims(), [rows * layout.per_row(), 3]);
                let back = layout.unflatten(&flat).unwrap();
                prop_assert_eq!(back.dims(), &dims[..]);
                prop_assert_eq!(
                    back.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
                    output.flatten_all().unwrap().to_vec1::<f32>().unwrap()
                );
            }
        }
    }
}
