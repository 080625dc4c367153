//! Ensembles of language models: the distribution of the next token is that of the last position, whatever the rule, and all
//! members have one vocabulary.
use crate::common::{distance, CPU};
use candle_core::{Result as CandleResult, Tensor};
use candle_ensemble::{
    combine::{self, *},
    data::TensorDataset,
    nn::{self, Sequential},
    prelude::*,
    store::Seen,
    train::{Optimizer, Pretrained},
    weights::Weights,
    Ensemble, PoolBuilder, PretrainedMember,
};
use candle_nn::{embedding, linear, VarBuilder};

const TOKENS: usize = 4;
const LENGTH: usize = 6;

/// Texts `(N, 7)` in which a token is mostly the one before plus 1, modulo 4; some follow by 2.
fn texts() -> Tensor {
    let token = |at: u32| (at % 7 + at / 7 + u32::from(at.is_multiple_of(5))) % TOKENS as u32;
    Tensor::from_iter((0..40 * 7).map(token), &CPU).unwrap().reshape((40, LENGTH + 1)).unwrap()
}

fn data() -> TensorDataset {
    let texts = texts();
    let (tokens, next) = (texts.narrow(1, 0, LENGTH).unwrap(), texts.narrow(1, 1, LENGTH).unwrap());
    TensorDataset::dense(&tokens, &next, None).unwrap()
}

/// Logits `(B, T, V)` of the next token by the present one.
fn bigrams(vocabulary: usize) -> impl Fn(VarBuilder<'static>) -> CandleResult<Sequential> + Clone {
    move |vb| {
        let layers = nn::seq().add(embedding(TOKENS, 6, vb.pp("tokens"))?);
        Ok(layers.add(linear(6, vocabulary, vb.pp("next"))?))
    }
}

fn trainer() -> Trainer<Sequential> {
    Trainer::new(bigrams(TOKENS)).epochs(15).batch_size(10).optimizer(Optimizer::adam(0.05))
}

/// The last position of probabilities `(N, T, V)`.
fn last(probabilities: &Tensor) -> Tensor {
    probabilities.narrow(1, LENGTH - 1, 1).unwrap().squeeze(1).unwrap()
}

#[test]
fn the_next_token_is_the_last_position_by_every_rule_and_after_loading() {
    let (data, trainer) = (data(), trainer());
    let pool = Session::new(&trainer, &data).fit(&KFold::new(3).repeats(3), 1).unwrap();
    let tokens = data.inputs().only().unwrap();
    let rules = [
        "mean",
        "geometric-mean",
        "median",
        "hard-vote",
        "simplex-log-loss",
        "inverse-error",
        "per-class",
        "temperature",
        "isotonic",
        "stack-logistic",
    ];
    let by_name = rules.map(|rule| (rule, combine::registry().parse(rule).unwrap()));
    let selection = AnyCombiner::new(EnsembleSelection::new(10));
    let of_calibrated = selection.on_calibrated(Calibration::Vector);
    let calibrated = ("calibrated members", AnyCombiner::new(of_calibrated));
    for (rule, combiner) in by_name.into_iter().chain([calibrated]) {
        let ensemble = pool.combine(&combiner).unwrap();
        let next = ensemble.predict_next(tokens).unwrap();
        assert_eq!(next.dims(), [40, TOKENS], "{rule}");
        let expected = last(&ensemble.predict_proba(tokens).unwrap());
        assert!(distance(&next, &expected) < 1e-6, "{rule}");
        let sums = next.sum(1).unwrap().to_vec1::<f32>().unwrap();
        assert!(sums.iter().all(|sum| (sum - 1.).abs() < 1e-5), "{rule}");
        // Passes and threads change nothing.
        let split = pool.combine(&combiner).unwrap().batch_rows(7).threads(2).predict_next(tokens).unwrap();
        assert!(distance(&next, &split) < 1e-6, "{rule}");

        let bytes = ensemble.to_bytes().unwrap();
        let loaded = Ensemble::<_, AnyFitted>::from_bytes(&bytes, &trainer, &CPU).unwrap();
        assert_eq!(distance(&loaded.predict_next(tokens).unwrap(), &next), 0., "{rule}");
        let build = bigrams(TOKENS);
        let alone =
            Ensemble::<_, AnyFitted>::from_bytes_with(&bytes, move |_, _, vb| build(vb), &CPU).unwrap();
        assert_eq!(distance(&alone.predict_next(tokens).unwrap(), &next), 0., "{rule}");
    }
    // Texts of another length, down to one token: the distribution is that of the last token alone.
    let ensemble = pool.combine(&Mean).unwrap();
    let short = ensemble.predict_next(tokens.narrow(1, LENGTH - 1, 1).unwrap()).unwrap();
    assert!(distance(&short, &ensemble.predict_next(tokens).unwrap()) < 1e-6);
}

