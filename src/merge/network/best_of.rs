//! What a pool is best used as: an ensemble, or one network.
use crate::{
    combine::{cross_fit::predicted_by_folds, Mean, RuleScore},
    data::Dataset,
    kernels::cpu::argmin,
    merge::{GreedySoup, MaxBarrier, MergeSpec},
    metrics::{Criterion, Interval, RowLoss},
    pool::ROWS,
    prune::Ordered,
    store::member::{apart, predicting},
    train::Learner,
    weights::{compatibility::has_statistics, RunWeights},
    Ensemble, Error, HeldOut, Member, Pool, Result, Rows, Seed,
};
use candle_core::Tensor;
use comfy_table::{presets::ASCII_MARKDOWN, Table};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What rounding may add to a cost.
const SLACK: f64 = 1. + 1e-9;

/// What [`best_of`] may spend, and where it measures.
#[derive(Clone, Copy)]
pub struct BestOf<'d> {
    budget: f64,
    on: Option<(&'d dyn Dataset, &'d [u32])>,
    criterion: Option<RowLoss>,
    alignment: bool,
    seed: Seed,
    progress: Option<&'d dyn Fn(&str)>,
}

impl fmt::Debug for BestOf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BestOf")
            .field("budget", &self.budget)
            .field("criterion", &self.criterion)
            .field("alignment", &self.alignment)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl Default for BestOf<'_> {
    fn default() -> Self {
        let seed = Seed::from(0).child("best of");
        Self { budget: f64::INFINITY, on: None, criterion: None, alignment: true, seed, progress: None }
    }
}

impl<'d> BestOf<'d> {
    /// At any cost, on the rows of the pool's data that no member has seen.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// At a cost of so many networks a prediction: parameters that are run through, in units of the pool's mean network's.
    #[must_use]
    pub fn within(mut self, networks: f64) -> Self {
        self.budget = networks;
        self
    }

    /// Measures on these rows of other data, of which no member may have seen any: that is your word.
    #[must_use]
    pub fn on(mut self, data: &'d dyn Dataset, rows: &'d [u32]) -> Self {
        self.on = Some((data, rows));
        self
    }

    /// What is least for the best; log-loss for classes and squared error for values, if not set.
    #[must_use]
    pub fn by(mut self, loss: RowLoss) -> Self {
        self.criterion = Some(loss);
        self
    }

    /// Leaves out what needs alignment, which takes long for wide networks: an assignment of 2048 units takes about 2 s,
    /// and there are many.
    #[must_use]
    pub fn without_alignment(mut self) -> Self {
        self.alignment = false;
        self
    }

    /// Is told the name of each candidate before it is made and measured.
    #[must_use]
    pub fn on_progress(mut self, tell: &'d dyn Fn(&str)) -> Self {
        self.progress = Some(tell);
        self
    }
}

/// What the pool is best used as.
#[derive(Debug)]
pub struct Best<N> {
    /// An ensemble of predictions in any case: of several networks, or of the one that they were merged into.
    pub ensemble: Ensemble<N, Mean>,
    /// The table.
    pub report: BestReport,
}

/// What each use of the pool is worth, and costs. Prints as a table with a verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BestReport {
    /// All uses, from the simplest.
    pub candidates: Vec<Candidate>,
    /// Which of them was taken.
    pub chosen: usize,
    /// Held-out rows that they were measured on.
    pub rows: usize,
    /// What a prediction may cost, in networks; infinite if there is no limit.
    #[serde(with = "crate::codec::real")]
    pub budget: f64,
    /// What is least for the best.
    pub criterion: RowLoss,
    /// Loss of the best single network minus loss of what was taken, row by row, with its interval: above 0 where the
    /// choice bought something.
    pub gain: Interval,
}

/// One use of the pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// What it is.
    pub name: String,
    /// Networks that a prediction runs through.
    pub networks: usize,
    /// Parameters that a prediction runs through, in units of the pool's mean network's.
    pub cost: f64,
    /// How good it is, each row scored by a choice on other rows where there is something to choose; none, if it cannot
    /// be made.
    pub score: Option<RuleScore>,
    /// The loss barrier between it and the networks that it was merged from.
    pub barrier: Option<f64>,
    /// Why it cannot be made.
    pub failure: Option<String>,
}

