//! The Mahalanobis distance of features to those of the training.
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use linfa_linalg::{cholesky::*, triangular::*};
use ndarray::Array2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, ops::Range};

/// Rows that are taken at a time.
const BLOCK: usize = 1024;

/// How far the features of a row are from those of the training rows, in standard deviations of the features: a score that
/// finds rows of another kind.
///
/// ```text
/// distance  min_c d²(x, μ_c, Σ)                    relative  min_c [ d²(x, μ_c, Σ) − d²(x, μ, Σ₀) ]
/// d²(x, μ, Σ) = (x − μ)ᵀ Σ⁻¹ (x − μ)
/// Σ = 1/N Σ_i (x_i − μ_{y_i})(x_i − μ_{y_i})ᵀ, shrunk: (1 − s) Σ + s tr(Σ)/F I
/// ```
///
/// `μ_c` is the mean of the features of class `c`, and `Σ` their covariance around the means of their classes. `μ` and `Σ₀`
/// are the mean and covariance of all features, classes aside. The relative distance leaves out what all rows of the training
/// have in common, and is often better at finding rows that are near the training (new classes of the same kind of image).
///
/// Features are the outputs of a layer before the last one, `(N, F)`. A [`Sequential`](crate::nn::Sequential) gives them
/// ([`forward_first`](crate::nn::Sequential::forward_first), and [`train::features`](crate::train::features()) for a data
/// set); for a member of a pool, [`Pool::on_network`](crate::Pool::on_network) does, and scales inputs as in the training.
/// Fit on training rows. Of an ensemble, take the mean of the members' scores.
///
/// Use it where a network's probabilities are too sure of themselves; they know only which class is nearest. `s` is the
/// shrinkage, from 0 to 1: 0.01 or so where there are many more rows than features, and more where there are not. With 0 the
/// covariance must be of full rank, so no feature may be constant or a combination of others.
///
/// Cost: `O(N F² + F³)` for the fit, and `O(N F (F + C))` for scores, on all cores. Beside the features, memory for 1024 rows
/// in each thread, and for `F²` numbers.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::uncertainty::{Detection, Mahalanobis};
///
/// // Two classes, around (0, 0) and (4, 0).
/// let features = Tensor::new(&[[-1f64, 0.], [1., 0.], [0., 1.], [0., -1.], [3., 0.], [5., 0.], [4., 1.], [4., -1.]], &Device::Cpu)?;
/// let fitted = Mahalanobis::fit(&features, &[0, 0, 0, 0, 1, 1, 1, 1], 0.)?;
/// let new = Tensor::new(&[[1f64, 0.], [2., 3.]], &Device::Cpu)?;
/// let scores = fitted.distances(&new)?; // the covariance is 0.5 in each direction
/// assert!((scores[0] - 2.).abs() < 1e-12 && (scores[1] - 26.).abs() < 1e-12);
/// let detection = Detection::new(&fitted.distances(&features)?, &scores)?;
/// # assert!(detection.auroc > 0.5);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Lee, Lee, Lee and Shin 2018, arXiv:1807.03888; for the relative distance Ren et al. 2021, arXiv:2106.09022.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mahalanobis {
    classes: Gaussian,
    all: Gaussian,
}

/// Normal distributions with means of their own and a common covariance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Gaussian {
    features: usize,
    /// `W` with `W Σ Wᵀ = I`, `(F, F)`, row by row.
    whitening: Vec<f64>,
    /// The means, `(C, F)`, row by row.
    means: Vec<f64>,
}

