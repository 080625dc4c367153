use super::*;
use crate::{
    nn::{
        self, backward,
        tap::{collect, Collect},
        testing::{flat, numbers},
        Activation, ActivityRegularizer, BatchNormConfig,
    },
    seed::pass::{seeded_pass, seeded_passes},
    weights::fresh,
    Seed,
};
use candle_core::{backprop::GradStore, ModuleT};
use candle_nn::{Conv1dConfig, Conv2dConfig};

const MEMBERS: usize = 3;
const ROWS: usize = 4;

type Layer = Box<dyn Fn(VarBuilder<'_>) -> Result<Box<dyn ModuleT>>>;

fn boxed<M: ModuleT + 'static>(make: impl Fn(VarBuilder<'_>) -> Result<M> + 'static) -> Layer {
    Box::new(move |vb| Ok(Box::new(make(vb)?) as Box<dyn ModuleT>))
}

/// Each layer with the shape of a row of its inputs.
fn layers() -> Vec<(&'static str, &'static [usize], Layer)> {
    let padded = Conv2dConfig { padding: 1, ..Default::default() };
    let grouped = Conv1dConfig { groups: 2, stride: 2, ..Default::default() };
    let keras = BatchNormConfig::keras().affine(false);
    vec![
        ("linear", &[5], boxed(|vb| nn::linear(5, 3, vb))),
        ("linear without bias", &[2, 5], boxed(|vb| nn::linear_no_bias(5, 3, vb))),
        ("conv1d", &[4, 9], boxed(move |vb| nn::conv1d(4, 6, 3, grouped, vb))),
        ("conv1d without bias", &[4, 9], boxed(|vb| nn::conv1d_no_bias(4, 2, 3, Default::default(), vb))),
        ("conv2d", &[2, 6, 5], boxed(move |vb| nn::conv2d(2, 3, 3, padded, vb))),
        ("batch_norm", &[5], boxed(|vb| nn::batch_norm(5, 1e-5, vb))),
        ("batch_norm of images", &[3, 2, 4], boxed(|vb| nn::batch_norm(3, 1e-5, vb))),
        ("batch_norm of keras", &[3, 4], boxed(move |vb| nn::batch_norm(3, keras, vb))),
        ("layer_norm", &[2, 5], boxed(|vb| nn::layer_norm(5, 1e-5, vb))),
        ("layer_norm without bias", &[5], boxed(|vb| nn::layer_norm_no_bias(5, 1e-5, vb))),
        ("group_norm", &[4, 3], boxed(|vb| nn::group_norm(2, 4, 1e-5, vb))),
        ("rms_norm", &[2, 5], boxed(|vb| nn::rms_norm(5, 1e-5, vb))),
        ("dropout", &[7], boxed(|vb| nn::Dropout::new(0.4, vb))),
        ("alpha dropout", &[7], boxed(|vb| nn::AlphaDropout::new(0.4, vb))),
        ("gaussian dropout", &[7], boxed(|vb| nn::GaussianDropout::new(0.4, vb))),
        ("gaussian noise", &[7], boxed(|vb| nn::GaussianNoise::new(0.4, vb))),
        ("spatial dropout", &[6, 2], boxed(|vb| nn::SpatialDropout1d::new(0.4, vb))),
        ("dropout of the pass", &[7], boxed(|_| Ok(nn::drop_in::Dropout::new(0.4)))),
        ("activity", &[7], boxed(|_| Ok(ActivityRegularizer::l1_l2(0.1, 0.2)))),
        ("pooling", &[2, 4, 4], boxed(|_| Ok(nn::MaxPool2d::new(2)))),
        (
            "sequential",
            &[5],
            boxed(|vb| {
                let hidden = nn::seq().add(nn::linear(5, 8, vb.pp(0))?).add(Activation::Tanh);
                let hidden = hidden.add(nn::batch_norm(8, 1e-5, vb.pp(1))?).add(Activation::Relu);
                Ok(hidden.add(nn::linear(8, 2, vb.pp(2))?).add(candle_nn::Activation::Relu))
            }),
        ),
    ]
}

/// The numbers of the members of the passes.
const ACTIVE: [usize; 2] = [2, 0];

/// The network of each member and its variables.
fn members(make: &Layer, dtype: DType) -> Vec<(Vars, Box<dyn ModuleT>)> {
    let member = |number: usize| {
        let (vars, vb) = fresh(Seed::from(number as u64), Default::default(), dtype, &Device::Cpu);
        let network = make(vb).unwrap();
        (vars, network)
    };
    (0..MEMBERS).map(member).collect()
}

