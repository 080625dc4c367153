//! Many members in one network as a strategy: the networks that a constructor of plain ones gives, what refuses it, stores,
//! and other strategies around it and within it.
use crate::common::{bits, blobs, bytes, flat, weights, Tally, CPU};
use candle_core::{Module, Tensor};
use candle_ensemble::{
    combine::Mean,
    data::TensorDataset,
    evaluate::{EnsembleReport, Study},
    exec::Sequential,
    nn::{self, linear, many::EfficientEnsemble, seq, Activation},
    plan::Settings,
    prelude::{AdaBoost, Bagging, KFold, MultiRun, Trainer},
    store::{Checkpoints, DirectoryStore, Seen},
    strategy::{self, Efficient, EnsembleBuilder},
    train::{CustomLoop, Learner, Optimizer},
    weights::StateDict,
    AnyNetwork, Ensemble, Error, Member, Network, PoolBuilder, PretrainedMember, Session,
};
use candle_nn::VarBuilder;

const CLASSES: usize = 3;

fn data() -> TensorDataset {
    blobs(1, 60, CLASSES as u32, 0.7)
}

fn plain(settings: &Settings, vb: VarBuilder<'static>) -> candle_core::Result<nn::Sequential> {
    let hidden = settings.count("hidden")?.unwrap_or(12);
    let net = seq().add(linear(2, hidden, vb.pp("hidden"))?).add(Activation::Relu);
    Ok(net.add(linear(hidden, CLASSES, vb.pp("out"))?))
}

fn set<N: Network>(trainer: Trainer<N>) -> Trainer<N> {
    trainer.epochs(3).batch_size(16).optimizer(Optimizer::adam(1e-2))
}

fn convertible() -> Trainer<AnyNetwork> {
    set(Trainer::convertible(&["hidden"], plain))
}

/// Every method of the registry, with three members.
fn methods() -> Vec<EfficientEnsemble> {
    let mut few = ["members", "k", "passes"].map(|name| (name, "3".to_string())).to_vec();
    few.push(("p", "0.2".into()));
    let registry = EfficientEnsemble::registry();
    registry.names().iter().map(|name| registry.parse_with(name, &few).unwrap()).collect()
}

/// The weights of each network, and its learning curve.
fn trained(members: &[Member]) -> Vec<String> {
    members.iter().map(|member| format!("{:?} {:?}", weights(member), member.record.curve)).collect()
}

#[test]
fn a_run_trains_what_a_constructor_that_converts_by_itself_trains() {
    let (data, convertible) = (data(), convertible());
    for method in methods() {
        let converts = set(Trainer::new(move |vb| method.convert(vb, |vb| plain(&Settings::new(), vb))));
        let by_itself = Session::new(&converts, &data).fit(&MultiRun::new(2), 7).unwrap();
        let strategy = Efficient::new(method).within(MultiRun::new(2));
        let pool = Session::new(&convertible, &data).fit(&strategy, 7).unwrap();
        assert_eq!(trained(pool.members()), trained(by_itself.members()), "{method}");
        let places = |members: &[Member]| members.iter().map(|m| m.record.in_network).collect::<Vec<_>>();
        assert_eq!(places(pool.members()), places(by_itself.members()), "{method}");
        assert_eq!(
            bits(pool.predictions(data.inputs().clone()).unwrap().values()),
            bits(by_itself.predictions(data.inputs().clone()).unwrap().values()),
            "{method}"
        );
        // The text of a method is read back as it is.
        assert_eq!(EfficientEnsemble::registry().parse(&method.to_string()).unwrap(), method);
        let text = pool.members()[0].record.settings.text("efficient_ensemble").unwrap();
        assert_eq!(text, Some(method.to_string().as_str()));
    }
    let reading = set(Trainer::reading(&["hidden"], plain));
    let usual = Session::new(&reading, &data).fit(&Bagging::new(2), 7).unwrap();
    let pool = Session::new(&convertible, &data).fit(&Bagging::new(2), 7).unwrap();
    assert_eq!(trained(pool.members()), trained(usual.members()));
}