/// Measures what a pool may be used as, and returns the best within a budget: the best single network, the mean of all
/// slots' predictions or of the best few networks', a soup (uniform and greedy), and the soup of aligned networks, as it
/// is and repaired.
///
/// All are measured on the same rows, which no member has seen: those kept back by
/// [`Plan::reserve`](crate::plan::Plan::reserve), or rows of other data ([`BestOf::on`]). What is chosen by rows (the
/// best network, the best few, the greedy soup) is scored by halves: chosen on one half of the rows and scored on the
/// other. The choice among the candidates is made on all rows, so the figure of the one taken is a little better than it
/// will be: by less than the intervals are wide. Of equal losses the cheaper is taken. What cannot be merged, networks of
/// several architectures say, stands in the table with the reason.
///
/// ```
/// # use candle_core::{Device, Tensor};
/// # use candle_ensemble::{data::TensorDataset, strategy::MultiRun, train::Trainer, Session};
/// use candle_ensemble::merge::{network::best_of, BestOf};
/// # let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.02, -0.8)?.reshape((40, 2))?;
/// # let y = Tensor::from_iter((0..40u32).map(|i| i / 20), &Device::Cpu)?;
/// # let data = TensorDataset::classification(x.clone(), &y)?;
/// # let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).epochs(5);
///
/// let session = Session::new(&trainer, &data);
/// let pool = session.train(&session.plan(&MultiRun::new(3), 42)?.reserve(0.25, &data, 1.into())?)?;
/// let best = best_of(&pool, &BestOf::new().within(1.))?; // one network, whichever
/// println!("{}", best.report);
/// assert_eq!(best.ensemble.predict(&x)?.dims(), [40]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Wortsman et al. 2022 (soups), arXiv:2203.05482; Ainsworth et al. 2023 (alignment), arXiv:2209.04836; Jordan
/// et al. 2023 (repair), arXiv:2211.08403.
///
/// # Errors
/// When fewer than four rows were seen by no member, the budget is below what the cheapest costs, the criterion does not
/// go with the task, or candle fails.
pub fn best_of<L: Learner>(pool: &Pool<'_, L>, options: &BestOf<'_>) -> Result<Best<L::Network>> {
    let test = Test::new(pool, options)?;
    let mut measured = vec![];
    for candidate in test.candidates()? {
        if let Some(tell) = options.progress {
            tell(&candidate.name);
        }
        measured.push(test.measure(candidate)?);
    }
    let affordable = measured.iter().enumerate().filter_map(|(i, measured)| {
        let Measured { row, losses, .. } = measured;
        let loss = test.mean(losses.as_ref()?);
        (row.cost <= options.budget * SLACK).then_some((i, loss, row.cost))
    });
    let better = |a: &(usize, f64, f64), b: &(usize, f64, f64)| {
        a.1.total_cmp(&b.1).then(a.2.total_cmp(&b.2)).then(a.0.cmp(&b.0))
    };
    let Some((chosen, ..)) = affordable.min_by(better) else {
        let costs = measured.iter().filter(|m| m.losses.is_some()).map(|m| m.row.cost);
        let must = format!("at least {:.3}, what the cheapest costs", costs.fold(f64::INFINITY, f64::min));
        return Err(Error::invalid("the budget", must, options.budget));
    };
    let losses = |at: usize| measured.get(at).and_then(|m| m.losses.clone()).unwrap_or_default();
    let gains: Vec<f64> = losses(0).iter().zip(losses(chosen)).map(|(single, own)| single - own).collect();
    let report = BestReport {
        gain: test.held_out.interval(&gains, &test.weights, options.seed)?,
        rows: test.rows.len(),
        budget: options.budget,
        criterion: test.criterion,
        chosen,
        candidates: measured.iter().map(|m| m.row.clone()).collect(),
    };
    let members = measured.swap_remove(chosen).members;
    Ok(Best { ensemble: pool.with_members(members)?.combine(&Mean)?, report })
}

/// Makes a candidate from what it may choose by: positions among the held-out rows.
type Make<'t> = Box<dyn Fn(&[u32]) -> Result<Made> + 't>;

struct Made {
    members: Vec<Member>,
    barrier: Option<f64>,
}

struct Planned<'t> {
    name: String,
    /// Whether it looks at the rows it is given.
    chooses: bool,
    /// Whether it makes one network of several, which not all pools permit.
    merges: bool,
    make: Make<'t>,
}

struct Measured {
    row: Candidate,
    losses: Option<Vec<f64>>,
    members: Vec<Member>,
}

/// The rows that all are measured on, and what the networks predict for them.
struct Test<'t, L: Learner> {
    pool: &'t Pool<'t, L>,
    /// Each network with a prediction of its own.
    apart: Pool<'t, L>,
    options: &'t BestOf<'t>,
    data: &'t dyn Dataset,
    rows: Rows,
    held_out: HeldOut,
    weights: Vec<f64>,
    criterion: RowLoss,
    halves: Vec<Rows>,
    /// Parameters of the mean network.
    unit: f64,
}

