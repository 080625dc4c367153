//! Scalings of inputs and targets, fitted in each run and kept with its members.
use crate::{
    common::{bits, bytes, distance, flat, listed, normal, weights, CPU},
    resume::interrupt_everywhere_on,
};
use candle_core::{DType, Device, Module, Tensor, Var};
use candle_ensemble::{
    combine::Mean,
    data::{Batch, Dataset, Fingerprint, FittedScalings, Inputs, Scaling, Task, TensorDataset},
    merge::{Alignment, LearnedSoup, MaxBarrier, MergeSpec, Model},
    nn::seq,
    plan::{Plan, Settings},
    strategy::{Bagging, EnsembleBuilder, MultiRun, RandomSubspace},
    train::{EarlyStopping, GreedyPretraining, Learner, Optimizer, Pretraining, TrainConfig, Trainer},
    weights::RunWeights,
    Checkpoints, Ensemble, Error, Member, Pool, Result, Session,
};
use candle_nn::{linear, Activation, Linear, VarBuilder};

type Mlp = candle_ensemble::nn::Sequential;

const ROWS: usize = 60;

/// Three inputs of different units, and targets of mean 2000 and standard deviation 200 or so.
fn data() -> TensorDataset {
    let x = normal(11, ROWS, 3);
    let units = Tensor::new(&[[1f32, 50., 0.01]], &CPU).unwrap();
    let y = x.matmul(&Tensor::new(&[[150f32], [-120.], [60.]], &CPU).unwrap()).unwrap();
    let y = (y + normal(12, ROWS, 1) * 5.).unwrap().affine(1., 2000.).unwrap().squeeze(1).unwrap();
    let x = x.broadcast_mul(&units).unwrap();
    let x = x.broadcast_add(&Tensor::new(&[[0f32, 300., 7.]], &CPU).unwrap()).unwrap();
    TensorDataset::regression(x, &y).unwrap()
}

fn all(data: &dyn Dataset) -> Batch {
    data.batch(&(0..data.rows() as u32).collect::<Vec<_>>(), &CPU).unwrap()
}

fn inputs(data: &dyn Dataset) -> Tensor {
    all(data).inputs.only().unwrap().clone()
}

fn mlp() -> Trainer<Mlp> {
    let network = |settings: &Settings, vb: VarBuilder<'_>| {
        let inputs = settings.count("inputs")?.unwrap_or(3);
        Ok(seq().add(linear(inputs, 8, vb.pp("a"))?).add(Activation::Relu).add(linear(8, 1, vb.pp("b"))?))
    };
    Trainer::reading(&["inputs"], network).epochs(6).batch_size(16).optimizer(Optimizer::adam(0.02))
}

fn parse(text: &str) -> Scaling {
    Scaling::parse(text).unwrap()
}

fn scaled(inputs: &str, targets: &str) -> Trainer<Mlp> {
    mlp().input_scaling(parse(inputs)).target_scaling(parse(targets))
}

/// The plan of one run, with the data scaled by hand.
fn by_hand(plan: &Plan, run: usize, fitted: &FittedScalings, data: &TensorDataset) -> (Plan, TensorDataset) {
    let (mut one, spec) = (plan.clone(), &plan.runs[run]);
    let mut x = inputs(data);
    if let Some(features) = &spec.features {
        x = x.index_select(&Tensor::new(features.as_slice(), &CPU).unwrap(), 1).unwrap();
    }
    let x = fitted.inputs.as_ref().map_or(x.clone(), |scaling| scaling.transform(&x).unwrap());
    let y = all(data).targets;
    let y = fitted.targets.as_ref().map_or(y.clone(), |scaling| scaling.transform(&y).unwrap());
    let data = TensorDataset::regression(x, &y).unwrap();
    one.runs = vec![spec.clone()];
    (one.runs[0].id, one.runs[0].features, one.data) = (0, None, data.fingerprint());
    (one, data)
}

fn refusal<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => panic!("it should be refused"),
        Err(e) => e.to_string(),
    }
}

