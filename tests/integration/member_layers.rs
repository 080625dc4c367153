//! Models of one's own with layers of many members.
use crate::common::{bits, distance, flat, normal, CPU};
use candle_core::{Module, ModuleT, Result as CandleResult, Tensor};
use candle_ensemble::{
    data::TensorDataset,
    exec::Stacked,
    network::MemberBatches,
    nn::{
        self,
        many::{
            BatchEnsembleLayer, EfficientEnsemble, EnsembleNetwork, EnsembleView, McDropout, McDropoutLayer,
            Mimo, MimoInputs, MimoOutputs, ScaleInit, SeparateLayer, TabM,
        },
        seq, Activation, Dropout,
    },
    prelude::*,
    store::DirectoryStore,
};
use candle_nn::VarBuilder;

const FEATURES: usize = 3;
const CLASSES: usize = 4;

fn data() -> TensorDataset {
    let labels = Tensor::from_iter((0..40u32).map(|row| row % CLASSES as u32), &CPU).unwrap();
    TensorDataset::classification(normal(1, 40, FEATURES), &labels).unwrap()
}

/// TabM with a skip connection around a hidden layer, and one of plain layers around all of them.
struct Skipping {
    first: BatchEnsembleLayer,
    second: BatchEnsembleLayer,
    head: SeparateLayer,
    around: nn::Linear,
    view: EnsembleView,
}

impl Skipping {
    fn network(members: usize, vb: VarBuilder<'static>) -> CandleResult<EnsembleNetwork> {
        let (signs, ones) = (ScaleInit::default(), ScaleInit::Ones);
        let first = BatchEnsembleLayer::linear(FEATURES, 8, members, [signs, ones], vb.pp("first"))?;
        let members = first.members();
        let model = Self {
            first: first.shared_inputs(),
            second: BatchEnsembleLayer::linear(8, 8, members, [ones, ones], vb.pp("second"))?,
            head: SeparateLayer::linear(8, CLASSES, members, vb.pp("head"))?,
            around: nn::linear(FEATURES, CLASSES, vb.pp("around"))?,
            view: EnsembleView::new(members)?,
        };
        EnsembleNetwork::new(model, members)
    }
}

impl ModuleT for Skipping {
    fn forward_t(&self, x: &Tensor, train: bool) -> CandleResult<Tensor> {
        let h = self.first.forward_then(Activation::Relu, x)?;
        let h = (&h + self.second.forward_then(Activation::Relu, &h)?)?;
        self.head.forward_t(&h, train)? + self.view.forward(&self.around.forward(x)?)?
    }
}

/// The outputs of a member of such a network, by hand.
fn skipping_by_hand(member: &Member, number: usize, x: &Tensor) -> Tensor {
    let weights = &member.weights;
    let shared = |name: &str| weights[name].clone();
    let own = |name: &str| weights[name].get(number).unwrap();
    let linear =
        |x: &Tensor, w: Tensor, b: Tensor| x.matmul(&w.t().unwrap()).unwrap().broadcast_add(&b).unwrap();
    let scaled = |x: &Tensor, layer: &str| {
        let x = x.broadcast_mul(&own(&format!("{layer}.members.r"))).unwrap();
        let y = x.matmul(&shared(&format!("{layer}.weight")).t().unwrap()).unwrap();
        let y = y.broadcast_mul(&own(&format!("{layer}.members.s"))).unwrap();
        y.broadcast_add(&own(&format!("{layer}.members.bias"))).unwrap().relu().unwrap()
    };
    let h = scaled(x, "first");
    let h = (&h + scaled(&h, "second")).unwrap();
    let head = linear(&h, own("head.members.weight"), own("head.members.bias"));
    (head + linear(x, shared("around.weight"), shared("around.bias"))).unwrap()
}

#[test]
fn a_model_of_ones_own_layers_trains_is_stored_and_is_pruned() {
    let trainer = Trainer::new(|vb| Skipping::network(4, vb)).epochs(3).batch_size(8);
    let (data, x) = (data(), normal(2, 10, FEATURES));
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::new(folder.path()).unwrap();
    let session = Session::new(&trainer, &data).store(&store);
    let pool = session.fit(&MultiRun::new(2), 7).unwrap();
    assert_eq!((pool.members().len(), pool.slots()), (8, 8));
    let all = pool.predictions(&x).unwrap();
    for (slot, member) in pool.members().iter().enumerate() {
        let expected = candle_nn::ops::softmax(&skipping_by_hand(member, slot % 4, &x), 1).unwrap();
        assert!(distance(&all.values().get(slot).unwrap(), &expected) < 1e-5, "slot {slot}");
    }
    // Members differ, and all of their variables are trained.
    assert!(distance(&all.values().get(0).unwrap(), &all.values().get(1).unwrap()) > 1e-3);
    let shorter = Trainer::new(|vb| Skipping::network(4, vb)).epochs(1).batch_size(8);
    let shorter = Session::new(&shorter, &data).fit(&MultiRun::new(2), 7).unwrap();
    for (name, weights) in pool.members()[0].weights.iter() {
        assert!(distance(weights, &shorter.members()[0].weights[name]) > 0., "{name}");
    }
    let loaded = session.load(&session.plan(&MultiRun::new(2), 7).unwrap()).unwrap();
    assert_eq!(bits(loaded.predictions(&x).unwrap().values()), bits(all.values()));
    let stacked = Stacked::new(2).unwrap();
    let together = Session::new(&trainer, &data).executor(&stacked).fit(&MultiRun::new(2), 7).unwrap();
    assert_eq!(bits(together.predictions(&x).unwrap().values()), bits(all.values()));

    let kept = [0, 3, 6];
    let pruned = pool.select_slots(&kept).unwrap();
    let heads: Vec<_> = pruned.members().iter().map(|m| m.weights["head.members.weight"].dims()[0]).collect();
    assert_eq!(heads, [2, 2, 1]);
    let few = pruned.predictions(&x).unwrap();
    for (slot, of_pool) in kept.into_iter().enumerate() {
        let (a, b) = (few.values().get(slot).unwrap(), all.values().get(of_pool).unwrap());
        assert!(distance(&a, &b) < 1e-6, "slot {slot}");
    }
    let bytes = pruned.combine(&Mean).unwrap().to_bytes().unwrap();
    let ensemble = Ensemble::<_, Mean>::from_bytes(&bytes, &trainer, &CPU).unwrap();
    assert!(distance(&ensemble.predict_proba(&x).unwrap(), &few.values().mean(0).unwrap()) < 1e-6);
}

