//! The networks of a pool's members.
use crate::{
    data::Inputs,
    pool::Pool,
    predictions::live::{Constructor, LiveNetwork},
    store::{member::each_in_network, InNetwork, Record},
    train::Learner,
    weights::members::has_entries,
    Error, Member, Result,
};
use candle_core::{Device, Result as CandleResult, Tensor};

impl<L: Learner> Pool<'_, L> {
    /// Builds the network of the member at this position, with its weights.
    ///
    /// # Errors
    /// When there is no such member, when it scales its inputs or targets ([`on_network`](Self::on_network) scales the
    /// inputs), or candle cannot build the network.
    pub fn network(&self, position: usize) -> Result<L::Network> {
        self.live(position)?.into_network()
    }

    /// What `f` makes of the network of the member at this position and of inputs, which it gets as the network does: the
    /// columns that the member was trained on, scaled as they were.
    ///
    /// Use it for what a network computes besides its predictions, such as the features of a hidden layer.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::{data::Scaling, prelude::*, uncertainty::Mahalanobis};
    /// use candle_nn::{linear, Activation, VarBuilder};
    ///
    /// let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(2., 100.)?.reshape((40, 2))?;
    /// let y = Tensor::from_iter((0..40u32).map(|i| i / 20), &Device::Cpu)?;
    /// let data = TensorDataset::classification(&x, &y)?;
    /// let network = |vb: VarBuilder| {
    ///     Ok(seq().add(linear(2, 4, vb.pp("hidden"))?).add(Activation::Gelu).add(linear(4, 2, vb.pp("out"))?))
    /// };
    /// let trainer = Trainer::new(network).input_scaling(Scaling::Standardize).epochs(2);
    /// let pool = Session::new(&trainer, &data).fit(&MultiRun::new(2), 42)?;
    ///
    /// let features = pool.on_network(0, &x, |network, inputs| network.forward_first(2, inputs.only()?))?;
    /// let distances = Mahalanobis::fit(&features, data.labels().unwrap_or_default(), 0.1)?.distances(&features)?;
    /// assert_eq!(distances.len(), 40);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// When there is no such member, candle cannot build the network, or the inputs do not fit it; that of `f`.
    pub fn on_network<T>(
        &self,
        position: usize,
        inputs: impl Into<Inputs>,
        f: impl FnOnce(&L::Network, &Inputs) -> CandleResult<T>,
    ) -> Result<T> {
        let inputs = inputs.into().to_device(&self.device)?;
        Ok(self.live(position)?.on_network(&inputs, f)?)
    }

    /// The members in networks of these members alone, where they were in networks of more. Networks that cannot do with fewer
    /// members stay as they are.
    pub(super) fn in_smaller_networks(&self, members: Vec<Member>) -> Result<Vec<Member>> {
        let mut smaller = Vec::with_capacity(members.len());
        for of_network in members.chunk_by(Member::shares_network) {
            match self.smaller_network(of_network)? {
                Some(first) => smaller.extend(in_own_slots(first, of_network)),
                None => smaller.extend_from_slice(of_network),
            }
        }
        Ok(smaller)
    }

    /// The first of these members of one network, in a network of these members alone; `None` if there is no such network.
    fn smaller_network(&self, members: &[Member]) -> Result<Option<Member>> {
        let Some(Member { weights, record }) = members.first() else { return Ok(None) };
        let Some(InNetwork { of, aggregation, .. }) =
            record.in_network.filter(|place| place.of > members.len())
        else {
            return Ok(None);
        };
        let numbers = members.iter().filter_map(|member| member.record.in_network);
        let kept: Vec<u32> = numbers.map(|place| place.member as u32).collect();
        let kept = Tensor::new(kept, &Device::Cpu)?;
        let mut weights = weights.clone();
        for (_, weight) in weights
            .iter_mut()
            .filter(|(name, weight)| has_entries(name) && weight.dims().first() == Some(&of))
        {
            *weight = weight.index_select(&kept, 0)?;
        }
        let record = Record { in_network: InNetwork::first_of(members.len(), aggregation), ..record.clone() };
        let first = Member { weights, record };
        // Its constructor may need all of the members.
        Ok(Constructor::of(self.learner).build(&first, &self.device).is_ok().then_some(first))
    }

    fn live(&self, position: usize) -> Result<LiveNetwork<L::Network>> {
        let must = || format!("below {}, the number of members", self.members.len());
        let member = self.members.get(position);
        let member = member.ok_or_else(|| Error::invalid("a member's position", must(), position))?;
        Constructor::of(self.learner).build(member, &self.device)
    }
}

/// The members of the network of the first one, in the slots of these members.
fn in_own_slots(first: Member, members: &[Member]) -> Vec<Member> {
    let mut each = each_in_network(first);
    each.iter_mut().zip(members).for_each(|(member, own)| member.record.slot = own.record.slot);
    each
}