impl<'t, L: Learner> Test<'t, L> {
    fn new(pool: &'t Pool<'t, L>, options: &'t BestOf<'t>) -> Result<Self> {
        if options.budget.is_nan() {
            return Err(Error::invalid("the budget", "a number of networks", options.budget));
        }
        let (_, own, device) = pool.parts();
        let (data, rows) = match options.on {
            Some((data, rows)) => (data, rows.to_vec()),
            None => {
                let seen = pool.seen();
                (own, (0..own.rows() as u32).filter(|row| seen.binary_search(row).is_err()).collect())
            }
        };
        if rows.len() < 4 {
            let must =
                "at least 4: keep some back with Plan::reserve, or name rows of other data by BestOf::on";
            return Err(Error::invalid("the rows that no member has seen", must, rows.len()));
        }
        let apart = pool.with_members(apart(predicting(pool.members())))?;
        let predictions = apart.live()?.predict_rows(data, &rows, ROWS)?;
        let held_out =
            HeldOut::from_rows(predictions, data, device, rows.clone(), apart.names(), apart.costs())?;
        let criterion = options.criterion.unwrap_or_else(|| RowLoss::usual(data.task()));
        criterion.check(&held_out.truth()?)?;
        let halves = held_out.folds(2, options.seed)?;
        let unit = held_out.costs().iter().sum::<f64>() / held_out.costs().len() as f64;
        let weights = held_out.relative_weights()?;
        Ok(Self { pool, apart, options, data, rows, held_out, weights, criterion, halves, unit })
    }

