//! Saving and loading of ensembles.
use crate::{
    combine::{decode_combiner, encode_combiner, FittedCombiner},
    data::Task,
    ensemble::Ensemble,
    files::{self, header::FormatError, read_tensors, tensors::TensorFile},
    network::Output,
    predictions::live::LiveMembers,
    store::{check_record, read_file, Record},
    train::Learner,
    weights::Weights,
    Error, Member, Network, Result,
};
use candle_core::{Device, Tensor};
use serde::{de::DeserializeOwned, Deserialize, Serialize};
use std::{io, path::Path};

const KIND: &str = "ensemble";
/// The name of the tensor that holds the fitted combiner. Names of weights begin with their member's number.
const COMBINER: &str = "rule";

/// The description of an ensemble in the header of its file.
#[derive(Serialize, Deserialize)]
struct Description {
    #[serde(rename = "rule")]
    combiner: String,
    task: Task,
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
    /// Code is not saved: [`Ensemble::load`] needs a learner that builds the same networks.
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
        let saved = read_file(path, Saved::read)?;
        let not_found = || files::failed(path, io::Error::from(io::ErrorKind::NotFound));
        saved.ok_or_else(not_found)?.assemble(learner, device).map_err(|error| error.of(path.display()))
    }

    /// Reads an ensemble from bytes, such as those of `include_bytes!` or [`Ensemble::to_bytes`].
    ///
    /// # Errors
    /// As [`Ensemble::load`].
    pub fn from_bytes<L: Learner<Network = N>>(bytes: &[u8], learner: &L, device: &Device) -> Result<Self> {
        Saved::read(bytes).and_then(|saved| saved.assemble(learner, device)).map_err(|e| e.of("the ensemble"))
    }

    fn to_file(&self) -> Result<TensorFile> {
        let LiveMembers { members, task, output, dtype, .. } = &self.live;
        let fitted = encode_combiner(&self.fitted)?;
        let description = Description {
            combiner: self.fitted.name(),
            task: *task,
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
        let weights = members.iter().enumerate().flat_map(of_member);
        TensorFile::new(KIND, &description, weights.chain([(COMBINER.to_string(), fitted)]))
    }
}

/// The name of a member's weight in the file.
fn weight(member: usize, name: &str) -> String {
    format!("{member:05}/{name}")
}

impl<F: FittedCombiner + DeserializeOwned> Saved<F> {
    fn read(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut content = read_tensors(KIND, bytes)?;
        let mut description: Description = serde_json::from_str(&content.description)
            .map_err(|e| FormatError::foreign(format!("its description: {e}")))?;
        let fitted = content.tensors.remove(COMBINER);
        let fitted = fitted
            .and_then(|t| t.to_vec1::<u8>().ok())
            .ok_or_else(|| FormatError::foreign("it has no combiner"))?;
        let fitted = decode_combiner(&description.combiner, &fitted)?;
        let mut weights = vec![Weights::new(); description.members.len()];
        for (name, tensor) in content.tensors {
            let (member, own) = name.split_once('/').unwrap_or_default();
            let number = member.parse().ok().filter(|number| weight(*number, own) == name);
            let of_member = number.and_then(|number: usize| weights.get_mut(number));
            of_member
                .ok_or_else(|| FormatError::foreign(format!("its tensor {name:?} belongs to no member")))?
                .insert(own.into(), tensor);
        }
        description.members.iter().try_for_each(check_record)?;
        let records = std::mem::take(&mut description.members).into_iter();
        let members: Vec<_> =
            records.zip(weights).map(|(record, weights)| Member { weights, record }).collect();
        match members.is_empty() {
            true => Err(FormatError::foreign("it has no members")),
            false => Ok(Self { description, fitted, members }),
        }
    }

    fn assemble<N: Network, L: Learner<Network = N>>(
        self,
        learner: &L,
        device: &Device,
    ) -> Result<Ensemble<N, F>, FormatError> {
        let Self { description, fitted, members } = self;
        let differ = |what: &str, saved: &str, now: &str| match saved == now {
            true => Ok(()),
            false => Err(FormatError::foreign(format!(
                "the {what} of its networks is {saved}, but that of the learner's networks is {now}"
            ))),
        };
        differ("output", &format!("{:?}", description.output), &format!("{:?}", learner.output()))?;
        differ("type", &description.dtype, learner.dtype().as_str())?;
        let known = learner.architectures();
        if let Some(other) = members.iter().map(|m| &m.record.architecture).find(|name| !known.contains(name))
        {
            let has = known.join(", ");
            return Err(FormatError::foreign(format!(
                "it has a network {other:?}, but the learner builds {has}"
            )));
        }
        let live = LiveMembers::build(&members, learner, description.task, device).map_err(|e| {
            FormatError::foreign(format!("its weights do not fit the learner's networks: {e}"))
        })?;
        if let Some(on) = fitted.fitted_on() {
            on.accepts(&fitted, live.task, live.slots.len()).map_err(FormatError::foreign)?;
        }
        Ok(Ensemble::new(live, fitted).batch_rows(description.batch_rows))
    }
}
