//! Scales and shifts of each member's features, as one operation of the graph.
use crate::{
    kernels::{
        float::Real,
        gradients::{Gradients, Wanted},
        simd::vectorized,
        sums::{fold_in_lanes, fold_pairs_in_lanes},
    },
    nn::{
        fused::{self, Fused, Operands},
        many::{
            dense::Along,
            rows::{entry, Rows},
        },
        then::Then,
    },
};
use candle_core::{bail, Result, Shape, Tensor};

/// `then(x ∘ scale_m + shift_m)` for the rows of each member `m`; scales and shifts are `(M, features)`.
pub(super) fn scale(
    x: &Tensor,
    (rows, along): (Rows, Along),
    scale: &Tensor,
    shift: Option<&Tensor>,
    then: Then,
) -> Result<Tensor> {
    let operation = Scale { rows, along, then };
    let (members, features) = scale.dims2()?;
    if members != rows.members || shift.is_some_and(|shift| shift.dims() != scale.dims()) {
        bail!("expected scales and shifts of {} members and {features} features", rows.members);
    }
    operation.sizes(x.shape(), features)?;
    match fused::fits(x, scale, shift) {
        true => fused::apply(operation, x, scale, shift),
        false => then.forward(operation.by_tensors(x, scale, shift)?),
    }
}

#[derive(Clone, Copy, Debug)]
struct Scale {
    rows: Rows,
    along: Along,
    then: Then,
}

/// How the elements of a tensor lie.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    /// The elements of one member.
    part: usize,
    features: usize,
    /// The elements of one feature that follow each other.
    inner: usize,
}

impl Scale {
    fn sizes(&self, x: &Shape, features: usize) -> Result<Sizes> {
        let dims = x.dims();
        let (found, inner) = match self.along {
            Along::Last => (dims.last().copied(), 1),
            Along::Second => (dims.get(1).copied(), dims.iter().skip(2).product()),
        };
        if found != Some(features) || dims.len() < 2 {
            let must = match self.along {
                Along::Last => format!("(rows, …, {features})"),
                Along::Second => format!("(rows, {features}, …)"),
            };
            let what = "the shape of the inputs of a layer of many members";
            return Err(crate::Error::invalid(what, must, format!("{dims:?}")).into());
        }
        let rows = self.rows.of_each(dims.first().copied().unwrap_or_default())?;
        let others: usize = dims.iter().skip(1).product();
        Ok(Sizes { part: rows * others, features, inner })
    }

    /// In tensor operations, for other devices and types.
    fn by_tensors(&self, x: &Tensor, scale: &Tensor, shift: Option<&Tensor>) -> Result<Tensor> {
        let (members, features) = scale.dims2()?;
        let Sizes { part, inner, .. } = self.sizes(x.shape(), features)?;
        let own = if self.rows.shared { 1 } else { members };
        let outer = part / (features * inner).max(1);
        let each = |of: &Tensor| of.reshape((members, 1, features, 1));
        let y = x.contiguous()?.reshape((own, outer, features, inner))?.broadcast_mul(&each(scale)?)?;
        let y = match shift {
            Some(shift) => y.broadcast_add(&each(shift)?)?,
            None => y,
        };
        y.reshape(self.outputs(x.shape(), scale.shape())?)
    }
}

impl Fused for Scale {
    const NAME: &'static str = "scale of members";

    fn split(&self, parts: usize) -> Result<Vec<Self>> {
        Ok(vec![*self; parts])
    }

    fn outputs(&self, x: &Shape, _: &Shape) -> Result<Shape> {
        self.rows.outputs(x)
    }

    fn forward<T: Real>(&self, of: Operands<'_, T>) -> Result<Vec<T>> {
        let (members, features) = of.weight_shape.dims2()?;
        let sizes = self.sizes(of.x_shape, features)?;
        let mut y = Vec::with_capacity(sizes.part * members);
        for member in 0..members {
            let x = self.rows.part(of.x, member, sizes.part)?;
            let scale = entry(of.weight, member, features)?;
            let shift = of.bias.map(|bias| entry(bias, member, features)).transpose()?;
            sizes.append(&mut y, x, scale, shift);
        }
        self.then.apply(&mut y);
        Ok(y)
    }

