//! Distillation: one network that is trained on the predictions of a pool, without a leak of the rows.
use crate::common::{blobs, bytes, flat, line, normal, weights, Tally, CPU};
use candle_core::{DType, Tensor};
use candle_ensemble::{
    combine::Mean,
    data::{Dataset, TensorDataset},
    evaluate::Study,
    exec::{Sequential, Threads},
    merge::{best_of, BestOf, Distill, Teachers},
    nn::{seq, Sequential as Net},
    plan::{Plan, RunSpec, Settings},
    store::MemoryStore,
    strategy::{Bagging, KFold, MultiRun},
    train::{CustomLoop, Distillation, EarlyStopping, Optimizer, Output, Trainer},
    Member, Pool, Result, Seed, Session,
};
use candle_nn::{linear, Activation, VarBuilder};
use rand::Rng;
use std::collections::BTreeSet;

fn mlp(width: usize) -> Trainer<Net> {
    let trainer = Trainer::new(move |vb: VarBuilder<'_>| {
        let hidden = seq().add(linear(2, width, vb.pp(0))?).add(Activation::Relu);
        Ok(hidden.add(linear(width, 3, vb.pp(1))?))
    });
    trainer.epochs(5).batch_size(16).optimizer(Optimizer::adam(0.01))
}

/// A network of a bias.
fn bias() -> Trainer<Net> {
    let trainer = Trainer::new(|vb: VarBuilder<'_>| {
        let bias = vb.get_with_hints(1, "bias", candle_nn::Init::Const(0.))?;
        Ok(seq().add_fn(move |x: &Tensor| x.broadcast_add(&bias)))
    });
    trainer.epochs(60).batch_size(64).optimizer(Optimizer::sgd(0.5))
}

fn seen(pool: &Pool<'_, Trainer<Net>>) -> BTreeSet<u32> {
    pool.members().iter().flat_map(|member| member.record.seen.iter()).collect()
}

/// Every teacher is the mean of the targets of the other half; the student is the mix of their mean and that of its own
/// targets.
#[test]
fn the_mix_of_values_by_hand() -> Result<()> {
    let x = Tensor::zeros((12, 1), DType::F32, &CPU)?;
    let y: Vec<f32> = (0..12).map(|row| (row * row % 7) as f32).collect();
    let data = TensorDataset::regression(&x, &Tensor::new(y.clone(), &CPU)?)?;
    let trainer = bias();
    let pool = Session::new(&trainer, &data).fit(&KFold::new(2), 3)?;
    let mean =
        |rows: &[u32]| rows.iter().map(|row| f64::from(y[*row as usize])).sum::<f64>() / rows.len() as f64;
    // The first ten rows; each is predicted by the member that was trained on the half without it.
    let rows: Vec<u32> = (0..10).collect();
    let teacher = |row: &u32| {
        let member = pool.members().iter().find(|m| !m.record.seen.contains(*row)).unwrap();
        mean(&member.record.seen.to_vec())
    };
    let of_teachers = rows.iter().map(teacher).sum::<f64>() / 10.;
    for alpha in [0., 0.25, 1.] {
        let student = pool.distill(&trainer, &Distill::new().alpha(alpha).rows(rows.clone()), 5)?;
        let b = flat(&student.members()[0].weights["bias"])[0];
        let want = alpha * of_teachers + (1. - alpha) * mean(&rows);
        assert!((b - want).abs() < 1e-5, "{b} is not {want}");
    }
    Ok(())
}

/// Without a share of the teacher, the student is the network that its learner trains on the targets.
#[test]
fn a_student_without_a_share_of_the_teacher_is_trained_on_the_targets() -> Result<()> {
    let (data, trainer) = (blobs(5, 60, 3, 0.7), mlp(8));
    let pool = Session::new(&trainer, &data).fit(&KFold::new(3), 3)?;
    let student = pool.distill(&trainer, &Distill::new().alpha(0.), 5)?;
    let run = RunSpec::new(0, "model", Seed::from(5).child("student"), 0..60);
    let plan =
        Plan { runs: vec![run], reserved: vec![].into(), data: data.fingerprint(), seed: Seed::from(5) };
    let alone = Session::new(&trainer, &data).train(&plan)?;
    assert_eq!(weights(&student.members()[0]), weights(&alone.members()[0]));
    assert_eq!(student.members()[0].record.curve, alone.members()[0].record.curve);
    let taught = pool.distill(&trainer, &Distill::new(), 5)?;
    assert_ne!(weights(&taught.members()[0]), weights(&alone.members()[0]));
    Ok(())
}