#[test]
fn a_constructor_of_the_method_reads_the_other_settings_too() {
    let (data, convertible) = (data(), convertible());
    let widths = MultiRun::new(2).settings([4, 8].map(|width| Settings::new().with("hidden", width)));
    let strategy = Efficient::new(methods()[0]).within(widths);
    let pool = Session::new(&convertible, &data).fit(&strategy, 7).unwrap();
    let widths: Vec<_> = pool.members().iter().map(|m| m.weights["hidden.weight"].dims()[0]).collect();
    assert_eq!(widths, [4, 4, 4, 8, 8, 8]);
}

/// The error of a learner that is given runs of many members, and whether it has trained any.
fn refused<L: Learner>(learner: &L, strategy: &dyn EnsembleBuilder) -> String {
    let (data, tally) = (data(), Tally::new());
    let e = Session::new(learner, &data).observer(&tally).fit(strategy, 7).err().unwrap();
    assert_eq!(tally.started(), 0);
    e.to_string()
}

#[test]
fn a_learner_that_cannot_convert_refuses_before_it_trains() {
    let strategy = strategy::parse("efficient:tab-m:4").unwrap();
    let must =
        "the learner must be one that carries out the setting \"efficient_ensemble\" for \"model\", such as \
                Trainer::convertible, but is another one, which cannot make a tab-m:4";
    let reading = Trainer::reading(&["hidden"], plain);
    assert!(refused(&reading, &*strategy).ends_with(must), "{}", refused(&reading, &*strategy));
    // A study refuses it before it trains its single networks.
    let (train, tally) = (data(), Tally::new());
    let study = Study::new(Session::new(&reading, &train).observer(&tally), &train).repeats(1);
    let study = study.strategies("multi-run:2,efficient:tab-m:4").unwrap().combinations("mean").unwrap();
    assert!(study.run(1).unwrap_err().to_string().ends_with(must));
    assert_eq!(tally.started(), 0);
    let own = CustomLoop::new("own", |vb| plain(&Settings::new(), vb), |_, _| Ok(()));
    assert!(refused(&own, &*strategy).ends_with(must));
    // One of the architectures cannot.
    let two = convertible().architecture("fixed", |vb| plain(&Settings::new(), vb).map(AnyNetwork::new));
    assert!(refused(&two, &*strategy).contains("for \"fixed\""));
    let both = convertible().convertible_architecture("other", &[], plain);
    let data = data();
    let pool = Session::new(&both, &data).fit(&*strategy, 7).unwrap();
    assert_eq!((pool.members().len(), pool.slots()), (8, 8));

    let with = |text: &str| MultiRun::new(1).settings([Settings::new().with("efficient_ensemble", text)]);
    assert!(refused(&convertible(), &with("tab-n:4")).contains("did you mean tab-m?"));
    assert!(refused(&convertible(), &with("tab-m:0")).contains("the members of TabM must be at least 1"));
    let twice = strategy::parse("efficient:tab-m:4+efficient:heads:2").unwrap();
    let e = refused(&convertible(), &*twice);
    assert!(e.contains("must be one of plain networks, around heads:2, but is tab-m"), "{e}");
    // A layer that cannot be converted is named before a run starts.
    let own_layer = Trainer::convertible(&[], |settings, vb| {
        Ok(plain(settings, vb.clone())?.add(Scaled(vb.get((1, CLASSES), "scale")?)))
    });
    let e = refused(&own_layer, &*strategy);
    assert!(e.contains("efficient::Scaled) with the variables scale"), "{e}");
}

/// A layer of a kind that the library does not know.
struct Scaled(Tensor);

impl Module for Scaled {
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        x.broadcast_mul(&self.0)
    }
}

