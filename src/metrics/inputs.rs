//! Inputs of the metrics: checked, and visited row by row in f64.
use crate::{kernels::sums, Error, Result};
use candle_core::{DType, Device, Tensor, D};
use std::borrow::Cow;

/// Number of elements that are converted at a time. They fit in the cache, and are fewer than 64 Ki, from
/// where on candle's conversions wait for its global thread pool.
const CHUNK: usize = 32 * 1024;

/// Class probabilities with their labels and weights.
pub(crate) struct Cases<'a> {
    probs: Table<'a>,
    labels: &'a [u32],
    weights: Option<&'a [f64]>,
    tolerance: f64,
}

/// One row of [`Cases`].
pub(crate) struct Case<'a> {
    /// Probability of each class.
    pub(crate) probs: &'a [f64],
    /// The true class, below their number.
    pub(crate) label: usize,
    /// The most probable class, the lowest of equals.
    pub(crate) top: usize,
    /// Its probability.
    pub(crate) confidence: f64,
    /// Weight of the row.
    pub(crate) weight: f64,
}

impl Case<'_> {
    /// Whether the most probable class is the true one.
    pub(crate) fn is_correct(&self) -> bool {
        self.top == self.label
    }
}

impl<'a> Cases<'a> {
    pub(crate) fn new(probs: &Tensor, labels: &'a [u32], weights: Option<&'a [f64]>) -> Result<Self> {
        let tolerance = match probs.dtype() {
            DType::F16 => 2f64.powi(-9),
            DType::BF16 => 2f64.powi(-6),
            _ => 1e-3,
        };
        if probs.rank() != 2 {
            return Err(Error::invalid(
                "shape of the probabilities",
                "(N, C)",
                format!("{:?}", probs.dims()),
            ));
        }
        Self::of(Table::new("probabilities", probs)?, labels, weights, tolerance)
    }

    /// The same for probabilities `(N, width)` in a slice.
    pub(crate) fn of_slice(
        probs: &'a [f64],
        width: usize,
        labels: &'a [u32],
        weights: Option<&'a [f64]>,
    ) -> Result<Self> {
        Self::of(Table::of_slice("probabilities", probs, width)?, labels, weights, 1e-3)
    }

    fn of(probs: Table<'a>, labels: &'a [u32], weights: Option<&'a [f64]>, tolerance: f64) -> Result<Self> {
        if labels.len() != probs.rows {
            return Err(Error::invalid(
                "number of labels",
                format!("{}, one for each row", probs.rows),
                labels.len(),
            ));
        }
        if let Some(row) = labels.iter().position(|&label| label as usize >= probs.columns) {
            let must = format!("below {}, the number of classes", probs.columns);
            return Err(Error::invalid(format!("label of row {row}"), must, labels[row]));
        }
        check_weights(weights, probs.rows)?;
        Ok(Self { probs, labels, weights, tolerance })
    }

    /// Calls `visit` for every row, in order.
    pub(crate) fn each(&self, mut visit: impl FnMut(Case<'_>)) -> Result<()> {
        let columns = self.probs.columns;
        for (start, len) in self.probs.chunks() {
            let chunk = self.probs.load(start, len)?;
            for (row, (probs, &label)) in
                (start..).zip(chunk.chunks_exact(columns).zip(&self.labels[start..start + len]))
            {
                let confidence = check_distribution(row, probs, self.tolerance)?;
                let top = probs.iter().position(|p| *p == confidence).unwrap_or_default();
                let weight = weight(self.weights, row);
                visit(Case { probs, label: label as usize, top, confidence, weight });
            }
        }
        Ok(())
    }
}

/// One row of [`Pairs`].
#[derive(Clone, Copy)]
pub(crate) struct Pair<'a> {
    pub(crate) predictions: &'a [f64],
    pub(crate) targets: &'a [f64],
    /// Weight of the row.
    pub(crate) weight: f64,
}

/// Regression predictions with their targets and weights.
pub(crate) struct Pairs<'a> {
    predictions: Table<'a>,
    targets: Table<'a>,
    weights: Option<&'a [f64]>,
}

