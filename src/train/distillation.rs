//! Distillation: soft targets of a teacher beside the targets of the data.
use crate::{
    check::{positive, require},
    data::Task,
    network::Output,
    registry::{Argument, Entry, Registry},
    train::Loss,
    Error, Result,
};
use candle_core::{DType, Result as CResult, Tensor, D};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::LazyLock};

/// Trains a network on the predictions of a teacher beside the targets of the data.
///
/// The [soft targets](crate::data::Dataset::soft_targets) of the data set are the predictions of the teacher:
/// probabilities of classes, or values.
///
/// ```text
/// classes:  loss = α T² KL(q ‖ softmax(z / T)) + (1 − α) hard,     q_c ∝ p_c^(1/T) for the teacher's probabilities p
/// values:   loss = α l(output, teacher) + (1 − α) l(output, target)
/// ```
///
/// `z` are the logits of the network, `hard` its loss for the labels and `l` its loss for values: those that are set, or
/// the defaults. For a teacher that is one network, `q` is the softmax of its logits divided by `T`. The factor `T²` keeps
/// the gradients of the first term at one size, whatever the temperature. The mean is by the training weights of the
/// rows. Validation and scoring use the targets of the data alone.
///
/// [`Pool::distill`](crate::Pool::distill) makes one network of a pool in this way; it also decides which member may
/// predict which row. Use this setting alone for a teacher from elsewhere, whose predictions
/// [`TensorDataset::with_soft_targets`](crate::data::TensorDataset::with_soft_targets) takes.
///
/// Use it for one network that is nearly as good as an ensemble, where soups of the members are not. High temperatures
/// show the student which wrong classes the teacher finds likely; 2 to 4 are usual, and 1 where the teacher is not
/// certain. Don't use it with a teacher that was fitted on the rows closely: it tells no more than the labels do.
///
/// Cost: a few operations over the outputs in each step. The teacher's predictions are made once.
///
/// # Errors
/// A session returns [`Error::Invalid`] before it trains, if a parameter is out of range, the data set has no soft targets,
/// classes come from outputs that are not logits, or the student outputs distributions of values: the soft targets are
/// means, from which it could not learn the noise.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::TensorDataset, strategy::MultiRun, train::{Distillation, Trainer}, Session};
///
/// let x = Tensor::arange(0f32, 40., &Device::Cpu)?.affine(0.05, -1.)?.reshape((20, 2))?;
/// let labels = Tensor::from_iter((0..20u32).map(|i| i / 10), &Device::Cpu)?;
/// let teacher = Tensor::cat(&[Tensor::full(0.7f32, (10, 1), &Device::Cpu)?, Tensor::full(0.2f32, (10, 1), &Device::Cpu)?], 0)?;
/// let teacher = Tensor::cat(&[&teacher, &(1. - &teacher)?], 1)?; // from elsewhere
/// let data = TensorDataset::classification(&x, &labels)?.with_soft_targets(&teacher)?;
///
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb))
///     .distillation(Distillation::new().temperature(2.).alpha(0.9));
/// let student = Session::new(&trainer, &data).fit(&MultiRun::new(1), 42)?;
/// assert_eq!(Distillation::registry().parse("distill:2:0.9")?, Distillation::new());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Hinton, Vinyals and Dean 2015, arXiv:1503.02531.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Distillation {
    /// The temperature `T`, above 0. It has no effect on values. Default 2.
    pub temperature: f64,
    /// The share `α` of the teacher, from 0 to 1. Default 0.9.
    pub alpha: f64,
}

const ARGUMENTS: &[Argument] = &[
    Argument::new("temperature", "2", "What logits are divided by"),
    Argument::new("alpha", "0.9", "The share of the teacher in the loss"),
];

impl Default for Distillation {
    fn default() -> Self {
        Self { temperature: 2., alpha: 0.9 }
    }
}