#[test]
fn stores_resume_and_files_know_the_method() {
    let data = data();
    let strategy = strategy::parse("multi-run:2+efficient:tab-m:4").unwrap();
    let expected = {
        let learner = convertible();
        bytes(Session::new(&learner, &data).executor(&Sequential).fit(&*strategy, 7).unwrap().members())
    };
    assert_eq!(expected.len(), 8);
    for stop_at in 0..6 {
        let folder = tempfile::tempdir().unwrap();
        let build = |tally: &Tally| {
            // A program of its own each time: only the folder is shared.
            let (learner, store) = (convertible(), DirectoryStore::new(folder.path()).unwrap());
            let session = Session::new(&learner, &data).executor(&Sequential).store(&store);
            let session = session.checkpoints(Checkpoints::Epochs(1)).observer(tally);
            session.fit(&*strategy, 7).map(|pool| pool.members().to_vec())
        };
        let stopped = build(&Tally::stopping("epoch", stop_at));
        assert!(matches!(stopped, Err(Error::Cancelled { .. })), "{stop_at}");
        assert_eq!(bytes(&build(&Tally::new()).unwrap()), expected, "stopped at {stop_at}");
        let again = Tally::new();
        build(&again).unwrap();
        assert_eq!(again.started(), 0);
    }

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.ensemble");
    let (learner, x) = (convertible(), data.inputs().clone());
    let mixed = Session::new(&learner, &data).fit(&*strategy, 7).unwrap();
    let plain = Session::new(&learner, &data).fit(&MultiRun::new(2), 8).unwrap();
    let mut members = PoolBuilder::new(&learner, &data);
    for member in mixed.members().iter().chain(plain.members()) {
        let seen = Seen::of(&member.record);
        members.add(PretrainedMember::of_member(member, seen)).unwrap();
    }
    let ensemble = members.build().unwrap().combine(&Mean).unwrap();
    assert_eq!(ensemble.members().len(), 10);
    ensemble.save(&path).unwrap();
    let other = convertible();
    let loaded = Ensemble::<_, Mean>::load(&path, &other, &CPU).unwrap();
    assert_eq!(
        bits(&loaded.member_predictions(x.clone()).unwrap()),
        bits(&ensemble.member_predictions(x).unwrap())
    );
}

#[test]
fn each_fold_has_a_network_of_many_members() {
    let (data, learner) = (data(), convertible());
    let pool = Session::new(&learner, &data)
        .fit(&*strategy::parse("k-fold:4+efficient:tab-m:5").unwrap(), 7)
        .unwrap();
    assert_eq!((pool.members().len(), pool.slots()), (20, 5));
    let held_out = pool.held_out().unwrap();
    assert_eq!((held_out.rows().len(), held_out.predictions().slots()), (60, 5));
    // A slot is a member of each fold: it predicts a row by the network that has not seen the row.
    let plain = Session::new(&learner, &data).plan(&KFold::new(4), 7).unwrap();
    let plan = Session::new(&learner, &data)
        .plan(&*strategy::parse("k-fold:4+efficient:tab-m:5").unwrap(), 7)
        .unwrap();
    for (run, other) in plan.runs.iter().zip(&plain.runs) {
        assert_eq!((&run.train, run.slot, run.seed), (&other.train, other.slot, other.seed));
        assert_eq!(run.settings, Settings::new().with("efficient_ensemble", "tab-m:5"));
    }
    // A combiner that learns is fitted on them.
    let blend = pool.combine(&candle_ensemble::combine::EnsembleSelection::new(5)).unwrap();
    assert!(flat(&blend.predict_proba(data.inputs()).unwrap()).iter().all(|p| p.is_finite()));
}

#[test]
fn rounds_of_a_sequence_are_networks_of_many_members() {
    let (data, learner) = (data(), convertible());
    let session = Session::new(&learner, &data);
    let plan = |text: &str| session.plan(&*strategy::parse(text).unwrap(), 7).unwrap();
    let boosted = plan("efficient:tab-m:4+adaboost:3:algorithm=samme.r");
    assert_eq!(boosted, plan("adaboost:3:algorithm=samme.r+efficient:tab-m:4"));
    let by_hand = AdaBoost::new(3)
        .algorithm(candle_ensemble::sequence::AdaBoostAlgorithm::SammeR)
        .within(Efficient::new(candle_ensemble::nn::many::TabM::new(4)));
    assert_eq!(boosted, session.plan(&by_hand, 7).unwrap());
    let pool = session.train(&boosted).unwrap();
    assert_eq!((pool.members().len(), pool.slots()), (3, 1));
    assert!(pool.members().iter().all(|member| member.weights["hidden.members.r"].dims() == [4, 2]));
}

fn row<'r>(report: &'r candle_ensemble::evaluate::StudyReport, strategy: &str) -> &'r EnsembleReport {
    report.ensembles.iter().find(|e| e.strategy == strategy).unwrap()
}

