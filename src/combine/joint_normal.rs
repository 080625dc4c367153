//! The joint distribution of what the slots predict, for models that need a number in every cell.
//!
//! A meta-learner predicts from all slots at once, so a missing prediction cannot just be left out. To put the
//! mean of the other slots in its place is wrong: the mean is better than a slot, and a slot that predicts few
//! rows would look best of all. To put a constant there, with a column that says so, is wrong too: a linear
//! model that is fitted on rows with three of ten slots needs large coefficients, and overshoots by far on new
//! rows, which all ten predict.
//!
//! So the joint distribution of the slots' predictions and the target is estimated from the cells that are
//! there, each slot by its own rows, and in the rows of the fit each missing cell is drawn from its
//! distribution given the rest of the row (Rubin 1987, doi:10.1002/9780470316696; with the target, as Moons,
//! Donders, Stijnen and Harrell 2006, doi:10.1016/j.jclinepi.2006.01.009). A drawn cell varies as much as the
//! slot's own predictions, and it is as far from the target. The model is then one for rows that all slots
//! predict. For a new row, a missing cell is its expectation given the predictions that are there.
use crate::{kernels::cpu, predictions::Predictions, threads::wide, Error, HeldOut, Result, Seed};
use candle_core::{DType, Device, Result as CandleResult, Tensor};
use linfa_linalg::cholesky::*;
use ndarray::{Array1, Array2, Axis};
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// When the search for the distribution stops: the largest change of a covariance, in units of the standard
/// deviations, or the number of iterations.
const TOLERANCE: f64 = 1e-3;
const MAX_ITERATIONS: usize = 50;
/// The distribution is estimated from so many rows at least, and from more while that takes at most `WORK`
/// multiplications in an iteration.
const MIN_ROWS: usize = 2000;
const MAX_ROWS: usize = 100_000;
const WORK: usize = 1 << 31;
/// Added to variances, as a share of them, so that equal slots can be solved.
const JITTER: f64 = 1e-9;

/// The predictions of the slots for one class or output, `(R, S)`; a missing cell has no meaning.
pub(crate) type Column = Array2<f64>;

/// Which slots predict which rows, `[slot][row]`, as
/// [`coverage_by_slot`](crate::predictions::Predictions::coverage_by_slot) gives it.
type Covered = [Vec<f32>];

/// A normal distribution of the predictions of all slots, one for each class or output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct JointNormal(Vec<Normal>);

/// A multivariate normal distribution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Normal {
    means: Vec<f64>,
    /// Row by row.
    covariance: Vec<f64>,
}

impl JointNormal {
    /// Estimates the distribution of a table `(R, S·C)`, slot by slot, and draws its missing cells. There is
    /// one column of `targets` for each column of a slot.
    pub(crate) fn fit_table(
        table: &Tensor,
        held_out: &HeldOut,
        targets: &[Vec<f64>],
    ) -> Result<(Self, Tensor)> {
        let slots = held_out.predictions().slots();
        let covered = held_out.predictions().coverage_by_slot()?;
        let mut columns = columns_of(table, slots)?;
        let (weights, seed) = (held_out.weights_or_ones()?, held_out.seed());
        let joint = Self::fit(&mut columns, covered.as_deref(), targets, &weights, seed)?;
        Ok((joint, with_missing(table, &columns, held_out.predictions())?))
    }

    /// The table `(B, S·C)` with the expectations of its missing cells. Gradients pass through the others.
    pub(crate) fn complete_table(&self, table: &Tensor, predictions: &Predictions) -> CandleResult<Tensor> {
        let Some(covered) = predictions.coverage_by_slot()? else { return Ok(table.clone()) };
        let mut columns = columns_of(&table.detach(), predictions.slots())?;
        self.expect(&mut columns, &covered).map_err(candle_core::Error::wrap)?;
        with_missing(table, &columns, predictions)
    }

    /// Estimates the distribution, and draws the missing cells of `columns`; `targets` has the target of each
    /// row for each column.
    pub(crate) fn fit(
        columns: &mut [Column],
        covered: Option<&Covered>,
        targets: &[Vec<f64>],
        weights: &[f64],
        seed: Seed,
    ) -> Result<Self> {
        let with_targets = WithTargets::estimate(columns, covered, targets, weights)?;
        with_targets.draw(columns, covered, targets, (seed, 0))?;
        Ok(with_targets.without_targets())
    }

