//! Proposals are accepted by trainers, and their code does what their settings do.
use super::{cases, compiled::CASES, findings, range_test, Case};
use crate::{
    plan::{Plan, RunSpec, Settings},
    remedy::{propose, remedies, Change, Proposal, Setup},
    strategy::EnsembleBuilder,
    train::{Learner, TrainConfig},
    weights::fresh,
    Seed,
};
use candle_core::{DType, Device};
use std::fmt::Write;

/// What code makes: the configuration of a trainer, and a strategy.
pub(super) type Made = (TrainConfig, Option<Box<dyn EnsembleBuilder>>);

fn proposals(case: &Case) -> Vec<Proposal> {
    let (higher, lower) = (range_test(0.31, 0.08, 1.2), range_test(2e-5, 1e-5, 3e-5));
    let of = |test| propose(&remedies(), &findings(), &case.start().range_test(test));
    let mut all = of(&higher);
    all.extend(of(&lower));
    all
}

fn plan(case: &Case, builder: &dyn EnsembleBuilder) -> Plan {
    builder.plan(&case.data(), &["model".into()], Seed::from(3)).unwrap()
}

#[test]
fn every_proposal_is_accepted_by_its_trainer() {
    let mut accepted = 0;
    for case in cases() {
        for proposal in proposals(&case).iter().filter(|proposal| proposal.change.by_hand.is_none()) {
            let setup = proposal.change.apply(&case.setup);
            for run in plan(&case, &*setup.strategy().unwrap()).runs {
                let checked = case.trainer.check(&run, &case.data());
                assert!(checked.is_ok(), "{}: {proposal}: {checked:?}", case.name);
                let (_, vb) =
                    fresh(1, Learner::init(&case.trainer, &run.settings).unwrap(), DType::F32, &Device::Cpu);
                case.trainer.build("model", &run.settings, vb).unwrap();
            }
            setup.combination().unwrap();
            accepted += 1;
        }
    }
    assert!(accepted > 200, "{accepted}");
}

/// The configuration of a run, and the settings of the run that the model reads.
fn run_of(case: &Case, config: &TrainConfig, run: &RunSpec) -> (TrainConfig, Settings) {
    let read = run.settings.iter().filter(|(name, _)| case.reads.contains(name));
    (config.for_run(&run.settings).unwrap(), Settings::new().with_all(read))
}

/// The code as the functions that are compiled.
fn source(codes: &[String]) -> String {
    let mut out = "//! The code of proposals and setups. The test that runs it says where it writes a new one.\n\
                   use super::code::Made;\nuse crate::{\n    data::*, evaluate::combinations, nn::*, plan::*, \
                   remedy::Setup, strategy::*, train::*, weights::InitScheme, Result,\n};\n\n\
                   type Case = (&'static str, fn(Trainer<Sequential>) -> Result<Made>);\n\n\
                   pub(super) const CASES: &[Case] = &[\n"
        .to_string();
    for code in codes {
        let strategy = match () {
            () if code.contains("setup.strategy()") => "Some(strategy)",
            () if code.contains("let strategy") => "Some(Box::new(strategy))",
            () => "None",
        };
        let rest = if code.contains("let combination") { "drop(combination);\n" } else { "" };
        let _ = writeln!(
            out,
            "    (r#\"{code}\"#, |trainer| {{\n{code}{rest}Ok((trainer.config().clone(), {strategy}))\n}}),"
        );
    }
    out + "];\n"
}

