//! Models that were written without this library: each is wrapped by its constructor, trains a step, is saved,
//! is loaded by its constructor alone, and predicts on two threads what it predicted before.
use crate::common::{bits, CPU};
use candle_core::{bail, DType, Device, IndexOp, Module, ModuleT, Result, Tensor, D};
use candle_ensemble::{data::Inputs, nn, prelude::*, Rows};
use candle_nn::{
    conv1d, embedding, gru, init::DEFAULT_KAIMING_NORMAL, layer_norm, linear, lstm, Conv1d, Conv1dConfig,
    Dropout, Embedding, Func, GRUConfig, LSTMConfig, LayerNorm, Linear, VarBuilder, GRU, LSTM, RNN,
};
use candle_transformers::models::{
    bert, convmixer, convnext, distilbert, efficientnet, llama2_c, mamba, mobileone, resnet, vgg, vit,
};
use std::sync::{
    atomic::{AtomicUsize, Ordering},
    Arc, Mutex,
};

/// Numbers from −1 to 1 that look random.
fn numbers(shape: impl Into<candle_core::Shape>) -> Tensor {
    let shape = shape.into();
    let values = (0..shape.elem_count() as u64).map(|i| (i * 7919 % 2003) as f32 / 1001.5 - 1.);
    Tensor::from_iter(values, &CPU).unwrap().reshape(shape).unwrap()
}

/// Token ids below `vocabulary`.
fn tokens(rows: usize, length: usize, vocabulary: u32) -> Tensor {
    let ids = (0..(rows * length) as u32).map(|i| i * 31 % vocabulary);
    Tensor::from_iter(ids, &CPU).unwrap().reshape((rows, length)).unwrap()
}

