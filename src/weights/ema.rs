//! Exponential moving averages.
use crate::{
    check,
    weights::{
        running_mean::{Precision, RunningMean},
        NamedTensors, Weights,
    },
    Result,
};
use serde::{Deserialize, Serialize};

/// A decay that rises with the number of steps, for an [`Ema`].
///
/// Formula: `dₛ = 1 − (1 + s/γ)^−p`, limited to the decay of the average, where `s` is the number of networks
/// pushed before.
///
/// Source: the usual form of the schedule. `γ = 1` and `p = 2/3` suit long trainings (0.999 after 31 600
/// steps), `p = 3/4` shorter ones (0.999 after 10 000 steps).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WarmUp {
    /// `γ`, above 0.
    pub gamma: f64,
    /// `p`, above 0.
    pub power: f64,
}

impl Default for WarmUp {
    /// `γ = 1`, `p = 2/3`.
    fn default() -> Self {
        Self { gamma: 1., power: 2. / 3. }
    }
}

/// Averages the networks that a training passes through, with exponentially decaying weights.
///
/// Formula: `θ̄ ← d·θ̄ + (1 − d)·θ`, with the decay `d`. The first network is copied.
///
/// Shapes, dtypes, batch-norm's statistics and cost are as for [`Swa`](crate::weights::Swa).
///
/// Use it with a push after each step of the optimizer and a decay near 1 (0.99 to 0.9999): the average
/// follows the training with less noise. Don't use a decay so near 1 that `1/(1 − d)` steps are most of the
/// training, unless it [warms up](Ema::warm_up): the first network then dominates.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::weights::{Ema, Weights};
///
/// let mut ema = Ema::new(0.75)?;
/// for w in [4f32, 8.] {
///     ema.push(&Weights::from([("w".into(), Tensor::new(&[w], &Device::Cpu)?)]))?;
/// }
/// assert_eq!(ema.weights()?["w"].to_vec1::<f32>()?, [5.]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Polyak and Juditsky (1992), doi:10.1137/0330046, for averages over a training; Tarvainen and
/// Valpola (2017), arXiv:1703.01780, for this form.
#[derive(Debug)]
pub struct Ema {
    running: RunningMean,
    decay: f64,
    warm_up: Option<WarmUp>,
}

impl Ema {
    /// An average of no networks with this decay, from 0 to less than 1.
    ///
    /// # Errors
    /// When the decay is out of range.
    pub fn new(decay: f64) -> Result<Self> {
        check::below_one("the decay", decay)?;
        Ok(Self { running: RunningMean::new(Precision::Single), decay, warm_up: None })
    }

    /// Makes the decay rise to its value; without it the decay has its value from the start.
    ///
    /// # Errors
    /// When `γ` or `p` is not above 0 and finite.
    pub fn warm_up(mut self, warm_up: WarmUp) -> Result<Self> {
        warm_up.check()?;
        self.warm_up = Some(warm_up);
        Ok(self)
    }

    /// The decay of the next push.
    #[must_use]
    pub fn decay(&self) -> f64 {
        match self.warm_up {
            None => self.decay,
            Some(WarmUp { gamma, power }) => {
                let rising = 1. - (1. + self.running.count() as f64 / gamma).powf(-power);
                rising.clamp(0., self.decay)
            }
        }
    }

    /// Adds a network.
    ///
    /// # Errors
    /// [`Error::Incompatible`](crate::Error::Incompatible) when its names, shapes or dtypes differ from those
    /// of the networks before it. The average is unchanged then.
    pub fn push(&mut self, network: &impl NamedTensors) -> Result<()> {
        let share = 1. - self.decay();
        self.running.push(network, share)
    }

    /// The number of networks that were added.
    #[must_use]
    pub fn count(&self) -> usize {
        self.running.count()
    }

    /// The average, in the dtypes of the networks.
    ///
    /// # Errors
    /// When no network was added, or an element of a tensor, which is named, is NaN or infinite.
    pub fn weights(&self) -> Result<Weights> {
        self.running.weights()
    }

    /// The state as bytes, for a checkpoint. An average that is [restored](Ema::restore) continues to the
    /// same bytes. The decay is not part of the state.
    ///
    /// # Errors
    /// When the safetensors buffer cannot be written.
    pub fn save(&self) -> Result<Vec<u8>> {
        self.running.save()
    }

    /// An average with this decay and the state that was [saved](Ema::save).
    ///
    /// # Errors
    /// When the bytes are not a saved state.
    pub fn restore(self, bytes: &[u8]) -> Result<Self> {
        Ok(Self { running: RunningMean::restore(bytes)?, ..self })
    }
}

impl WarmUp {
    fn check(self) -> Result<()> {
        check::positive("WarmUp::gamma", self.gamma)?;
        check::positive("WarmUp::power", self.power)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::testing::{first, one, path};
    use crate::weights::Swa;
    use candle_core::DType;

    #[test]
    fn ten_updates_match_the_closed_form() -> Result<()> {
        for (dtype, off) in [(DType::F64, 1e-15), (DType::F32, 3e-7), (DType::F16, 2e-3), (DType::BF16, 1e-2)]
        {
            let (mut swa, mut ema) = (Swa::new(), Ema::new(0.9)?);
            let mut seen = vec![];
            for w in path(10) {
                let network = one(w, dtype);
                seen.push(first(&network));
                swa.push(&network)?;
                ema.push(&network)?;
            }
            let mean = seen.iter().sum::<f64>() / 10.;
            // 0.9⁹·w₀ + 0.1·Σ 0.9^(9 − i)·wᵢ
            let rest: f64 = (1..10).map(|i| 0.1 * 0.9f64.powi(9 - i as i32) * seen[i]).sum();
            let moving = 0.9f64.powi(9) * seen[0] + rest;
            for (got, expected) in [(swa.weights()?, mean), (ema.weights()?, moving)] {
                assert_eq!(got["w"].dtype(), dtype);
                assert!((first(&got) - expected).abs() <= off, "{dtype:?}: {} {expected}", first(&got));
            }
        }
        Ok(())
    }

    #[test]
    fn the_decay_warms_up() -> Result<()> {
        let warm_up = WarmUp { gamma: 2., power: 0.75 };
        let mut ema = Ema::new(0.8)?.warm_up(warm_up)?;
        let mut expected = f64::NAN;
        for (step, w) in path(20).enumerate() {
            let decay = (1. - (1. + step as f64 / 2.).powf(-0.75)).min(0.8);
            assert!((ema.decay() - decay).abs() < 1e-15);
            expected = if step == 0 { w } else { decay * expected + (1. - decay) * w };
            ema.push(&one(w, DType::F64))?;
        }
        assert!((first(&ema.weights()?) - expected).abs() < 1e-14);
        assert_eq!(ema.decay(), 0.8);
        assert!((1. - (1f64 + 31_600.).powf(-2. / 3.) - 0.999).abs() < 1e-6);
        for bad in [WarmUp { gamma: 0., power: 1. }, WarmUp { gamma: 1., power: f64::NAN }] {
            assert!(Ema::new(0.5)?.warm_up(bad).is_err());
        }
        assert!(Ema::new(1.).is_err() && Ema::new(-0.1).is_err() && Ema::new(f64::NAN).is_err());
        Ok(())
    }
}
