//! An ensemble compared with its best network on rows that shaped some members but not others.
use super::{single_name, unit_cost, weighted_mean, BestOf, Candidate, Measured, LEAST_ROWS, STUDENT};
use crate::{
    combine::CombinerScore,
    kernels::argmax::argmin,
    store::member::{predicting, with_slots_by_network},
    train::Learner,
    Error, HeldOut, Member, Pool, Result, Rows,
};
use candle_core::Tensor;

/// Why a merged network or a student is not measured.
const MERGED: &str =
    "it is shaped by the rows of all networks, and too few rows shaped none of them; reserve rows with \
     Session::reserve to measure it";

/// Measures the best single network and the ensemble out of bag. Returns the rows of the comparison, which did
/// not shape that network and at least one more, with the candidates; none if there are fewer than four such
/// rows for every network.
pub(super) fn measure<L: Learner>(
    pool: &Pool<'_, L>,
    options: &BestOf<'_>,
) -> Result<Option<(HeldOut, Vec<Measured>)>> {
    let singles = pool.with_members(with_slots_by_network(predicting(pool.members())))?;
    let held_out = match singles.held_out() {
        Ok(held_out) => held_out,
        Err(Error::HeldOut { .. }) => return Ok(None),
        Err(e) => return Err(e),
    };
    let criterion = options.criterion_for(held_out);
    criterion.check(&held_out.truth()?)?;
    let coverage = held_out.predictions().coverage_by_slot()?.unwrap_or_default();
    // The rows on which each network can be compared with the ensemble.
    let rows: Vec<Rows> = coverage
        .iter()
        .map(|own| {
            let others = |row: usize| coverage.iter().filter(|slot| slot[row] > 0.).count();
            (0..own.len()).filter(|row| own[*row] > 0. && others(*row) > 1).map(|row| row as u32).collect()
        })
        .collect();
    // The loss of each network minus that of the ensemble, on these rows.
    let excess = |network: usize| -> Result<f64> {
        if rows[network].len() < LEAST_ROWS {
            return Ok(f64::INFINITY);
        }
        let own = held_out.select(&rows[network])?;
        let weights = own.relative_weights()?;
        let loss = |predicted: &Tensor| {
            Ok::<_, Error>(weighted_mean(&own.losses_by(criterion, predicted)?, &weights))
        };
        Ok(loss(&single(&own, network)?)? - loss(&ensemble(&own)?)?)
    };
    let excesses = (0..rows.len()).map(excess).collect::<Result<Vec<f64>>>()?;
    if excesses.iter().all(|excess| excess.is_infinite()) {
        return Ok(None);
    }
    let best = argmin(&excesses);
    let own = held_out.select(&rows[best])?;
    let weights = own.relative_weights()?;
    let unit = unit_cost(pool);
    let measured = |name: &str, predicted: &Tensor, members: Vec<Member>| -> Result<Measured> {
        let losses = own.losses_by(criterion, predicted)?;
        let score = CombinerScore {
            metrics: own.metrics_of(predicted)?,
            loss: own.interval(&losses, &weights, options.seed)?,
        };
        let made = pool.with_members(members)?;
        let (networks, parameters) = made.networks_that_predict();
        let candidate = Candidate {
            name: name.into(),
            networks,
            cost: parameters / unit,
            score: Some(score),
            barrier: None,
            epochs: 0,
            failure: None,
        };
        Ok(Measured { candidate, losses: Some(losses), members: made.members().to_vec() })
    };
    let mut all = vec![
        measured(single_name(pool), &single(&own, best)?, singles.members_of(&[best])?)?,
        measured("predictions of all", &ensemble(&own)?, pool.members().to_vec())?,
    ];
    all.extend(["soup", "greedy soup"].map(unmeasured));
    all.extend(Some("aligned soup").filter(|_| options.align).map(unmeasured));
    all.extend(options.distill.map(|_| unmeasured(STUDENT)));
    Ok(Some((own, all)))
}

/// The predictions of one network, which has all rows.
fn single(held_out: &HeldOut, network: usize) -> Result<Tensor> {
    Ok(held_out.predictions().values().get(network)?)
}

/// The mean over the networks that each row did not shape.
fn ensemble(held_out: &HeldOut) -> Result<Tensor> {
    let predictions = held_out.predictions();
    Ok(predictions.mean_over_slots(predictions.values())?)
}

fn unmeasured(name: &str) -> Measured {
    let candidate = Candidate {
        name: name.into(),
        networks: 1,
        cost: 1.,
        score: None,
        barrier: None,
        epochs: 0,
        failure: Some(MERGED.into()),
    };
    Measured { candidate, losses: None, members: vec![] }
}
