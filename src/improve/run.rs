//! From the parameters of a loop to its result.
use crate::{
    data::{Dataset, Split, View},
    diagnose::{Diagnose, Finding, Observations, Rule},
    improve::{
        bench::Bench,
        builder::TestShare,
        course::{Lab, Limits, Loop},
        decisions::Decisions,
        finals::{hex, FinalRows},
        kept::{key, Kept},
        layout, Budget, Improve, ImproveEvent, ImproveReport, Improved, Spent,
    },
    train::Learner,
    Error, Network, Result, Rows, Seed,
};

impl<'a, N: Network> Improve<'a, N> {
    /// Runs the loop. The one seed determines everything: the rows of the final scores, the splits, and each
    /// training.
    ///
    /// # Errors
    /// When a parameter is out of range, the trainer has several architectures, the budget is too small for
    /// the diagnosis of the start and its final scores, or the trainer does not fit the data;
    /// [`Error::Cancelled`] when the observer stops a training.
    pub fn run(&self, seed: impl Into<Seed>) -> Result<Improved<'a, N>> {
        let seed: Seed = seed.into();
        self.check()?;
        let (rows, test_rows) = self.partition(seed.child("test"))?;
        let (view, test) = (View::new(self.data, rows)?, View::new(self.data, test_rows)?);
        let start = layout::completed(&self.setup, self.trainer)?;
        let tell = |event: &ImproveEvent<'_>| {
            if let Some(follow) = self.follow {
                follow(event);
            }
        };
        let kept = Kept::new(self.folder.as_deref())?;
        let (count, test_count) = (view.rows(), test.rows());
        tell(&ImproveEvent::Started { rows: count, test_rows: test_count, setup: &start });
        let mut bench = Bench::new(self, &view, start.clone(), seed, &kept, &tell)?;
        let start = bench.prepare(start)?;
        self.check_budget(bench.least()?)?;
        let mut decisions = Decisions::new(self.decide, &kept, &self.key(&view, &bench, seed)?)?;
        let limits = Limits {
            splits: self.splits,
            attempts: self.attempts,
            max_steps: self.max_steps,
            alpha: self.alpha,
            min_gain: self.min_gain,
            always_try_ensemble: self.always_try_ensemble,
        };
        let (lab, decisions) = (&mut bench, &mut decisions);
        let course =
            Loop { lab, limits, decisions, tell: &tell, steps: vec![], tried: 0 }.run(start.clone())?;

        let setups = match course.setup == start {
            true => vec![&start],
            false => vec![&start, &course.setup],
        };
        let trainings = setups.len().saturating_mul(self.final_runs);
        tell(&ImproveEvent::Scoring { trainings });
        let final_rows = FinalRows::new(&test, self.target_scaler, bench.metric())?;
        let mut finals = self.finals(&setups, &view, &final_rows, seed.child("final"))?.into_iter();
        let none = || Error::invalid("the number of final trainings", "at least 1", 0);
        let first = finals.next().ok_or_else(none)?;
        let (last, gain) = match finals.next() {
            Some(last) => {
                let gain = final_rows.gain(&first, &last, seed.child("gain"))?;
                (Some(last), gain)
            }
            None => (None, None),
        };
        let spent = bench.spent() + first.spent + last.as_ref().map_or(Spent::default(), |last| last.spent);
        let end = last.as_ref().unwrap_or(&first);
        let report = ImproveReport {
            seed: hex(seed)?,
            metric: bench.metric().name(),
            higher_is_better: bench.metric().higher_is_better(),
            no_model: bench.no_model(),
            rows: count,
            test_rows: test_count,
            start_setup: start.clone(),
            final_setup: course.setup.clone(),
            start: first.scores.clone(),
            end: end.scores.clone(),
            gain,
            steps: course.steps,
            diagnoses: course.diagnoses,
            range_tests: bench.range_tested.clone(),
            stopped: course.stopped,
            trainings: spent.trainings,
            epochs: spent.epochs,
        };
        tell(&ImproveEvent::Finished { report: &report, spent });
        let product = end.product.clone();
        drop(bench);
        Ok(Improved { report, trainer: self.trainer, view, test, device: self.device.clone(), product })
    }

    /// The rows that decisions are made on, and those of the final scores.
    fn partition(&self, seed: Seed) -> Result<(Rows, Rows)> {
        let test = match &self.test {
            TestShare::Share(share) => return Split::of(self.data, *share, seed).map(|s| (s.train, s.test)),
            TestShare::Rows(rows) => {
                let mut rows = rows.clone();
                rows.sort_unstable();
                rows.dedup();
                rows
            }
        };
        let others =
            (0..self.data.rows() as u32).filter(|row| test.binary_search(row).is_err()).collect::<Rows>();
        if test.is_empty() || others.is_empty() {
            let must = "some of the rows, and not all";
            return Err(Error::invalid("the test rows", must, format!("{} rows", test.len())));
        }
        Ok((others, test))
    }

    /// Checks that the budget is enough for a use in which nothing is tried.
    fn check_budget(&self, least: Spent) -> Result<()> {
        let (most, least) = match self.budget {
            Budget::Trainings(most) => (most, least.trainings),
            Budget::Epochs(most) => (most, least.epochs),
            Budget::Unlimited | Budget::Time(_) => return Ok(()),
        };
        if most < least {
            let must = format!("at least {least}, for the diagnosis of the start and its final scores");
            return Err(Error::invalid("the budget", must, most));
        }
        Ok(())
    }

    /// Names all that the decisions depend on.
    fn key(&self, view: &View<'_>, bench: &Bench<'_, '_, N>, seed: Seed) -> Result<String> {
        let remedies: Vec<&str> = self.remedies.iter().map(|remedy| remedy.name()).collect();
        let rules: Vec<&str> = self.rules.iter().map(|rule| rule.name()).collect();
        let counts =
            (self.splits, self.runs_per_split, self.runs, self.final_runs, self.attempts, self.max_steps);
        let shares = (self.validation, self.alpha, self.min_gain, self.always_try_ensemble, self.budget);
        let network = (self.trainer.tag(), &self.setup, bench.metric().name());
        key(&(view.fingerprint().to_string(), network, counts, shares, remedies, rules, seed))
    }

    /// The findings of what is known about a setup.
    pub(super) fn diagnose(&self, seen: Observations<'_>) -> Result<Vec<Finding>> {
        if let Some(diagnoser) = self.diagnoser {
            return diagnoser.diagnose(seen);
        }
        let rules = self.rules.iter().map(|rule| Box::new(ByReference(&**rule)));
        let diagnose = rules.fold(Diagnose::new(seen), |diagnose, rule| diagnose.rule(rule));
        Ok(diagnose.run()?.findings)
    }
}

/// A rule that is used several times.
struct ByReference<'r>(&'r dyn Rule);

impl Rule for ByReference<'_> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn detect(&self, seen: &Observations<'_>) -> Result<Vec<Finding>> {
        self.0.detect(seen)
    }

    fn missing(&self, seen: &Observations<'_>) -> Vec<String> {
        self.0.missing(seen)
    }
}