#[test]
fn the_code_of_a_proposal_does_what_its_settings_do() {
    let mut codes: Vec<String> = vec![];
    for case in cases() {
        codes.extend(proposals(&case).into_iter().map(|proposal| proposal.code));
        codes.push(case.setup.code(case.trainer.config()).unwrap());
    }
    codes.extend(others().iter().map(|setup| setup.code(&TrainConfig::default()).unwrap()));
    codes.sort();
    codes.dedup();
    codes.retain(|code| !code.is_empty());
    let known: Vec<_> = CASES.iter().map(|(code, _)| code.to_string()).collect();
    if codes != known {
        let file = tempfile::Builder::new().prefix("compiled").suffix(".rs").tempfile().unwrap();
        std::fs::write(file.path(), source(&codes)).unwrap();
        let (_, path) = file.keep().unwrap();
        panic!("src/remedy/tests/compiled.rs must have the content of {}", path.display());
    }
    for case in cases() {
        let changes = proposals(&case).into_iter().map(|proposal| (proposal.code, proposal.change));
        let all = changes.chain([(case.setup.code(case.trainer.config()).unwrap(), Change::default())]);
        for (code, change) in all.filter(|(code, _)| !code.is_empty()) {
            same(&case, &code, &change.apply(&case.setup));
        }
    }
    let plain = cases().remove(0);
    for setup in others() {
        same(&plain, &setup.code(&TrainConfig::default()).unwrap(), &setup);
    }
}

/// Checks that the code, which is compiled, and the setup make the same runs.
fn same(case: &Case, code: &str, setup: &Setup) {
    let made = CASES.iter().find(|(known, _)| *known == code).unwrap().1;
    let (config, strategy) = made(case.trainer.clone()).unwrap();
    let expected = plan(case, &*setup.strategy().unwrap());
    let Some(strategy) = strategy else {
        assert_eq!(config, setup.config(case.trainer.config()).unwrap(), "{code}");
        return;
    };
    let got = plan(case, &*strategy);
    assert_eq!(got.runs.len(), expected.runs.len(), "{code}");
    for (got, expected) in got.runs.iter().zip(&expected.runs) {
        assert_eq!(run_of(case, &config, got), run_of(case, case.trainer.config(), expected), "{code}");
        let rows = |run: &RunSpec| (run.train.clone(), run.valid.clone(), run.slot, run.seed, run.collect);
        assert_eq!(rows(got), rows(expected), "{code}");
    }
}

/// Setups with what no remedy proposes.
fn others() -> Vec<Setup> {
    let of =
        |name: &str, text: &str| Setup { settings: Settings::new().with(name, text), ..Setup::default() };
    let strategy = |text: &str| Setup { strategy: Some(text.into()), ..Setup::default() };
    let mut all: Vec<Setup> = [
        ("augment", "cutout:4:0.5,mixup:0.2"),
        ("averaging", "ema:0.9:false"),
        ("batch_size", "doubling:16:5:64"),
        ("clip", "adaptive:0.02"),
        ("constraint", "unit-norm"),
        ("early_stopping", "up:2:3"),
        ("freeze", "2"),
        ("init", "out.* => glorot-uniform; he-uniform"),
        ("input_scaling", "min-max:0:1"),
        ("loss", "cross-entropy:0.2"),
        ("loss_scale", "dynamic"),
        ("noise", "weight:0.01"),
        ("plateau", "reduce-on-plateau:0.5:5"),
        ("regularizer", "l1:1e-5,l2:0.01"),
        ("schedule", "step:3:0.5:per=epoch"),
    ]
    .map(|(name, text)| of(name, text))
    .into();
    for entry in crate::train::Optimizer::registry().entries() {
        let mut setup = of("optimizer", entry.name());
        setup.settings = setup.settings.with("learning_rate", 0.02).with("weight_decay", 0.5);
        all.push(setup);
    }
    all.push(Setup { settings: Settings::new().with("accumulate", 4), ..Setup::default() });
    all.push(of("optimizer", "adam:0.01:beta1=0.5:epsilon=1e-3:epsilon-hat=true"));
    all.push(of("optimizer", "sgd:0.1:momentum=0.9"));
    all.extend(
        ["bootstrap:4:0.5", "k-fold:3+snapshot:2", "random-split:3:0.7", "horizontal:3:every=2"]
            .map(strategy),
    );
    let watched = Setup {
        validation: Some(0.25),
        combination: Some("median".into()),
        ..strategy("bootstrap:3:size=0.8")
    };
    all.push(watched);
    all
}
