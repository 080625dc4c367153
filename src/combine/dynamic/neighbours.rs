//! The search for the held-out rows that are nearest to a row.
use crate::{
    combine::dynamic::coverage::{Coverage, Nearest},
    data::Task,
    predictions::Predictions,
    threads, Error,
};
use candle_core::{DType, Result, Tensor};
use linfa_nn::{distance::L2Dist, CommonNearestNeighbour, NearestNeighbour, NearestNeighbourIndex};
use ndarray::{ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The largest number of coordinates for which a k-d tree is faster than a scan of all rows.
const TREE: usize = 16;
/// The number of rows that a thread searches for at a time.
const CHUNK: usize = 64;

/// The space in which dynamic selection finds the held-out rows that are nearest to a row, by Euclidean
/// distance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Space {
    /// The inputs of the rows, unscaled. Standardize them if their units differ.
    #[default]
    Inputs,
    /// The output profiles: what all slots predict for a row. No inputs are needed, and the number of inputs
    /// does not matter. Where predictions are missing, the distance is that over the slots that predict both
    /// rows, times the root of the share of these slots (the partial distance of Dixon 1979,
    /// doi:10.1109/TSMC.1979.4310090, and of scikit-learn's `nan_euclidean_distances`); a row without such a
    /// slot is the farthest.
    Outputs,
}

impl Space {
    /// The number of coordinates of a row, and the coordinates row by row.
    fn coordinates(self, predictions: &Predictions) -> Result<(usize, Vec<f64>)> {
        let table = match self {
            Self::Inputs => match predictions.inputs() {
                Some(inputs) => inputs.clone(),
                None => candle_core::bail!(
                    "dynamic selection in Space::Inputs needs the inputs of the rows (Predictions::with_inputs, \
                     HeldOut::with_inputs); Space::Outputs needs none"
                ),
            },
            Self::Outputs => output_profiles(predictions)?,
        };
        let width = table.dim(1)?;
        Ok((width, table.detach().to_dtype(DType::F64)?.flatten_all()?.to_vec1()?))
    }
}

/// The output profiles, `(S, B, C) -> (B, S·C)`; for two classes `(B, S)`, the probabilities of the first
/// one, because the second follows from it.
fn output_profiles(predictions: &Predictions) -> Result<Tensor> {
    let values = match predictions.task() {
        Task::Classification { classes: 2 } => predictions.values().narrow(2, 0, 1)?,
        _ => predictions.values().clone(),
    };
    values.transpose(0, 1)?.contiguous()?.flatten_from(1)
}

/// The held-out rows by their coordinates in a space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Neighbours {
    space: Space,
    width: usize,
    /// Row by row.
    coordinates: Vec<f64>,
}

impl Neighbours {
    pub(crate) fn fit(space: Space, predictions: &Predictions) -> crate::Result<Self> {
        let (width, mut coordinates) = space.coordinates(predictions)?;
        if space == Space::Outputs
            && let Some(coverage) = Coverage::of(predictions)?
        {
            coverage.clear_missing(&mut coordinates);
        }
        let neighbours = Self { space, width, coordinates };
        neighbours.check_finite()?;
        Ok(neighbours)
    }

    fn check_finite(&self) -> crate::Result<()> {
        match self.coordinates.iter().position(|x| !x.is_finite()) {
            None => Ok(()),
            Some(i) => {
                let (row, column) = (i / self.width.max(1), i % self.width.max(1));
                let what = match self.space {
                    Space::Inputs => format!("input {column} of held-out row {row}"),
                    Space::Outputs => format!("prediction {column} for held-out row {row}"),
                };
                Err(Error::invalid(what, "finite", self.coordinates[i]))
            }
        }
    }