    fn backward<T: Real>(
        &self,
        of: Operands<'_, T>,
        y: &[T],
        g: &[T],
        wanted: Wanted,
    ) -> Result<Gradients<T>> {
        let (members, features) = of.weight_shape.dims2()?;
        let sizes = self.sizes(of.x_shape, features)?;
        let g = self.then.gradient(y, g);
        let zeros = |wanted: bool| wanted.then(|| vec![T::zero(); members * features]);
        let (mut weight, mut bias) = (zeros(wanted.weight), zeros(wanted.bias));
        let mut of_x = wanted.x.then(|| Vec::with_capacity(of.x.len()));
        for member in 0..members {
            let x = self.rows.part(of.x, member, sizes.part)?;
            let (g, scale) = (entry(&g, member, sizes.part)?, entry(of.weight, member, features)?);
            let place = member * features..(member + 1) * features;
            if let Some(sums) = weight.as_mut().and_then(|all| all.get_mut(place.clone())) {
                sizes.add_products(sums, x, g);
            }
            if let Some(sums) = bias.as_mut().and_then(|all| all.get_mut(place)) {
                sizes.add_sums(sums, g);
            }
            match &mut of_x {
                Some(sums) if self.rows.shared && member > 0 => sizes.add_scaled(sums, g, scale),
                Some(all) => sizes.append(all, g, scale, None),
                None => {}
            }
        }
        Ok(Gradients { x: of_x, weight, bias })
    }
}

impl Sizes {
    /// The elements of one row of features.
    fn row(&self) -> usize {
        (self.features * self.inner).max(1)
    }

    /// Appends `x ∘ scale + shift`.
    fn append<T: Real>(&self, y: &mut Vec<T>, x: &[T], scale: &[T], shift: Option<&[T]>) {
        let inner = self.inner;
        vectorized(
            #[inline(always)]
            || {
                for row in x.chunks_exact(self.row()) {
                    match (inner, shift) {
                        (1, None) => y.extend(row.iter().zip(scale).map(|(x, scale)| *x * *scale)),
                        (1, Some(shift)) => {
                            let pairs = scale.iter().zip(shift);
                            y.extend(row.iter().zip(pairs).map(|(x, (scale, shift))| *x * *scale + *shift));
                        }
                        (_, None) => {
                            for (x, scale) in row.chunks_exact(inner).zip(scale) {
                                y.extend(x.iter().map(|x| *x * *scale));
                            }
                        }
                        (_, Some(shift)) => {
                            for (x, (scale, shift)) in row.chunks_exact(inner).zip(scale.iter().zip(shift)) {
                                y.extend(x.iter().map(|x| *x * *scale + *shift));
                            }
                        }
                    }
                }
            },
        );
    }

    /// `sums += g ∘ scale`
    fn add_scaled<T: Real>(&self, sums: &mut [T], g: &[T], scale: &[T]) {
        let inner = self.inner;
        vectorized(
            #[inline(always)]
            || {
                for (sums, g) in sums.chunks_exact_mut(self.row()).zip(g.chunks_exact(self.row())) {
                    if inner == 1 {
                        for ((sum, g), scale) in sums.iter_mut().zip(g).zip(scale) {
                            *sum += *g * *scale;
                        }
                        continue;
                    }
                    let features = sums.chunks_exact_mut(inner).zip(g.chunks_exact(inner)).zip(scale);
                    for ((sums, g), scale) in features {
                        for (sum, g) in sums.iter_mut().zip(g) {
                            *sum += *g * *scale;
                        }
                    }
                }
            },
        );
    }

    /// Adds the sums of `x · g` over the rows to those of the features.
    fn add_products<T: Real>(&self, sums: &mut [T], x: &[T], g: &[T]) {
        let inner = self.inner;
        vectorized(
            #[inline(always)]
            || {
                for (x, g) in x.chunks_exact(self.row()).zip(g.chunks_exact(self.row())) {
                    if inner == 1 {
                        for ((sum, x), g) in sums.iter_mut().zip(x).zip(g) {
                            *sum += *x * *g;
                        }
                        continue;
                    }
                    for ((sum, x), g) in sums.iter_mut().zip(x.chunks_exact(inner)).zip(g.chunks_exact(inner))
                    {
                        *sum += fold_pairs_in_lanes((x, g), T::zero(), |a, x, g| a + x * g, |a, b| a + b);
                    }
                }
            },
        );
    }

    /// Adds the sums of `g` over the rows to those of the features.
    fn add_sums<T: Real>(&self, sums: &mut [T], g: &[T]) {
        let inner = self.inner;
        vectorized(
            #[inline(always)]
            || {
                for g in g.chunks_exact(self.row()) {
                    if inner == 1 {
                        for (sum, g) in sums.iter_mut().zip(g) {
                            *sum += *g;
                        }
                        continue;
                    }
                    for (sum, g) in sums.iter_mut().zip(g.chunks_exact(inner)) {
                        *sum += fold_in_lanes(g, T::zero(), |a, g| a + g, |a, b| a + b);
                    }
                }
            },
        );
    }
}
