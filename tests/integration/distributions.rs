//! Networks that predict distributions: trained, combined, scaled, saved, and refused where they do not fit.
use crate::common::{bits, bytes, distance, flat, listed, normal, CPU};
use crate::resume::interrupt_everywhere_on;
use candle_core::{DType, Tensor};
use candle_ensemble::{
    combine::{
        self, AnyCombiner, AnyFitted, EnsembleSelection, FittedCombiner, LeastSquares, Mean, Median, Weighted,
    },
    data::{Dataset, Scaling, TensorDataset},
    distribution::{Levels, Mixture, Score},
    evaluate::{Leaderboard, Study},
    metrics::{Metric, MetricList},
    network::Output,
    nn::{linear, seq, Activation, Sequential},
    prune::{Ordered, Pruned},
    strategy::{Bagging, KFold, MultiRun},
    train::{EarlyStopping, Loss, Optimizer, Trainer},
    Checkpoints, Ensemble, Session,
};
use candle_nn::VarBuilder;

const ROWS: usize = 400;

fn kinds() -> Vec<Output> {
    let levels = |levels: &[f64]| Output::Quantiles { levels: Levels::new(levels).unwrap() };
    vec![
        Output::Gaussian,
        Output::Laplace,
        Output::StudentT { degrees_of_freedom: 4. },
        Output::GaussianMixture { components: 2 },
        levels(&[0.05, 0.25, 0.5, 0.75, 0.95]),
    ]
}

/// `y = 100 + 50 x + e`, where the noise `e` has the standard deviation 20 for positive `x` and 5 for others; and a second
/// target of another unit.
fn data(seed: u64) -> TensorDataset {
    let (x, e) = (normal(seed, ROWS, 1), normal(seed + 1000, ROWS, 1));
    let size = (x.gt(0f32).unwrap().to_dtype(DType::F32).unwrap() * 15.).unwrap().affine(1., 5.).unwrap();
    let y = (x.affine(50., 100.).unwrap() + (e * size).unwrap()).unwrap();
    let other = (x.affine(-2., 7.).unwrap() + normal(seed + 2000, ROWS, 1)).unwrap();
    let y = Tensor::cat(&[&y, &other], 1).unwrap();
    TensorDataset::regression(x, &y).unwrap()
}

fn trainer(kind: Output) -> Trainer<Sequential> {
    let width = 2 * kind.numbers_per_value();
    let network = move |vb: VarBuilder<'_>| {
        Ok(seq().add(linear(1, 16, vb.pp("a"))?).add(Activation::Relu).add(linear(16, width, vb.pp("b"))?))
    };
    Trainer::new(network)
        .output(kind)
        .input_scaling(Scaling::Standardize)
        .target_scaling(Scaling::Standardize)
        .optimizer(Optimizer::adam(0.02))
        .epochs(30)
}

fn column(x: &Tensor, column: usize) -> Vec<f64> {
    flat(&x.narrow(1, column, 1).unwrap())
}

fn mean(x: impl IntoIterator<Item = f64>) -> f64 {
    let x: Vec<f64> = x.into_iter().collect();
    x.iter().sum::<f64>() / x.len() as f64
}

/// Every kind learns the mean and the two sizes of the noise, in the targets' own units.
#[test]
fn every_kind_learns_mean_and_noise() {
    let (train, test) = (data(1), data(2));
    for kind in kinds() {
        let trainer = trainer(kind);
        let ensemble =
            Session::new(&trainer, &train).fit(&MultiRun::new(2), 3).unwrap().combine(&Mean).unwrap();
        let predicted = ensemble.predict(test.inputs()).unwrap();
        let mixture = ensemble.on(&test).predict_distribution().unwrap();
        assert!(
            distance(&predicted.to_dtype(DType::F64).unwrap(), &mixture.mean().unwrap()) < 1e-3,
            "{kind:?}"
        );
        let truth = test.inputs().tensors()[0].affine(50., 100.).unwrap();
        let error = (predicted.narrow(1, 0, 1).unwrap() - truth).unwrap();
        assert!(mean(flat(&error).iter().map(|e| e.abs())) < 4., "{kind:?}");
        // The shares of rows within the intervals of 80 %, by the size of the noise.
        let (low, high) = mixture.interval(0.8).unwrap();
        let x = flat(&test.inputs().tensors()[0]);
        let widths: Vec<f64> = column(&high, 0).iter().zip(column(&low, 0)).map(|(h, l)| h - l).collect();
        let of = |positive: bool| {
            mean(x.iter().zip(&widths).filter(|(x, _)| (**x > 0.) == positive).map(|(_, w)| *w))
        };
        // Those of Gaussians with these deviations are 12.8 and 51.3; near x = 0 the network goes from one to the other.
        let (small, large) = (of(false), of(true));
        assert!((8.0..28.).contains(&small) && (32.0..68.).contains(&large), "{kind:?} {small} {large}");
        let covered = mixture.scores(Score::Coverage { level: 0.8 }, test.targets()).unwrap();
        let covered = mean(column(&covered, 0));
        assert!((0.72..0.88).contains(&covered), "{kind:?}: {covered}");
    }
}