#[test]
fn a_student_has_seen_what_its_teachers_have_seen() -> Result<()> {
    let (data, trainer) = (blobs(5, 80, 3, 0.7), mlp(8).early_stopping(EarlyStopping::default()));
    let session = Session::new(&trainer, &data).reserve(0.25);
    let pool = session.fit(&Bagging::new(16).validation(0.2), 3)?;
    let (teachers, reserved) = (seen(&pool), pool.reserved().to_vec());
    assert_eq!(reserved.len(), 20);
    // Ten rows of its own, two of them for validation.
    let rows: Vec<u32> = (0..80).filter(|row| reserved.binary_search(row).is_err()).take(10).collect();
    let student = pool.distill(&trainer, &Distill::new().rows(rows.clone()).validation(0.2), 5)?;
    let record = &student.members()[0].record;
    let want: BTreeSet<u32> = teachers.iter().chain(&rows).copied().collect();
    assert_eq!(record.seen, want.into_iter().collect::<Vec<u32>>());
    assert!(record.curve.iter().all(|epoch| epoch.valid_loss.is_some()));
    // The reserved rows are held out for the student, and no others.
    assert_eq!(student.reserved(), reserved);
    assert!(student.unseen().iter().all(|row| !teachers.contains(row)));
    assert!(reserved.iter().all(|row| student.unseen().contains(row)));
    assert_eq!(student.held_out()?.rows(), student.unseen());
    // By default it is trained on every row that is not reserved.
    let all = pool.distill(&trainer, &Distill::new().validation(0.2), 5)?;
    assert_eq!(all.members()[0].record.seen, (0..80).filter(|r| !reserved.contains(r)).collect::<Vec<u32>>());
    Ok(())
}

/// A member whose weights are replaced changes nothing on the rows that it has seen.
#[test]
fn no_member_predicts_a_row_that_it_has_seen() -> Result<()> {
    let (data, trainer) = (blobs(5, 60, 3, 0.7), mlp(8));
    let session = Session::new(&trainer, &data);
    let pool = session.fit(&KFold::new(2), 3)?;
    let first = pool.members()[0].clone();
    let mut other = first.clone();
    for (name, tensor) in &first.weights {
        other.weights.insert(name.clone(), (tensor * -3.)?);
    }
    let changed = pool.with_members(vec![other, pool.members()[1].clone()])?;
    let student = |pool: &Pool<'_, Trainer<Net>>, options: &Distill| -> Result<Vec<(String, Vec<u64>)>> {
        Ok(weights(&pool.distill(&trainer, options, 5)?.members()[0]))
    };
    let own = Distill::new().rows(first.record.seen.to_vec());
    assert_eq!(student(&pool, &own)?, student(&changed, &own)?);
    // It changes what it may predict.
    let others: Vec<u32> = (0..60).filter(|row| !first.record.seen.contains(*row)).collect();
    let others = Distill::new().rows(others);
    assert_ne!(student(&pool, &others)?, student(&changed, &others)?);
    let all = own.teachers(Teachers::All);
    assert_ne!(student(&pool, &all)?, student(&changed, &all)?);
    Ok(())
}

