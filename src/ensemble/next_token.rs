//! The next token of a text, as an ensemble of language models predicts it.
use crate::{
    combine::FittedCombiner,
    data::{Inputs, Positions, Task},
    ensemble::Ensemble,
    predictions::{
        live::LiveSlots,
        passes::{concat, Source},
    },
    Error, Network, Result,
};
use candle_core::Tensor;

impl<N: Network, F: FittedCombiner> Ensemble<N, F> {
    /// The probabilities of the token that follows each of N texts, `(N, V)` for a vocabulary of V tokens, for an ensemble
    /// of language models whose outputs are `(B, T, V)`. The members' distributions of the last position are made and
    /// combined; those of no other position are.
    ///
    /// A loop that appends a token to the texts and calls this again generates text step by step. All texts of a call have
    /// the same length, and all members one vocabulary: a network with another number of classes is refused when it is
    /// trained. Each call computes the whole text again; networks that keep what they have computed are not used here.
    ///
    /// # Errors
    /// When the ensemble is not one of classes at positions one after the other, or the combiner reads inputs; as
    /// [`predict`](Self::predict).
    ///
    /// ```
    /// use candle_core::{Device, Tensor, D};
    /// use candle_ensemble::prelude::*;
    /// use candle_nn::{embedding, linear};
    ///
    /// // The next token is the present one plus 1, modulo 4.
    /// let text = Tensor::from_iter((0..60u32).map(|i| (i + i / 6) % 4), &Device::Cpu)?.reshape((10, 6))?;
    /// let (tokens, next) = (text.narrow(1, 0, 5)?, text.narrow(1, 1, 5)?);
    /// let data = TensorDataset::dense(&tokens, &next, None)?;
    /// let bigrams = |vb: candle_nn::VarBuilder<'_>| {
    ///     Ok(seq().add(embedding(4, 8, vb.pp("tokens"))?).add(linear(8, 4, vb.pp("next"))?))
    /// };
    /// let trainer = Trainer::new(bigrams).epochs(60).optimizer(candle_ensemble::train::Optimizer::adam(0.05));
    /// let ensemble = Session::new(&trainer, &data).fit(&MultiRun::new(3), 1)?.combine(&Mean)?;
    ///
    /// let mut text = Tensor::new(&[[2u32]], &Device::Cpu)?;
    /// for _ in 0..5 {
    ///     let next = ensemble.predict_next(&text)?.argmax_keepdim(D::Minus1)?;
    ///     text = Tensor::cat(&[&text, &next], 1)?;
    /// }
    /// assert_eq!(text.to_vec2::<u32>()?, [[2, 3, 0, 1, 2, 3]]);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    pub fn predict_next(&self, tokens: impl Into<Inputs>) -> Result<Tensor> {
        let (Positions::Many { .. }, Task::Classification { .. }) = (self.positions(), self.task()) else {
            let must = "of a class at each position of a row, such as language models";
            return Err(Error::invalid("the networks of predict_next", must, self.positions()));
        };
        let tokens = tokens.into();
        let (passes, scale) = (self.passes(Source::Inputs(&tokens)), self.fitted.scale());
        let last = |live: &LiveSlots<N>, inputs: &Inputs| Ok(live.predict_last(inputs, scale)?.detached());
        let mut parts = vec![];
        passes.spread(&self.workers(), last, |pass, predictions| {
            let combined = self.combine(predictions, &pass.inputs)?.detach();
            passes.check_predicted(&combined, 0, (pass.start, 1))?;
            parts.push(combined);
            Ok(())
        })?;
        Ok(concat(parts, 0)?)
    }
}