impl<'a> Pairs<'a> {
    pub(crate) fn new(predictions: &Tensor, targets: &Tensor, weights: Option<&'a [f64]>) -> Result<Self> {
        Self::of(Table::new("predictions", predictions)?, Table::new("targets", targets)?, weights)
    }

    /// The same for predictions and targets `(N, width)` in slices.
    pub(crate) fn of_slices(
        predictions: &'a [f64],
        targets: &'a [f64],
        width: usize,
        weights: Option<&'a [f64]>,
    ) -> Result<Self> {
        let predictions = Table::of_slice("predictions", predictions, width)?;
        Self::of(predictions, Table::of_slice("targets", targets, width)?, weights)
    }

    fn of(predictions: Table<'a>, targets: Table<'a>, weights: Option<&'a [f64]>) -> Result<Self> {
        let shape = |t: &Table<'_>| (t.rows, t.columns);
        if shape(&targets) != shape(&predictions) {
            return Err(Error::invalid(
                "shape of the targets",
                format!("{:?}, that of the predictions", shape(&predictions)),
                format!("{:?}", shape(&targets)),
            ));
        }
        check_weights(weights, predictions.rows)?;
        Ok(Self { predictions, targets, weights })
    }

    /// Calls `visit` for every row, in order.
    pub(crate) fn each(&self, mut visit: impl FnMut(Pair<'_>)) -> Result<()> {
        let columns = self.predictions.columns;
        for (start, len) in self.predictions.chunks() {
            let (predictions, targets) = (self.predictions.load(start, len)?, self.targets.load(start, len)?);
            let pairs = predictions.chunks_exact(columns).zip(targets.chunks_exact(columns));
            for (row, (predictions, targets)) in (start..).zip(pairs) {
                check_finite("prediction", row, predictions)?;
                check_finite("target", row, targets)?;
                visit(Pair { predictions, targets, weight: weight(self.weights, row) });
            }
        }
        Ok(())
    }
}

/// Accumulates a weighted mean.
#[derive(Default)]
pub(crate) struct Mean {
    sum: f64,
    weight: f64,
}

impl Mean {
    pub(crate) fn add(&mut self, value: f64, weight: f64) {
        self.sum += weight * value;
        self.weight += weight;
    }

    pub(crate) fn get(&self) -> f64 {
        self.sum / self.weight
    }
}

/// Checks that `value` is finite, which it is unless finite inputs are too large for sums in f64.
pub(crate) fn finite(what: &str, value: f64) -> Result<f64> {
    if value.is_finite() {
        return Ok(value);
    }
    Err(Error::invalid(what, "finite: rescale predictions and targets", value))
}

/// Numbers `(rows, columns)` with at least one row and one column.
struct Table<'a> {
    values: Values<'a>,
    rows: usize,
    columns: usize,
}

/// Where the numbers of a [`Table`] are.
enum Values<'a> {
    /// A float tensor on the CPU.
    Tensor(Tensor),
    Slice(&'a [f64]),
}

impl<'a> Table<'a> {
    fn new(what: &str, values: &Tensor) -> Result<Self> {
        if !matches!(values.dtype(), DType::F16 | DType::BF16 | DType::F32 | DType::F64) {
            let got = values.dtype().as_str();
            return Err(Error::invalid(format!("dtype of the {what}"), "f16, bf16, f32 or f64", got));
        }
        let values = match values.rank() {
            1 => values.unsqueeze(D::Minus1)?,
            2 => values.clone(),
            _ => {
                let got = format!("{:?}", values.dims());
                return Err(Error::invalid(format!("shape of the {what}"), "(N,) or (N, K)", got));
            }
        };
        let (rows, columns) = values.dims2()?;
        check_not_empty(what, rows, columns)?;
        // The whole tensor, because candle copies the whole storage of a narrowed tensor to the CPU.
        let values = Values::Tensor(values.detach().to_device(&Device::Cpu)?);
        Ok(Self { values, rows, columns })
    }

