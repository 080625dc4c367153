//! Learning curves of trainings.
use crate::diagnose::{Attempt, Curve};

/// The learning curve of a training: that of its run or, of several runs, the mean of their curves over the
/// epochs that all have. A run that diverged ends in NaN.
pub(super) fn of_attempts(attempts: &[Attempt], metric: bool) -> Curve {
    let curves: Vec<Curve> = attempts.iter().map(|attempt| attempt.curve(metric)).collect();
    let mean = |series: fn(&Curve) -> &Vec<f64>| {
        let all: Vec<&Vec<f64>> = curves.iter().map(series).collect();
        mean(&all)
    };
    let mut curve = Curve::default();
    curve.train_loss = mean(|curve| &curve.train_loss);
    curve.valid_loss = mean(|curve| &curve.valid_loss);
    curve.train_metric = mean(|curve| &curve.train_metric);
    curve.valid_metric = mean(|curve| &curve.valid_metric);
    curve
}

/// The mean of series over the epochs that all have; one series is itself.
fn mean(all: &[&Vec<f64>]) -> Vec<f64> {
    let epochs = all.iter().map(|series| series.len()).min().unwrap_or(0);
    let at = |epoch: usize| all.iter().filter_map(|series| series.get(epoch)).sum::<f64>() / all.len() as f64;
    (0..epochs).map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::EpochRecord;

    fn record(epoch: usize, loss: f64, valid: Option<f64>) -> EpochRecord {
        EpochRecord {
            epoch,
            train_loss: loss,
            train_metric: 0.5,
            valid_loss: valid,
            ..EpochRecord::default()
        }
    }

    #[test]
    fn a_run_that_diverges_ends_in_nan() {
        let run = Attempt::Diverged(vec![record(0, 1., Some(2.)), record(1, 3., Some(4.))]);
        let curve = of_attempts(&[run], true);
        assert_eq!(curve.train_loss[..2], [1., 3.]);
        assert!(curve.train_loss[2].is_nan() && curve.valid_loss[2].is_nan() && curve.valid_loss.len() == 3);
        assert!(curve.valid_metric.is_empty());
        // A run that diverges in its first epoch is a curve too.
        let curve = of_attempts(&[Attempt::Diverged(vec![])], true);
        assert!(curve.train_loss.len() == 1 && curve.train_loss[0].is_nan());
    }

    #[test]
    fn the_curve_of_an_ensemble_is_the_mean_of_its_runs() {
        let runs = [
            Attempt::Diverged(vec![record(0, 1., None), record(1, 3., None)]),
            Attempt::Diverged(vec![record(0, 5., None)]),
        ];
        let curve = of_attempts(&runs, true);
        assert!(curve.train_loss.len() == 2 && curve.train_loss[0] == 3. && curve.train_loss[1].is_nan());
    }
}
