use super::*;
use crate::Rows;
use candle_core::DType;
use proptest::prelude::*;
use rand::Rng;
use std::fs;

/// Random predictions, of which each is there with this probability, with weights of which some are 0, and groups.
fn random(seed: u64, rows: usize, classes: bool, share: f64) -> HeldOut {
    let mut rng = Seed::from(seed).rng();
    let (slots, task) = match classes {
        true => (3, Task::Classification { classes: 3 }),
        false => (4, Task::Regression { outputs: 2 }),
    };
    let width = task.width();
    let values: Vec<f64> = (0..slots * rows * width).map(|_| rng.random_range(0.0..1.)).collect();
    let mut covered: Vec<u8> = (0..slots * rows).map(|_| u8::from(rng.random_bool(share))).collect();
    covered[(slots - 1) * rows..].fill(1);
    let dtype = if seed.is_multiple_of(2) { DType::F32 } else { DType::F64 };
    let values =
        Tensor::from_vec(values, (slots, rows, width), &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
    let covered = Tensor::from_vec(covered, (slots, rows), &Device::Cpu).unwrap();
    let predictions = match share < 1. {
        true => Predictions::partial(values, covered, task).unwrap(),
        false => Predictions::new(values, task).unwrap(),
    };
    let targets = match task {
        Task::Classification { .. } => {
            Tensor::from_iter((0..rows).map(|_| rng.random_range(0..3u32)), &Device::Cpu).unwrap()
        }
        Task::Regression { outputs } => {
            let y = (0..rows * outputs).map(|_| rng.random_range(-1.0..1.)).collect::<Vec<f64>>();
            Tensor::from_vec(y, (rows, outputs), &Device::Cpu).unwrap()
        }
    };
    let mut weights: Vec<f64> = (0..rows).map(|_| f64::from(rng.random_range(0..3u8))).collect();
    weights[0] = 1.;
    let names: Vec<String> = (0..slots).map(|slot| format!("network {slot}")).collect();
    let held_out = HeldOut::from_predictions(&predictions, &targets).unwrap();
    let held_out = held_out.with_names(names).unwrap().with_seed(seed);
    let held_out = held_out.with_costs((0..slots).map(|slot| slot as f64).collect()).unwrap();
    let held_out = held_out.with_groups((0..rows as u32).map(|row| row / 3).collect()).unwrap();
    held_out.with_weights(&Tensor::from_vec(weights, rows, &Device::Cpu).unwrap()).unwrap()
}

fn written(path: &Path, parts: &[HeldOut], chunk_rows: usize) -> HeldOutFile {
    let mut writer = HeldOutWriter::create(path).unwrap().chunk_rows(chunk_rows);
    parts.iter().for_each(|part| writer.push(part).unwrap());
    writer.finish().unwrap()
}

/// The rows of held-out predictions in parts that end at these rows.
fn cut(held_out: &HeldOut, ends: &[usize]) -> Vec<HeldOut> {
    let mut from = 0;
    let part = |end: &usize| {
        let rows: Rows = (from as u32..*end as u32).collect();
        from = *end;
        held_out.select(&rows).unwrap()
    };
    ends.iter().map(part).collect()
}

/// All numbers, with those of missing predictions set to 0.
fn numbers(held_out: &HeldOut) -> (Vec<f64>, Vec<Vec<f32>>, Vec<f64>) {
    let predictions = held_out.predictions();
    let (slots, rows, width) = predictions.values().dims3().unwrap();
    let there = predictions.coverage_by_slot().unwrap().unwrap_or_else(|| vec![vec![1.; rows]; slots]);
    let values = predictions.values().to_dtype(DType::F64).unwrap().flatten_all().unwrap();
    let values = values.to_vec1::<f64>().unwrap().into_iter().enumerate();
    let present = |i: usize| there[i / width / rows][i / width % rows] > 0.;
    let values = values.map(|(i, x)| if present(i) { x } else { 0. }).collect();
    let targets = held_out.targets().to_dtype(DType::F64).unwrap().flatten_all().unwrap();
    (values, there, targets.to_vec1().unwrap())
}

fn assert_same(loaded: &HeldOut, want: &HeldOut) {
    let ((values, there, targets), (of_values, of_there, of_targets)) = (numbers(loaded), numbers(want));
    let single = loaded.predictions().values().dtype() == DType::F32;
    let of_values: Vec<f64> =
        of_values.iter().map(|x| if single { f64::from(*x as f32) } else { *x }).collect();
    assert_eq!((values, there, targets), (of_values, of_there, of_targets));
    assert_eq!(loaded.row_weights::<f64>().unwrap(), want.row_weights::<f64>().unwrap());
    assert_eq!(
        (loaded.groups(), loaded.names(), loaded.costs()),
        (want.groups(), want.names(), want.costs())
    );
    assert_eq!(loaded.predictions().names(), want.predictions().names());
    assert_eq!((loaded.seed(), loaded.predictions().task()), (want.seed(), want.predictions().task()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whatever the parts and the chunks.
    #[test]
    fn a_file_holds_what_was_written(
        seed in 0u64..1000, rows in 1usize..60, chunk_rows in 1usize..70, classes: bool, partial: bool,
        at in 0f64..1.,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.heldout");
        let all = random(seed, rows, classes, if partial { 0.5 } else { 1. });
        let middle = ((rows as f64 * at) as usize).clamp(1, rows);
        let ends: Vec<usize> = if middle == rows { vec![rows] } else { vec![middle, rows] };
        let parts = cut(&all, &ends);
        // A part needs a row with a weight.
        prop_assume!(parts.iter().all(|part| part.rows_with_weight().is_ok()));
        let file = written(&path, &parts, chunk_rows);
        let want = all.rows_with_weight().unwrap();
        prop_assert_eq!(file.rows(), want.rows().len());
        prop_assert_eq!(file.chunks(), want.rows().len().div_ceil(chunk_rows));
        let loaded = file.load().unwrap();
        assert_same(&loaded, &want);
        if parts.len() == 1 {
            prop_assert_eq!(loaded.rows(), want.rows());
        }
        let total: f64 = want.row_weights::<f64>().unwrap().unwrap().iter().sum();
        prop_assert!((file.total_weight() - total).abs() < 1e-9);
        let counts: Vec<u64> = numbers(&want).1.iter()
            .map(|slot| slot.iter().filter(|x| **x > 0.).count() as u64).collect();
        prop_assert_eq!(file.counts(), counts.as_slice());
        // Chunk by chunk it is the same.
        let mut from = 0;
        for number in 0..file.chunks() {
            let chunk = file.chunk(number).unwrap();
            let own: Rows = (from..from + chunk.rows().len() as u32).collect();
            from += chunk.rows().len() as u32;
            assert_same(&chunk, &want.select(&own).unwrap());
        }
    }
}

#[test]
fn rows_of_parts_are_numbered_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let values = Tensor::new(&[[[1f32], [2.]]], &Device::Cpu).unwrap();
    let predictions = Predictions::new(values, Task::Regression { outputs: 1 }).unwrap();
    let y = Tensor::new(&[1f32, 1.], &Device::Cpu).unwrap();
    let part = HeldOut::from_predictions(&predictions, &y).unwrap();
    let file = written(&folder.path().join("a"), &[part.clone(), part.clone(), part], 4);
    assert_eq!(file.load().unwrap().rows(), [0, 1, 2, 3, 4, 5]);
    assert_eq!((file.total_rows(), file.chunks(), file.is_partial(), file.is_wide()), (6, 2, false, false));
}

#[test]
fn every_changed_byte_and_every_missing_end_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.heldout");
    let file = written(&path, &[random(4, 40, true, 0.5)], 16);
    let sections: Vec<Range<usize>> = file
        .index
        .chunks
        .iter()
        .zip(&file.places)
        .flat_map(|(chunk, place)| {
            let (start, sections) = (chunk.start as usize, &place.sections);
            let of = |range: &Range<usize>| start + range.start..start + range.end;
            [of(&sections.values), of(&sections.covered), of(&sections.about_rows())]
        })
        .collect();
    drop(file);
    let bytes = fs::read(&path).unwrap();
    let other = folder.path().join("b.heldout");
    let read = |bytes: &[u8]| {
        fs::write(&other, bytes).unwrap();
        HeldOutFile::open(&other).and_then(|file| file.load())
    };
    assert!(read(&bytes).is_ok());
    for (number, section) in sections.iter().enumerate() {
        for at in [section.start, section.start + section.len() / 2, section.end - 1] {
            let mut changed = bytes.clone();
            changed[at] ^= 4;
            let error = read(&changed).unwrap_err();
            let first = number / 3 * 16;
            assert!(
                matches!(&error, Error::Damaged { what, why }
                if what.ends_with("b.heldout") && why.contains(&format!("rows {first}.."))),
                "{error}"
            );
        }
    }
    for at in [0, 3, bytes.len() - 200, bytes.len() - 100, bytes.len() - 5, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 4;
        assert!(read(&changed).is_err(), "{at}");
    }
    for end in (0..bytes.len()).step_by(97).chain([bytes.len() - 1, bytes.len() - 8, 4096]) {
        let error = read(&bytes[..end]).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. } | Error::Foreign { .. }), "{end}: {error}");
    }
    let error = read(&bytes[..bytes.len() - 1]).unwrap_err().to_string();
    assert!(error.contains("its end is missing"), "{error}");
    let error = read(&[&bytes[..], b"x"].concat()).unwrap_err().to_string();
    assert!(error.contains("its end is missing"), "{error}");
    let error = read(b"PK\x03\x04").unwrap_err().to_string();
    assert!(error.contains("does not begin like a held-out predictions"), "{error}");
}

