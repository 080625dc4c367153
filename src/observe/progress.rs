//! A progress bar (feature `progress`).
use crate::observe::{Event, Flow, Observer};
use indicatif::{ProgressDrawTarget, ProgressStyle};
use std::sync::{Mutex, PoisonError};

/// A progress bar over the epochs of a build, or over the rows of a prediction, on standard error. It is drawn
/// on terminals only.
///
/// Epochs that an interrupted build has in its store count as done, and so do those of other
/// [workers](crate::exec::Worker) when they have finished a run.
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
    length: Mutex<Length>,
}

/// Epochs of all builds together: known for those that have started, expected for the others.
#[derive(Debug)]
struct Length {
    builds: u64,
    started: u64,
    epochs: u64,
}

impl Length {
    /// The length after one more build has started, whose runs have so many epochs.
    fn add(&mut self, epochs: u64) -> u64 {
        self.started += 1;
        self.epochs += epochs;
        let left = self.builds.saturating_sub(self.started);
        self.epochs + left * (self.epochs / self.started)
    }
}

impl ProgressBar {
    /// A bar for `builds` builds of about the same length, such as the repeats of a study.
    #[must_use]
    pub fn new(builds: usize) -> Self {
        Self::on(ProgressDrawTarget::stderr(), builds)
    }

    fn on(target: ProgressDrawTarget, builds: usize) -> Self {
        let bar = indicatif::ProgressBar::with_draw_target(Some(0), target);
        let length = Mutex::new(Length { builds: builds.max(1) as u64, started: 0, epochs: 0 });
        let bar = Self { bar, length };
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

    fn has_build(&self) -> bool {
        self.length.lock().unwrap_or_else(PoisonError::into_inner).started > 0
    }

    /// Counts epochs that were trained earlier. They say nothing about the time that is left.
    fn skip(&self, epochs: usize) {
        if epochs > 0 {
            self.bar.inc(epochs as u64);
            self.bar.reset_eta();
        }
    }
}

impl Observer for ProgressBar {
    fn notify(&self, event: &Event<'_>) -> Flow {
        match event {
            Event::BuildStarted { epochs, planned, .. } => {
                let mut length = self.length.lock().unwrap_or_else(PoisonError::into_inner);
                self.bar.set_length(length.add(*planned as u64));
                self.skip(planned.saturating_sub(*epochs));
            }
            Event::EpochEnded { record, .. } => {
                self.bar.inc(1);
                self.bar.set_message(format!("loss {:.4}", record.train_loss));
            }
            Event::Resumed { epoch, .. } => self.skip(*epoch),
            Event::RunFinished { epochs, planned, .. } => {
                self.bar.inc(planned.saturating_sub(*epochs) as u64)
            }
            Event::FinishedElsewhere { epochs, .. } => self.skip(*epochs),
            Event::Waiting { under_way } => {
                self.bar.set_message(format!("{under_way} left with other workers"));
            }
            // After a build, the rows of a test set.
            Event::RowsPredicted { rows, of } if self.has_build() => {
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

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::TermLike;
    use std::{io, sync::Arc};

    /// A terminal that keeps the last line drawn.
    #[derive(Clone, Debug, Default)]
    struct Terminal(Arc<Mutex<String>>);

    impl TermLike for Terminal {
        fn width(&self) -> u16 {
            200
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            self.0.lock().unwrap().clear();
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What the bar of a study of `builds` builds shows after these builds of 3 runs of 40 epochs, each with
    /// the epochs that it still has to train.
    fn shown(builds: usize, started: &[usize]) -> String {
        let terminal = Terminal::default();
        let bar = ProgressBar::on(ProgressDrawTarget::term_like(Box::new(terminal.clone())), builds);
        for &epochs in started {
            let (runs, finished) = (3, (120 - epochs) / 40);
            let event = Event::BuildStarted { runs, finished, epochs, planned: 120 };
            assert_eq!(bar.notify(&event), Flow::Continue);
        }
        bar.bar.abandon();
        terminal.0.lock().unwrap().clone()
    }

    #[test]
    fn a_new_study_starts_at_0_of_all_its_epochs() {
        assert!(shown(20, &[120]).contains("epoch 0 of 2,400"), "{}", shown(20, &[120]));
    }

    #[test]
    fn finished_runs_of_a_resumed_study_count_as_done() {
        let text = shown(20, &[0, 0, 40]);
        assert!(text.contains("epoch 320 of 2,400") && text.contains(" 13 %"), "{text}");
        let text = shown(2, &[0, 0]);
        assert!(text.contains("epoch 240 of 240") && text.contains("100 %"), "{text}");
    }

    #[test]
    fn runs_that_others_have_finished_count_as_done() {
        let terminal = Terminal::default();
        let bar = ProgressBar::on(ProgressDrawTarget::term_like(Box::new(terminal.clone())), 1);
        let begun = Event::BuildStarted { runs: 3, finished: 0, epochs: 120, planned: 120 };
        let events =
            [begun, Event::FinishedElsewhere { runs: 2, epochs: 70 }, Event::Waiting { under_way: 1 }];
        events.iter().for_each(|event| assert_eq!(bar.notify(event), Flow::Continue));
        bar.bar.abandon();
        let text = terminal.0.lock().unwrap().clone();
        assert!(text.contains("epoch 70 of 120") && text.contains("1 left with other workers"), "{text}");
    }

    #[test]
    fn builds_of_other_lengths_correct_the_expected_length() {
        let mut length = Length { builds: 3, started: 0, epochs: 0 };
        assert_eq!([length.add(10), length.add(20), length.add(60)], [30, 45, 90]);
    }
}