/// The output and the gradients of `Σ upstream · y` and of the penalties.
fn passes(network: &dyn ModuleT, x: &Tensor, up: &Tensor, seeds: Vec<Seed>) -> Result<(Tensor, GradStore)> {
    let what = Collect { losses: true, activations: false };
    let forward = || match &*seeds {
        [seed] => seeded_pass(*seed, || network.forward_t(x, true)),
        _ => seeded_passes(seeds.clone(), || network.forward_t(x, true)),
    };
    let (y, collected) = collect(what, forward);
    let y = y?;
    let mut loss = (&y * up)?.sum_all()?;
    if let Some(penalty) = collected.loss()? {
        loss = (loss + penalty.to_dtype(y.dtype())?)?;
    }
    Ok((y, backward(&loss)?))
}

fn bits(x: &Tensor) -> Vec<u64> {
    flat(x).into_iter().map(f64::to_bits).collect()
}

/// Compares the outputs, the gradients and the variables after two passes with those of each member.
fn assert_same(name: &str, row: &[usize], make: &Layer, dtype: DType) {
    let (alone, together) = (members(make, dtype), members(make, dtype));
    let vars: Vec<&Vars> = together.iter().map(|(vars, _)| vars).collect();
    let (stack, vb) = Stack::new(&vars, &BTreeSet::new(), dtype, &Device::Cpu);
    let network = make(vb).unwrap();
    for pass in 0..2u64 {
        let shape = |rows: usize| [&[rows], row].concat();
        let x = Var::from_tensor(&numbers(shape(2 * ROWS), pass, dtype)).unwrap();
        let seeds: Vec<Seed> = ACTIVE.iter().map(|member| Seed::from(pass).nth("", *member as u64)).collect();
        let up = |y: &Tensor| numbers(y.shape(), 7, dtype);
        let outputs = alone[0].1.forward_t(&numbers(shape(2 * ROWS), 0, dtype), false).unwrap();
        let up = up(&outputs);
        let (passed, left) = stack.pass(&ACTIVE, || passes(&*network, &x, &up, seeds.clone()));
        let (y, gradients) = passed.unwrap();
        assert!(left.is_empty(), "{name} {dtype:?}: {left:?}");
        let of_x = gradients.get(&x).unwrap();
        for (part, member) in ACTIVE.into_iter().enumerate() {
            let rows = |t: &Tensor| t.narrow(0, part * ROWS, ROWS).unwrap();
            let (vars, network) = &alone[member];
            let own = Var::from_tensor(&rows(&x)).unwrap();
            let (expected, of_own) = passes(&**network, &own, &rows(&up), vec![seeds[part]]).unwrap();
            let what = format!("{name} {dtype:?}, member {member}");
            assert_eq!(bits(&rows(&y)), bits(&expected), "{what}");
            assert_eq!(bits(&rows(of_x)), bits(of_own.get(&own).unwrap()), "{what}");
            for ((name, a), b) in vars.named().into_iter().zip(together[member].0.all_vars()) {
                assert_eq!(bits(&a), bits(&b), "{what}: {name}");
                let both = [of_own.get(&a), gradients.get(&b)].map(|g| g.map(bits));
                assert_eq!(both[0], both[1], "{what}: {name}");
                assert_eq!(both[0].is_some(), a.dtype().is_float() && !name.contains("running"), "{what}");
            }
        }
    }
    // The member that is in no pass stays as it was.
    for (a, b) in together[1].0.all_vars().into_iter().zip(alone[1].0.all_vars()) {
        assert_eq!(bits(&a), bits(&b), "{name}");
    }
}

#[test]
fn each_layer_computes_for_members_what_it_computes_for_each() {
    for (name, row, make) in layers() {
        for dtype in [DType::F32, DType::F64] {
            assert_same(name, row, &make, dtype);
        }
    }
}

/// In half precision a linear layer is made of candle's operations, as on other devices.
#[test]
fn a_linear_layer_of_tensor_operations_computes_for_members_what_it_computes_for_each() {
    for make in [boxed(|vb| nn::linear(5, 3, vb)), boxed(|vb| nn::linear_no_bias(5, 3, vb))] {
        assert_same("linear", &[5], &make, DType::F16);
    }
}