    /// Checks that the rows lie in this space, and that all of them have finite coordinates.
    pub(crate) fn check(&self, space: Space) -> crate::Result<()> {
        if self.space != space {
            let got = format!("{:?}", self.space);
            return Err(Error::invalid("space of the held-out rows", format!("{space:?}"), got));
        }
        if self.width == 0
            || self.coordinates.is_empty()
            || !self.coordinates.len().is_multiple_of(self.width)
        {
            let must = format!("a multiple of {} above 0", self.width);
            let what = "number of coordinates of the held-out rows";
            return Err(Error::invalid(what, must, self.coordinates.len()));
        }
        self.check_finite()
    }

    pub(crate) fn rows(&self) -> usize {
        self.coordinates.len() / self.width.max(1)
    }

    /// For each row and each slot the `k` nearest held-out rows that the slot predicts, the nearest first. If
    /// several are at the same distance, those with lower numbers are taken first. If a slot predicts fewer,
    /// all of them are taken. `held` says which held-out rows a slot predicts, where some are missing.
    pub(crate) fn nearest(
        &self,
        predictions: &Predictions,
        k: usize,
        held: Option<&Coverage>,
    ) -> Result<Nearest> {
        let (width, mut coordinates) = self.space.coordinates(predictions)?;
        if width != self.width {
            candle_core::bail!(
                "dynamic selection was fitted on rows with {} coordinates, not {width}",
                self.width
            );
        }
        if self.space == Space::Inputs && coordinates.iter().any(|x| !x.is_finite()) {
            candle_core::bail!("the inputs must be finite for dynamic selection");
        }
        // The result of a row with NaN is NaN, whatever its neighbours are.
        coordinates.iter_mut().filter(|x| !x.is_finite()).for_each(|x| *x = 0.);
        self.search(&Points { all: &coordinates, present: Coverage::of(predictions)? }, k, held, false)
    }

    /// For each held-out row and each slot the `k` nearest other held-out rows that the slot predicts.
    pub(crate) fn nearest_others(&self, k: usize, held: Option<&Coverage>) -> Result<Nearest> {
        self.search(&Points { all: &self.coordinates, present: held.cloned() }, k, held, true)
    }

    /// The nearest rows of each point. With `others`, the points are the held-out rows, and none is its own
    /// neighbour.
    fn search(
        &self,
        points: &Points<'_>,
        k: usize,
        held: Option<&Coverage>,
        others: bool,
    ) -> Result<Nearest> {
        if k == 0 || self.width == 0 {
            candle_core::bail!(
                "the numbers of neighbours and coordinates must be at least 1, but are {k} and {}",
                self.width
            );
        }
        let whole = || (0..self.rows() as u32).collect::<Vec<_>>();
        let (sets, set_of_slot) = held.map_or_else(|| (vec![whole()], vec![]), Coverage::rows_of_slots);
        let partial = self.space == Space::Outputs && (held.is_some() || points.present.is_some());
        let of_set = |set: &Vec<u32>| -> Result<(usize, Vec<u32>)> {
            let k = k.min(set.len().saturating_sub(usize::from(others)));
            let found = match (k, partial) {
                (0, _) => vec![],
                (_, false) => self.search_by_index(points, set, k, others)?,
                (_, true) => self.search_by_partial_distance(points, (set, held), k, others),
            };
            Ok((k, found))
        };
        Ok(Nearest::new(set_of_slot, sets.iter().map(of_set).collect::<Result<_>>()?))
    }