    /// Of so many rows, every which one is enough to estimate the distribution of slots and their targets.
    pub(crate) fn step(rows: usize, slots: usize, columns: usize) -> usize {
        let size = slots.saturating_add(1);
        let work = size.saturating_mul(size).saturating_mul(size).saturating_mul(columns);
        rows.div_ceil((WORK / work.max(1)).clamp(MIN_ROWS, MAX_ROWS)).max(1)
    }

    /// Replaces the missing cells by their expectations given the cells that are there. A row without any
    /// becomes NaN.
    pub(crate) fn expect(&self, columns: &mut [Column], covered: &Covered) -> Result<()> {
        self.check(covered.len(), columns.len())?;
        let rows = columns.first().map_or(0, Column::nrows);
        let patterns = partial_rows(Some(covered), rows);
        for (normal, column) in self.0.iter().zip(columns) {
            normal.expect(&patterns, column)?;
        }
        Ok(())
    }

    /// The number of columns.
    pub(crate) fn columns(&self) -> usize {
        self.0.len()
    }

    /// Checks that there is a distribution of so many slots for each of so many columns.
    pub(crate) fn check(&self, slots: usize, columns: usize) -> Result<()> {
        let agrees =
            |n: &Normal| n.means.len() == slots && slots.checked_mul(slots) == Some(n.covariance.len());
        match self.0.len() == columns && self.0.iter().all(agrees) {
            true => Ok(()),
            false => {
                let must = format!("{columns} columns of {slots} slots");
                Err(Error::invalid("the joint distribution of the slots", must, "another size"))
            }
        }
    }
}

/// The joint distribution of all slots and the target, one for each class or output: what missing cells are drawn from.
#[derive(Clone, Debug)]
pub(crate) struct WithTargets(Vec<Normal>);

impl WithTargets {
    /// Estimates it for a table `(R, S·C)`, slot by slot, with one column of `targets` for each column of a slot.
    pub(crate) fn of_table(table: &Tensor, held_out: &HeldOut, targets: &[Vec<f64>]) -> Result<Self> {
        let columns = columns_of(table, held_out.predictions().slots())?;
        let covered = held_out.predictions().coverage_by_slot()?;
        Self::estimate(&columns, covered.as_deref(), targets, &held_out.weights_or_ones()?)
    }

    fn estimate(
        columns: &[Column],
        covered: Option<&Covered>,
        targets: &[Vec<f64>],
        weights: &[f64],
    ) -> Result<Self> {
        let count = columns.len().max(1);
        let of_column = |(column, target): (&Column, &Vec<f64>)| {
            Normal::estimate(&with_target(column, target), covered, weights, count)
        };
        let columns = columns.par_iter().zip(targets);
        let normals: Vec<Result<Normal>> = wide(|| columns.map(of_column).collect());
        Ok(Self(normals.into_iter().collect::<Result<_>>()?))
    }

    /// Draws the missing cells of a table `(R, S·C)` whose rows come after `first` others.
    pub(crate) fn draw_table(
        &self,
        table: &Tensor,
        held_out: &HeldOut,
        targets: &[Vec<f64>],
        first: usize,
    ) -> Result<Tensor> {
        let predictions = held_out.predictions();
        let Some(covered) = predictions.coverage_by_slot()? else { return Ok(table.clone()) };
        let mut columns = columns_of(table, predictions.slots())?;
        self.draw(&mut columns, Some(&covered), targets, (held_out.seed(), first))?;
        Ok(with_missing(table, &columns, predictions)?)
    }

    fn draw(
        &self,
        columns: &mut [Column],
        covered: Option<&Covered>,
        targets: &[Vec<f64>],
        (seed, first): (Seed, usize),
    ) -> Result<()> {
        let draw_column =
            |(number, ((normal, column), target)): (usize, ((&Normal, &mut Column), &Vec<f64>))| {
                let rows = partial_rows(covered, column.nrows());
                if rows.is_empty() {
                    return Ok(());
                }
                let table = with_target(column, target);
                normal.draw(&rows, &table, column, (seed.nth("missing predictions", number as u64), first))
            };
        let columns = self.0.par_iter().zip(columns.par_iter_mut()).zip(targets).enumerate();
        let drawn: Vec<Result<()>> = wide(|| columns.map(draw_column).collect());
        drawn.into_iter().collect()
    }

    /// The distribution of the slots alone.
    pub(crate) fn without_targets(&self) -> JointNormal {
        JointNormal(self.0.iter().map(Normal::without_last).collect())
    }
}