impl Mahalanobis {
    /// Fits on the features `(N, F)` of training rows and their class ids. Classes without rows do not count.
    ///
    /// # Errors
    /// When there are no rows, the numbers of rows and labels differ, a feature is not finite, the shrinkage is not from 0 to
    /// 1, or the covariance is not of full rank.
    pub fn fit(features: &Tensor, labels: &[u32], shrinkage: f64) -> Result<Self> {
        let (rows, _) = shape(features)?;
        if rows != labels.len() || rows == 0 {
            let must = format!("{}, one for each label, and at least 1", labels.len());
            return Err(Error::invalid("number of rows of the features", must, rows));
        }
        if !(0. ..=1.).contains(&shrinkage) {
            return Err(Error::invalid("shrinkage", "from 0 to 1", shrinkage));
        }
        // Class ids as positions among those that occur.
        let mut positions: BTreeMap<u32, u32> = labels.iter().map(|label| (*label, 0)).collect();
        positions.values_mut().zip(0..).for_each(|(position, next)| *position = next);
        let classes: Vec<u32> = labels.iter().filter_map(|label| positions.get(label).copied()).collect();
        Ok(Self {
            classes: Gaussian::fit(features, &classes, positions.len(), shrinkage)?,
            all: Gaussian::fit(features, &vec![0; rows], 1, shrinkage)?,
        })
    }

    /// The squared distance of each row of `(N, F)` to the nearest class, 0 or more.
    ///
    /// # Errors
    /// When the number of features is not that of the fit, or a feature is not finite.
    pub fn distances(&self, features: &Tensor) -> Result<Vec<f64>> {
        self.classes.nearest(features)
    }

    /// The relative squared distance of each row of `(N, F)`: that to the nearest class less that to all rows of the training.
    ///
    /// # Errors
    /// As [`distances`](Self::distances).
    pub fn relative(&self, features: &Tensor) -> Result<Vec<f64>> {
        let (nearest, all) = (self.classes.nearest(features)?, self.all.nearest(features)?);
        Ok(nearest.iter().zip(all).map(|(nearest, all)| nearest - all).collect())
    }
}

impl Gaussian {
    /// Fits on features `(N, F)` and the class of each row, each below `classes` and each with a row.
    fn fit(features: &Tensor, labels: &[u32], classes: usize, shrinkage: f64) -> Result<Self> {
        let (rows, width) = shape(features)?;
        let index = Tensor::new(labels, &Device::Cpu)?;
        let index = |of: &Range<usize>| index.narrow(0, of.start, of.len());
        let counts = Tensor::zeros(classes, DType::F64, &Device::Cpu)?;
        let counts =
            counts.index_add(&index(&(0..rows))?, &Tensor::ones(rows, DType::F64, &Device::Cpu)?, 0)?;
        let sums = Tensor::zeros((classes, width), DType::F64, &Device::Cpu)?;
        let sums = fold_blocks(
            rows,
            sums,
            |of| table(features, of),
            |sums, of, x| Ok(sums.index_add(&index(of)?, &x, 0)?),
        )?;
        let means = sums.broadcast_div(&counts.unsqueeze(1)?)?;
        let squares = |of: &Range<usize>| {
            let centred = (table(features, of)? - means.index_select(&index(of)?, 0)?)?;
            Ok(centred.t()?.matmul(&centred)?)
        };
        let covariance = Tensor::zeros((width, width), DType::F64, &Device::Cpu)?;
        let covariance = fold_blocks(rows, covariance, squares, |sum, _, of_block| Ok((sum + of_block)?))?;
        let covariance = (covariance / rows as f64)?.flatten_all()?.to_vec1::<f64>()?;
        Ok(Self {
            features: width,
            whitening: whitening(covariance, width, shrinkage)?,
            means: means.flatten_all()?.to_vec1()?,
        })
    }

