//! The code of proposals and setups. The test that runs it says where it writes a new one.
use super::code::Made;
use crate::{
    data::*, evaluate::combinations, nn::*, plan::*, remedy::Setup, strategy::*, train::*,
    weights::InitScheme, Result,
};

type Case = (&'static str, fn(Trainer<Sequential>) -> Result<Made>);

pub(super) const CASES: &[Case] = &[
    (
        r#"let setup = Setup {
    strategy: Some("bootstrap:3:size=0.8".into()),
    validation: Some(0.25),
    ..Setup::default()
};
let strategy = setup.strategy()?;
let combination = combinations().parse("median")?;
"#,
        |trainer| {
            let setup = Setup {
                strategy: Some("bootstrap:3:size=0.8".into()),
                validation: Some(0.25),
                ..Setup::default()
            };
            let strategy = setup.strategy()?;
            let combination = combinations().parse("median")?;
            drop(combination);
            Ok((trainer.config().clone(), Some(strategy)))
        },
    ),
    (
        r#"let setup = Setup {
    strategy: Some("bootstrap:4:0.5".into()),
    ..Setup::default()
};
let strategy = setup.strategy()?;
"#,
        |trainer| {
            let setup = Setup { strategy: Some("bootstrap:4:0.5".into()), ..Setup::default() };
            let strategy = setup.strategy()?;
            Ok((trainer.config().clone(), Some(strategy)))
        },
    ),
    (
        r#"let setup = Setup {
    strategy: Some("horizontal:3:every=2".into()),
    ..Setup::default()
};
let strategy = setup.strategy()?;
"#,
        |trainer| {
            let setup = Setup { strategy: Some("horizontal:3:every=2".into()), ..Setup::default() };
            let strategy = setup.strategy()?;
            Ok((trainer.config().clone(), Some(strategy)))
        },
    ),
    (
        r#"let setup = Setup {
    strategy: Some("random-split:3:0.7".into()),
    ..Setup::default()
};
let strategy = setup.strategy()?;
"#,
        |trainer| {
            let setup = Setup { strategy: Some("random-split:3:0.7".into()), ..Setup::default() };
            let strategy = setup.strategy()?;
            Ok((trainer.config().clone(), Some(strategy)))
        },
    ),
    (
        r#"let strategy = Bagging::new(10).settings([Settings::new().with("activation", "tanh").with("hidden", "64,32")]);
"#,
        |trainer| {
            let strategy = Bagging::new(10)
                .settings([Settings::new().with("activation", "tanh").with("hidden", "64,32")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = Bagging::new(10);
"#,
        |trainer| {
            let strategy = Bagging::new(10);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = KFold::new(3).collect(Snapshot::new(2));
"#,
        |trainer| {
            let strategy = KFold::new(3).collect(Snapshot::new(2));
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = KFold::new(5).settings([Settings::new().with("activation", "tanh").with("hidden", "64,32")]);
"#,
        |trainer| {
            let strategy =
                KFold::new(5).settings([Settings::new().with("activation", "tanh").with("hidden", "64,32")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = KFold::new(5);
"#,
        |trainer| {
            let strategy = KFold::new(5);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(1)
    .collect(Horizontal::last(10))
    .settings([Settings::new().with("activation", "tanh").with("hidden", "64,32")]);
"#,
        |trainer| {
            let strategy = MultiRun::new(1)
                .collect(Horizontal::last(10))
                .settings([Settings::new().with("activation", "tanh").with("hidden", "64,32")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(1)
    .collect(Horizontal::last(10))
    .settings([Settings::new().with("activation", "tanh").with("hidden", "64,32")]);
let combination = combinations().parse("greedy-soup")?;
"#,
        |trainer| {
            let strategy = MultiRun::new(1)
                .collect(Horizontal::last(10))
                .settings([Settings::new().with("activation", "tanh").with("hidden", "64,32")]);
            let combination = combinations().parse("greedy-soup")?;
            drop(combination);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(1)
    .collect(Snapshot::new(3))
    .settings([Settings::new().with("batch_norm", true).with("hidden", "none")]);
"#,
        |trainer| {
            let strategy = MultiRun::new(1)
                .collect(Snapshot::new(3))
                .settings([Settings::new().with("batch_norm", true).with("hidden", "none")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(1)
    .collect(Snapshot::new(3))
    .settings([Settings::new().with("hidden", "32")]);
"#,
        |trainer| {
            let strategy =
                MultiRun::new(1).collect(Snapshot::new(3)).settings([Settings::new().with("hidden", "32")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(1)
    .collect(Snapshot::new(3))
    .settings([Settings::new().with("hidden", "none")]);
"#,
        |trainer| {
            let strategy =
                MultiRun::new(1).collect(Snapshot::new(3)).settings([Settings::new().with("hidden", "none")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(1)
    .collect(Snapshot::new(5))
    .settings([Settings::new().with("activation", "tanh").with("hidden", "64,32")]);
"#,
        |trainer| {
            let strategy = MultiRun::new(1)
                .collect(Snapshot::new(5))
                .settings([Settings::new().with("activation", "tanh").with("hidden", "64,32")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(1).collect(Horizontal::last(6));
"#,
        |trainer| {
            let strategy = MultiRun::new(1).collect(Horizontal::last(6));
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(1).collect(Horizontal::last(7));
let combination = combinations().parse("greedy-soup")?;
"#,
        |trainer| {
            let strategy = MultiRun::new(1).collect(Horizontal::last(7));
            let combination = combinations().parse("greedy-soup")?;
            drop(combination);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(1).collect(Snapshot::new(5));
"#,
        |trainer| {
            let strategy = MultiRun::new(1).collect(Snapshot::new(5));
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(1).settings([Settings::new().with("activation", "tanh").with("batch_norm", true).with("hidden", "64,32")]);
"#,
        |trainer| {
            let strategy = MultiRun::new(1).settings([Settings::new()
                .with("activation", "tanh")
                .with("batch_norm", true)
                .with("hidden", "64,32")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(1).settings([Settings::new().with("activation", "tanh").with("dropout", 0.4).with("hidden", "64,32")]);
"#,
        |trainer| {
            let strategy = MultiRun::new(1).settings([Settings::new()
                .with("activation", "tanh")
                .with("dropout", 0.4)
                .with("hidden", "64,32")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(1).settings([Settings::new().with("activation", "tanh").with("hidden", "128,64")]);
"#,
        |trainer| {
            let strategy = MultiRun::new(1)
                .settings([Settings::new().with("activation", "tanh").with("hidden", "128,64")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(1).settings([Settings::new().with("activation", "tanh").with("hidden", "16,8")]);
"#,
        |trainer| {
            let strategy = MultiRun::new(1)
                .settings([Settings::new().with("activation", "tanh").with("hidden", "16,8")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(1).settings([Settings::new().with("activation", "tanh").with("hidden", "256,128")]);
"#,
        |trainer| {
            let strategy = MultiRun::new(1)
                .settings([Settings::new().with("activation", "tanh").with("hidden", "256,128")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(1).settings([Settings::new().with("activation", "tanh").with("hidden", "4,4")]);
"#,
        |trainer| {
            let strategy =
                MultiRun::new(1).settings([Settings::new().with("activation", "tanh").with("hidden", "4,4")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(1).settings([Settings::new().with("activation", "tanh").with("hidden", "64,32,32")]);
"#,
        |trainer| {
            let strategy = MultiRun::new(1)
                .settings([Settings::new().with("activation", "tanh").with("hidden", "64,32,32")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(10)
    .validation(0.2)
    .settings([Settings::new().with("activation", "relu").with("dropout", 0.2).with("hidden", "40")]);
"#,
        |trainer| {
            let strategy = MultiRun::new(10).validation(0.2).settings([Settings::new()
                .with("activation", "relu")
                .with("dropout", 0.2)
                .with("hidden", "40")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(10).settings([Settings::new().with("activation", "tanh").with("hidden", "64,32")]);
"#,
        |trainer| {
            let strategy = MultiRun::new(10)
                .settings([Settings::new().with("activation", "tanh").with("hidden", "64,32")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(10);
"#,
        |trainer| {
            let strategy = MultiRun::new(10);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(5)
    .validation(0.2)
    .settings([Settings::new().with("activation", "leaky-relu:0.01").with("dropout", 0.2).with("hidden", "40")]);
"#,
        |trainer| {
            let strategy = MultiRun::new(5).validation(0.2).settings([Settings::new()
                .with("activation", "leaky-relu:0.01")
                .with("dropout", 0.2)
                .with("hidden", "40")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(5)
    .validation(0.2)
    .settings([Settings::new().with("activation", "relu").with("dropout", 0.2).with("hidden", "10")]);
"#,
        |trainer| {
            let strategy = MultiRun::new(5).validation(0.2).settings([Settings::new()
                .with("activation", "relu")
                .with("dropout", 0.2)
                .with("hidden", "10")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(5)
    .validation(0.2)
    .settings([Settings::new().with("activation", "relu").with("dropout", 0.2).with("hidden", "160")]);
"#,
        |trainer| {
            let strategy = MultiRun::new(5).validation(0.2).settings([Settings::new()
                .with("activation", "relu")
                .with("dropout", 0.2)
                .with("hidden", "160")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(5)
    .validation(0.2)
    .settings([Settings::new().with("activation", "relu").with("dropout", 0.2).with("hidden", "4")]);
"#,
        |trainer| {
            let strategy = MultiRun::new(5).validation(0.2).settings([Settings::new()
                .with("activation", "relu")
                .with("dropout", 0.2)
                .with("hidden", "4")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(5)
    .validation(0.2)
    .settings([Settings::new().with("activation", "relu").with("dropout", 0.2).with("hidden", "40,40")]);
"#,
        |trainer| {
            let strategy = MultiRun::new(5).validation(0.2).settings([Settings::new()
                .with("activation", "relu")
                .with("dropout", 0.2)
                .with("hidden", "40,40")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(5)
    .validation(0.2)
    .settings([Settings::new().with("activation", "relu").with("dropout", 0.2).with("hidden", "80")]);
"#,
        |trainer| {
            let strategy = MultiRun::new(5).validation(0.2).settings([Settings::new()
                .with("activation", "relu")
                .with("dropout", 0.2)
                .with("hidden", "80")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(5)
    .validation(0.2)
    .settings([Settings::new().with("activation", "relu").with("dropout", 0.4).with("hidden", "40")]);
"#,
        |trainer| {
            let strategy = MultiRun::new(5).validation(0.2).settings([Settings::new()
                .with("activation", "relu")
                .with("dropout", 0.4)
                .with("hidden", "40")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(5)
    .validation(0.3)
    .settings([Settings::new().with("activation", "relu").with("dropout", 0.2).with("hidden", "40")]);
"#,
        |trainer| {
            let strategy = MultiRun::new(5).validation(0.3).settings([Settings::new()
                .with("activation", "relu")
                .with("dropout", 0.2)
                .with("hidden", "40")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(5).settings([Settings::new().with("activation", "tanh").with("hidden", "64,32")]);
"#,
        |trainer| {
            let strategy = MultiRun::new(5)
                .settings([Settings::new().with("activation", "tanh").with("hidden", "64,32")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(5).settings([Settings::new().with("activation", "tanh").with("hidden", "64,32")]);
let combination = combinations().parse("best-of")?;
"#,
        |trainer| {
            let strategy = MultiRun::new(5)
                .settings([Settings::new().with("activation", "tanh").with("hidden", "64,32")]);
            let combination = combinations().parse("best-of")?;
            drop(combination);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(5);
"#,
        |trainer| {
            let strategy = MultiRun::new(5);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let strategy = MultiRun::new(5);
let combination = combinations().parse("best-of")?;
"#,
        |trainer| {
            let strategy = MultiRun::new(5);
            let combination = combinations().parse("best-of")?;
            drop(combination);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer
    .constraint(Constraints::parse("none")?)
    .noise(Noises::parse("none")?)
    .regularizer(Regularizers::parse("none")?)
    .optimizer(Sgd::new(0.01).momentum(0.9));
let strategy = MultiRun::new(5)
    .validation(0.2)
    .settings([Settings::new().with("activation", "relu").with("dropout", 0.0).with("hidden", "40")]);
"#,
        |trainer| {
            let trainer = trainer
                .constraint(Constraints::parse("none")?)
                .noise(Noises::parse("none")?)
                .regularizer(Regularizers::parse("none")?)
                .optimizer(Sgd::new(0.01).momentum(0.9));
            let strategy = MultiRun::new(5).validation(0.2).settings([Settings::new()
                .with("activation", "relu")
                .with("dropout", 0.0)
                .with("hidden", "40")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer
    .early_stopping(EarlyStopping { patience: 12, ..EarlyStopping::default() })
    .regularizer(Regularizers::parse("l2:0.001")?);
let strategy = MultiRun::new(1)
    .validation(0.15)
    .settings([Settings::new().with("activation", "tanh").with("dropout", 0.4).with("hidden", "64,32")]);
"#,
        |trainer| {
            let trainer = trainer
                .early_stopping(EarlyStopping { patience: 12, ..EarlyStopping::default() })
                .regularizer(Regularizers::parse("l2:0.001")?);
            let strategy = MultiRun::new(1).validation(0.15).settings([Settings::new()
                .with("activation", "tanh")
                .with("dropout", 0.4)
                .with("hidden", "64,32")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer
    .early_stopping(EarlyStopping { patience: 6, ..EarlyStopping::default() })
    .regularizer(Regularizers::parse("l2:0.001")?);
let strategy = MultiRun::new(1).validation(0.15);
"#,
        |trainer| {
            let trainer = trainer
                .early_stopping(EarlyStopping { patience: 6, ..EarlyStopping::default() })
                .regularizer(Regularizers::parse("l2:0.001")?);
            let strategy = MultiRun::new(1).validation(0.15);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer
    .early_stopping(EarlyStopping { patience: 6, ..EarlyStopping::default() })
    .regularizer(Regularizers::parse("l2:0.001")?);
let strategy = MultiRun::new(1).validation(0.25);
"#,
        |trainer| {
            let trainer = trainer
                .early_stopping(EarlyStopping { patience: 6, ..EarlyStopping::default() })
                .regularizer(Regularizers::parse("l2:0.001")?);
            let strategy = MultiRun::new(1).validation(0.25);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer
    .loss(Loss::Huber { delta: 1.0 })
    .target_scaling(Scaling::parse("standardize")?);
"#,
        |trainer| {
            let trainer =
                trainer.loss(Loss::Huber { delta: 1.0 }).target_scaling(Scaling::parse("standardize")?);
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer
    .optimizer(Sgd::new(0.03).momentum(0.9).weight_decay(0.001))
    .schedule(LrSchedule::parse("one-cycle")?);
"#,
        |trainer| {
            let trainer = trainer
                .optimizer(Sgd::new(0.03).momentum(0.9).weight_decay(0.001))
                .schedule(LrSchedule::parse("one-cycle")?);
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.accumulate(4);
let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let trainer = trainer.accumulate(4);
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.augment(BatchTransforms::parse("cutout:4:0.5,mixup:0.2")?);
let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let trainer = trainer.augment(BatchTransforms::parse("cutout:4:0.5,mixup:0.2")?);
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.averaging(Averaging::registry().parse("ema:0.99")?);
"#,
        |trainer| {
            let trainer = trainer.averaging(Averaging::registry().parse("ema:0.99")?);
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.averaging(Averaging::registry().parse("ema:0.99")?);
let strategy = MultiRun::new(5)
    .validation(0.2)
    .settings([Settings::new().with("activation", "relu").with("dropout", 0.2).with("early_stopping", "none").with("hidden", "40")]);
"#,
        |trainer| {
            let trainer = trainer.averaging(Averaging::registry().parse("ema:0.99")?);
            let strategy = MultiRun::new(5).validation(0.2).settings([Settings::new()
                .with("activation", "relu")
                .with("dropout", 0.2)
                .with("early_stopping", "none")
                .with("hidden", "40")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.averaging(Averaging::registry().parse("ema:0.9:false")?);
let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let trainer = trainer.averaging(Averaging::registry().parse("ema:0.9:false")?);
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.averaging(Averaging::registry().parse("swa:0.5")?);
"#,
        |trainer| {
            let trainer = trainer.averaging(Averaging::registry().parse("swa:0.5")?);
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.averaging(Averaging::registry().parse("swa:0.5")?);
let strategy = MultiRun::new(5)
    .validation(0.2)
    .settings([Settings::new().with("activation", "relu").with("dropout", 0.2).with("early_stopping", "none").with("hidden", "40")]);
"#,
        |trainer| {
            let trainer = trainer.averaging(Averaging::registry().parse("swa:0.5")?);
            let strategy = MultiRun::new(5).validation(0.2).settings([Settings::new()
                .with("activation", "relu")
                .with("dropout", 0.2)
                .with("early_stopping", "none")
                .with("hidden", "40")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.batch_size(128usize);
"#,
        |trainer| {
            let trainer = trainer.batch_size(128usize);
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.batch_size(2usize);
let strategy = MultiRun::new(5)
    .validation(0.2)
    .settings([Settings::new().with("activation", "relu").with("dropout", 0.2).with("hidden", "40")]);
"#,
        |trainer| {
            let trainer = trainer.batch_size(2usize);
            let strategy = MultiRun::new(5).validation(0.2).settings([Settings::new()
                .with("activation", "relu")
                .with("dropout", 0.2)
                .with("hidden", "40")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.batch_size(32usize);
"#,
        |trainer| {
            let trainer = trainer.batch_size(32usize);
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.batch_size(40usize);
"#,
        |trainer| {
            let trainer = trainer.batch_size(40usize);
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.batch_size(60usize);
"#,
        |trainer| {
            let trainer = trainer.batch_size(60usize);
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.batch_size(BatchSize::parse("doubling:16:5:64")?);
let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let trainer = trainer.batch_size(BatchSize::parse("doubling:16:5:64")?);
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.clip(Clip::Adaptive { ratio: 0.02, floor: 0.001 });
let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let trainer = trainer.clip(Clip::Adaptive { ratio: 0.02, floor: 0.001 });
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.clip(Clip::Norm(1.0));
"#,
        |trainer| {
            let trainer = trainer.clip(Clip::Norm(1.0));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.constraint(Constraints::parse("unit-norm")?);
let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let trainer = trainer.constraint(Constraints::parse("unit-norm")?);
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.early_stopping(EarlyStopping { patience: 12, ..EarlyStopping::default() });
let strategy = MultiRun::new(1)
    .validation(0.15)
    .settings([Settings::new().with("activation", "tanh").with("hidden", "64,32")]);
"#,
        |trainer| {
            let trainer = trainer.early_stopping(EarlyStopping { patience: 12, ..EarlyStopping::default() });
            let strategy = MultiRun::new(1)
                .validation(0.15)
                .settings([Settings::new().with("activation", "tanh").with("hidden", "64,32")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.early_stopping(EarlyStopping { patience: 16, ..EarlyStopping::default() });
"#,
        |trainer| {
            let trainer = trainer.early_stopping(EarlyStopping { patience: 16, ..EarlyStopping::default() });
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.early_stopping(EarlyStopping { patience: 6, ..EarlyStopping::default() });
let strategy = MultiRun::new(1).validation(0.15);
"#,
        |trainer| {
            let trainer = trainer.early_stopping(EarlyStopping { patience: 6, ..EarlyStopping::default() });
            let strategy = MultiRun::new(1).validation(0.15);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.early_stopping(EarlyStopping { patience: 6, ..EarlyStopping::default() });
let strategy = MultiRun::new(1).validation(0.25);
"#,
        |trainer| {
            let trainer = trainer.early_stopping(EarlyStopping { patience: 6, ..EarlyStopping::default() });
            let strategy = MultiRun::new(1).validation(0.25);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.early_stopping(EarlyStopping::registry().parse("up:2:3")?);
let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let trainer = trainer.early_stopping(EarlyStopping::registry().parse("up:2:3")?);
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.epochs(120);
"#,
        |trainer| {
            let trainer = trainer.epochs(120);
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.epochs(160);
"#,
        |trainer| {
            let trainer = trainer.epochs(160);
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.epochs(240);
"#,
        |trainer| {
            let trainer = trainer.epochs(240);
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.epochs(60);
"#,
        |trainer| {
            let trainer = trainer.epochs(60);
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.epochs(60);
let strategy = MultiRun::new(1).settings([Settings::new().with("activation", "tanh").with("hidden", "64,32")]);
"#,
        |trainer| {
            let trainer = trainer.epochs(60);
            let strategy = MultiRun::new(1)
                .settings([Settings::new().with("activation", "tanh").with("hidden", "64,32")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.epochs(7);
"#,
        |trainer| {
            let trainer = trainer.epochs(7);
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.epochs(80);
"#,
        |trainer| {
            let trainer = trainer.epochs(80);
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.freeze(Freeze::parse("2")?);
let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let trainer = trainer.freeze(Freeze::parse("2")?);
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.freeze(Freeze::parse("none")?);
"#,
        |trainer| {
            let trainer = trainer.freeze(Freeze::parse("none")?);
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.init(InitScheme::parse("glorot-uniform")?);
"#,
        |trainer| {
            let trainer = trainer.init(InitScheme::parse("glorot-uniform")?);
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.init(InitScheme::parse("he-uniform")?);
"#,
        |trainer| {
            let trainer = trainer.init(InitScheme::parse("he-uniform")?);
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.init(InitScheme::parse("he-uniform")?);
let strategy = MultiRun::new(1).settings([Settings::new().with("activation", "relu").with("hidden", "64,32")]);
"#,
        |trainer| {
            let trainer = trainer.init(InitScheme::parse("he-uniform")?);
            let strategy = MultiRun::new(1)
                .settings([Settings::new().with("activation", "relu").with("hidden", "64,32")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.init(InitScheme::parse("out.* => glorot-uniform; he-uniform")?);
let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let trainer = trainer.init(InitScheme::parse("out.* => glorot-uniform; he-uniform")?);
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.input_scaling(Scaling::parse("min-max:0:1")?);
let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let trainer = trainer.input_scaling(Scaling::parse("min-max:0:1")?);
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.input_scaling(Scaling::parse("standardize")?);
"#,
        |trainer| {
            let trainer = trainer.input_scaling(Scaling::parse("standardize")?);
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.loss(Loss::CrossEntropy { smoothing: 0.1 });
"#,
        |trainer| {
            let trainer = trainer.loss(Loss::CrossEntropy { smoothing: 0.1 });
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.loss(Loss::CrossEntropy { smoothing: 0.2 });
let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let trainer = trainer.loss(Loss::CrossEntropy { smoothing: 0.2 });
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.loss(Loss::MeanSquared);
"#,
        |trainer| {
            let trainer = trainer.loss(Loss::MeanSquared);
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.loss_scale(LossScale::registry().parse("dynamic")?);
let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let trainer = trainer.loss_scale(LossScale::registry().parse("dynamic")?);
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.noise(Noises::parse("input:0.1")?);
"#,
        |trainer| {
            let trainer = trainer.noise(Noises::parse("input:0.1")?);
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.noise(Noises::parse("weight:0.01")?);
let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let trainer = trainer.noise(Noises::parse("weight:0.01")?);
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Adadelta::new(0.02).weight_decay(0.5));
let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let trainer = trainer.optimizer(Adadelta::new(0.02).weight_decay(0.5));
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Adagrad::new(0.02).weight_decay(0.5));
let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let trainer = trainer.optimizer(Adagrad::new(0.02).weight_decay(0.5));
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Adam::new(0.0001));
"#,
        |trainer| {
            let trainer = trainer.optimizer(Adam::new(0.0001));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Adam::new(0.00033));
"#,
        |trainer| {
            let trainer = trainer.optimizer(Adam::new(0.00033));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Adam::new(0.001));
"#,
        |trainer| {
            let trainer = trainer.optimizer(Adam::new(0.001));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Adam::new(0.001).decoupled(true).weight_decay(0.1));
"#,
        |trainer| {
            let trainer = trainer.optimizer(Adam::new(0.001).decoupled(true).weight_decay(0.1));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Adam::new(0.003)).schedule(LrSchedule::parse("one-cycle")?);
"#,
        |trainer| {
            let trainer = trainer.optimizer(Adam::new(0.003)).schedule(LrSchedule::parse("one-cycle")?);
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Adam::new(0.003));
"#,
        |trainer| {
            let trainer = trainer.optimizer(Adam::new(0.003));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Adam::new(0.0048));
"#,
        |trainer| {
            let trainer = trainer.optimizer(Adam::new(0.0048));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Adam::new(0.01));
"#,
        |trainer| {
            let trainer = trainer.optimizer(Adam::new(0.01));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Adam::new(0.01).betas(0.5, 0.999).epsilon(0.001).epsilon_hat(true));
let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let trainer =
                trainer.optimizer(Adam::new(0.01).betas(0.5, 0.999).epsilon(0.001).epsilon_hat(true));
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Adam::new(0.016));
"#,
        |trainer| {
            let trainer = trainer.optimizer(Adam::new(0.016));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Adam::new(0.019));
"#,
        |trainer| {
            let trainer = trainer.optimizer(Adam::new(0.019));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Adam::new(0.02).amsgrad(true).weight_decay(0.5));
let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let trainer = trainer.optimizer(Adam::new(0.02).amsgrad(true).weight_decay(0.5));
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Adam::new(0.02).decoupled(true).weight_decay(0.5));
let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let trainer = trainer.optimizer(Adam::new(0.02).decoupled(true).weight_decay(0.5));
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Adam::new(0.02).weight_decay(0.5));
let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let trainer = trainer.optimizer(Adam::new(0.02).weight_decay(0.5));
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Adam::new(0.033));
"#,
        |trainer| {
            let trainer = trainer.optimizer(Adam::new(0.033));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Adam::new(0.062));
"#,
        |trainer| {
            let trainer = trainer.optimizer(Adam::new(0.062));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Adam::new(0.1));
"#,
        |trainer| {
            let trainer = trainer.optimizer(Adam::new(0.1));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Adam::new(0.1).decoupled(true).weight_decay(0.1));
"#,
        |trainer| {
            let trainer = trainer.optimizer(Adam::new(0.1).decoupled(true).weight_decay(0.1));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Adam::new(0.3)).schedule(LrSchedule::parse("one-cycle")?);
"#,
        |trainer| {
            let trainer = trainer.optimizer(Adam::new(0.3)).schedule(LrSchedule::parse("one-cycle")?);
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Adam::new(0.3));
"#,
        |trainer| {
            let trainer = trainer.optimizer(Adam::new(0.3));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Adam::new(1.2e-6));
"#,
        |trainer| {
            let trainer = trainer.optimizer(Adam::new(1.2e-6));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Adam::new(1e-5));
"#,
        |trainer| {
            let trainer = trainer.optimizer(Adam::new(1e-5));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Adam::new(2e-6));
"#,
        |trainer| {
            let trainer = trainer.optimizer(Adam::new(2e-6));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Adam::new(4e-6));
"#,
        |trainer| {
            let trainer = trainer.optimizer(Adam::new(4e-6));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Adam::new(6e-7));
"#,
        |trainer| {
            let trainer = trainer.optimizer(Adam::new(6e-7));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Adamax::new(0.02).weight_decay(0.5));
let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let trainer = trainer.optimizer(Adamax::new(0.02).weight_decay(0.5));
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Lamb::new(0.02).weight_decay(0.5));
let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let trainer = trainer.optimizer(Lamb::new(0.02).weight_decay(0.5));
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Lion::new(0.02).weight_decay(0.5));
let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let trainer = trainer.optimizer(Lion::new(0.02).weight_decay(0.5));
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(NAdam::new(0.02).weight_decay(0.5));
let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let trainer = trainer.optimizer(NAdam::new(0.02).weight_decay(0.5));
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(RAdam::new(0.02).weight_decay(0.5));
let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let trainer = trainer.optimizer(RAdam::new(0.02).weight_decay(0.5));
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(RmsProp::new(0.02).weight_decay(0.5));
let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let trainer = trainer.optimizer(RmsProp::new(0.02).weight_decay(0.5));
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Sgd::new(0.0001).momentum(0.9).weight_decay(0.001));
"#,
        |trainer| {
            let trainer = trainer.optimizer(Sgd::new(0.0001).momentum(0.9).weight_decay(0.001));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Sgd::new(0.001).momentum(0.9).weight_decay(0.001));
"#,
        |trainer| {
            let trainer = trainer.optimizer(Sgd::new(0.001).momentum(0.9).weight_decay(0.001));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Sgd::new(0.0033).momentum(0.9).weight_decay(0.001));
"#,
        |trainer| {
            let trainer = trainer.optimizer(Sgd::new(0.0033).momentum(0.9).weight_decay(0.001));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Sgd::new(0.01).momentum(0.9).weight_decay(0.01));
"#,
        |trainer| {
            let trainer = trainer.optimizer(Sgd::new(0.01).momentum(0.9).weight_decay(0.01));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Sgd::new(0.02).momentum(0.9).nesterov(true).weight_decay(0.5));
let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let trainer = trainer.optimizer(Sgd::new(0.02).momentum(0.9).nesterov(true).weight_decay(0.5));
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Sgd::new(0.02).weight_decay(0.5));
let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let trainer = trainer.optimizer(Sgd::new(0.02).weight_decay(0.5));
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Sgd::new(0.03).momentum(0.9).weight_decay(0.001));
"#,
        |trainer| {
            let trainer = trainer.optimizer(Sgd::new(0.03).momentum(0.9).weight_decay(0.001));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Sgd::new(0.1).momentum(0.9));
let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let trainer = trainer.optimizer(Sgd::new(0.1).momentum(0.9));
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Sgd::new(0.1).momentum(0.9).weight_decay(0.001));
"#,
        |trainer| {
            let trainer = trainer.optimizer(Sgd::new(0.1).momentum(0.9).weight_decay(0.001));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Sgd::new(0.31).momentum(0.9).weight_decay(0.001));
"#,
        |trainer| {
            let trainer = trainer.optimizer(Sgd::new(0.31).momentum(0.9).weight_decay(0.001));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Sgd::new(1.0).momentum(0.9).weight_decay(0.001));
"#,
        |trainer| {
            let trainer = trainer.optimizer(Sgd::new(1.0).momentum(0.9).weight_decay(0.001));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Sgd::new(1e-5).momentum(0.9).weight_decay(0.001));
"#,
        |trainer| {
            let trainer = trainer.optimizer(Sgd::new(1e-5).momentum(0.9).weight_decay(0.001));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Sgd::new(2e-5).momentum(0.9).weight_decay(0.001));
"#,
        |trainer| {
            let trainer = trainer.optimizer(Sgd::new(2e-5).momentum(0.9).weight_decay(0.001));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Sgd::new(3.3e-6).momentum(0.9).weight_decay(0.001));
"#,
        |trainer| {
            let trainer = trainer.optimizer(Sgd::new(3.3e-6).momentum(0.9).weight_decay(0.001));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.optimizer(Sgd::new(6.7e-6).momentum(0.9).weight_decay(0.001));
"#,
        |trainer| {
            let trainer = trainer.optimizer(Sgd::new(6.7e-6).momentum(0.9).weight_decay(0.001));
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.reduce_on_plateau(ReduceOnPlateau::registry().parse("reduce-on-plateau:0.5:5")?);
let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let trainer =
                trainer.reduce_on_plateau(ReduceOnPlateau::registry().parse("reduce-on-plateau:0.5:5")?);
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.regularizer(Regularizers::parse("l1:1e-5,l2:0.01")?);
let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let trainer = trainer.regularizer(Regularizers::parse("l1:1e-5,l2:0.01")?);
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.regularizer(Regularizers::parse("l2:0.001")?);
"#,
        |trainer| {
            let trainer = trainer.regularizer(Regularizers::parse("l2:0.001")?);
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.regularizer(Regularizers::parse("l2:0.01")?);
"#,
        |trainer| {
            let trainer = trainer.regularizer(Regularizers::parse("l2:0.01")?);
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.regularizer(Regularizers::parse("l2:0.01")?);
let strategy = MultiRun::new(5)
    .validation(0.2)
    .settings([Settings::new().with("activation", "relu").with("dropout", 0.4).with("hidden", "40")]);
"#,
        |trainer| {
            let trainer = trainer.regularizer(Regularizers::parse("l2:0.01")?);
            let strategy = MultiRun::new(5).validation(0.2).settings([Settings::new()
                .with("activation", "relu")
                .with("dropout", 0.4)
                .with("hidden", "40")]);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.regularizer(Regularizers::parse("l2:0.1")?);
"#,
        |trainer| {
            let trainer = trainer.regularizer(Regularizers::parse("l2:0.1")?);
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.schedule(LrSchedule::parse("cosine")?);
"#,
        |trainer| {
            let trainer = trainer.schedule(LrSchedule::parse("cosine")?);
            Ok((trainer.config().clone(), None))
        },
    ),
    (
        r#"let trainer = trainer.schedule(LrSchedule::parse("step:3:0.5:per=epoch")?);
let strategy = MultiRun::new(1);
"#,
        |trainer| {
            let trainer = trainer.schedule(LrSchedule::parse("step:3:0.5:per=epoch")?);
            let strategy = MultiRun::new(1);
            Ok((trainer.config().clone(), Some(Box::new(strategy))))
        },
    ),
    (
        r#"let trainer = trainer.target_scaling(Scaling::parse("standardize")?);
"#,
        |trainer| {
            let trainer = trainer.target_scaling(Scaling::parse("standardize")?);
            Ok((trainer.config().clone(), None))
        },
    ),
];