    /// The `k` rows of the set that are nearest to each point, `(B, k)`.
    fn search_by_index(&self, points: &Points<'_>, set: &[u32], k: usize, others: bool) -> Result<Vec<u32>> {
        let all = ArrayView2::from_shape((self.rows(), self.width), &self.coordinates);
        let table = all.map_err(candle_core::Error::wrap)?;
        let some = (set.len() < self.rows())
            .then(|| table.select(Axis(0), &set.iter().map(|row| *row as usize).collect::<Vec<_>>()));
        let table = some.as_ref().map_or(table, |some| some.view());
        let algorithm = match self.width {
            0..=TREE => CommonNearestNeighbour::KdTree,
            _ => CommonNearestNeighbour::LinearSearch,
        };
        let index = algorithm.from_batch(&table, L2Dist).map_err(candle_core::Error::wrap)?;
        let index: &dyn NearestNeighbourIndex<f64> = &*index;
        let mut found = vec![0u32; points.all.len() / self.width * k];
        let queries = points.all.par_chunks(CHUNK * self.width).zip(found.par_chunks_mut(CHUNK * k));
        threads::wide(|| {
            queries.enumerate().try_for_each(|(chunk, (points, found))| {
                let points = points.chunks_exact(self.width).zip(found.chunks_exact_mut(k)).enumerate();
                points.into_iter().try_for_each(|(i, (point, found))| {
                    let own = (chunk * CHUNK + i) as u32;
                    let excluded = others.then(|| set.binary_search(&own).ok()).flatten();
                    find_nearest(index, point, excluded, found)
                })
            })
        })?;
        found.iter_mut().for_each(|row| *row = set[*row as usize]);
        Ok(found)
    }

    /// The same with the distance over the slots that predict both rows.
    fn search_by_partial_distance(
        &self,
        points: &Points<'_>,
        (set, held): (&[u32], Option<&Coverage>),
        k: usize,
        others: bool,
    ) -> Vec<u32> {
        let slots = held.or(points.present.as_ref()).map_or(1, |coverage| coverage.slots);
        let count = self.width / slots.max(1);
        let has = |coverage: Option<&Coverage>, row: usize, slot: usize| {
            coverage.is_none_or(|coverage| coverage.has(row, slot))
        };
        let distance = |point: usize, row: usize| {
            let (mut square, mut common) = (0., 0);
            for slot in 0..slots {
                if has(points.present.as_ref(), point, slot) && has(held, row, slot) {
                    let at = |row: usize| row * self.width + slot * count;
                    let (a, b) = (&points.all[at(point)..][..count], &self.coordinates[at(row)..][..count]);
                    square += a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
                    common += 1;
                }
            }
            if common > 0 {
                square * slots as f64 / common as f64
            } else {
                f64::INFINITY
            }
        };
        let mut found = vec![0u32; points.all.len() / self.width * k];
        let of_point = |(point, found): (usize, &mut [u32])| {
            let is_other = |row: &&u32| !(others && **row as usize == point);
            let rows = set.iter().filter(is_other).map(|row| (distance(point, *row as usize), *row));
            let mut rows: Vec<(f64, u32)> = rows.collect();
            let nearer = |a: &(f64, u32), b: &(f64, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
            if k < rows.len() {
                rows.select_nth_unstable_by(k, nearer);
                rows.truncate(k);
            }
            rows.sort_unstable_by(nearer);
            found.iter_mut().zip(rows).for_each(|(to, (_, row))| *to = row);
        };
        threads::wide(|| found.par_chunks_exact_mut(k).enumerate().for_each(of_point));
        found
    }
}

/// The rows whose neighbours are searched.
struct Points<'a> {
    /// Their coordinates, row by row.
    all: &'a [f64],
    /// Which slots predict them, where some do not.
    present: Option<Coverage>,
}