#[test]
fn rows_that_all_members_have_seen_are_an_error_with_a_way_out() -> Result<()> {
    let (data, trainer) = (blobs(5, 60, 3, 0.7), mlp(8));
    let session = Session::new(&trainer, &data);
    let pool = session.fit(&MultiRun::new(3), 3)?;
    let error = |pool: &Pool<'_, Trainer<Net>>, options: &Distill| {
        pool.distill(&trainer, options, 5).map(drop).unwrap_err().to_string()
    };
    for options in [Distill::new(), Distill::new().teachers(Teachers::UnseenOnly)] {
        let e = error(&pool, &options);
        assert!(e.contains("KFold") && e.contains("Teachers::All"), "{e}");
        assert!(e.contains("but is 60 rows that all members have seen"), "{e}");
    }
    let student = pool.distill(&trainer, &Distill::new().teachers(Teachers::All), 5)?;
    assert_eq!(student.members()[0].record.seen.len(), 60);

    // With two bags, some rows are in both.
    let pool = session.fit(&Bagging::new(2), 3)?;
    let both: Vec<u32> =
        (0..60).filter(|row| pool.members().iter().all(|m| m.record.seen.contains(*row))).collect();
    assert!(!both.is_empty());
    let e = error(&pool, &Distill::new());
    let got =
        format!("but is {} rows that all members have seen, the first of which is {}", both.len(), both[0]);
    assert!(e.contains(&got) && e.contains("Teachers::UnseenOnly"), "{e}");
    let plain = Distill::new().teachers(Teachers::UnseenOnly);
    let rest: Vec<u32> = (0..60).filter(|row| !both.contains(row)).collect();
    let student = pool.distill(&trainer, &plain, 5)?;
    let of_rest = pool.distill(&trainer, &Distill::new().rows(rest), 5)?;
    assert_eq!(weights(&student.members()[0]), weights(&of_rest.members()[0]));
    Ok(())
}

#[test]
fn a_student_is_the_same_to_the_bit_and_kept_in_a_store() -> Result<()> {
    let (data, trainer, small) = (blobs(5, 60, 3, 0.7), mlp(8), mlp(4));
    let pool = Session::new(&trainer, &data).fit(&KFold::new(3), 3)?;
    let student = pool.distill(&small, &Distill::new(), 5)?;
    assert_eq!(student.members()[0].weights["0.weight"].dims(), [4, 2], "another architecture");
    let two = Threads::new(2).unwrap();
    for session in
        [Session::new(&small, &data).executor(&Sequential), Session::new(&small, &data).executor(&two)]
    {
        let again = pool.distill_in(&session, &Distill::new(), 5)?;
        assert_eq!(bytes(again.members()), bytes(student.members()));
    }
    let other = pool.distill(&small, &Distill::new(), 6)?;
    assert_ne!(bytes(other.members()), bytes(student.members()));

    let (store, tally) = (MemoryStore::new(), Tally::new());
    let session = Session::new(&small, &data).store(&store).observer(&tally);
    pool.distill_in(&session, &Distill::new(), 5)?;
    pool.distill_in(&session, &Distill::new(), 5)?;
    assert_eq!(tally.started(), 1);
    // Other settings and other teachers are other trainings.
    pool.distill_in(&session, &Distill::new().temperature(3.), 5)?;
    pool.distill_in(&session, &Distill::new().alpha(0.5), 5)?;
    assert_eq!(tally.started(), 3);
    Session::new(&trainer, &data).fit(&KFold::new(3), 4)?.distill_in(&session, &Distill::new(), 5)?;
    assert_eq!(tally.started(), 4);
    Ok(())
}