#[test]
fn a_study_compares_them_with_other_strategies() {
    let (train, test) = (data(), blobs(2, 90, CLASSES as u32, 0.7));
    let learner = convertible();
    let session = Session::new(&learner, &train);
    let study = Study::new(session.clone(), &test).repeats(1).baseline(MultiRun::new(2));
    let texts = ["multi-run:1", "bootstrap:4", "efficient:tab-m:8", "adaboost:4:algorithm=samme.r"];
    let report = study.strategies(&texts.join(",")).unwrap().combinations("mean").unwrap().run(3).unwrap();
    let members: Vec<_> = texts.iter().map(|text| row(&report, text).members).collect();
    assert_eq!(members, [1, 4, 8, 1]);
    let said = "a network that holds several members counts as one";
    assert!(report.table().contains(said));
    let mut of_plain = report.clone();
    of_plain.strategies.retain(|row| !row.strategy.starts_with("efficient"));
    assert!(!of_plain.table().contains(said));
    for text in texts {
        // Each row is what a program gets that trains and measures by hand.
        let pool = session
            .fit(&*strategy::parse(text).unwrap(), candle_ensemble::Seed::from(3).nth("repeat", 0))
            .unwrap();
        let by_hand = pool.combine(&Mean).unwrap().on(&test).evaluate().unwrap();
        for (name, value) in by_hand.values() {
            assert!((row(&report, text).metrics[name].mean - value).abs() < 1e-6, "{text}, {name}");
        }
    }
}

// ---- What networks of many members cost.

/// 2 · 12 + 12 and 12 · 3 + 3 parameters of four bytes.
const PLAIN_BYTES: f64 = 4. * (36. + 39.);
/// Of four members: a shared weight of 2 · 12, scales of 2 inputs and 12 outputs and a bias of 12 for each, and a layer of
/// 12 · 3 + 3 for each.
const TAB_M_BYTES: f64 = 4. * (24. + 4. * (2. + 12. + 12.) + 4. * 39.);

#[test]
fn a_network_costs_one_network_whatever_members_it_holds() {
    let (train, test) = (data(), blobs(2, 90, CLASSES as u32, 0.7));
    let learner = convertible();
    let session = Session::new(&learner, &train);
    let tab_m = "efficient:tab-m:4";
    let texts = [
        tab_m,
        "multi-run:2+efficient:tab-m:4",
        "k-fold:2+efficient:tab-m:4",
        "adaboost:2:algorithm=samme.r",
    ];
    let study = Study::new(session.clone(), &test).repeats(1).baseline(MultiRun::new(2)).reserve(0.3);
    let study = study.strategies(&texts.join(",")).unwrap();
    let combinations = "mean,ensemble-selection:1,swa,best-of:1,best-of:1e9";
    let report = study.combinations(combinations).unwrap().run(3).unwrap();
    assert_eq!(cost(&report.single.cost), (3., 1., PLAIN_BYTES));
    let of = |strategy: &str, combine: &str| {
        report.ensembles.iter().find(|e| e.strategy == strategy && e.combine == combine).unwrap()
    };
    let costs = |strategy: &str, combine: &str| {
        let row = of(strategy, combine);
        assert!(row.failed.is_empty(), "{strategy}, {combine}: {:?}", row.failed);
        cost(&row.cost)
    };
    // The epochs, networks and bytes of the mean, and the members of the report.
    for (text, epochs, networks, bytes, members) in [
        (texts[0], 3., 1., TAB_M_BYTES, 4),
        (texts[1], 6., 2., 2. * TAB_M_BYTES, 8),
        (texts[2], 6., 2., 2. * TAB_M_BYTES, 8),
        (texts[3], 6., 2., 2. * PLAIN_BYTES, 1),
    ] {
        assert_eq!(costs(text, "mean"), (epochs, networks, bytes), "{text}");
        assert_eq!(of(text, "mean").members, members, "{text}");
        let sizes: Vec<_> = of(text, "mean").size_curve.iter().map(|point| point.size).collect();
        assert_eq!(sizes, (1..=members).collect::<Vec<_>>(), "{text}");
    }
    // One member of four needs the whole network, and its average is one network with all members.
    let one = of(tab_m, "ensemble-selection:1").weights.clone().unwrap();
    assert_eq!(one.iter().filter(|weight| **weight > 0.).count(), 1);
    for combine in ["ensemble-selection:1", "swa", "best-of:1", "best-of:1e9"] {
        assert_eq!(costs(tab_m, combine), (3., 1., TAB_M_BYTES), "{combine}");
    }
    for combine in ["best-of:1", "best-of:1e9"] {
        let (epochs, networks, bytes) = costs(texts[1], combine);
        assert_eq!((epochs, bytes), (6., networks * TAB_M_BYTES), "{combine}");
    }
    assert_eq!(cost(&of(texts[1], "best-of:1").cost).1, 1.);
    // A sequence is not one network.
    let why = &of(texts[3], "best-of:1").failed[0].why;
    assert!(why.contains("max_cost must be at least 2.000, the cost of the cheapest candidate"), "{why}");
    assert_eq!(costs(texts[3], "best-of:1e9"), (6., 2., 2. * PLAIN_BYTES));
}

