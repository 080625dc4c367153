//! The choice between an ensemble and one network, by what both are worth on held-out rows.
use crate::{
    combine::{cross_fit::predicted_by_folds, CombinerScore, Mean},
    data::Dataset,
    kernels::argmax::argmin,
    merge::{network::max_barrier::unseen_rows, Alignment, Distill, GreedySoup, MergeSpec},
    metrics::{Criterion, Interval, RowLoss},
    network::Scale,
    predictions::{
        kept::{Kept, MOST_NUMBERS},
        passes::Source,
        Predictions,
    },
    prune::Ordered,
    store::member::{predicting, with_slots_by_network},
    train::Learner,
    weights::{compatibility::has_statistics, RunWeights},
    Ensemble, Error, HeldOut, Member, Pool, Result, Rows, Seed,
};
use candle_core::Tensor;
use comfy_table::{presets::ASCII_MARKDOWN, Table};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};

mod out_of_bag;

/// The factor by which rounding may raise a cost.
const SLACK: f64 = 1. + 1e-9;
/// The fewest rows to measure on.
const LEAST_ROWS: usize = 4;
/// The name of the network that is trained on the predictions of the pool.
const STUDENT: &str = "distilled student";

/// Settings of [`best_of`]: the rows to measure on, the loss, and the highest cost.
///
/// ```
/// use candle_ensemble::{merge::BestOf, metrics::RowLoss};
///
/// // At the cost of at most three networks, by the Brier score, on the reserved rows.
/// let options = BestOf::new().max_cost(3.).criterion(RowLoss::Brier);
/// ```
#[derive(Clone, Copy)]
pub struct BestOf<'d> {
    max_cost: f64,
    data: Option<&'d dyn Dataset>,
    rows: Option<&'d [u32]>,
    criterion: Option<RowLoss>,
    align: bool,
    statistics_rows: Option<&'d [u32]>,
    distill: Option<&'d Distill>,
    seed: Seed,
    progress: Option<&'d dyn Fn(&str)>,
}

impl fmt::Debug for BestOf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BestOf")
            .field("max_cost", &self.max_cost)
            .field("rows", &self.rows.map(<[u32]>::len))
            .field("criterion", &self.criterion)
            .field("align", &self.align)
            .field("statistics_rows", &self.statistics_rows.map(<[u32]>::len))
            .field("distill", &self.distill)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl Default for BestOf<'_> {
    fn default() -> Self {
        Self {
            max_cost: f64::INFINITY,
            data: None,
            rows: None,
            criterion: None,
            align: true,
            statistics_rows: None,
            distill: None,
            seed: Seed::from(0).child("best of"),
            progress: None,
        }
    }
}

impl<'d> BestOf<'d> {
    /// Any cost is allowed. Candidates are measured on the rows that the session
    /// [reserved](crate::Session::reserve), else on all rows that shaped no member.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The highest cost of a prediction, in networks; infinite by default. The cost of a candidate is the
    /// number of parameters of its networks, divided by the mean number of parameters of the pool's networks.
    #[must_use]
    pub fn max_cost(mut self, networks: f64) -> Self {
        self.max_cost = networks;
        self
    }

    /// Measures on these rows of the pool's data. They must not have shaped any member.
    #[must_use]
    pub fn rows(mut self, rows: &'d [u32]) -> Self {
        self.rows = Some(rows);
        self
    }

    /// Measures on these rows of another data set. They must not have shaped any member.
    #[must_use]
    pub fn data(mut self, data: &'d dyn Dataset, rows: &'d [u32]) -> Self {
        (self.data, self.rows) = (Some(data), Some(rows));
        self
    }

    /// The loss that the best candidate minimizes; by default the log-loss for classes and the squared error
    /// for values.
    #[must_use]
    pub fn criterion(mut self, loss: RowLoss) -> Self {
        self.criterion = Some(loss);
        self
    }

