//! How alike the weights of two networks are, by the cosine between them.
use crate::{
    kernels::cpu::with_slice,
    weights::{
        compatibility::{self, is_averaged},
        Weights,
    },
    Result,
};

/// The mean cosine between the weight matrices of two networks; none for networks without any.
///
/// Formula: `Σ n_l cos(A_l, B_l) / Σ n_l`, where `A_l` and `B_l` are the tensors of name `l` of the two networks
/// as vectors of `n_l` elements, and `cos(A, B) = A·B / (‖A‖ ‖B‖)`. Only floating-point tensors with at least
/// two dimensions larger than 1 are compared (weights of linear, convolutional and embedding layers), and only
/// those that are 0 in neither network: biases are small, and the scales of normalization layers stay near 1
/// whatever is learned.
///
/// Initial weights are drawn independently around 0, so for networks that were trained apart the cosine is near
/// 0: `1/√n` is the standard deviation for `n` independent elements, and what training adds is rarely above 0.3,
/// because each network has its own order of units. Networks of one run, or fine-tuned from one network, have
/// cosines near 1, mostly above 0.9. Only such networks can be averaged as they are.
///
/// Use it before a merge when there is no data to measure the [barrier](crate::merge::barrier()) with. Don't
/// take a high cosine for a proof that a merge works: it shows only that the networks are close.
///
/// # Errors
/// [`Error::Incompatible`](crate::Error::Incompatible) when names, shapes or dtypes differ.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::weights::{cosine, Weights};
///
/// let network = |w: [[f32; 2]; 2]| -> candle_core::Result<Weights> {
///     Ok(Weights::from([("weight".into(), Tensor::new(&w, &Device::Cpu)?)]))
/// };
/// let a = network([[1., 0.], [0., 1.]])?;
/// assert_eq!(cosine(&a, &a)?, Some(1.));
/// assert_eq!(cosine(&a, &network([[0., 1.], [1., 0.]])?)?, Some(0.)); // its units in another order
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Frankle et al. (2020), "Linear mode connectivity and the lottery ticket hypothesis",
/// arXiv:1912.05671, for which networks can be averaged.
pub fn cosine(a: &Weights, b: &Weights) -> Result<Option<f64>> {
    compatibility::check(&[a, b])?;
    let (mut sum, mut weight) = (0., 0.);
    for (name, x) in a.iter().filter(|(_, x)| is_averaged(x.dtype()) && is_matrix(x.dims())) {
        let Some(y) = b.get(name) else { continue };
        let products = with_slice::<f64, _>(x, |x| with_slice::<f64, _>(y, |y| products(x, y)))??;
        let [xx, yy, xy] = products;
        let norms = (xx * yy).sqrt();
        if norms > 0. {
            let len = x.elem_count() as f64;
            sum += len * (xy / norms).clamp(-1., 1.);
            weight += len;
        }
    }
    Ok((weight > 0.).then(|| sum / weight))
}

/// `x·x`, `y·y` and `x·y`, each relative to the largest magnitudes, so that no square overflows.
fn products(x: &[f64], y: &[f64]) -> [f64; 3] {
    let largest = |x: &[f64]| x.iter().fold(f64::MIN_POSITIVE, |largest, x| x.abs().max(largest));
    let (x_unit, y_unit) = (largest(x), largest(y));
    x.iter().zip(y).fold([0.; 3], |[xx, yy, xy], (x, y)| {
        let (x, y) = (x / x_unit, y / y_unit);
        [xx + x * x, yy + y * y, xy + x * y]
    })
}

/// Whether a tensor of this shape is the weights of a layer, rather than a bias or a scale.
pub(crate) fn is_matrix(shape: &[usize]) -> bool {
    shape.iter().filter(|dim| **dim > 1).count() >= 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device, Tensor};

    fn network(matrix: &[[f64; 2]; 2], bias: [f64; 2], scale: f64, dtype: DType) -> Weights {
        let tensor = |t: candle_core::Result<Tensor>| t.unwrap().to_dtype(dtype).unwrap();
        Weights::from([
            ("layer.weight".into(), tensor(Tensor::new(matrix, &Device::Cpu).unwrap() * scale)),
            ("layer.bias".into(), tensor(Tensor::new(&bias, &Device::Cpu))),
        ])
    }

    #[test]
    fn only_matrices_count_whatever_their_scale() -> Result<()> {
        for (dtype, scale) in [(DType::F32, 1.), (DType::F64, 1e300), (DType::F64, 1e-300), (DType::F16, 1.)]
        {
            let a = network(&[[3., 0.], [0., 4.]], [1., 1.], scale, dtype);
            let b = network(&[[4., 0.], [0., 3.]], [-1., -1.], scale, dtype);
            let got = cosine(&a, &b)?.unwrap();
            assert!((got - 24. / 25.).abs() < 1e-12, "{dtype:?} {scale}: {got}");
        }
        let without = Weights::from([("bias".into(), Tensor::new(&[1f32, 2.], &Device::Cpu)?)]);
        assert_eq!(cosine(&without, &without)?, None);
        assert!(cosine(&without, &Weights::new()).is_err());
        Ok(())
    }

    #[test]
    fn the_mean_is_weighted_by_the_numbers_of_elements() -> Result<()> {
        let of = |small: [[f32; 2]; 2], large: [[f32; 3]; 4]| -> candle_core::Result<Weights> {
            let (small, large) = (Tensor::new(&small, &Device::Cpu)?, Tensor::new(&large, &Device::Cpu)?);
            Ok(Weights::from([("small".into(), small), ("large".into(), large)]))
        };
        let (a, b) = (of([[1., 0.]; 2], [[1.; 3]; 4])?, of([[0., 1.]; 2], [[2.; 3]; 4])?);
        assert_eq!(cosine(&a, &b)?, Some(12. / 16.));
        Ok(())
    }
}
