//! Networks that hold several members: as slots of a pool, in stores, in files, and pruned.
use crate::common::{bits, distance, flat, normal, CPU};
use candle_core::{bail, Result as CandleResult, Tensor};
use candle_ensemble::{
    data::{Inputs, TensorDataset},
    exec::{Executor, Sequential, Stacked},
    merge::{MaxBarrier, MergeSpec, RunWeights},
    network::{Aggregation, MemberBatches, Members},
    nn::backward,
    prelude::*,
    store::{DirectoryStore, InNetwork},
    train::{CustomLoop, JointLoss},
    Network, PretrainedMember,
};
use candle_nn::{loss, Init, Optimizer, VarBuilder, SGD};

const FEATURES: usize = 3;
const CLASSES: usize = 4;

/// Linear members with weights of their own, behind a scale that they share.
struct LinearMembers {
    scale: Tensor,
    weight: Tensor,
}

impl LinearMembers {
    /// A network of so many members, or of as many as its weights have, if these are fewer.
    fn new(members: usize, vb: VarBuilder<'static>) -> CandleResult<Self> {
        let (normal, name) = (Init::Randn { mean: 0., stdev: 1. }, "head.members.weight");
        let weight = match vb.contains_tensor(name) {
            true => vb.get_unchecked(name)?,
            false => vb.get_with_hints((members, CLASSES, FEATURES), name, normal)?,
        };
        Ok(Self { scale: vb.get_with_hints(FEATURES, "scale", Init::Const(1.))?, weight })
    }
}

impl Network for LinearMembers {
    fn run(&self, inputs: &Inputs, _train: bool) -> CandleResult<Tensor> {
        let count = self.members().count;
        self.run_members(inputs)?.reshape((count, inputs.rows(), CLASSES))?.mean(0)
    }

    fn members(&self) -> Members {
        Members { count: self.weight.dims()[0], batches: MemberBatches::Shared }
    }

    fn run_members(&self, inputs: &Inputs) -> CandleResult<Tensor> {
        let x = inputs.only()?.broadcast_mul(&self.scale)?;
        x.broadcast_matmul(&self.weight.transpose(1, 2)?)?.flatten(0, 1)
    }
}

/// Trains all members on all rows, step by step.
fn learner(members: usize) -> impl Learner<Network = LinearMembers> {
    let new = move |vb| LinearMembers::new(members, vb);
    CustomLoop::new("members", new, |network: &LinearMembers, run| {
        let mut optimizer = SGD::new(run.vars().all_vars(), 0.1)?;
        for batch in run.batches(0, 8) {
            let batch = batch?;
            let logits = network.run_members(&batch.inputs)?;
            let targets = batch.targets.repeat(network.members().count)?;
            let gradients = backward(&loss::cross_entropy(&logits, &targets)?)?;
            optimizer.step(&gradients)?;
        }
        Ok(())
    })
}

fn data() -> TensorDataset {
    let labels = Tensor::from_iter((0..40u32).map(|row| row % CLASSES as u32), &CPU).unwrap();
    TensorDataset::classification(normal(1, 40, FEATURES), &labels).unwrap()
}

/// The place of a member among so many.
fn place(member: usize, of: usize) -> Option<InNetwork> {
    Some(InNetwork { member, of, aggregation: Aggregation::default() })
}

/// The probabilities of a member of a network, by hand.
fn by_hand(member: &Member, number: usize, x: &Tensor) -> Tensor {
    let weight = member.weights["head.members.weight"].get(number).unwrap();
    let logits = x.broadcast_mul(&member.weights["scale"]).unwrap().matmul(&weight.t().unwrap()).unwrap();
    candle_nn::ops::softmax(&logits, 1).unwrap()
}

#[test]
fn each_member_has_a_slot_and_its_own_predictions() {
    let (learner, data, x) = (learner(3), data(), normal(2, 10, FEATURES));
    let pool = Session::new(&learner, &data).fit(&Bagging::new(2), 7).unwrap();
    let places: Vec<_> =
        pool.members().iter().map(|member| (member.record.run, member.record.in_network)).collect();
    let place = |member| place(member, 3);
    let expected = [0, 1].map(|run| [0, 1, 2].map(|member| (run, place(member)))).concat();
    assert_eq!(places, expected);
    assert_eq!(pool.names(), ["model 0:0", "model 0:1", "model 0:2", "model 1:0", "model 1:1", "model 1:2"]);
    let predictions = pool.predictions(&x).unwrap();
    assert_eq!(predictions.values().dims(), [6, 10, CLASSES]);
    for (slot, member) in pool.members().iter().enumerate() {
        let expected = by_hand(member, slot % 3, &x);
        assert!(distance(&predictions.values().get(slot).unwrap(), &expected) < 1e-6, "slot {slot}");
    }
    let ensemble = pool.combine(&Mean).unwrap();
    let mean = predictions.values().mean(0).unwrap();
    assert!(distance(&ensemble.predict_proba(&x).unwrap(), &mean) < 1e-6);
    assert_eq!(bits(&ensemble.member_predictions(&x).unwrap()), bits(predictions.values()));
    // A network that is asked for one output gives the mean of its members' outputs.
    let network = pool.network(0).unwrap();
    let outputs = network.run_members(&x.clone().into()).unwrap().reshape((3, 10, CLASSES)).unwrap();
    assert!(distance(&network.run(&x.into(), false).unwrap(), &outputs.mean(0).unwrap()) < 1e-6);
}

