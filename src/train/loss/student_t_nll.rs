//! The likelihood of Student's t distributions.
use crate::{
    data::Task,
    distribution::{ln_t_normaliser, Family},
    kernels::float::Real,
    network::Output,
    registry::{Argument, Entry, Tasks},
    train::loss::{
        evaluated::{Evaluated, FusedBatch},
        function::{needs_distribution, LossFunction},
        located, Loss,
    },
    Result,
};
use candle_core::{Result as CResult, Tensor};

pub(super) struct StudentTNll {
    pub(super) degrees_of_freedom: f64,
}

impl LossFunction for StudentTNll {
    fn entry() -> Entry<Loss> {
        const ARGUMENTS: &[Argument] =
            &[Argument::new("degrees-of-freedom", "5", "The degrees of freedom, above 2")];
        let summary = "Likelihood of Student's t distributions whose location and scale are outputs";
        Entry::new("student-t-nll", "Loss::StudentTNll", summary, |arguments| {
            Ok(Loss::StudentTNll { degrees_of_freedom: arguments.get("degrees-of-freedom")? })
        })
        .with_arguments(ARGUMENTS)
        .with_tasks(Tasks::Regression)
        .with_source("Lange, Little and Taylor 1989, doi:10.1080/01621459.1989.10478852")
    }

    fn check(&self) -> Result<()> {
        Family::StudentT { degrees_of_freedom: self.degrees_of_freedom }.check()
    }

    fn misfit(&self, task: Task, output: Output) -> Option<&'static str> {
        let same = output == Output::StudentT { degrees_of_freedom: self.degrees_of_freedom };
        needs_distribution(task, same, "used with Output::StudentT of the same degrees of freedom")
    }

    fn fused<T: Real>(&self, batch: &FusedBatch<'_, T>) -> CResult<Evaluated<T>> {
        let (nu, constant) = (self.degrees_of_freedom, ln_t_normaliser(self.degrees_of_freedom));
        located::fused_with_scale(batch, |d, scale| {
            let z = d / scale;
            let loss = scale.ln() - constant + (nu + 1.) / 2. * (z * z / nu).ln_1p();
            let pull = (nu + 1.) * z / (nu + z * z);
            (loss, pull / scale, (1. - pull * z) / scale)
        })
    }

    fn composed(&self, output: &Tensor, targets: &Tensor) -> CResult<Tensor> {
        let (nu, constant) = (self.degrees_of_freedom, ln_t_normaliser(self.degrees_of_freedom));
        located::composed_with_scale(output, targets, |d, scale| {
            let tail = (((d / scale)?.sqr()? / nu)? + 1.)?.log()?;
            ((scale.log()? - constant)? + tail * ((nu + 1.) / 2.))?.contiguous()
        })
    }
}