fn cost(cost: &candle_ensemble::evaluate::Cost) -> (f64, f64, f64) {
    (cost.trained_epochs, cost.prediction_networks, cost.bytes)
}

#[test]
fn single_members_of_a_baseline_cost_what_they_need() {
    let (train, test) = (data(), blobs(2, 90, CLASSES as u32, 0.7));
    let learner = convertible();
    let single = |baseline: &str| {
        let study = Study::new(Session::new(&learner, &train), &test).repeats(1);
        let study = study.boxed_baseline(strategy::parse(baseline).unwrap());
        let study = study.strategies("multi-run:2").unwrap().combinations("mean").unwrap();
        cost(&study.run(3).unwrap().single.cost)
    };
    assert_eq!(single("multi-run:3"), (3., 1., PLAIN_BYTES));
    assert_eq!(single("multi-run:2+efficient:tab-m:4"), (3., 1., TAB_M_BYTES));
    assert_eq!(single("adaboost:2:algorithm=samme.r"), (6., 2., 2. * PLAIN_BYTES));
    assert_eq!(single("multi-run:2+snapshot:3"), (3., 1., PLAIN_BYTES));
}

#[test]
fn an_average_within_a_run_keeps_all_members_of_its_networks() {
    let (train, test) = (data(), blobs(2, 90, CLASSES as u32, 0.7));
    let learner = convertible();
    let session = Session::new(&learner, &train);
    let study = Study::new(session.clone(), &test).repeats(1).baseline(MultiRun::new(2));
    let text = "efficient:tab-m:4+snapshot:3";
    let report = study.strategies(text).unwrap().combinations("swa:0").unwrap().run(3).unwrap();
    let row = row(&report, text);
    assert!(row.failed.is_empty(), "{:?}", row.failed);
    assert_eq!(cost(&row.cost), (3., 1., TAB_M_BYTES));
    // By hand: the mean of the weights of the three networks, which holds four members.
    let pool = session
        .fit(&*strategy::parse(text).unwrap(), candle_ensemble::Seed::from(3).nth("repeat", 0))
        .unwrap();
    let networks: Vec<_> =
        pool.members().iter().filter(|m| m.record.in_network.unwrap().member == 0).collect();
    assert_eq!((pool.members().len(), networks.len()), (12, 3));
    let mut members: Vec<Member> = pool.members()[..4].to_vec();
    let mean: candle_ensemble::weights::Weights = networks[0]
        .weights
        .keys()
        .map(|name| {
            let all: Vec<_> = networks.iter().map(|network| network.weights[name].clone()).collect();
            (name.clone(), Tensor::stack(&all, 0).unwrap().mean(0).unwrap())
        })
        .collect();
    members.iter_mut().for_each(|member| member.weights = mean.clone());
    let by_hand = pool.with_members(members).unwrap().combine(&Mean).unwrap().on(&test).evaluate().unwrap();
    for (name, value) in by_hand.values() {
        assert!((row.metrics[name].mean - value).abs() < 1e-6, "{name}: {} {value}", row.metrics[name].mean);
    }
}