    fn of_slice(what: &str, values: &'a [f64], columns: usize) -> Result<Self> {
        let rows = values.len().checked_div(columns).unwrap_or_default();
        check_not_empty(what, rows, columns)?;
        if rows * columns != values.len() {
            let must = format!("a multiple of {columns}, the number of columns");
            return Err(Error::invalid(format!("the number of the {what}"), must, values.len()));
        }
        Ok(Self { values: Values::Slice(values), rows, columns })
    }

    /// The first row and the number of rows of each part to load.
    fn chunks(&self) -> impl Iterator<Item = (usize, usize)> {
        let rows = self.rows;
        let step = (CHUNK / self.columns).max(1);
        (0..rows).step_by(step).map(move |start| (start, step.min(rows - start)))
    }

    fn load(&self, start: usize, len: usize) -> Result<Cow<'a, [f64]>> {
        match &self.values {
            Values::Tensor(values) => {
                let rows = values.narrow(0, start, len)?.to_dtype(DType::F64)?;
                Ok(Cow::Owned(rows.flatten_all()?.to_vec1()?))
            }
            Values::Slice(values) => {
                let part = start * self.columns..(start + len) * self.columns;
                Ok(Cow::Borrowed(values.get(part).unwrap_or_default()))
            }
        }
    }
}

fn check_not_empty(what: &str, rows: usize, columns: usize) -> Result<()> {
    if rows == 0 || columns == 0 {
        let got = format!("{rows} by {columns}");
        return Err(Error::invalid(what, "of at least one row and one column", got));
    }
    Ok(())
}

fn weight(weights: Option<&[f64]>, row: usize) -> f64 {
    weights.map_or(1.0, |w| w[row])
}

fn check_weights(weights: Option<&[f64]>, rows: usize) -> Result<()> {
    let Some(weights) = weights else { return Ok(()) };
    if weights.len() != rows {
        return Err(Error::invalid("number of weights", format!("{rows}, one for each row"), weights.len()));
    }
    if let Some(row) = weights.iter().position(|w| !w.is_finite() || *w < 0.0) {
        return Err(Error::invalid(format!("weight of row {row}"), "finite and not negative", weights[row]));
    }
    if weights.iter().all(|&w| w == 0.0) {
        return Err(Error::invalid("sum of the weights", "positive", 0));
    }
    Ok(())
}

/// Checks the probabilities of a row, and returns the greatest.
fn check_distribution(row: usize, probs: &[f64], tolerance: f64) -> Result<f64> {
    let sum = sums::sum(probs, |p| p);
    let (low, high) = sums::range(probs);
    // Written so that a NaN, which makes the sum NaN, is an error.
    if (sum - 1.0).abs() <= tolerance && low >= -tolerance && high <= 1.0 + tolerance {
        return Ok(high);
    }
    let allowed = -tolerance..=1.0 + tolerance;
    Err(match probs.iter().position(|p| !allowed.contains(p)) {
        Some(class) => {
            let what = format!("probability of class {class} in row {row}");
            Error::invalid(what, "between 0 and 1", probs[class])
        }
        None => {
            let must = format!("1 within {tolerance}");
            Error::invalid(format!("sum of the probabilities in row {row}"), must, sum)
        }
    })
}