/// Labels of which 35 % are wrong, ten columns of noise beside two that matter, and a network that learns labels by heart.
/// The rule: over six seeds the student, which gets the out-of-bag predictions of eight members, has a lower log-loss for the
/// true labels of 600 new rows than the same network trained on the labels, for every seed, and an accuracy that is higher
/// by 0.02 on average. A simulation in numpy with eight seeds gave 0.82 and 1.08, 0.64 and 0.59.
#[test]
fn a_student_of_an_ensemble_is_better_than_a_network_trained_on_noisy_labels() -> Result<()> {
    let rows = |seed: u64, rows: usize| -> Result<(Tensor, Vec<u32>)> {
        let two = blobs(seed, rows, 3, 0.5);
        let x = Tensor::cat(&[two.inputs().only()?, &normal(seed + 7000, rows, 10)], 1)?;
        Ok((x, two.labels().unwrap_or_default().to_vec()))
    };
    let (x, labels) = rows(77, 600)?;
    let test = TensorDataset::classification(x, &Tensor::new(labels, &CPU)?)?;
    let trainer = Trainer::new(|vb: VarBuilder<'_>| {
        let hidden = seq().add(linear(12, 32, vb.pp(0))?).add(Activation::Relu);
        Ok(hidden.add(linear(32, 3, vb.pp(1))?))
    });
    let trainer: Trainer<Net> = trainer.epochs(30).batch_size(16).optimizer(Optimizer::adam(0.01));
    let (mut gains, mut wins) = (vec![], 0);
    for seed in 0..6u64 {
        let (x, mut labels) = rows(100 + seed, 300)?;
        let mut rng = Seed::from(seed).child("noise").rng();
        for label in &mut labels {
            if rng.random_bool(0.35) {
                *label = (*label + rng.random_range(1..3u32)) % 3;
            }
        }
        let data = TensorDataset::classification(x, &Tensor::new(labels, &CPU)?)?;
        let session = Session::new(&trainer, &data);
        let pool = session.fit(&Bagging::new(8), seed)?;
        let options = Distill::new().temperature(1.).alpha(1.).teachers(Teachers::UnseenOnly);
        let student = pool.distill(&trainer, &options, seed)?;
        let alone = session.fit(&MultiRun::new(1), seed)?;
        let score = |pool: &Pool<'_, Trainer<Net>>| -> Result<(f64, f64)> {
            let metrics = pool.combine(&Mean)?.on(&test).evaluate()?;
            let of = |name: &str| metrics.values().into_iter().find(|(own, _)| *own == name).unwrap().1;
            Ok((of("accuracy"), of("nll")))
        };
        let ((accuracy, nll), (alone_accuracy, alone_nll)) = (score(&student)?, score(&alone)?);
        gains.push(accuracy - alone_accuracy);
        wins += u32::from(nll < alone_nll);
    }
    let mean = gains.iter().sum::<f64>() / gains.len() as f64;
    assert!(wins == 6 && mean > 0.02, "{wins} {mean} {gains:?}");
    Ok(())
}

