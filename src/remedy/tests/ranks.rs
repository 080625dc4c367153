//! Which proposals come first, and what they say.
use super::{cases, config, findings, range_test, settings, Case};
use crate::{
    data::{Task, TensorDataset},
    diagnose::{Evidence, Finding, Label, Mark, Problem, ScaleCheck},
    plan::Settings,
    remedy::{propose, remedies, Change, Proposal, Remedy, Setup, Start},
    train::{EarlyStopping, Optimizer},
};
use candle_core::{Device, Tensor};

fn ranked(case: &Case, label: Label) -> Vec<Proposal> {
    let finding = findings().into_iter().find(|finding| finding.kind == Some(label)).unwrap();
    propose(&remedies(), &[finding], &case.start())
}

fn names(proposals: &[Proposal]) -> Vec<&str> {
    proposals.iter().map(|proposal| proposal.remedy.as_str()).collect()
}

/// The proposals for a finding without evidence, for a setup with these settings and a model that reads them.
fn of(finding: &Finding, settings: Settings, reads: &[&str]) -> Vec<Proposal> {
    let (trainer, setup) = (config(), Setup { settings, ..Setup::default() });
    let start = Start::new(&trainer, &setup).unwrap().reads(reads.iter().copied());
    propose(&remedies(), std::slice::from_ref(finding), &start)
}

fn named(name: &str) -> Finding {
    Finding::new(name, Problem::Learning, 1., "A summary.", "")
}

#[test]
fn each_finding_has_ranked_proposals_and_good_fit_has_none() {
    for case in cases() {
        for finding in findings() {
            let found = propose(&remedies(), std::slice::from_ref(&finding), &case.start());
            let depends = ["unscaled_targets", "loss_does_not_fit_task", "update_ratio", "single_network"]
                .contains(&finding.name.as_str());
            assert_eq!(
                found.is_empty() && !depends,
                finding.name == "good_fit",
                "{}, {}",
                case.name,
                finding.name
            );
            assert!(found.is_sorted_by(|a, b| a.priority >= b.priority), "{}", finding.name);
            for proposal in &found {
                assert_eq!(proposal.finding, finding.name);
                assert!((0. ..=1.).contains(&proposal.priority), "{proposal}");
                let texts = [&proposal.why, &proposal.effect];
                assert!(texts.iter().all(|text| text.ends_with('.') && !text.contains("  ")), "{proposal}");
                assert!(!proposal.source.is_empty());
                assert_eq!(proposal.code.is_empty(), proposal.change.by_hand.is_some(), "{proposal}");
                assert!(case.start().changes(&proposal.change), "{proposal}");
            }
        }
    }
}

#[test]
fn the_learning_rate_early_stopping_and_several_runs_come_first() {
    let case = &cases()[0];
    assert_eq!(ranked(case, Label::UnderfitFlat)[0].remedy, "higher-learning-rate");
    assert_eq!(ranked(case, Label::UnstableLearning)[0].remedy, "lower-learning-rate");
    assert_eq!(ranked(case, Label::Overfit)[0].remedy, "early-stopping");
    assert_eq!(names(&ranked(case, Label::HighVariance))[..2], ["several-runs", "cosine-schedule"]);
    assert_eq!(ranked(case, Label::UnderfitUnfinished)[0].remedy, "more-epochs");
    assert_eq!(ranked(&cases()[4], Label::UnderfitCapacity)[0].remedy, "wider-network");
    assert_eq!(ranked(case, Label::UnrepresentativeTrain)[0].remedy, "more-rows");
    // What the settings show comes before what is only likely.
    assert_eq!(ranked(&cases()[2], Label::UnderfitFlat)[0].remedy, "initial-weights");
    assert_eq!(ranked(&cases()[3], Label::UnderfitFlat)[0].remedy, "unfreeze");
    assert_eq!(
        names(&ranked(&cases()[3], Label::UnderfitCapacity))[..2],
        ["unfreeze", "less-regularization"]
    );
}