#[test]
fn what_is_not_finished_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.heldout");
    let part = random(1, 20, false, 1.);
    let mut writer = HeldOutWriter::create(&path).unwrap().chunk_rows(4);
    writer.push(&part).unwrap();
    drop(writer);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let none = HeldOutWriter::create(&path).unwrap().finish().unwrap_err().to_string();
    assert!(none.contains("must be at least one"), "{none}");
    assert!(HeldOutWriter::create(folder.path().join("no/where")).is_err());
    // A file that is open stays what it is when another one replaces it.
    let file = written(&path, std::slice::from_ref(&part), 4);
    written(&path, &[random(2, 9, true, 1.)], 4);
    assert_same(&file.load().unwrap(), &part.rows_with_weight().unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn parts_of_another_kind_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = random(1, 20, false, 1.);
    let names = vec!["a".into(), "b".into(), "c".into(), "d".into()];
    let unweighted = |held_out: &HeldOut| {
        HeldOut::from_predictions(held_out.predictions(), held_out.targets())
            .unwrap()
            .with_costs(vec![0., 1., 2., 3.])
    };
    for (other, wrong) in [
        (random(1, 20, true, 1.), "the task"),
        (first.clone().with_names(names).unwrap(), "the members"),
        (first.clone().with_costs(vec![1.; 4]).unwrap(), "the costs"),
        (unweighted(&first).unwrap(), "with weights"),
    ] {
        let mut writer = HeldOutWriter::create(folder.path().join("a")).unwrap();
        writer.push(&first).unwrap();
        let error = writer.push(&other).unwrap_err().to_string();
        assert!(error.contains(wrong), "{wrong}: {error}");
        assert!(writer.finish().is_err());
    }
}