#[test]
fn what_cannot_be_distilled_is_refused_before_anything_is_trained() -> Result<()> {
    let (data, trainer) = (blobs(5, 60, 3, 0.7), mlp(8));
    let pool = Session::new(&trainer, &data).fit(&KFold::new(3), 3)?;
    let error = |trainer: &Trainer<Net>, options: &Distill| {
        pool.distill(trainer, options, 5).map(drop).unwrap_err().to_string()
    };
    for (trainer, options, part) in [
        (mlp(8), Distill::new().temperature(0.), "Distillation::temperature must be positive"),
        (mlp(8), Distill::new().alpha(2.), "Distillation::alpha must be from 0 to 1, but is 2"),
        (mlp(8), Distill::new().rows(vec![]), "the number of rows of the student must be at least 1"),
        (mlp(8), Distill::new().rows(vec![3, 60]), "a row of the student must be below 60"),
        (mlp(8).output(Output::Probabilities), Distill::new(), "Output::Logits with distillation"),
        (mlp(8), Distill::new().architecture("other"), "one of model"),
        (mlp(8), Distill::new().settings(Settings::new().with("epochz", 3)), "epochz"),
    ] {
        let e = error(&trainer, &options);
        assert!(e.contains(part), "{part}: {e}");
    }
    let (values, twice) = (line(3, 40, 0.2), Trainer::new(|vb: VarBuilder<'_>| linear(2, 2, vb)).epochs(2));
    let twice = twice.output(Output::Gaussian);
    let of_values = Session::new(&twice, &values).fit(&KFold::new(3), 3)?;
    let e = of_values.distill(&twice, &Distill::new(), 5).map(drop).unwrap_err().to_string();
    assert!(e.contains("the output must be one of the values themselves with distillation"), "{e}");
    assert!(e.contains("Output::Gaussian"), "{e}");
    let other = blobs(6, 60, 3, 0.7);
    let e = pool.distill_in(&Session::new(&trainer, &other), &Distill::new(), 5).map(drop).unwrap_err();
    assert!(e.to_string().contains("other data"), "{e}");
    let alone = mlp(8).distillation(Distillation::new());
    let e = Session::new(&alone, &data).fit(&MultiRun::new(1), 3).map(drop).unwrap_err().to_string();
    assert!(e.contains("soft targets (TensorDataset::with_soft_targets, Pool::distill)"), "{e}");
    let own_loop = CustomLoop::new("none", |vb: VarBuilder<'_>| linear(2, 3, vb), |_, _| Ok(()));
    let e = pool.distill(&own_loop, &Distill::new(), 5).map(drop).unwrap_err().to_string();
    assert!(e.contains("one that carries out the setting \"distillation\""), "{e}");
    Ok(())
}

#[test]
fn best_of_weighs_a_student_beside_soups() -> Result<()> {
    let (data, trainer) = (blobs(5, 120, 3, 0.5), mlp(8).epochs(15));
    let session = Session::new(&trainer, &data).reserve(0.25);
    let pool = session.fit(&KFold::new(4), 3)?;
    let options = Distill::new().alpha(1.);
    let best = best_of(&pool, &BestOf::new().max_cost(1.).distill(&options))?;
    let of = |report: &candle_ensemble::merge::BestReport| {
        report.candidates.iter().find(|c| c.name == "distilled student").cloned()
    };
    let student = of(&best.report).unwrap();
    assert_eq!((student.networks, student.cost, student.failure), (1, 1., None));
    // Measured on the reserved rows, which did not shape it, like the same student made by hand.
    let score = student.score.unwrap();
    let reserved = pool.reserved().to_vec();
    assert_eq!(best.report.rows, reserved.len());
    let by_hand = pool.distill(&trainer, &options, pool.seed().child("best of").child("student"))?;
    assert_eq!((student.epochs, best.report.candidates[0].epochs), (15, 0));
    assert!(reserved.iter().all(|row| !by_hand.members()[0].record.seen.contains(*row)));
    let metrics = by_hand.combine(&Mean)?.on(&data).rows(&reserved).evaluate()?;
    for ((name, a), (_, b)) in score.metrics.values().into_iter().zip(metrics.values()) {
        assert!((a - b).abs() < 1e-6, "{name}: {a} {b}");
    }
    assert!(of(&best_of(&pool, &BestOf::new())?.report).is_none(), "only where it is asked for");

    // A single network is the worst that can be chosen at this cost.
    assert!(best.report.gain.estimate >= 0.);
    // Members that have seen all rows but the reserved ones.
    let pool = session.fit(&MultiRun::new(3), 3)?;
    let report = best_of(&pool, &BestOf::new().distill(&options))?.report;
    assert!(of(&report).unwrap().failure.unwrap().contains("Teachers::All"), "{report}");
    let all = options.clone().teachers(Teachers::All);
    let report = best_of(&pool, &BestOf::new().distill(&all))?.report;
    assert!(of(&report).unwrap().score.is_some(), "{report}");
    let leak = all.rows((0..120).collect::<Vec<u32>>());
    let report = best_of(&pool, &BestOf::new().distill(&leak))?.report;
    assert!(of(&report).unwrap().failure.unwrap().contains("others than those that"), "{report}");
    // Out of bag it cannot be measured.
    let pool = Session::new(&trainer, &data).fit(&Bagging::new(6), 3)?;
    let report = best_of(&pool, &BestOf::new().distill(&options))?.report;
    assert!(
        report.out_of_bag && of(&report).unwrap().failure.unwrap().contains("Session::reserve"),
        "{report}"
    );
    Ok(())
}

#[test]
fn a_study_has_the_student_among_its_combinations_with_its_training_in_the_cost() -> Result<()> {
    let (data, test, trainer) = (blobs(5, 60, 3, 0.5), blobs(6, 60, 3, 0.5), mlp(8));
    let report = Study::new(Session::new(&trainer, &data), &test)
        .strategies("k-fold:4,multi-run:3")?
        .combinations("mean,distilled:3:0.8,distilled:teachers=all")?
        .baseline(MultiRun::new(2))
        .repeats(1)
        .run(4)?;
    let of = |strategy: &str, combine: &str| {
        report.ensembles.iter().find(|e| e.strategy == strategy && e.combine == combine).unwrap()
    };
    let student = of("k-fold:4", "distilled:3:0.8");
    assert!(student.failed.is_empty(), "{:?}", student.failed);
    assert_eq!(student.cost.prediction_networks, 1.);
    assert_eq!(student.cost.trained_epochs, of("k-fold:4", "mean").cost.trained_epochs + 5.);
    assert!(of("multi-run:3", "distilled:teachers=all").failed.is_empty());
    let refused = of("multi-run:3", "distilled:3:0.8");
    assert!(refused.failed[0].why.contains("Teachers::All"), "{:?}", refused.failed);
    Ok(())
}

#[test]
fn the_text_of_best_of_says_whether_a_student_is_weighed() -> Result<()> {
    let (data, test, trainer) = (blobs(5, 80, 3, 0.5), blobs(6, 60, 3, 0.5), mlp(8));
    // Members that know little, and a student of their mean: at the cost of one network it may be chosen.
    let texts = "mean,best-of,best-of:student=unseen:alpha=1,best-of:student=all:temperature=3";
    let run = || {
        Study::new(Session::new(&trainer, &data), &test)
            .strategies("k-fold:4,multi-run:3")?
            .combinations(texts)?
            .baseline(MultiRun::new(2))
            .reserve(0.3)
            .repeats(1)
            .run(4)
    };
    let report = run()?;
    let of = |strategy: &str, combine: &str| {
        report.ensembles.iter().find(|e| e.strategy == strategy && e.combine == combine).unwrap()
    };
    let without = of("k-fold:4", "best-of").cost.trained_epochs;
    for (strategy, combine) in [
        ("k-fold:4", "best-of:student=unseen:alpha=1"),
        ("k-fold:4", "best-of:student=all:temperature=3"),
        ("multi-run:3", "best-of:student=all:temperature=3"),
    ] {
        let with = of(strategy, combine);
        assert!(with.failed.is_empty(), "{strategy} {combine}: {:?}", with.failed);
        assert_eq!(with.cost.prediction_networks, 1.);
        // The student's training counts, whether it is chosen or not.
        let epochs = of(strategy, "best-of").cost.trained_epochs;
        assert_eq!(with.cost.trained_epochs, epochs + 5., "{strategy} {combine}, {without} without");
    }
    // All rows of the student have been seen by all members: what to set instead.
    let refused = &of("multi-run:3", "best-of:student=unseen:alpha=1").failed;
    let why = &refused.first().unwrap().why;
    assert!(why.contains("the student of best-of") && why.contains("Teachers::All"), "{why}");

    let registry = candle_ensemble::evaluate::combinations();
    let of = |text: &str| registry.parse(text).map(drop).unwrap_err().to_string();
    assert!(
        of("best-of:temperature=3").contains("best-of:student=unseen"),
        "{}",
        of("best-of:temperature=3")
    );
    assert!(
        of("best-of:student=some").contains("unseen, unseen-only or all"),
        "{}",
        of("best-of:student=some")
    );
    Ok(())
}

/// The teachers' predictions of values are in the targets' own units, whatever the scalings of members and student.
#[test]
fn scaled_targets_are_distilled_in_their_own_units() -> Result<()> {
    let raw = line(3, 60, 0.1);
    let y = raw.targets().affine(1000., 5e4)?;
    let data = TensorDataset::regression(raw.inputs().clone(), &y)?;
    let scaled = |rate: f64| {
        Trainer::new(|vb: VarBuilder<'_>| linear(2, 1, vb))
            .epochs(60)
            .optimizer(Optimizer::adam(rate))
            .target_scaling(candle_ensemble::data::Scaling::Standardize)
    };
    let (teacher, student) = (scaled(0.05), scaled(0.05));
    let pool = Session::new(&teacher, &data).fit(&KFold::new(4), 3)?;
    let student = pool.distill(&student, &Distill::new().alpha(1.), 5)?;
    let x = normal(8, 40, 2);
    let (a, b) = (pool.combine(&Mean)?.predict(&x)?, student.combine(&Mean)?.predict(&x)?);
    let off = flat(&a).iter().zip(flat(&b)).map(|(a, b)| (a - b).abs()).fold(0., f64::max);
    assert!(off < 200., "{off} of a spread of about 2000");
    let member: &Member = &student.members()[0];
    assert!(!member.record.scaling.is_none());
    Ok(())
}
