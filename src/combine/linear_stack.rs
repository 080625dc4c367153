//! A linear meta-learner.
use super::{Combiner, Head, Voices};
use crate::{data::Task, Error, HeldOut, Result};
use candle_core::{DType, Result as CandleResult, Tensor, D};
use linfa::{traits::Fit, DatasetBase};
use linfa_linear::LinearRegression;
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

/// Stacking with least squares: each output is a linear function, with intercept, of everything the slots say,
/// fitted on held-out rows. For classes it is multi-response linear regression on the indicator of each class
/// (one redundant probability of each slot dropped), cut off at 0 and normalised again.
///
/// Uses the rows that every slot held out; needs more of them than it has coefficients. Source: Wolpert 1992,
/// doi:10.1016/S0893-6080(05)80023-1; Ting and Witten 1999, doi:10.1613/jair.594.
///
/// ```
/// # use candle_core::{Device, Tensor};
/// # use candle_ensemble::{build::*, combine::*, data::TensorDataset, train::*, Seed, Session};
/// # let x = Tensor::arange(0f32, 160., &Device::Cpu)?.affine(0.01, 0.)?.reshape((80, 2))?;
/// # let y = x.sqr()?.sum(1)?;
/// # let data = TensorDataset::regression(x.clone(), &y)?;
/// # let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(2);
/// let session = Session::new(&trainer, &data);
/// let plan = session.plan(&MultiRun::new(3), 42)?.reserve(0.3, &data, Seed::from(42))?;
/// let ensemble = session.train(&plan)?.combine(&LinearStack)?;
/// # assert_eq!(ensemble.predict(&x)?.dims(), [80, 1]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinearStack;

/// [`LinearStack`], fitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinearStackHead {
    /// For each output: one coefficient for each slot's output (the last class left out), slot by slot.
    coefficients: Vec<Vec<f64>>,
    /// For each output.
    intercepts: Vec<f64>,
}

impl LinearStackHead {
    /// One coefficient for each slot's output (the last class left out), slot by slot, for each output.
    #[must_use]
    pub fn coefficients(&self) -> &[Vec<f64>] {
        &self.coefficients
    }

    /// One for each output.
    #[must_use]
    pub fn intercepts(&self) -> &[f64] {
        &self.intercepts
    }
}

impl Combiner for LinearStack {
    type Head = LinearStackHead;

    fn fit(&self, held_out: &dyn Fn() -> Result<HeldOut>) -> Result<LinearStackHead> {
        let held_out = held_out()?;
        let complete = held_out.complete()?;
        let features = features(complete.voices())?;
        let (rows, width) = features.dims2()?;
        if rows <= width {
            let (combiner, need) = ("the linear stack".into(), width + 1);
            return Err(Error::HeldOut { combiner, need, have: rows, rows: held_out.of() });
        }
        let x = Array2::from_shape_vec((rows, width), to_f64(&features)?)
            .map_err(|e| Error::invalid("the meta-features", "a full table", e))?;
        let targets = complete.target_table()?;
        let mut head = LinearStackHead { coefficients: vec![], intercepts: vec![] };
        for target in targets {
            let data = DatasetBase::new(x.view(), Array1::from_vec(target));
            let model = LinearRegression::default().fit(&data).map_err(|e| {
                let must = "linearly independent on the held-out rows (drop duplicate members)";
                Error::invalid("the members' predictions", must, e)
            })?;
            head.coefficients.push(model.params().to_vec());
            head.intercepts.push(model.intercept());
        }
        Ok(head)
    }
}

impl Head for LinearStackHead {
    fn name(&self) -> String {
        "linear-stack".into()
    }

    fn combine(&self, voices: &Voices) -> CandleResult<Tensor> {
        if voices.covered().is_some() {
            candle_core::bail!("the linear stack needs what every slot says, but some voices are missing");
        }
        let features = features(voices)?;
        let (outputs, width) = (self.coefficients.len(), features.dim(1)?);
        if self.coefficients.iter().any(|c| c.len() != width) {
            candle_core::bail!("the linear stack was fitted on another number of voices");
        }
        let (device, dtype) = (features.device(), features.dtype());
        let table: Vec<f64> = self.coefficients.concat();
        let weights = Tensor::from_vec(table, (outputs, width), device)?.to_dtype(dtype)?;
        let intercepts = Tensor::new(self.intercepts.as_slice(), device)?.to_dtype(dtype)?;
        let values = features.matmul(&weights.t()?)?.broadcast_add(&intercepts)?;
        match voices.task() {
            Task::Regression { .. } => Ok(values),
            // The responses sum to one, so at least one is positive.
            Task::Classification { .. } => {
                let positive = values.relu()?;
                positive.broadcast_div(&positive.sum_keepdim(D::Minus1)?)
            }
        }
    }
}

/// `(S, B, C) -> (B, S·C)`, without the last class.
fn features(voices: &Voices) -> CandleResult<Tensor> {
    let values = match voices.task() {
        Task::Classification { classes } => voices.values().narrow(2, 0, classes - 1)?,
        Task::Regression { .. } => voices.values().clone(),
    };
    let (slots, rows, width) = values.dims3()?;
    values.transpose(0, 1)?.contiguous()?.reshape((rows, slots * width))
}

fn to_f64(tensor: &Tensor) -> CandleResult<Vec<f64>> {
    tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
}