#[test]
fn an_embedding_looks_up_each_members_table() {
    let tables: Vec<_> = (0..MEMBERS)
        .map(|member| {
            let (vars, vb) = fresh(member as u64, Default::default(), DType::F32, &Device::Cpu);
            let layer = nn::embedding(6, 2, vb).unwrap();
            (vars, layer)
        })
        .collect();
    let vars: Vec<&Vars> = tables.iter().map(|(vars, _)| vars).collect();
    let (stack, vb) = Stack::new(&vars, &BTreeSet::new(), DType::F32, &Device::Cpu);
    let layer = nn::embedding(6, 2, vb).unwrap();
    let words = Tensor::new(&[[5u32, 0, 5], [1, 2, 3], [0, 0, 1], [4, 5, 2]], &Device::Cpu).unwrap();
    let (passed, left) = stack.pass(&ACTIVE, || {
        let y = layer.forward_t(&words, true)?;
        let gradients = backward(&(&y * numbers(y.shape(), 3, DType::F32))?.sum_all()?)?;
        Result::Ok((y, gradients))
    });
    let (y, gradients) = passed.unwrap();
    assert!(left.is_empty());
    let up = numbers(y.shape(), 3, DType::F32);
    for (part, member) in ACTIVE.into_iter().enumerate() {
        let rows = |t: &Tensor| t.narrow(0, 2 * part, 2).unwrap();
        let own = tables[member].1.forward_t(&rows(&words), true).unwrap();
        assert_eq!(bits(&rows(&y)), bits(&own));
        let expected = backward(&(&own * rows(&up)).unwrap().sum_all().unwrap()).unwrap();
        let table = tables[member].1.embeddings();
        assert_eq!(bits(gradients.get(table).unwrap()), bits(expected.get(table).unwrap()));
    }
    assert!(gradients.get(tables[1].1.embeddings()).is_none());
}

#[test]
fn layers_that_do_not_know_of_members_are_named_and_compute_nan() {
    let make: Layer = boxed(|vb| candle_nn::linear(3, 2, vb.pp("candles")));
    let members = members(&make, DType::F32);
    let vars: Vec<&Vars> = members.iter().map(|(vars, _)| vars).collect();
    let (stack, vb) = Stack::new(&vars, &BTreeSet::new(), DType::F32, &Device::Cpu);
    let network = make(vb).unwrap();
    let x = Tensor::ones((4, 3), DType::F32, &Device::Cpu).unwrap();
    let (y, left) = stack.pass(&ACTIVE, || network.forward_t(&x, true).unwrap());
    assert!(flat(&y).into_iter().all(f64::is_nan));
    assert_eq!(left, ["candles.bias", "candles.weight"]);
}

#[test]
fn what_cannot_be_stacked_is_an_error() {
    let make: Layer = boxed(|vb| nn::linear(3, 2, vb));
    let three = members(&make, DType::F32);
    let vars: Vec<&Vars> = three.iter().map(|(vars, _)| vars).collect();
    let (stack, vb) = Stack::new(&vars, &BTreeSet::new(), DType::F32, &Device::Cpu);
    let network = nn::linear(3, 2, vb).unwrap();
    let ones = |rows: usize| Tensor::ones((rows, 3), DType::F32, &Device::Cpu).unwrap();
    let error = |active: &[usize], rows: usize| {
        let (passed, _) = stack.pass(active, || network.forward_t(&ones(rows), true));
        passed.unwrap_err().to_string()
    };
    assert!(error(&[0, 1], 5).contains("5 rows cannot be shared by 2 members"));
    assert!(error(&[0, 7], 4).contains("there is no member 7"));
    let scaled = nn::Linear::new((network.weight() * 2.).unwrap(), None);
    let (passed, _) = stack.pass(&[0, 1], || scaled.forward_t(&ones(4), true));
    assert!(passed.unwrap_err().to_string().contains("computed from variables"));
    // Gradients of members need the function that hands them over.
    let (y, _) = stack.pass(&[0, 1], || network.forward_t(&ones(4), true).unwrap());
    assert!(y.sum_all().unwrap().backward().unwrap_err().to_string().contains("nn::backward"));
    // Members of another architecture.
    let wide = members(&boxed(|vb| nn::linear(3, 4, vb)), DType::F32);
    let (_, vb) = Stack::new(&[vars[0], &wide[0].0], &BTreeSet::new(), DType::F32, &Device::Cpu);
    assert!(nn::linear(3, 2, vb.clone()).unwrap_err().to_string().contains("differ in their shapes"));
    assert!(vb.get(1, "other").unwrap_err().to_string().contains("not every member has a variable `other`"));
    let (_, vb) = Stack::new(&vars, &BTreeSet::new(), DType::F32, &Device::Cpu);
    assert!(nn::linear(4, 2, vb).unwrap_err().to_string().contains("is requested as"));
}

#[test]
fn a_pass_ends_also_by_a_panic() {
    let (stack, _) = Stack::new(&[], &BTreeSet::new(), DType::F32, &Device::Cpu);
    let left = std::panic::AssertUnwindSafe(|| stack.pass(&[0, 1], || panic!("left")));
    assert!(std::panic::catch_unwind(left).is_err());
    assert!(!is_passing() && parts() == 1);
}