#[test]
fn a_range_test_comes_before_powers_of_ten_where_it_points_the_right_way() {
    let case = &cases()[0];
    let with = |label: Label, rates: [f64; 3]| {
        let report = range_test(rates[0], rates[1], rates[2]);
        let finding = Finding::of(label, 1., "A summary.", "");
        let first = propose(&remedies(), &[finding], &case.start().range_test(&report)).remove(0);
        (first.remedy, first.change.settings.real("learning_rate").unwrap())
    };
    // The present rate is 0.001. A fifth of the middle one of three suggestions, because the optimizer is Adam.
    let suggested = |rate: f64| ("suggested-learning-rate".to_string(), Some(rate));
    assert_eq!(with(Label::UnderfitFlat, [0.0312, 0.2, 0.004]), suggested(0.0062));
    assert_eq!(with(Label::UnderfitFlat, [2e-5, 1e-5, 3e-5]), suggested(4e-6));
    assert_eq!(with(Label::UnderfitUnfinished, [0.0312, 0.2, 0.004]), suggested(0.0062));
    assert_ne!(with(Label::UnderfitUnfinished, [2e-5, 1e-5, 3e-5]).0, "suggested-learning-rate");
    // A plateau may come from a rate that is too high.
    assert_ne!(with(Label::UnderfitCapacity, [0.0312, 0.2, 0.004]).0, "suggested-learning-rate");
    assert_eq!(with(Label::UnderfitCapacity, [2e-5, 1e-5, 3e-5]), suggested(4e-6));
    // The test says that the present rate is not too high, so the number of epochs is tried before a lower one.
    let report = range_test(0.0312, 0.01, 0.2);
    let plateau = Finding::of(Label::UnderfitCapacity, 1., "", "");
    let order = |all: Vec<Proposal>| {
        let place = |name: &str| all.iter().position(|proposal| proposal.remedy == name).unwrap();
        place("lower-learning-rate") < place("more-epochs")
    };
    assert!(order(propose(&remedies(), std::slice::from_ref(&plateau), &case.start())));
    assert!(!order(propose(&remedies(), &[plateau], &case.start().range_test(&report))));
    // The smallest one where the training is unstable, and none within a factor of 2.
    assert_eq!(with(Label::UnstableLearning, [2e-4, 1e-4, 3e-4]), suggested(2e-5));
    assert_ne!(with(Label::UnstableLearning, [0.1, 0.03, 0.3]).0, "suggested-learning-rate");
    assert_ne!(with(Label::UnderfitFlat, [0.009; 3]).0, "suggested-learning-rate");
}

#[test]
fn proposals_use_the_figures_of_the_finding() {
    let finding = Finding::of(Label::Overfit, 1., "It overfits.", "")
        .evidence(Evidence::new("The validation loss is lowest at epoch 12.").mark(Mark::Epoch(11)));
    let all = of(&finding, Settings::new(), &[]);
    let fewer = all.iter().find(|proposal| proposal.remedy == "fewer-epochs").unwrap();
    assert_eq!(fewer.change.settings.count("epochs").unwrap(), Some(12));
    assert_eq!(fewer.cost.training, 12. / 30.);
    let why = "The validation loss is lowest at epoch 12. The network is best after 12 of 30 epochs.";
    assert_eq!(fewer.why, why);
    assert_eq!(fewer.code, "let trainer = trainer.epochs(12);\n");
    let text = format!(
        "fewer-epochs (for overfit): epochs = 12\n  why: {why}\n  effect: {}\n  source: Prechelt 1998, \
         doi:10.1007/3-540-49430-8_3\n  cost: 0.4 times the training, 1 times the prediction\n    let trainer = \
         trainer.epochs(12);",
        fewer.effect
    );
    assert_eq!(fewer.to_string(), text);
    // Nothing to do where the training ends before the turn.
    assert!(!names(&of(&finding, Settings::new().with("epochs", 12), &[])).contains(&"fewer-epochs"));
}

#[test]
fn what_is_in_place_is_not_proposed() {
    let overfit = Finding::of(Label::Overfit, 1., "", "");
    let mut trainer = config();
    (trainer.early_stopping, trainer.optimizer) =
        (Some(EarlyStopping::default()), Optimizer::adamw(0.01, 0.1));
    let setup = Setup { validation: Some(0.2), strategy: Some("multi-run:5".into()), ..Setup::default() };
    let start = Start::new(&trainer, &setup).unwrap();
    let all = propose(&remedies(), &[overfit], &start);
    assert!(!names(&all).contains(&"early-stopping"));
    let runs: Vec<_> = all.iter().filter(|proposal| proposal.remedy == "several-runs").collect();
    assert_eq!(runs.iter().map(|p| p.change.strategy.as_deref()).collect::<Vec<_>>(), [Some("multi-run:10")]);
    assert_eq!(runs[0].cost.training, 2.);
    let decay = all.iter().find(|proposal| proposal.remedy == "weight-decay").unwrap();
    assert_eq!(decay.change.settings.real("weight_decay").unwrap(), Some(1.));
    assert_eq!(
        decay.code,
        "let trainer = trainer.optimizer(Adam::new(0.01).decoupled(true).weight_decay(1.0));\n"
    );
}