    /// The squared distance of each row to the nearest mean.
    fn nearest(&self, features: &Tensor) -> Result<Vec<f64>> {
        let (rows, width) = shape(features)?;
        if width != self.features {
            let must = format!("{}, as in the fit", self.features);
            return Err(Error::invalid("number of features", must, width));
        }
        let whitening =
            Tensor::from_slice(&self.whitening, (width, width), &Device::Cpu)?.t()?.contiguous()?;
        let means = Tensor::from_slice(&self.means, ((), width), &Device::Cpu)?;
        // Both are whitened once, around a centre, so that a common offset costs no digits.
        let centre = means.mean_keepdim(0)?;
        let white = |x: &Tensor| -> Result<Vec<f64>> {
            Ok(x.broadcast_sub(&centre)?.matmul(&whitening)?.flatten_all()?.to_vec1()?)
        };
        let means = white(&means)?;
        let nearest = |row: &[f64]| {
            let distances = means.chunks_exact(width).map(|mean| squared_distance(row, mean));
            distances.fold(f64::INFINITY, f64::min)
        };
        let of_block = |of: &Range<usize>| -> Result<Vec<f64>> {
            Ok(white(&table(features, of)?)?.chunks_exact(width).map(nearest).collect())
        };
        fold_blocks(rows, Vec::with_capacity(rows), of_block, |mut all, _, of_block| {
            all.extend(of_block);
            Ok(all)
        })
    }
}

/// Maps blocks of rows side by side, as many at a time as there are threads, and folds the results in their order.
fn fold_blocks<A, T: Send>(
    rows: usize,
    start: A,
    map: impl Fn(&Range<usize>) -> Result<T> + Sync,
    mut fold: impl FnMut(A, &Range<usize>, T) -> Result<A>,
) -> Result<A> {
    let blocks: Vec<_> = (0..rows).step_by(BLOCK).map(|from| from..rows.min(from + BLOCK)).collect();
    blocks.chunks(rayon::current_num_threads()).try_fold(start, |folded, some| {
        let mapped = some.par_iter().map(&map).collect::<Result<Vec<_>>>()?;
        some.iter().zip(mapped).try_fold(folded, |folded, (block, mapped)| fold(folded, block, mapped))
    })
}

/// The squared Euclidean distance, summed in lanes.
fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut lanes = [0.; 8];
    for (a, b) in a.iter().zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += (a - b) * (a - b);
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| (a - b) * (a - b)).sum();
    lanes.iter().sum::<f64>() + rest
}

/// The inverse of the Cholesky factor of a covariance, `(F, F)` row by row, that is shrunk towards a multiple of the identity.
fn whitening(mut covariance: Vec<f64>, width: usize, shrinkage: f64) -> Result<Vec<f64>> {
    let diagonal = || (0..width).map(|i| i * (width + 1));
    let mean = diagonal().filter_map(|i| covariance.get(i)).sum::<f64>() / width as f64;
    covariance.iter_mut().for_each(|x| *x *= 1. - shrinkage);
    for i in diagonal() {
        if let Some(x) = covariance.get_mut(i) {
            *x += shrinkage * mean;
        }
    }
    let singular = |why: &dyn std::fmt::Display| {
        let must = "of full rank; drop features that are constant within each class, or take more shrinkage";
        Error::invalid("covariance of the features", must, format!("singular ({why})"))
    };
    let covariance = Array2::from_shape_vec((width, width), covariance).map_err(|e| singular(&e))?;
    let lower = covariance.cholesky_into().map_err(|e| singular(&e))?;
    let inverse = lower.solve_triangular_into(Array2::eye(width), UPLO::Lower).map_err(|e| singular(&e))?;
    match inverse.iter().all(|x| x.is_finite()) {
        true => Ok(inverse.iter().copied().collect()),
        false => Err(singular(&"its factor is not finite")),
    }
}

/// The numbers of rows and of features.
fn shape(features: &Tensor) -> Result<(usize, usize)> {
    match *features.dims() {
        [rows, width] => Ok((rows, width)),
        _ => {
            let got = format!("of shape {:?}", features.dims());
            Err(Error::invalid("the features", "of shape (N, F)", got))
        }
    }
}