/// The law of total variance over the members, and that of the weights of the combiner.
#[test]
fn the_ensemble_is_the_mixture_of_its_members() {
    let train = data(1);
    let trainer = trainer(Output::Gaussian).epochs(3);
    let pool = Session::new(&trainer, &train).fit(&Bagging::new(3), 3).unwrap();
    let x = normal(5, 40, 1);
    let mixture = pool.distributions(&x).unwrap();
    let members: Vec<Mixture> = (0..3).map(|m| mixture.member(m).unwrap()).collect();
    let means: Vec<Vec<f64>> = members.iter().map(|m| flat(&m.mean().unwrap())).collect();
    let (epistemic, aleatoric) = (flat(&mixture.epistemic().unwrap()), flat(&mixture.aleatoric().unwrap()));
    for cell in 0..80 {
        let center = mean(means.iter().map(|m| m[cell]));
        let spread = mean(means.iter().map(|m| (m[cell] - center).powi(2)));
        assert!((epistemic[cell] - spread).abs() < 1e-9 * spread.max(1.));
        let noise = mean(members.iter().map(|m| flat(&m.variance().unwrap())[cell]));
        assert!((aleatoric[cell] - noise).abs() < 1e-9 * noise);
    }
    assert!(epistemic.iter().all(|e| *e > 0.));
    // The same as variances of an ensemble, whatever its combiner, which has no weights here.
    let near = |got: &Tensor, exact: &[f64]| {
        let pairs: Vec<_> = flat(got).into_iter().zip(exact).collect();
        assert!(
            pairs.iter().all(|(got, exact)| (got - *exact).abs() < 1e-9 * exact.abs().max(1.)),
            "{pairs:?}"
        );
    };
    for uncertainty in [
        pool.combine(&Mean).unwrap().value_uncertainty(&x).unwrap(),
        pool.combine(&Median).unwrap().value_uncertainty(&x).unwrap(),
    ] {
        near(&uncertainty.between, &epistemic);
        near(&uncertainty.within, &aleatoric);
    }

    let weighted = pool.combine(&Weighted::new(&[0., 3., 1.]).unwrap()).unwrap();
    let mixture = weighted.predict_distribution(&x).unwrap();
    assert_eq!(mixture.weights(), [0., 0.75, 0.25]);
    let uncertainty = weighted.value_uncertainty(&x).unwrap();
    near(&uncertainty.within, &flat(&mixture.aleatoric().unwrap()));
    near(&uncertainty.total().unwrap(), &flat(&mixture.variance().unwrap()));
    let predicted = weighted.predict(&x).unwrap().to_dtype(DType::F64).unwrap();
    assert!(distance(&predicted, &mixture.mean().unwrap()) < 1e-3);
    let refused =
        |e: candle_ensemble::Error| assert!(e.to_string().contains("the mean, or a weighted mean"), "{e}");
    refused(pool.combine(&Median).unwrap().predict_distribution(&x).unwrap_err());
    // Learned rules work on the means.
    let held_out = pool.combine(&LeastSquares::new()).unwrap();
    assert_eq!(held_out.predict(&x).unwrap().dims(), [40, 2]);
}

/// Members of one slot count the same, and several threads give the same bits.
#[test]
fn slots_of_several_members_and_threads() {
    let train = data(1);
    let trainer = trainer(Output::Laplace).epochs(2);
    let pool = Session::new(&trainer, &train).fit(&KFold::new(3).repeats(2), 3).unwrap();
    assert_eq!((pool.slots(), pool.members().len()), (2, 6));
    let x = normal(5, 3000, 1);
    let mixture = pool.distributions(&x).unwrap();
    assert_eq!(mixture.members(), 6);
    assert!(mixture.weights().iter().all(|w| (w - 1. / 6.).abs() < 1e-15));
    let ensemble = pool.combine(&Mean).unwrap();
    let predicted = ensemble.predict(&x).unwrap().to_dtype(DType::F64).unwrap();
    assert!(distance(&predicted, &mixture.mean().unwrap()) < 1e-3);
    let several = bits(&ensemble.predict_distribution(&x).unwrap().variance().unwrap());
    let alone = ensemble.threads(1).predict_distribution(&x).unwrap();
    assert_eq!(bits(&alone.variance().unwrap()), several);
}

