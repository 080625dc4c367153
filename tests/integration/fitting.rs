//! Transforms that a run fits on its training rows, as variables of the network.
use crate::{
    common::{bits, bytes, flat, listed, normal, weights, CPU},
    resume::interrupt_everywhere_on,
};
use candle_core::{DType, Device, Result as CandleResult, Tensor};
use candle_ensemble::{
    combine::Mean,
    data::{Dataset, Scaling, TensorDataset},
    nn::{linear, seq, Sequential},
    plan::Plan,
    strategy::{Bagging, EnsembleBuilder, KFold, MultiRun},
    train::{EarlyStopping, FitTransform, Freeze, Learner, Optimizer, Retrain, Trainer, TrainingRows},
    weights::Weights,
    Checkpoints, Ensemble, Member, Result, Session,
};
use candle_nn::{Init, VarBuilder};
use rand::Rng;

const ROWS: u32 = 40;

fn data() -> TensorDataset {
    let x = normal(21, ROWS as usize, 2).affine(2., 5.).unwrap();
    TensorDataset::regression(&x, &x.sum(1).unwrap()).unwrap()
}

/// Subtracts the mean of the training rows.
fn network(vb: VarBuilder<'static>) -> CandleResult<Sequential> {
    let mean = vb.get_with_hints(2, "mean", Init::Const(0.))?;
    Ok(seq().add_fn(move |x| x.broadcast_sub(&mean)).add(linear(2, 1, vb.pp("out"))?))
}

fn mean(rows: &TrainingRows<'_>) -> CandleResult<Weights> {
    let inputs = rows.batches(7).map(|batch| Ok(batch?.inputs.only()?.clone()));
    let all = Tensor::cat(&inputs.collect::<CandleResult<Vec<_>>>()?, 0)?;
    assert_eq!(all.dim(0)?, rows.len());
    Ok([("mean".to_string(), all.mean(0)?)].into())
}

fn plain() -> Trainer<Sequential> {
    Trainer::new(network).epochs(4).batch_size(8).optimizer(Optimizer::adam(0.02))
}

fn trainer() -> Trainer<Sequential> {
    plain().fit_transform(FitTransform::new("mean, 1", ["mean"], mean))
}

fn of_rows(x: &Tensor, rows: &[u32]) -> Tensor {
    x.index_select(&Tensor::new(rows, &CPU).unwrap(), 0).unwrap()
}

/// The plan of one run, on other data of the same rows.
fn one(plan: &Plan, run: usize, data: &TensorDataset) -> Plan {
    let mut one = plan.clone();
    one.runs = vec![plan.runs[run].clone()];
    (one.runs[0].id, one.data) = (0, data.fingerprint());
    one
}

#[test]
fn a_run_is_that_on_data_transformed_by_hand_to_the_bit() -> Result<()> {
    let (data, transformed) = (data(), trainer());
    let x = data.inputs().only()?.clone();
    let strategies: [&dyn EnsembleBuilder; 2] = [&KFold::new(4), &Bagging::new(3).validation(0.2)];
    for strategy in strategies {
        let session = Session::new(&transformed, &data);
        let plan = session.plan(strategy, 5)?;
        let pool = session.train(&plan)?;
        for (run, member) in pool.members().iter().enumerate() {
            let fitted = of_rows(&x, &listed(&plan.runs[run].train)).mean(0)?;
            assert_eq!(bits(&member.weights["mean"]), bits(&fitted), "training rows alone");
            let by_hand = data.with_inputs(x.broadcast_sub(&fitted)?)?;
            let plan = one(&plan, run, &by_hand);
            let plain = plain().allow_frozen(true).freeze(Freeze::names_like(["mean"]));
            let hand = &Session::new(&plain, &by_hand).train(&plan)?.members()[0].clone();
            assert_eq!(bits(&member.weights["out.weight"]), bits(&hand.weights["out.weight"]));
            assert_eq!(member.record.curve, hand.record.curve);
        }
    }
    Ok(())
}

/// Rows that a run does not train on, those of other folds and of the validation, have no effect on its member.
#[test]
fn rows_that_are_not_trained_on_do_not_leak() -> Result<()> {
    let (data, trainer) = (data(), trainer());
    let session = Session::new(&trainer, &data);
    let plan = session.plan(&KFold::new(4).validation(0.2), 5)?;
    let pool = session.train(&plan)?;
    let (x, y) = (data.inputs().only()?, data.targets());
    for (run, member) in pool.members().iter().enumerate() {
        let trained = |row| f64::from(u8::from(plan.runs[run].train.contains(row).unwrap()));
        let keep = Tensor::from_iter((0..ROWS).map(trained), &CPU)?.to_dtype(DType::F32)?;
        let other = TensorDataset::regression(x.broadcast_mul(&keep.unsqueeze(1)?)?, &(y * &keep)?)?;
        let pool = Session::new(&trainer, &other).train(&one(&plan, run, &other))?;
        assert!(weights(&pool.members()[0]) == weights(member), "run {run}");
    }
    Ok(())
}