/// The features of some rows as f64 on the CPU, each finite.
fn table(features: &Tensor, of: &Range<usize>) -> Result<Tensor> {
    let (_, width) = shape(features)?;
    let features = features.narrow(0, of.start, of.len())?.to_device(&Device::Cpu)?;
    let features = features.to_dtype(DType::F64)?.contiguous()?;
    let values = features.flatten_all()?.to_vec1::<f64>()?;
    match values.iter().position(|x| !x.is_finite()) {
        None => Ok(features),
        Some(at) => {
            let what = format!("feature {} of row {}", at % width.max(1), of.start + at / width.max(1));
            Err(Error::invalid(what, "finite", values.get(at).copied().unwrap_or(f64::NAN)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LABELS: [u32; 8] = [7, 2, 7, 2, 7, 2, 7, 7];
    const FEATURES: [[f64; 3]; 8] = [
        [1.0, 0.5, -0.25],
        [3.0, 2.0, 1.5],
        [0.0, -1.0, 0.75],
        [4.0, 2.5, 0.0],
        [-1.5, 0.25, 2.0],
        [2.5, 4.0, -1.0],
        [0.5, 1.5, 1.0],
        [1.25, -0.5, 0.5],
    ];
    const NEW: [[f64; 3]; 3] = [[0.0, 0.0, 0.0], [3.0, 3.0, 0.5], [9.0, -4.0, 2.0]];

    fn tensor(values: &[[f64; 3]]) -> Tensor {
        Tensor::from_slice(&values.concat(), (values.len(), 3), &Device::Cpu).unwrap()
    }

    /// numpy's means, covariances and inverses: `tests/reference/mahalanobis.py`.
    #[test]
    fn distances_are_those_of_numpy() {
        for (shrinkage, distances, relative) in REFERENCE {
            let fitted = Mahalanobis::fit(&tensor(&FEATURES), &LABELS, shrinkage).unwrap();
            for (found, exact) in [
                (fitted.distances(&tensor(&NEW)).unwrap(), distances),
                (fitted.relative(&tensor(&NEW)).unwrap(), relative),
            ] {
                for (found, exact) in found.iter().zip(exact) {
                    assert!((found - exact).abs() < 1e-10 * exact.abs().max(1.), "{found} is not {exact}");
                }
            }
        }
    }

    const REFERENCE: [(f64, [f64; 3], [f64; 3]); 2] = [
        (
            0.0,
            [2.412176541713726, 0.3008362599637598, 103.96214698909124],
            [0.021938684568615585, -1.6305974668914618, -1.391114651965779],
        ),
        (
            0.25,
            [1.6784520948576123, 0.25026166858479726, 105.35032856140333],
            [-0.059539540845722216, -1.6321671521755396, 28.478607688624862],
        ),
    ];

    proptest! {
        /// A linear map of the features does not change the distances, as long as nothing is shrunk.
        #[test]
        fn the_units_of_the_features_do_not_count(scale in 0.1f64..10., shear in -2f64..2., shift in -5f64..5.) {
            let map = |rows: &[[f64; 3]]| -> Vec<[f64; 3]> {
                rows.iter().map(|[a, b, c]| [scale * a + shift, b + shear * a, c - shear * b]).collect()
            };
            let before = Mahalanobis::fit(&tensor(&FEATURES), &LABELS, 0.).unwrap();
            let after = Mahalanobis::fit(&tensor(&map(&FEATURES)), &LABELS, 0.).unwrap();
            for (a, b) in [
                (before.distances(&tensor(&NEW)).unwrap(), after.distances(&tensor(&map(&NEW))).unwrap()),
                (before.relative(&tensor(&NEW)).unwrap(), after.relative(&tensor(&map(&NEW))).unwrap()),
            ] {
                for (a, b) in a.iter().zip(b) {
                    prop_assert!((a - b).abs() < 1e-7 * b.abs().max(1.), "{a} {b}");
                }
            }
        }
    }

    /// Rows in several blocks, of many classes, far from the origin: each distance is that of the definition.
    #[test]
    fn blocks_of_rows_have_the_distances_of_the_definition() {
        let (rows, width, classes) = (2 * BLOCK + 77, 9, 5);
        let value = |i: usize, j: usize| 1e4 + ((i * 37 + j * 101) as f64).sin() + (i % classes * j) as f64;
        let values: Vec<f64> = (0..rows * width).map(|at| value(at / width, at % width)).collect();
        let features = Tensor::from_slice(&values, (rows, width), &Device::Cpu).unwrap();
        let labels: Vec<u32> = (0..rows).map(|row| (row % classes) as u32).collect();
        let fitted = Mahalanobis::fit(&features, &labels, 0.05).unwrap();
        let found = fitted.distances(&features).unwrap();
        let Gaussian { whitening, means, .. } = &fitted.classes;
        for row in [0, 1, BLOCK - 1, BLOCK, 2 * BLOCK + 76] {
            let x = &values[row * width..(row + 1) * width];
            let to_class = |mean: &[f64]| -> f64 {
                let white = whitening.chunks_exact(width).map(|w| {
                    w.iter().zip(x).zip(mean).map(|((w, x), mean)| w * (x - mean)).sum::<f64>().powi(2)
                });
                white.sum()
            };
            let exact = means.chunks_exact(width).map(to_class).fold(f64::INFINITY, f64::min);
            assert!(
                (found[row] - exact).abs() < 1e-8 * exact.max(1.),
                "{row}: {} is not {exact}",
                found[row]
            );
        }
        let mut bad = values;
        bad[(BLOCK + 3) * width + 2] = f64::INFINITY;
        let bad = Tensor::from_slice(&bad, (rows, width), &Device::Cpu).unwrap();
        let error = fitted.distances(&bad).unwrap_err().to_string();
        assert!(error.contains(&format!("feature 2 of row {} must be finite", BLOCK + 3)), "{error}");
    }

    #[test]
    fn what_is_saved_and_read_is_the_same() {
        let fitted = Mahalanobis::fit(&tensor(&FEATURES), &LABELS, 0.1).unwrap();
        let text = serde_json::to_string(&fitted).unwrap();
        assert_eq!(serde_json::from_str::<Mahalanobis>(&text).unwrap(), fitted);
    }

    #[test]
    fn bad_features_are_errors_that_name_the_fault() {
        let fit = |features: &[[f64; 3]], labels: &[u32], shrinkage| {
            Mahalanobis::fit(&tensor(features), labels, shrinkage).unwrap_err().to_string()
        };
        assert!(
            fit(&FEATURES, &[0], 0.).contains("number of rows of the features must be 1, one for each label")
        );
        assert!(fit(&FEATURES, &LABELS, 1.5).contains("shrinkage must be from 0 to 1"));
        let constant = FEATURES.map(|[a, b, _]| [a, b, 1.]);
        assert!(fit(&constant, &LABELS, 0.).contains("covariance of the features must be of full rank"));
        assert!(Mahalanobis::fit(&tensor(&constant), &LABELS, 0.1).is_ok());
        let mut bad = FEATURES;
        bad[2][1] = f64::NAN;
        assert!(fit(&bad, &LABELS, 0.1).contains("feature 1 of row 2 must be finite"));
        let fitted = Mahalanobis::fit(&tensor(&FEATURES), &LABELS, 0.1).unwrap();
        let two = Tensor::zeros((4, 2), DType::F32, &Device::Cpu).unwrap();
        assert!(fitted.distances(&two).unwrap_err().to_string().contains("number of features must be 3"));
        let images = Tensor::zeros((4, 3, 2), DType::F32, &Device::Cpu).unwrap();
        assert!(fitted
            .relative(&images)
            .unwrap_err()
            .to_string()
            .contains("features must be of shape (N, F)"));
        let none = Tensor::zeros((0, 3), DType::F32, &Device::Cpu).unwrap();
        assert!(fitted.distances(&none).unwrap().is_empty() && fitted.relative(&none).unwrap().is_empty());
    }
}
