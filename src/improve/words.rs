//! What came of a remedy, in words.
use crate::{
    improve::{Step, Verdict},
    statistics::Interval,
};
use std::fmt;

/// In a few words, without the reason of a refusal.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Better => f.write_str("better"),
            Self::SmallGain => f.write_str("better, but by too little"),
            Self::NoGain => f.write_str("no certain gain"),
            Self::Worse => f.write_str("worse"),
            Self::WorseOn(metric) => write!(f, "better, but worse on {metric}"),
            Self::Diverged => f.write_str("the training diverges"),
            Self::Refused(_) => f.write_str("does not fit"),
            Self::Skipped => f.write_str("skipped"),
        }
    }
}

impl Step {
    /// What was decided, in a few words.
    pub(crate) fn decision(&self) -> String {
        format!("{}: {}", if self.kept { "kept" } else { "not kept" }, self.verdict)
    }

    /// What was decided, with its figures and the reason.
    pub(crate) fn outcome(&self) -> String {
        let reason = match &self.verdict {
            Verdict::Refused(reason) => format!(" ({reason})"),
            _ => String::new(),
        };
        let figures = self.gain.map_or_else(String::new, |gain| self.figures(&gain));
        format!("{}{reason}{figures}", self.decision())
    }

    fn figures(&self, gain: &Interval) -> String {
        let (gain, level, splits) = (percents(gain), 100. * gain.level, self.splits());
        format!("; the loss is reduced by {gain} at level {level:.2} % over {splits} splits")
    }
}

/// A gain with its interval in percent.
pub(crate) fn percents(gain: &Interval) -> String {
    let Interval { estimate, low, high, .. } = gain;
    format!("{:+.1} % ({:+.1} … {:+.1})", 100. * estimate, 100. * low, 100. * high)
}