#[test]
fn a_scaled_run_is_the_run_on_data_scaled_by_hand_to_the_bit() -> Result<()> {
    let data = data();
    let subspace = RandomSubspace::new(3, 0.67).validation(0.2);
    let strategies: [&dyn EnsembleBuilder; 2] = [&Bagging::new(3).validation(0.3), &subspace];
    for strategy in strategies {
        for (of_inputs, of_targets) in
            [("power", "standardize"), ("quantile:20:true", "robust"), ("0=max-abs", "min-max")]
        {
            let (x, y) = (parse(of_inputs), parse(of_targets));
            let trainer = scaled(of_inputs, of_targets);
            let session = Session::new(&trainer, &data);
            let plan = session.plan(strategy, 5)?;
            let pool = session.train(&plan)?;
            for (member, spec) in pool.members().iter().zip(&plan.runs) {
                let features = spec.features.as_deref();
                let fitted = FittedScalings::fit(&data, &listed(&spec.train), features, Some(&x), Some(&y))?;
                assert_eq!(member.record.scaling, fitted, "training rows alone");

                let (plan, data) = by_hand(&plan, spec.id, &fitted, &data);
                let plain = mlp();
                let hand = Session::new(&plain, &data).train(&plan)?;
                let hand_member = &hand.members()[0];
                assert_eq!(weights(member), weights(hand_member));
                // Losses are those of scaled targets, metrics are in the targets' own units.
                let scale = (fitted.targets.as_ref().unwrap()).inverse(&Tensor::new(&[0f64, 1.], &CPU)?)?;
                let scale = flat(&scale)[1] - flat(&scale)[0];
                for (own, hand) in member.record.curve.iter().zip(&hand_member.record.curve) {
                    assert_eq!((own.train_loss, own.valid_loss), (hand.train_loss, hand.valid_loss));
                    for (own, hand) in [
                        (own.train_metric, hand.train_metric),
                        (own.valid_metric.unwrap(), hand.valid_metric.unwrap()),
                    ] {
                        assert!((own / (hand * scale) - 1.).abs() < 1e-3, "{own} {hand} {scale}");
                    }
                }
                let z = hand.combine(&Mean)?.predict(inputs(&data))?;
                let one = pool.with_members(vec![member.clone()])?.combine(&Mean)?;
                let predicted = one.predict(inputs(&self::data()))?;
                assert_eq!(bits(&predicted), bits(&fitted.unscale_outputs(&z)?));
            }
        }
    }
    Ok(())
}

#[test]
fn a_scaled_ensemble_is_saved_and_loaded_to_the_bit() -> Result<()> {
    let (data, x) = (data(), inputs(&data()));
    for (of_inputs, of_targets) in [("power", "quantile:30"), ("0=one-hot;1,2=robust", "power")] {
        // One-hot encoding needs few categories, and every run the same.
        let categories = x.narrow(1, 0, 1)?.sign()?;
        let x = match of_inputs.starts_with('0') {
            true => Tensor::cat(&[&categories, &x.narrow(1, 1, 2)?], 1)?.contiguous()?,
            false => x.clone(),
        };
        let of_inputs = of_inputs.replace("one-hot", "one-hot:-1,1");
        let data = TensorDataset::regression(&x, &all(&data).targets)?;
        let width = if of_inputs.contains("one-hot") { 4 } else { 3 };
        let build = move |vb: VarBuilder<'static>| linear(width, 1, vb);
        let trainer = Trainer::new(build).epochs(3).input_scaling(parse(&of_inputs));
        let trainer = trainer.target_scaling(parse(of_targets));
        let pool = Session::new(&trainer, &data).fit(&Bagging::new(4), 9)?;
        let again = pool.members().iter().map(|m| Member::from_bytes(&m.to_bytes()?));
        let again = pool.with_members(again.collect::<Result<_>>()?)?;
        assert_eq!(bytes(again.members()), bytes(pool.members()));
        let held_out = pool.held_out()?;
        for (slot, member) in pool.members().iter().enumerate() {
            let one = pool.with_members(vec![member.clone()])?.combine(&Mean)?;
            let (predicted, held) = (one.predict(&x)?, held_out.predictions().values().get(slot)?);
            for (at, row) in held_out.rows().iter().enumerate() {
                if !member.record.seen.contains(*row) {
                    assert!(distance(&held.get(at)?, &predicted.get(*row as usize)?) < 0.01);
                }
            }
        }

        let ensemble = pool.combine(&Mean)?;
        let (saved, predicted) = (ensemble.to_bytes()?, ensemble.predict(&x)?);
        let loaded = Ensemble::<_, Mean>::from_bytes(&saved, &trainer, &Device::Cpu)?;
        let bare = move |_: &str, _: &Settings, vb: VarBuilder<'static>| build(vb);
        let bare = Ensemble::<Linear, Mean>::from_bytes_with(&saved, bare, &Device::Cpu)?;
        for loaded in [loaded, bare] {
            assert_eq!(bits(&loaded.predict(&x)?), bits(&predicted));
            assert_eq!(bits(&loaded.forward(&x)?), bits(&predicted));
            assert_eq!(loaded.to_bytes()?, saved);
        }
        assert!(flat(&predicted).iter().all(|y| (500. ..5000.).contains(y)), "{predicted}");
    }
    Ok(())
}

