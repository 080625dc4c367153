//! Whether a loss, the output of a network and the targets go together.
use crate::{
    data::Task,
    kernels::cpu,
    network::Output,
    train::loss::{Fault, Loss},
    Error, Result,
};
use candle_core::Tensor;

impl Loss {
    /// The loss of a task for which none is set: cross-entropy for classes (binary cross-entropy where
    /// `width`, the number of outputs for each row, is 1, the hinge loss for margins, and CORAL or CORN for the
    /// logits of classes with an order), and the mean squared error for values. Where the output is a distribution of values, it is the negative
    /// log-likelihood, and for quantiles the pinball loss.
    #[must_use]
    pub fn default_for(task: Task, output: Output, width: usize) -> Self {
        match (task, output) {
            (Task::Regression { .. }, Output::Gaussian) => Self::GaussianNll,
            (Task::Regression { .. }, Output::Laplace) => Self::LaplaceNll,
            (Task::Regression { .. }, Output::StudentT { degrees_of_freedom }) => {
                Self::StudentTNll { degrees_of_freedom }
            }
            (Task::Regression { .. }, Output::GaussianMixture { components }) => {
                Self::GaussianMixtureNll { components }
            }
            (Task::Regression { .. }, Output::Quantiles { levels }) => Self::Pinball { levels },
            (Task::Regression { .. }, _) => Self::MeanSquared,
            (_, Output::Margins) => Self::Hinge,
            (_, Output::CumulativeLogits) => Self::Coral,
            (_, Output::ConditionalLogits) => Self::Corn,
            _ if width == 1 => Self::BinaryCrossEntropy,
            _ => Self::CrossEntropy { smoothing: 0.0 },
        }
    }

    /// Checks that the loss goes with the task and with what the network outputs.
    ///
    /// # Errors
    /// [`Error::Invalid`] that says what to do.
    ///
    /// ```
    /// use candle_ensemble::{data::Task, train::{Loss, Output}};
    ///
    /// let two_classes = Task::Classification { classes: 2 };
    /// assert!(Loss::Hinge.check_fit(two_classes, Output::Margins).is_ok());
    /// let e = Loss::Hinge.check_fit(two_classes, Output::Logits).unwrap_err().to_string();
    /// assert!(e.contains("end the network in one unit with tanh"));
    /// ```
    pub fn check_fit(&self, task: Task, output: Output) -> Result<()> {
        let Some(must) = self.misfit(task, output).or_else(|| self.ignores(task, output)) else {
            return Ok(());
        };
        let got = match task {
            Task::Classification { classes } => format!("{self:?} for {classes} classes with {output:?}"),
            Task::Regression { .. } if output.is_distribution() => format!("{self:?} with {output:?}"),
            Task::Regression { outputs: 1 } => format!("{self:?} for one value"),
            Task::Regression { outputs } => format!("{self:?} for {outputs} values"),
        };
        Err(Error::invalid("the loss", must, got))
    }

    /// What the loss must be, if it takes the parameters of a distribution for values.
    fn ignores(&self, task: Task, output: Output) -> Option<&'static str> {
        let of_distribution = matches!(task, Task::Regression { .. }) && output.is_distribution();
        (of_distribution && Self::default_for(task, output, 0) != *self).then_some(
            "that of the distribution that the network outputs, which is the default where no loss is set",
        )
    }

    /// Checks that the loss is defined for the targets of a batch. `rows` are the numbers of its rows in the
    /// data set, for the error; without them rows are counted within the batch. NaN is left to other checks.
    ///
    /// Cost: one pass over the targets. The trainer makes it in the first epoch.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the first number that does not fit, with its row and its column.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::train::Loss;
    ///
    /// let targets = Tensor::new(&[1f32, -1., 0.], &Device::Cpu)?;
    /// let e = Loss::Hinge.check_targets(&targets, &[10, 11, 12]).unwrap_err();
    /// assert_eq!(e.to_string(), "the target of row 12 for Loss::Hinge must be -1 or 1, but is 0");
    /// # Ok::<(), candle_core::Error>(())
    /// ```
    pub fn check_targets(&self, targets: &Tensor, rows: &[u32]) -> Result<()> {
        if !targets.dtype().is_float() {
            return Ok(());
        }
        self.first_fault("target", targets, rows, |row| self.target_fault(row))
    }

    /// Checks that the loss is defined for the outputs of the network for a batch, and that outputs of the
    /// kind [`Output::Margins`] for classes are in their range. `rows` are as for
    /// [`check_targets`](Self::check_targets).
    ///
    /// Cost: one pass over the outputs. The trainer makes it in the first epoch.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the first number that does not fit, with its row and its column.
    pub fn check_output_values(&self, output: &Tensor, task: Task, kind: Output, rows: &[u32]) -> Result<()> {
        let margins = kind == Output::Margins && matches!(task, Task::Classification { .. });
        let must = "from -1 to 1 (end the network in tanh)";
        self.first_fault("output", output, rows, |row| {
            let in_range = |m: f64| m.is_nan() || (-1.0..=1.0).contains(&m);
            let out_of_range = if margins { Fault::first(row, must, in_range) } else { None };
            self.output_fault(row).or(out_of_range)
        })
    }

    /// The first fault of a batch, as an error.
    fn first_fault(
        &self,
        what: &str,
        numbers: &Tensor,
        rows: &[u32],
        fault: impl Fn(&[f64]) -> Option<Fault>,
    ) -> Result<()> {
        let count = numbers.dims().first().copied().unwrap_or(0);
        let width = numbers.elem_count() / count.max(1);
        let found = cpu::with_slice(&numbers.detach(), |numbers: &[f64]| {
            let mut of_rows = numbers.chunks_exact(width.max(1)).map(fault).enumerate();
            of_rows.find_map(|(row, fault)| Some((row, fault?)))
        })?;
        let Some((row, Fault { column, must, value })) = found else { return Ok(()) };
        let row = rows.get(row).map_or(row, |row| *row as usize);
        let name = format!("{self:?}");
        let name = name.split([' ', '{']).next().unwrap_or_default();
        let place = match column {
            Some(column) if width > 1 => {
                format!("the {what} of row {row}, column {column}, for Loss::{name}")
            }
            Some(_) => format!("the {what} of row {row} for Loss::{name}"),
            None => format!("the {what}s of row {row} for Loss::{name}"),
        };
        Err(Error::invalid(place, must, value))
    }
}