/// Writes the rows that are nearest to `point` into `found`, without an excluded row. The index does not say
/// which of several rows at the same distance it takes. So its `k` nearest rows give only the distance, and a
/// second search finds all rows within it.
fn find_nearest(
    index: &dyn NearestNeighbourIndex<f64>,
    point: &[f64],
    excluded: Option<usize>,
    found: &mut [u32],
) -> Result<()> {
    let failed = candle_core::Error::wrap;
    let squared_distance =
        |other: ArrayView1<'_, f64>| -> f64 { other.iter().zip(point).map(|(a, b)| (a - b) * (a - b)).sum() };
    let point_view = ArrayView1::from(point);
    let count = found.len() + usize::from(excluded.is_some());
    let nearest = index.k_nearest(point_view, count).map_err(failed)?;
    let radius = nearest.into_iter().map(|(other, _)| squared_distance(other)).fold(0f64, f64::max).sqrt();
    // A little larger, because the root is rounded, and above 0, because some indexes exclude the bound.
    let within = index.within_range(point_view, (radius * (1. + 1e-9)).max(1e-150)).map_err(failed)?;
    let mut rows: Vec<(f64, usize)> =
        within.into_iter().map(|(other, row)| (squared_distance(other), row)).collect();
    rows.retain(|(_, row)| Some(*row) != excluded);
    rows.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    if rows.len() < found.len() {
        candle_core::bail!("expected {} neighbours, found {}", found.len(), rows.len());
    }
    found.iter_mut().zip(rows).for_each(|(to, (_, row))| *to = row as u32);
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
    fn rows_at_the_same_distance_come_in_order() {
        let neighbours = Neighbours::fit(Space::Inputs, &at(&[1., -1., 5., 1., 0.5, -1.], 1)).unwrap();
        let rows = |nearest: Nearest, count: usize| {
            (0..count).flat_map(|row| nearest.of(row, 0).to_vec()).collect::<Vec<_>>()
        };
        assert_eq!(rows(neighbours.nearest(&at(&[0., 5.], 1), 3, None).unwrap(), 2), [4, 0, 1, 2, 0, 3]);
        let others = rows(neighbours.nearest_others(2, None).unwrap(), 6);
        assert_eq!(others, [3, 4, 5, 4, 0, 3, 0, 4, 0, 3, 1, 4]);
    }

    /// Points on a small grid, so that many are at the same distance; with more and with fewer coordinates
    /// than a tree takes.
    #[test]
    fn the_search_finds_the_rows_that_a_scan_finds() {
        for width in [1, 3, TREE, TREE + 1] {
            let number = |i: usize| (((i * 7919 + 13) * (i + 3)) % 5) as f64;
            let points: Vec<f64> = (0..200 * width).map(number).collect();
            let queries: Vec<f64> = (0..130 * width).map(|i| number(i + 71)).collect();
            let neighbours = Neighbours::fit(Space::Inputs, &at(&points, width)).unwrap();
            for (queries, found, others) in [
                (&queries, neighbours.nearest(&at(&queries, width), 9, None).unwrap(), false),
                (&points, neighbours.nearest_others(9, None).unwrap(), true),
            ] {
                for (i, point) in queries.chunks(width).enumerate() {
                    let squared_distance = |row: usize| {
                        let other = &points[row * width..][..width];
                        other.iter().zip(point).map(|(a, b)| (a - b) * (a - b)).sum::<f64>()
                    };
                    let mut rows: Vec<usize> = (0..200).filter(|row| !others || *row != i).collect();
                    rows.sort_by(|a, b| squared_distance(*a).total_cmp(&squared_distance(*b)));
                    let want: Vec<u32> = rows[..9].iter().map(|row| *row as u32).collect();
                    assert_eq!(found.of(i, 0), want, "{width} coordinates, row {i}");
                }
            }
        }
    }

    #[test]
    fn rows_that_cannot_be_searched_are_errors() {
        let neighbours = Neighbours::fit(Space::Inputs, &at(&[1., 2.], 1)).unwrap();
        let e = neighbours.nearest(&at(&[1., 2.], 2), 1, None).unwrap_err().to_string();
        assert!(e.contains("with 1 coordinates"), "{e}");
        let e = neighbours.nearest(&at(&[f64::NAN], 1), 1, None).unwrap_err().to_string();
        assert!(e.contains("finite"), "{e}");
        let e = Neighbours::fit(Space::Inputs, &at(&[1., f64::INFINITY], 1)).unwrap_err().to_string();
        assert!(e.contains("input 0 of held-out row 1"), "{e}");
        let bare = Predictions::new(at(&[1.], 1).values().clone(), Task::Regression { outputs: 1 }).unwrap();
        assert!(Neighbours::fit(Space::Inputs, &bare).unwrap_err().to_string().contains("with_inputs"));
    }
}