/// The columns of a table `(R, S·C)`, slot by slot.
fn columns_of(table: &Tensor, slots: usize) -> CandleResult<Vec<Column>> {
    let (rows, width) = table.dims2()?;
    let count = width / slots.max(1);
    let cell = |all: &[f64], k: usize| {
        Array2::from_shape_fn((rows, slots), |(row, slot)| all[row * width + slot * count + k])
    };
    cpu::with_slice(table, |all: &[f64]| (0..count).map(|k| cell(all, k)).collect())
}

/// The table with the missing cells of `columns`.
fn with_missing(table: &Tensor, columns: &[Column], predictions: &Predictions) -> CandleResult<Tensor> {
    let Some(covered) = predictions.covered() else { return Ok(table.clone()) };
    let (rows, width) = table.dims2()?;
    let (slots, count) = (covered.dim(0)?, columns.len());
    let cell = |at: usize| columns[at % count][[at / width, at % width / count]];
    let all: Vec<f64> = (0..rows * width).map(cell).collect();
    let all = Tensor::from_vec(all, (rows, width), &Device::Cpu)?;
    let all = all.to_dtype(table.dtype())?.to_device(table.device())?;
    let present = covered.t()?.unsqueeze(2)?.broadcast_as((rows, slots, count))?.to_dtype(DType::U8)?;
    present.contiguous()?.reshape((rows, width))?.where_cond(table, &all)
}

/// Rows by the cells that they have.
type Patterns = BTreeMap<Vec<bool>, Vec<usize>>;

/// These rows by the slots that predict them.
fn patterns(covered: &Covered, rows: impl Iterator<Item = usize>) -> Patterns {
    let mut patterns = Patterns::new();
    for row in rows {
        let present = covered.iter().map(|slot| slot[row] > 0.).collect();
        patterns.entry(present).or_default().push(row);
    }
    patterns
}

/// The rows with missing cells.
fn partial_rows(covered: Option<&Covered>, rows: usize) -> Patterns {
    let mut patterns = covered.map_or_else(Patterns::new, |covered| patterns(covered, 0..rows));
    patterns.retain(|present, _| present.contains(&false));
    patterns
}

/// The column with the target as the last slot.
fn with_target(column: &Column, target: &[f64]) -> Array2<f64> {
    let mut table = Array2::zeros((column.nrows(), column.ncols() + 1));
    for (mut to, (from, y)) in table.rows_mut().into_iter().zip(column.rows().into_iter().zip(target)) {
        to.iter_mut().zip(from.iter().chain([y])).for_each(|(to, x)| *to = *x);
    }
    table
}

/// The missing cells of rows, given the others.
struct Conditional {
    present: Vec<usize>,
    missing: Vec<usize>,
    /// `(present, missing)`: the expectation of a missing cell is its mean plus this times the deviations.
    slopes: Array2<f64>,
    /// The covariance of the missing cells that is left.
    rest: Array2<f64>,
}

impl Conditional {
    fn expected<'a>(&'a self, normal: &'a Normal, row: &[f64]) -> impl Iterator<Item = f64> + 'a {
        let about: Array1<f64> = self.present.iter().map(|i| row[*i] - normal.means[*i]).collect();
        let shift = self.slopes.t().dot(&about);
        self.missing.iter().zip(shift).map(|(m, shift)| normal.means[*m] + shift)
    }
}

impl Normal {
    fn matrix(&self) -> Array2<f64> {
        let size = self.means.len();
        Array2::from_shape_fn((size, size), |(i, j)| self.covariance[i * size + j])
    }

    /// The most probable distribution, by expectation-maximization (Dempster, Laird and Rubin 1977,
    /// doi:10.1111/j.2517-6161.1977.tb01600.x). The last cell of a row is the target, which is never missing.
    ///
    /// So that few rows are enough, there is one row more, whose covariance is that of slots that are alike: with
    /// equal variances and covariances, those of all slots together. A slot without predictions is like the
    /// others.
    fn estimate(
        table: &Array2<f64>,
        covered: Option<&Covered>,
        weights: &[f64],
        columns: usize,
    ) -> Result<Self> {
        let size = table.ncols();
        let step = JointNormal::step(table.nrows(), size - 1, columns);
        let rows = (0..table.nrows()).step_by(step).filter(|row| weights[*row] > 0.);
        let patterns = match covered {
            Some(covered) => patterns(covered, rows),
            None => Patterns::from([(vec![true; size - 1], rows.collect())]),
        };
        let with_target = |(slots, rows): (Vec<bool>, _)| ([slots, vec![true]].concat(), rows);
        let patterns: Patterns = patterns.into_iter().map(with_target).collect();
        let total: f64 = patterns.values().flatten().map(|row| weights[*row]).sum();
        let count = patterns.values().map(Vec::len).sum::<usize>() as f64;
        // Weights count as rows.
        let scale = if total > 0. { count / total } else { 0. };
        let weights = |row: usize| weights[row] * scale;
        let prior = Self::alike(table, &patterns, &weights);
        let complete = patterns.keys().all(|present| !present.contains(&false));
        let mut normal = prior.clone();
        for _ in 0..MAX_ITERATIONS {
            let next = normal.maximize(table, &patterns, &weights, &prior)?;
            let change = (0..size * size).map(|at| {
                let (i, j) = (at / size, at % size);
                let unit = (next.covariance[i * size + i] * next.covariance[j * size + j]).sqrt();
                (next.covariance[at] - normal.covariance[at]).abs() / unit.max(f64::MIN_POSITIVE)
            });
            let change = change.fold(0., f64::max);
            normal = next;
            if complete || change <= TOLERANCE {
                break;
            }
        }
        Ok(normal)
    }

