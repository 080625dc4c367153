//! Activation matching: the orders of units in which the activations of two networks correlate most.
use crate::{
    merge::align::{
        assignment::{assign, total},
        Matched, PermutationSpec, Permutations,
    },
    Error, Result,
};
use candle_core::{DType, Tensor};
use std::collections::BTreeMap;

/// The activations of each group of units: a tensor `(units, samples)` for each layer that reads the group. A
/// sample is a row, or a pixel of a row. The samples of two networks that are compared must be the same.
pub type Activations = BTreeMap<String, Vec<Tensor>>;

pub(crate) fn match_activations(
    reference: &Activations,
    other: &Activations,
    spec: &PermutationSpec,
) -> Result<Matched> {
    let mut orders = Permutations::new();
    let (mut before, mut after, mut units) = (0., 0., 0usize);
    for (name, group) in spec.groups() {
        let n = group.units;
        let tensors = |all: &Activations| all.get(name).cloned().unwrap_or_default();
        let (ours, theirs) = (tensors(reference), tensors(other));
        if ours.is_empty() || ours.len() != theirs.len() {
            let got = format!("{} and {}", ours.len(), theirs.len());
            return Err(Error::invalid(
                format!("the number of layers that read {name}"),
                "the same in both networks, and at least 1",
                got,
            ));
        }
        let mut gains = vec![0.; n * n];
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let part = correlations(name, ours, theirs, n)?.flatten_all()?.to_vec1::<f64>()?;
            gains.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
        }
        gains.iter_mut().for_each(|sum| *sum /= ours.len() as f64);
        let order = assign(&gains, n)?;
        let identity: Vec<u32> = (0..n as u32).collect();
        before += total(&gains, &identity);
        after += total(&gains, &order);
        units += n;
        orders.insert(name.clone(), order);
    }
    let each = units.max(1) as f64;
    Ok(Matched { orders, similarity_before: before / each, similarity: after / each, sweeps: 1 })
}

/// Pearson's correlation of each unit of one network with each of the other, `(n, n)` f64; 0 for a constant
/// unit.
fn correlations(group: &str, ours: &Tensor, theirs: &Tensor, n: usize) -> Result<Tensor> {
    match (ours.dims(), theirs.dims()) {
        ([a, s], [b, t]) if [*a, *b] == [n, n] && s == t && *s > 1 => {}
        (a, b) => {
            let must = format!("({n}, samples), with the same two or more samples");
            return Err(Error::invalid(format!("the activations of {group}"), must, format!("{a:?}, {b:?}")));
        }
    }
    Ok(standardized(ours)?.matmul(&standardized(theirs)?.t()?)?)
}

/// Each row with mean 0 and length 1; zeros for a constant row.
fn standardized(units: &Tensor) -> Result<Tensor> {
    let units = units.detach().to_dtype(DType::F64)?.contiguous()?;
    let centred = units.broadcast_sub(&units.mean_keepdim(1)?)?;
    let length = centred.sqr()?.sum_keepdim(1)?.sqrt()?;
    // The deviations of a constant row are only rounding.
    let floor = (units.sqr()?.sum_keepdim(1)?.sqrt()? * 1e-7)?;
    let varies = length.gt(&floor)?.to_dtype(DType::F64)?;
    let safe = (length.broadcast_maximum(&floor)? + f64::MIN_POSITIVE)?;
    Ok(centred.broadcast_mul(&varies.div(&safe)?)?)
}

#[cfg(all(test, feature = "align"))]
mod tests {
    use super::*;
    use candle_core::Device;

    fn table(rows: &[[f64; 4]]) -> Activations {
        let tensor = Tensor::from_slice(rows.as_flattened(), (rows.len(), 4), &Device::Cpu).unwrap();
        Activations::from([("P".to_string(), vec![tensor])])
    }

    #[test]
    fn units_are_matched_by_correlation_for_any_scale() {
        let spec = PermutationSpec::new().units("P", 3).axis("P", "w", 0);
        let ours = table(&[[1., 2., 3., 4.], [1., 0., 1., 0.], [5., 5., 5., 5.]]);
        let theirs = table(&[[7., 7., 7., 7.], [30., 40., 50., 60.], [3., 1., 3., 1.]]);
        let found = match_activations(&ours, &theirs, &spec).unwrap();
        assert_eq!(found.orders["P"], [1, 2, 0]);
        assert!(
            (found.similarity - 2. / 3.).abs() < 1e-12,
            "the constant unit counts 0: {}",
            found.similarity
        );
        assert!(found.similarity_before < found.similarity);
    }

    #[test]
    fn correlations_are_those_of_pearson() {
        let spec = PermutationSpec::new().units("P", 3).axis("P", "w", 0);
        let a = table(&[[1., 2., 4., 8.], [1., -1., 0., 2.], [3., 1., 4., 1.]]);
        let c = correlations("P", &a["P"][0], &a["P"][0], 3).unwrap().to_vec2::<f64>().unwrap();
        let n = |x: &[f64], y: &[f64]| {
            let m = |v: &[f64]| v.iter().sum::<f64>() / 4.;
            let cov = x.iter().zip(y).map(|(a, b)| (a - m(x)) * (b - m(y))).sum::<f64>();
            let var = |v: &[f64]| v.iter().map(|a| (a - m(v)).powi(2)).sum::<f64>();
            cov / (var(x) * var(y)).sqrt()
        };
        let rows = a["P"][0].to_vec2::<f64>().unwrap();
        for (i, x) in rows.iter().enumerate() {
            for (j, y) in rows.iter().enumerate() {
                assert!((c[i][j] - n(x, y)).abs() < 1e-12);
            }
        }
        assert!(match_activations(&a, &Activations::new(), &spec).is_err());
    }
}