#[test]
fn held_out_predictions_are_those_of_each_member() {
    let (learner, data) = (learner(3), data());
    let folder = tempfile::tempdir().unwrap();
    let x = data.inputs().only().unwrap().clone();
    for strategy in [Box::new(Bagging::new(2)) as Box<dyn EnsembleBuilder>, Box::new(KFold::new(4))] {
        let pool = Session::new(&learner, &data).fit(&*strategy, 7).unwrap();
        let held_out = pool.held_out().unwrap();
        let slots = if strategy.name() == "bootstrap" { 6 } else { 3 };
        assert_eq!((held_out.predictions().slots(), pool.slots()), (slots, slots), "{}", strategy.name());
        let table = held_out.predictions().values();
        for member in pool.members() {
            let number = member.record.in_network.unwrap().member;
            let expected = by_hand(member, number, &x);
            let slot = if slots == 3 { number } else { 3 * member.record.run + number };
            for (place, row) in held_out.rows().iter().enumerate() {
                if !member.record.seen.contains(*row) {
                    let got = table.get(slot).unwrap().get(place).unwrap();
                    assert!(distance(&got, &expected.get(*row as usize).unwrap()) < 1e-6);
                }
            }
        }
        let file = pool.held_out_on_disk(folder.path().join(strategy.name())).unwrap();
        assert_eq!(file.slots(), slots);
        assert_eq!(file.metrics(&Mean).unwrap(), held_out.metrics(&Mean).unwrap());
        let blend = pool.combine(&candle_ensemble::combine::SimplexLogLoss::new()).unwrap();
        assert_eq!(blend.members().len(), pool.members().len());
    }
}

#[test]
fn a_store_and_a_file_hold_the_network_once() {
    let (learner, data, x) = (learner(16), data(), normal(2, 10, FEATURES));
    let folder = tempfile::tempdir().unwrap();
    let in_memory = Session::new(&learner, &data).fit(&MultiRun::new(2), 7).unwrap();
    let store = DirectoryStore::new(folder.path().join("store")).unwrap();
    let session = Session::new(&learner, &data).store(&store);
    let pool = session.fit(&MultiRun::new(2), 7).unwrap();
    assert_eq!(pool.members().len(), 32);
    let plan = session.plan(&MultiRun::new(2), 7).unwrap();
    for (a, b) in pool.members().iter().zip(in_memory.members()) {
        assert_eq!(a.record, b.record);
    }
    let files = walk(folder.path());
    assert_eq!(files.iter().filter(|name| name.ends_with(".safetensors")).count(), 2, "{files:?}");
    let expected = bits(in_memory.predictions(&x).unwrap().values());
    assert_eq!(bits(session.load(&plan).unwrap().predictions(&x).unwrap().values()), expected);

    let ensemble = pool.combine(&Mean).unwrap();
    let path = folder.path().join("ensemble.safetensors");
    ensemble.save(&path).unwrap();
    let loaded = Ensemble::<_, Mean>::load(&path, &learner, &CPU).unwrap();
    assert_eq!(loaded.members().len(), 32);
    assert_eq!(bits(&loaded.member_predictions(&x).unwrap()), expected);
    assert_eq!(loaded.to_bytes().unwrap(), ensemble.to_bytes().unwrap());
    let tensors = candle_core::safetensors::load(&path, &CPU).unwrap();
    assert_eq!(tensors.keys().filter(|name| name.ends_with("members.weight")).count(), 2);

    let members = Member::read_all(&path).unwrap();
    let weights = candle_ensemble::weights::StateDict::from(&members[0].weights);
    let mut builder = candle_ensemble::PoolBuilder::new(&learner, &data);
    builder.add(PretrainedMember::new(weights, candle_ensemble::store::Seen::Nothing)).unwrap();
    builder.add(PretrainedMember::of_member(&members[20], candle_ensemble::store::Seen::Nothing)).unwrap();
    let pretrained = builder.build().unwrap();
    assert_eq!((pretrained.members().len(), pretrained.slots()), (17, 17));
    let predicted = pretrained.predictions(&x).unwrap();
    let expected = pool.predictions(&x).unwrap();
    for (slot, of_pool) in (0..16).chain([20]).enumerate() {
        let [a, b] =
            [(&predicted, slot), (&expected, of_pool)].map(|(of, slot)| of.values().get(slot).unwrap());
        assert_eq!(bits(&a), bits(&b), "slot {slot}");
    }
}

