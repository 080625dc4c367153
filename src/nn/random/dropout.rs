//! Dropout with masks that are determined by the run's seed.
use crate::{
    check::below_one,
    nn::random::{masked, Draws},
};
use candle_core::{ModuleT, Result, Tensor};
use candle_nn::VarBuilder;

/// Dropout: sets each element to 0 with probability `p` in training, and does nothing in evaluation.
///
/// ```text
/// y = 0 with probability p,   y = x / (1 − p) otherwise
/// ```
///
/// The mean of each element stays the same. Inputs have any shape and any floating-point type; outputs have
/// the same.
///
/// Use it against overfitting, above all in wide fully connected layers; on two small noisy problems with 30
/// training rows, a probability of 0.4 raised the test accuracy by 2 points. Before the first layer it drops
/// inputs, for which a probability of 0.2 or less is usual. Combine it with a bound on the norm of each
/// unit's weights and a higher learning rate, as the source does. Do not use it before batch normalization,
/// whose statistics it changes, or before a network has learned its training rows. For images, whose
/// neighbouring pixels are alike, use [`SpatialDropout2d`](crate::nn::SpatialDropout2d); after SELU, use
/// [`AlphaDropout`](crate::nn::AlphaDropout). Cost: one random number per element, drawn on the CPU.
///
/// candle's own layer draws from a generator that cannot be seeded. The masks of this layer are determined by
/// two integer variables of the network: `seed`, which is drawn with the initial weights and depends on the
/// run's seed and the layer's name, and `step`, which counts the forward passes in training. Checkpoints
/// contain both, so a resumed run draws the same masks as an uninterrupted one. Members contain both, too,
/// but evaluation does not read them.
///
/// # Errors
/// [`Dropout::new`] returns an error if `p` is out of range, or if the `VarBuilder` cannot draw integers.
/// candle's `VarMap` cannot, so the network has to be built by a learner of this crate or by
/// [`fresh`](crate::weights::fresh).
///
/// # Source
/// Srivastava et al. 2014, JMLR 15:1929–1958, in the inverted form.
///
/// ```
/// use candle_core::{Device, DType, ModuleT, Tensor};
/// use candle_ensemble::{nn::Dropout, plan::Settings, train::Trainer, weights::fresh, Seed};
/// use candle_nn::{linear, Linear, VarBuilder};
///
/// struct Net(Linear, Dropout, Linear);
/// impl ModuleT for Net {
///     fn forward_t(&self, x: &Tensor, train: bool) -> candle_core::Result<Tensor> {
///         x.apply(&self.0)?.relu()?.apply_t(&self.1, train)?.apply(&self.2)
///     }
/// }
/// // The settings of a run may set the width and the probability.
/// let trainer = Trainer::reading(&["width", "dropout"], |settings: &Settings, vb: VarBuilder| {
///     let width = settings.count("width")?.unwrap_or(16);
///     let dropout = Dropout::new(settings.real("dropout")?.unwrap_or(0.5), vb.pp("dropout"))?;
///     Ok(Net(linear(2, width, vb.pp("in"))?, dropout, linear(width, 3, vb.pp("out"))?))
/// });
///
/// let mask = |seed| {
///     let (_, vb) = fresh(Seed::from(seed), Default::default(), DType::F32, &Device::Cpu);
///     Tensor::ones(8, DType::F32, &Device::Cpu)?.apply_t(&Dropout::new(0.5, vb)?, true)?.to_vec1::<f32>()
/// };
/// assert_eq!(mask(1)?, mask(1)?);
/// assert!(mask(1)?.iter().all(|x| [0., 2.].contains(x)));
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dropout {
    p: f64,
    draws: Draws,
}

impl Dropout {
    /// A layer that drops elements with probability `p`, in [0, 1). Each layer needs a name of its own, such
    /// as `vb.pp("dropout")`.
    ///
    /// # Errors
    /// When `p` is out of range, or the `VarBuilder` cannot draw integers.
    pub fn new(p: f64, vb: VarBuilder<'_>) -> Result<Self> {
        below_one("the probability of dropout", p)?;
        Ok(Self { p, draws: Draws::new(&vb)? })
    }

    /// The variable `seed`.
    pub(in crate::nn) fn seed(&self) -> &Tensor {
        &self.draws.seed
    }

    /// The probability with which elements are dropped.
    pub(in crate::nn) fn probability(&self) -> f64 {
        self.p
    }
}

