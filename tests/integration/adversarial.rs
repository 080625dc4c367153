//! Adversarial training: a step by hand, and what it refuses.
use candle_core::{DType, Device, Tensor};
use candle_ensemble::{
    data::{Scaling, TensorDataset},
    plan::Settings,
    strategy::MultiRun,
    train::{Adversarial, Optimizer, ProjectedGradient, Trainer},
    Session,
};
use candle_nn::{linear, Linear};

const CPU: &Device = &Device::Cpu;

/// One step of gradient descent from zero weights, on all rows.
fn weight_after_one_step(trainer: Trainer<Linear>, x: &[f32], y: &[f32]) -> f64 {
    let x = Tensor::from_slice(x, (x.len(), 1), CPU).unwrap();
    let data = TensorDataset::regression(&x, &Tensor::new(y, CPU).unwrap()).unwrap();
    let settings = Settings::new().with("init", "constant:0.5");
    let trainer = trainer.epochs(1).batch_size(100).optimizer(Optimizer::sgd(0.1));
    let pool = Session::new(&trainer, &data).fit(&MultiRun::new(1).settings([settings]), 1).unwrap();
    let weights = pool.members()[0].weights["weight"].flatten_all().unwrap();
    weights.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap()[0]
}

fn plain() -> Trainer<Linear> {
    Trainer::new(|vb| candle_nn::linear_no_bias(1, 1, vb))
}

/// `f = w x` with `w = ½`, rows `(0, 1)` and `(4, 1)`. Then `d loss / dx ∝ 2 w (w x − y)` is negative for the first row
/// and positive for the second one, and with ε = ¼ of the range 4 the inputs become −1 and 5. The derivatives by `w` are
/// `x (w x − y)`, whose means are `(0 + 4) / 2 · 2 = 4` on the rows and `(1.5 + 7.5) / 2 · 2 = 9` on the moved ones.
#[test]
fn a_step_by_hand() {
    let (x, y) = ([0., 4.], [1., 1.]);
    let clean = weight_after_one_step(plain(), &x, &y);
    assert!((clean - (0.5 - 0.1 * 4.)).abs() < 1e-6, "{clean}");
    let both = weight_after_one_step(plain().adversarial(Adversarial::fast_gradient_sign(0.25)), &x, &y);
    assert!((both - (0.5 - 0.1 * 6.5)).abs() < 1e-6, "{both}");
}

/// On the same line the steps of projected gradients are 1 long at ¼ of the range: the moved inputs are −1 and 5 after one
/// step, and after two steps within half of the range −2 and 6, where the derivatives are 8 and 24, whose mean is 16. Madry et al. train on the moved inputs alone, and with the share ½ a single step is the fast gradient sign.
#[test]
fn projected_gradients_by_hand() {
    let (x, y) = ([0., 4.], [1., 1.]);
    let weight = |method: ProjectedGradient| weight_after_one_step(plain().adversarial(method), &x, &y);
    let one = ProjectedGradient::new(0.25).steps(1).step_size(0.25).random_start(false);
    assert!((weight(one) - (0.5 - 0.1 * 9.)).abs() < 1e-6, "{}", weight(one));
    let by_sign = weight_after_one_step(plain().adversarial(Adversarial::fast_gradient_sign(0.25)), &x, &y);
    assert_eq!(weight(one.share(0.5)).to_bits(), by_sign.to_bits());
    let two = ProjectedGradient::new(0.5).steps(2).step_size(0.25).random_start(false);
    assert!((weight(two) - (0.5 - 0.1 * 16.)).abs() < 1e-6, "{}", weight(two));
    // The box ends at ¼ of the range, however far a step goes.
    let far = ProjectedGradient::new(0.25).steps(3).step_size(5.).random_start(false);
    assert_eq!(weight(far).to_bits(), weight(one).to_bits());
    // A random start is the same for the same run.
    let random = ProjectedGradient::new(0.25).steps(1).step_size(0.1);
    assert!(weight(random) != weight(one) && weight(random) == weight(random));
}

/// The ranges are those of scaled inputs, so the unit of the inputs has no effect.
#[test]
fn the_unit_of_the_inputs_has_no_effect() {
    let of = |unit: f32| {
        let trainer =
            plain().input_scaling(Scaling::Standardize).adversarial(Adversarial::fast_gradient_sign(0.1));
        weight_after_one_step(trainer, &[unit, 3. * unit, 4. * unit], &[1., -1., 2.])
    };
    assert!((of(1.) - of(1000.)).abs() < 1e-6);
}

#[test]
fn what_it_cannot_do_is_named() {
    let data = TensorDataset::classification(
        Tensor::new(&[[0u32, 1], [1, 0]], CPU).unwrap(),
        &Tensor::new(&[0u32, 1], CPU).unwrap(),
    );
    let embedding = |vb: candle_nn::VarBuilder<'_>| {
        let (table, out) = (candle_nn::embedding(2, 3, vb.pp("a"))?, linear(3, 2, vb.pp("b"))?);
        Ok(candle_nn::seq().add(table).add_fn(|x| x.mean(1)).add(out))
    };
    let trainer = Trainer::new(embedding).epochs(1).adversarial(Adversarial::fast_gradient_sign(0.1));
    let fitted = Session::new(&trainer, &data.unwrap()).fit(&MultiRun::new(1), 1).map(|_| ());
    let e = fitted.unwrap_err().to_string();
    assert!(
        e.contains("the inputs must be floating-point numbers for adversarial training, but is u32"),
        "{e}"
    );
}
