//! Saving and loading of ensembles.
use crate::{
    combine::{decode_combiner, encode_combiner, FittedCombiner},
    data::{Positions, Task},
    ensemble::Ensemble,
    files::{self, header::FormatError, read_tensors, tensors::TensorFile},
    network::Output,
    plan::Settings,
    predictions::live::{Constructor, LiveSlots},
    store::{member::each_in_network, read_file, read_member, Record},
    train::{Learner, SharedBuild},
    weights::Weights,
    Error, Member, Network, Result,
};
use candle_core::{DType, Device, Result as CandleResult, Tensor};
use candle_nn::VarBuilder;
use serde::{de::DeserializeOwned, Deserialize, Serialize};
use std::{io, path::Path, str::FromStr};

const KIND: &str = "ensemble";
/// The name of the tensor that holds the fitted combiner. Names of weights begin with their member's number.
const COMBINER: &str = "rule";

/// The description of an ensemble in the header of its file.
#[derive(Serialize, Deserialize)]
struct Description {
    #[serde(rename = "rule")]
    combiner: String,
    task: Task,
    #[serde(default, skip_serializing_if = "Positions::is_one")]
    positions: Positions,
    output: Output,
    dtype: String,
    batch_rows: usize,
    members: Vec<Record>,
}

/// The content of a file, before the networks are built.
struct Saved<F> {
    description: Description,
    fitted: F,
    members: Vec<Member>,
}