    /// Whether soups of aligned networks are among the candidates; true by default. Alignment takes long for
    /// wide networks: one assignment of 2048 units takes about 2 s, and there are many.
    #[must_use]
    pub fn align(mut self, align: bool) -> Self {
        self.align = align;
        self
    }

    /// The rows of the pool's data on which the statistics of soups are measured; by default those that shaped the
    /// members. See [`MergeSpec::statistics_rows`]. Candidates should not be measured on the same rows.
    #[must_use]
    pub fn statistics_rows(mut self, rows: &'d [u32]) -> Self {
        self.statistics_rows = Some(rows);
        self
    }

    fn soup_of(&self, spec: MergeSpec) -> MergeSpec {
        match self.statistics_rows {
            Some(rows) => spec.statistics_rows(rows.iter().copied()),
            None => spec,
        }
    }

    /// Trains a student on the predictions of the pool, with the pool's learner and seed, and as
    /// [`Pool::distill`](crate::Pool::distill) does, which is then among the candidates. By default there is none, because
    /// it takes a training. Without [`Distill::rows`] the student is trained on the rows of the pool's data that the
    /// candidates are not measured on. A student that cannot be made, such as one of members that have seen all rows, is in
    /// the table with the reason.
    ///
    /// ```
    /// use candle_ensemble::merge::{BestOf, Distill, Teachers};
    ///
    /// let student = Distill::new().teachers(Teachers::All);
    /// let options = BestOf::new().max_cost(1.).distill(&student);
    /// ```
    #[must_use]
    pub fn distill(mut self, options: &'d Distill) -> Self {
        self.distill = Some(options);
        self
    }

    fn criterion_for(&self, held_out: &HeldOut) -> RowLoss {
        self.criterion.unwrap_or_else(|| RowLoss::loss_for(held_out.predictions().task()))
    }

    /// Calls `progress` with the name of each candidate before it is made and measured.
    #[must_use]
    pub fn on_progress(mut self, progress: &'d dyn Fn(&str)) -> Self {
        self.progress = Some(progress);
        self
    }
}

/// The best use of a pool.
#[derive(Debug)]
pub struct Best<N> {
    /// The best candidate, as an ensemble of one or more networks.
    pub ensemble: Ensemble<N, Mean>,
    /// The scores and costs of all candidates.
    pub report: BestReport,
}

/// The scores and costs of all candidates of [`best_of`]. Its `Display` is a table with a verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BestReport {
    /// All candidates. The first is the best single network, or the best sequence of networks.
    pub candidates: Vec<Candidate>,
    /// The position of the candidate that was chosen.
    pub chosen: usize,
    /// The number of rows that the candidates were measured on.
    pub rows: usize,
    /// Whether the ensemble was measured out of bag: on each row by the members that the row did not shape.
    pub out_of_bag: bool,
    /// The highest cost that was allowed, in networks; infinite for no limit.
    #[serde(with = "crate::codec::real")]
    pub max_cost: f64,
    /// The loss that was minimized.
    pub criterion: RowLoss,
    /// The mean, over the rows, of the loss of the best single network minus the loss of the chosen
    /// candidate, with its interval. Above 0, the choice is better than a single network.
    pub gain: Interval,
}

/// One use of a pool: a single network, an ensemble, or a merged network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The name of the candidate.
    pub name: String,
    /// The number of networks that a prediction runs.
    pub networks: usize,
    /// The number of parameters of these networks, divided by the mean number of parameters of the pool's
    /// networks.
    pub cost: f64,
    /// The score; none for a candidate that cannot be made or measured. A candidate that is selected by the rows is
    /// scored by halves: selected on one half and scored on the other.
    pub score: Option<CombinerScore>,
    /// The loss barrier between the merged networks.
    pub barrier: Option<f64>,
    /// The epochs of trainings beyond those of the pool; 0 for all candidates but the student.
    #[serde(default)]
    pub epochs: usize,
    /// The reason why the candidate cannot be made or measured.
    pub failure: Option<String>,
}

