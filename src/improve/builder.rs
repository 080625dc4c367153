//! The loop with its parameters.
use crate::{
    check,
    data::{Dataset, Scaler},
    diagnose::Rule,
    exec::Executor,
    improve::{Budget, ByRule, Decide, Diagnoser, ImproveEvent},
    metrics::Metric,
    observe::{Observer, Silent},
    remedy::{remedies, Remedy, Setup},
    store::Checkpoints,
    train::{Learner, Trainer},
    Error, Network, Result, Rows,
};
use candle_core::Device;
use std::path::PathBuf;

/// Improves how a network is trained: diagnoses it, tries the best remedy, keeps it if it helps, and repeats.
///
/// ```text
/// rows       test rows, set aside first; the others are split J times at random into training and validation rows
/// diagnosis  learning curves of several runs on the first split, and all that the rules make of them
/// trial      the setup with and without a remedy, trained on the same splits from the same seeds
/// gain       g = (a − b) / (a + b) for the losses a without and b with it, of which the mean over the runs on a
///            split counts; the loss is reduced by 2g / (1 + g)
/// kept       if the corrected t interval of the mean g over the splits lies above 0 at level 1 − 2α / (k (k + 1))
///            for the k-th remedy since the last one that was kept, the reduction is at least 2 %, and the accuracy is
///            not significantly worse
/// again      a learning rate that was kept is known to a factor of about 3, so 3 times and a third of it are tried, too
/// order      a measured problem with learning before predictions that vary
/// several    of a network that was changed 5 are tried together, after all others and so at level 1 − 2α / k; the gain
///            of their mean is that over its own members
/// end        nothing is wrong, nothing helps, the budget is spent, or the user ends it
/// result     start and result, trained on all rows but the test rows and scored on the test rows, once
/// ```
///
/// A training that diverges has an infinite loss, so a remedy that ends the divergence is a gain and one that
/// diverges is none. A remedy that shows no gain on the first three splits is given up. One that does not fit
/// the trainer is a [refused](crate::improve::Verdict::Refused) step of the report. A finding that has to be
/// treated by hand, such as leakage, is reported and not tried.
///
/// A setup whose strategy trains several members is scored by what its combination makes of them. Where a
/// setting watches validation rows, such as early stopping, they are taken from the training rows of the
/// split: no run learns from the rows that it is scored on.
///
/// Where no remedy does anything, the probability that one is kept is at most `α`, 5 % by default, however
/// many are tried. The final scores are honest for any number of steps, because no decision sees the test
/// rows. The gain on the validation rows is not: of many remedies, the one that was kept is likelier to have
/// been lucky.
///
/// Rows with several positions stay whole: splits and intervals are of rows, and metrics of their positions, of which some of
/// each row are drawn where there are many. A remedy that is not for positions is refused.
///
/// Use it for a network that performs badly, or to see whether it does. It needs enough rows for splits of
/// which a fifth is validation rows, a few hundred or more. Do not use it to search a large space of
/// settings: it tries what fits the diagnosis, and a few values of it.
///
/// Cost: for the diagnosis of the start `splits + runs − 1` trainings; for a comparison of single networks
/// `runs_per_split` trainings of each on 3 or all splits, of an ensemble one; `2 · final_runs` for the final
/// scores. A strategy of M runs costs M times as much.
///
/// # Example
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{improve::{Budget, Improve}, prelude::*};
///
/// let x = Tensor::arange(0f32, 240., &Device::Cpu)?.affine(1. / 120., -1.)?.reshape((120, 2))?;
/// let y = Tensor::from_iter((0..120u32).map(|i| i / 60), &Device::Cpu)?;
/// let data = TensorDataset::classification(&x, &y)?;
/// // A learning rate that is far too small.
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).epochs(10).optimizer(Optimizer::adam(1e-6));
///
/// let improved = Improve::new(&trainer, &data)
///     .splits(4)
///     .runs(2)
///     .budget(Budget::Trainings(60))
///     .follow(&|event| println!("{event}"))
///     .run(42)?;
/// println!("{}", improved.report.story());
/// let ensemble = improved.ensemble()?; // trained on all rows but the test rows
/// assert_eq!(ensemble.on(&data).rows(improved.test_rows()).predict()?.dims(), [30]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// # Source
/// The interval: Nadeau and Bengio 2003, doi:10.1023/A:1024068626366. The level spent on a sequence of tests:
/// Bonferroni's inequality with weights, as in Foster and Stine 2008, doi:10.1111/j.1467-9868.2007.00643.x.
#[allow(missing_debug_implementations)] // neither networks nor data set need be Debug
pub struct Improve<'a, N> {
    pub(super) trainer: &'a Trainer<N>,
    pub(super) data: &'a dyn Dataset,
    pub(super) setup: Setup,
    pub(super) budget: Budget,
    pub(super) test: TestShare,
    pub(super) splits: usize,
    pub(super) validation: f64,
    pub(super) runs: usize,
    pub(super) runs_per_split: usize,
    pub(super) final_runs: usize,
    pub(super) metric: Option<Metric>,
    pub(super) target_scaler: Option<&'a Scaler>,
    pub(super) alpha: f64,
    pub(super) min_gain: f64,
    pub(super) attempts: usize,
    pub(super) max_steps: usize,
    pub(super) always_try_ensemble: bool,
    pub(super) rules: Vec<Box<dyn Rule + 'a>>,
    pub(super) diagnoser: Option<&'a dyn Diagnoser>,
    pub(super) remedies: Vec<Box<dyn Remedy>>,
    pub(super) device: Device,
    pub(super) executor: Option<&'a dyn Executor>,
    pub(super) observer: &'a dyn Observer,
    pub(super) follow: Option<&'a dyn Fn(&ImproveEvent<'_>)>,
    pub(super) decide: &'a dyn Decide,
    pub(super) folder: Option<PathBuf>,
    pub(super) checkpoints: Checkpoints,
}