#[test]
fn ensembles_of_distributions_are_saved_and_loaded() {
    let train = data(1);
    let x = normal(5, 30, 1);
    for kind in kinds() {
        let trainer = trainer(kind).epochs(1);
        let ensemble =
            Session::new(&trainer, &train).fit(&MultiRun::new(2), 3).unwrap().combine(&Mean).unwrap();
        let saved = ensemble.to_bytes().unwrap();
        let loaded = Ensemble::<_, Mean>::from_bytes(&saved, &trainer, &CPU).unwrap();
        let quantile = |ensemble: &Ensemble<_, Mean>| {
            bits(&ensemble.predict_distribution(&x).unwrap().quantile(0.1).unwrap())
        };
        assert_eq!(quantile(&loaded), quantile(&ensemble), "{kind:?}");
        // The learner of another kind of output is another one.
        let other = trainer.clone().output(Output::Logits);
        let e = Ensemble::<_, Mean>::from_bytes(&saved, &other, &CPU).unwrap_err().to_string();
        assert!(e.contains("the output of its networks"), "{e}");
    }
}

/// Mean, noise and disagreement of every kind, with every rule that is a weighted mean, before and after the ensemble is saved:
/// the law of total variance over what the networks predict alone.
#[test]
fn every_kind_splits_its_variance_by_the_weights_of_the_rule() {
    let train = data(1);
    let x = normal(5, 30, 1);
    for kind in kinds() {
        let trainer = trainer(kind).epochs(2);
        let pool = Session::new(&trainer, &train).fit(&Bagging::new(3), 3).unwrap();
        let all = pool.distributions(&x).unwrap();
        let alone: Vec<Mixture> = (0..3).map(|member| all.member(member).unwrap()).collect();
        let of = |f: fn(&Mixture) -> candle_ensemble::Result<Tensor>| -> Vec<Vec<f64>> {
            alone.iter().map(|member| flat(&f(member).unwrap())).collect()
        };
        let (means, noises) = (of(Mixture::mean), of(Mixture::variance));
        let rules = [
            AnyCombiner::new(Mean),
            AnyCombiner::new(Weighted::new(&[1., 0., 3.]).unwrap()),
            AnyCombiner::new(EnsembleSelection::new(5)),
            AnyCombiner::new(Pruned::new(Ordered::reduce_error().members(2), AnyCombiner::new(Mean))),
        ];
        for rule in rules {
            let ensemble = pool.combine(&rule).unwrap();
            let saved = ensemble.to_bytes().unwrap();
            let loaded = Ensemble::<_, Box<AnyFitted>>::from_bytes(&saved, &trainer, &CPU).unwrap();
            let weights = ensemble.fitted().weights().map_or(vec![1. / 3.; 3], <[f64]>::to_vec);
            for ensemble in [&ensemble, &loaded] {
                let mixture = ensemble.predict_distribution(&x).unwrap();
                let uncertainty = ensemble.value_uncertainty(&x).unwrap();
                let predicted = flat(&ensemble.predict(&x).unwrap());
                let [mean, between, within] =
                    [&uncertainty.mean, &uncertainty.between, &uncertainty.within].map(flat);
                let total = flat(&mixture.variance().unwrap());
                for cell in 0..60 {
                    let sum = |f: &dyn Fn(usize) -> f64| (0..3).map(|m| weights[m] * f(m)).sum::<f64>();
                    let center = sum(&|m| means[m][cell]);
                    let (noise, spread) =
                        (sum(&|m| noises[m][cell]), sum(&|m| (means[m][cell] - center).powi(2)));
                    let close = |a: f64, b: f64| (a - b).abs() < 1e-9 * b.abs().max(1.);
                    assert!(close(mean[cell], center), "{kind:?}");
                    assert!((predicted[cell] - center).abs() < 1e-3, "{kind:?}");
                    assert!(close(within[cell], noise) && close(between[cell], spread), "{kind:?}");
                    assert!(close(total[cell], noise + spread), "{kind:?}");
                }
            }
        }
        // A rule that is no weighted mean has no mixture, and its members still have noise and disagreement.
        let median = pool.combine(&Median).unwrap().value_uncertainty(&x).unwrap();
        assert_eq!(bits(&median.within), bits(&all.aleatoric().unwrap()), "{kind:?}");
        assert_eq!(bits(&median.between), bits(&all.epistemic().unwrap()), "{kind:?}");
    }
}