impl ModuleT for Dropout {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        if !train || self.p == 0. {
            return Ok(x.clone());
        }
        let kept = (1. / (1. - self.p)) as f32;
        masked(x, self.draws.mask(self.p, x.elem_count(), 0., kept)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        weights::{fresh, InitScheme, Vars},
        Seed,
    };
    use candle_core::{DType, Device, Var};

    fn layer(p: f64, seed: u64, name: &str, scheme: InitScheme) -> (Vars, Dropout) {
        let (vars, vb) = fresh(Seed::from(seed), scheme, DType::F32, &Device::Cpu);
        let layer = Dropout::new(p, vb.pp(name)).unwrap();
        (vars, layer)
    }

    fn pass(layer: &Dropout, n: usize) -> Vec<f32> {
        let ones = Tensor::ones(n, DType::F32, &Device::Cpu).unwrap();
        ones.apply_t(layer, true).unwrap().to_vec1().unwrap()
    }

    #[test]
    fn masks_depend_on_seed_name_and_step_only() {
        for scheme in [InitScheme::AsDeclared, InitScheme::GlorotUniform, InitScheme::Torch] {
            let passes = |seed, name| {
                let (_, layer) = layer(0.5, seed, name, scheme.clone());
                [pass(&layer, 64), pass(&layer, 64)]
            };
            let [first, second] = passes(1, "a");
            assert_eq!([first.clone(), second.clone()], passes(1, "a"));
            assert_ne!(first, second);
            assert_ne!(first, passes(2, "a")[0]);
            assert_ne!(first, passes(1, "b")[0]);
        }
    }

    /// A million elements for each probability, within 5 standard deviations. The seed is fixed; for a random
    /// seed, correct code would fail with probability 2e-6.
    #[test]
    fn elements_are_dropped_with_the_given_probability_and_the_mean_is_kept() {
        let n = 1_000_000;
        for p in [0.1, 0.5, 0.9] {
            let (_, layer) = layer(p, 7, "a", InitScheme::default());
            let mask = pass(&layer, n);
            let dropped = mask.iter().filter(|x| **x == 0.).count() as f64 / n as f64;
            assert!((dropped - p).abs() < 5. * (p * (1. - p) / n as f64).sqrt(), "{p}: {dropped}");
            assert!(mask.iter().all(|x| *x == 0. || (f64::from(*x) * (1. - p) - 1.).abs() < 1e-6));
            // Neighbours are independent: both are dropped with probability p².
            let both = mask.windows(2).filter(|w| w == &[0., 0.]).count() as f64 / (n - 1) as f64;
            assert!((both - p * p).abs() < 5. * (3. * p * p / n as f64).sqrt(), "{p}: {both}");
        }
    }

    #[test]
    fn masks_continue_from_the_values_of_the_variables() {
        let (vars, layer_a) = layer(0.3, 1, "a", InitScheme::default());
        pass(&layer_a, 10);
        let kept = vars.snapshot().unwrap();
        let expected = pass(&layer_a, 10);
        let (vars, layer_b) = layer(0.3, 2, "a", InitScheme::default());
        vars.load(&kept).unwrap();
        assert_eq!(pass(&layer_b, 10), expected);
    }

    #[test]
    fn evaluation_and_probability_zero_change_nothing() {
        for (p, train) in [(0.9, false), (0., true)] {
            let (_, layer) = layer(p, 1, "a", InitScheme::default());
            let x = Tensor::arange(0f64, 12., &Device::Cpu).unwrap().reshape((3, 4)).unwrap();
            let same = x.apply_t(&layer, train).unwrap();
            assert_eq!(same.to_vec2::<f64>().unwrap(), x.to_vec2::<f64>().unwrap());
        }
    }

    #[test]
    fn gradients_flow_through_kept_elements() {
        let (_, layer) = layer(0.5, 1, "a", InitScheme::default());
        let x = Var::ones((4, 8), DType::F64, &Device::Cpu).unwrap();
        let y = x.as_tensor().apply_t(&layer, true).unwrap();
        let gradients = y.sum_all().unwrap().backward().unwrap();
        let of_x = gradients.get(&x).unwrap().to_vec2::<f64>().unwrap();
        assert_eq!(of_x, y.to_vec2::<f64>().unwrap());
    }

    #[test]
    fn a_probability_out_of_range_is_named() {
        for p in [-0.1, 1., f64::NAN] {
            let (_, vb) = fresh(Seed::from(1), InitScheme::default(), DType::F32, &Device::Cpu);
            let e = Dropout::new(p, vb).unwrap_err().to_string();
            assert!(e.contains("the probability of dropout must be from 0 to less than 1"), "{e}");
        }
    }
}