/// The rows of the final scores.
#[derive(Clone, Debug)]
pub(super) enum TestShare {
    Share(f64),
    Rows(Rows),
}

impl<'a, N: Network> Improve<'a, N> {
    /// Improves this trainer on this data, with the defaults.
    pub fn new(trainer: &'a Trainer<N>, data: &'a dyn Dataset) -> Self {
        Self {
            trainer,
            data,
            setup: Setup::default(),
            budget: Budget::default(),
            test: TestShare::Share(0.25),
            splits: 10,
            validation: 0.2,
            runs: 5,
            runs_per_split: 3,
            final_runs: 5,
            metric: None,
            target_scaler: None,
            alpha: 0.05,
            min_gain: 0.02,
            attempts: 6,
            max_steps: 40,
            always_try_ensemble: false,
            rules: vec![],
            diagnoser: None,
            remedies: remedies(),
            checkpoints: Checkpoints::default(),
            device: Device::Cpu,
            executor: None,
            observer: &Silent,
            follow: None,
            decide: &ByRule,
            folder: None,
        }
    }

    /// Sets where it starts: settings that replace those of the trainer, a strategy and a combination. The
    /// default is a single network with the trainer's own settings.
    #[must_use]
    pub fn setup(mut self, setup: Setup) -> Self {
        self.setup = setup;
        self
    }

    /// Sets how much may be trained. The default is no limit.
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    /// Sets the share of all rows, in (0, 1), that is set aside for the final scores; the default is 0.25.
    /// Whole groups are drawn where the data has groups, otherwise rows in proportion to the strata where it
    /// has strata.
    #[must_use]
    pub fn test(mut self, share: f64) -> Self {
        self.test = TestShare::Share(share);
        self
    }

    /// Sets the rows of the final scores, in place of a random share.
    #[must_use]
    pub fn test_rows(mut self, rows: Rows) -> Self {
        self.test = TestShare::Rows(rows);
        self
    }

    /// Sets the number of random splits into training and validation rows on which a change is compared, at
    /// least 3; the default is 10. More splits find smaller gains, up to about 15. Where the mean loss of the
    /// runs on a split varies by a tenth, a remedy that takes a third of it away is kept in 99 % of simulated
    /// uses if it is the first that is tried, and in 93 % if it is the fourth; one that takes a fifth away in
    /// 75 %.
    #[must_use]
    pub fn splits(mut self, splits: usize) -> Self {
        self.splits = splits;
        self
    }

    /// Sets the share of validation rows in each split, in (0, 1); the default is 0.2. A larger
    /// share widens the intervals, because the splits then share more validation rows.
    #[must_use]
    pub fn validation(mut self, share: f64) -> Self {
        self.validation = share;
        self
    }

    /// Sets the number of runs on the first split whose learning curves are diagnosed, at least 1; the
    /// default is 5. They differ in their seeds. With one run nothing is known about the spread from run to
    /// run.
    #[must_use]
    pub fn runs(mut self, runs: usize) -> Self {
        self.runs = runs;
        self
    }

    /// Sets the number of runs of a single network on each split, at least 1, whose mean is compared; the
    /// default is 3. Several runs take the luck of the initial weights out of the comparison. An ensemble has
    /// one, because its members are several runs.
    #[must_use]
    pub fn runs_per_split(mut self, runs: usize) -> Self {
        self.runs_per_split = runs;
        self
    }

    /// Sets the number of trainings of the start and of the result for the final scores, at least 1; the
    /// default is 5.
    #[must_use]
    pub fn final_runs(mut self, runs: usize) -> Self {
        self.final_runs = runs;
        self
    }

    /// Sets the metric that decides: one of at most 1 if higher is better, and of 0 or more if lower is. The
    /// default is the negative log-likelihood for classes, where the accuracy must not become worse, and the
    /// root mean squared error for values.
    #[must_use]
    pub fn metric(mut self, metric: impl Into<Metric>) -> Self {
        self.metric = Some(metric.into());
        self
    }

    /// Sets the scaler of targets that were scaled before training, so that scores are in the original units.
    /// Targets that the trainer itself scales need none.
    #[must_use]
    pub fn target_scaler(mut self, scaler: &'a Scaler) -> Self {
        self.target_scaler = Some(scaler);
        self
    }