/// Saving and loading, for fitted combiners that serde can write and read.
impl<N: Network, F: FittedCombiner + Serialize + DeserializeOwned> Ensemble<N, F> {
    /// Writes the ensemble to `path`: one safetensors file with the weights (`00000/layer.weight`, …) and
    /// record of each member, the fitted combiner with its name, the names of the architectures, and a hash
    /// of all of it.
    ///
    /// The file is written beside `path` and renamed, so that `path` always names the old ensemble or the new
    /// one, each complete. The same ensemble gives the same bytes.
    ///
    /// Code is not saved: [`Ensemble::load`] needs a learner that builds the same networks, and
    /// [`Ensemble::load_with`] needs their constructor only.
    ///
    /// ```
    /// # use candle_core::{Device, Tensor};
    /// # use candle_ensemble::{combine::*, data::TensorDataset, strategy::*, train::Trainer, Ensemble, Session};
    /// # let x = Tensor::arange(0f32, 20., &Device::Cpu)?.reshape((10, 2))?;
    /// # let data = TensorDataset::regression(x.clone(), &x.sum(1)?)?;
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("ensemble.safetensors");
    /// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(2);
    /// let pool = Session::new(&trainer, &data).fit(&MultiRun::new(3), 42)?;
    /// let ensemble = pool.combine(&Median)?;
    /// ensemble.save(&path)?;
    ///
    /// let loaded = Ensemble::<_, Median>::load(&path, &trainer, &Device::Cpu)?;
    /// assert_eq!(loaded.predict(&x)?.to_vec2::<f32>()?, ensemble.predict(&x)?.to_vec2::<f32>()?);
    ///
    /// let other = Ensemble::<_, Mean>::load(&path, &trainer, &Device::Cpu).unwrap_err();
    /// assert!(other.to_string().contains(r#"its combiner is "median""#));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be written; [`Error::Invalid`] when the fitted combiner cannot be
    /// read back from its serialized form (an untagged or flattened field).
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let file = self.to_file()?;
        files::write_with(path.as_ref(), |out| file.write(out))
    }

    /// The content of the file that [`Ensemble::save`] writes.
    ///
    /// # Errors
    /// As [`Ensemble::save`].
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.to_file()?.to_bytes()
    }

    /// Reads an ensemble that [`Ensemble::save`] wrote, onto `device`. Its predictions equal those of the
    /// saved ensemble to the bit on a machine whose kernels round alike.
    ///
    /// The file is mapped into memory and checked, and each tensor is copied once out of the map, because
    /// candle's tensors own their memory. Files of any origin are safe to load.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read; [`Error::Damaged`] when its content has changed since it
    /// was written; [`Error::Foreign`] when it is another kind of file, holds another combiner than `F`, or
    /// the learner builds other networks.
    pub fn load<L: Learner<Network = N>>(
        path: impl AsRef<Path>,
        learner: &L,
        device: &Device,
    ) -> Result<Self> {
        let path = path.as_ref();
        Self::read(path)?.assemble(learner, device).map_err(|error| error.of(path.display()))
    }

    /// Reads an ensemble that [`Ensemble::save`] wrote, for a program that only predicts. It needs what builds
    /// the networks, and nothing of how they were trained.
    ///
    /// `build` gets the name of an architecture, which is `"model"` where the learner was given no name, the
    /// settings of the member's run, and a `VarBuilder` over the member's weights. The ensemble keeps it: each thread
    /// that shares a long prediction builds the networks for itself ([`threads`](Self::threads)).
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::{nn::seq, prelude::*};
    /// use candle_nn::{linear, Activation, VarBuilder};
    /// use std::{sync::Arc, thread};
    ///
    /// let small = |vb: VarBuilder| Ok(AnyNetwork::new(linear(2, 3, vb)?));
    /// let large = |vb: VarBuilder| {
    ///     let hidden = seq().add(linear(2, 8, vb.pp(0))?).add(Activation::Relu);
    ///     Ok(AnyNetwork::new(hidden.add(linear(8, 3, vb.pp(1))?)))
    /// };
    ///
    /// // One program trains and saves.
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("ensemble.safetensors");
    /// # let x = Tensor::arange(0f32, 60., &Device::Cpu)?.affine(0.03, -1.)?.reshape((30, 2))?;
    /// # let y = Tensor::from_iter((0..30u32).map(|i| i / 10), &Device::Cpu)?;
    /// # let data = TensorDataset::classification(&x, &y)?;
    /// let trainer = Trainer::new(small).architecture("large", large).epochs(2);
    /// Session::new(&trainer, &data).fit(&Bagging::new(3), 42)?.combine(&Mean)?.save(&path)?;
    ///
    /// // Another one loads and predicts, on several threads.
    /// let build = move |name: &str, _: &Settings, vb: VarBuilder<'static>| match name {
    ///     "large" => large(vb),
    ///     _ => small(vb),
    /// };
    /// let ensemble = Arc::new(Ensemble::<_, Mean>::load_with(&path, build, &Device::Cpu)?);
    /// let predict = || ensemble.predict(&x).map(|ids| ids.to_vec1::<u32>().unwrap_or_default());
    /// let (a, b) = thread::scope(|s| (s.spawn(predict).join(), s.spawn(predict).join()));
    /// assert_eq!(a.unwrap()?, b.unwrap()?);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read; [`Error::Damaged`] when its content has changed since it
    /// was written; [`Error::Foreign`] when it is another kind of file, holds another combiner than `F`, or
    /// its weights do not fit the networks that `build` returns.
    pub fn load_with(
        path: impl AsRef<Path>,
        build: impl Fn(&str, &Settings, VarBuilder<'static>) -> CandleResult<N> + Send + Sync + 'static,
        device: &Device,
    ) -> Result<Self> {
        let (path, build) = (path.as_ref(), SharedBuild::new(build));
        Self::read(path)?.assemble_with(build, device).map_err(|error| error.of(path.display()))
    }

    /// Reads an ensemble from bytes, such as those of `include_bytes!` or [`Ensemble::to_bytes`].
    ///
    /// # Errors
    /// As [`Ensemble::load`].
    pub fn from_bytes<L: Learner<Network = N>>(bytes: &[u8], learner: &L, device: &Device) -> Result<Self> {
        Saved::read(bytes).and_then(|saved| saved.assemble(learner, device)).map_err(|e| e.of("the ensemble"))
    }

    /// Reads an ensemble from bytes, for a program that only predicts; see [`Ensemble::load_with`].
    ///
    /// # Errors
    /// As [`Ensemble::load_with`].
    pub fn from_bytes_with(
        bytes: &[u8],
        build: impl Fn(&str, &Settings, VarBuilder<'static>) -> CandleResult<N> + Send + Sync + 'static,
        device: &Device,
    ) -> Result<Self> {
        let (saved, build) = (Saved::read(bytes), SharedBuild::new(build));
        saved.and_then(|saved| saved.assemble_with(build, device)).map_err(|e| e.of("the ensemble"))
    }

    fn read(path: &Path) -> Result<Saved<F>> {
        let not_found = || files::failed(path, io::Error::from(io::ErrorKind::NotFound));
        read_file(path, Saved::read)?.ok_or_else(not_found)
    }

    fn to_file(&self) -> Result<TensorFile> {
        let LiveSlots { task, positions, output, dtype, .. } = &self.live;
        let members = &self.members;
        let fitted = encode_combiner(&self.fitted)?;
        let description = Description {
            combiner: self.fitted.name(),
            task: *task,
            positions: *positions,
            output: *output,
            dtype: dtype.as_str().into(),
            batch_rows: self.batch_rows,
            members: members.iter().map(|m| m.record.clone()).collect(),
        };
        let description = serde_json::to_string(&description)
            .map_err(|e| Error::invalid("the members' records", "serializable", e))?;
        let length = fitted.len();
        let fitted = Tensor::from_vec(fitted, length, &Device::Cpu)?;
        let of_member = |(i, member): (usize, &Member)| {
            let named = member.weights.iter().map(move |(name, tensor)| (weight(i, name), tensor.clone()));
            named.collect::<Vec<_>>()
        };
        // The members of one network have the same weights, which are written once.
        let own = |(i, member): &(usize, &Member)| {
            !i.checked_sub(1).and_then(|i| members.get(i)).is_some_and(|before| before.shares_network(member))
        };
        let weights = members.iter().enumerate().filter(own).flat_map(of_member);
        TensorFile::new(KIND, &description, weights.chain([(COMBINER.to_string(), fitted)]))
    }
}

/// The name of a member's weight in the file.
fn weight(member: usize, name: &str) -> String {
    format!("{member:05}/{name}")
}

impl Member {
    /// Reads the members of a file: those of an ensemble ([`Ensemble::save`]), whatever its combiner, or the one of a
    /// [`DirectoryStore`](crate::store::DirectoryStore).
    ///
    /// Use it to put networks into another pool ([`PretrainedMember::of_member`](crate::PretrainedMember::of_member)).
    /// Files of any origin are safe to read.
    ///
    /// ```
    /// # use candle_core::{Device, Tensor};
    /// # use candle_ensemble::prelude::*;
    /// # let x = Tensor::arange(0f32, 20., &Device::Cpu)?.reshape((10, 2))?;
    /// # let data = TensorDataset::regression(x.clone(), &x.sum(1)?)?;
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("ensemble.safetensors");
    /// # let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(2);
    /// # Session::new(&trainer, &data).fit(&MultiRun::new(3), 42)?.combine(&Median)?.save(&path)?;
    /// let members = Member::read_all(&path)?;
    /// assert_eq!(members.len(), 3);
    /// assert_eq!(members[0].weights["weight"].dims(), [1, 2]);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read; [`Error::Damaged`] when its content has changed since it was written;
    /// [`Error::Foreign`] when it is another kind of file.
    pub fn read_all(path: impl AsRef<Path>) -> Result<Vec<Self>> {
        let path = path.as_ref();
        let not_found = || files::failed(path, io::Error::from(io::ErrorKind::NotFound));
        let read = |bytes: &[u8]| match read_parts(bytes) {
            Ok((_, _, members)) => Ok(members),
            Err(of_ensemble) => match read_member(bytes) {
                Ok(member) => Ok(each_in_network(member)),
                Err(damaged @ FormatError::Damaged(_)) => Err(damaged),
                Err(_) => Err(of_ensemble),
            },
        };
        read_file(path, read)?.ok_or_else(not_found)
    }
}

/// The description of an ensemble, the bytes of its fitted combiner, and its members.
fn read_parts(bytes: &[u8]) -> Result<(Description, Vec<u8>, Vec<Member>), FormatError> {
    let mut content = read_tensors(KIND, bytes)?;
    let mut description: Description = serde_json::from_str(&content.description)
        .map_err(|e| FormatError::foreign(format!("its description: {e}")))?;
    let fitted = content.tensors.remove(COMBINER);
    let fitted = fitted
        .and_then(|t| t.to_vec1::<u8>().ok())
        .ok_or_else(|| FormatError::foreign("it has no combiner"))?;
    let mut weights = vec![Weights::new(); description.members.len()];
    for (name, tensor) in content.tensors {
        let (member, own) = name.split_once('/').unwrap_or_default();
        let number = member.parse().ok().filter(|number| weight(*number, own) == name);
        let of_member = number.and_then(|number: usize| weights.get_mut(number));
        of_member
            .ok_or_else(|| FormatError::foreign(format!("its tensor {name:?} belongs to no member")))?
            .insert(own.into(), tensor);
    }
    let records = std::mem::take(&mut description.members).into_iter();
    let mut members: Vec<Member> = vec![];
    for (record, own) in records.zip(weights) {
        // A member without weights of its own is in the network of the one before it.
        let of = |record: &Record| record.in_network.map(|place| place.of);
        let in_last =
            |last: &&Member| own.is_empty() && of(&record).is_some() && of(&record) == of(&last.record);
        let weights = match members.last().filter(in_last) {
            Some(last) => last.weights.clone(),
            None => own,
        };
        members.push(Member { weights, record });
    }
    match members.is_empty() {
        true => Err(FormatError::foreign("it has no members")),
        false => Ok((description, fitted, members)),
    }
}

impl<F: FittedCombiner + DeserializeOwned> Saved<F> {
    fn read(bytes: &[u8]) -> Result<Self, FormatError> {
        let (description, fitted, members) = read_parts(bytes)?;
        let fitted = decode_combiner(&description.combiner, &fitted)?;
        Ok(Self { description, fitted, members })
    }

    fn assemble<N: Network, L: Learner<Network = N>>(
        self,
        learner: &L,
        device: &Device,
    ) -> Result<Ensemble<N, F>, FormatError> {
        let differ = |what: &str, saved: &str, now: &str| match saved == now {
            true => Ok(()),
            false => Err(FormatError::foreign(format!(
                "the {what} of its networks is {saved}, but that of the learner's networks is {now}"
            ))),
        };
        let Description { output, dtype, .. } = &self.description;
        differ("output", &format!("{output:?}"), &format!("{:?}", learner.output()))?;
        differ("type", dtype, learner.dtype().as_str())?;
        let known = learner.architectures();
        let mut names = self.members.iter().map(|m| &m.record.architecture);
        if let Some(other) = names.find(|name| !known.contains(name)) {
            let has = known.join(", ");
            return Err(FormatError::foreign(format!(
                "it has a network {other:?}, but the learner builds {has}"
            )));
        }
        let constructor = Constructor::of(learner);
        self.assemble_from(&constructor, "the learner's networks", device, learner.shared_build())
    }

    fn assemble_with<N: Network>(
        self,
        build: SharedBuild<N>,
        device: &Device,
    ) -> Result<Ensemble<N, F>, FormatError> {
        let dtype = &self.description.dtype;
        let dtype = DType::from_str(dtype)
            .map_err(|_| FormatError::foreign(format!("its networks are of the unknown type {dtype:?}")))?;
        let constructor = Constructor::shared(&build, dtype, self.description.output);
        self.assemble_from(&constructor, "the networks that are built", device, Some(build.clone()))
    }

    fn assemble_from<N: Network>(
        self,
        constructor: &Constructor<'_, N>,
        networks: &str,
        device: &Device,
        shared_build: Option<SharedBuild<N>>,
    ) -> Result<Ensemble<N, F>, FormatError> {
        let Self { description, fitted, members } = self;
        let live =
            LiveSlots::construct(&members, constructor, (description.task, description.positions), device)
                .map_err(|e| FormatError::foreign(format!("its weights do not fit {networks}: {e}")))?;
        if let Some(on) = fitted.fitted_on() {
            on.accepts(&fitted.name(), live.task, live.len()).map_err(FormatError::foreign)?;
        }
        Ok(Ensemble::new(&members, live, fitted, shared_build).batch_rows(description.batch_rows))
    }
}