/// Measures the possible uses of a pool on held-out rows, and returns the best within a cost.
///
/// The candidates are the best single network, the mean of all slots' predictions, the mean of the best few
/// networks' predictions, a uniform and a greedy soup, and the uniform soup of aligned networks, as it is and
/// repaired; with [`BestOf::distill`] also a network that is trained on the pool's predictions. A candidate that cannot be
/// made, such as a soup of different architectures, is in the table with
/// the reason.
///
/// Formula: `argmin L(c)` over the candidates `c` with `cost(c) ≤ max_cost`, where `L` is the mean loss over
/// the rows. Of equal losses the lower cost wins.
///
/// All candidates are measured on the same rows, which shaped no member: the rows that the session reserved,
/// all rows that shaped no member, or the rows that [`BestOf::rows`] or [`BestOf::data`] sets. Candidates
/// that are selected by these rows (the best network, the best few, the greedy soup) are scored by halves:
/// selected on one half and scored on the other. The choice among the candidates is made on all rows, so the
/// score of the chosen one is slightly optimistic, by less than the width of the intervals.
///
/// Where fewer than four rows shaped no member, as after bagging without reserved rows, an ensemble and a single
/// network are compared out of bag: on the rows that did not shape that network and at least one more, where the
/// ensemble is the mean of those of its members that the row did not shape. The network is the one that comes
/// off best in this comparison. The whole ensemble has more members than that, so it is mostly a little better
/// than its score. A merged network is shaped by all rows of its networks and cannot be measured then: the
/// report says so.
///
/// A network that holds several members ([`Network::members`](crate::Network::members)) is one candidate: the mean of all its
/// members, at the cost of the whole network. A sequence of members, as of [`AdaBoost`](crate::strategy::AdaBoost), is one
/// predictor at the cost of all its networks; "best sequence" then stands in the place of the best single network, and there is
/// no candidate at the cost of one network.
///
/// Where rows have several positions, the candidates are measured at their positions, and intervals and halves are of rows. If
/// the predictions of all networks were more than 2²⁶ numbers, the same number of positions of each row is drawn, with the
/// seed of these settings, for all candidates; soups are selected by all positions, pass by pass.
///
/// Use it after training to decide whether one network will do in place of an ensemble. Don't use it with
/// very few rows: the intervals in the report show what the rows can distinguish.
///
/// Cost: some passes over the rows for each candidate, and for aligned soups the alignment
/// ([`BestOf::align`]).
///
/// # Errors
/// When fewer than four rows are there to measure on, out of bag too (reserve some with
/// [`Session::reserve`](crate::Session::reserve)), the cheapest candidate costs more than `max_cost`, the
/// criterion does not fit the task, or candle fails. [`Error::UnknownRows`] when it is unknown which rows shaped some
/// member, unless the rows are those of other data ([`BestOf::data`], [`Pool::on_new_data`]).
///
/// ```
/// # use candle_core::{Device, Tensor};
/// # use candle_ensemble::{data::TensorDataset, strategy::MultiRun, train::Trainer, Session};
/// use candle_ensemble::merge::{best_of, BestOf};
/// # let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.02, -0.8)?.reshape((40, 2))?;
/// # let y = Tensor::from_iter((0..40u32).map(|i| i / 20), &Device::Cpu)?;
/// # let data = TensorDataset::classification(x.clone(), &y)?;
/// # let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).epochs(5);
///
/// let pool = Session::new(&trainer, &data).reserve(0.25).fit(&MultiRun::new(3), 42)?;
/// let best = best_of(&pool, &BestOf::new().max_cost(1.))?; // the best that costs one network
/// println!("{}", best.report);
/// assert_eq!(best.ensemble.predict(&x)?.dims(), [40]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Wortsman et al. (2022), arXiv:2203.05482, for soups; Ainsworth et al. (2023), arXiv:2209.04836,
/// for alignment; Jordan et al. (2023), arXiv:2211.08403, for repair.
pub fn best_of<L: Learner>(pool: &Pool<'_, L>, options: &BestOf<'_>) -> Result<Best<L::Network>> {
    if options.max_cost.is_nan() {
        return Err(Error::invalid("max_cost", "a number of networks", options.max_cost));
    }
    let none_set = options.rows.is_none() && pool.reserved().is_empty();
    if none_set
        && pool.unseen().len() < LEAST_ROWS
        && let Some((held_out, measured)) = out_of_bag::measure(pool, options)?
    {
        return choose(pool, options, &held_out, measured, true);
    }
    let comparison = Comparison::new(pool, options)?;
    let mut measured = vec![];
    for recipe in comparison.recipes() {
        if let Some(progress) = options.progress {
            progress(&recipe.name);
        }
        measured.push(comparison.measure(recipe)?);
    }
    choose(pool, options, &comparison.held_out, measured, false)
}

