//! The energy score.
use crate::{check::positive, Error, Result};
use candle_core::{DType, Tensor};
use rayon::prelude::*;

/// The energy of each row from its logits `(N, C)`: larger for rows that are less like those of the training.
///
/// ```text
/// E(z) = −T ln Σ_c exp(z_c / T)
/// ```
///
/// A softmax forgets the size of the logits; the energy keeps it, so it often tells other data from those of the training
/// better than the largest probability does. The temperature `T` is above 0, and 1 as a rule. Of an ensemble take the mean of
/// the members' energies ([`Ensemble::energy`](crate::Ensemble::energy)). Networks whose logits are normalized, such as log-probabilities, have an energy of 0 everywhere.
///
/// # Errors
/// When the logits are not of shape `(N, C)` for 2 classes or more, or are NaN, or the temperature is not above 0.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::uncertainty::energy;
///
/// let logits = Tensor::new(&[[9f64, 1., 0.], [0.1, 0., 0.]], &Device::Cpu)?;
/// let scores = energy(&logits, 1.)?;
/// assert!(scores[0] < scores[1]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Liu et al. 2020, arXiv:2010.03759.
pub fn energy(logits: &Tensor, temperature: f64) -> Result<Vec<f64>> {
    energy_from(logits, temperature, 0)
}

/// The energies of rows whose numbers, for errors, begin at `start`.
pub(crate) fn energy_from(logits: &Tensor, temperature: f64, start: usize) -> Result<Vec<f64>> {
    positive("the temperature", temperature)?;
    let classes = match *logits.dims() {
        [_, classes] if classes > 1 => classes,
        _ => {
            let must =
                "of shape (N, C) for 2 classes or more (a single logit z of class 1 stands for the logits 0 and z)";
            return Err(Error::invalid("the logits", must, format!("of shape {:?}", logits.dims())));
        }
    };
    let logits = logits.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    let of_row = |(row, z): (usize, &[f64])| {
        let greatest = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = z.iter().map(|z| ((z - greatest) / temperature).exp()).sum();
        let energy = 0. - greatest - temperature * sum.ln();
        match energy.is_finite() {
            true => Ok(energy),
            false => Err(Error::invalid(format!("logits of row {}", start + row), "finite", energy)),
        }
    };
    logits.par_chunks_exact(classes).enumerate().map(of_row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn energies_are_those_of_the_formula_and_do_not_overflow() {
        let logits = Tensor::new(&[[1f64, 2., 3.], [1000., 1000., 0.]], &Device::Cpu).unwrap();
        for t in [0.5, 1., 4.] {
            let got = energy(&logits, t).unwrap();
            let exact = -t * [1f64, 2., 3.].iter().map(|z| (z / t).exp()).sum::<f64>().ln();
            assert!((got[0] - exact).abs() < 1e-12);
            assert!((got[1] + 1000. + t * 2f64.ln()).abs() < 1e-9);
        }
        assert!(energy(&logits, 0.).is_err() && energy(&(logits * f64::NAN).unwrap(), 1.).is_err());
    }

    /// The energy of a single logit would be its negative, whatever it says of the other class.
    #[test]
    fn logits_of_one_class_are_refused() {
        for dims in [&[3usize, 1][..], &[3], &[3, 2, 2]] {
            let logits = Tensor::zeros(dims, DType::F32, &Device::Cpu).unwrap();
            let e = energy(&logits, 1.).unwrap_err().to_string();
            assert!(e.starts_with("the logits must be of shape (N, C) for 2 classes or more"), "{e}");
        }
    }
}