#[test]
fn the_best_network_is_a_whole_one() {
    use candle_ensemble::merge::{best_of, BestOf};
    let (data, learner) = (data(), convertible());
    let session = Session::new(&learner, &data).reserve(0.3);
    let pool = session.fit(&*strategy::parse("multi-run:2+efficient:tab-m:4").unwrap(), 7).unwrap();
    for max_cost in [1., 8.] {
        let best = best_of(&pool, &BestOf::new().max_cost(max_cost)).unwrap();
        let of = |name: &str| best.report.candidates.iter().find(|c| c.name == name).unwrap();
        assert_eq!((of("best single").networks, of("best single").cost), (1, 1.));
        assert_eq!((of("predictions of all").networks, of("predictions of all").cost), (2, 2.));
        assert!(best.report.best().cost <= max_cost);
        assert_eq!(best.ensemble.members().len(), 4 * best.report.best().networks);
    }
    // The network with the lower loss of the mean of its members.
    let best = best_of(&pool, &BestOf::new().max_cost(1.)).unwrap();
    let loss = |network: usize| {
        let slots: Vec<usize> = (4 * network..4 * network + 4).collect();
        let one = pool.select_slots(&slots).unwrap();
        let rows = pool.reserved();
        let targets = data.labels().unwrap();
        let x = data.inputs().only().unwrap().index_select(&Tensor::new(rows, &CPU).unwrap(), 0).unwrap();
        let p = one.combine(&Mean).unwrap().predict_proba(&x).unwrap().to_vec2::<f32>().unwrap();
        rows.iter().zip(p).map(|(row, p)| -f64::from(p[targets[*row as usize] as usize]).ln()).sum::<f64>()
    };
    let network = usize::from(loss(1) < loss(0));
    let runs: Vec<_> = best.ensemble.members().iter().map(|member| member.record.run).collect();
    assert_eq!(runs, [network; 4]);
    let x = data.inputs();
    let whole = pool.select_slots(&(4 * network..4 * network + 4).collect::<Vec<_>>()).unwrap();
    let expected = whole.combine(&Mean).unwrap().predict_proba(x).unwrap();
    assert!(crate::common::distance(&best.ensemble.predict_proba(x).unwrap(), &expected) < 1e-6);

    let boosted = session.fit(&*strategy::parse("adaboost:2:algorithm=samme.r").unwrap(), 7).unwrap();
    let e = best_of(&boosted, &BestOf::new().max_cost(1.)).err().unwrap().to_string();
    assert_eq!(e, "max_cost must be at least 2.000, the cost of the cheapest candidate, but is 1");
    let all = best_of(&boosted, &BestOf::new()).unwrap();
    let only = all.report.best();
    assert_eq!((only.name.as_str(), only.networks, only.cost), ("best sequence", 2, 2.));
    // Without reserved rows, on the rows that a fold leaves out.
    let folds = Session::new(&learner, &data);
    let bagged = folds.fit(&*strategy::parse("bootstrap:4+efficient:tab-m:4").unwrap(), 7).unwrap();
    let best = best_of(&bagged, &BestOf::new().max_cost(1.)).unwrap();
    assert!(best.report.out_of_bag);
    assert_eq!((best.report.best().networks, best.ensemble.members().len()), (1, 4));
}

#[test]
fn a_leaderboard_counts_networks() {
    let (data, learner) = (data(), convertible());
    let strategy = strategy::parse("bootstrap:2+efficient:tab-m:4").unwrap();
    let pool = Session::new(&learner, &data).fit(&*strategy, 7).unwrap();
    let board = candle_ensemble::evaluate::Leaderboard::of(&pool).combinations("mean").unwrap();
    let rows = board.measure().unwrap().rows;
    assert_eq!(rows.iter().find(|row| row.name == "mean").unwrap().networks, 2);
    assert!(rows.iter().filter(|row| row.is_member).all(|row| row.networks == 1));
}

// ---- Pruned networks, rounds of sequences and students.

