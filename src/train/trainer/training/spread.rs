//! The batch of a step as the members of one network train on it.
use crate::{
    data::{Batch, Inputs},
    kernels::rows::select,
    network::{MemberBatches, Members},
    train::{MixedBatch, TargetShare},
    Rows, Seed,
};
use candle_core::{Result as CandleResult, Tensor};
use rand::seq::SliceRandom;

/// Which row of a batch each row of the network's output belongs to, where the network holds several members that train at
/// once. The rows of one member come after those of the other.
#[derive(Debug)]
pub(in crate::train::trainer) struct Spread {
    rows: Vec<u32>,
    /// Whether the network gets an input for each row of the output, or one for each row of the batch.
    inputs: bool,
}

impl Spread {
    /// For a batch of `rows` rows; `None` where each of them is a row of the output.
    pub(super) fn new(members: Members, rows: usize, seed: Seed) -> Option<Self> {
        match members.batches {
            MemberBatches::Shared if members.count > 1 => Some(Self::shared(members.count, rows)),
            MemberBatches::Own { repetitions, shared } => {
                let rows = own_rows(members.count, (repetitions, shared), rows, seed);
                Some(Self { rows, inputs: true })
            }
            _ => None,
        }
    }

    /// All rows for each member.
    pub(super) fn shared(members: usize, rows: usize) -> Self {
        Self { rows: (0..members).flat_map(|_| 0..rows as u32).collect(), inputs: false }
    }

    /// For each row of the output what is given for each row of the batch.
    pub(super) fn of(&self, rows: &Tensor) -> CandleResult<Tensor> {
        select(rows, &self.rows)
    }

    /// The numbers of the rows of the output within the data set, from those of the batch.
    pub(super) fn numbers(&self, rows: &[u32]) -> Rows {
        self.rows.iter().filter_map(|row| rows.get(*row as usize).copied()).collect()
    }

    /// The number of rows of the output.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The inputs of the network.
    pub(super) fn inputs(&self, inputs: Inputs) -> CandleResult<Inputs> {
        if !self.inputs {
            return Ok(inputs);
        }
        let spread = inputs.tensors().iter().map(|input| self.of(input));
        Ok(spread.collect::<CandleResult<Vec<_>>>()?.into())
    }

    /// A batch with targets and weights for each row of the output, and the inputs that it had.
    pub(super) fn counted(&self, batch: Batch) -> CandleResult<Batch> {
        let weights = batch.weights.map(|w| self.of(&w)).transpose()?;
        Ok(Batch { inputs: batch.inputs, targets: self.of(&batch.targets)?, weights })
    }

    /// A batch as the network gets it, with targets and weights for each row of the output.
    pub(super) fn batch(&self, batch: Batch) -> CandleResult<Batch> {
        let Batch { inputs, targets, weights } = self.counted(batch)?;
        Ok(Batch { inputs: self.inputs(inputs)?, targets, weights })
    }

    /// The same for a batch whose rows may have several targets.
    pub(super) fn mixed(&self, mixed: MixedBatch) -> CandleResult<MixedBatch> {
        let others = mixed.others.iter().map(|other| {
            let TargetShare { share, targets, weights } = other;
            let weights = weights.as_ref().map(|w| self.of(w)).transpose()?;
            Ok(TargetShare { share: *share, targets: self.of(targets)?, weights })
        });
        let others = others.collect::<CandleResult<Vec<_>>>()?;
        Ok(MixedBatch { batch: self.batch(mixed.batch.clone())?, others, ..mixed })
    }
}