impl Distillation {
    /// A temperature of 2, and a share of 0.9 for the teacher.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the temperature, above 0.
    #[must_use]
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.temperature = temperature;
        self
    }

    /// Sets the share of the teacher, from 0 to 1. With 0 the soft targets have no effect.
    #[must_use]
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// Distillation by name, `distill:2:0.9`. The trainer reads such a text from a run's setting `"distillation"`.
    #[must_use]
    pub fn registry() -> &'static Registry<Self> {
        static REGISTRY: LazyLock<Registry<Distillation>> = LazyLock::new(|| {
            let summary = "A teacher's predictions are targets beside those of the data";
            let entry = Entry::new("distill", "Distillation", summary, |arguments| {
                Ok(Distillation {
                    temperature: arguments.get("temperature")?,
                    alpha: arguments.get("alpha")?,
                })
            });
            let entry = entry.with_arguments(ARGUMENTS);
            Registry::new("distillation", vec![entry.with_source("Hinton et al. 2015, arXiv:1503.02531")])
        });
        &REGISTRY
    }

    /// Checks the parameters.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the parameter.
    pub fn check(&self) -> Result<()> {
        positive("Distillation::temperature", self.temperature)?;
        let in_range = (0.0..=1.0).contains(&self.alpha);
        require(in_range, "Distillation::alpha", "from 0 to 1", self.alpha)
    }

    /// Checks that the networks have logits, if they predict classes, and the values themselves otherwise.
    pub(crate) fn check_output(task: Task, output: Output) -> Result<()> {
        match (task, output) {
            (Task::Classification { .. }, _) if output != Output::Logits => {
                let must = "Output::Logits with distillation, which divides logits by a temperature";
                Err(Error::invalid("the output", must, format!("Output::{output:?}")))
            }
            (Task::Regression { .. }, output) if output.is_distribution() => {
                let must = "one of the values themselves with distillation: the teacher predicts means, so a student of \
                            distributions would learn that there is hardly any noise";
                Err(Error::invalid("the output", must, format!("Output::{output:?}")))
            }
            _ => Ok(()),
        }
    }

    /// The mean loss of a batch. `mean` is that of the outputs for the targets that it gets, or for those of the data.
    pub(crate) fn loss(
        &self,
        task: Task,
        (output, soft): (&Tensor, &Tensor),
        weights: Option<&Tensor>,
        mean: impl Fn(Option<&Tensor>) -> CResult<Tensor>,
    ) -> CResult<Tensor> {
        if self.alpha == 0.0 {
            return mean(None);
        }
        let of_teacher = match task {
            Task::Classification { .. } => self.divergence(output, soft, weights)?,
            Task::Regression { .. } => mean(Some(soft))?,
        };
        if self.alpha == 1.0 {
            return Ok(of_teacher);
        }
        let of_data = mean(None)?.to_dtype(of_teacher.dtype())?;
        (of_teacher * self.alpha)? + (of_data * (1.0 - self.alpha))?
    }

    /// `T² KL(q ‖ softmax(z / T))`.
    fn divergence(&self, output: &Tensor, soft: &Tensor, weights: Option<&Tensor>) -> CResult<Tensor> {
        let logits = match *output.dims() {
            // One logit of class 1 of two: the logits are 0 and itself.
            [rows] | [rows, 1] => {
                let one = output.reshape((rows, 1))?;
                Tensor::cat(&[&one.zeros_like()?.detach(), &one], 1)?
            }
            _ => output.clone(),
        };
        if self.temperature == 1.0 {
            return Loss::KlDivergence.mean(&logits, soft, weights);
        }
        let logits = match logits.dtype() {
            DType::F16 | DType::BF16 => logits.to_dtype(DType::F32)?,
            _ => logits,
        };
        let soft = self.tempered(soft)?;
        Loss::KlDivergence.mean(&(logits / self.temperature)?, &soft, weights)? * self.temperature.powi(2)
    }

    /// The teacher's probabilities at the temperature.
    fn tempered(&self, soft: &Tensor) -> CResult<Tensor> {
        let soft = soft.to_dtype(DType::F64)?;
        // Divided by the greatest of the row, so that a power of tiny numbers is not 0 for all of them.
        let powers = soft.broadcast_div(&soft.max_keepdim(D::Minus1)?)?.powf(1.0 / self.temperature)?;
        powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)
    }
}

