//! Weighted sums of networks.
use crate::{member::Weights, Error, Result};
use candle_core::{DType, Tensor};
use std::collections::BTreeMap;

/// `Σₖ cₖ θₖ`, floats in f32 or better and cast back; whole numbers are the first network's.
pub(super) fn blend(networks: &[&Weights], shares: &[f64]) -> Result<Weights> {
    let Some((first, rest)) = networks.split_first() else {
        return Err(Error::invalid("the networks", "at least one", 0));
    };
    if shares.len() != networks.len() || shares.iter().any(|share| !share.is_finite()) {
        return Err(Error::invalid(
            "the shares",
            format!("{} finite numbers", networks.len()),
            format!("{shares:?}"),
        ));
    }
    rest.iter().try_for_each(|other| alike(first, other))?;
    let mix = |(name, tensor): (&String, &Tensor)| {
        if !tensor.dtype().is_float() {
            return Ok((name.clone(), tensor.clone()));
        }
        let wide = if tensor.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
        let terms = networks.iter().zip(shares).filter_map(|(network, share)| {
            network.get(name).map(|tensor| tensor.detach().to_dtype(wide)?.affine(*share, 0.))
        });
        let sum = terms.reduce(|a, b| a? + b?).transpose()?;
        Ok((name.clone(), sum.unwrap_or_else(|| tensor.clone()).to_dtype(tensor.dtype())?))
    };
    first.iter().map(mix).collect()
}

/// The plain mean.
pub(super) fn mean(networks: &[&Weights]) -> Result<Weights> {
    blend(networks, &vec![1. / networks.len().max(1) as f64; networks.len()])
}

/// An error that lists every name, shape or dtype that differs.
pub(super) fn alike(a: &Weights, b: &Weights) -> Result<()> {
    let kind = |t: &Tensor| format!("{} {:?}", t.dtype().as_str(), t.dims());
    let mut kinds: BTreeMap<&String, [Option<String>; 2]> = BTreeMap::new();
    for (side, weights) in [a, b].into_iter().enumerate() {
        for (name, tensor) in weights {
            kinds.entry(name).or_default()[side] = Some(kind(tensor));
        }
    }
    let odd = kinds.iter().filter(|(_, [a, b])| a != b).map(|(name, sides)| {
        let [a, b] = sides.each_ref().map(|side| side.as_deref().unwrap_or("missing"));
        format!("{name}: {a} and {b}")
    });
    match odd.collect::<Vec<_>>() {
        odd if odd.is_empty() => Ok(()),
        odd => Err(Error::Foreign { what: "a network to merge".into(), why: odd.join("; ") }),
    }
}

/// Whether this is one of batch-norm's running statistics, which are measured and not trained.
pub(super) fn is_statistic(name: &str) -> bool {
    name.ends_with("running_mean") || name.ends_with("running_var")
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn one(value: f32, dtype: DType) -> Weights {
        let tensor = Tensor::new(&[value, 1.], &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        Weights::from([("a".to_string(), tensor)])
    }

    #[test]
    fn small_floats_are_summed_in_f32_and_cast_back() {
        let (a, b) = (one(1., DType::BF16), one(2., DType::BF16));
        let sum = blend(&[&a, &b], &[0.25, 0.75]).unwrap();
        assert_eq!(sum["a"].dtype(), DType::BF16);
        assert_eq!(sum["a"].to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap(), [1.75, 1.]);
        let whole = mean(&[&one(3., DType::U32), &one(5., DType::U32)]).unwrap();
        assert_eq!(whole["a"].to_vec1::<u32>().unwrap(), [3, 1]);
    }

    #[test]
    fn differences_are_listed() {
        let mut b = one(1., DType::F64);
        b.insert("c".into(), Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap());
        let e = mean(&[&one(1., DType::F32), &b]).unwrap_err().to_string();
        assert!(e.contains("a: f32 [2] and f64 [2]") && e.contains("c: missing and f32 [3]"), "{e}");
        assert!(mean(&[]).is_err());
        assert!(blend(&[&one(1., DType::F32)], &[f64::NAN]).is_err());
    }
}