/// Chooses among the candidates, which were measured on the rows of `held_out`.
fn choose<L: Learner>(
    pool: &Pool<'_, L>,
    options: &BestOf<'_>,
    held_out: &HeldOut,
    mut measured: Vec<Measured>,
    out_of_bag: bool,
) -> Result<Best<L::Network>> {
    let criterion = options.criterion_for(held_out);
    let weights = held_out.relative_weights()?;
    let affordable = measured.iter().enumerate().filter_map(|(i, measured)| {
        let Measured { candidate, losses, .. } = measured;
        let loss = weighted_mean(losses.as_ref()?, &weights);
        (candidate.cost <= options.max_cost * SLACK).then_some((i, loss, candidate.cost))
    });
    let better = |a: &(usize, f64, f64), b: &(usize, f64, f64)| {
        a.1.total_cmp(&b.1).then(a.2.total_cmp(&b.2)).then(a.0.cmp(&b.0))
    };
    let Some((chosen, ..)) = affordable.min_by(better) else {
        let costs = measured.iter().filter(|m| m.losses.is_some()).map(|m| m.candidate.cost);
        let cheapest = costs.fold(f64::INFINITY, f64::min);
        let must = format!("at least {cheapest:.3}, the cost of the cheapest candidate");
        return Err(Error::invalid("max_cost", must, options.max_cost));
    };
    let losses = |at: usize| measured.get(at).and_then(|m| m.losses.clone()).unwrap_or_default();
    let gains: Vec<f64> =
        losses(0).iter().zip(losses(chosen)).map(|(single, chosen)| single - chosen).collect();
    let report = BestReport {
        gain: held_out.interval(&gains, &weights, options.seed)?,
        rows: held_out.rows().len(),
        out_of_bag,
        max_cost: options.max_cost,
        criterion,
        chosen,
        candidates: measured.iter().map(|m| m.candidate.clone()).collect(),
    };
    let members = measured.swap_remove(chosen).members;
    Ok(Best { ensemble: pool.with_members(members)?.combine(&Mean)?, report })
}

/// Makes a candidate. Its argument is the rows that it may be selected by, as positions among the held-out
/// rows.
type Make<'t> = Box<dyn Fn(&[u32]) -> Result<Made> + 't>;

/// The members of a candidate.
struct Made {
    members: Vec<Member>,
    barrier: Option<f64>,
}

/// How a candidate is made.
struct CandidateRecipe<'t> {
    name: String,
    /// Whether the candidate depends on the rows that it is given.
    selects: bool,
    /// Whether the candidate is a merge, which may be impossible for a pool.
    merges: bool,
    make: Make<'t>,
}

struct Measured {
    candidate: Candidate,
    /// The loss of each row; none for a candidate that cannot be made.
    losses: Option<Vec<f64>>,
    members: Vec<Member>,
}

/// The rows that all candidates are measured on, with the predictions of the networks.
struct Comparison<'t, L: Learner> {
    pool: &'t Pool<'t, L>,
    /// The networks, each as a slot of its own, whatever members it holds. The networks of a sequence have one.
    singles: Pool<'t, L>,
    options: &'t BestOf<'t>,
    data: &'t dyn Dataset,
    rows: Rows,
    /// Which predictions for the rows are compared.
    kept: Kept,
    held_out: HeldOut,
    weights: Vec<f64>,
    criterion: RowLoss,
    halves: Vec<Rows>,
    /// The mean number of parameters of a network.
    unit_cost: f64,
}

