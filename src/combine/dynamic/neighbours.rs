//! The held-out rows that lie nearest to a row.
use crate::{data::Task, predictions::Predictions, threads, Error};
use candle_core::{DType, Result, Tensor};
use linfa_nn::{distance::L2Dist, CommonNearestNeighbour, NearestNeighbour, NearestNeighbourIndex};
use ndarray::{ArrayView1, ArrayView2};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Up to so many numbers a row a tree finds neighbours sooner than a look at every row.
const TREE: usize = 16;
/// Rows that one thread does at a time.
const CHUNK: usize = 64;

/// Where rows are near one another, by Euclidean distance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Space {
    /// In their inputs, as they are: standardize them where their units differ.
    #[default]
    Inputs,
    /// In what the members predict for them (their output profiles), a missing prediction stood in for by the mean of the others.
    Outputs,
}

impl Space {
    /// Where the rows lie: how many numbers each, and the numbers row by row.
    fn points(self, predictions: &Predictions) -> Result<(usize, Vec<f64>)> {
        let table = match self {
            Self::Inputs => match predictions.inputs() {
                Some(inputs) => inputs.clone(),
                None => candle_core::bail!(
                    "dynamic selection by neighbours in the inputs needs the rows' inputs (Predictions::with_inputs, \
                     HeldOut::with_inputs), or Space::Outputs"
                ),
            },
            Self::Outputs => profiles(predictions)?,
        };
        let width = table.dim(1)?;
        Ok((width, table.detach().to_dtype(DType::F64)?.flatten_all()?.to_vec1()?))
    }
}

/// `(S, B, C) -> (B, S·C)`; of two probabilities the first, since the second is what is left.
fn profiles(predictions: &Predictions) -> Result<Tensor> {
    let values = predictions.fill_missing()?.values().clone();
    let values = match predictions.task() {
        Task::Classification { classes: 2 } => values.narrow(2, 0, 1)?,
        _ => values,
    };
    values.transpose(0, 1)?.contiguous()?.flatten_from(1)
}

/// Held-out rows, ready to be searched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Region {
    space: Space,
    width: usize,
    /// Row by row.
    points: Vec<f64>,
}

impl Region {
    pub(crate) fn of(space: Space, predictions: &Predictions) -> crate::Result<Self> {
        let (width, points) = space.points(predictions)?;
        match points.iter().position(|x| !x.is_finite()) {
            None => Ok(Self { space, width, points }),
            Some(i) => {
                let what = format!("what held-out row {} is found by", i / width.max(1));
                Err(Error::invalid(what, "finite", points[i]))
            }
        }
    }

    fn rows(&self) -> usize {
        self.points.len() / self.width.max(1)
    }

    /// For each row that the predictions predict the `k` held-out rows next to it, the nearest first, of those as far
    /// the lowest: `(B, k)`. There are `k` held-out rows at least.
    pub(crate) fn around(&self, predictions: &Predictions, k: usize) -> Result<Vec<u32>> {
        let (width, mut points) = self.space.points(predictions)?;
        if width != self.width {
            candle_core::bail!(
                "held-out rows had {} numbers to be found by, these rows have {width}",
                self.width
            );
        }
        if self.space == Space::Inputs && points.iter().any(|x| !x.is_finite()) {
            candle_core::bail!("inputs must be finite for dynamic selection to find neighbours");
        }
        // A row that nobody predicts comes to nothing, whatever lies next to it.
        points.iter_mut().filter(|x| !x.is_finite()).for_each(|x| *x = 0.);
        self.search(&points, k, false)
    }

    /// The same for the held-out rows themselves, none of which is its own neighbour.
    pub(crate) fn among(&self, k: usize) -> Result<Vec<u32>> {
        self.search(&self.points, k, true)
    }

    fn search(&self, points: &[f64], k: usize, themselves: bool) -> Result<Vec<u32>> {
        if k == 0 || self.width == 0 {
            candle_core::bail!("neighbours and what they are found by must be at least one");
        }
        let table = ArrayView2::from_shape((self.rows(), self.width), &self.points);
        let table = table.map_err(candle_core::Error::wrap)?;
        let algorithm = match self.width {
            0..=TREE => CommonNearestNeighbour::KdTree,
            _ => CommonNearestNeighbour::LinearSearch,
        };
        let index = algorithm.from_batch(&table, L2Dist).map_err(candle_core::Error::wrap)?;
        let index: &dyn NearestNeighbourIndex<f64> = &*index;
        let mut found = vec![0u32; points.len() / self.width * k];
        let queries = points.par_chunks(CHUNK * self.width).zip(found.par_chunks_mut((CHUNK * k).max(1)));
        threads::wide(|| {
            queries.enumerate().try_for_each(|(chunk, (points, found))| {
                let points = points.chunks_exact(self.width).zip(found.chunks_exact_mut(k)).enumerate();
                points.into_iter().try_for_each(|(i, (point, found))| {
                    let but = themselves.then_some(chunk * CHUNK + i);
                    nearest(index, point, but, found)
                })
            })
        })?;
        Ok(found)
    }
}