#[test]
fn values_adapt_to_the_setup() {
    let unstable = named("x").kind(Label::UnstableLearning);
    let batch = |rows: usize, settings: Settings| {
        let (trainer, setup) = (config(), Setup { settings, ..Setup::default() });
        let start = Start::new(&trainer, &setup).unwrap().rows(rows);
        let all = propose(&remedies(), std::slice::from_ref(&unstable), &start);
        let larger = all.into_iter().find(|proposal| proposal.remedy == "larger-batch");
        larger.map(|proposal| proposal.change.settings.count("batch_size").unwrap().unwrap())
    };
    assert_eq!(batch(1000, Settings::new()), Some(128));
    assert_eq!(batch(100, Settings::new()), Some(100));
    assert_eq!(batch(32, Settings::new()), None);
    assert_eq!(batch(1000, Settings::new().with("batch_size", 2)), Some(32));
    // Adam's rate is not raised above 0.3; plain gradient descent takes more.
    let flat = Finding::of(Label::UnderfitFlat, 1., "", "");
    let rates = |optimizer: &str| -> Vec<f64> {
        let all = of(&flat, settings([("optimizer", optimizer)]), &[]);
        let higher = all.iter().filter(|proposal| proposal.remedy == "higher-learning-rate");
        higher.map(|proposal| proposal.change.settings.real("learning_rate").unwrap().unwrap()).collect()
    };
    assert_eq!(rates("adam:0.02"), [0.2, 0.06]);
    assert_eq!(rates("sgd:0.02"), [0.2, 2., 0.06]);
    assert_eq!(rates("adam:1e-5"), [1e-4, 1e-3, 3e-5]);
}

#[test]
fn widths_and_activation_are_those_of_the_setup() {
    let capacity = Finding::of(Label::UnderfitCapacity, 1., "", "");
    let all = of(&capacity, settings([("hidden", "6,3")]), &["hidden"]);
    let hidden = |name: &str| -> Vec<&str> {
        let of_name = all.iter().filter(|proposal| proposal.remedy == name);
        of_name.map(|proposal| proposal.change.settings.text("hidden").unwrap().unwrap()).collect()
    };
    assert_eq!(hidden("wider-network"), ["24,12", "12,6"]);
    assert_eq!(hidden("deeper-network"), ["6,3,3"]);
    // Weights of 6-6-3-1 and of 6-12-6-1, where the inputs are not known: 67 and 169.
    let wider = all.iter().filter(|proposal| proposal.remedy == "wider-network").nth(1).unwrap();
    assert!((wider.cost.training - 169. / 67.).abs() < 1e-12, "{}", wider.cost);
    // Where the model does not read them, it is for the user to do.
    let by_hand = of(&capacity, Settings::new(), &[]);
    let wider = by_hand.iter().find(|proposal| proposal.remedy == "wider-network").unwrap();
    assert_eq!(wider.change.by_hand.as_deref(), Some("double the units of the hidden layers"));

    let vanishing = named("vanishing_gradients").kind(Label::UnderfitFlat);
    let first = of(&vanishing, settings([("activation", "tanh")]), &["activation"]).remove(0);
    assert_eq!(first.change.to_string(), "activation = \"relu\", init = \"he-uniform\"");
    let dead = named("dead_units").kind(Label::UnderfitFlat);
    let first = of(&dead, settings([("activation", "relu")]), &["activation"]).remove(0);
    assert_eq!(first.change.to_string(), "activation = \"leaky-relu:0.01\"");
}

#[test]
fn a_network_that_is_far_too_large_is_made_smaller_before_it_is_penalized() {
    let overfit = Finding::of(Label::Overfit, 1., "", "");
    let proposed = |rows: usize| {
        let (trainer, setup) =
            (config(), Setup { settings: settings([("hidden", "128")]), ..Setup::default() });
        let start = Start::new(&trainer, &setup).unwrap().reads(["hidden"]).features(10);
        propose(
            &remedies(),
            std::slice::from_ref(&overfit),
            &start.task(Task::Regression { outputs: 1 }).rows(rows),
        )
    };
    let place = |all: &[Proposal], name: &str| names(all).iter().position(|remedy| *remedy == name).unwrap();
    // 10 · 128 + 128 + 128 + 1 = 1537 weights.
    let (few, many) = (proposed(300), proposed(1000));
    assert!(place(&few, "smaller-network") < place(&few, "l2-penalty"));
    assert!(place(&many, "smaller-network") > place(&many, "l2-penalty"));
    let smaller: Vec<_> = few.iter().filter(|proposal| proposal.remedy == "smaller-network").collect();
    assert_eq!(smaller[0].why, "The network has 5 weights for each row to learn from: hidden layers of 32.");
    let widths = smaller.iter().map(|p| p.change.settings.text("hidden").unwrap().unwrap());
    assert_eq!(widths.collect::<Vec<_>>(), ["32", "8"]);
}