/// A model that is a function.
struct Own<F>(F);

impl<F: Fn(&Tensor, bool) -> CandleResult<Tensor>> ModuleT for Own<F> {
    fn forward_t(&self, x: &Tensor, train: bool) -> CandleResult<Tensor> {
        self.0(x, train)
    }
}

fn dropping(vb: VarBuilder<'static>) -> CandleResult<EnsembleNetwork> {
    let (a, b) = (nn::linear(FEATURES, 8, vb.pp(0))?, nn::linear(8, CLASSES, vb.pp(1))?);
    let dropout = McDropoutLayer::new(0.3, 5, vb.pp("dropout"))?.shared_inputs();
    let members = dropout.members();
    let model = Own(move |x: &Tensor, train| {
        b.forward(&dropout.forward_t(&a.forward_then(Activation::Relu, x)?, train)?)
    });
    Ok(EnsembleNetwork::new(model, members)?.batches(MemberBatches::Single))
}

fn joining(vb: VarBuilder<'static>) -> CandleResult<EnsembleNetwork> {
    let (a, b) = (nn::linear(2 * FEATURES, 8, vb.pp(0))?, nn::linear(8, 2 * CLASSES, vb.pp(1))?);
    let (inputs, outputs) = (MimoInputs::new(2)?, MimoOutputs::new(2)?);
    let model = Own(move |x: &Tensor, train| {
        let x = a.forward_then(Activation::Relu, &inputs.forward_t(x, train)?)?;
        outputs.forward_t(&b.forward(&x)?, train)
    });
    Ok(EnsembleNetwork::new(model, 2)?.batches(MemberBatches::Own { repetitions: 2, shared: 0.5 }))
}

fn scaling(vb: VarBuilder<'static>) -> CandleResult<EnsembleNetwork> {
    let scales = [ScaleInit::default(), ScaleInit::Ones];
    let a = BatchEnsembleLayer::linear(FEATURES, 8, 5, scales, vb.pp(0))?.shared_inputs();
    let b = SeparateLayer::linear(8, CLASSES, 5, vb.pp(1))?;
    let members = b.members();
    EnsembleNetwork::new(
        Own(move |x: &Tensor, _| b.forward_t(&a.forward_then(Activation::Relu, x)?, true)),
        members,
    )
}

/// Whatever the members train on, a model of single layers is trained as the converted network, to the bit.
#[test]
fn models_of_single_layers_train_as_converted_networks() {
    type Build = fn(VarBuilder<'static>) -> CandleResult<EnsembleNetwork>;
    let cases: [(EfficientEnsemble, Build); 3] = [
        (McDropout::new(5).into(), dropping),
        (Mimo::new(2).batch_repetition(2).input_repetition(0.5).into(), joining),
        (TabM::new(5).into(), scaling),
    ];
    let data = data();
    for (method, build) in cases {
        let plain = move |vb: VarBuilder<'static>| {
            let first = seq().add(nn::linear(FEATURES, 8, vb.pp(0))?).add(Activation::Relu);
            let first = match method {
                EfficientEnsemble::McDropout(_) => first.add(Dropout::new(0.3, vb.pp("dropout"))?),
                _ => first,
            };
            Ok(first.add(nn::linear(8, CLASSES, vb.pp(1))?))
        };
        let trained = |trainer: Trainer<EnsembleNetwork>| {
            let trainer = trainer.epochs(2).batch_size(8);
            let pool = Session::new(&trainer, &data).fit(&MultiRun::new(1), 7).unwrap();
            pool.members()[0].weights.clone()
        };
        let converted = trained(Trainer::new(move |vb| method.convert(vb, plain)));
        let own = trained(Trainer::new(build));
        assert_eq!(converted.keys().collect::<Vec<_>>(), own.keys().collect::<Vec<_>>(), "{method}");
        for (name, weights) in converted.iter() {
            assert_eq!(flat(weights), flat(&own[name]), "{method} {name}");
        }
    }
}
