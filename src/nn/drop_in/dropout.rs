//! Dropout with candle's constructor.
use crate::{
    check::below_one,
    nn::random::{keep_masks, masked},
    seed::pass::next_draws,
    Error, Seed,
};
use candle_core::{ModuleT, Result, Tensor};

/// Dropout with the constructor and the methods of candle's [`Dropout`](candle_nn::Dropout): sets each element to 0 with
/// probability `p` in training, and does nothing in evaluation.
///
/// ```text
/// y = 0 with probability p,   y = x / (1 − p) otherwise
/// ```
///
/// Inputs have any shape and any floating-point type; outputs have the same. candle's layer draws from a generator that
/// cannot be seeded. This one draws from the seed of the forward pass, which the [`Trainer`](crate::train::Trainer) sets
/// at every step, and from the number of draws before it in the pass. So a run draws the same masks on any thread, and a
/// resumed run those of an uninterrupted one. [`nn::Dropout`](crate::nn::Dropout) has a name and a seed of its own, so
/// its masks do not change where a layer is added before it; use that one in new models.
///
/// # Errors
/// In training, when `p` is not from 0 to less than 1, and when the pass has no seed. In a training loop of your own,
/// run the pass in [`seeded_pass`](crate::nn::seeded_pass).
///
/// # Source
/// Srivastava et al. 2014, JMLR 15:1929–1958, in the inverted form.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_ensemble::nn::{drop_in::Dropout, seeded_pass};
///
/// let (layer, x) = (Dropout::new(0.5), Tensor::ones(8, DType::F32, &Device::Cpu)?);
/// let dropped = seeded_pass(42, || layer.forward(&x, true))?.to_vec1::<f32>()?;
/// assert!(dropped.iter().all(|x| [0., 2.].contains(x)));
/// assert_eq!(layer.forward(&x, false)?.to_vec1::<f32>()?, [1.; 8]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dropout {
    p: f32,
}

impl Dropout {
    /// A layer that drops elements with probability `p`, in [0, 1).
    #[must_use]
    pub fn new(p: f32) -> Self {
        Self { p }
    }

    /// The probability with which elements are dropped.
    pub(in crate::nn) fn probability(&self) -> f64 {
        self.p.into()
    }

    /// The forward pass.
    ///
    /// # Errors
    /// In training, when the probability is out of range or the pass has no seed.
    pub fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        if !train {
            return Ok(x.clone());
        }
        let p = self.probability();
        below_one("the probability of dropout", p)?;
        let seeds = next_draws();
        if seeds.is_empty() {
            let must = "set by a Trainer, or by nn::seeded_pass in a training loop of your own";
            return Err(Error::invalid("the seed of a forward pass with dropout", must, "none").into());
        }
        let rngs = seeds.into_iter().map(Seed::rng);
        masked(x, keep_masks(rngs, p, x.elem_count(), 0., (1. / (1. - p)) as f32)?)
    }
}

impl ModuleT for Dropout {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.forward(x, train)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::seeded_pass;
    use candle_core::{DType, Device, Var};

    fn ones(n: usize) -> Tensor {
        Tensor::ones(n, DType::F32, &Device::Cpu).unwrap()
    }

    fn pass(seed: u64, p: f32, layers: usize) -> Vec<Vec<f32>> {
        let layer = Dropout::new(p);
        let masks =
            || (0..layers).map(|_| layer.forward(&ones(1000), true)?.to_vec1()).collect::<Result<_>>();
        seeded_pass(seed, masks).unwrap()
    }

    #[test]
    fn masks_depend_on_the_seed_of_the_pass_and_the_layer() {
        let masks = pass(1, 0.4, 2);
        assert_eq!(masks, pass(1, 0.4, 2));
        assert_ne!(masks[0], masks[1]);
        assert_ne!(masks[0], pass(2, 0.4, 1)[0]);
        let dropped = masks.concat().iter().filter(|x| **x == 0.).count() as f64;
        // Within 5 standard deviations.
        assert!((dropped / 2000. - 0.4).abs() < 5. * (0.24f64 / 2000.).sqrt(), "{dropped}");
        assert!(masks.concat().iter().all(|x| *x == 0. || (x * 0.6 - 1.).abs() < 1e-6));
    }

    #[test]
    fn evaluation_changes_nothing_and_gradients_flow_through_kept_elements() {
        let layer = Dropout::new(0.9);
        assert_eq!(layer.forward(&ones(9), false).unwrap().to_vec1::<f32>().unwrap(), [1.; 9]);
        let x = Var::from_tensor(&ones(50)).unwrap();
        let y = seeded_pass(3, || x.as_tensor().apply_t(&layer, true)).unwrap();
        let gradients = y.sum_all().unwrap().backward().unwrap();
        let of_x = gradients.get(&x).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(of_x, y.to_vec1::<f32>().unwrap());
    }

    #[test]
    fn a_pass_without_a_seed_and_a_bad_probability_are_named() {
        let e = Dropout::new(0.5).forward(&ones(2), true).unwrap_err().to_string();
        assert!(e.contains("the seed of a forward pass with dropout must be set by a Trainer"), "{e}");
        let e = seeded_pass(1, || Dropout::new(1.).forward(&ones(2), true)).unwrap_err().to_string();
        assert!(e.contains("the probability of dropout must be from 0 to less than 1"), "{e}");
    }
}