#[test]
fn what_is_on_one_scale_is_not_scaled() {
    let x = Tensor::new(&[[-1f32, 3.], [1., -3.], [1., 3.], [-1., -3.]], &Device::Cpu).unwrap();
    let scales = |y: [f32; 4]| {
        let data = TensorDataset::regression(x.clone(), &Tensor::new(&y, &Device::Cpu).unwrap()).unwrap();
        ScaleCheck::of(&data, &[0, 1, 2, 3]).unwrap()
    };
    let flat = Finding::of(Label::UnderfitCapacity, 1., "", "");
    let (trainer, setup) = (config(), Setup::default());
    let proposed = |scales: Option<&ScaleCheck>| {
        let start = Start::new(&trainer, &setup).unwrap().task(Task::Regression { outputs: 1 });
        let start = scales.into_iter().fold(start, Start::scales);
        let all = propose(&remedies(), std::slice::from_ref(&flat), &start);
        let of = |name: &str| names(&all).contains(&name);
        (of("standardize-inputs"), of("standardize-targets"))
    };
    assert_eq!(proposed(None), (true, true));
    assert_eq!(proposed(Some(&scales([1., -1., 1., -1.]))), (false, false));
    // A deviation of 40, and a mean that is two deviations from 0.
    assert_eq!(proposed(Some(&scales([40., -40., 40., -40.]))), (false, true));
    assert_eq!(proposed(Some(&scales([3., 1., 3., 1.]))), (false, true));
}

#[test]
fn the_neighbours_of_a_coarse_rate_are_three_times_as_high_and_as_low() {
    let found = of(&named("coarse_learning_rate"), Settings::new().with("learning_rate", 0.012), &[]);
    let rates: Vec<_> = found.iter().map(|p| p.change.settings.real("learning_rate").unwrap()).collect();
    assert_eq!(names(&found), ["higher-learning-rate", "lower-learning-rate"]);
    assert_eq!(rates, [Some(0.036), Some(0.004)]);
    assert_eq!(found[0].why, "A summary. The rate is 0.012, and 0.036 may be better.");
}

#[test]
fn a_remedy_of_the_user_takes_part_in_the_ranking() {
    #[derive(Debug)]
    struct Mine;
    impl Remedy for Mine {
        fn name(&self) -> &str {
            "mine"
        }

        fn propose(&self, finding: &Finding, _: &Start<'_>) -> Vec<Proposal> {
            let settings = Settings::new().with("constraint", "unit-norm");
            vec![Proposal::new("mine", &finding.name, 0.95, Change { settings, ..Change::default() })]
        }
    }
    let mut all = remedies();
    all.push(Box::new(Mine));
    let found = propose(&all, &[Finding::of(Label::Overfit, 1., "", "")], &cases()[0].start());
    assert_eq!(names(&found)[..2], ["early-stopping", "mine"]);
}

#[test]
fn each_finding_has_its_own_ranking_and_each_change_once() {
    let pair = [Label::UnderfitFlat, Label::UnderfitUnfinished].map(|label| Finding::of(label, 1., "", ""));
    let start = cases()[0].trainer.clone();
    let setup = Setup::default();
    let start = Start::new(start.config(), &setup).unwrap();
    let all = remedies();
    let twice: Vec<_> = all.into_iter().chain(remedies()).collect();
    let alone = |finding: &Finding| propose(&remedies(), std::slice::from_ref(finding), &start);
    assert_eq!(propose(&twice, &pair, &start), [alone(&pair[0]), alone(&pair[1])].concat());
}

#[test]
fn the_module_docs_have_the_tables() {
    let docs = include_str!("../mod.rs").lines().filter_map(|line| line.strip_prefix("//!"));
    let docs: String = docs.map(|line| format!("{}\n", line.trim_start())).collect();
    let table = crate::remedy::remedies_markdown();
    let comment: String =
        table.lines().map(|line| format!("//! {line}").trim_end().to_string() + "\n").collect();
    assert!(docs.contains(&table), "src/remedy/mod.rs must have these tables:\n{comment}");
}
