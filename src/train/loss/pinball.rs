//! The pinball loss of quantiles.
use crate::{
    data::Task,
    distribution::Levels,
    kernels::float::Real,
    network::Output,
    registry::{Argument, Entry, Tasks},
    train::loss::{
        evaluated::{Evaluated, FusedBatch},
        function::{needs_distribution, LossFunction},
        located::{self, Layout},
        shapes::invalid,
        Loss,
    },
};
use candle_core::{Result as CResult, Tensor};

pub(super) struct Pinball {
    pub(super) levels: Levels,
}

impl Pinball {
    fn layout(&self) -> Layout {
        Layout::Together { numbers: self.levels.as_slice().len() }
    }
}

impl LossFunction for Pinball {
    fn entry() -> Entry<Loss> {
        const ARGUMENTS: &[Argument] =
            &[Argument::new("levels", "0.5", "The levels of the quantiles, separated by commas")];
        Entry::new(
            "pinball",
            "Loss::Pinball",
            "Distance of quantiles, weighted by their levels",
            |arguments| Ok(Loss::Pinball { levels: Levels::new(&arguments.get::<Vec<f64>>("levels")?)? }),
        )
        .with_aliases(&["quantile"])
        .with_arguments(ARGUMENTS)
        .with_tasks(Tasks::Regression)
        .with_source("Koenker and Bassett 1978, doi:10.2307/1913643")
    }

    fn misfit(&self, task: Task, output: Output) -> Option<&'static str> {
        let one = self.levels.as_slice().len() == 1 && !output.is_distribution();
        let fits = one || output == Output::Quantiles { levels: self.levels };
        needs_distribution(
            task,
            fits,
            "used with Output::Quantiles of the same levels, or of one level with values",
        )
    }

    fn fused<T: Real>(&self, batch: &FusedBatch<'_, T>) -> CResult<Evaluated<T>> {
        let levels = self.levels.as_slice();
        let share = 1. / levels.len() as f64;
        located::fused(batch, self.layout(), |quantiles, y| {
            let mut loss = 0.;
            for (q, level) in quantiles.iter_mut().zip(levels) {
                let excess = y - *q;
                loss += share * (level * excess).max((level - 1.) * excess);
                *q = if excess > 0. {
                    -share * level
                } else if excess < 0. {
                    share * (1. - level)
                } else {
                    // 0 at 0, and NaN for NaN.
                    excess
                };
                if excess.is_nan() {
                    loss = excess;
                }
            }
            loss
        })
    }

    fn composed(&self, output: &Tensor, targets: &Tensor) -> CResult<Tensor> {
        located::composed(output, targets, self.layout(), |parameters, y| {
            let [quantiles] = parameters else {
                return Err(invalid("the output", "quantiles for each target", output));
            };
            let levels = Tensor::new(self.levels.as_slice(), output.device())?.to_dtype(output.dtype())?;
            // (|e| + (2 p − 1) e) / 2 for the excess e; the derivative at e = 0 is 0.
            let excess = quantiles.broadcast_sub(y)?.neg()?;
            let at_zero = excess.detach().sign()?.abs()?;
            let tilted = (excess.broadcast_mul(&levels.affine(2., -1.)?)? * at_zero)?;
            (((&excess * excess.detach().sign()?)? + tilted)? * 0.5)?.mean(2)
        })
    }
}