impl<'t, L: Learner> Comparison<'t, L> {
    fn new(pool: &'t Pool<'t, L>, options: &'t BestOf<'t>) -> Result<Self> {
        let (_, train_data, device) = pool.parts();
        let data = options.data.unwrap_or(train_data);
        if options.data.is_none() {
            pool.refuse_unknown()?;
        }
        let rows = match options.rows {
            Some(rows) => rows.to_vec(),
            None => unseen_rows(pool, "BestOf::rows or BestOf::data", LEAST_ROWS)?,
        };
        if rows.len() < LEAST_ROWS {
            let must = format!("at least {LEAST_ROWS}");
            return Err(Error::invalid("the number of rows to measure on", must, rows.len()));
        }
        let singles = pool.with_members(with_slots_by_network(predicting(pool.members())))?;
        let kept = Kept::of(data, &rows, MOST_NUMBERS / singles.slots().max(1), device, options.seed)?;
        let all: Rows = (0..rows.len() as u32).collect();
        let predictions = predict(&singles, (data, &rows), &all, &kept)?;
        let of_slots = (singles.names(), singles.costs());
        let held_out = kept.held_out(&predictions, (data, &rows), device, of_slots)?;
        let criterion = options.criterion_for(&held_out);
        criterion.check(&held_out.truth()?)?;
        let halves = held_out.folds(2, options.seed)?;
        let unit_cost = unit_cost(pool);
        let weights = held_out.relative_weights()?;
        Ok(Self { pool, singles, options, data, rows, kept, held_out, weights, criterion, halves, unit_cost })
    }

