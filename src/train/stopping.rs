//! Early stopping.
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Stops a run when the validation loss has not improved for a while.
///
/// An epoch improves when its loss is below `best − min_delta`; the run stops when `patience` epochs in a row
/// have not. Source: Prechelt 1998, doi:10.1007/3-540-49430-8_3.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EarlyStopping {
    /// Epochs without improvement, at least 1.
    pub patience: usize,
    /// By how much the loss has to fall to count, at least 0.
    pub min_delta: f64,
    /// Whether the member gets the weights of the best epoch (else those of the last).
    pub restore_best: bool,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        Self { patience: 10, min_delta: 0., restore_best: true }
    }
}

impl EarlyStopping {
    pub(crate) fn check(&self) -> Result<()> {
        if self.patience == 0 {
            return Err(Error::invalid("patience", "at least 1 epoch", 0));
        }
        if !(self.min_delta >= 0. && self.min_delta.is_finite()) {
            return Err(Error::invalid("min_delta", "0 or more", self.min_delta));
        }
        Ok(())
    }
}

/// What an epoch's loss means for the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The best so far.
    Improved,
    /// Not better; go on.
    Waiting,
    /// Not better for too long.
    Stop,
}

/// The state of early stopping within a run.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Watch {
    rule: EarlyStopping,
    best: f64,
    waited: usize,
}

impl Watch {
    pub(crate) fn new(rule: EarlyStopping) -> Self {
        Self { rule, best: f64::INFINITY, waited: 0 }
    }

    pub(crate) fn restores(&self) -> bool {
        self.rule.restore_best
    }

    pub(crate) fn see(&mut self, loss: f64) -> Verdict {
        if loss < self.best - self.rule.min_delta {
            (self.best, self.waited) = (loss, 0);
            return Verdict::Improved;
        }
        self.waited += 1;
        if self.waited >= self.rule.patience {
            Verdict::Stop
        } else {
            Verdict::Waiting
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(rule: EarlyStopping, losses: &[f64]) -> Vec<Verdict> {
        let mut watch = Watch::new(rule);
        losses.iter().map(|loss| watch.see(*loss)).collect()
    }

    #[test]
    fn stops_when_the_wait_reaches_the_patience() {
        use Verdict::*;
        let rule = EarlyStopping { patience: 2, ..EarlyStopping::default() };
        let seen = verdicts(rule, &[3., 2., 2., 1.5, 1.6, 1.5]);
        assert_eq!(seen, [Improved, Improved, Waiting, Improved, Waiting, Stop]);
    }

    #[test]
    fn better_means_below_the_best_less_min_delta() {
        use Verdict::*;
        let rule = EarlyStopping { patience: 3, min_delta: 0.5, restore_best: true };
        // 2.6 is not below 3 − 0.5, and neither is 2.5; 2.4 is.
        assert_eq!(verdicts(rule, &[3., 2.6, 2.5, 2.4]), [Improved, Waiting, Waiting, Improved]);
        assert_eq!(verdicts(rule, &[f64::NAN]), [Waiting]);
    }

    #[test]
    fn bad_parameters_are_named() {
        let rule = EarlyStopping { patience: 0, ..EarlyStopping::default() };
        assert!(rule.check().unwrap_err().to_string().contains("patience"));
        let rule = EarlyStopping { min_delta: -1., ..EarlyStopping::default() };
        assert!(rule.check().unwrap_err().to_string().contains("min_delta"));
    }
}
