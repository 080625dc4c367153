//! Held-out predictions of pools on disk.
use crate::common::{flat, line, CPU};
use candle_core::{DType, Tensor};
use candle_ensemble::{
    combine::{
        stack::{Linear as LinearRegression, Stack},
        Combiner, EnsembleSelection, FittedCombiner, InverseError, Mean, SimplexLogLoss, SimplexSquares,
        Weighted,
    },
    data::{Dataset, TensorDataset},
    strategy::{Bagging, EnsembleBuilder, KFold, MultiRun},
    train::Trainer,
    Error, HeldOut, HeldOutFile, Pool, Result, Session,
};
use candle_nn::{linear, Linear};

fn regression() -> Trainer<Linear> {
    Trainer::new(|vb| linear(2, 1, vb)).epochs(2)
}

fn classes() -> TensorDataset {
    let x = Tensor::arange(0f32, 240., &CPU).unwrap().reshape((120, 2)).unwrap();
    let x = (x.affine(0.7, 0.).unwrap().sin().unwrap() * 2.).unwrap();
    let y = Tensor::from_iter((0..120u32).map(|row| (row * 7 / 5) % 3), &CPU).unwrap();
    TensorDataset::classification(&x, &y).unwrap()
}

/// Everything in held-out predictions, with 0 for what is missing.
fn content(held_out: &HeldOut) -> (Vec<f64>, Vec<f64>, Vec<f64>, Vec<f64>, Vec<u32>, Vec<String>) {
    let predictions = held_out.predictions();
    let (slots, rows, width) = predictions.values().dims3().unwrap();
    let covered = predictions.covered().map_or_else(|| vec![1.; slots * rows], flat);
    let values = flat(predictions.values()).into_iter().enumerate();
    let values = values.map(|(i, x)| if covered[i / width] > 0. { x } else { 0. }).collect();
    let weights = held_out.weights().map(flat).unwrap_or_default();
    let names = held_out.names().to_vec();
    (values, covered, flat(held_out.targets()), weights, held_out.rows().to_vec(), names)
}

fn same(file: &HeldOutFile, pool: &HeldOut) {
    let loaded = file.load().unwrap();
    assert_eq!(content(&loaded), content(pool));
    assert_eq!((loaded.groups(), loaded.costs(), loaded.seed()), (pool.groups(), pool.costs(), pool.seed()));
    assert_eq!(loaded.total_rows(), pool.total_rows());
    assert_eq!(loaded.predictions().values().dtype(), pool.predictions().values().dtype());
}

/// Slots of several members, whose mean is their prediction; members that miss rows; and a refit.
#[test]
fn a_file_of_a_pool_holds_its_held_out_predictions() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pool.heldout");
    let (values, of_classes) = (line(1, 90, 0.1), classes());
    let trainer = regression();
    let check = |strategy: &dyn EnsembleBuilder, data: &dyn Dataset| -> Result<()> {
        let pool = Session::new(&trainer, data).fit(strategy, 5)?;
        same(&pool.held_out_on_disk(&path)?, pool.held_out()?);
        Ok(())
    };
    check(&KFold::new(3).repeats(2), &values)?;
    check(&KFold::new(3).repeats(2).refit(true), &values)?;
    check(&Bagging::new(6), &values)?;
    let trainer = Trainer::new(|vb| linear(2, 3, vb)).epochs(2);
    for strategy in [&KFold::new(4).repeats(3) as &dyn EnsembleBuilder, &Bagging::new(7)] {
        let pool = Session::new(&trainer, &of_classes).fit(strategy, 5)?;
        same(&pool.held_out_on_disk(&path)?, pool.held_out()?);
    }
    Ok(())
}

#[test]
fn rows_without_weight_are_left_out_and_groups_are_kept() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let weights: Vec<f32> = (0..120).map(|row| (row % 4) as f32).collect();
    let data = classes().with_groups((0..120).map(|row| row / 2).collect())?.with_scoring_weights(weights)?;
    let trainer = Trainer::new(|vb| linear(2, 3, vb)).epochs(2);
    let pool = Session::new(&trainer, &data).fit(&Bagging::new(5), 5)?;
    let all = pool.held_out()?;
    let weights = flat(all.weights().unwrap());
    let kept: Vec<u32> = (0..weights.len() as u32).filter(|row| weights[*row as usize] > 0.).collect();
    assert!(kept.len() < weights.len());
    same(&pool.held_out_on_disk(folder.path().join("a"))?, &all.select(&kept)?);
    Ok(())
}

#[test]
fn an_ensemble_fitted_on_disk_is_one_fitted_in_memory() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let data = classes();
    let trainer = Trainer::new(|vb| linear(2, 3, vb)).epochs(3);
    let pool = Session::new(&trainer, &data).fit(&KFold::new(4).repeats(5), 7)?;
    let file = pool.held_out_on_disk(folder.path().join("a"))?.with_memory(1 << 20);
    let x = data.batch(&[0, 5, 9], &CPU)?.inputs;
    let x = x.only()?.to_dtype(DType::F32)?;
    fn agree<C: Combiner>(
        combiner: &C,
        pool: &Pool<'_, Trainer<Linear>>,
        file: &HeldOutFile,
        x: &Tensor,
    ) -> Result<()> {
        let one = pool.combine(combiner)?.predict_proba(x)?;
        let other = pool.combine_on_disk(combiner, file)?.predict_proba(x)?;
        for (a, b) in flat(&one).iter().zip(flat(&other)) {
            assert!((a - b).abs() < 1e-4, "{combiner:?}: {a} is not {b}");
        }
        Ok(())
    }
    agree(&Mean, &pool, &file, &x)?;
    agree(&InverseError::new(), &pool, &file, &x)?;
    agree(&SimplexSquares::new(), &pool, &file, &x)?;
    agree(&SimplexLogLoss::new(), &pool, &file, &x)?;
    agree(&EnsembleSelection::new(10), &pool, &file, &x)?;
    agree(&Stack::new(LinearRegression), &pool, &file, &x)?;
    assert_eq!(file.metrics(&Mean)?, pool.held_out()?.metrics(&Mean)?);
    Ok(())
}

#[test]
fn what_does_not_belong_together_is_refused() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let data = line(1, 40, 0.1);
    let trainer = regression();
    let pool = |members, seed| Session::new(&trainer, &data).fit(&Bagging::new(members), seed);
    let (three, four) = (pool(3, 1)?, pool(4, 1)?);
    let file = three.held_out_on_disk(folder.path().join("a"))?;
    let refused = |pool: &Pool<'_, Trainer<Linear>>| {
        pool.combine_on_disk(&InverseError::new(), &file).unwrap_err().to_string()
    };
    assert!(refused(&four).contains("the number of slots of"), "{}", refused(&four));
    let other = line(1, 50, 0.1);
    let of_others = Session::new(&trainer, &other).fit(&Bagging::new(3), 1)?;
    assert!(refused(&of_others).contains("the number of rows of"), "{}", refused(&of_others));
    // Members that have all seen all rows.
    let all = Session::new(&trainer, &data).fit(&MultiRun::new(2), 1)?;
    let error = all.held_out_on_disk(folder.path().join("b")).unwrap_err();
    assert!(matches!(error, Error::HeldOut { .. }), "{error}");
    assert!(!folder.path().join("b").exists());
    let weights = Weighted::new(&[1., 2., 3.])?;
    assert_eq!(weights.fit_on_disk(&file)?.weights(), weights.weights());
    Ok(())
}