#[test]
fn scaled_runs_resume_to_the_bit() {
    let rule = EarlyStopping { metric: Some("mae".into()), patience: 2, ..EarlyStopping::default() };
    let bagging = Bagging::new(2).validation(0.3);
    for trainer in
        [scaled("power", "quantile:20:true"), scaled("0,1=robust", "standardize").early_stopping(rule)]
    {
        assert!(interrupt_everywhere_on(&data(), &trainer, &bagging, Checkpoints::Epochs(1)) > 0);
    }
}

#[test]
fn early_stopping_watches_metrics_in_the_units_of_the_targets() -> Result<()> {
    let rule = EarlyStopping { metric: Some("mae".into()), patience: 50, ..EarlyStopping::default() };
    let trainer = scaled("standardize", "standardize").early_stopping(rule);
    let data = data();
    let session = Session::new(&trainer, &data);
    let plan = session.plan(&MultiRun::new(1).validation(0.3), 3)?;
    let pool = session.train(&plan)?;
    let record = &pool.members()[0].record;
    let best = record.curve.iter().filter_map(|epoch| epoch.valid_metric).fold(f64::INFINITY, f64::min);
    let valid = data.batch(&listed(&plan.runs[0].valid), &CPU)?;
    let predicted = pool.combine(&Mean)?.predict(valid.inputs.only()?)?.squeeze(1)?;
    let mae = (predicted - &valid.targets)?.abs()?.mean_all()?.to_scalar::<f32>()?;
    assert!((f64::from(mae) / best - 1.).abs() < 1e-4 && best > 5., "{mae} {best}");
    Ok(())
}

/// Gradient descent on targets in the thousands diverges; on the same targets scaled it does not.
#[test]
fn standardized_targets_train_where_raw_ones_diverge() -> Result<()> {
    let data = data();
    let train = |scale: bool| {
        let trainer = mlp().epochs(60).optimizer(Optimizer::sgd(0.05)).input_scaling(Scaling::Standardize);
        let trainer = if scale { trainer.target_scaling(Scaling::Standardize) } else { trainer };
        let predicted = Session::new(&trainer, &data).fit(&MultiRun::new(2), 1)?.combine(&Mean)?;
        let error = (predicted.predict(inputs(&data))?.squeeze(1)? - all(&data).targets)?;
        Ok::<_, Error>(error.sqr()?.mean_all()?.to_scalar::<f32>()?)
    };
    let e = train(false).unwrap_err();
    assert!(matches!(e, Error::Diverged { .. }), "{e}");
    // The variance of the targets is about 40 000.
    let mse = train(true)?;
    assert!(mse < 2000., "{mse}");
    Ok(())
}

#[test]
fn settings_of_runs_are_scalings_too() -> Result<()> {
    let data = data();
    let settings = ["standardize", "0=robust:0.1:0.9"];
    let runs =
        settings.map(|x| Settings::new().with("input_scaling", x).with("target_scaling", "min-max:-1:1"));
    let varied = mlp();
    let varied = Session::new(&varied, &data).fit(&MultiRun::new(2).settings(runs), 4)?;
    for (run, x) in settings.iter().enumerate() {
        let trainer = scaled(x, "min-max:-1:1");
        let same = Session::new(&trainer, &data).fit(&MultiRun::new(2), 4)?;
        assert_eq!(weights(&varied.members()[run]), weights(&same.members()[run]));
        assert_eq!(varied.members()[run].record.scaling, same.members()[run].record.scaling);
    }
    Ok(())
}

