//! How much a loop of improvement may train.
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, time::Duration};

/// How much a loop of improvement may train, the final scores included.
///
/// Before each remedy the loop compares what is left with what the remedy and the final scores after it would
/// cost, with the epochs that the setups plan. It stops where that is too much, so it stays within a budget
/// of trainings or epochs. Only what the first diagnosis and the final scores cost is spent in any case.
///
/// A budget of time depends on the machine. The loop estimates the time of a remedy from the epochs so far,
/// so it may exceed the budget by a part of a remedy, and two uses may try different numbers of remedies.
///
/// Its text is a number with a unit: `200 trainings`, `5000 epochs`, `90s`, `10m`, `1.5h`; or `unlimited`.
///
/// ```
/// use candle_ensemble::improve::Budget;
/// use std::time::Duration;
///
/// assert_eq!("10m".parse::<Budget>()?, Budget::Time(Duration::from_secs(600)));
/// assert_eq!("200 trainings".parse::<Budget>()?, Budget::Trainings(200));
/// assert_eq!(Budget::Time(Duration::from_secs(90)).to_string(), "90s");
/// assert!("10 apples".parse::<Budget>().is_err());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    /// No limit: the loop ends when nothing is wrong or nothing helps.
    #[default]
    Unlimited,
    /// A number of trained networks.
    Trainings(usize),
    /// A number of epochs over all trainings.
    Epochs(usize),
    /// A time of training.
    Time(Duration),
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => f.write_str("unlimited"),
            Self::Trainings(n) => write!(f, "{n} trainings"),
            Self::Epochs(n) => write!(f, "{n} epochs"),
            Self::Time(time) => write!(f, "{}s", time.as_secs_f64()),
        }
    }
}

impl FromStr for Budget {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let must =
            "a number with a unit (\"200 trainings\", \"5000 epochs\", \"90s\", \"10m\", \"1.5h\") or \
                    \"unlimited\"";
        let bad = || Error::invalid("the budget", must, format!("{text:?}"));
        let text = text.trim();
        if text == "unlimited" {
            return Ok(Self::Unlimited);
        }
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let (number, unit) = text.split_at(digits);
        let count = || number.parse::<usize>().map_err(|_| bad());
        let seconds = match unit.trim_start() {
            "trainings" | "training" => return Ok(Self::Trainings(count()?)),
            "epochs" | "epoch" => return Ok(Self::Epochs(count()?)),
            "s" => 1.,
            "m" | "min" => 60.,
            "h" => 3600.,
            _ => return Err(bad()),
        };
        let time = number.parse::<f64>().map_err(|_| bad())? * seconds;
        Duration::try_from_secs_f64(time).map(Self::Time).map_err(|_| bad())
    }
}

/// What was trained: numbers that add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Networks that were trained, those that diverged included.
    pub trainings: usize,
    /// Their epochs.
    pub epochs: usize,
}

impl std::ops::Add for Spent {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            trainings: self.trainings.saturating_add(other.trainings),
            epochs: self.epochs.saturating_add(other.epochs),
        }
    }
}

impl std::ops::AddAssign for Spent {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl std::iter::Sum for Spent {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| sum + one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_back() {
        for budget in [
            Budget::Unlimited,
            Budget::Trainings(7),
            Budget::Epochs(120),
            Budget::Time(Duration::from_millis(1500)),
        ] {
            assert_eq!(budget.to_string().parse::<Budget>().unwrap(), budget);
        }
        assert_eq!("1.5 h".parse::<Budget>().unwrap(), Budget::Time(Duration::from_secs(5400)));
        for bad in ["", "10", "m", "-5m", "1.5 trainings", "1e3m", "5 days", "..m"] {
            let error = bad.parse::<Budget>().unwrap_err().to_string();
            assert!(error.starts_with("the budget must be a number with a unit"), "{bad}: {error}");
        }
    }
}