    fn candidates(&'t self) -> Result<Vec<Planned<'t>>> {
        let networks = self.held_out.predictions().slots();
        let plan = |name: &str, chooses, merges, make| Planned { name: name.into(), chooses, merges, make };
        let planned = |name: &str, chooses, make: Make<'t>| plan(name, chooses, false, make);
        let merged = |name: &str, chooses, spec, align| plan(name, chooses, true, self.soup(spec, align));
        let mut all = vec![planned("best single", true, Box::new(|at| self.of(&[self.best_single(at)?])))];
        if networks < 2 {
            return Ok(all);
        }
        let everyone = || Made { members: self.pool.members().to_vec(), barrier: None };
        all.push(planned("predictions of all", false, Box::new(move |_| Ok(everyone()))));
        if networks > 2 && self.options.budget >= 2. {
            let make: Make<'t> = Box::new(|at| self.of(&self.best_few(at)?));
            all.push(planned("predictions of the best few", true, make));
        }
        let soup = MergeSpec::average(RunWeights::Uniform);
        all.push(merged("soup", false, soup.clone(), false));
        all.push(merged("greedy soup", true, MergeSpec::greedy(GreedySoup::new()), false));
        if self.options.alignment {
            let aligned = soup.aligned();
            all.push(merged("aligned soup", false, aligned.clone(), true));
            if !self.pool.members().iter().any(|member| has_statistics(&member.weights)) {
                all.push(merged("aligned soup, repaired", false, aligned.repaired(), true));
            }
        }
        Ok(all)
    }

    /// The mean of these networks' predictions.
    fn of(&self, positions: &[usize]) -> Result<Made> {
        Ok(Made { members: self.apart.members_of(positions)?, barrier: None })
    }

    fn soup(&'t self, spec: MergeSpec, align: bool) -> Make<'t> {
        Box::new(move |at| {
            let rows = self.rows_at(at);
            let merged =
                self.pool.measure(&spec, &MaxBarrier::new(f64::INFINITY, &rows).on(self.data), align)?;
            Ok(Made { barrier: Some(merged.barrier.height), members: merged.pool.members().to_vec() })
        })
    }

    /// The network of least loss on these rows, the first of equals.
    fn best_single(&self, at: &[u32]) -> Result<usize> {
        let some = self.held_out.select(at)?;
        let weights = some.relative_weights()?;
        let loss = |network: usize| -> Result<f64> {
            let losses = some.losses_by(self.criterion, &some.predictions().values().get(network)?)?;
            Ok(losses.iter().zip(&weights).map(|(loss, weight)| loss * weight).sum())
        };
        let losses = (0..some.predictions().slots()).map(loss).collect::<Result<Vec<f64>>>()?;
        Ok(argmin(&losses))
    }

    /// The networks that do best together, by these rows, within the budget; at least one.
    fn best_few(&self, at: &[u32]) -> Result<Vec<usize>> {
        let order = Ordered::reduce_error().criterion(self.criterion).order(&self.held_out.select(at)?)?;
        let (mut cost, mut best) = (0., (0, f64::INFINITY));
        for (i, (network, loss)) in order.iter().enumerate() {
            cost += self.held_out.costs()[*network] / self.unit;
            if i > 0 && cost > self.options.budget * SLACK {
                break;
            }
            if *loss < best.1 {
                best = (i, *loss);
            }
        }
        let mut few: Vec<usize> = order[..=best.0].iter().map(|(network, _)| *network).collect();
        few.sort_unstable();
        Ok(few)
    }

    /// A candidate's figures. One that cannot be made has a reason instead.
    fn measure(&self, planned: Planned<'_>) -> Result<Measured> {
        let everyone: Rows = (0..self.rows.len() as u32).collect();
        let row = |networks, cost, score, barrier, failure| Candidate {
            name: planned.name.clone(),
            networks,
            cost,
            score,
            barrier,
            failure,
        };
        let made = match (planned.make)(&everyone) {
            Ok(made) => made,
            Err(e) if !planned.merges => return Err(e),
            Err(e) => {
                let row = row(1, 1., None, None, Some(e.to_string()));
                return Ok(Measured { row, losses: None, members: vec![] });
            }
        };
        let pool = self.pool.with_members(made.members)?;
        let predicted = match planned.chooses {
            true => predicted_by_folds(self.rows.len(), &self.halves, |own, other| {
                self.says(&self.pool.with_members((planned.make)(other)?.members)?, own)
            })?,
            false => self.says(&pool, &everyone)?,
        };
        let losses = self.held_out.losses_by(self.criterion, &predicted)?;
        let score = RuleScore {
            metrics: self.held_out.metrics_of(&predicted)?,
            loss: self.held_out.interval(&losses, &self.weights, self.options.seed)?,
        };
        let cost = pool.costs().iter().sum::<f64>() / self.unit;
        let networks = predicting(pool.members()).count();
        let row = row(networks, cost, Some(score), made.barrier, None);
        Ok(Measured { row, losses: Some(losses), members: pool.members().to_vec() })
    }

    /// What the mean of a pool's slots predict for the held-out rows at these positions.
    fn says(&self, pool: &Pool<'_, L>, at: &[u32]) -> Result<Tensor> {
        let predictions = pool.live()?.predict_rows(self.data, &self.rows_at(at), ROWS)?;
        Ok(predictions.values().mean(0)?)
    }

    fn rows_at(&self, positions: &[u32]) -> Rows {
        positions.iter().map(|at| self.rows[*at as usize]).collect()
    }

    fn mean(&self, losses: &[f64]) -> f64 {
        losses.iter().zip(&self.weights).map(|(loss, weight)| loss * weight).sum::<f64>()
            / losses.len() as f64
    }
}

impl BestReport {
    /// The candidate that was taken.
    #[must_use]
    pub fn best(&self) -> &Candidate {
        &self.candidates[self.chosen]
    }
}

impl fmt::Display for BestReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        let metrics: Vec<&str> = self
            .candidates
            .iter()
            .find_map(|c| c.score.as_ref())
            .map(|score| score.metrics.values().into_iter().map(|(name, _)| name).collect())
            .unwrap_or_default();
        let loss = format!("{} [95 %]", self.criterion.name());
        let mut head = vec!["", "networks", "cost"];
        head.extend(&metrics);
        head.extend([loss.as_str(), "barrier", ""]);
        table.set_header(head);
        for (i, candidate) in self.candidates.iter().enumerate() {
            let mut row = vec![
                candidate.name.clone(),
                candidate.networks.to_string(),
                format!("{:.2}", candidate.cost),
            ];
            match &candidate.score {
                Some(score) => row.extend(score.cells()),
                None => row.resize(row.len() + metrics.len() + 1, String::new()),
            }
            row.push(candidate.barrier.map_or(String::new(), |height| format!("{height:+.4}")));
            let note = match (i == self.chosen, &candidate.failure) {
                (true, _) => "taken",
                (_, Some(_)) => "cannot be made",
                _ if candidate.cost > self.budget * SLACK => "over budget",
                _ => "",
            };
            row.push(note.into());
            table.add_row(row);
        }
        writeln!(f, "{table}")?;
        for candidate in &self.candidates {
            if let Some(failure) = &candidate.failure {
                writeln!(f, "{}: {failure}", candidate.name)?;
            }
        }
        let Interval { estimate, low, high, .. } = self.gain;
        let verdict = match (low > 0., high < 0.) {
            _ if self.chosen == 0 => "nothing is better",
            (true, _) => "better than the best single",
            (_, true) => "worse than the best single",
            _ => "no different from the best single, as far as these rows can tell",
        };
        let best = self.best();
        let budget = match self.budget.is_finite() {
            true => format!(" within a budget of {}", self.budget),
            false => String::new(),
        };
        write!(
            f,
            "{}{budget}: {verdict} (gain {estimate:+.4} [{low:+.4}, {high:+.4}], {} rows)",
            best.name, self.rows
        )
    }
}