/// Early stopping watches the negative log-likelihood, which is the validation loss.
#[test]
fn early_stopping_by_likelihood_and_by_the_error_of_the_means() {
    let train = data(1);
    for rule in ["patience:2", "patience:2:metric=rmse"] {
        let rule = EarlyStopping::registry().parse(rule).unwrap();
        let trainer = trainer(Output::Gaussian).early_stopping(rule).epochs(12);
        let plan = Bagging::new(2).validation(0.2);
        let pool = Session::new(&trainer, &train).fit(&plan, 3).unwrap();
        for record in pool.members().iter().flat_map(|m| &m.record.curve) {
            // In the targets' own units, where the noise alone is 5 to 20, the mean over two outputs.
            let rmse = record.valid_metric.unwrap();
            assert!((3.0..90.).contains(&rmse) && record.valid_loss.unwrap() < 3., "{record:?}");
        }
    }
}

/// What early stopping watches is what the metric is for the same network afterwards, in the targets' own units.
#[test]
fn early_stopping_watches_metrics_of_distributions() {
    let train = data(1).with_weights((0..ROWS).map(|row| 1. + (row % 3) as f32).collect()).unwrap();
    for kind in kinds() {
        for metric in ["distribution-nll", "crps", "quantile-loss:0.9", "interval-score:0.8"] {
            let density = !matches!(kind, Output::Quantiles { .. });
            let rule = EarlyStopping::registry().parse(&format!("patience:2:metric={metric}")).unwrap();
            let trainer = trainer(kind).early_stopping(rule).epochs(1);
            let session = Session::new(&trainer, &train);
            let plan = session.plan(&Bagging::new(1).validation(0.3), 3).unwrap();
            let pool = match session.train(&plan) {
                Ok(pool) => pool,
                Err(e) if !density && metric == "distribution-nll" => {
                    let e = e.to_string();
                    assert!(e.contains("must be one with a density (crps, quantile-loss"), "{e}");
                    continue;
                }
                Err(e) => panic!("{kind:?}, {metric}: {e}"),
            };
            let watched = pool.members()[0].record.curve[0].valid_metric.unwrap();
            let ensemble = pool.combine(&Mean).unwrap();
            let list = MetricList::parse(&format!("rmse,{metric},mae")).unwrap();
            let after = ensemble.on(&train).rows(&listed(&plan.runs[0].valid)).metrics(&list).unwrap();
            assert!(
                (watched - after[1]).abs() < 1e-4 * after[1].abs(),
                "{kind:?}, {metric}: {watched} {after:?}"
            );
            let mixture =
                ensemble.on(&train).rows(&listed(&plan.runs[0].valid)).predict_distribution().unwrap();
            let batch = train.batch(&listed(&plan.runs[0].valid), &CPU).unwrap();
            let score = Score::registry().parse(metric).unwrap();
            let weights: Vec<f64> = flat(&batch.weights.unwrap());
            assert_eq!(mixture.score(score, &batch.targets, Some(&weights)).unwrap(), after[1], "{metric}");
        }
    }
}

/// A metric of distributions chooses another epoch than the loss may, and a resumed training the same.
#[test]
fn a_training_that_watches_a_metric_of_distributions_resumes_to_the_same_bytes() {
    let rule = EarlyStopping::registry().parse("patience:1:metric=crps").unwrap();
    let trainer = trainer(Output::Laplace).early_stopping(rule).epochs(2);
    let plan = Bagging::new(1).validation(0.2);
    assert!(interrupt_everywhere_on(&data(1), &trainer, &plan, Checkpoints::Epochs(1)) > 0);
}

