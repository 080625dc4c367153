//! A progress bar (feature `progress`).
use crate::observe::{Event, Flow, Observer};
use indicatif::ProgressStyle;
use std::sync::atomic::{AtomicBool, Ordering};

/// A progress bar over the epochs of a build, or over the rows of a prediction, on standard error. It is drawn
/// on terminals only.
///
/// ```no_run
/// use candle_ensemble::ProgressBar;
///
/// let bar = ProgressBar::new(1); // for one build
/// // Session::new(&learner, &data).observer(&bar).train(&plan)?;
/// ```
#[derive(Debug)]
pub struct ProgressBar {
    bar: indicatif::ProgressBar,
    builds: u64,
    has_length: AtomicBool,
}

impl ProgressBar {
    /// A bar for `builds` builds of about the same length, such as the repeats of a study.
    #[must_use]
    pub fn new(builds: usize) -> Self {
        let bar = Self {
            bar: indicatif::ProgressBar::new(0),
            builds: builds.max(1) as u64,
            has_length: AtomicBool::new(false),
        };
        bar.count("epoch");
        bar
    }

    /// Sets what the bar counts.
    fn count(&self, unit: &str) {
        let template = format!(
            "{{spinner}} {{bar:32}} {{percent:>3}} %  {unit} {{human_pos}} of {{human_len}}  \
             {{elapsed}} (left: {{eta}})  {{msg}}"
        );
        if let Ok(style) = ProgressStyle::with_template(&template) {
            self.bar.set_style(style);
        }
    }

    /// Removes the bar from the terminal.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for ProgressBar {
    fn notify(&self, event: &Event<'_>) -> Flow {
        match event {
            Event::BuildStarted { epochs, .. } if !self.has_length.swap(true, Ordering::Relaxed) => {
                self.bar.set_length(*epochs as u64 * self.builds);
            }
            Event::EpochEnded { record, .. } => {
                self.bar.inc(1);
                self.bar.set_message(format!("loss {:.4}", record.train_loss));
            }
            Event::Resumed { epoch, .. } => self.bar.inc(*epoch as u64),
            Event::RunFinished { epochs, planned, .. } => {
                self.bar.inc(planned.saturating_sub(*epochs) as u64)
            }
            // After a build, the rows of a test set.
            Event::RowsPredicted { rows, of } if self.has_length.load(Ordering::Relaxed) => {
                self.bar.set_message(format!("row {rows} of {of}"));
            }
            Event::RowsPredicted { rows, of } => {
                self.count("row");
                self.bar.set_length(*of as u64);
                self.bar.set_position(*rows as u64);
            }
            _ => {}
        }
        Flow::Continue
    }
}
