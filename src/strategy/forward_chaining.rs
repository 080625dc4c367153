//! Rows in order of time.
use crate::{
    registry::{Argument, Entry},
    resample::Windows,
    strategy::{
        registry::{boxed, VALIDATION},
        EnsembleBuilder, Strategy,
    },
};

/// Forward chaining: trains each run on the rows up to some moment and holds out the rows after it. All runs
/// of one architecture share a slot.
///
/// ```text
/// run i of k trains on rows [max(0, sᵢ − gap − window), sᵢ − gap) and predicts rows [sᵢ, N)
/// sᵢ = N − (k − i) · test,  i = 0 … k − 1
/// ```
///
/// The training window expands, or slides where [`window`](Self::window) limits it. A [`gap`](Self::gap)
/// between training and test window is for rows whose targets overlap. Rows before the first test window have
/// no held-out prediction. [`Windows`] explains which run predicts which rows.
///
/// Use it for rows in order of time, where with shuffled folds models that were trained on the future would
/// predict the past. Do not use it for rows without an order: [`KFold`](crate::strategy::KFold) holds out
/// every row.
///
/// Cost: `folds` times the epochs of one network, on half of the rows on average where the window expands.
///
/// # Errors
/// Planning fails when `folds`, the training window or the test window is 0, or when the test windows and the
/// gap leave no row to train on.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::TensorDataset, strategy::*, Seed};
///
/// let t = Tensor::arange(0f32, 12., &Device::Cpu)?.reshape((12, 1))?;
/// let data = TensorDataset::regression(t.clone(), &t)?;
/// let plan = ForwardChaining::new(3).gap(1).test_rows(2).plan(&data, &["mlp".into()], Seed::from(42))?;
/// assert_eq!(plan.runs[0].train, [0, 1, 2, 3, 4]);        // row 5 is the gap, rows 6 and 7 the test window
/// assert_eq!(plan.runs[1].train, [0, 1, 2, 3, 4, 5, 6]);  // row 7 is the gap, rows 8 and 9 the test window
/// assert_eq!(plan.runs[1].seen()?, [0, 1, 2, 3, 4, 5, 6, 7]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Tashman 2000, doi:10.1016/S0169-2070(00)00065-0 (rolling origin); Bergmeir and Benítez 2012,
/// doi:10.1016/j.ins.2011.12.028.
pub type ForwardChaining = Strategy<Windows>;

impl ForwardChaining {
    /// Lays out `folds` runs for each architecture, each with a test window after its training window.
    #[must_use]
    pub fn new(folds: usize) -> Self {
        Self::of(Windows { folds, window: None, gap: 0, test: None })
    }

    /// Limits the training window to the latest `rows` rows, so that it slides. By default it expands. This
    /// is scikit-learn's `max_train_size`.
    #[must_use]
    pub fn window(mut self, rows: usize) -> Self {
        self.resample.window = Some(rows);
        self
    }

    /// Leaves `rows` rows out between training and test window; the default is 0.
    #[must_use]
    pub fn gap(mut self, rows: usize) -> Self {
        self.resample.gap = rows;
        self
    }

    /// Sets the number of rows in a test window; the default is `rows / (folds + 1)`, rounded down. This is
    /// scikit-learn's `test_size`.
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