/// The members of a pruned network, built by the constructor of all of them.
#[test]
fn pruned_networks_are_added_to_a_pool_by_the_constructor_of_the_whole() {
    let (data, learner) = (data(), convertible());
    let kept = [0, 2];
    for method in methods() {
        let pool = Session::new(&learner, &data).fit(&Efficient::new(method), 7).unwrap();
        let pruned = pool.select_slots(&kept).unwrap();
        let first = &pruned.members()[0];
        let of = first.record.in_network.map_or(1, |place| place.of);
        let settings = Settings::new().with("efficient_ensemble", method.to_string().as_str());
        let add = |member: PretrainedMember| {
            let mut builder = PoolBuilder::new(&learner, &data);
            builder.add(member).map(|_| builder.build().unwrap())
        };
        let weights = StateDict::from(&first.weights);
        let again = add(PretrainedMember::new(weights, Seen::Nothing).settings(settings)).unwrap();
        assert_eq!((again.members().len(), again.slots()), (of, of), "{method}");
        let x = data.inputs().clone();
        let all = again.predictions(x.clone()).unwrap();
        let pruned = pruned.predictions(x.clone()).unwrap();
        // A method that cannot do with fewer members has all of them.
        let places: Vec<usize> = if of == kept.len() { vec![0, 1] } else { kept.to_vec() };
        for (slot, place) in places.into_iter().enumerate() {
            let [a, b] = [(&all, place), (&pruned, slot)].map(|(of, slot)| of.values().get(slot).unwrap());
            assert_eq!(bits(&a), bits(&b), "{method}, slot {slot}");
        }
        let one = add(PretrainedMember::of_member(first, Seen::Nothing)).unwrap();
        assert_eq!(
            bits(&one.predictions(x).unwrap().values().get(0).unwrap()),
            bits(&pruned.values().get(0).unwrap())
        );
    }
}

#[test]
fn weights_of_different_numbers_of_members_are_refused() {
    let (data, learner) = (data(), convertible());
    let pool = Session::new(&learner, &data).fit(&strategy::Efficient::new(methods()[1]), 7).unwrap();
    let mut weights = pool.members()[0].weights.clone();
    let (name, entries) = weights.iter().find(|(name, _)| name.contains("members")).unwrap();
    let (name, fewer) = (name.clone(), entries.narrow(0, 0, 2).unwrap());
    weights.insert(name.clone(), fewer);
    let settings = pool.members()[0].record.settings.clone();
    let member = PretrainedMember::new(StateDict::from(&weights), Seen::Nothing).settings(settings);
    let e = PoolBuilder::new(&learner, &data).add(member).unwrap_err().to_string();
    assert!(e.contains(&format!("{name} is f32 [2, ")) && e.contains("in place of f32 [3, "), "{e}");
}

/// What each network predicts by itself gives the weights of the members, and what they predict together.
#[test]
fn a_sequence_predicts_what_its_rounds_were_fitted_on() {
    let (data, learner) = (blobs(3, 60, CLASSES as u32, 1.2), convertible());
    let x = data.inputs().only().unwrap().clone();
    let pool = Session::new(&learner, &data)
        .fit(&*strategy::parse("efficient:tab-m:4+adaboost:4").unwrap(), 7)
        .unwrap();
    assert!(pool.members().len() > 1, "{}", pool.members().len());
    let (mut w, k) = (vec![1. / 60.; 60], CLASSES as f64);
    let mut votes = vec![vec![0.; CLASSES]; 60];
    for (position, member) in pool.members().iter().enumerate() {
        let outputs = pool.network(position).unwrap().run_members(&x.clone().into()).unwrap();
        let mean = outputs.reshape((4, 60, CLASSES)).unwrap().mean(0).unwrap();
        let classes = mean.argmax(1).unwrap().to_vec1::<u32>().unwrap();
        let labels = data.labels().unwrap();
        let wrong: Vec<bool> = classes.iter().zip(labels).map(|(a, b)| a != b).collect();
        let error: f64 = w.iter().zip(&wrong).filter(|(_, wrong)| **wrong).map(|(w, _)| w).sum();
        let alpha = ((1. - error) / error).ln() + (k - 1.).ln();
        let weight = member.record.round.as_ref().unwrap().weight;
        assert!((weight - alpha).abs() < 1e-9, "{position}: {weight} {alpha}");
        w.iter_mut().zip(&wrong).filter(|(_, wrong)| **wrong).for_each(|(w, _)| *w *= alpha.exp());
        let sum: f64 = w.iter().sum();
        w.iter_mut().for_each(|w| *w /= sum);
        votes.iter_mut().zip(&classes).for_each(|(votes, class)| votes[*class as usize] += alpha);
    }
    let winners = votes.iter().map(|votes| {
        let most = votes.iter().copied().fold(0., f64::max);
        votes.iter().position(|vote| *vote == most).unwrap() as u32
    });
    let predicted = pool.combine(&Mean).unwrap().predict(&x).unwrap().to_vec1::<u32>().unwrap();
    assert_eq!(predicted, winners.collect::<Vec<_>>());
}