    /// Equal variances and covariances of all slots, and each slot's own mean.
    fn alike(table: &Array2<f64>, patterns: &Patterns, weights: &impl Fn(usize) -> f64) -> Self {
        let (size, slots) = (table.ncols(), table.ncols() - 1);
        let cells =
            || patterns.iter().flat_map(|(present, rows)| rows.iter().map(move |row| (present, *row)));
        let (mut sums, mut totals) = (vec![0.; size], vec![0.; size]);
        for (present, row) in cells() {
            for slot in (0..size).filter(|slot| present[*slot]) {
                sums[slot] += weights(row) * table[[row, slot]];
                totals[slot] += weights(row);
            }
        }
        let pooled =
            sums[..slots].iter().sum::<f64>() / totals[..slots].iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let mean = |slot: usize| if totals[slot] > 0. { sums[slot] / totals[slot] } else { pooled };
        let means: Vec<f64> = (0..size).map(mean).collect();
        // Sums of products, and how many there are: of a slot with itself, with another one, with the target.
        let (mut own, mut other, mut target, mut of_target) = ([0.; 2], [0.; 2], [0.; 2], [0.; 2]);
        for (present, row) in cells() {
            let about = |slot: usize| table[[row, slot]] - means[slot];
            let (w, y) = (weights(row), about(slots));
            let (mut sum, mut squares, mut count) = (0., 0., 0.);
            for x in (0..slots).filter(|slot| present[*slot]).map(about) {
                (sum, squares, count) = (sum + x, squares + x * x, count + 1.);
            }
            for (to, (product, number)) in
                [&mut own, &mut other, &mut target, &mut of_target].into_iter().zip([
                    (squares, count),
                    (sum * sum - squares, count * (count - 1.)),
                    (sum * y, count),
                    (y * y, 1.),
                ])
            {
                *to = [to[0] + w * product, to[1] + w * number];
            }
        }
        let share = |[product, number]: [f64; 2]| if number > 0. { product / number } else { 0. };
        let (own, of_target) = (share(own), share(of_target));
        let other = share(other).clamp(-own / (size as f64), own);
        // The largest covariance with the target that the others allow.
        let bound = (of_target * (other + (own - other) / slots as f64)).max(0.).sqrt();
        let target = share(target).clamp(-bound, bound);
        let covariance = (0..size * size).map(|at| match (at / size, at % size) {
            (i, j) if i == j => {
                if i == slots {
                    of_target
                } else {
                    own
                }
            }
            (i, j) if i == slots || j == slots => target,
            _ => other,
        });
        Self { means, covariance: covariance.collect() }
    }

    /// One step of expectation-maximization.
    fn maximize(
        &self,
        table: &Array2<f64>,
        patterns: &Patterns,
        weights: &impl Fn(usize) -> f64,
        prior: &Self,
    ) -> Result<Self> {
        let size = self.means.len();
        let (mut sums, mut products, mut total) = (Array1::zeros(size), Array2::zeros((size, size)), 0.);
        for (present, rows) in patterns {
            let conditional = self.given(present)?;
            let mut about = Array2::zeros((rows.len(), size));
            let mut weight = 0.;
            for (row, mut about) in rows.iter().zip(about.rows_mut()) {
                let root = weights(*row).sqrt();
                let own = table.row(*row).to_vec();
                for i in &conditional.present {
                    about[*i] = root * (own[*i] - self.means[*i]);
                }
                for (m, x) in conditional.missing.iter().zip(conditional.expected(self, &own)) {
                    about[*m] = root * (x - self.means[*m]);
                }
                sums.scaled_add(root, &about);
                weight += weights(*row);
            }
            products = products + about.t().dot(&about);
            for (i, m) in conditional.missing.iter().enumerate() {
                for (j, n) in conditional.missing.iter().enumerate() {
                    products[[*m, *n]] += weight * conditional.rest[[i, j]];
                }
            }
            total += weight;
        }
        let shift = sums / total;
        let column = shift.view().insert_axis(Axis(1));
        let covariance = (products - column.dot(&column.t()) * total + prior.matrix()) / (total + 1.);
        let means = self.means.iter().zip(&shift).map(|(mean, shift)| mean + shift).collect();
        Ok(Self { means, covariance: covariance.into_iter().collect() })
    }

