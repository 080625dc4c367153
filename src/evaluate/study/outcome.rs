//! What a combination makes of the members of a strategy.
use super::{
    pools::{cost_of, get_or_make, test_inputs, Pools, TrainedPool},
    test_rows::TestRows,
    trial::{Array, Combined, Outcome},
    Study,
};
use crate::{
    combine::{Combiner, FittedCombiner},
    evaluate::{
        combination::{best_within, Combination, Way},
        size_curve::{curve_at, usual_sizes},
        Cost, Failure,
    },
    merge::{Distill, MaxBarrier, MergeSpec},
    network::Scale,
    train::{Averaging, Learner},
    Error, Pool, Result,
};
use candle_core::Tensor;
use std::{cell::OnceCell, time::Instant};

/// Measures combinations of the members of one strategy in one repeat.
pub(super) struct Outcomes<'s, 'a, L: Learner> {
    pub(super) study: &'s Study<'a, L>,
    pub(super) rows: &'s TestRows,
    pub(super) inputs: &'s OnceCell<Tensor>,
}

type AnyRule = dyn Combiner<Fitted = Box<dyn FittedCombiner>>;

impl<'a, L: Learner> Outcomes<'_, 'a, L> {
    /// The outcome of a combination. One that cannot be made is an outcome too; an error ends the study.
    pub(super) fn of(&self, combination: &Combination, pools: &Pools<'_, 'a, L>) -> Result<Outcome> {
        // What these pools need is trained first, so that a run that fails ends the study.
        match (&combination.0, combination.needs_reserved(), combination.needs_held_out()) {
            (Way::Averaged(_), ..) => {}
            (Way::Distilled(_), ..) => _ = pools.full()?,
            (_, true, _) => _ = pools.reserved()?,
            (_, false, true) => _ = pools.for_rules()?,
            (_, false, false) => _ = pools.full()?,
        }
        let outcome = match &combination.0 {
            Way::Rule(rule) => self.of_rule(&**rule, pools),
            Way::Merge(spec) => self.of_merge(spec, pools),
            Way::Averaged(averaging) => self.of_average(averaging, pools),
            Way::Distilled(options) => self.of_student(options, pools),
            Way::BestOf { max_cost, student } => self.of_best(*max_cost, student.as_ref(), pools),
        };
        match outcome {
            Ok(outcome) => Ok(outcome),
            Err(e @ (Error::Cancelled { .. } | Error::Stopped { .. } | Error::Io { .. })) => Err(e),
            Err(e) => {
                let barrier = match e {
                    Error::BarrierTooHigh { barrier, .. } => Some(barrier),
                    _ => None,
                };
                let fitted_on = match combination.needs_reserved() {
                    true => Some(pools.reserved()?.measured_on()),
                    false => None,
                };
                let result = Err(Failure { barrier, why: e.to_string() });
                Ok(Outcome { result, cost: Cost::default(), fitted_on, barrier })
            }
        }
    }

    fn of_rule(&self, rule: &AnyRule, pools: &Pools<'_, 'a, L>) -> Result<Outcome> {
        let (trained, source) = match rule.needs_held_out() {
            true => pools.for_rules().map(|(trained, source)| (trained, Some(source)))?,
            false => (pools.full()?, None),
        };
        let fitted_on = source.map(|source| trained.fitted_on(source)).transpose()?;
        let started = Instant::now();
        let fitted = trained.pool.fit_combiner(rule)?;
        let fit_seconds = started.elapsed().as_secs_f64();
        let mut predictions = trained.of_slots(self.study, fitted.scale())?.clone();
        if fitted.needs_inputs() {
            let inputs = get_or_make(self.inputs, || test_inputs(self.study.test))?;
            predictions = predictions.with_inputs(inputs)?;
        }
        let predicted = self.rows.in_units(&fitted.combine(&predictions)?)?;
        let weights = fitted.weights().map(<[f64]>::to_vec);
        let size_curve = match source {
            Some(_) => vec![],
            None => self.size_curve(&*fitted, trained)?,
        };
        let cost = Cost { fit_seconds, ..cost_of_slots(trained, weights.as_deref()) };
        self.outcome(&predicted, cost, |combined| Combined { size_curve, weights, ..combined })
            .map(|outcome| Outcome { fitted_on, ..outcome })
    }

    /// The metric of a rule that learns nothing, by the number of members. Members that act as one predictor
    /// are counted each, where the rule is their mean in any case.
    fn size_curve(
        &self,
        fitted: &dyn FittedCombiner,
        trained: &TrainedPool<'a, L>,
    ) -> Result<Vec<crate::evaluate::SizePoint>> {
        let by_member = fitted.is_mean() && fitted.scale() == Scale::Probability;
        let predictions = match by_member {
            true => trained.of_members(),
            false => trained.of_slots(self.study, fitted.scale())?,
        };
        // A rule with given weights goes with one number of slots only.
        let sizes = match fitted.weights() {
            Some(_) => return Ok(vec![]),
            None => usual_sizes(predictions.slots()),
        };
        curve_at(&sizes, predictions, fitted, |predicted| self.rows.headline(&self.rows.in_units(predicted)?))
    }

    fn of_merge(&self, spec: &MergeSpec, pools: &Pools<'_, 'a, L>) -> Result<Outcome> {
        let trained = pools.reserved()?;
        let fitted_on = trained.measured_on();
        let started = Instant::now();
        let merged = trained.pool.merge(spec, &MaxBarrier::new(self.study.max_barrier))?;
        let fit_seconds = started.elapsed().as_secs_f64();
        let (epochs, seconds) = (trained.epochs, trained.seconds);
        let outcome = self.one_network(&merged.pool, epochs, seconds, fit_seconds)?;
        Ok(Outcome { fitted_on: Some(fitted_on), barrier: Some(merged.barrier.height), ..outcome })
    }

    fn of_average(&self, averaging: &Averaging, pools: &Pools<'_, 'a, L>) -> Result<Outcome> {
        let (pool, epochs, seconds) = pools.averaged(averaging)?;
        self.one_network(&pool, epochs, seconds, 0.)
    }

    fn of_student(&self, options: &Distill, pools: &Pools<'_, 'a, L>) -> Result<Outcome> {
        let (pool, epochs, seconds) = pools.distilled(options)?;
        self.one_network(&pool, epochs, seconds, 0.)
    }

    fn of_best(&self, max_cost: f64, student: Option<&Distill>, pools: &Pools<'_, 'a, L>) -> Result<Outcome> {
        let trained = pools.reserved()?;
        let fitted_on = trained.measured_on();
        let started = Instant::now();
        let student = student.map(|options| pools.student(options));
        let best = best_within(&trained.pool, max_cost, student.as_ref())?;
        let fit_seconds = started.elapsed().as_secs_f64();
        let members = trained.pool.with_members(best.ensemble.members().to_vec())?;
        let predicted = self.study.predict(&members, Scale::Probability)?.values().mean(0)?;
        let chosen = best.report.best();
        let (networks, bytes) = trained.cost_of(|_| true);
        let cost = Cost {
            trained_epochs: trained.epochs
                + best.report.student().map_or(0., |student| student.epochs as f64),
            train_seconds: trained.seconds,
            fit_seconds,
            prediction_networks: chosen.networks as f64,
            bytes: bytes / networks * chosen.cost,
        };
        let outcome = self.outcome(&self.rows.in_units(&predicted)?, cost, |combined| combined)?;
        Ok(Outcome { fitted_on: Some(fitted_on), barrier: chosen.barrier, ..outcome })
    }

    /// The outcome of a pool of one network.
    fn one_network(
        &self,
        pool: &Pool<'a, L>,
        epochs: f64,
        seconds: f64,
        fit_seconds: f64,
    ) -> Result<Outcome> {
        let predicted = self.study.predict(pool, Scale::Probability)?.values().mean(0)?;
        let (prediction_networks, bytes) = cost_of(pool.members());
        let cost =
            Cost { trained_epochs: epochs, train_seconds: seconds, fit_seconds, prediction_networks, bytes };
        self.outcome(&self.rows.in_units(&predicted)?, cost, |combined| combined)
    }

    fn outcome(
        &self,
        predicted: &Tensor,
        cost: Cost,
        add: impl FnOnce(Combined) -> Combined,
    ) -> Result<Outcome> {
        let combined = Combined {
            scores: self.rows.scores(predicted)?,
            predictions: Array::of(predicted)?,
            confusion: self.rows.confusion(predicted)?,
            reliability: self.rows.reliability(predicted),
            size_curve: vec![],
            weights: None,
        };
        Ok(Outcome { result: Ok(add(combined)), cost, fitted_on: None, barrier: None })
    }
}

/// The cost of a rule: slots with a weight of 0 need not predict.
fn cost_of_slots<L: Learner>(trained: &TrainedPool<'_, L>, weights: Option<&[f64]>) -> Cost {
    let needed = |slot: usize| weights.and_then(|w| w.get(slot)).is_none_or(|weight| *weight != 0.);
    let (prediction_networks, bytes) = trained.cost_of(needed);
    Cost {
        trained_epochs: trained.epochs,
        train_seconds: trained.seconds,
        fit_seconds: 0.,
        prediction_networks,
        bytes,
    }
}