/// Puts the rows nearest to `point`, but for one, into `found`. The index leaves open which of rows as far it takes, so
/// it is asked again for all of them.
fn nearest(
    index: &dyn NearestNeighbourIndex<f64>,
    point: &[f64],
    but: Option<usize>,
    found: &mut [u32],
) -> Result<()> {
    let failed = candle_core::Error::wrap;
    let far =
        |other: ArrayView1<'_, f64>| -> f64 { other.iter().zip(point).map(|(a, b)| (a - b) * (a - b)).sum() };
    let here = ArrayView1::from(point);
    let count = found.len() + usize::from(but.is_some());
    let next = index.k_nearest(here, count).map_err(failed)?;
    let reach = next.into_iter().map(|(other, _)| far(other)).fold(0f64, f64::max).sqrt();
    // A little more, since the root is rounded, and more than nothing, since some searches stop short of the reach.
    let around = index.within_range(here, (reach * (1. + 1e-9)).max(1e-150)).map_err(failed)?;
    let mut around: Vec<(f64, usize)> = around.into_iter().map(|(other, row)| (far(other), row)).collect();
    around.retain(|(_, row)| Some(*row) != but);
    around.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    if around.len() < found.len() {
        candle_core::bail!("{} neighbours were asked for, {} were found", found.len(), around.len());
    }
    found.iter_mut().zip(around).for_each(|(to, (_, row))| *to = row as u32);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn at(points: &[f64], width: usize) -> Predictions {
        let rows = points.len() / width;
        let values = Tensor::zeros((1, rows, 1), DType::F64, &Device::Cpu).unwrap();
        let inputs = Tensor::from_slice(points, (rows, width), &Device::Cpu).unwrap();
        Predictions::new(values, Task::Regression { outputs: 1 }).unwrap().with_inputs(&inputs).unwrap()
    }

    #[test]
    fn rows_as_far_come_in_their_order() {
        let region = Region::of(Space::Inputs, &at(&[1., -1., 5., 1., 0.5, -1.], 1)).unwrap();
        assert_eq!(region.around(&at(&[0., 5.], 1), 3).unwrap(), [4, 0, 1, 2, 0, 3]);
        assert_eq!(region.among(2).unwrap(), [3, 4, 5, 4, 0, 3, 0, 4, 0, 3, 1, 4]);
    }

    /// Points on a small grid, so that many lie as far; more and fewer numbers a row than a tree is used for.
    #[test]
    fn neighbours_are_those_that_a_look_at_every_row_finds() {
        for width in [1, 3, TREE, TREE + 1] {
            let number = |i: usize| (((i * 7919 + 13) * (i + 3)) % 5) as f64;
            let points: Vec<f64> = (0..200 * width).map(number).collect();
            let queries: Vec<f64> = (0..130 * width).map(|i| number(i + 71)).collect();
            let region = Region::of(Space::Inputs, &at(&points, width)).unwrap();
            for (queries, found, themselves) in [
                (&queries, region.around(&at(&queries, width), 9).unwrap(), false),
                (&points, region.among(9).unwrap(), true),
            ] {
                for (i, point) in queries.chunks(width).enumerate() {
                    let far = |row: usize| {
                        let other = &points[row * width..][..width];
                        other.iter().zip(point).map(|(a, b)| (a - b) * (a - b)).sum::<f64>()
                    };
                    let mut rows: Vec<usize> = (0..200).filter(|row| !themselves || *row != i).collect();
                    rows.sort_by(|a, b| far(*a).total_cmp(&far(*b)));
                    let want: Vec<u32> = rows[..9].iter().map(|row| *row as u32).collect();
                    assert_eq!(found[i * 9..][..9], want, "{width} numbers, row {i}");
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_searched_is_refused() {
        let region = Region::of(Space::Inputs, &at(&[1., 2.], 1)).unwrap();
        let e = region.around(&at(&[1., 2.], 2), 1).unwrap_err().to_string();
        assert!(e.contains("had 1 numbers"), "{e}");
        let e = region.around(&at(&[f64::NAN], 1), 1).unwrap_err().to_string();
        assert!(e.contains("finite"), "{e}");
        let e = Region::of(Space::Inputs, &at(&[1., f64::INFINITY], 1)).unwrap_err().to_string();
        assert!(e.contains("held-out row 1"), "{e}");
        let bare = Predictions::new(at(&[1.], 1).values().clone(), Task::Regression { outputs: 1 }).unwrap();
        assert!(Region::of(Space::Inputs, &bare).unwrap_err().to_string().contains("with_inputs"));
    }
}
