//! TabM.
use crate::{
    network::{MemberBatches, Members},
    nn::{
        many::{
            batch_ensemble::BatchEnsembleLayer,
            check_members,
            convert::{DenseLayer, Method},
            heads::head,
            variables::{init_text, ScaleInit, INIT},
            EfficientEnsemble,
        },
        seq, Sequential,
    },
    registry::{Argument, Entry},
};
use candle_core::Result;
use serde::{Deserialize, Serialize};
use std::fmt;

/// TabM: many members of an MLP for tables which share the weights of all layers but the last.
///
/// ```text
/// hidden layers   y_m = ((x ∘ r_m) W) ∘ s_m + b_m
/// last layer      y_m = x W_m + b_m
/// ```
///
/// The layers are those of [`BatchEnsemble`](crate::nn::many::BatchEnsemble), and three things differ. Only the first `r`
/// begins at random, and all other scales at 1. Each member has a last layer of its own, `members.weight` `(M, outputs,
/// inputs)` and `members.bias`, drawn as `M` plain layers. And there are 32 members, which the source uses throughout: they
/// have few more parameters than one network. All members train on the same batch, and the loss is the mean of their losses
/// ([`MemberBatches::Shared`]). A pass takes about as long as one of a plain network over 32 times the rows.
///
/// Use it for tables: in the source it is on average the best of the networks that were compared, and near gradient-boosted
/// trees. The plain network is an MLP of one to five layers with relu and dropout, which the source trains with AdamW, a
/// learning rate near 0.002 and early stopping on the ensemble's validation score. Its initial weights are those of
/// [`InitScheme::Torch`](crate::weights::InitScheme::Torch). A network with a single layer becomes `M` separate layers.
/// Convolutions and normalization layers work as in BatchEnsemble, but are not in the source.
///
/// # Errors
/// As for BatchEnsemble.
///
/// # Source
/// Gorishniy, Kotelnikov and Babenko 2025, arXiv:2410.24210, and the authors' package `tabm` 0.0.3.
///
/// ```
/// use candle_core::{DType, Device};
/// use candle_ensemble::{nn::{linear, many::TabM, seq, Activation}, weights::fresh};
/// use candle_nn::VarBuilder;
///
/// let mlp = |vb: VarBuilder| {
///     Ok(seq().add(linear(4, 16, vb.pp(0))?).add(Activation::Relu).add(linear(16, 3, vb.pp(1))?))
/// };
/// let (vars, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// TabM::default().convert(vb, mlp)?;
/// let weights = vars.snapshot()?;
/// assert!(weights["0.members.r"].abs()?.flatten_all()?.to_vec1::<f32>()?.iter().all(|r| *r == 1.));
/// assert_eq!(weights["0.members.s"].to_vec2::<f32>()?, [[1.; 16]; 32]);
/// assert_eq!(weights["1.members.weight"].dims(), [32, 3, 16]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TabM {
    /// The number of members `k`, at least 1. Default 32.
    pub k: usize,
    /// How the first `r` begins. Default: random signs. The source takes `N(0, 1)` where features are embedded first.
    pub init: ScaleInit,
}

impl TabM {
    /// `k` members.
    #[must_use]
    pub fn new(k: usize) -> Self {
        Self { k, init: ScaleInit::default() }
    }

    /// Sets how the first `r` begins.
    #[must_use]
    pub fn init(self, init: ScaleInit) -> Self {
        Self { init, ..self }
    }
}

/// 32 members.
impl Default for TabM {
    fn default() -> Self {
        Self::new(32)
    }
}

/// The argument for the number of members.
pub(super) const K: Argument = Argument::new("k", "32", "The number of members");

impl Method for TabM {
    const ENTRY: Entry<EfficientEnsemble> =
        Entry::new("tab-m", "TabM", "BatchEnsemble for tables, with separate last layers", |arguments| {
            let tab_m = Self::new(arguments.get("k")?).init(arguments.get("init")?);
            tab_m.check()?;
            Ok(tab_m.into())
        })
        .with_aliases(&["tabm"])
        .with_arguments(&[K, INIT])
        .with_source("Gorishniy, Kotelnikov and Babenko 2025, arXiv:2410.24210");

    fn check(&self) -> crate::Result<()> {
        check_members("TabM", self.k)?;
        self.init.check()
    }

    fn members(&self) -> Members {
        Members { count: self.k, batches: MemberBatches::Shared }
    }

    fn dense(&self, layer: &DenseLayer<'_>) -> Result<Option<Sequential>> {
        if layer.is_last() {
            return head(layer);
        }
        let first = if layer.is_first() { self.init } else { ScaleInit::Ones };
        let made = BatchEnsembleLayer::stands_for(layer, [first.into(), ScaleInit::Ones.into()])?;
        Ok(Some(seq().add(made.sharing(layer.is_first()))))
    }
}

/// As in text: `tab-m:32`.
impl fmt::Display for TabM {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tab-m:{}{}", self.k, init_text(self.init))
    }
}