/// As [`registry`](Distillation::registry) reads it.
impl fmt::Display for Distillation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "distill:{}:{}", self.temperature, self.alpha)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    const CLASSES: Task = Task::Classification { classes: 3 };

    fn tensor(rows: &[[f64; 3]]) -> Tensor {
        let rows: Vec<Vec<f64>> = rows.iter().map(|row| row.to_vec()).collect();
        Tensor::new(rows, &Device::Cpu).unwrap()
    }

    fn scalar(x: &Tensor) -> f64 {
        x.to_dtype(DType::F64).unwrap().to_scalar().unwrap()
    }

    /// The teacher's softmax is (1, 4, 16) / 21, at T = 2 (1, 2, 4) / 7. The student's logits are (0, 2 ln 2, 2 ln 3), at
    /// T = 2 with softmax (1, 2, 3) / 6, and at T = 1 (1, 4, 9) / 14.
    #[test]
    fn temperature_and_share_by_hand() {
        let student = Var::from_tensor(&tensor(&[[0., 2. * 2f64.ln(), 2. * 3f64.ln()]])).unwrap();
        let teacher = tensor(&[[1. / 21., 4. / 21., 16. / 21.]]);
        let labels = Tensor::new(&[1u32], &Device::Cpu).unwrap();
        let hard = |_: Option<&Tensor>| Loss::CrossEntropy { smoothing: 0. }.mean(&student, &labels, None);
        let loss = |distillation: Distillation| {
            distillation.loss(CLASSES, (student.as_tensor(), &teacher), None, hard).unwrap()
        };
        let (q, p) = ([1. / 7., 2. / 7., 4. / 7.], [1. / 6., 2. / 6., 3. / 6.]);
        let divergence: f64 = q.iter().zip(p).map(|(q, p): (&f64, f64)| q * (q / p).ln()).sum();
        let hard_by_hand = (14f64 / 4.).ln();
        let mixed = loss(Distillation::new().alpha(0.7));
        assert!((scalar(&mixed) - (0.7 * 4. * divergence + 0.3 * hard_by_hand)).abs() < 1e-14);
        assert!((scalar(&loss(Distillation::new().alpha(1.))) - 4. * divergence).abs() < 1e-14);
        assert_eq!(scalar(&loss(Distillation::new().alpha(0.))), scalar(&hard(None).unwrap()));

        // ∂/∂z = α T (softmax(z / T) − q) + (1 − α) (softmax(z) − onehot).
        let gradients = mixed.backward().unwrap();
        let gradient = gradients.get(&student).unwrap().to_vec2::<f64>().unwrap();
        let hard_gradient = [1. / 14., 4. / 14. - 1., 9. / 14.];
        for c in 0..3 {
            let by_hand = 0.7 * 2. * (p[c] - q[c]) + 0.3 * hard_gradient[c];
            assert!((gradient[0][c] - by_hand).abs() < 1e-14, "{c}: {gradient:?}");
        }
    }

    #[test]
    fn at_temperature_one_and_share_one_it_is_the_divergence() {
        let (student, teacher) =
            (tensor(&[[0.3, -1., 2.], [0., 0., 1.]]), tensor(&[[0.2, 0.8, 0.], [0.1, 0.3, 0.6]]));
        let weights = Tensor::new(&[1f32, 3.], &Device::Cpu).unwrap();
        let distillation = Distillation::new().temperature(1.).alpha(1.);
        let none = |_: Option<&Tensor>| candle_core::bail!("not needed");
        let got = distillation.loss(CLASSES, (&student, &teacher), Some(&weights), none).unwrap();
        let want = Loss::KlDivergence.mean(&student, &teacher, Some(&weights)).unwrap();
        assert_eq!(scalar(&got), scalar(&want));
    }

    /// One logit `z` of class 1 is the logits `(0, z)`.
    #[test]
    fn one_logit_is_two_of_which_the_first_is_zero() {
        let task = Task::Classification { classes: 2 };
        let z = Tensor::new(&[0.7f64, -2.], &Device::Cpu).unwrap();
        let two = Tensor::new(&[[0f64, 0.7], [0., -2.]], &Device::Cpu).unwrap();
        let teacher = Tensor::new(&[[0.9f64, 0.1], [0.3, 0.7]], &Device::Cpu).unwrap();
        let distillation = Distillation::new().temperature(3.).alpha(1.);
        let none = |_: Option<&Tensor>| candle_core::bail!("not needed");
        let loss = |z: &Tensor| scalar(&distillation.loss(task, (z, &teacher), None, none).unwrap());
        assert_eq!(loss(&z), loss(&two));
        assert_eq!(loss(&z.unsqueeze(1).unwrap()), loss(&two));
    }

    /// A temperature of 100 makes equal logits of a certain teacher, and 0.01 a certain one of an uncertain one.
    #[test]
    fn temperatures_flatten_and_sharpen_without_losing_small_numbers() {
        let tempered = |temperature: f64, teacher: [f64; 3]| {
            let tempered =
                Distillation::new().temperature(temperature).tempered(&tensor(&[teacher])).unwrap();
            tempered.to_vec2::<f64>().unwrap().remove(0)
        };
        let flat = tempered(100., [1. - 2e-30, 1e-30, 1e-30]);
        assert!(flat.iter().all(|p| (p - 1. / 3.).abs() < 0.2), "{flat:?}");
        let sharp = tempered(0.01, [0.2, 0.3, 0.5]);
        assert!(sharp[2] > 1. - 1e-12 && (sharp.iter().sum::<f64>() - 1.).abs() < 1e-12, "{sharp:?}");
        assert_eq!(tempered(2., [0., 0., 1.]), [0., 0., 1.]);
    }

    #[test]
    fn values_are_mixed_and_parameters_checked() {
        let task = Task::Regression { outputs: 1 };
        let [output, teacher, y] = [1f64, 3., 2.].map(|x| Tensor::new(&[x], &Device::Cpu).unwrap());
        let mean = |targets: Option<&Tensor>| Loss::MeanSquared.mean(&output, targets.unwrap_or(&y), None);
        let loss = Distillation::new().alpha(0.75).loss(task, (&output, &teacher), None, mean).unwrap();
        assert_eq!(scalar(&loss), 0.75 * 4. + 0.25);
        let error = |d: Distillation| d.check().unwrap_err().to_string();
        assert!(
            error(Distillation::new().temperature(0.)).contains("temperature must be positive and finite")
        );
        assert!(error(Distillation::new().alpha(1.1)).contains("alpha must be from 0 to 1, but is 1.1"));
        assert!(error(Distillation::new().alpha(f64::NAN)).contains("alpha"));
        let text = Distillation::new().temperature(2.5).alpha(0.25);
        assert_eq!(Distillation::registry().parse(&text.to_string()).unwrap(), text);
    }
}
