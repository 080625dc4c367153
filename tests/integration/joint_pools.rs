//! What a pool of members that were trained together predicts: for each joint loss, the prediction that the loss was for.
use crate::common::{blobs, distance, flat, listed, normal, CPU};
use candle_core::{Result as CandleResult, Tensor};
use candle_ensemble::{
    combine::{GeometricMean, Mean},
    data::TensorDataset,
    network::Aggregation,
    nn::{
        self,
        many::{EnsembleNetwork, Independent},
        seq, Sequential,
    },
    store::DirectoryStore,
    strategy::MultiRun,
    train::{JointLoss, Optimizer, Trainer},
    Ensemble, Network, Pool, Result, Session,
};
use candle_nn::VarBuilder;

/// The number of members.
const M: usize = 4;

/// All joint losses, and how members predict that were trained with them.
const LOSSES: [(JointLoss, Aggregation); 6] = [
    (JointLoss::MemberMean, Aggregation::MeanPrediction),
    (JointLoss::NegativeCorrelation { lambda: 0. }, Aggregation::MeanPrediction),
    (JointLoss::NegativeCorrelation { lambda: 0.5 }, Aggregation::MeanOutput),
    (JointLoss::NegativeCorrelation { lambda: 1. }, Aggregation::MeanOutput),
    (JointLoss::Fusion, Aggregation::MeanOutput),
    (JointLoss::SoftGradientBoosting { shrinkage: 0.6 }, Aggregation::SumOutput { factor: 0.6 }),
];

fn trainer(outputs: usize, loss: JointLoss) -> Trainer<EnsembleNetwork> {
    let mlp = move |vb: VarBuilder<'_>| -> CandleResult<Sequential> {
        let first = seq().add(nn::linear(2, 6, vb.pp(0))?).add(nn::Activation::Tanh);
        Ok(first.add(nn::linear(6, outputs, vb.pp(1))?))
    };
    let trainer = Trainer::new(move |vb| Independent::new(M).convert(vb, mlp)).joint_loss(loss);
    trainer.epochs(3).batch_size(16).optimizer(Optimizer::adam(0.03))
}

/// The outputs of each member, one row after the other.
fn outputs_of_each(pool: &Pool<'_, Trainer<EnsembleNetwork>>, x: &Tensor) -> Result<Vec<Vec<f64>>> {
    let outputs = flat(&pool.network(0)?.run_members(&x.clone().into())?);
    Ok(outputs.chunks(outputs.len() / M).map(<[f64]>::to_vec).collect())
}

fn mean(of_each: &[Vec<f64>]) -> Vec<f64> {
    let sum = |place: usize| of_each.iter().map(|of| of[place]).sum::<f64>();
    (0..of_each[0].len()).map(|place| sum(place) / of_each.len() as f64).collect()
}

/// The probabilities of `classes` classes, for rows of so many logits or of one, that of class 1.
fn probabilities(logits: &[f64], width: usize) -> Vec<f64> {
    let of_row = |row: &[f64]| {
        let row = if width == 1 { vec![0., row[0]] } else { row.to_vec() };
        let sum: f64 = row.iter().map(|z| z.exp()).sum();
        row.into_iter().map(move |z| z.exp() / sum)
    };
    logits.chunks(width).flat_map(of_row).collect()
}

/// What these members predict together, by hand.
fn by_hand(aggregation: Aggregation, outputs: &[Vec<f64>], width: usize) -> Vec<f64> {
    let factor = match aggregation {
        Aggregation::MeanPrediction => {
            let each: Vec<Vec<f64>> = outputs.iter().map(|logits| probabilities(logits, width)).collect();
            return mean(&each);
        }
        Aggregation::SumOutput { factor } => factor * outputs.len() as f64,
        _ => 1.,
    };
    let output: Vec<f64> = mean(outputs).iter().map(|output| output * factor).collect();
    probabilities(&output, width)
}

fn close(got: &Tensor, expected: &[f64], what: &str) {
    let apart = flat(got).iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0., f64::max);
    assert!(got.elem_count() == expected.len() && apart < 2e-6, "{what}: {apart}");
}