#[test]
fn gradient_boosting_adds_up_the_means_of_the_members() {
    let data = crate::common::line(4, 60, 0.3);
    let x = data.inputs().only().unwrap().clone();
    let learner = Trainer::convertible(&[], |_, vb| {
        let net = seq().add(linear(2, 8, vb.pp(0))?).add(Activation::Relu);
        Ok(net.add(linear(8, 1, vb.pp(1))?))
    });
    let learner = set(learner);
    let pool = Session::new(&learner, &data)
        .fit(&*strategy::parse("efficient:tab-m:4+gradient-boosting:3:0.5").unwrap(), 7)
        .unwrap();
    let start = flat(data.targets()).iter().sum::<f64>() / 60.;
    let mut expected = vec![start; 60];
    for (position, member) in pool.members().iter().enumerate() {
        let outputs = pool.network(position).unwrap().run_members(&x.clone().into()).unwrap();
        let mean = flat(&outputs.reshape((4, 60)).unwrap().mean(0).unwrap());
        let weight = member.record.round.as_ref().unwrap().weight;
        expected.iter_mut().zip(mean).for_each(|(sum, mean)| *sum += weight * mean);
    }
    let predicted = flat(&pool.combine(&Mean).unwrap().predict(&x).unwrap());
    for (got, want) in predicted.iter().zip(&expected) {
        assert!((got - want).abs() < 1e-5, "{got} {want}");
    }
}

#[test]
fn a_sequence_of_networks_that_are_a_sum_is_refused() {
    use candle_ensemble::train::JointLoss;
    let learner = convertible().joint_loss(JointLoss::SoftGradientBoosting { shrinkage: 0.5 });
    let e = refused(&learner, &*strategy::parse("efficient:independent:4+adaboost:2").unwrap());
    assert!(
        e.contains("the joint loss of a run of a sequence must be one whose members predict as their mean"),
        "{e}"
    );
    // By themselves they are an ensemble like any other.
    let data = data();
    let alone = Session::new(&learner, &data).fit(&*strategy::parse("efficient:independent:4").unwrap(), 7);
    assert_eq!(alone.unwrap().slots(), 4);
}

#[test]
fn a_student_of_many_members_is_the_whole_network() {
    use candle_ensemble::merge::{best_of, BestOf, Distill, Teachers};
    let (data, learner) = (data(), convertible());
    let session = Session::new(&learner, &data);
    let teachers = session.fit(&Bagging::new(3), 7).unwrap();
    let settings = Settings::new().with("efficient_ensemble", "tab-m:4");
    let options = Distill::new().teachers(Teachers::All).settings(settings.clone());
    let student = teachers.distill(&learner, &options, 5).unwrap();
    assert_eq!((student.members().len(), student.slots()), (4, 4));
    let x = data.inputs().clone();
    let each = student.predictions(x.clone()).unwrap();
    let mean = student.combine(&Mean).unwrap().predict_proba(x).unwrap();
    assert!(crate::common::distance(&mean, &each.values().mean(0).unwrap()) < 1e-6);
    // Without a share of the teachers it is the network that its learner trains on the targets.
    let alone = {
        use candle_ensemble::{
            data::Dataset,
            plan::{Plan, RunSpec},
            Seed,
        };
        let mut run = RunSpec::new(0, "model", Seed::from(5).child("student"), 0..60);
        run.settings = settings;
        let (data, seed) = (data.fingerprint(), Seed::from(5));
        session.train(&Plan { runs: vec![run], reserved: vec![].into(), data, seed }).unwrap()
    };
    let untaught = teachers.distill(&learner, &options.clone().alpha(0.), 5).unwrap();
    assert_eq!(trained(untaught.members()), trained(alone.members()));
    assert_ne!(trained(student.members()), trained(alone.members()));
    // Among the candidates of a pool it is one network.
    let pool = session.clone().reserve(0.3).fit(&MultiRun::new(2), 7).unwrap();
    let best = best_of(&pool, &BestOf::new().distill(&options)).unwrap();
    let candidate = best.report.student().unwrap();
    assert_eq!((candidate.networks, &candidate.failure), (1, &None));
    assert!((candidate.cost - TAB_M_BYTES / PLAIN_BYTES).abs() < 1e-12);
}