/// Trains a step with the first constructor, on classes 0, 1, 2, 0, …, and serves the result.
fn wraps<N, C>(inputs: impl Into<Inputs>, new: C)
where
    N: Network + Send + Sync,
    C: Fn(VarBuilder<'static>) -> Result<N> + Clone + Send + Sync + 'static,
{
    wraps_on_any_thread(inputs, new, |ensemble, inputs| {
        let predict = || bits(&ensemble.predict_proba(inputs).unwrap());
        std::thread::scope(|scope| {
            let threads = [scope.spawn(predict), scope.spawn(predict)];
            let [a, b] = threads.map(|thread| thread.join().unwrap());
            assert_eq!(a, b);
            a
        })
    });
}

/// The same, for networks that cannot be shared; `serve` predicts with the ensemble.
fn wraps_on_any_thread<N, C>(
    inputs: impl Into<Inputs>,
    new: C,
    serve: impl Fn(&Ensemble<N, Mean>, &Inputs) -> Vec<u64>,
) where
    N: Network,
    C: Fn(VarBuilder<'static>) -> Result<N> + Clone + Send + Sync + 'static,
{
    let inputs = inputs.into();
    let labels = Tensor::from_iter((0..inputs.rows() as u32).map(|i| i % 3), &CPU).unwrap();
    let data = TensorDataset::classification(inputs.clone(), &labels).unwrap().with_classes(3).unwrap();
    // One step. Layers without a backward pass in candle get no gradient, such as its own layer norm.
    let trainer = Trainer::new(new.clone()).epochs(1).batch_size(inputs.rows()).allow_frozen(true);
    let pool = Session::new(&trainer, &data).fit(&MultiRun::new(1), 1).unwrap();
    let untrained = CustomLoop::new("no step", new.clone(), |_, _| Ok(()));
    let before = Session::new(&untrained, &data).fit(&MultiRun::new(1), 1).unwrap();
    let (after, before) = (&pool.members()[0].weights, &before.members()[0].weights);
    assert!(
        after.iter().any(|(name, tensor)| bits(tensor) != bits(&before[name])),
        "the step changes weights"
    );

    let ensemble = pool.combine(&Mean).unwrap();
    let expected = bits(&ensemble.predict_proba(&inputs).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ensemble.safetensors");
    ensemble.save(&path).unwrap();
    let loaded = Ensemble::<N, Mean>::load_with(&path, move |_, _, vb| new(vb), &CPU).unwrap();
    assert_eq!(serve(&loaded, &inputs), expected);
    assert_eq!(bits(&loaded.on(&data).predict_proba().unwrap()), expected);
}

// ---- Models of candle-transformers.

/// Its max-pooling has no backward pass in candle, so the trunk is frozen and a new head is trained, as one
/// would with pretrained weights.
#[test]
fn resnet() {
    let classifier = |vb: VarBuilder<'static>| resnet::resnet18(3, vb);
    let images = numbers((3, 3, 32, 32));
    let labels = Tensor::new(&[0u32, 1, 2], &CPU).unwrap();
    let data = TensorDataset::classification(&images, &labels).unwrap();
    let trainer = Trainer::new(classifier).epochs(1);
    let e = Session::new(&trainer, &data).fit(&MultiRun::new(1), 1).err().unwrap().to_string();
    assert!(e.contains("backward not supported for maxpool2d"), "{e}");

    struct FrozenTrunk(Func<'static>, Linear);
    impl Module for FrozenTrunk {
        fn forward(&self, images: &Tensor) -> Result<Tensor> {
            self.1.forward(&self.0.forward(images)?.detach())
        }
    }
    wraps(images, |vb| {
        Ok(FrozenTrunk(resnet::resnet18_no_final_layer(vb.pp("trunk"))?, linear(512, 3, vb.pp("head"))?))
    });
}

#[test]
fn convmixer() {
    wraps(numbers((2, 3, 14, 14)), |vb| convmixer::c1024_20(3, vb));
}

#[test]
fn mobileone() {
    wraps(numbers((3, 3, 32, 32)), |vb| mobileone::mobileone(&mobileone::Config::s0(), 3, vb));
}

#[test]
fn efficientnet() {
    wraps(numbers((3, 3, 32, 32)), |vb| {
        efficientnet::EfficientNet::new(vb, efficientnet::MBConvConfig::b0(), 3)
    });
}

#[test]
fn convnext() {
    wraps(numbers((3, 3, 32, 32)), |vb| convnext::convnext(&convnext::Config::atto(), 3, vb));
}

#[test]
fn vgg_has_a_lifetime_and_is_built() {
    // It has 140 million weights, so its type is what is tested.
    let new = |vb: VarBuilder<'static>| vgg::Vgg::new(vb, vgg::Models::Vgg13);
    let _: Trainer<vgg::Vgg<'static>> = Trainer::new(new);
}

#[test]
fn vision_transformer() {
    let config = vit::Config {
        hidden_size: 16,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 32,
        image_size: 32,
        patch_size: 8,
        ..vit::Config::vit_base_patch16_224()
    };
    wraps(numbers((3, 3, 32, 32)), move |vb| {
        let model = vit::Model::new(&config, 3, vb)?;
        Ok(candle_nn::func(move |images| model.forward(images)))
    });
}

fn bert_config() -> bert::Config {
    bert::Config {
        vocab_size: 50,
        hidden_size: 16,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 32,
        max_position_embeddings: 12,
        ..bert::Config::default()
    }
}

/// BERT takes token ids and an attention mask; the head reads the first token.
struct BertClassifier(bert::BertModel, Linear);

impl Network for BertClassifier {
    fn run(&self, inputs: &Inputs, _train: bool) -> Result<Tensor> {
        let [ids, mask] = inputs.tensors() else { bail!("ids and a mask are needed") };
        let hidden = self.0.forward(ids, &ids.zeros_like()?, Some(mask))?;
        self.1.forward(&hidden.i((.., 0))?.contiguous()?)
    }
}

#[test]
fn bert_with_two_inputs() {
    let mask = Tensor::ones((6, 8), DType::U32, &CPU).unwrap();
    wraps(vec![tokens(6, 8, 50), mask], |vb| {
        let trunk = bert::BertModel::load(vb.pp("bert"), &bert_config())?;
        Ok(BertClassifier(trunk, linear(16, 3, vb.pp("head"))?))
    });
}

#[test]
fn distilbert_from_a_config_file() {
    let config = r#"{"vocab_size": 50, "dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 32, "activation": "gelu",
        "max_position_embeddings": 12, "initializer_range": 0.02, "pad_token_id": 0,
        "position_embedding_type": "absolute", "use_cache": true}"#;
    let config: distilbert::Config = serde_json::from_str(config).unwrap();
    wraps(tokens(6, 8, 50), move |vb| {
        let trunk = distilbert::DistilBertModel::load(vb.pp("bert"), &config)?;
        let head = linear(16, 3, vb.pp("head"))?;
        Ok(candle_nn::func(move |ids| {
            let mask = Tensor::zeros((ids.dim(0)?, 1, 1, ids.dim(1)?), DType::U8, ids.device())?;
            head.forward(&trunk.forward(ids, &mask)?.mean(1)?)
        }))
    });
}

/// A language model has a distribution for each position; the last one is the prediction of the next token.
#[test]
fn llama_with_a_cache() {
    let config = || llama2_c::Config {
        dim: 16,
        hidden_dim: 32,
        n_layers: 1,
        n_heads: 2,
        n_kv_heads: 2,
        vocab_size: 3,
        seq_len: 8,
        norm_eps: 1e-5,
    };
    wraps(tokens(6, 8, 3), move |vb| {
        let model = llama2_c::Llama::load(vb.clone(), config())?;
        let rope = VarBuilder::from_tensors(Default::default(), DType::F32, &Device::Cpu);
        Ok(candle_nn::func(move |ids| {
            let mut cache = llama2_c::Cache::new(false, &config(), rope.clone())?;
            let logits = model.forward(ids, 0, &mut cache)?;
            logits.i((.., logits.dim(1)? - 1))?.contiguous()
        }))
    });
}

#[test]
fn mamba_with_a_state() {
    let config: mamba::Config = serde_json::from_str(
        r#"{"d_model": 16, "n_layer": 1, "vocab_size": 8, "pad_vocab_size_multiple": 4}"#,
    )
    .unwrap();
    wraps(tokens(6, 5, 8), move |vb| {
        let (model, config) = (mamba::Model::new(&config, vb.pp("mamba"))?, config.clone());
        let head = linear(8, 3, vb.pp("head"))?;
        // Its state is that of one sequence.
        let last = move |ids: &Tensor| {
            let mut state = mamba::State::new(1, &config, DType::F32, ids.device())?;
            let mut logits = None;
            for at in 0..ids.dim(0)? {
                logits = Some(model.forward(&ids.i(at..at + 1)?, &mut state)?);
            }
            let Some(logits) = logits else { bail!("no token") };
            logits.reshape((1, ()))
        };
        Ok(candle_nn::func(move |ids| {
            let rows = (0..ids.dim(0)?).map(|row| last(&ids.i(row)?)).collect::<Result<Vec<_>>>()?;
            head.forward(&Tensor::cat(&rows, 0)?)
        }))
    });
}

// ---- Models written by hand.

struct Recurrent(Embedding, LSTM, GRU, Linear);

impl Module for Recurrent {
    fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        let states = self.1.seq(&self.0.forward(ids)?)?;
        let states = self.2.seq(&self.1.states_to_tensor(&states)?)?;
        let Some(last) = states.last() else { bail!("an empty sequence") };
        self.3.forward(last.h())
    }
}

#[test]
fn recurrent_networks_over_embeddings() {
    wraps(tokens(6, 7, 20), |vb| {
        Ok(Recurrent(
            embedding(20, 6, vb.pp("tokens"))?,
            lstm(6, 5, LSTMConfig::default(), vb.pp("lstm"))?,
            gru(5, 4, GRUConfig::default(), vb.pp("gru"))?,
            linear(4, 3, vb.pp("out"))?,
        ))
    });
}

#[test]
fn closures_and_boxed_layers() {
    wraps(numbers((6, 2, 16)), |vb| {
        let convolution: Conv1d =
            conv1d(2, 4, 3, Conv1dConfig { padding: 1, ..Default::default() }, vb.pp("conv"))?;
        let out = linear(4, 3, vb.pp("out"))?;
        Ok(move |signal: &Tensor| out.forward(&convolution.forward(signal)?.relu()?.mean(D::Minus1)?))
    });
    // A list of layers of any type, of one's own.
    struct Layers(Vec<Box<dyn Module + Send + Sync>>);
    impl Module for Layers {
        fn forward(&self, xs: &Tensor) -> Result<Tensor> {
            self.0.iter().try_fold(xs.clone(), |xs, layer| layer.forward(&xs))
        }
    }
    wraps(numbers((6, 4)), |vb| {
        Ok(Layers(vec![
            Box::new(linear(4, 5, vb.pp(0))?),
            Box::new(Tensor::relu),
            Box::new(linear(5, 3, vb.pp(1))?),
        ]))
    });
    // Layers that stay on one thread.
    let serve =
        |ensemble: &Ensemble<_, Mean>, inputs: &Inputs| bits(&ensemble.predict_proba(inputs).unwrap());
    wraps_on_any_thread(numbers((6, 4)), |vb| Ok(candle_nn::seq().add(linear(4, 3, vb)?)), serve);
    let local =
        |vb: VarBuilder<'static>| Ok(Box::new(candle_nn::seq().add(linear(4, 3, vb)?)) as Box<dyn Network>);
    wraps_on_any_thread(numbers((6, 4)), local, |ensemble, inputs| {
        bits(&ensemble.predict_proba(inputs).unwrap())
    });
}

/// One matrix embeds the tokens and scores them; candle's dropout and layer norm stand between.
struct Tied {
    tokens: Tensor,
    norm: LayerNorm,
    dropout: Dropout,
}

impl ModuleT for Tied {
    fn forward_t(&self, ids: &Tensor, train: bool) -> Result<Tensor> {
        let (rows, length) = ids.dims2()?;
        let embedded = self.tokens.index_select(&ids.flatten_all()?, 0)?.reshape((rows, length, ()))?;
        let hidden = self.dropout.forward_t(&self.norm.forward(&embedded.mean(1)?)?, train)?;
        hidden.matmul(&self.tokens.t()?)
    }
}

#[test]
fn tied_weights_with_dropout() {
    wraps(tokens(6, 4, 3), |vb| {
        Ok(Tied {
            tokens: vb.pp("tokens").get_with_hints((3, 5), "weight", DEFAULT_KAIMING_NORMAL)?,
            norm: layer_norm(5, 1e-5, vb.pp("norm"))?,
            dropout: Dropout::new(0.3),
        })
    });
}

/// A network that counts its forward passes and keeps its last output.
struct Stateful {
    layer: Linear,
    passes: AtomicUsize,
    last: Mutex<Option<Tensor>>,
}

impl Module for Stateful {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let output = self.layer.forward(xs)?;
        self.passes.fetch_add(1, Ordering::Relaxed);
        *self.last.lock().unwrap() = Some(output.clone());
        Ok(output)
    }
}

#[test]
fn networks_with_state_of_their_own() {
    wraps(numbers((6, 4)), |vb| {
        Ok(Stateful { layer: linear(4, 3, vb)?, passes: AtomicUsize::new(0), last: Mutex::new(None) })
    });
}

#[test]
fn our_sequential_with_dropout_and_a_shared_layer() {
    wraps(numbers((6, 4)), |vb| {
        let shared = Arc::new(linear(4, 4, vb.pp("shared"))?);
        let again = shared.clone();
        let network =
            nn::seq().add_fn(move |xs| shared.forward(xs)?.relu()).add_fn(move |xs| again.forward(xs));
        Ok(network.add(nn::Dropout::new(0.2, vb.pp("dropout"))?).add(linear(4, 3, vb.pp("out"))?))
    });
}

/// The targets of a network with outputs for several positions are one long row.
#[test]
fn outputs_of_three_dimensions_are_refused_in_words_and_work_as_one_row() {
    let inputs = numbers((6, 4));
    let sequence = |vb: VarBuilder<'static>| {
        let layer = linear(4, 6, vb)?;
        Ok(candle_nn::func(move |xs| layer.forward(xs)?.reshape((xs.dim(0)?, 3, 2))))
    };
    let data = TensorDataset::regression(inputs.clone(), &numbers((6, 6))).unwrap();
    let trainer = Trainer::new(sequence).epochs(1);
    let e = Session::new(&trainer, &data).fit(&MultiRun::new(1), 1).err().unwrap().to_string();
    assert!(e.contains("[6, 3, 2]") && !e.contains('\n'), "{e}");
    let idle = CustomLoop::new("idle", sequence, |_, _| Ok(()));
    let e = Session::new(&idle, &data).fit(&MultiRun::new(2), 1).err().unwrap().to_string();
    assert!(e.contains("must be [2, 6] for 6 values, but is [2, 3, 2]"), "{e}");

    let flat = move |vb| {
        let network = sequence(vb)?;
        Ok(candle_nn::func(move |xs| network.forward(xs)?.flatten_from(1)))
    };
    let trainer = Trainer::new(flat).epochs(1);
    let rows: Rows = (0..6).collect();
    let ensemble = Session::new(&trainer, &data).fit(&MultiRun::new(2), 1).unwrap().combine(&Mean).unwrap();
    assert_eq!(ensemble.on(&data).rows(&rows).predict().unwrap().dims(), [6, 6]);
}
