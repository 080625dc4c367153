//! Rows in order of time.
use crate::{
    registry::{Argument, Entry},
    resample::Windows,
    strategy::{
        registry::{boxed, VALIDATION},
        EnsembleBuilder, Strategy,
    },
};

/// Forward chaining: every run trains on the rows up to some moment and predicts later ones only; all predict
/// with one prediction.
///
/// Choose it for rows in order of time, where a shuffled fold would let models of the future judge the past. The
/// training window expands, or slides if [`window`](Self::window) limits it; a [`gap`](Self::gap) keeps apart
/// rows whose targets overlap. Rows before the first test window have no held-out prediction; [`Windows`] tells
/// who may predict what. Cost: `folds` times the epochs of one network, on half of the rows on average where
/// the window expands.
///
/// Source: Tashman 2000, doi:10.1016/S0169-2070(00)00065-0 (rolling origin); Bergmeir and Benítez 2012,
/// doi:10.1016/j.ins.2011.12.028.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::TensorDataset, plan::*, strategy::*, Seed};
///
/// let t = Tensor::arange(0f32, 12., &Device::Cpu)?.reshape((12, 1))?;
/// let data = TensorDataset::regression(t.clone(), &t)?;
/// let plan = ForwardChaining::new(3).gap(1).test_rows(2).plan(&data, &["mlp".into()], Seed::from(42))?;
/// assert_eq!(plan.runs[0].train, [0, 1, 2, 3, 4]);        // 5 is the gap; tested on 6, 7
/// assert_eq!(plan.runs[1].train, [0, 1, 2, 3, 4, 5, 6]);  // 7 is the gap; tested on 8, 9
/// assert_eq!(plan.runs[1].seen(), [0, 1, 2, 3, 4, 5, 6, 7]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub type ForwardChaining = Strategy<Windows>;

impl ForwardChaining {
    /// This many runs for each architecture, each with a test window behind it.
    #[must_use]
    pub fn new(folds: usize) -> Self {
        Self::of(Windows { folds, window: None, gap: 0, test: None })
    }

    /// Trains on this many rows at most, the latest: the window slides. scikit-learn's `max_train_size`.
    #[must_use]
    pub fn window(mut self, rows: usize) -> Self {
        self.resample.window = Some(rows);
        self
    }

    /// Leaves this many rows out between training and test window; 0, if not set.
    #[must_use]
    pub fn gap(mut self, rows: usize) -> Self {
        self.resample.gap = rows;
        self
    }

    /// Rows a test window; `rows / (folds + 1)`, rounded down, if not set. scikit-learn's `test_size`.
    #[must_use]
    pub fn test_rows(mut self, rows: usize) -> Self {
        self.resample.test = Some(rows);
        self
    }
}

pub(crate) const ENTRY: Entry<Box<dyn EnsembleBuilder>> = Entry::new(
    "forward-chaining",
    "ForwardChaining",
    "Every member on the past of its test window",
    |arguments| {
        let (folds, gap) = (arguments.get("folds")?, arguments.get("gap")?);
        let (window, test) = (arguments.optional("window")?, arguments.optional("test")?);
        boxed(ForwardChaining::of(Windows { folds, window, gap, test }), arguments)
    },
)
.with_arguments(&[
    Argument::new("folds", "5", "Runs, each with a test window behind it"),
    Argument::new("gap", "0", "Rows left out before each test window"),
    Argument::optional("window", "Trains on at most so many rows, the latest"),
    Argument::optional("test", "Rows of a test window; rows / (folds + 1), if not set"),
    VALIDATION,
])
.with_source("Tashman 2000, doi:10.1016/S0169-2070(00)00065-0");
