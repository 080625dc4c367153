//! Which held-out predictions a pool keeps: one for each row, or those of some positions of each row.
use crate::{
    data::{positions::FlatTargets, Dataset, Positions, Purpose},
    kernels::rows::select,
    predictions::{HeldOut, Predictions, Targets},
    Result, Rows, Seed,
};
use candle_core::{Device, Tensor};
use std::borrow::Cow;

/// The most numbers that the predictions of all slots for positions may have: 256 MB of f32.
pub(crate) const MOST_NUMBERS: usize = 1 << 26;

/// Rows whose targets are read at a time.
const READ_ROWS: usize = 256;

/// The held-out predictions that are kept.
pub(crate) enum Kept {
    /// One for each row, of which there are so many.
    Rows(usize),
    /// Some positions of each row.
    Positions(KeptPositions),
}

/// Positions of rows, row by row.
pub(crate) struct KeptPositions {
    /// The number of positions of a row.
    per_row: usize,
    /// For each row where its positions begin among all of them, and the number of all.
    starts: Vec<u32>,
    /// The numbers of the positions within their rows.
    positions: Vec<u32>,
    /// Their classes.
    targets: Vec<u32>,
    /// Their weights, if the data has weights.
    weights: Vec<f32>,
}

impl Kept {
    /// These rows of a data set, or as many of their positions as the predictions of one slot may be numbers, but one of each
    /// row at least. Positions of the ignored class are never kept. From here on, rows are numbered by their places in this
    /// list.
    pub(crate) fn of(
        data: &dyn Dataset,
        rows: &[u32],
        numbers: usize,
        device: &Device,
        seed: Seed,
    ) -> Result<Self> {
        match data.positions() {
            Positions::One => Ok(Self::Rows(rows.len())),
            _ => {
                let of_one = data.task().width().saturating_mul(rows.len());
                let of_row = (numbers / of_one.max(1)).max(1);
                Ok(Self::Positions(KeptPositions::draw(data, rows, of_row, device, seed.child("positions"))?))
            }
        }
    }

    /// How many predictions of a slot are kept.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Rows(rows) => *rows,
            Self::Positions(kept) => kept.positions.len(),
        }
    }

    /// Those of a slot's predictions for these rows that are kept, `(n, C)`.
    pub(crate) fn select(&self, rows: &[u32], predicted: Tensor) -> Result<Tensor> {
        match self {
            Self::Rows(_) => Ok(predicted),
            Self::Positions(kept) => Ok(select(&predicted, &kept.numbers(rows))?),
        }
    }

    /// Those of all slots' predictions for these rows that are kept, `(S, n, C)`, in the order of the rows.
    pub(crate) fn select_all(&self, rows: &[u32], predicted: Predictions) -> Result<Predictions> {
        match self {
            Self::Rows(_) => Ok(predicted),
            Self::Positions(kept) => Ok(predicted.select_rows(&kept.numbers(rows))?),
        }
    }

    /// The rows of the predictions at these places, each once where the predictions of a row are beside each other.
    pub(crate) fn rows_at(&self, places: &[u32]) -> Rows {
        match self {
            Self::Rows(_) => places.to_vec(),
            Self::Positions(kept) => {
                let row = |place: &u32| kept.starts.partition_point(|start| start <= place) as u32 - 1;
                let mut rows: Rows = places.iter().map(row).collect();
                rows.dedup();
                rows
            }
        }
    }

    /// The places of the predictions for these rows among all that are kept.
    pub(crate) fn places<'r>(&self, rows: &'r [u32]) -> Cow<'r, [u32]> {
        match self {
            Self::Rows(_) => Cow::Borrowed(rows),
            Self::Positions(kept) => {
                rows.iter().flat_map(|row| kept.range(*row)).map(|place| place as u32).collect()
            }
        }
    }

    /// The kept predictions, `(S, N, C)`, with their targets; those that no slot predicts are left out. `rows` are those
    /// that were given to [`of`](Self::of).
    pub(crate) fn held_out(
        &self,
        predictions: &Predictions,
        (data, rows): (&dyn Dataset, &[u32]),
        device: &Device,
        (names, costs): (Vec<String>, Vec<f64>),
    ) -> Result<HeldOut> {
        let (predictions, places) = HeldOut::predicted(predictions)?;
        match self {
            Self::Rows(_) => {
                let rows = places.iter().filter_map(|place| rows.get(*place as usize).copied()).collect();
                HeldOut::from_rows(predictions, data, device, rows, names, costs)
            }
            Self::Positions(kept) => {
                let targets = kept.targets(&places, rows, data.rows(), device)?;
                HeldOut::from_targets(predictions, data, targets, names, costs)
            }
        }
    }
}