/// Two inputs.
struct Two;

impl Dataset for Two {
    fn rows(&self) -> usize {
        4
    }

    fn task(&self) -> Task {
        Task::Regression { outputs: 1 }
    }

    fn batch(&self, rows: &[u32], device: &Device) -> candle_core::Result<Batch> {
        let x = Tensor::ones((rows.len(), 3), DType::F32, device)?;
        let targets = x.narrow(1, 0, 1)?.contiguous()?;
        Ok(Batch { inputs: Inputs::from(vec![x.clone(), x]), targets, weights: None })
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(b"two inputs")
    }
}

#[test]
fn what_cannot_be_scaled_is_refused_before_training() -> Result<()> {
    let data = data();
    let labels = Tensor::from_iter((0..ROWS as u32).map(|row| row % 2), &CPU)?;
    let classes = TensorDataset::classification(inputs(&data), &labels)?;
    let check = |trainer: &Trainer<Mlp>, data: &dyn Dataset| {
        let plan = Session::new(trainer, data).plan(&MultiRun::new(1), 1).unwrap();
        refusal(Learner::check(trainer, &plan.runs[0], data))
    };
    let (x, y) =
        (|text: &str| mlp().input_scaling(parse(text)), |text: &str| mlp().target_scaling(parse(text)));
    let several = check(&x("standardize"), &Two);
    assert!(
        several.ends_with("must be unset unless there is one input, but is set for 2 inputs"),
        "{several}"
    );
    assert!(check(&y("standardize"), &classes).contains("must be unset for classification"));
    assert!(check(&y("one-hot"), &data).contains("must be one with an inverse"));
    assert!(check(&x("7=power"), &data).contains("must be below 3, the number of columns, but is 7"));
    assert!(check(&mlp().input_scaling(Scaling::Robust { low: 0.6, high: 0.4 }), &data)
        .contains("Scaling::Robust"));
    let bad = Settings::new().with("input_scaling", "standard");
    let e = refusal(Session::new(&mlp(), &data).fit(&MultiRun::new(1).settings([bad]), 1));
    assert!(e.contains("did you mean standardize?"), "{e}");
    Ok(())
}

#[test]
fn members_that_scale_alike_are_merged_and_others_refused() -> Result<()> {
    let data = data();
    let any = MaxBarrier::new(f64::INFINITY);
    let average = MergeSpec::average(RunWeights::Uniform);
    let trainer = Trainer::new(|vb| linear(3, 1, vb)).epochs(4).input_scaling(parse("power"));
    let trainer = trainer.target_scaling(parse("standardize"));
    let session = Session::new(&trainer, &data).reserve(0.2);

    let e = session.fit(&Bagging::new(3), 2)?.merge(&average, &any).err().unwrap();
    assert!(
        matches!(e, Error::Incompatible { .. }) && e.to_string().contains("scale inputs or targets"),
        "{e}"
    );

    let pool = session.fit(&MultiRun::new(3), 2)?;
    let merged = pool.merge(&average, &any)?;
    assert_eq!(merged.pool.members()[0].record.scaling, pool.members()[0].record.scaling);
    // The mean of linear networks predicts the mean.
    let (x, mean) = (inputs(&data), pool.combine(&Mean)?.predict(inputs(&data))?);
    let one = merged.into_ensemble()?;
    assert!(distance(&one.predict(&x)?, &mean) < 0.02);
    assert!(refusal(pool.network(0)).contains("of a member without scaling"));
    Ok(())
}

