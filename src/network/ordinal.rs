//! From the logits of classes with an order to their probabilities.
use crate::network::{output::ln, Output};
use candle_core::{Result, Tensor};

impl Output {
    /// Whether it is of classes with an order, with one logit less than there are classes.
    #[must_use]
    pub fn is_ordinal(self) -> bool {
        matches!(self, Self::CumulativeLogits | Self::ConditionalLogits)
    }

    /// The logarithms of the probabilities of the classes, `(B, C)`, of the logits `(B, C − 1)` of classes with an order.
    /// Gradients pass through.
    pub(crate) fn log_probabilities(self, logits: &Tensor) -> Result<Tensor> {
        match self {
            Self::ConditionalLogits => {
                // P(y = c) is P(y > k | y ≥ k) for all classes k below c, times P(y ≤ c | y ≥ c).
                let beyond = log_sigmoid(logits)?.cumsum(1)?;
                let none = beyond.narrow(1, 0, 1)?.zeros_like()?;
                let end = log_sigmoid(&logits.neg()?)?;
                Tensor::cat(&[&none, &beyond], 1)? + Tensor::cat(&[&end, &none], 1)?
            }
            _ => {
                let order = logits.detach().contiguous()?.arg_sort_last_dim(false)?;
                let z = logits.contiguous()?.gather(&order, 1)?;
                // P(y > c − 1) − P(y > c) = σ(a) − σ(b) = σ(a) σ(−b) (1 − e^(b − a)) with logits a ≥ b. The first class has
                // no a, and the last one no b.
                let none = z.narrow(1, 0, 1)?.zeros_like()?;
                let above = Tensor::cat(&[&none, &log_sigmoid(&z)?], 1)?;
                let below = Tensor::cat(&[&log_sigmoid(&z.neg()?)?, &none], 1)?;
                let inner = z.dim(1)? - 1;
                let both = (above + below)?;
                if inner == 0 {
                    return Ok(both);
                }
                let gap = (z.narrow(1, 1, inner)? - z.narrow(1, 0, inner)?)?;
                let gap = ln(&(1. - gap.exp()?)?)?;
                both + Tensor::cat(&[&none, &gap, &none], 1)?
            }
        }
    }
}

/// `ln σ(x)`, whose exponential cannot overflow.
fn log_sigmoid(x: &Tensor) -> Result<Tensor> {
    // candle's relu and abs both have derivative 1 at 0, so that of the sum is 1/2 there, as it has to be.
    (x - x.relu()?)? - (x.abs()?.neg()?.exp()? + 1.)?.log()?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{data::Task, network::Scale};
    use candle_core::{DType, Device, Var};
    use proptest::prelude::*;

    const KINDS: [Output; 2] = [Output::CumulativeLogits, Output::ConditionalLogits];

    fn predicted(kind: Output, logits: &[f64], scale: Scale) -> Vec<f64> {
        let z = Tensor::from_slice(logits, (1, logits.len()), &Device::Cpu).unwrap();
        let task = Task::Classification { classes: logits.len() + 1 };
        kind.prediction(&z, task, scale).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    fn logit(p: f64) -> f64 {
        (p / (1. - p)).ln()
    }

    fn close(got: &[f64], by_hand: &[f64]) {
        assert_eq!(got.len(), by_hand.len());
        for (a, b) in got.iter().zip(by_hand) {
            assert!((a - b).abs() < 1e-12, "{got:?} {by_hand:?}");
        }
    }

    #[test]
    fn probabilities_by_hand() {
        let z = [0.9, 0.6, 0.2].map(logit);
        close(&predicted(KINDS[0], &z, Scale::Probability), &[0.1, 0.3, 0.4, 0.2]);
        close(
            &predicted(KINDS[1], &z, Scale::Probability),
            &[0.1, 0.9 * 0.4, 0.9 * 0.6 * 0.8, 0.9 * 0.6 * 0.2],
        );
        // Logits in another order are sorted.
        let z = [0.2, 0.9, 0.6].map(logit);
        close(&predicted(KINDS[0], &z, Scale::Probability), &[0.1, 0.3, 0.4, 0.2]);
        for kind in KINDS {
            close(&predicted(kind, &[logit(0.75)], Scale::Probability), &[0.25, 0.75]);
        }
    }

    #[test]
    fn equal_and_extreme_logits_are_finite() {
        for (z, by_hand) in
            [([0., 0.], [0.5, 0., 0.5]), ([800., -800.], [0., 1., 0.]), ([900., 800.], [0., 0., 1.])]
        {
            close(&predicted(KINDS[0], &z, Scale::Probability), &by_hand);
            for kind in KINDS {
                assert!(predicted(kind, &z, Scale::LogProbability)
                    .iter()
                    .all(|x| x.is_finite() && *x < 1e-12));
            }
        }
    }

    /// The gradient of `ln P(y = 1)` of three classes by hand: with `P = σ(a) − σ(b)` it is
    /// `(σ'(a), −σ'(b)) / P`, and with `P = σ(a) σ(−b)` it is `(σ(−a), −σ(b))`.
    #[test]
    fn gradients_by_hand() {
        let (a, b) = (0.8, 0.3);
        let z = Var::new(&[[logit(a), logit(b)]], &Device::Cpu).unwrap();
        for (kind, by_hand) in
            KINDS.into_iter().zip([[a * (1. - a) / (a - b), -b * (1. - b) / (a - b)], [1. - a, -b]])
        {
            let task = Task::Classification { classes: 3 };
            let log = kind.prediction(&z, task, Scale::LogProbability).unwrap();
            let gradients = log.narrow(1, 1, 1).unwrap().sum_all().unwrap().backward().unwrap();
            close(&gradients.get(&z).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap(), &by_hand);
        }
    }

    #[test]
    fn another_width_is_an_error() {
        let z = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
        let of = |task| KINDS[0].prediction(&z, task, Scale::Probability).map_err(|e| e.to_string());
        assert!(of(Task::Classification { classes: 3 })
            .unwrap_err()
            .contains("2 numbers for 3 classes, but outputs 3"));
        assert_eq!(of(Task::Classification { classes: 4 }).unwrap().dims(), [2, 4]);
    }

    proptest! {
        #[test]
        fn cumulative_probabilities_are_those_of_the_definition(
            z in prop::collection::vec(-12f64..12., 1..7),
        ) {
            let sigmoid = |x: f64| 1. / (1. + (-x).exp());
            let mut sorted = z.clone();
            sorted.sort_by(|a, b| b.total_cmp(a));
            let cumulative = predicted(KINDS[0], &z, Scale::Probability);
            let conditional = predicted(KINDS[1], &z, Scale::Probability);
            for p in [&cumulative, &conditional] {
                prop_assert!(p.iter().all(|p| *p >= 0.) && (p.iter().sum::<f64>() - 1.).abs() < 1e-12);
            }
            let mut product = 1.;
            for (k, (z, sorted)) in z.iter().zip(sorted).enumerate() {
                product *= sigmoid(*z);
                let beyond = |p: &[f64]| p[k + 1..].iter().sum::<f64>();
                prop_assert!((beyond(&cumulative) - sigmoid(sorted)).abs() < 1e-9);
                prop_assert!((beyond(&conditional) - product).abs() < 1e-12);
            }
            for (kind, p) in KINDS.into_iter().zip([cumulative, conditional]) {
                for (log, p) in predicted(kind, &z, Scale::LogProbability).iter().zip(p) {
                    prop_assert!((log.exp() - p).abs() < 1e-12);
                }
            }
        }
    }
}