#[test]
fn more_than_the_memory_is_not_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let all = random(2, 30, true, 1.);
    let file = written(&folder.path().join("a"), std::slice::from_ref(&all), 8);
    let bytes = 3 * 3 * 4 * file.rows();
    let file = file.with_memory(bytes);
    assert!(file.load().is_ok());
    let error = file.with_memory(bytes - 1).load().unwrap_err().to_string();
    assert!(error.contains(&format!("must be at most {} bytes", bytes - 1)), "{error}");
}

/// A file with right hashes, whose index says what cannot be.
#[test]
fn an_index_that_contradicts_itself_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.heldout");
    let file = written(&path, &[random(4, 40, true, 0.5)], 16);
    let index = file.index.clone();
    drop(file);
    let bytes = fs::read(&path).unwrap();
    let (_, end) = layout::index(&bytes).unwrap();
    let changes: [fn(&mut Index); 12] = [
        |index| index.chunks.clear(),
        |index| index.chunks[0].rows = 0,
        |index| index.chunks[1].rows = usize::MAX / 2,
        |index| index.chunks[1].rows += 1000,
        |index| index.chunks[1].start = 0,
        |index| index.chunks[1].start = u64::MAX - 4095,
        |index| index.chunks[1].start += 1,
        |index| index.chunks[0].weight = f64::NAN,
        |index| index.counts.truncate(1),
        |index| index.costs.truncate(1),
        |index| index.names.clear(),
        |index| index.task = Task::Classification { classes: usize::MAX },
    ];
    let with = |index: &Index| {
        let closing = layout::closing(&codec::encode(index).unwrap());
        fs::write(&path, [&bytes[..end], &closing].concat()).unwrap();
        HeldOutFile::open(&path)
    };
    assert!(with(&index).unwrap().load().is_ok());
    for (number, change) in changes.iter().enumerate() {
        let mut wrong = index.clone();
        change(&mut wrong);
        assert!(matches!(with(&wrong), Err(Error::Foreign { .. })), "{number}");
    }
    // Fewer classes: the labels are then out of range.
    let wrong = Index { task: Task::Classification { classes: 2 }, ..index };
    assert!(with(&wrong).and_then(|file| file.load()).is_err());
}
