//! Isotonic regression, one non-decreasing function for each class. (That of linfa-linear 0.8.1 pools too
//! many values: 0, 3, 4, 1 become 2, 2, 2, 2 rather than 0, 8/3, 8/3, 8/3.)
use crate::{combine::calibrate::cases::Cases, Error, Result as CrateResult};
use candle_core::{DType, Result, Tensor};
use serde::{Deserialize, Serialize};

/// A non-decreasing function of the probability for each class; `None` leaves the probability as it is. For
/// two classes only the second one has a function, and the first one gets the rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Isotonic(Vec<Option<Steps>>);

/// A function that is linear between its points and constant beyond them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Steps {
    /// The positions, increasing.
    x: Vec<f64>,
    /// The values, not decreasing.
    y: Vec<f64>,
}

/// Adjacent points with the same value.
struct Block {
    /// The first and the last position.
    x: [f64; 2],
    y: f64,
    weight: f64,
}

impl Isotonic {
    pub(crate) fn fit(cases: &Cases) -> Self {
        let present = |class: usize| cases.labels.contains(&class);
        let fit_class = |class: usize| {
            let points = cases.probs.iter().skip(class).step_by(cases.classes).zip(&cases.labels);
            let points = points
                .zip(&cases.weights)
                .map(|((x, label), w)| [*x, f64::from(u8::from(*label == class)), *w]);
            Steps::fit(points.collect())
        };
        Self(match cases.classes {
            2 if present(0) && present(1) => vec![None, Some(fit_class(1))],
            2 => vec![None, None],
            many => (0..many).map(|class| present(class).then(|| fit_class(class))).collect(),
        })
    }

    pub(crate) fn classes(&self) -> usize {
        self.0.len()
    }

    /// Checks that each function has as many values as positions, in order.
    pub(crate) fn check(&self) -> CrateResult<()> {
        if self.0.is_empty() {
            return Err(Error::invalid("number of classes of an isotonic calibration", "at least 1", 0));
        }
        self.0.iter().flatten().try_for_each(Steps::check)
    }

    pub(crate) fn apply(&self, probs: &Tensor) -> Result<Tensor> {
        let mut all: Vec<f64> = probs.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
        for row in all.chunks_exact_mut(self.0.len()) {
            for (p, steps) in row.iter_mut().zip(&self.0) {
                *p = steps.as_ref().map_or(*p, |steps| steps.value_at(*p));
            }
            if let ([p, q], Some(Some(_))) = (&mut *row, self.0.get(1)) {
                *p = 1. - *q;
            }
            let total: f64 = row.iter().sum();
            let uniform = 1. / row.len() as f64;
            row.iter_mut().for_each(|p| *p = if total == 0. { uniform } else { *p / total });
        }
        Tensor::from_vec(all, probs.shape(), probs.device())?.to_dtype(probs.dtype())
    }
}

impl Steps {
    /// The non-decreasing function with the least weighted squared distance to points `[x, y, weight]`, by
    /// pooling adjacent violators (Ayer et al. 1955, doi:10.1214/aoms/1177728423). Points with the same `x`
    /// are one point.
    fn fit(mut points: Vec<[f64; 3]>) -> Self {
        points.sort_by(|a, b| a[0].total_cmp(&b[0]));
        let mut blocks: Vec<Block> = vec![];
        for [x, y, weight] in points {
            match blocks.last_mut() {
                Some(same) if same.x[1] == x && same.x[0] == x => same.merge(x, y, weight),
                _ => {
                    // The last block has all of its points now.
                    pool_violators(&mut blocks);
                    blocks.push(Block { x: [x, x], y, weight });
                }
            }
        }
        pool_violators(&mut blocks);
        let (mut x, mut y) = (vec![], vec![]);
        for block in blocks {
            let ends = if block.x[0] == block.x[1] { 1 } else { 2 };
            x.extend(&block.x[..ends]);
            y.extend(std::iter::repeat_n(block.y, ends));
        }
        Self { x, y }
    }

    fn check(&self) -> CrateResult<()> {
        if self.x.is_empty() || self.x.len() != self.y.len() {
            let got = format!("{} and {}", self.x.len(), self.y.len());
            let what = "numbers of positions and values of an isotonic function";
            return Err(Error::invalid(what, "equal and positive", got));
        }
        let ordered = self.x.is_sorted_by(|a, b| a < b) && self.y.is_sorted();
        match ordered && self.x.iter().chain(&self.y).all(|x| x.is_finite()) {
            true => Ok(()),
            false => {
                let what = "positions and values of an isotonic function";
                Err(Error::invalid(what, "finite and in order", "not"))
            }
        }
    }

    fn value_at(&self, p: f64) -> f64 {
        if p.is_nan() {
            return p;
        }
        match self.x.partition_point(|x| *x < p) {
            0 => self.y[0],
            n if n == self.x.len() => self.y[n - 1],
            n => {
                let (x, y) = (&self.x[n - 1..=n], &self.y[n - 1..=n]);
                y[0] + (y[1] - y[0]) * ((p - x[0]) / (x[1] - x[0]))
            }
        }
    }
}

impl Block {
    /// Merges points up to position `to` into the block.
    fn merge(&mut self, to: f64, y: f64, weight: f64) {
        let total = self.weight + weight;
        self.y += (y - self.y) * (weight / total);
        self.x[1] = to;
        self.weight = total;
    }
}

/// Merges the last block with those before it, as long as their values are not smaller.
fn pool_violators(blocks: &mut Vec<Block>) {
    while let [.., before, last] = blocks.as_mut_slice() {
        if before.y < last.y {
            break;
        }
        before.merge(last.x[1], last.y, last.weight);
        blocks.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: 3, 4, 1 is pooled to its mean 8/3, and points with the same position are one point.
    #[test]
    fn decreasing_values_are_pooled() {
        let fit = |points: &[[f64; 2]]| Steps::fit(points.iter().map(|[x, y]| [*x, *y, 1.]).collect());
        let steps = fit(&[[3., 1.], [0., 0.], [1., 3.], [2., 4.]]);
        assert_eq!(steps.x, [0., 1., 3.]);
        steps.y.iter().zip([0., 8. / 3., 8. / 3.]).for_each(|(a, b)| assert!((a - b).abs() < 1e-12));
        assert!((steps.value_at(0.5) - 4. / 3.).abs() < 1e-12);
        assert_eq!((steps.value_at(-1.), steps.value_at(0.)), (0., 0.));
        assert_eq!((steps.value_at(2.), steps.value_at(9.)), (steps.y[2], steps.y[2]));
        let tied = fit(&[[0., 1.], [0., 0.], [1., 1.]]);
        assert_eq!((tied.x, tied.y), (vec![0., 1.], vec![0.5, 1.]));
        let weighted = Steps::fit(vec![[0., 1., 3.], [1., 0., 1.]]);
        assert_eq!(weighted.y, [0.75, 0.75]);
    }
}