/// Where there are as many tokens as positions, and where classes come first.
#[test]
fn both_layouts_have_the_same_last_position() {
    let texts = texts();
    let (tokens, next) = (texts.narrow(1, 0, TOKENS).unwrap(), texts.narrow(1, 1, TOKENS).unwrap());
    let square = TensorDataset::dense(&tokens, &next, None).unwrap();
    let of_square = trainer();
    let pool = Session::new(&of_square, &square).fit(&MultiRun::new(2), 1).unwrap();
    let ensemble = pool.combine(&Mean).unwrap();
    let by_token = ensemble.predict_next(tokens.narrow(1, TOKENS - 1, 1).unwrap()).unwrap();
    assert!(distance(&ensemble.predict_next(&tokens).unwrap(), &by_token) < 1e-6);

    let data = data();
    let first = |vb: VarBuilder<'static>| Ok(bigrams(TOKENS)(vb)?.add_fn(|x: &Tensor| x.transpose(1, 2)));
    let [a, b] = [trainer(), Trainer::new(first).epochs(15).batch_size(10).optimizer(Optimizer::adam(0.05))];
    let next = |trainer: &Trainer<Sequential>| {
        let pool = Session::new(trainer, &data).fit(&MultiRun::new(2), 1).unwrap();
        pool.combine(&Mean).unwrap().predict_next(data.inputs()).unwrap()
    };
    assert!(distance(&next(&a), &next(&b)) < 1e-5);
}

#[test]
fn members_have_one_vocabulary() {
    let data = data();
    let odd = Trainer::new(bigrams(TOKENS + 1)).epochs(1);
    let e = Session::new(&odd, &data).fit(&MultiRun::new(2), 1).err().unwrap().to_string();
    assert!(e.contains("must be of shape (B, 4, …) or (B, …, 4)"), "{e}");

    // Networks that are already there: the second one knows one token more.
    let weights = |vocabulary: usize| -> Weights {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, candle_core::DType::F32, &CPU).unwrap();
        [
            ("tokens.weight".to_string(), zeros(&[TOKENS, 6])),
            ("next.weight".to_string(), zeros(&[vocabulary, 6])),
            ("next.bias".to_string(), zeros(&[vocabulary])),
        ]
        .into()
    };
    let networks = Pretrained::new(bigrams(TOKENS)).architecture("large", bigrams(TOKENS + 1));
    let mut pool = PoolBuilder::new(&networks, &data);
    pool.add(PretrainedMember::new(weights(TOKENS), Seen::Nothing)).unwrap();
    let large = PretrainedMember::new(weights(TOKENS + 1), Seen::Nothing).architecture("large");
    let e = pool.add(large).unwrap_err().to_string();
    assert!(e.contains("logits of 4 classes at each position") && e.contains("[2, 6, 5]"), "{e}");
    let next = pool.build().unwrap().combine(&Mean).unwrap().predict_next(data.inputs()).unwrap();
    assert!(distance(&next, &(next.ones_like().unwrap() / 4.).unwrap()) < 1e-6);
}

#[test]
fn pictures_and_rows_have_no_next_token() {
    let x = crate::common::normal(3, 8, 12).reshape((8, 1, 3, 4)).unwrap();
    let classes = x.squeeze(1).unwrap().ge(0.).unwrap().to_dtype(candle_core::DType::U32).unwrap();
    let pictures = TensorDataset::dense(&x, &classes, None).unwrap();
    let of_pixels = Trainer::new(|vb| nn::conv2d(1, 2, 1, Default::default(), vb)).epochs(1);
    let pool = Session::new(&of_pixels, &pictures).fit(&MultiRun::new(2), 1).unwrap();
    let e = pool.combine(&Mean).unwrap().predict_next(&x).unwrap_err().to_string();
    assert!(e.contains("must be one after the other, (B, T, C) or (B, C, T)"), "{e}");
    let rows = TensorDataset::classification(
        x.flatten_from(1).unwrap(),
        &Tensor::new(&[0u32, 1, 0, 1, 0, 1, 0, 1], &CPU).unwrap(),
    );
    let (rows, of_rows) = (rows.unwrap(), Trainer::new(|vb| linear(12, 2, vb)).epochs(1));
    let pool = Session::new(&of_rows, &rows).fit(&MultiRun::new(2), 1).unwrap();
    let e = pool.combine(&Mean).unwrap().predict_next(rows.inputs()).unwrap_err().to_string();
    assert!(e.contains("the networks of predict_next must be of a class at each position"), "{e}");
}