impl KeptPositions {
    /// At most `of_row` positions of each row that have a class, drawn without replacement.
    fn draw(data: &dyn Dataset, rows: &[u32], of_row: usize, device: &Device, seed: Seed) -> Result<Self> {
        let mut kept =
            Self { per_row: 0, starts: vec![0], positions: vec![], targets: vec![], weights: vec![] };
        for rows in rows.chunks(READ_ROWS) {
            let batch = data.batch_for(Purpose::Scoring, rows, device)?;
            let Some(flat) = FlatTargets::of_some(&batch.targets, batch.weights.as_ref(), data.positions())?
            else {
                // Rows without a class.
                kept.starts.extend(rows.iter().map(|_| kept.positions.len() as u32));
                continue;
            };
            if kept.per_row != 0 && kept.per_row != flat.per_row {
                let must = format!("{}, as that of the rows before", kept.per_row);
                return Err(crate::Error::invalid("the number of positions of a row", must, flat.per_row));
            }
            kept.per_row = flat.per_row;
            kept.add(&flat, rows, of_row, seed)?;
        }
        match kept.positions.is_empty() {
            false => Ok(kept),
            true => {
                let must = "of another class than the ignored one at one position at least";
                Err(crate::Error::invalid("the targets of the rows", must, "of no other class"))
            }
        }
    }

    fn add(&mut self, flat: &FlatTargets, rows: &[u32], of_row: usize, seed: Seed) -> Result<()> {
        let targets = flat.targets.to_device(&Device::Cpu)?.to_vec1::<u32>()?;
        let weights =
            flat.weights.as_ref().map(|w| w.to_device(&Device::Cpu)?.to_vec1::<f32>()).transpose()?;
        let positions: Cow<'_, [u32]> = match &flat.kept {
            Some(kept) => Cow::Borrowed(kept),
            None => (0..targets.len() as u32).collect(),
        };
        let mut begin = 0;
        for (i, row) in rows.iter().enumerate() {
            let (first, last) = ((i * flat.per_row) as u32, ((i + 1) * flat.per_row) as u32);
            let end = begin + positions[begin..].partition_point(|position| *position < last);
            for at in drawn(end - begin, of_row, seed.nth("row", u64::from(*row))) {
                self.positions.push(positions[begin + at] - first);
                self.targets.push(targets[begin + at]);
                self.weights.extend(weights.as_ref().map(|weights| weights[begin + at]));
            }
            self.starts.push(self.positions.len() as u32);
            begin = end;
        }
        Ok(())
    }

    /// The numbers of the kept positions of these rows among all positions of the same rows.
    fn numbers(&self, rows: &[u32]) -> Vec<u32> {
        let of_row = |(i, row): (usize, &u32)| {
            let start = (i * self.per_row) as u32;
            self.positions[self.range(*row)].iter().map(move |position| start + position)
        };
        rows.iter().enumerate().flat_map(of_row).collect()
    }

    /// The places of a row's positions among all of them.
    fn range(&self, row: u32) -> std::ops::Range<usize> {
        let start = |row: usize| self.starts.get(row).copied().unwrap_or_default() as usize;
        start(row as usize)..start(row as usize + 1)
    }

    /// The targets of the positions at these places, of these rows of a data set with so many rows.
    pub(crate) fn targets(
        &self,
        places: &[u32],
        rows: &[u32],
        total: usize,
        device: &Device,
    ) -> Result<Targets> {
        let all: Rows = (0u32..).zip(rows).flat_map(|(at, row)| self.range(at).map(move |_| *row)).collect();
        let pick =
            |numbers: &[u32]| -> Vec<u32> { places.iter().map(|place| numbers[*place as usize]).collect() };
        let weights: Vec<f32> = match self.weights.is_empty() {
            true => vec![],
            false => places.iter().map(|place| self.weights[*place as usize]).collect(),
        };
        Ok(Targets {
            targets: Tensor::new(pick(&self.targets), device)?,
            weights: (!weights.is_empty()).then(|| Tensor::new(weights, device)).transpose()?,
            rows: pick(&all),
            total_rows: total.saturating_mul(self.per_row),
        })
    }
}