    fn recipes(&'t self) -> Vec<CandidateRecipe<'t>> {
        let networks = self.held_out.predictions().slots();
        let recipe = |name: &str, selects, merges, make: Make<'t>| CandidateRecipe {
            name: name.into(),
            selects,
            merges,
            make,
        };
        let single: Make<'t> = Box::new(|at| self.mean_of(&[self.best_single(at)?]));
        let mut all = vec![recipe(single_name(self.pool), true, false, single)];
        if networks < 2 {
            return all;
        }
        let everyone = |_: &[u32]| Ok(Made { members: self.pool.members().to_vec(), barrier: None });
        all.push(recipe("predictions of all", false, false, Box::new(everyone)));
        if networks > 2 && self.options.max_cost >= 2. {
            let few: Make<'t> = Box::new(|at| self.mean_of(&self.best_few(at)?));
            all.push(recipe("predictions of the best few", true, false, few));
        }
        let uniform = self.options.soup_of(MergeSpec::average(RunWeights::Uniform));
        let greedy = self.options.soup_of(MergeSpec::greedy(GreedySoup::new()));
        all.push(recipe("soup", false, true, self.soup(uniform.clone(), false)));
        all.push(recipe("greedy soup", true, true, self.soup(greedy, false)));
        if self.options.align {
            let aligned = uniform.alignment(Alignment::Weights);
            all.push(recipe("aligned soup", false, true, self.soup(aligned.clone(), true)));
            if !self.pool.members().iter().any(|member| has_statistics(&member.weights)) {
                let repaired = self.soup(aligned.repair(true), true);
                all.push(recipe("aligned soup, repaired", false, true, repaired));
            }
        }
        if let Some(options) = self.options.distill {
            let student: Make<'t> = Box::new(|_| {
                let members = self.student(options)?.into_members();
                Ok(Made { members, barrier: None })
            });
            all.push(recipe(STUDENT, false, true, student));
        }
        all
    }

    /// The mean of these networks' predictions.
    fn mean_of(&self, positions: &[usize]) -> Result<Made> {
        Ok(Made { members: self.singles.members_of(positions)?, barrier: None })
    }

    /// Trains a student on the pool's predictions. The rows that it is measured on must not shape it.
    fn student(&self, options: &Distill) -> Result<Pool<'t, L>> {
        let (learner, data, _) = self.pool.parts();
        let is_own = self.options.data.is_none();
        let mut options = options.clone();
        if !options.has_rows() {
            let reserved = self.pool.reserved();
            let measured: BTreeSet<u32> =
                self.rows.iter().filter(|_| is_own).chain(reserved).copied().collect();
            let rows: Rows = (0..data.rows() as u32).filter(|row| !measured.contains(row)).collect();
            options = options.rows(rows);
        }
        let seed = self.pool.seed().child("best of").child("student");
        let student = self.pool.distill(learner, &options, seed)?;
        let seen = |row: &&u32| student.members().iter().any(|m| m.record.seen.contains(**row));
        match self.rows.iter().filter(|_| is_own).find(seen) {
            None => Ok(student),
            Some(row) => {
                let must = "others than those that the candidates are measured on";
                Err(Error::invalid("the rows of the student", must, format!("row {row} among them")))
            }
        }
    }

    /// Makes a merge of the pool's networks.
    fn soup(&'t self, spec: MergeSpec, align: bool) -> Make<'t> {
        Box::new(move |at| {
            let merged = self.pool.merge_unchecked(&spec, (self.data, &self.rows_at(at)), align)?;
            Ok(Made { barrier: Some(merged.barrier.height), members: merged.pool.members().to_vec() })
        })
    }

    /// The position of the network with the lowest loss on these rows; the first of equal ones.
    fn best_single(&self, at: &[u32]) -> Result<usize> {
        let selected = self.held_out.select(at)?;
        let weights = selected.relative_weights()?;
        let loss = |network: usize| -> Result<f64> {
            let losses =
                selected.losses_by(self.criterion, &selected.predictions().values().get(network)?)?;
            Ok(losses.iter().zip(&weights).map(|(loss, weight)| loss * weight).sum())
        };
        let losses = (0..selected.predictions().slots()).map(loss).collect::<Result<Vec<f64>>>()?;
        Ok(argmin(&losses))
    }

    /// The positions of the networks whose mean prediction has the lowest loss on these rows, within the
    /// cost; at least one.
    fn best_few(&self, at: &[u32]) -> Result<Vec<usize>> {
        let order = Ordered::reduce_error().criterion(self.criterion).order(&self.held_out.select(at)?)?;
        let (mut cost, mut best) = (0., (0, f64::INFINITY));
        for (i, (network, loss)) in order.iter().enumerate() {
            cost += self.held_out.costs()[*network] / self.unit_cost;
            if i > 0 && cost > self.options.max_cost * SLACK {
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

    /// Makes and scores a candidate. A merge that fails becomes a candidate without a score.
    fn measure(&self, recipe: CandidateRecipe<'_>) -> Result<Measured> {
        let count = self.held_out.rows().len();
        let all: Rows = (0..count as u32).collect();
        let candidate = |networks, cost, score, barrier, failure| Candidate {
            name: recipe.name.clone(),
            networks,
            cost,
            score,
            barrier,
            epochs: 0,
            failure,
        };
        let made = match (recipe.make)(&all) {
            Ok(made) => made,
            Err(e) if !recipe.merges => return Err(e),
            Err(e) => {
                let candidate = candidate(1, 1., None, None, Some(e.to_string()));
                return Ok(Measured { candidate, losses: None, members: vec![] });
            }
        };
        let pool = self.pool.with_members(made.members)?;
        let predicted = match recipe.selects {
            true => predicted_by_folds(count, &self.halves, |half, other| {
                self.predict(&self.pool.with_members((recipe.make)(other)?.members)?, half)
            })?,
            false => self.predict(&pool, &all)?,
        };
        let losses = self.held_out.losses_by(self.criterion, &predicted)?;
        let score = CombinerScore {
            metrics: self.held_out.metrics_of(&predicted)?,
            loss: self.held_out.interval(&losses, &self.weights, self.options.seed)?,
        };
        let (networks, parameters) = pool.networks_that_predict();
        let cost = parameters / self.unit_cost;
        let mut candidate = candidate(networks, cost, Some(score), made.barrier, None);
        if recipe.name == STUDENT {
            candidate.epochs =
                pool.members().iter().map(|member| member.record.curve.len()).max().unwrap_or(0);
        }
        Ok(Measured { candidate, losses: Some(losses), members: pool.members().to_vec() })
    }

    /// The mean prediction of a pool's slots for the held-out rows at these positions. Where rows have several positions,
    /// all those of a row are among them, or none is.
    fn predict(&self, pool: &Pool<'_, L>, at: &[u32]) -> Result<Tensor> {
        let predictions = predict(pool, (self.data, &self.rows), &self.kept.rows_at(at), &self.kept)?;
        Ok(predictions.values().mean(0)?)
    }

    /// The rows of the held-out predictions at these positions.
    fn rows_at(&self, at: &[u32]) -> Rows {
        self.kept.rows_at(at).into_iter().map(|place| self.rows[place as usize]).collect()
    }
}

/// The mean number of parameters of a pool's networks.
fn unit_cost<L: Learner>(pool: &Pool<'_, L>) -> f64 {
    let (networks, parameters) = pool.networks_that_predict();
    parameters / networks as f64
}

/// The name of the best predictor: a network, or a sequence of networks, which predict together.
fn single_name<L: Learner>(pool: &Pool<'_, L>) -> &'static str {
    match pool.members().iter().any(|member| member.record.round.is_some()) {
        true => "best sequence",
        false => "best single",
    }
}

/// What is kept of the predictions of a pool's slots for the rows at these places in a list of rows.
fn predict<L: Learner>(
    pool: &Pool<'_, L>,
    (data, list): (&dyn Dataset, &[u32]),
    places: &[u32],
    kept: &Kept,
) -> Result<Predictions> {
    let rows: Rows = places.iter().filter_map(|place| list.get(*place as usize).copied()).collect();
    let passes = pool.passes(Source::Rows(data, &rows));
    pool.predict_kept(&passes, Scale::Probability, |of_pass, predicted| {
        kept.select_all(places.get(of_pass).unwrap_or_default(), predicted)
    })
}

fn weighted_mean(losses: &[f64], weights: &[f64]) -> f64 {
    losses.iter().zip(weights).map(|(loss, weight)| loss * weight).sum::<f64>() / losses.len() as f64
}

impl BestReport {
    /// The student that [`BestOf::distill`] asked for; `None` where it asked for none.
    #[must_use]
    pub fn student(&self) -> Option<&Candidate> {
        self.candidates.iter().find(|candidate| candidate.name == STUDENT)
    }

    /// The candidate that was chosen.
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
        let mut header = vec!["", "networks", "cost"];
        header.extend(&metrics);
        header.extend([loss.as_str(), "barrier", ""]);
        table.set_header(header);
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
                (true, _) => "chosen",
                (_, Some(_)) if self.out_of_bag => "not measured",
                (_, Some(_)) => "cannot be made",
                _ if candidate.cost > self.max_cost * SLACK => "too costly",
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
        let single = self.candidates.first().map_or("best single", |first| &*first.name);
        let verdict = match (low > 0., high < 0.) {
            _ if self.chosen == 0 => "nothing is better".into(),
            (true, _) => format!("better than the {single}"),
            (_, true) => format!("worse than the {single}"),
            _ => format!("not significantly different from the {single}"),
        };
        let best = self.best();
        let limit = match self.max_cost.is_finite() {
            true => format!(" at a cost of at most {}", self.max_cost),
            false => String::new(),
        };
        write!(
            f,
            "{}{limit}: {verdict} (gain {estimate:+.4} [{low:+.4}, {high:+.4}], {} rows{})",
            best.name,
            self.rows,
            if self.out_of_bag { ", out of bag" } else { "" }
        )
    }
}
