//! Averages of a run's networks: by the trainer, and computed independently.
use crate::common::listed;
use candle_core::{Device, Module, ModuleT, Tensor};
use candle_ensemble::{
    combine::Mean,
    data::TensorDataset,
    merge::Swag,
    metrics::Summary,
    plan::{Horizontal, Schedule, Span, SwaRate, Unit},
    strategy::{Bagging, MultiRun},
    train::{Averaging, CustomLoop, EarlyStopping, Trainer},
    weights::{average, Ema, RunWeights, Weights},
    Result, Seed, Session,
};
use candle_nn::{
    batch_norm, linear, loss, AdamW, BatchNorm, BatchNormConfig, Linear, Optimizer, ParamsAdamW, VarBuilder,
};

fn data() -> TensorDataset {
    let x = Tensor::arange(0f32, 80., &Device::Cpu).unwrap().affine(0.025, -1.).unwrap();
    let x = x.reshape((40, 2)).unwrap();
    TensorDataset::regression(x.clone(), &x.sqr().unwrap().sum(1).unwrap()).unwrap()
}

fn net(vb: VarBuilder<'_>) -> candle_core::Result<Linear> {
    linear(2, 1, vb)
}

fn trainer() -> Trainer<Linear> {
    Trainer::new(net).epochs(10).batch_size(8)
}

fn assert_close(a: &Weights, b: &Weights, off: f32) {
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (name, a) in a {
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let (a, b) = (flat(a), flat(&b[name]));
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= off), "{name}: {a:?} {b:?}");
    }
}

#[test]
fn swa_is_the_mean_of_the_epochs_it_names() -> Result<()> {
    let (data, plain) = (data(), trainer());
    for (start, every, taken) in
        [(Span::Share(0.6), 1, Horizontal::last(4)), (Span::Units(2), 3, Horizontal::window(4..10).every(3))]
    {
        let run = Session::new(&plain, &data).fit(&taken, 5)?;
        let networks: Vec<&Weights> = run.members().iter().map(|m| &m.weights).collect();
        let expected = average(&networks, &RunWeights::Uniform.weights(networks.len())?)?;
        let averaging = trainer().averaging(Averaging::Swa { start, every });
        let pool = Session::new(&averaging, &data).fit(&MultiRun::new(1), 5)?;
        assert_close(&pool.members()[0].weights, &expected, 2e-7);
        // Training is not changed by the averages, and the curve is that of training.
        let last = &run.members()[networks.len() - 1].record.curve;
        assert_eq!(pool.members()[0].record.curve[..last.len()], last[..]);
    }
    Ok(())
}

#[test]
fn ema_averages_every_step() -> Result<()> {
    let data = data();
    let nothing_remembered = trainer().averaging(Averaging::ema(0.));
    let members = |trainer: &Trainer<Linear>| -> Result<Weights> {
        Ok(Session::new(trainer, &data).fit(&MultiRun::new(1), 5)?.members()[0].weights.clone())
    };
    assert_close(&members(&nothing_remembered)?, &members(&trainer())?, 0.);
    // A custom loop that does the same, step by step.
    let by_hand = CustomLoop::new("by hand", net, |network, run| {
        let rates = ParamsAdamW { lr: 1e-3, weight_decay: 0., ..Default::default() };
        let mut optimizer = AdamW::new(run.vars().all_vars(), rates)?;
        let mut ema = Ema::new(0.9)?;
        for epoch in 0..10 {
            for batch in run.batches(epoch, 8) {
                let batch = batch?;
                let out = candle_core::Module::forward(network, batch.inputs.only()?)?.squeeze(1)?;
                optimizer.backward_step(&loss::mse(&out, &batch.targets)?)?;
                ema.push(run.vars())?;
            }
        }
        assert_eq!(ema.count(), 50);
        Ok(run.vars().load(&ema.weights()?)?)
    });
    let by_hand = Session::new(&by_hand, &data).fit(&MultiRun::new(1), 5)?.members()[0].weights.clone();
    assert_close(&members(&trainer().averaging(Averaging::ema(0.9)))?, &by_hand, 1e-6);
    Ok(())
}