/// The names of all files in a folder and its folders.
fn walk(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let of = |path: std::path::PathBuf| match path.is_dir() {
        true => walk(&path),
        false => vec![path.display().to_string()],
    };
    entries.flat_map(of).collect()
}

#[test]
fn a_pruned_pool_has_smaller_networks() {
    let (learner, data, x) = (learner(5), data(), normal(2, 10, FEATURES));
    let pool = Session::new(&learner, &data).fit(&MultiRun::new(2), 7).unwrap();
    let all = pool.predictions(&x).unwrap();
    let kept = [1, 3, 7];
    let pruned = pool.select_slots(&kept).unwrap();
    let dims: Vec<_> = pruned.members().iter().map(|m| m.weights["head.members.weight"].dims()[0]).collect();
    assert_eq!(dims, [2, 2, 1]);
    let places: Vec<_> = pruned.members().iter().map(|member| member.record.in_network).collect();
    assert_eq!(places, [place(0, 2), place(1, 2), None]);
    let predicted = pruned.predictions(&x).unwrap();
    for (slot, of_pool) in kept.into_iter().enumerate() {
        let [a, b] = [(&predicted, slot), (&all, of_pool)].map(|(of, slot)| of.values().get(slot).unwrap());
        assert!(distance(&a, &b) < 1e-6, "{slot}");
    }
    // The ensemble of what is left works as any other.
    let bytes = pruned.combine(&Mean).unwrap().to_bytes().unwrap();
    let loaded = Ensemble::<_, Mean>::from_bytes(&bytes, &learner, &CPU).unwrap();
    assert!(distance(&loaded.predict_proba(&x).unwrap(), &predicted.values().mean(0).unwrap()) < 1e-6);
}

/// Two members that need each other: the first one's output is an input of the second.
struct Chained(Tensor);

impl Network for Chained {
    fn run(&self, inputs: &Inputs, _train: bool) -> CandleResult<Tensor> {
        let all = self.run_members(inputs)?;
        all.reshape((2, inputs.rows(), CLASSES))?.mean(0)
    }

    fn members(&self) -> Members {
        Members { count: 2, batches: MemberBatches::Shared }
    }

    fn run_members(&self, inputs: &Inputs) -> CandleResult<Tensor> {
        if self.0.dims() != [2, CLASSES, FEATURES] {
            bail!("expected two members");
        }
        let first = inputs.only()?.matmul(&self.0.get(0)?.t()?)?;
        let second = (inputs.only()?.matmul(&self.0.get(1)?.t()?)? + &first)?;
        Tensor::cat(&[first, second], 0)
    }
}

#[test]
fn a_network_that_needs_all_of_its_members_keeps_them() {
    let new = |vb: VarBuilder<'static>| {
        let init = Init::Randn { mean: 0., stdev: 1. };
        Ok(Chained(vb.get_with_hints((2, CLASSES, FEATURES), "members.weight", init)?))
    };
    let learner = CustomLoop::new("chained", new, |_, _| Ok(()));
    let (data, x) = (data(), normal(2, 10, FEATURES));
    let pool = Session::new(&learner, &data).fit(&MultiRun::new(1), 7).unwrap();
    let second = pool.select_slots(&[1]).unwrap();
    assert_eq!(second.members()[0].record.in_network, place(1, 2));
    let [all, one] = [&pool, &second].map(|pool| pool.predictions(&x).unwrap().values().clone());
    assert_eq!(bits(&one.get(0).unwrap()), bits(&all.get(1).unwrap()));
}

#[test]
fn pruning_by_a_rule_and_pruned_ensembles() {
    let (learner, data, x) = (learner(6), data(), normal(2, 10, FEATURES));
    let pool = Session::new(&learner, &data).reserve(0.3).fit(&MultiRun::new(1), 7).unwrap();
    let ensemble = pool.combine(&EnsembleSelection::new(3)).unwrap();
    let expected = ensemble.predict_proba(&x).unwrap();
    let pruned = ensemble.pruned();
    assert!(pruned.members().len() < 6);
    assert!(distance(&pruned.predict_proba(&x).unwrap(), &expected) < 1e-6);
    let loaded = Ensemble::<_, _>::from_bytes(&pruned.to_bytes().unwrap(), &learner, &CPU).unwrap();
    let loaded: Ensemble<LinearMembers, candle_ensemble::combine::Weighted> = loaded;
    assert!(distance(&loaded.predict_proba(&x).unwrap(), &expected) < 1e-6);
}