/// Losses of weights outside of a pool, and merges through gradients.
#[test]
fn models_compute_losses_in_the_units_of_the_targets() -> Result<()> {
    let (data, rows) = (data(), (0..ROWS as u32).collect::<Vec<_>>());
    let trainer = scaled("quantile:30:true", "power");
    let session = Session::new(&trainer, &data).reserve(0.2);
    let pool = session.fit(&MultiRun::new(2), 2)?;
    let member = &pool.members()[0];
    let model = Model::of(&trainer, &member.record);
    let error =
        (pool.with_members(vec![member.clone()])?.combine(&Mean)?.predict(inputs(&data))?.squeeze(1)?
            - all(&data).targets)?;
    let mse = f64::from(error.sqr()?.mean_all()?.to_scalar::<f32>()?);
    let loss = model.loss(&member.weights, &data, &rows)?;
    assert!((loss / mse - 1.).abs() < 1e-4, "{loss} {mse}");
    let same = Model::new(&trainer)?.scaling(&member.record.scaling);
    assert_eq!(same.loss(&member.weights, &data, &rows)?, loss);

    let variables =
        member.weights.iter().map(|(name, t)| Ok((name.clone(), Var::from_tensor(t)?.into_inner())));
    let variables = variables.collect::<Result<_>>()?;
    let tensor = model.loss_tensor(&variables, &data, &rows)?;
    assert!((f64::from(tensor.to_scalar::<f32>()?) / loss - 1.).abs() < 1e-4);
    let gradients = tensor.backward()?;
    let (name, step) = ("b.bias", 1e-2);
    let gradient = flat(gradients.get(&variables[name]).unwrap())[0];
    let moved = |by: f64| {
        let mut moved = member.weights.clone();
        moved.insert(name.into(), (&member.weights[name] + by)?);
        model.loss(&moved, &data, &rows)
    };
    let want = (moved(step)? - moved(-step)?) / (2. * step);
    assert!((gradient - want).abs() < 0.02 * want.abs() + 400., "{gradient} {want}");
    let learned = pool.merge(&MergeSpec::learned(LearnedSoup::new()), &MaxBarrier::new(f64::INFINITY))?;
    assert!(learned.barrier.height.is_finite());
    Ok(())
}

/// A network and itself with permuted units become itself again when they are aligned.
#[test]
fn scaled_networks_are_aligned() -> Result<()> {
    let data = data();
    let trainer = scaled("power", "quantile:40");
    let session = Session::new(&trainer, &data).reserve(0.2);
    let pool: Pool<'_, _> = session.fit(&MultiRun::new(1), 2)?;
    let member = pool.members()[0].clone();
    let order = Tensor::new(&[3u32, 1, 7, 0, 2, 6, 5, 4], &CPU)?;
    let mut moved = member.clone();
    for (name, axis) in [("a.weight", 0), ("a.bias", 0), ("b.weight", 1)] {
        let tensor = member.weights[name].index_select(&order, axis)?;
        moved.weights.insert(name.into(), tensor);
    }
    moved.record.slot = 1;
    let both = pool.with_members(vec![member, moved])?;
    for repair in [false, true] {
        let spec = MergeSpec::average(RunWeights::Uniform).alignment(Alignment::Weights).repair(repair);
        let merged = both.merge(&spec, &MaxBarrier::new(f64::INFINITY))?;
        assert!(merged.aligned && merged.barrier.height.abs() < 5., "{merged}");
        let (a, b) = (merged.into_ensemble()?, pool.combine(&Mean)?);
        assert!(distance(&a.predict(inputs(&data))?, &b.predict(inputs(&data))?) < 0.5);
    }
    Ok(())
}

