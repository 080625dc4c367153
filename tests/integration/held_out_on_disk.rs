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
fn content(held_out: &HeldOut) -> ([Vec<f64>; 4], Vec<u32>, Vec<String>) {
    let predictions = held_out.predictions();
    let (slots, rows, width) = predictions.values().dims3().unwrap();
    let covered = predictions.covered().map_or_else(|| vec![1.; slots * rows], flat);
    let values = flat(predictions.values()).into_iter().enumerate();
    let values = values.map(|(i, x)| if covered[i / width] > 0. { x } else { 0. }).collect();
    let weights = held_out.weights().map(flat).unwrap_or_default();
    let names = held_out.names().to_vec();
    ([values, covered, flat(held_out.targets()), weights], held_out.rows().to_vec(), names)
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
    // The means differ in the last digit of f32, as the pool has a coverage where nothing is missing.
    let (one, other) = (file.metrics(&Mean)?.values(), pool.held_out()?.metrics(&Mean)?.values());
    for ((_, a), (_, b)) in one.iter().zip(other) {
        assert!((a - b).abs() < 1e-7, "{a} is not {b}");
    }
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

#[cfg(target_os = "linux")]
mod memory {
    use super::*;
    use candle_ensemble::{
        data::Task,
        predictions::{HeldOutWriter, Predictions},
    };
    use std::{fs, path::Path, process::Command};

    const MEMBERS: usize = 20;
    const CLASSES: usize = 10;
    const MIB: f64 = 1024. * 1024.;
    /// The variable that has the path of the file and the rule of a measurement.
    const CASE: &str = "HELD_OUT_ON_DISK_CASE";

    fn write(path: &Path, rows: usize) {
        let mut writer = HeldOutWriter::create(path).unwrap().chunk_rows(2000);
        for first in (0..rows).step_by(1000) {
            let count = MEMBERS * 1000 * CLASSES;
            let noise = Tensor::arange(0f32, count as f32, &CPU).unwrap().affine(1.7, first as f64).unwrap();
            let noise = noise.sin().unwrap().reshape((MEMBERS, 1000, CLASSES)).unwrap();
            let values = candle_nn::ops::softmax(&noise, 2).unwrap();
            let predictions = Predictions::new(values, Task::Classification { classes: CLASSES }).unwrap();
            let labels = Tensor::from_iter((0..1000u32).map(|row| (row * 7 / 3) % 10), &CPU).unwrap();
            writer.push(&HeldOut::from_predictions(&predictions, &labels).unwrap()).unwrap();
        }
        writer.finish().unwrap();
    }

    /// The peak resident memory in MiB.
    fn peak() -> f64 {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.
    }

    /// Runs in a process of its own: prints the growth of the peak during a fit.
    #[test]
    #[ignore = "a part of the_memory_does_not_grow_with_the_table"]
    fn fit_and_measure() {
        let Ok(case) = std::env::var(CASE) else { return };
        let (path, rule) = case.split_once('|').unwrap();
        let file = HeldOutFile::open(path).unwrap().with_memory(0);
        fs::write("/proc/self/clear_refs", "5").unwrap();
        let before = peak();
        match rule {
            "inverse-error" => drop(InverseError::new().fit_on_disk(&file).unwrap()),
            "squares" => drop(SimplexSquares::new().fit_on_disk(&file).unwrap()),
            "log-loss" => drop(SimplexLogLoss::new().fit_on_disk(&file).unwrap()),
            _ => drop(EnsembleSelection::new(4).fit_on_disk(&file).unwrap()),
        }
        println!("growth {}", peak() - before);
    }

    fn growth(path: &Path, rule: &str) -> f64 {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["held_out_on_disk::memory::fit_and_measure", "--exact", "--ignored", "--nocapture"]);
        // Freed memory goes back to the system at once, so that resident memory is memory in use.
        child.env("MALLOC_MMAP_THRESHOLD_", "65536").env(CASE, format!("{}|{rule}", path.display()));
        let output = child.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let growth = text.lines().find_map(|line| line.split("growth ").nth(1));
        let growth = growth.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
        growth.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Four times the rows, 46 MiB more of predictions: what grows is a few numbers for each row.
    #[test]
    fn the_memory_does_not_grow_with_the_table() {
        let folder = tempfile::tempdir().unwrap();
        let [small, large] = [20_000usize, 80_000].map(|rows| {
            let path = folder.path().join(rows.to_string());
            write(&path, rows);
            (path, (rows * MEMBERS * CLASSES * 4) as f64 / MIB)
        });
        for rule in ["inverse-error", "squares", "log-loss", "selection"] {
            let (of_small, of_large) = (growth(&small.0, rule), growth(&large.0, rule));
            assert!(of_large < large.1 / 2., "{rule}: {of_large} MiB for a table of {} MiB", large.1);
            let more = of_large - of_small;
            assert!(more < (large.1 - small.1) / 4., "{rule}: {of_small} and {of_large} MiB");
        }
    }
}
