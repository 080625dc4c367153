//! Pools: held-out predictions are made once and kept, rows can be reserved, and one seed reaches the
//! combiners.
use crate::common::{bits, line};
use candle_core::{Module, Result as CandleResult, Tensor};
use candle_ensemble::{
    combine::{Combiner, Gating, InverseError, Mean, SimplexSquares, Weighted},
    data::{Dataset, TensorDataset},
    prune::Ordered,
    resample::RunRows,
    strategy::{Bagging, EnsembleBuilder, KFold, MultiRun},
    train::Trainer,
    Error, HeldOut, Pool, Result, Rows, Seed, Session,
};
use candle_nn::{linear, Linear, VarBuilder};
use std::sync::{
    atomic::{AtomicUsize, Ordering},
    Arc, Mutex,
};

/// A linear layer that counts its forward passes.
struct Counting {
    layer: Linear,
    passes: Arc<AtomicUsize>,
}

impl Module for Counting {
    fn forward(&self, xs: &Tensor) -> CandleResult<Tensor> {
        self.passes.fetch_add(1, Ordering::SeqCst);
        self.layer.forward(xs)
    }
}

fn counting(passes: &Arc<AtomicUsize>) -> Trainer<Counting> {
    let passes = passes.clone();
    Trainer::new(move |vb: VarBuilder<'_>| Ok(Counting { layer: linear(2, 1, vb)?, passes: passes.clone() }))
        .epochs(1)
}

fn trainer() -> Trainer<Linear> {
    Trainer::new(|vb| linear(2, 1, vb)).epochs(1)
}

type Content = (Rows, [Vec<u64>; 3], Vec<String>, Vec<f64>, Seed);

/// Everything in held-out predictions, as comparable values.
fn content(held_out: &HeldOut) -> Content {
    let predictions = held_out.predictions();
    (
        held_out.rows().to_vec(),
        [predictions.values(), predictions.covered().unwrap(), held_out.targets()].map(bits),
        held_out.names().to_vec(),
        held_out.costs().to_vec(),
        held_out.seed(),
    )
}

#[test]
fn a_second_combiner_and_a_judgement_make_no_second_pass() -> Result<()> {
    let data = line(1, 40, 0.1);
    let passes = Arc::new(AtomicUsize::new(0));
    let trainer = counting(&passes);
    let pool = Session::new(&trainer, &data).fit(&KFold::new(3).repeats(2), 42)?;

    let trained = passes.load(Ordering::SeqCst);
    pool.combine(&InverseError::new())?;
    let first = passes.load(Ordering::SeqCst) - trained;
    assert_eq!(first, 6, "one pass for each member over its held-out rows");

    pool.combine(&SimplexSquares::new())?;
    pool.combine(&Gating::new().epochs(2))?; // reads the inputs of the rows
    pool.judge(&InverseError::new())?;
    pool.judge(&Gating::new().epochs(2))?;
    let pruned = pool.prune(&Ordered::reduce_error())?;
    pruned.combine(&InverseError::new())?;
    assert_eq!(passes.load(Ordering::SeqCst), trained + first);
    Ok(())
}

#[test]
fn a_combiner_that_learns_nothing_makes_no_pass_and_needs_no_held_out_row() -> Result<()> {
    let data = line(2, 30, 0.1);
    let passes = Arc::new(AtomicUsize::new(0));
    let trainer = counting(&passes);
    let pool = Session::new(&trainer, &data).fit(&MultiRun::new(3), 42)?;
    let trained = passes.load(Ordering::SeqCst);
    let ensemble = pool.combine(&Mean)?;
    assert_eq!(passes.load(Ordering::SeqCst), trained);
    assert_eq!(ensemble.predict(data.inputs())?.dims(), [30, 1]);

    let e = pool.combine(&InverseError::new()).map(|_| ()).unwrap_err();
    assert!(matches!(e, Error::HeldOut { have: 0, rows: 30, .. }), "{e}");
    assert!(e.to_string().contains("Session::reserve"), "{e}");
    Ok(())
}

#[test]
fn reserved_rows_are_kept_from_every_run_and_given_by_the_pool() -> Result<()> {
    let (data, trainer) = (line(3, 40, 0.1), trainer());
    let session = Session::new(&trainer, &data).reserve(0.25);
    for builder in [&MultiRun::new(3) as &dyn EnsembleBuilder, &Bagging::new(3), &KFold::new(3).refit(true)] {
        let plan = session.plan(builder, 42)?;
        let pool = session.train(&plan)?;
        assert_eq!(pool.reserved().len(), 10, "{}", builder.name());
        assert_eq!(plan.reserved, pool.reserved());
        for member in pool.members() {
            let seen = |row: &u32| member.record.seen.contains(*row);
            assert!(!pool.reserved().iter().any(seen), "{}", builder.name());
        }
        let seen_by_none = |row: &u32| !pool.members().iter().any(|member| member.record.seen.contains(*row));
        assert_eq!(pool.unseen(), (0..40).filter(seen_by_none).collect::<Rows>());
        assert!(pool.reserved().iter().all(|row| pool.unseen().contains(row)));
        // Reserved rows are held out for every slot.
        let held_out = pool.held_out()?;
        let covered = held_out.predictions().covered().unwrap().to_vec2::<f32>()?;
        for row in pool.reserved() {
            let position = held_out.rows().iter().position(|held| held == row).unwrap();
            assert!(covered.iter().all(|slot| slot[position] > 0.));
        }
    }
    // Without a resampling, the held-out rows are exactly the reserved ones.
    let pool = session.fit(&MultiRun::new(2), 42)?;
    assert_eq!(pool.held_out()?.rows(), pool.reserved());
    assert_eq!(pool.unseen(), pool.reserved());
    // Nothing is reserved by default.
    assert!(Session::new(&trainer, &data).fit(&MultiRun::new(2), 42)?.reserved().is_empty());
    Ok(())
}

#[test]
fn a_loaded_pool_has_the_same_reserved_rows() -> Result<()> {
    let (data, trainer) = (line(4, 40, 0.1), trainer());
    let store = candle_ensemble::store::MemoryStore::new();
    let session = Session::new(&trainer, &data).store(&store).reserve(0.25);
    let plan = session.plan(&MultiRun::new(2), 42)?;
    session.build(&plan)?;
    let pool = session.load(&plan)?;
    assert_eq!((pool.reserved(), pool.seed()), (&*plan.reserved.to_vec()?, Seed::from(42)));
    Ok(())
}

#[test]
fn kept_predictions_of_selected_slots_equal_those_made_anew() -> Result<()> {
    let (data, trainer) = (line(5, 40, 0.1), trainer());
    let check = |pool: &Pool<'_, Trainer<Linear>>, selected: &Pool<'_, Trainer<Linear>>| -> Result<()> {
        // A pool of the same members that has made no predictions yet.
        let fresh = pool.with_members(selected.members().to_vec())?;
        assert_eq!(content(selected.held_out()?), content(fresh.held_out()?));
        let (kept, anew) =
            (selected.combine(&Gating::new().epochs(2))?, fresh.combine(&Gating::new().epochs(2))?);
        assert_eq!(bits(&kept.predict(data.inputs())?), bits(&anew.predict(data.inputs())?));
        Ok(())
    };
    // Few runs on samples of most rows: some rows are held out by none of the selected slots.
    for builder in [&Bagging::new(4).size(2.) as &dyn EnsembleBuilder, &KFold::new(2).repeats(4)] {
        let pool = Session::new(&trainer, &data).fit(builder, 42)?;
        pool.combine(&Gating::new().epochs(2))?; // makes the held-out predictions, with inputs
        for keep in [&[1][..], &[0, 3], &[3, 0, 3], &[0, 1, 2, 3]] {
            check(&pool, &pool.select_slots(keep)?)?;
        }
        check(&pool, &pool.prune(&Ordered::reduce_error().members(2))?)?;
    }
    Ok(())
}

#[test]
fn slots_that_do_not_exist_are_refused() -> Result<()> {
    let (data, trainer) = (line(6, 20, 0.1), trainer());
    let pool = Session::new(&trainer, &data).fit(&Bagging::new(2), 42)?;
    assert!(pool.select_slots(&[2]).is_err() && pool.select_slots(&[]).is_err());
    assert!(pool.network(2).is_err());
    Ok(())
}

/// Equal weights; notes the seed of the held-out predictions on which it is fitted.
#[derive(Debug)]
struct NotesSeed {
    needs_held_out: bool,
    seeds: Mutex<Vec<Seed>>,
}

impl Combiner for NotesSeed {
    type Fitted = Weighted;

    fn fit(&self, held_out: &HeldOut) -> Result<Weighted> {
        self.seeds.lock().unwrap().push(held_out.seed());
        Weighted::new(&vec![1.; held_out.names().len()])
    }

    fn needs_held_out(&self) -> bool {
        self.needs_held_out
    }
}

#[test]
fn the_seed_of_the_session_reaches_combiners() -> Result<()> {
    let (data, trainer) = (line(7, 40, 0.1), trainer());
    for seed in [42, 43] {
        let pool = Session::new(&trainer, &data).fit(&Bagging::new(3), seed)?;
        assert_eq!(pool.held_out()?.seed(), Seed::from(seed));
        for needs_held_out in [false, true] {
            let combiner = NotesSeed { needs_held_out, seeds: Mutex::default() };
            pool.combine(&combiner)?;
            pool.select_slots(&[0, 2])?.combine(&combiner)?;
            pool.with_members(pool.members().to_vec())?.combine(&combiner)?;
            assert_eq!(combiner.seeds.into_inner().unwrap(), [Seed::from(seed); 3]);
        }
    }
    Ok(())
}

#[test]
fn predictions_are_by_slot_or_by_member() -> Result<()> {
    let (data, trainer) = (line(8, 20, 0.1), trainer());
    let pool = Session::new(&trainer, &data).fit(&KFold::new(2).repeats(2), 42)?;
    let by_slot = pool.predictions(data.inputs())?;
    let by_member = pool.predictions_per_member(data.inputs())?;
    assert_eq!((by_slot.values().dims(), by_member.values().dims()), (&[2, 20, 1][..], &[4, 20, 1][..]));
    for slot in 0..2 {
        let mean = by_member.values().narrow(0, 2 * slot, 2)?.mean(0)?;
        let difference = (by_slot.values().get(slot)? - mean)?.abs()?.max_all()?.to_scalar::<f32>()?;
        assert!(difference < 1e-6, "{difference}");
    }
    for (position, member) in pool.members().iter().enumerate() {
        let network = pool.network(position)?;
        let alone = network.forward(data.inputs().only()?)?;
        assert_eq!(bits(&alone), bits(&by_member.values().get(position)?), "{}", member.record.run);
    }
    Ok(())
}

/// A resampling of the user's own whose runs share a slot, exclude rows and end with a refit.
#[test]
fn excluded_rows_and_refit_members_make_no_held_out_prediction() -> Result<()> {
    #[derive(Debug)]
    struct Halves;
    impl candle_ensemble::resample::Resample for Halves {
        fn draw(&self, _: &dyn Dataset, _: Seed) -> Result<Vec<RunRows>> {
            let first = RunRows { excluded: (10..12).into(), ..RunRows::of(0..10) };
            let second = RunRows::of(10..20);
            let all = RunRows { refit: true, ..RunRows::of(0..20) };
            Ok(vec![first, second, all])
        }
        fn slot(&self, _: usize) -> usize {
            0
        }
        fn name(&self) -> String {
            "halves".into()
        }
    }
    let data: TensorDataset = line(9, 20, 0.1);
    let trainer = trainer();
    let strategy = candle_ensemble::strategy::Strategy::of(Halves);
    let pool = Session::new(&trainer, &data).fit(&strategy, 42)?;
    assert_eq!((pool.members().len(), pool.slots()), (3, 1));
    // Rows 10 and 11 shaped the second member and are excluded for the first.
    assert_eq!(pool.held_out()?.rows(), [(0..10).collect::<Rows>(), (12..20).collect()].concat());
    let ensemble = pool.combine(&Mean)?;
    assert_eq!(ensemble.members().len(), 1, "the refit member predicts alone");
    let refit = pool.network(2)?.forward(data.inputs().only()?)?;
    assert_eq!(bits(&ensemble.predict(data.inputs())?), bits(&refit));
    Ok(())
}
