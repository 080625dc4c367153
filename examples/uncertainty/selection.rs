//! The error of the rows of which the ensemble is surest.
use super::{
    program::{say, Failure},
    sets::Noisy,
    table::table,
    Args,
};
use candle_ensemble::{
    uncertainty::{ClassUncertainty, RiskCoverage},
    Result,
};

/// The probability with which the error may be higher than wished for.
const DELTA: f64 = 0.05;

/// One of the scores of an uncertainty.
type Score = fn(&ClassUncertainty) -> &[f64];

pub fn show(args: &Args, noisy: &Noisy) -> Result<(), Failure> {
    let (calibration, test) = (Measured::of(noisy, &noisy.calibration)?, Measured::of(noisy, &noisy.test)?);
    let scores: [(&str, Score); 4] = [
        ("largest probability", |u| &u.least_confidence),
        ("total entropy", |u| &u.total),
        ("expected entropy", |u| &u.expected),
        ("mutual information", |u| &u.mutual_information),
    ];
    let rows = scores.iter().map(|(name, score)| {
        let curve = RiskCoverage::new(score(&test.uncertainty), &test.losses)?;
        let risks = [0.5, 0.8, 1.].map(|coverage| curve.risk(coverage));
        let mut row = vec![(*name).to_string()];
        for figure in [vec![curve.aurc(), curve.excess()], risks.into_iter().collect::<Result<_>>()?].concat()
        {
            row.push(format!("{figure:.3}"));
        }
        Ok(row)
    });
    let header = ["order of the rows", "AURC", "excess", "error of 50 %", "error of 80 %", "error of all"];
    say(table(&header, rows.collect::<Result<Vec<_>>>()?));

    let curve = RiskCoverage::new(&calibration.uncertainty.least_confidence, &calibration.losses)?;
    match curve.guaranteed(args.risk, DELTA)? {
        None => say(format!(
            "\nNo threshold of the largest probability has an error of at most {} with probability {}.",
            args.risk,
            1. - DELTA
        )),
        Some(found) => {
            let kept = test.uncertainty.least_confidence.iter().zip(&test.losses);
            let kept: Vec<f64> =
                kept.filter(|(u, _)| **u <= found.uncertainty).map(|(_, loss)| *loss).collect();
            say(format!(
                "\nTo have an error of at most {} with probability {}, predict the rows whose largest probability is at \
                 least {:.3}.\nThat is a share of {:.2} of the test rows, with an error of {:.3}.",
                args.risk,
                1. - DELTA,
                1. - found.uncertainty,
                kept.len() as f64 / test.losses.len() as f64,
                kept.iter().sum::<f64>() / kept.len().max(1) as f64
            ));
        }
    }
    Ok(())
}

/// The uncertainty of some rows, and which of them are wrong.
struct Measured {
    uncertainty: ClassUncertainty,
    losses: Vec<f64>,
}

impl Measured {
    fn of(noisy: &Noisy, rows: &[u32]) -> Result<Self> {
        let on = || noisy.ensemble.on(&noisy.data).rows(rows);
        let (uncertainty, predicted) = (on().class_uncertainty()?, on().predict()?.to_vec1::<u32>()?);
        let losses =
            predicted.iter().zip(noisy.labels(rows)).map(|(p, label)| f64::from(u8::from(*p != label)));
        Ok(Self { uncertainty, losses: losses.collect() })
    }
}