/// The rows of the batch several times, in random order: at a share of the places the same rows for all members, at the others
/// shuffled for each member.
///
/// Source: Havasi et al. 2021, arXiv:2010.06610, with its batch repetition and input repetition.
fn own_rows(members: usize, (repetitions, shared): (usize, f64), rows: usize, seed: Seed) -> Vec<u32> {
    let mut all: Vec<u32> = (0..repetitions).flat_map(|_| 0..rows as u32).collect();
    all.shuffle(&mut seed.child("rows").rng());
    let same = (all.len() as f64 * shared).round() as usize;
    let (own, same) = all.split_at(all.len().saturating_sub(same));
    let mut spread = Vec::with_capacity(members * all.len());
    for member in 0..members {
        let mut of_member = own.to_vec();
        of_member.shuffle(&mut seed.nth("member", member as u64).rng());
        spread.extend(of_member);
        spread.extend_from_slice(same);
    }
    spread
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use proptest::prelude::*;

    fn own(count: usize, repetitions: usize, shared: f64) -> Members {
        Members { count, batches: MemberBatches::Own { repetitions, shared } }
    }

    #[test]
    fn plain_networks_and_single_batches_are_not_spread() {
        let single = Members { count: 32, batches: MemberBatches::Single };
        let one = Members { count: 1, batches: MemberBatches::Shared };
        for members in [Members::default(), single, one] {
            assert!(Spread::new(members, 5, Seed::from(1)).is_none());
        }
    }

    #[test]
    fn a_shared_batch_keeps_its_inputs_and_repeats_the_rest() {
        let members = Members { count: 3, batches: MemberBatches::Shared };
        let spread = Spread::new(members, 2, Seed::from(1)).unwrap();
        let x = Tensor::new(&[[1f32], [2.]], &Device::Cpu).unwrap();
        let batch = Batch {
            inputs: x.clone().into(),
            targets: Tensor::new(&[7u32, 8], &Device::Cpu).unwrap(),
            weights: Some(Tensor::new(&[0.5f32, 2.], &Device::Cpu).unwrap()),
        };
        let batch = spread.batch(batch).unwrap();
        assert_eq!(batch.inputs.only().unwrap().dims(), [2, 1]);
        assert_eq!(batch.targets.to_vec1::<u32>().unwrap(), [7, 8, 7, 8, 7, 8]);
        assert_eq!(batch.weights.unwrap().to_vec1::<f32>().unwrap(), [0.5, 2., 0.5, 2., 0.5, 2.]);
        assert_eq!(spread.numbers(&[40, 50]), [40, 50, 40, 50, 40, 50]);
        assert_eq!(spread.len(), 6);
    }

    #[test]
    fn inputs_follow_the_rows_of_each_member() {
        let spread = Spread::new(own(2, 1, 0.), 4, Seed::from(3)).unwrap();
        let x = Tensor::arange(0u32, 4, &Device::Cpu).unwrap();
        let batch = Batch { inputs: x.clone().into(), targets: (x * 10.).unwrap(), weights: None };
        let batch = spread.batch(batch).unwrap();
        let x = batch.inputs.only().unwrap().to_vec1::<u32>().unwrap();
        let y = batch.targets.to_vec1::<u32>().unwrap();
        assert!(x.iter().zip(&y).all(|(x, y)| 10 * x == *y) && x.len() == 8);
    }

    proptest! {
        /// Every member has every row of the batch as often, the places that are the same are as many as they should be, and
        /// the same seed gives the same rows.
        #[test]
        fn members_have_all_rows_and_share_some(
            (count, repetitions, rows) in (1usize..5, 1usize..4, 1usize..20),
            shared in 0f64..=1.,
            seed: u64,
        ) {
            let members = own(count, repetitions, shared);
            let spread = Spread::new(members, rows, Seed::from(seed)).unwrap();
            prop_assert_eq!(&spread.rows, &Spread::new(members, rows, Seed::from(seed)).unwrap().rows);
            let each: Vec<&[u32]> = spread.rows.chunks(repetitions * rows).collect();
            prop_assert_eq!(each.len(), count);
            for of_member in &each {
                let mut sorted = of_member.to_vec();
                sorted.sort_unstable();
                let all: Vec<u32> = (0..rows as u32).flat_map(|row| vec![row; repetitions]).collect();
                prop_assert_eq!(sorted, all);
            }
            let same = (0..repetitions * rows).filter(|place| each.iter().all(|of| of[*place] == each[0][*place]));
            prop_assert!(same.count() >= (shared * (repetitions * rows) as f64).round() as usize);
        }
    }

    /// Without shared rows two members meet at one place of 1000 on average, and with all of them everywhere.
    #[test]
    fn without_a_share_members_have_orders_of_their_own() {
        let same = |shared: f64| {
            let spread = Spread::new(own(2, 1, shared), 1000, Seed::from(8)).unwrap();
            let (a, b) = spread.rows.split_at(1000);
            a.iter().zip(b).filter(|(a, b)| a == b).count()
        };
        assert!(same(0.) < 8, "{}", same(0.));
        assert!((500..508).contains(&same(0.5)), "{}", same(0.5));
        assert_eq!(same(1.), 1000);
    }
}