/// What the pool predicts by the combiner that its joint loss is documented with, which is the mean for members that learn by
/// themselves, else the geometric mean; and what it predicts by the other one.
fn predicted(
    learner: &Trainer<EnsembleNetwork>,
    pool: &Pool<'_, Trainer<EnsembleNetwork>>,
    aggregation: Aggregation,
    x: &Tensor,
) -> Result<[Tensor; 2]> {
    let (mean, geometric) = (pool.combine(&Mean)?, pool.combine(&GeometricMean)?);
    let both = [mean.predict_proba(x)?, geometric.predict_proba(x)?];
    // Files keep how the members predict together.
    let read = [
        Ensemble::<_, Mean>::from_bytes(&mean.to_bytes()?, learner, &CPU)?.predict_proba(x)?,
        Ensemble::<_, GeometricMean>::from_bytes(&geometric.to_bytes()?, learner, &CPU)?.predict_proba(x)?,
    ];
    for (read, saved) in read.iter().zip(&both) {
        assert_eq!(flat(read), flat(saved));
    }
    let [mean, geometric] = both;
    Ok(match aggregation {
        Aggregation::MeanPrediction => [mean, geometric],
        _ => [geometric, mean],
    })
}

#[test]
fn a_pool_of_classes_predicts_what_its_joint_loss_has_trained() -> Result<()> {
    for (classes, width) in [(3, 3), (2, 2), (2, 1)] {
        let (data, x) = (blobs(4, 120, classes, 0.8), normal(7, 20, 2));
        for (loss, aggregation) in LOSSES {
            let what = format!("{loss} with {width} outputs");
            assert_eq!(loss.aggregation(), aggregation);
            let trainer = trainer(width, loss);
            let folder = tempfile::tempdir().unwrap();
            let store = DirectoryStore::new(folder.path())?;
            let session = Session::new(&trainer, &data).store(&store);
            let plan = session.plan(&MultiRun::new(1).validation(0.25), 5)?;
            let pool = session.train(&plan)?;
            let outputs = outputs_of_each(&pool, &x)?;
            let expected = by_hand(aggregation, &outputs, width);
            let [right, other] = predicted(&trainer, &pool, aggregation, &x)?;
            close(&right, &expected, &what);
            // The other mean is another prediction.
            assert!(distance(&right, &other) > 1e-4, "{what}");
            let [loaded, _] = predicted(&trainer, &session.load(&plan)?, aggregation, &x)?;
            assert_eq!(flat(&loaded), flat(&right), "{what}");

            // The network itself gives the mean output.
            let run = flat(&pool.network(0)?.run(&x.clone().into(), false)?);
            match aggregation {
                Aggregation::MeanPrediction => {}
                of => {
                    let whole: Vec<f64> = run.iter().map(|output| output * of.weight(M)).collect();
                    close(&right, &probabilities(&whole, width), &what);
                }
            }

            // The validation loss has been the cross-entropy of this prediction.
            let rows = listed(&plan.runs[0].valid);
            let valid = data.inputs().select(&rows)?.only()?.clone();
            let [p, _] = predicted(&trainer, &pool, aggregation, &valid)?;
            let (p, labels) = (flat(&p), data.labels().unwrap());
            let right = rows
                .iter()
                .enumerate()
                .map(|(i, row)| p[i * classes as usize + labels[*row as usize] as usize]);
            let nll = -right.map(f64::ln).sum::<f64>() / rows.len() as f64;
            let watched = pool.members()[0].record.curve.last().unwrap().valid_loss.unwrap();
            assert!((nll - watched).abs() < 1e-5, "{what}: {nll} and {watched}");

            // Fewer members: the first two, which is a shorter sum, and two others.
            for kept in [[0, 1], [1, 3]] {
                let pruned = pool.select_slots(&kept)?;
                let expected = by_hand(aggregation, &kept.map(|slot| outputs[slot].clone()), width);
                let [right, _] = predicted(&trainer, &pruned, aggregation, &x)?;
                close(&right, &expected, &format!("{what}, members {kept:?}"));
            }
        }
    }
    Ok(())
}

#[test]
fn the_mean_of_a_pool_of_values_is_what_its_joint_loss_has_trained() -> Result<()> {
    let x = normal(3, 80, 2);
    let data = TensorDataset::regression(x.clone(), &x.sum(1)?)?;
    for (loss, aggregation) in LOSSES {
        let trainer = trainer(1, loss);
        let pool = Session::new(&trainer, &data).fit(&MultiRun::new(1), 5)?;
        let outputs = outputs_of_each(&pool, &x)?;
        for kept in [&[0, 1, 2, 3][..], &[0, 1], &[1, 3]] {
            let of_kept: Vec<Vec<f64>> = kept.iter().map(|slot| outputs[*slot].clone()).collect();
            let expected: Vec<f64> =
                mean(&of_kept).iter().map(|y| y * aggregation.weight(kept.len())).collect();
            let predicted = pool.select_slots(kept)?.combine(&Mean)?.predict(&x)?;
            close(&predicted, &expected, &format!("{loss}, members {kept:?}"));
        }
    }
    Ok(())
}
