//! Networks and data for the unit tests of this module.
use crate::{
    data::{Inputs, TensorDataset},
    nn::seq,
    strategy::MultiRun,
    train::{Optimizer, Trainer},
    weights::Weights,
    AnyNetwork, Session,
};
use candle_core::{DType, Device, Module, ModuleT, Result, Tensor};
use candle_nn::{
    batch_norm, conv2d_no_bias, linear, Activation, BatchNorm, Conv2d, Conv2dConfig, Linear, VarBuilder,
};

/// A network of linear layers `0`, `1`, … with ReLUs between them.
pub(crate) fn mlp(widths: &'static [usize]) -> Trainer<AnyNetwork> {
    Trainer::new(move |vb| {
        let mut net = seq();
        for (i, pair) in widths.windows(2).enumerate() {
            if i > 0 {
                net = net.add(Activation::Relu);
            }
            net = net.add(linear(pair[0], pair[1], vb.pp(i))?);
        }
        Ok(AnyNetwork::new(net))
    })
}

/// A residual block: two convolutions, and a third one on the shortcut if shapes change.
struct Block {
    one: (Conv2d, BatchNorm),
    two: (Conv2d, BatchNorm),
    short: Option<(Conv2d, BatchNorm)>,
}

/// A convolution with batch-norm.
fn normed(
    from: usize,
    to: usize,
    kernel: usize,
    stride: usize,
    vb: &VarBuilder<'_>,
) -> Result<(Conv2d, BatchNorm)> {
    let config = Conv2dConfig { padding: kernel / 2, stride, ..Default::default() };
    Ok((conv2d_no_bias(from, to, kernel, config, vb.pp("conv"))?, batch_norm(to, 1e-5, vb.pp("norm"))?))
}

impl Block {
    fn new(from: usize, to: usize, stride: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        let one = normed(from, to, 3, stride, &vb.pp("one"))?;
        let two = normed(to, to, 3, 1, &vb.pp("two"))?;
        let short = if (from, stride) == (to, 1) {
            None
        } else {
            Some(normed(from, to, 1, stride, &vb.pp("short"))?)
        };
        Ok(Self { one, two, short })
    }
}

/// Runs a convolution with batch-norm.
fn run((conv, norm): &(Conv2d, BatchNorm), xs: &Tensor, train: bool) -> Result<Tensor> {
    norm.forward_t(&conv.forward(xs)?, train)
}

/// A residual network: a stem, blocks, the mean over pixels, and a linear layer.
pub(crate) struct ResNet {
    stem: (Conv2d, BatchNorm),
    blocks: Vec<Block>,
    head: Linear,
}

impl ResNet {
    fn new(blocks: &[(usize, usize)], vb: &VarBuilder<'_>) -> Result<Self> {
        let mut from = blocks[0].0;
        let stem = normed(1, from, 3, 1, &vb.pp("stem"))?;
        let mut all = vec![];
        for (i, &(to, stride)) in blocks.iter().enumerate() {
            all.push(Block::new(from, to, stride, &vb.pp(format!("block{i}")))?);
            from = to;
        }
        Ok(Self { stem, blocks: all, head: linear(from, 10, vb.pp("head"))? })
    }
}

impl ModuleT for ResNet {
    fn forward_t(&self, xs: &Tensor, train: bool) -> Result<Tensor> {
        let mut xs = run(&self.stem, xs, train)?.relu()?;
        for block in &self.blocks {
            let short = block.short.as_ref().map_or(Ok(xs.clone()), |short| run(short, &xs, train))?;
            let inner = run(&block.one, &xs, train)?.relu()?;
            xs = (run(&block.two, &inner, train)? + short)?.relu()?;
        }
        self.head.forward(&xs.mean(3)?.mean(2)?)
    }
}

/// A classifier of ten classes of images with one channel. `blocks` has the channels and the stride of each
/// block; the stem has the channels of the first one.
pub(crate) fn resnet(blocks: &'static [(usize, usize)]) -> Trainer<ResNet> {
    Trainer::new(move |vb| ResNet::new(blocks, &vb))
}

/// The handwritten digits, `(1797, 64)` from 0 to 1, or as small images `(1797, 1, 4, 4)`.
pub(crate) fn digits(images: bool) -> TensorDataset {
    let digits = smartcore::dataset::digits::load_dataset();
    let x = Tensor::from_vec(digits.data, (digits.num_samples, 64), &Device::Cpu).unwrap();
    let x = (x.to_dtype(DType::F32).unwrap() / 16.).unwrap();
    let x = if images { x.reshape(((), 1, 8, 8)).unwrap().avg_pool2d(2).unwrap() } else { x };
    let y = Tensor::from_iter(digits.target.iter().map(|y| *y as u32), &Device::Cpu).unwrap();
    TensorDataset::classification(x, &y).unwrap()
}

/// The rows to train on and the rows to measure on.
pub(crate) fn split() -> (Vec<u32>, Vec<u32>) {
    (0..1797).partition(|row| row % 3 != 0)
}

/// The accuracy of a network with these outputs.
#[cfg_attr(not(feature = "align"), allow(dead_code))]
pub(crate) fn accuracy(output: &Tensor, data: &TensorDataset, rows: &[u32]) -> f64 {
    let predicted = output.argmax(1).unwrap().to_vec1::<u32>().unwrap();
    let labels = data.labels().unwrap();
    let right =
        predicted.iter().zip(rows).filter(|(predicted, row)| **predicted == labels[**row as usize]).count();
    right as f64 / rows.len() as f64
}

/// The weights of networks that were trained on the digits with different seeds.
pub(crate) fn trained<N: crate::Network>(
    trainer: Trainer<N>,
    epochs: usize,
    networks: usize,
    seed: u64,
    data: &TensorDataset,
) -> Vec<Weights> {
    let trainer = trainer.epochs(epochs).batch_size(32).optimizer(Optimizer::adam(3e-3));
    let data = data.subset(&split().0).unwrap();
    let pool = Session::new(&trainer, &data).fit(&MultiRun::new(networks), seed).unwrap();
    pool.members().iter().map(|member| member.weights.clone()).collect()
}

/// The inputs of these rows.
#[cfg_attr(not(feature = "align"), allow(dead_code))]
pub(crate) fn inputs(data: &TensorDataset, rows: &[u32]) -> Inputs {
    data.inputs().select(rows).unwrap()
}