#[test]
fn metrics_of_distributions_are_refused_where_there_are_none() {
    let train = data(1);
    let watching = |kind: Output, metric: &str| {
        let rule = EarlyStopping { metric: Some(metric.into()), ..EarlyStopping::default() };
        let trainer = trainer(kind).early_stopping(rule).epochs(1);
        let fitted = Session::new(&trainer, &train).fit(&Bagging::new(2).validation(0.2), 3);
        fitted.map(|_| ()).unwrap_err().to_string()
    };
    let e = watching(Output::Logits, "crps");
    assert!(e.contains("for the metric crps, must be a distribution, such as Output::Gaussian"), "{e}");
    let e = watching(Output::Gaussian, "coverage:0.8");
    assert!(e.contains("such as interval-score:0.8"), "{e}");

    let gaussian = trainer(Output::Gaussian).epochs(1);
    let pool = Session::new(&gaussian, &train).fit(&KFold::new(2), 3).unwrap();
    let crps = || Metric::parse("crps").unwrap();
    let words = "must be a metric of predicted values or probabilities here";
    let refused = |e: candle_ensemble::Error| assert!(e.to_string().contains(words), "{e}");
    refused(Leaderboard::of(&pool).metric(crps()).measure().unwrap_err());
    refused(combine::registry().parse("ensemble-selection:criterion=crps").unwrap_err());
    refused(pool.combine(&EnsembleSelection::new(3).criterion(crps())).map(|_| ()).unwrap_err());
    let metrics = MetricList::parse("rmse,crps").unwrap();
    let study = Study::new(Session::new(&gaussian, &train), &train).metrics(metrics.clone());
    refused(study.strategy("k-fold", KFold::new(2)).combiner("mean", Mean).run(1).map(|_| ()).unwrap_err());
    let e = pool.combine(&Median).unwrap().on(&train).metrics(&metrics).unwrap_err().to_string();
    assert!(e.contains("the combiner of a mixture of distributions must be the mean"), "{e}");
}

#[test]
fn a_resumed_training_gives_the_same_bytes() {
    let trainer = trainer(Output::GaussianMixture { components: 2 }).epochs(2);
    assert!(interrupt_everywhere_on(&data(1), &trainer, &MultiRun::new(2), Checkpoints::Epochs(1)) > 0);
}

#[test]
fn members_trained_side_by_side_are_those_trained_alone() {
    let train = data(1);
    for kind in [Output::Gaussian, Output::GaussianMixture { components: 2 }] {
        let trainer = trainer(kind).epochs(2);
        let alone = Session::new(&trainer, &train)
            .executor(&candle_ensemble::exec::Sequential)
            .fit(&MultiRun::new(2), 3);
        let stacked = candle_ensemble::exec::Stacked::new(1).unwrap();
        let together = Session::new(&trainer, &train).executor(&stacked).fit(&MultiRun::new(2), 3);
        assert_eq!(bytes(alone.unwrap().members()), bytes(together.unwrap().members()), "{kind:?}");
    }
}

#[test]
fn what_does_not_fit_is_refused_in_words() {
    let train = data(1);
    let refused = |trainer: Trainer<Sequential>, words: &str| {
        let e = Session::new(&trainer, &train).fit(&MultiRun::new(2), 3).map(|_| ()).unwrap_err().to_string();
        assert!(e.contains(words), "{e}");
    };
    let gaussian = || trainer(Output::Gaussian).epochs(1);
    // The width, on the first batch.
    refused(
        trainer(Output::Logits).output(Output::Gaussian),
        "[32, 4] for 2 values, because Gaussian has 2 numbers for each",
    );
    refused(gaussian().output(Output::Logits), "[32, 2] for 2 values, but is [32, 4]");
    // The others when the runs are planned.
    refused(gaussian().loss(Loss::MeanSquared), "that of the distribution that the network outputs");
    refused(gaussian().loss(Loss::LaplaceNll), "used with Output::Laplace");
    refused(gaussian().target_scaling(Scaling::Power), "standardize, min-max, max-abs or robust");
    refused(gaussian().output(Output::StudentT { degrees_of_freedom: 1. }), "above 2");
    let classes =
        TensorDataset::classification(normal(1, 4, 1), &Tensor::new(&[0u32, 1, 0, 1], &CPU).unwrap())
            .unwrap();
    let e =
        Session::new(&gaussian(), &classes).fit(&MultiRun::new(2), 3).map(|_| ()).unwrap_err().to_string();
    assert!(e.contains("for classes"), "{e}");

    let plain = trainer(Output::Logits).epochs(1);
    let pool = Session::new(&plain, &train).fit(&MultiRun::new(2), 3).unwrap();
    let e = pool.distributions(normal(5, 3, 1)).unwrap_err().to_string();
    assert!(e.contains("the output of the networks must be a distribution, such as Output::Gaussian"), "{e}");
}