#[test]
fn an_ensemble_takes_the_inputs_of_the_data_set_and_is_saved_and_loaded() -> Result<()> {
    let (data, trainer) = (data(), trainer());
    let x = data.inputs().only()?.clone();
    let pool = Session::new(&trainer, &data).fit(&KFold::new(3), 2)?;
    let again = pool.members().iter().map(|member| Member::from_bytes(&member.to_bytes()?));
    assert_eq!(bytes(&again.collect::<Result<Vec<_>>>()?), bytes(pool.members()));
    let ensemble = pool.combine(&Mean)?;
    let predicted = ensemble.predict(&x)?;
    let of = |member: &Member| -> Result<Vec<f64>> {
        let out = x.broadcast_sub(&member.weights["mean"])?.matmul(&member.weights["out.weight"].t()?)?;
        Ok(flat(&out.broadcast_add(&member.weights["out.bias"])?))
    };
    let of = pool.members().iter().map(of).collect::<Result<Vec<_>>>()?;
    for (row, got) in flat(&predicted).into_iter().enumerate() {
        let expected = of.iter().map(|of| of[row]).sum::<f64>() / 3.;
        assert!((got - expected).abs() < 1e-5, "{got} {expected}");
    }
    let loaded = Ensemble::<_, Mean>::from_bytes(&ensemble.to_bytes()?, &trainer, &Device::Cpu)?;
    assert_eq!(bits(&loaded.predict(&x)?), bits(&predicted));
    Ok(())
}

#[test]
fn it_resumes_to_the_bit_and_stays_in_a_second_training() -> Result<()> {
    let (data, transformed) = (data(), trainer());
    assert!(interrupt_everywhere_on(&data, &transformed, &Bagging::new(2), Checkpoints::Epochs(1)) > 0);
    let rule = EarlyStopping { patience: 1, then: Retrain::FromScratch, ..EarlyStopping::default() };
    let again = transformed.early_stopping(rule);
    let session = Session::new(&again, &data);
    let plan = session.plan(&MultiRun::new(2).validation(0.25), 4)?;
    for (run, member) in session.train(&plan)?.members().iter().enumerate() {
        let fitted = of_rows(data.inputs().only()?, &listed(&plan.runs[run].train)).mean(0)?;
        assert_eq!(bits(&member.weights["mean"]), bits(&fitted));
    }
    let builder = MultiRun::new(2).validation(0.25);
    assert!(interrupt_everywhere_on(&data, &again, &builder, Checkpoints::Epochs(1)) > 0);
    Ok(())
}

/// The function gets the rows as the network does, and a seed of its run.
#[test]
fn rows_are_scaled_where_the_trainer_scales() -> Result<()> {
    let fit = |rows: &TrainingRows<'_>| {
        let draw = Tensor::new(rows.seed().rng().random::<f32>(), &CPU)?;
        let mut fitted = mean(rows)?;
        fitted.insert("draw".into(), draw);
        Ok(fitted)
    };
    let new = |vb: VarBuilder<'static>| {
        vb.get_with_hints((), "draw", Init::Const(0.))?;
        network(vb)
    };
    let transform = FitTransform::new("mean and draw", ["mean", "draw"], fit);
    let trainer = Trainer::new(new).epochs(1).fit_transform(transform).input_scaling(Scaling::Standardize);
    let data = data();
    let fit = || Session::new(&trainer, &data).fit(&MultiRun::new(2), 2);
    let pool = fit()?;
    let draws =
        |members: &[Member]| members.iter().flat_map(|m| flat(&m.weights["draw"])).collect::<Vec<_>>();
    assert!(pool.members().iter().all(|m| flat(&m.weights["mean"]).iter().all(|mean| mean.abs() < 1e-6)));
    assert_eq!(draws(pool.members()), draws(fit()?.members()));
    assert!(draws(pool.members())[0] != draws(pool.members())[1]);
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused_in_words() {
    let data = data();
    let refused = |transform: FitTransform| {
        let trainer = plain().fit_transform(transform);
        Session::new(&trainer, &data).fit(&MultiRun::new(1), 1).err().unwrap().to_string()
    };
    let of = |name: &str, values: Vec<f32>| {
        let (name, values) = (name.to_string(), Tensor::new(values, &CPU).unwrap());
        move |_: &TrainingRows<'_>| Ok(Weights::from([(name.clone(), values.clone())]))
    };
    let e = refused(FitTransform::new("t", ["mean"], of("mena", vec![1., 2.])));
    assert!(
        e.contains(r#"the tensors that the transform "t" fits must be {"mean"}, but is {"mena"}"#),
        "{e}"
    );
    let e = refused(FitTransform::new("t", ["mena"], of("mena", vec![1., 2.])));
    assert!(e.contains(r#"`mena` that the transform "t" fits must be a variable of the network"#), "{e}");
    let e = refused(FitTransform::new("t", ["mean"], of("mean", vec![1.])));
    assert!(e.contains("must be of shape [2], as the variable is, but is [1]"), "{e}");
    let e = refused(FitTransform::new("t", ["mean"], of("mean", vec![1., f32::NAN])));
    assert!(e.contains("`mean`[1] that the transform \"t\" fits must be finite, but is NaN"), "{e}");
    let e = refused(FitTransform::new("", ["mean"], mean));
    assert!(e.contains("the names of fitted transforms"), "{e}");
    let twice = trainer().fit_transform(FitTransform::new("other", ["mean"], mean));
    let e = Session::new(&twice, &data).fit(&MultiRun::new(1), 1).err().unwrap().to_string();
    assert!(e.contains("\"mean\" twice"), "{e}");
    assert_ne!(trainer().tag(), plain().tag());
}