/// At most `most` of the numbers below `count`, sorted.
fn drawn(count: usize, most: usize, seed: Seed) -> Vec<usize> {
    if count <= most {
        return (0..count).collect();
    }
    let mut drawn = rand::seq::index::sample(&mut seed.rng(), count, most).into_vec();
    drawn.sort_unstable();
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::TensorDataset;
    use candle_core::DType;

    fn data() -> TensorDataset {
        let pixels = Tensor::new(&[[0u32, 1, 9, 2], [9, 9, 1, 0], [2, 2, 2, 1]], &Device::Cpu).unwrap();
        let inputs = Tensor::zeros((3, 1), DType::F32, &Device::Cpu).unwrap();
        TensorDataset::dense(inputs, &pixels, Some(9)).unwrap().with_weights(vec![1., 2., 3.]).unwrap()
    }

    fn kept(of_row: usize) -> KeptPositions {
        KeptPositions::draw(&data(), &[0, 1, 2], of_row, &Device::Cpu, Seed::from(1)).unwrap()
    }

    #[test]
    fn all_positions_with_a_class_are_kept_where_there_is_room() {
        let kept = kept(4);
        assert_eq!(kept.positions, [0, 1, 3, 2, 3, 0, 1, 2, 3]);
        assert_eq!(kept.targets, [0, 1, 2, 1, 0, 2, 2, 2, 1]);
        assert_eq!(kept.starts, [0, 3, 5, 9]);
        assert_eq!(kept.weights, [1., 1., 1., 2., 2., 3., 3., 3., 3.]);
        let targets = kept.targets(&[0, 3, 8], &[0, 1, 2], 3, &Device::Cpu).unwrap();
        assert_eq!(targets.rows, [0, 1, 2]);
        assert_eq!(targets.targets.to_vec1::<u32>().unwrap(), [0, 1, 1]);
        assert_eq!(targets.total_rows, 12);
        let all = Kept::Positions(kept);
        assert_eq!(*all.places(&[2, 0]), [5, 6, 7, 8, 0, 1, 2]);
        // The predictions of rows 2 and 0, whose positions are numbered from 0 to 7.
        let predicted = Tensor::arange(0f32, 8., &Device::Cpu).unwrap().unsqueeze(1).unwrap();
        let selected = all.select(&[2, 0], predicted).unwrap().flatten_all().unwrap();
        assert_eq!(selected.to_vec1::<f32>().unwrap(), [0., 1., 2., 3., 4., 5., 7.]);
        assert_eq!(all.rows_at(&[0, 2, 5, 6, 3]), [0, 2, 1]);
    }

    /// Rows are numbered by their places in the list, and what is drawn of a row depends on its number in the data.
    #[test]
    fn rows_of_a_list_have_the_positions_that_they_have_among_all() {
        let some = KeptPositions::draw(&data(), &[2, 0], 2, &Device::Cpu, Seed::from(1)).unwrap();
        let all = kept(2);
        assert_eq!(some.positions[0..2], all.positions[4..6]);
        assert_eq!(some.positions[2..4], all.positions[0..2]);
        let targets = some.targets(&[0, 3], &[2, 0], 3, &Device::Cpu).unwrap();
        assert_eq!((targets.rows, targets.total_rows), (vec![2, 0], 12));
    }

    #[test]
    fn drawn_positions_have_a_class_and_depend_on_the_seed_alone() {
        let some = kept(2);
        assert_eq!((some.positions.len(), &*some.starts), (6, &[0, 2, 4, 6][..]));
        assert_eq!(some.positions[2..4], [2, 3]);
        assert!(some.targets.iter().all(|class| *class < 3));
        assert_eq!(kept(2).positions, some.positions);
        let other = |seed| {
            let drawn = KeptPositions::draw(&data(), &[0, 1, 2], 2, &Device::Cpu, Seed::from(seed));
            drawn.unwrap().positions
        };
        assert!((2..20).any(|seed| other(seed) != some.positions));
    }
}
