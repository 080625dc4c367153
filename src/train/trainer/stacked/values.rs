//! Values of variables that are put back, and comparisons to the bit.
use crate::{weights::batch_norm::bits, Result};
use candle_core::{Result as CandleResult, Tensor, Var};

/// What variables were.
pub(super) struct Values(Vec<(Var, Tensor)>);

impl Values {
    pub(super) fn of(vars: impl IntoIterator<Item = Var>) -> CandleResult<Self> {
        let copied = |var: Var| {
            let copy = var.copy()?.detach();
            Ok((var, copy))
        };
        vars.into_iter().map(copied).collect::<CandleResult<_>>().map(Self)
    }

    /// Sets the variables to these values.
    pub(super) fn restore(&self) -> CandleResult<()> {
        self.0.iter().try_for_each(|(var, value)| var.set(value))
    }

    /// Whether the variables have these values now, to the bit.
    pub(super) fn are_unchanged(&self) -> Result<bool> {
        all(self.0.iter().map(|(var, value)| are_same(var.as_tensor(), value)))
    }
}

/// Whether all are true.
pub(super) fn all(of: impl IntoIterator<Item = Result<bool>>) -> Result<bool> {
    for is in of {
        if !is? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether two tensors are the same, to the bit.
pub(super) fn are_same(a: &Tensor, b: &Tensor) -> Result<bool> {
    if a.dims() != b.dims() || a.dtype() != b.dtype() {
        return Ok(false);
    }
    // Numbers of every type are exact in f64, but for integers that no layer counts to.
    Ok(bits(a)? == bits(b)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn values_come_back_and_bits_are_compared() {
        let var = Var::new(&[1f32, 0., f32::NAN], &Device::Cpu).unwrap();
        let values = Values::of([var.clone()]).unwrap();
        assert!(values.are_unchanged().unwrap());
        for other in [[1., -0., f32::NAN], [2., 0., f32::NAN], [1., 0., 3.]] {
            var.set(&Tensor::new(&other, &Device::Cpu).unwrap()).unwrap();
            assert!(!values.are_unchanged().unwrap(), "{other:?}");
            values.restore().unwrap();
            assert!(values.are_unchanged().unwrap());
        }
        let other = Tensor::new(&[1f64, 0., f64::NAN], &Device::Cpu).unwrap();
        assert!(!are_same(var.as_tensor(), &other).unwrap());
        assert!(!are_same(&other, &other.reshape((1, 3)).unwrap()).unwrap());
    }
}