    /// Sets the probability, in (0, 0.5), of keeping a remedy where none does anything; the default is 0.05.
    /// It is shared among all remedies that are tried between two changes.
    #[must_use]
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// Sets the smallest gain, in [0, 1), for which a remedy is kept: the share by which it reduces the loss. The default
    /// is 0.02. A smaller gain may be certain, and is seldom worth another network. With 0, every certain gain is kept.
    #[must_use]
    pub fn min_gain(mut self, share: f64) -> Self {
        self.min_gain = share;
        self
    }

    /// Sets how many remedies are tried for one finding of one setup, at least 1; the default is 6.
    #[must_use]
    pub fn attempts(mut self, attempts: usize) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets the largest number of remedies that are tried in all; the default is 40.
    #[must_use]
    pub fn max_steps(mut self, steps: usize) -> Self {
        self.max_steps = steps;
        self
    }

    /// Sets whether remedies for the variance of predictions, such as an ensemble, are tried even where
    /// nothing is wrong. The default is `false`: a healthy network is left alone.
    #[must_use]
    pub fn always_try_ensemble(mut self, always: bool) -> Self {
        self.always_try_ensemble = always;
        self
    }

    /// Adds a rule that finds problems.
    #[must_use]
    pub fn rule(mut self, rule: Box<dyn Rule + 'a>) -> Self {
        self.rules.push(rule);
        self
    }

    /// Sets what finds problems, in place of the rules.
    #[must_use]
    pub fn diagnoser(mut self, diagnoser: &'a dyn Diagnoser) -> Self {
        self.diagnoser = Some(diagnoser);
        self
    }

    /// Sets the remedies that may be tried. The default is all of the library.
    #[must_use]
    pub fn remedies(mut self, remedies: Vec<Box<dyn Remedy>>) -> Self {
        self.remedies = remedies;
        self
    }

    /// Adds a remedy.
    #[must_use]
    pub fn remedy(mut self, remedy: Box<dyn Remedy>) -> Self {
        self.remedies.push(remedy);
        self
    }

    /// Sets the device on which networks train; the default is the CPU.
    #[must_use]
    pub fn device(mut self, device: &Device) -> Self {
        self.device = device.clone();
        self
    }

    /// Sets how many runs train at a time; see [`Session::executor`](crate::Session::executor). It does not
    /// change the result.
    #[must_use]
    pub fn executor(mut self, executor: &'a dyn Executor) -> Self {
        self.executor = Some(executor);
        self
    }

    /// Sets the observer that is notified of the events of the trainings, such as a progress bar. Each remedy
    /// is a build of its own. [`Flow::Stop`](crate::observe::Flow::Stop) ends the loop with
    /// [`Error::Cancelled`](crate::Error::Cancelled); with a [`folder`](Self::folder) it can be resumed.
    #[must_use]
    pub fn observer(mut self, observer: &'a dyn Observer) -> Self {
        self.observer = observer;
        self
    }

    /// Sets what is called with each event of the loop, for instance to print it.
    #[must_use]
    pub fn follow(mut self, follow: &'a dyn Fn(&ImproveEvent<'_>)) -> Self {
        self.follow = Some(follow);
        self
    }

    /// Sets who decides what is tried and kept. The default is [`ByRule`].
    #[must_use]
    pub fn decide(mut self, decide: &'a dyn Decide) -> Self {
        self.decide = decide;
        self
    }

    /// Sets the folder where trainings and decisions are kept. A loop that was interrupted and is run again
    /// with the same folder and seed resumes, and its report has the same bytes. By default nothing is kept.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Sets how often the state of an unfinished training is written to the folder; the default is every five
    /// minutes.
    #[must_use]
    pub fn checkpoints(mut self, checkpoints: Checkpoints) -> Self {
        self.checkpoints = checkpoints;
        self
    }

    /// Checks the parameters.
    pub(super) fn check(&self) -> Result<()> {
        if let TestShare::Share(share) = self.test {
            check::share("the share of test rows", share)?;
        }
        check::share("the share of validation rows", self.validation)?;
        for (what, count, least) in [
            ("the number of splits", self.splits, MIN_SPLITS),
            ("the number of runs", self.runs, 1),
            ("the number of runs on each split", self.runs_per_split, 1),
            ("the number of final runs", self.final_runs, 1),
            ("the number of remedies for one finding", self.attempts, 1),
        ] {
            if count < least {
                return Err(Error::invalid(what, format!("at least {least}"), count));
            }
        }
        let architectures = self.trainer.architectures();
        if architectures.len() != 1 {
            let got = format!("one of {}", architectures.join(", "));
            return Err(Error::invalid("the trainer", "one of a single architecture", got));
        }
        if !(self.alpha > 0. && self.alpha < 0.5) {
            return Err(Error::invalid("alpha", "above 0 and below 0.5", self.alpha));
        }
        if !(0. ..1.).contains(&self.min_gain) {
            return Err(Error::invalid("the smallest gain", "at least 0 and below 1", self.min_gain));
        }
        Ok(())
    }
}

/// The smallest number of splits.
const MIN_SPLITS: usize = 3;