#[test]
fn executors_train_the_same_networks() {
    let (learner, data) = (learner(3), data());
    let train = |executor: &dyn Executor| {
        let session = Session::new(&learner, &data).executor(executor);
        let pool = session.fit(&MultiRun::new(3), 7).unwrap();
        pool.members().iter().map(|m| flat(&m.weights["head.members.weight"])).collect::<Vec<_>>()
    };
    assert_eq!(train(&Sequential), train(&Stacked::new(3).unwrap()));
}

#[test]
fn networks_of_several_members_are_not_merged() {
    let (learner, data) = (learner(2), data());
    let pool = Session::new(&learner, &data).reserve(0.3).fit(&MultiRun::new(2), 7).unwrap();
    let merged = pool.merge(&MergeSpec::average(RunWeights::Uniform), &MaxBarrier::new(1.));
    let error = merged.err().unwrap().to_string();
    assert!(error.contains("is one of 2 that a single network holds"), "{error}");
}

#[test]
fn a_network_with_another_number_of_members_is_refused() {
    let (data, x) = (data(), normal(2, 10, FEATURES));
    let of_three = learner(3);
    let bytes = {
        let pool = Session::new(&of_three, &data).fit(&MultiRun::new(1), 7).unwrap();
        pool.combine(&Mean).unwrap().to_bytes().unwrap()
    };
    let plain = |vb: VarBuilder<'static>| {
        Ok(Box::new(Chained(vb.get((3, CLASSES, FEATURES), "head.members.weight")?)))
    };
    let plain = CustomLoop::new(
        "members",
        move |vb| plain(vb).map(|network| network as Box<dyn Network>),
        |_, _| Ok(()),
    );
    let error = Ensemble::<_, Mean>::from_bytes(&bytes, &plain, &CPU).err().unwrap().to_string();
    assert!(error.contains("holds 2 members, and its own held 3"), "{error}");
    drop(x);
}

#[test]
fn members_that_were_trained_as_a_sum_predict_as_a_sum() {
    let x = normal(3, 40, FEATURES);
    let data = TensorDataset::regression(x.clone(), &x.sum(1).unwrap()).unwrap();
    let new = |vb: VarBuilder<'static>| {
        let init = Init::Randn { mean: 0., stdev: 0.5 };
        Ok(ValueMembers(match vb.contains_tensor("members.weight") {
            true => vb.get_unchecked("members.weight")?,
            false => vb.get_with_hints((4, 1, FEATURES), "members.weight", init)?,
        }))
    };
    let trainer = Trainer::new(new).epochs(2).joint_loss(JointLoss::SoftGradientBoosting { shrinkage: 0.5 });
    let pool = Session::new(&trainer, &data).fit(&MultiRun::new(1), 7).unwrap();
    let sum_of = |pool: &Pool<'_, _>, kept: &[usize]| {
        let weight = &pool.members()[0].weights["members.weight"];
        let each = kept.iter().map(|member| x.matmul(&weight.get(*member).unwrap().t().unwrap()).unwrap());
        let zero = Tensor::zeros((40, 1), candle_core::DType::F32, &CPU).unwrap();
        each.fold(zero, |sum, of| (sum + (of * 0.5).unwrap()).unwrap())
    };
    let ensemble = pool.combine(&Mean).unwrap();
    assert!(distance(&ensemble.predict(&x).unwrap(), &sum_of(&pool, &[0, 1, 2, 3])) < 1e-5);
    for kept in [&[0][..], &[0, 1]] {
        let first = pool.select_slots(kept).unwrap();
        let predicted = first.combine(&Mean).unwrap().predict(&x).unwrap();
        assert!(distance(&predicted, &sum_of(&pool, kept)) < 1e-5, "{kept:?}");
    }
}

/// Linear members for one value.
struct ValueMembers(Tensor);

impl Network for ValueMembers {
    fn run(&self, inputs: &Inputs, train: bool) -> CandleResult<Tensor> {
        let all = self.run_members(inputs)?;
        match train {
            true => Ok(all),
            false => all.reshape((self.0.dims()[0], inputs.rows(), 1))?.mean(0),
        }
    }

    fn members(&self) -> Members {
        Members { count: self.0.dims()[0], batches: MemberBatches::Shared }
    }

    fn run_members(&self, inputs: &Inputs) -> CandleResult<Tensor> {
        inputs.only()?.broadcast_matmul(&self.0.transpose(1, 2)?)?.flatten(0, 1)
    }
}
