//! TabM-mini.
use crate::{
    network::{MemberBatches, Members},
    nn::{
        many::{
            check_members,
            convert::{DenseLayer, Method},
            dense::Along,
            heads::head,
            rows::{members_of_layer, Rows},
            scale::scale,
            tab_m::K,
            variables::{init_text, ScaleInit, Variables, INIT},
            EfficientEnsemble,
        },
        seq,
        then::Then,
        Sequential,
    },
    registry::Entry,
};
use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use std::fmt;

/// TabM-mini: [`TabM`](crate::nn::many::TabM) with the first scale alone. Members differ by the signs of the inputs with
/// which they begin and by their last layers.
///
/// ```text
/// inputs          x_m = x ∘ r_m
/// hidden layers   y_m = x_m W + b, the same for all members
/// last layer      y_m = x_m W_m + b_m
/// ```
///
/// `r` is `members.r` `(k, inputs)` of the first layer with weights. Hidden layers, their biases included, are those of the
/// plain network.
///
/// Use it as TabM. In the source it is about as good, and simpler and a little faster.
///
/// # Errors
/// As for TabM.
///
/// # Source
/// Gorishniy, Kotelnikov and Babenko 2025, arXiv:2410.24210, and the authors' package `tabm` 0.0.3.
///
/// ```
/// use candle_core::{DType, Device};
/// use candle_ensemble::{nn::{linear, many::TabMMini, seq, Activation}, weights::fresh};
/// use candle_nn::VarBuilder;
///
/// let mlp = |vb: VarBuilder| {
///     Ok(seq().add(linear(4, 16, vb.pp(0))?).add(Activation::Relu).add(linear(16, 3, vb.pp(1))?))
/// };
/// let (vars, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// TabMMini::new(8).convert(vb, mlp)?;
/// let names = ["0.bias", "0.members.r", "0.weight", "1.members.bias", "1.members.weight"];
/// assert_eq!(vars.snapshot()?.keys().collect::<Vec<_>>(), names);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TabMMini {
    /// The number of members `k`, at least 1. Default 32.
    pub k: usize,
    /// How `r` begins. Default: random signs. The source takes `N(0, 1)` where features are embedded first.
    pub init: ScaleInit,
}

impl TabMMini {
    /// `k` members.
    #[must_use]
    pub fn new(k: usize) -> Self {
        Self { k, init: ScaleInit::default() }
    }

    /// Sets how `r` begins.
    #[must_use]
    pub fn init(self, init: ScaleInit) -> Self {
        Self { init, ..self }
    }
}

/// 32 members.
impl Default for TabMMini {
    fn default() -> Self {
        Self::new(32)
    }
}

impl Method for TabMMini {
    const ENTRY: Entry<EfficientEnsemble> = Entry::new(
        "tab-m-mini",
        "TabMMini",
        "Shared layers, with inputs scaled by each member and separate last layers",
        |arguments| {
            let mini = Self::new(arguments.get("k")?).init(arguments.get("init")?);
            mini.check()?;
            Ok(mini.into())
        },
    )
    .with_aliases(&["tabm-mini"])
    .with_arguments(&[K, INIT])
    .with_source("Gorishniy, Kotelnikov and Babenko 2025, arXiv:2410.24210");

    fn check(&self) -> crate::Result<()> {
        check_members("TabMMini", self.k)?;
        self.init.check()
    }

    fn members(&self) -> Members {
        Members { count: self.k, batches: MemberBatches::Shared }
    }

    fn dense(&self, layer: &DenseLayer<'_>) -> Result<Option<Sequential>> {
        match (layer.is_first(), layer.is_last()) {
            (_, true) => head(layer),
            (false, false) => Ok(None),
            (true, false) => {
                let r = layer.variable("r", &[layer.dense.inputs()?], self.init)?;
                let scales = ScaleEnsemble::of(r, layer.at.members()).along(layer.dense.along());
                Ok(Some(layer.plain()?.add_to(seq().add(scales.shared_inputs()))))
            }
        }
    }
}

/// As in text: `tab-m-mini:32`.
impl fmt::Display for TabMMini {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tab-m-mini:{}{}", self.k, init_text(self.init))
    }
}

/// The inputs, scaled by each member: the first layer of [`TabMMini`].
///
/// ```text
/// y_m = x_m ∘ r_m
/// ```
///
/// `r` is the variable `members.r` `(M, features)`. Inputs are the rows of one member after those of the other, `(M·B, …,
/// features)`, and so are outputs. After [`shared_inputs`](Self::shared_inputs) the inputs are rows that all members share,
/// `(B, …, features)`. After [`along`](Self::along) features are the second dimension.
///
/// Use it once, where a model of your own begins: the layers behind it may be plain ones, and the last one is a
/// [`SeparateLayer`](crate::nn::many::SeparateLayer).
///
/// # Errors
/// [`new`](Self::new) fails when there are no members, a parameter of [`ScaleInit`] is out of range, or the `VarBuilder` has
/// another variable of this name. The forward pass fails for inputs of another shape.
///
/// # Source
/// Gorishniy, Kotelnikov and Babenko 2025, arXiv:2410.24210. In tabm it is `ElementwiseAffine` without a bias.
///
/// ```
/// use candle_core::{DType, Device, Module, Tensor};
/// use candle_ensemble::{nn::many::{ScaleEnsemble, ScaleInit}, weights::fresh};
///
/// let (_, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// let scales = ScaleEnsemble::new(4, 8, ScaleInit::default(), vb)?.shared_inputs();
/// let y = scales.forward(&Tensor::ones((5, 4), DType::F32, &Device::Cpu)?)?;
/// assert_eq!(y.dims(), [8 * 5, 4]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "ElementwiseAffine")]
pub struct ScaleEnsemble {
    rows: Rows,
    along: Along,
    r: Tensor,
}

impl ScaleEnsemble {
    /// Scales of `features` features for `members` members, which begin as `init` says.
    ///
    /// # Errors
    /// See the type.
    pub fn new(features: usize, members: usize, init: ScaleInit, vb: VarBuilder<'_>) -> Result<Self> {
        check_members("ScaleEnsemble", members)?;
        init.check()?;
        let (dtype, variables) = (vb.dtype(), Variables::new(vb, members));
        Ok(Self::of(variables.get("", "r", &[features], init.into(), dtype)?, variables.count()))
    }

    fn of(r: Tensor, members: usize) -> Self {
        Self { rows: Rows { members, shared: false }, along: Along::Last, r }
    }

    /// Sets where the features are. Default [`Along::Last`].
    #[must_use]
    pub fn along(self, along: Along) -> Self {
        Self { along, ..self }
    }
}

members_of_layer!(ScaleEnsemble);

impl Module for ScaleEnsemble {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scale(x, (self.rows, self.along), &self.r, None, Then::Nothing)
    }
}