    /// The distribution of the missing cells given the others.
    fn given(&self, present: &[bool]) -> Result<Conditional> {
        let (there, missing): (Vec<usize>, Vec<usize>) = (0..present.len()).partition(|slot| present[*slot]);
        let all = self.matrix();
        let part = |rows: &[usize], columns: &[usize]| all.select(Axis(0), rows).select(Axis(1), columns);
        let (between, mut rest) = (part(&there, &missing), part(&missing, &missing));
        let slopes = match missing.is_empty() || there.is_empty() {
            true => Array2::zeros((there.len(), missing.len())),
            false => {
                // Scaled to a unit diagonal, so that units do not matter; a constant slot explains nothing.
                let mut system = part(&there, &there);
                let unit = system.diag().mapv(|x| if x > 0. { 1. / x.sqrt() } else { 0. });
                let column = unit.view().insert_axis(Axis(1));
                system *= &column;
                system *= &unit;
                system.diag_mut().fill(1. + JITTER);
                let solved = system.solvec_into(&between * &column).map_err(|e| {
                    Error::invalid("the predictions", "such that their covariance can be decomposed", e)
                })?;
                solved * column
            }
        };
        rest = rest - between.t().dot(&slopes);
        Ok(Conditional { present: there, missing, slopes, rest })
    }

    /// Draws the missing cells of `column`, given those of the table, which has the target too. Its rows come after `first`
    /// others.
    fn draw(
        &self,
        patterns: &Patterns,
        table: &Array2<f64>,
        column: &mut Column,
        (seed, first): (Seed, usize),
    ) -> Result<()> {
        for (present, rows) in patterns {
            let conditional = self.given(&[&present[..], &[true]].concat())?;
            let root = root(&conditional.rest);
            for row in rows {
                let mut rng = seed.nth("row", (first + *row) as u64).rng();
                let normal: Array1<f64> =
                    conditional.missing.iter().map(|_| StandardNormal.sample(&mut rng)).collect();
                let noise = root.dot(&normal);
                let expected = conditional.expected(self, &table.row(*row).to_vec());
                for ((slot, expected), noise) in conditional.missing.iter().zip(expected).zip(noise) {
                    column[[*row, *slot]] = expected + noise;
                }
            }
        }
        Ok(())
    }

    fn expect(&self, patterns: &Patterns, column: &mut Column) -> Result<()> {
        for (present, rows) in patterns {
            if !present.contains(&true) {
                rows.iter().for_each(|row| column.row_mut(*row).fill(f64::NAN));
                continue;
            }
            let conditional = self.given(present)?;
            for row in rows {
                let own = column.row(*row).to_vec();
                for (slot, x) in conditional.missing.iter().zip(conditional.expected(self, &own)) {
                    column[[*row, *slot]] = x;
                }
            }
        }
        Ok(())
    }

    /// The distribution of all cells but the last.
    fn without_last(&self) -> Self {
        let (size, kept) = (self.means.len(), self.means.len() - 1);
        let covariance =
            self.covariance.chunks_exact(size).take(kept).flat_map(|row| row[..kept].to_vec()).collect();
        Self { means: self.means[..kept].to_vec(), covariance }
    }
}

/// The lower triangular `L` with `L Lᵀ = m`; a direction without variance gets zeros.
fn root(m: &Array2<f64>) -> Array2<f64> {
    let size = m.nrows();
    let mut lower = Array2::<f64>::zeros((size, size));
    for j in 0..size {
        let dot = |lower: &Array2<f64>, i: usize| (0..j).map(|k| lower[[i, k]] * lower[[j, k]]).sum::<f64>();
        let pivot = m[[j, j]] - dot(&lower, j);
        if pivot > JITTER * m[[j, j]].abs() {
            lower[[j, j]] = pivot.sqrt();
            for i in j + 1..size {
                lower[[i, j]] = (m[[i, j]] - dot(&lower, i)) / lower[[j, j]];
            }
        }
    }
    lower
}
