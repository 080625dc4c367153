//! The layers of a model, in the order in which its constructor makes their variables.
use crate::weights::{compatibility::is_statistic, Vars};
use std::collections::BTreeMap;

/// The variables of one layer: those whose names are equal up to the last dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The names up to the last dot, without it; empty for variables whose names have no dot.
    pub prefix: String,
    /// The full names, in the order in which the constructor makes the variables.
    pub names: Vec<String>,
    /// Whether one of the variables is trained: it is of a float type and no running statistic.
    pub is_trained: bool,
}

/// The layers of a model in the order of their first variables: variables with the same prefix are a layer.
///
/// The order is that in which the constructor makes the variables, which need not be the order of the forward
/// pass: a constructor that makes its output layer first has it as its first layer. A layer of batch
/// normalization is a layer of its own if it has a prefix of its own. So is [`Dropout`](crate::nn::Dropout),
/// although none of its variables is trained.
///
/// ```
/// use candle_core::{DType, Device};
/// use candle_ensemble::weights::{fresh, layers, InitScheme};
///
/// let (vars, vb) = fresh(1, InitScheme::AsDeclared, DType::F32, &Device::Cpu);
/// candle_nn::linear(4, 8, vb.pp("hidden"))?;
/// candle_nn::linear(8, 2, vb.pp("a"))?;
/// let layers = layers(&vars);
/// assert_eq!((layers[0].prefix.as_str(), layers[1].prefix.as_str()), ("hidden", "a"));
/// assert_eq!(layers[1].names, ["a.weight", "a.bias"]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[must_use]
pub fn layers(vars: &Vars) -> Vec<Layer> {
    let made = vars.lock();
    let (mut layers, mut places) = (Vec::<Layer>::new(), BTreeMap::<String, usize>::new());
    for name in made.names() {
        let prefix = name.rsplit_once('.').map_or("", |(prefix, _)| prefix);
        let is_trained = made.get(name).is_some_and(|var| var.dtype().is_float()) && !is_statistic(name);
        let place = *places.entry(prefix.into()).or_insert(layers.len());
        match layers.get_mut(place) {
            Some(layer) => {
                layer.names.push(name.clone());
                layer.is_trained |= is_trained;
            }
            None => layers.push(Layer { prefix: prefix.into(), names: vec![name.clone()], is_trained }),
        }
    }
    layers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{weights::fresh, Seed};
    use candle_core::{DType, Device};
    use candle_nn::{batch_norm, linear};

    #[test]
    fn layers_are_in_the_order_of_the_constructor_not_of_names() {
        let (vars, vb) = fresh(Seed::from(1), Default::default(), DType::F32, &Device::Cpu);
        linear(2, 3, vb.pp("z")).unwrap();
        batch_norm(3, 1e-5, vb.pp("norm")).unwrap();
        linear(3, 3, vb.pp("b").pp(10)).unwrap();
        linear(3, 3, vb.pp("b").pp(9)).unwrap();
        vb.get(1, "scale").unwrap();
        let integer = candle_nn::Init::Const(0.);
        vb.pp("dropout").get_with_hints_dtype((), "step", integer, DType::U32).unwrap();
        // A second variable of the first layer, made last.
        vb.pp("z").get(1, "gain").unwrap();
        let found = layers(&vars);
        let prefixes: Vec<_> = found.iter().map(|layer| layer.prefix.as_str()).collect();
        assert_eq!(prefixes, ["z", "norm", "b.10", "b.9", "", "dropout"]);
        assert_eq!(found[0].names, ["z.weight", "z.bias", "z.gain"]);
        assert_eq!(found[4].names, ["scale"]);
        assert_eq!(vars.creation_order().len(), vars.named().len());
        let trained: Vec<_> = found.iter().map(|layer| layer.is_trained).collect();
        assert_eq!(trained, [true, true, true, true, true, false]);
    }
}
