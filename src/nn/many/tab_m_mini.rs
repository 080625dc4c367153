//! TabM-mini.
use crate::{
    network::{MemberBatches, Members},
    nn::{
        many::{
            check_members,
            convert::{DenseLayer, Method},
            dense::Along,
            heads::head,
            rows::Rows,
            scale::scale,
            tab_m::K,
            variables::{init_text, ScaleInit, INIT},
            EfficientEnsemble,
        },
        seq,
        then::Then,
        Sequential,
    },
    registry::Entry,
};
use candle_core::{Module, Result, Tensor};
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
                let scales = Scales { along: layer.dense.along(), members: layer.at.members(), r };
                Ok(Some(layer.plain()?.add_to(seq().add(scales))))
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

/// The inputs, scaled by each member.
#[derive(Debug)]
struct Scales {
    along: Along,
    members: usize,
    r: Tensor,
}

impl Module for Scales {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scale(x, (Rows { members: self.members, shared: true }, self.along), &self.r, None, Then::Nothing)
    }
}
