//! Pictures with a class for each pixel, which are made when they are read, and networks for them. What grows with the pictures
//! is what the library holds.
use candle_core::{DType, Device, Result as CandleResult, Tensor};
use candle_ensemble::{
    combine::Mean,
    data::{Batch, Dataset, Fingerprint, Positions, Task},
    merge::{best_of, BestOf},
    metrics::MetricList,
    nn::{self, seq, Sequential},
    store::Seen,
    train::Pretrained,
    weights::Weights,
    PoolBuilder, PretrainedMember, Result,
};
use candle_nn::VarBuilder;

const NETWORKS: usize = 4;
const CLASSES: usize = 3;

/// So many pictures `(1, side, side)`.
pub struct Pictures {
    pub rows: usize,
    pub side: usize,
}

impl Dataset for Pictures {
    fn rows(&self) -> usize {
        self.rows
    }
    fn task(&self) -> Task {
        Task::Classification { classes: CLASSES }
    }
    fn positions(&self) -> Positions {
        Positions::Many { ignore_index: None }
    }
    fn batch(&self, rows: &[u32], device: &Device) -> CandleResult<Batch> {
        let Self { side, .. } = *self;
        let pixel = |row: u32, at: usize| (row as f32 * 0.7 + at as f32 * 0.13).sin();
        let pixels = rows.iter().flat_map(|row| (0..side * side).map(move |at| pixel(*row, at)));
        let pixels = Tensor::from_iter(pixels, device)?.reshape((rows.len(), 1, side, side))?;
        let above = |least: f64| pixels.gt(least)?.to_dtype(DType::U32);
        let targets = (above(-0.4)? + above(0.4)?)?.squeeze(1)?;
        Ok(Batch { inputs: pixels.into(), targets, weights: None })
    }
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(format!("{} pictures of {}", self.rows, self.side).as_bytes())
    }
}

/// What can be done with a pool of networks for pictures.
pub const WORK: [&str; 4] = ["held-out", "predict", "metrics", "best-of"];

/// Does one of the [`WORK`] with networks for pictures. `measure` runs the part that is measured.
pub fn run<T>(
    work: &str,
    pictures: &Pictures,
    measure: impl FnOnce(&dyn Fn() -> Result<()>) -> Result<T>,
) -> Result<T> {
    let network = |vb: VarBuilder<'static>| {
        let layers =
            seq().add(nn::conv2d(1, 4, 1, Default::default(), vb.pp("a"))?).add(nn::Activation::Relu);
        Ok::<Sequential, _>(layers.add(nn::conv2d(4, CLASSES, 1, Default::default(), vb.pp("b"))?))
    };
    let networks = Pretrained::new(network);
    let mut pool = PoolBuilder::new(&networks, pictures);
    for number in 0..NETWORKS {
        // Each picture is held out for one of the networks; the best use is sought on pictures that none has seen.
        let seen = (0..pictures.rows as u32).filter(|row| *row as usize % NETWORKS != number);
        let seen = if work == "best-of" { Seen::Nothing } else { Seen::Rows(seen.collect()) };
        pool.add(PretrainedMember::new(weights(number)?, seen))?;
    }
    let pool = pool.build()?;
    let ensemble = pool.combine(&Mean)?.threads(1);
    measure(&|| match work {
        "held-out" => pool.held_out().map(|_| ()),
        "predict" => ensemble.on(pictures).predict().map(drop),
        "metrics" => ensemble.on(pictures).metrics(&MetricList::parse("nll,mean-iou")?).map(drop),
        _ => best_of(&pool, &BestOf::new().align(false)).map(drop),
    })
}

fn weights(number: usize) -> Result<Weights> {
    let numbers = |shape: &[usize]| -> CandleResult<Tensor> {
        let count = shape.iter().product::<usize>();
        let each = (0..count).map(|at| ((at + 5 * number) as f32).sin());
        Tensor::from_iter(each, &Device::Cpu)?.reshape(shape)
    };
    let shapes: [(&str, &[usize]); 4] = [
        ("a.weight", &[4, 1, 1, 1]),
        ("a.bias", &[4]),
        ("b.weight", &[CLASSES, 4, 1, 1]),
        ("b.bias", &[CLASSES]),
    ];
    Ok(shapes
        .into_iter()
        .map(|(name, shape)| Ok((name.to_string(), numbers(shape)?)))
        .collect::<CandleResult<_>>()?)
}