fn check_finite(what: &str, row: usize, values: &[f64]) -> Result<()> {
    match values.iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(k) => Err(Error::invalid(format!("{what} of row {row}, output {k},"), "finite", values[k])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Var;

    fn cases(probs: &Tensor, labels: &[u32], weights: Option<&[f64]>) -> Result<usize> {
        let mut rows = 0;
        Cases::new(probs, labels, weights)?.each(|_| rows += 1)?;
        Ok(rows)
    }

    #[test]
    fn slices_are_read_as_tensors_are() {
        let values = [0.5, 0.5, 0.25, 0.75, 1.0, 0.0];
        let mut rows = vec![];
        let see = |case: Case<'_>| rows.push((case.probs.to_vec(), case.top, case.confidence, case.weight));
        Cases::of_slice(&values, 2, &[0, 0, 0], Some(&[1.0, 2.0, 3.0])).unwrap().each(see).unwrap();
        let expected =
            [(vec![0.5, 0.5], 0, 0.5, 1.0), (vec![0.25, 0.75], 1, 0.75, 2.0), (vec![1.0, 0.0], 0, 1.0, 3.0)];
        assert_eq!(rows, expected);
        let mut read = vec![];
        let see = |pair: Pair<'_>| read.extend([pair.predictions, pair.targets].concat());
        Pairs::of_slices(&values[..2], &values[2..4], 2, None).unwrap().each(see).unwrap();
        assert_eq!(read, values[..4]);
        let fails = |width| Cases::of_slice(&values, width, &[0], None).err().unwrap().to_string();
        assert_eq!(
            fails(4),
            "the number of the probabilities must be a multiple of 4, the number of columns, but is 6"
        );
        assert!(fails(0).contains("at least one row and one column"));
    }

    fn pairs(predictions: &Tensor, targets: &Tensor) -> Result<usize> {
        let mut rows = 0;
        Pairs::new(predictions, targets, None)?.each(|_| rows += 1)?;
        Ok(rows)
    }

    fn fails_with<T: std::fmt::Debug>(result: Result<T>, message: &str) {
        assert_eq!(result.unwrap_err().to_string(), message);
    }

    fn tensor(rows: &[[f64; 2]]) -> Tensor {
        Tensor::from_slice(rows.as_flattened(), (rows.len(), 2), &Device::Cpu).unwrap()
    }

    #[test]
    fn bad_probabilities_are_errors_that_name_them() {
        let two = |second| tensor(&[[0.5, 0.5], second]);
        let check = |second| cases(&two(second), &[0, 1], None);
        assert_eq!(check([0.25, 0.7509]).unwrap(), 2);
        assert_eq!(check([-0.0005, 1.0005]).unwrap(), 2);
        fails_with(
            check([0.25, 0.5]),
            "sum of the probabilities in row 1 must be 1 within 0.001, but is 0.75",
        );
        fails_with(
            check([0.5, f64::NAN]),
            "probability of class 1 in row 1 must be between 0 and 1, but is NaN",
        );
        fails_with(
            check([-0.5, 1.5]),
            "probability of class 0 in row 1 must be between 0 and 1, but is -0.5",
        );
        fails_with(
            check([f64::INFINITY, f64::NEG_INFINITY]),
            "probability of class 0 in row 1 must be between 0 and 1, but is inf",
        );
    }

    #[test]
    fn bad_labels_and_shapes_are_errors_that_name_them() {
        let probs = tensor(&[[0.5, 0.5], [1.0, 0.0]]);
        fails_with(
            cases(&probs, &[0, 2], None),
            "label of row 1 must be below 2, the number of classes, but is 2",
        );
        fails_with(cases(&probs, &[0], None), "number of labels must be 2, one for each row, but is 1");
        let flat = probs.flatten_all().unwrap();
        fails_with(
            cases(&flat, &[0, 0, 0, 0], None),
            "shape of the probabilities must be (N, C), but is [4]",
        );
        for shape in [(0, 2), (2, 0)] {
            let empty = Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
            let got = format!("but is {} by {}", shape.0, shape.1);
            fails_with(
                cases(&empty, &vec![0; shape.0], None),
                &format!("probabilities must be of at least one row and one column, {got}"),
            );
        }
        let whole = Tensor::ones((2, 1), DType::U32, &Device::Cpu).unwrap();
        fails_with(
            cases(&whole, &[0, 0], None),
            "dtype of the probabilities must be f16, bf16, f32 or f64, but is u32",
        );
    }

    #[test]
    fn bad_weights_are_errors_that_name_them() {
        let probs = tensor(&[[0.5, 0.5], [1.0, 0.0]]);
        let check = |weights: &[f64]| cases(&probs, &[0, 1], Some(weights));
        assert_eq!(check(&[0.0, 2.0]).unwrap(), 2);
        fails_with(check(&[1.0]), "number of weights must be 2, one for each row, but is 1");
        fails_with(check(&[1.0, -1.0]), "weight of row 1 must be finite and not negative, but is -1");
        fails_with(check(&[f64::NAN, 1.0]), "weight of row 0 must be finite and not negative, but is NaN");
        fails_with(check(&[0.0, 0.0]), "sum of the weights must be positive, but is 0");
    }

    #[test]
    fn bad_regression_inputs_are_errors_that_name_them() {
        let a = tensor(&[[1.0, 2.0], [3.0, 4.0]]);
        fails_with(
            pairs(&a, &tensor(&[[1.0, 2.0]])),
            "shape of the targets must be (2, 2), that of the predictions, but is (1, 2)",
        );
        let bad = tensor(&[[1.0, 2.0], [3.0, f64::NAN]]);
        fails_with(pairs(&bad, &a), "prediction of row 1, output 1, must be finite, but is NaN");
        fails_with(pairs(&a, &bad), "target of row 1, output 1, must be finite, but is NaN");
        let deep = a.reshape((1, 2, 2)).unwrap();
        fails_with(pairs(&deep, &a), "shape of the predictions must be (N,) or (N, K), but is [1, 2, 2]");
        let none = Tensor::zeros(0, DType::F32, &Device::Cpu).unwrap();
        fails_with(
            pairs(&none, &none),
            "predictions must be of at least one row and one column, but is 0 by 1",
        );
    }

    #[test]
    fn a_column_equals_a_vector_and_is_not_broadcast() {
        let column = Tensor::new(&[[1f32], [2.0], [3.0]], &Device::Cpu).unwrap();
        let vector = Tensor::new(&[1f64, 2.0, 3.0], &Device::Cpu).unwrap();
        Pairs::new(&column, &vector, None).unwrap().each(|p| assert_eq!(p.predictions, p.targets)).unwrap();
        assert!(Pairs::new(&column.t().unwrap(), &vector, None).is_err());
    }

    #[test]
    fn rows_are_visited_in_order_across_chunks_for_any_layout_and_dtype() {
        // 100 columns do not divide a chunk, and the table takes several.
        let (n, c) = (1000usize, 100usize);
        let values: Vec<f32> = (0..n * c).map(|x| (x / c % 50) as f32 + (x % c) as f32).collect();
        let plain = Tensor::from_vec(values, (n, c), &Device::Cpu).unwrap();
        let strided = plain.t().unwrap().contiguous().unwrap().t().unwrap();
        let tracked = Var::from_tensor(&plain).unwrap();
        let mut tables = vec![strided, tracked.as_tensor().clone()];
        for dtype in [DType::F16, DType::BF16, DType::F64] {
            tables.push(plain.to_dtype(dtype).unwrap());
        }
        for table in tables {
            let mut row = 0;
            let seen = |pair: Pair<'_>| {
                let p = pair.predictions;
                assert_eq!(p.len(), c);
                assert_eq!((p[0], p[c - 1]), ((row % 50) as f64, (row % 50 + c - 1) as f64));
                row += 1;
            };
            Pairs::new(&table, &plain, None).unwrap().each(seen).unwrap();
            assert_eq!(row, n);
        }
    }

    #[test]
    fn rounding_of_the_small_float_types_is_tolerated() {
        // In bf16 the second row is 180/256 and 153/512, which sum to 1.00195.
        let rows = Tensor::new(&[[0.7f32, 0.3], [0.7015, 0.2985]], &Device::Cpu).unwrap();
        for dtype in [DType::F16, DType::BF16] {
            assert_eq!(cases(&rows.to_dtype(dtype).unwrap(), &[0, 1], None).unwrap(), 2);
        }
        let off = Tensor::new(&[[0.72f32, 0.30]], &Device::Cpu).unwrap();
        for dtype in [DType::F16, DType::BF16, DType::F32] {
            assert!(cases(&off.to_dtype(dtype).unwrap(), &[0], None).is_err());
        }
    }
}