#[test]
fn gradients_and_nan_pass_through_a_scaled_ensemble() -> Result<()> {
    let data = data();
    let trainer = Trainer::new(|vb| linear(3, 1, vb)).epochs(2);
    let trainer = trainer.input_scaling(Scaling::Standardize).target_scaling(Scaling::Standardize);
    let pool = Session::new(&trainer, &data).fit(&MultiRun::new(1), 2)?;
    let ensemble = pool.combine(&Mean)?;
    let x = Var::from_tensor(&inputs(&data).narrow(0, 0, 2)?)?;
    let gradients = ensemble.forward(&x)?.sum_all()?.backward()?;
    let gradient = flat(gradients.get(&x).unwrap());
    // dy/dx = w · scale of y / scale of x.
    let scaling = &pool.members()[0].record.scaling;
    let scale = |of: &candle_ensemble::data::FittedScaling| {
        let ones = Tensor::ones((1, of.columns()), DType::F64, &CPU).unwrap();
        flat(&(of.inverse(&ones).unwrap() - of.inverse(&ones.zeros_like().unwrap()).unwrap()).unwrap())
    };
    let (sx, sy) = (scale(scaling.inputs.as_ref().unwrap()), scale(scaling.targets.as_ref().unwrap())[0]);
    for (i, w) in flat(&pool.members()[0].weights["weight"]).into_iter().enumerate() {
        let want = w * sy / sx[i];
        assert!((gradient[i] / want - 1.).abs() < 1e-5 && (gradient[i + 3] / want - 1.).abs() < 1e-5);
    }

    let mut holes = inputs(&data).narrow(0, 0, 2)?.to_vec2::<f32>()?;
    holes[1][2] = f32::NAN;
    let holes = Tensor::new(holes, &CPU)?;
    assert_eq!(refusal(ensemble.predict(&holes)), "inputs, row 1 must be finite, but is NaN");
    let predicted = flat(&ensemble.allow_nan(true).predict(&holes)?);
    assert!(predicted[0].is_finite() && predicted[1].is_nan());
    Ok(())
}

#[test]
fn an_unknown_category_is_an_error_at_prediction() -> Result<()> {
    let x = Tensor::from_iter((0..ROWS).map(|row| [5f32, 7., 9.][row % 3]), &CPU)?.reshape((ROWS, 1))?;
    let y = Tensor::from_iter((0..ROWS as u32).map(|row| row % 3), &CPU)?;
    let data = TensorDataset::classification(&x, &y)?;
    for (text, known) in [("one-hot", false), ("one-hot:ignore-unknown=true", true)] {
        let trainer = Trainer::new(|vb| linear(3, 3, vb)).epochs(30).optimizer(Optimizer::adam(0.1));
        let trainer = trainer.input_scaling(parse(text));
        let ensemble = Session::new(&trainer, &data).fit(&MultiRun::new(2), 2)?.combine(&Mean)?;
        assert_eq!(ensemble.predict(&x)?.to_vec1::<u32>()?, y.to_vec1::<u32>()?);
        let fresh = ensemble.predict(Tensor::new(&[[5f32], [6.]], &CPU)?);
        match known {
            true => assert_eq!(fresh?.dims(), [2]),
            false => assert!(refusal(fresh).contains("row 1, column 0 must be one of the 3 categories")),
        }
    }
    Ok(())
}

#[test]
fn greedy_pretraining_scales_in_every_step() -> Result<()> {
    let data = data();
    let learner = |config: TrainConfig, pretraining| {
        GreedyPretraining::new(|vb| linear(5, 1, vb))
            .hidden(|vb| Ok(seq().add(linear(3, 5, vb)?).add(Activation::Gelu)))
            .hidden(|vb| Ok(seq().add(linear(5, 5, vb)?).add(Activation::Gelu)))
            .config(config)
            .pretraining(pretraining)
            .epochs_per_layer(2)
    };
    let autoencoder = Pretraining::Autoencoder { epochs: 2, corruption: None };
    for pretraining in [Pretraining::default(), autoencoder] {
        let mut config = TrainConfig::default();
        let plain = learner(config.clone(), pretraining);
        (config.input_scaling, config.target_scaling) = (Some(parse("power")), Some(parse("standardize")));
        let greedy = learner(config, pretraining);
        let session = Session::new(&greedy, &data);
        let plan = session.plan(&Bagging::new(1), 3)?;
        let pool = session.train(&plan)?;
        let member = &pool.members()[0];
        let (x, y) = (parse("power"), parse("standardize"));
        let fitted = FittedScalings::fit(&data, &listed(&plan.runs[0].train), None, Some(&x), Some(&y))?;
        assert_eq!(member.record.scaling, fitted);
        let (plan, data) = by_hand(&plan, 0, &fitted, &data);
        assert_eq!(weights(member), weights(&Session::new(&plain, &data).train(&plan)?.members()[0]));
    }
    Ok(())
}