#[test]
fn the_rate_follows_the_swa_schedule() -> Result<()> {
    let (data, start) = (data(), Span::Units(4));
    let rate = SwaRate::Cycle { from: 1., to: 0.1, length: 3 };
    let schedule = Schedule::Constant.then_swa(start, rate).per(Unit::Epoch);
    let trainer = trainer().averaging(Averaging::Swa { start, every: 3 }).schedule(schedule);
    let pool = Session::new(&trainer, &data).fit(&MultiRun::new(1), 5)?;
    let rates: Vec<f64> = pool.members()[0].record.curve.iter().map(|e| e.learning_rate / 1e-3).collect();
    let expected = [1., 1., 1., 1., 0.7, 0.4, 0.1, 0.7, 0.4, 0.1];
    assert!(rates.iter().zip(expected).all(|(r, e)| (r - e).abs() < 1e-12), "{rates:?}");
    Ok(())
}

#[test]
fn contradictory_settings_are_refused_before_training() {
    let data = data();
    let averaging = trainer().averaging(Averaging::ema(0.9));
    let e = Session::new(&averaging, &data).fit(&Horizontal::last(2), 5).err().unwrap().to_string();
    assert!(e.contains("averaging"), "{e}");
    let stopping = averaging.early_stopping(EarlyStopping { patience: 2, ..EarlyStopping::default() });
    let e = Session::new(&stopping, &data).fit(&MultiRun::new(1), 5).err().unwrap().to_string();
    assert!(e.contains("early stopping"), "{e}");
    let late = trainer().averaging(Averaging::swa(Span::Units(10)));
    assert!(Session::new(&late, &data).fit(&MultiRun::new(1), 5).is_err());
}

/// A linear layer, followed by batch norm.
struct Normed(Linear, BatchNorm);

impl ModuleT for Normed {
    fn forward_t(&self, x: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        self.1.forward_t(&self.0.forward(x)?, train)
    }
}

#[test]
fn the_averages_batch_norm_statistics_are_those_of_the_runs_rows() -> Result<()> {
    let data = data();
    let net = |vb: VarBuilder<'_>| {
        Ok(Normed(linear(2, 1, vb.pp("in"))?, batch_norm(1, BatchNormConfig::default(), vb.pp("norm"))?))
    };
    for rule in [Averaging::swa(Span::Units(4)), Averaging::ema(0.9)] {
        let trainer = Trainer::new(net).epochs(8).batch_size(8).averaging(rule);
        // In a bootstrap, rows count as often as they were drawn.
        let session = Session::new(&trainer, &data);
        let (builder, seed) = (Bagging::new(2), 5);
        let plan = session.plan(&builder, seed)?;
        for (member, run) in session.train(&plan)?.members().iter().zip(&plan.runs) {
            let of = |name: &str| member.weights[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let (w, b) = (of("in.weight"), of("in.bias")[0]);
            let x = data.inputs().tensors()[0].to_vec2::<f32>()?;
            let predicted =
                |row: &u32| f64::from(x[*row as usize][0] * w[0] + x[*row as usize][1] * w[1] + b);
            let predicted: Vec<f64> = listed(&run.train).iter().map(predicted).collect();
            let all = Summary::of(&predicted)?;
            assert!((f64::from(of("norm.running_mean")[0]) - all.mean).abs() < 1e-5, "{rule:?}");
            let variance = all.sd.unwrap().powi(2);
            assert!((f64::from(of("norm.running_var")[0]) - variance).abs() < 1e-5, "{rule:?}");
        }
    }
    Ok(())
}

#[test]
fn draws_of_swag_make_an_ensemble() -> Result<()> {
    let (data, trainer) = (data(), trainer());
    let run = Session::new(&trainer, &data).fit(&Horizontal::last(5), 5)?;
    let mut swag = Swag::new(4);
    run.members().iter().try_for_each(|member| swag.push(member))?;
    let members = swag.members(7, &run.members()[4].record, Seed::from(3))?;
    let pool = run.with_members(members)?;
    assert_eq!((pool.members().len(), pool.slots()), (7, 7));
    let x = &data.inputs().tensors()[0];
    assert_eq!(pool.combine(&Mean)?.member_predictions(x)?.dims(), [7, 40, 1]);
    Ok(())
}
