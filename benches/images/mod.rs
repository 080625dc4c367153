//! A convolutional network for images, of candle's layers and of the library's.
use candle_core::{DType, Device, ModuleT, Result, Tensor};
use candle_ensemble::nn;
use candle_nn::{
    batch_norm, conv2d, linear, loss, AdamW, BatchNorm, Conv2d, Conv2dConfig, Linear, Optimizer as _,
    ParamsAdamW, VarBuilder, VarMap,
};
use rand::{rngs::StdRng, seq::SliceRandom, SeedableRng};

/// Channels of the two convolutions.
const CHANNELS: [usize; 2] = [16, 32];
const CLASSES: usize = 10;
/// Outputs are as large as inputs; each max-pooling after it halves the sides.
const SAME: Conv2dConfig =
    Conv2dConfig { padding: 1, stride: 1, dilation: 1, groups: 1, cudnn_fwd_algo: None };

/// Images with one channel to train on.
pub struct Images {
    pub name: &'static str,
    /// `(rows, 1, side, side)`.
    pub inputs: Tensor,
    pub labels: Tensor,
    pub side: usize,
    pub batch: usize,
    pub epochs: usize,
}

impl Images {
    /// The outputs of the second convolution after pooling.
    fn features(&self) -> usize {
        CHANNELS[1] * (self.side / 4) * (self.side / 4)
    }

    /// The network of the library's layers.
    pub fn layers(features: usize, vb: VarBuilder<'_>) -> Result<nn::Sequential> {
        let mut network = nn::seq();
        for (i, (inputs, outputs)) in [(1, CHANNELS[0]), (CHANNELS[0], CHANNELS[1])].into_iter().enumerate() {
            network = network
                .add(nn::conv2d(inputs, outputs, 3, SAME, vb.pp(format!("conv{i}")))?)
                .add(nn::batch_norm(outputs, 1e-5, vb.pp(format!("norm{i}")))?)
                .add(nn::Activation::Relu)
                .add_fn(|x| x.max_pool2d(2));
        }
        Ok(network.add_fn(|x| x.flatten_from(1)).add(nn::linear(features, CLASSES, vb.pp("out"))?))
    }

    /// What makes the network of the library's layers.
    pub fn network(&self) -> impl Fn(VarBuilder<'_>) -> Result<nn::Sequential> + Send + Sync + 'static {
        let features = self.features();
        move |vb| Self::layers(features, vb)
    }

    /// The training loop that a user of candle writes.
    pub fn train_by_hand(&self, learning_rate: f64) -> Result<f32> {
        let vars = VarMap::new();
        let network = Net::new(self.features(), VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu))?;
        let rates = ParamsAdamW { lr: learning_rate, weight_decay: 0., ..Default::default() };
        let trained = vars.data().lock().expect("not poisoned").clone();
        let trained = trained.into_iter().filter(|(name, _)| !name.contains("running")).map(|(_, var)| var);
        let mut optimizer = AdamW::new(trained.collect(), rates)?;
        let rows = self.inputs.dim(0)?;
        let (mut order, mut rng) = ((0..rows as u32).collect::<Vec<_>>(), StdRng::seed_from_u64(42));
        let mut last = f32::NAN;
        for _ in 0..self.epochs {
            order.shuffle(&mut rng);
            for ids in order.chunks(self.batch) {
                let ids = Tensor::new(ids, &Device::Cpu)?;
                let (x, y) = (self.inputs.index_select(&ids, 0)?, self.labels.index_select(&ids, 0)?);
                let loss = loss::cross_entropy(&network.forward_t(&x, true)?, &y)?;
                optimizer.backward_step(&loss)?;
                last = loss.to_scalar()?;
            }
        }
        Ok(last)
    }
}

/// The network in plain candle.
struct Net {
    blocks: Vec<(Conv2d, BatchNorm)>,
    out: Linear,
}

impl Net {
    fn new(features: usize, vb: VarBuilder<'_>) -> Result<Self> {
        let block = |(i, (inputs, outputs)): (usize, (usize, usize))| {
            let conv = conv2d(inputs, outputs, 3, SAME, vb.pp(format!("conv{i}")))?;
            Ok((conv, batch_norm(outputs, 1e-5, vb.pp(format!("norm{i}")))?))
        };
        let sizes = [(1, CHANNELS[0]), (CHANNELS[0], CHANNELS[1])];
        let blocks = sizes.into_iter().enumerate().map(block).collect::<Result<_>>()?;
        Ok(Self { blocks, out: linear(features, CLASSES, vb.pp("out"))? })
    }
}

impl ModuleT for Net {
    fn forward_t(&self, xs: &Tensor, train: bool) -> Result<Tensor> {
        let mut xs = xs.clone();
        for (conv, norm) in &self.blocks {
            xs = xs.apply(conv)?.apply_t(norm, train)?.relu()?.max_pool2d(2)?;
        }
        xs.flatten_from(1)?.apply(&self.out)
    }
}
