//! Ensembles as files.
use crate::{
    combine::{decode_combiner, encode_combiner, FittedCombiner},
    data::Task,
    ensemble::Ensemble,
    files::{self, header::Fault, read_tensors, tensors::Layout},
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
/// The tensor that holds the fitted rule. Weights begin with their member's number.
const RULE: &str = "rule";

/// What the header says.
#[derive(Serialize, Deserialize)]
struct About {
    rule: String,
    task: Task,
    output: Output,
    dtype: String,
    batch_rows: usize,
    members: Vec<Record>,
}

/// A file's content, before the networks are built.
struct Saved<H> {
    about: About,
    fitted: H,
    members: Vec<Member>,
}

/// Saving and loading, for rules that serde can write and read.
impl<N: Network, H: FittedCombiner + Serialize + DeserializeOwned> Ensemble<N, H> {
    /// Writes the ensemble to `path`: one safetensors file with every member's weights (`00000/layer.weight`, …)
    /// and record, the fitted rule with its name, the architectures' names, and a hash of it all.
    ///
    /// One file rather than a directory, because a file can be replaced in one step: it is written beside `path`
    /// and renamed, so under that name there is the old ensemble or the new one, whole. The same ensemble gives
    /// the same bytes.
    ///
    /// Code is not saved: [`Ensemble::load`] needs a learner that builds the same networks.
    ///
    /// ```
    /// # use candle_core::{Device, Tensor};
    /// # use candle_ensemble::{combine::*, data::TensorDataset, plan::*, predictions::*, strategy::*, train::Trainer, Ensemble, Session};
    /// # let x = Tensor::arange(0f32, 20., &Device::Cpu)?.reshape((10, 2))?;
    /// # let data = TensorDataset::regression(x.clone(), &x.sum(1)?)?;
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("ensemble.safetensors");
    /// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(2);
    /// let ensemble = Session::new(&trainer, &data).fit(&MultiRun::new(3), 42)?.combine(&Median)?;
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
    /// [`Error::Io`] when the file cannot be written; [`Error::Invalid`] when the rule's serde form cannot be
    /// read back (an untagged or flattened field).
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let layout = self.layout()?;
        files::write_with(path.as_ref(), |file| layout.write(file))
    }

    /// The file that [`Ensemble::save`] writes, in memory.
    ///
    /// # Errors
    /// As [`Ensemble::save`].
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.layout()?.to_bytes()
    }

    /// Reads what [`Ensemble::save`] wrote, onto `device`. Its predictions equal the saved ensemble's to the bit
    /// on a machine whose kernels round alike.
    ///
    /// The file is mapped into memory, checked, and each tensor copied once out of the map: candle's tensors own
    /// their memory. A file of any origin is safe to hand in.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read; [`Error::Damaged`] when it is not what was written;
    /// [`Error::Foreign`] when it is something else, holds another rule than `H`, or the learner builds other
    /// networks.
    pub fn load<L: Learner<Network = N>>(
        path: impl AsRef<Path>,
        learner: &L,
        device: &Device,
    ) -> Result<Self> {
        let path = path.as_ref();
        let saved = read_file(path, Saved::read)?;
        let missing = || files::failed(path, io::Error::from(io::ErrorKind::NotFound));
        saved.ok_or_else(missing)?.assemble(learner, device).map_err(|fault| fault.of(path.display()))
    }

    /// The same from bytes, such as those of `include_bytes!`.
    ///
    /// # Errors
    /// As [`Ensemble::load`].
    pub fn from_bytes<L: Learner<Network = N>>(bytes: &[u8], learner: &L, device: &Device) -> Result<Self> {
        Saved::read(bytes).and_then(|saved| saved.assemble(learner, device)).map_err(|e| e.of("the ensemble"))
    }

    fn layout(&self) -> Result<Layout> {
        let LiveMembers { members, task, output, dtype, .. } = &self.live;
        let rule = encode_combiner(&self.fitted)?;
        let about = About {
            rule: self.fitted.name(),
            task: *task,
            output: *output,
            dtype: dtype.as_str().into(),
            batch_rows: self.batch_rows,
            members: members.iter().map(|m| m.record.clone()).collect(),
        };
        let about = serde_json::to_string(&about)
            .map_err(|e| Error::invalid("the members' records", "serializable", e))?;
        let length = rule.len();
        let rule = Tensor::from_vec(rule, length, &Device::Cpu)?;
        let of_member = |(i, member): (usize, &Member)| {
            let named = member.weights.iter().map(move |(name, tensor)| (weight(i, name), tensor.clone()));
            named.collect::<Vec<_>>()
        };
        let weights = members.iter().enumerate().flat_map(of_member);
        Layout::new(KIND, &about, weights.chain([(RULE.to_string(), rule)]))
    }
}

/// What a member's weight is called in the file.
fn weight(member: usize, name: &str) -> String {
    format!("{member:05}/{name}")
}

impl<H: FittedCombiner + DeserializeOwned> Saved<H> {
    fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let mut content = read_tensors(KIND, bytes)?;
        let mut about: About = serde_json::from_str(&content.about)
            .map_err(|e| Fault::foreign(format!("what it says of itself: {e}")))?;
        let fitted = content.tensors.remove(RULE);
        let fitted =
            fitted.and_then(|t| t.to_vec1::<u8>().ok()).ok_or_else(|| Fault::foreign("it has no rule"))?;
        let fitted = decode_combiner(&about.rule, &fitted)?;
        let mut weights = vec![Weights::new(); about.members.len()];
        for (name, tensor) in content.tensors {
            let (member, own) = name.split_once('/').unwrap_or_default();
            let number = member.parse().ok().filter(|number| weight(*number, own) == name);
            let of = number.and_then(|number: usize| weights.get_mut(number));
            of.ok_or_else(|| Fault::foreign(format!("its tensor {name:?} is of no member")))?
                .insert(own.into(), tensor);
        }
        about.members.iter().try_for_each(check_record)?;
        let records = std::mem::take(&mut about.members).into_iter();
        let members: Vec<_> =
            records.zip(weights).map(|(record, weights)| Member { weights, record }).collect();
        match members.is_empty() {
            true => Err(Fault::foreign("it has no members")),
            false => Ok(Self { about, fitted, members }),
        }
    }

    fn assemble<N: Network, L: Learner<Network = N>>(
        self,
        learner: &L,
        device: &Device,
    ) -> Result<Ensemble<N, H>, Fault> {
        let Self { about, fitted, members } = self;
        let differ = |what: &str, saved: &str, now: &str| match saved == now {
            true => Ok(()),
            false => Err(Fault::foreign(format!("its networks' {what} is {saved}, the learner's {now}"))),
        };
        differ("output", &format!("{:?}", about.output), &format!("{:?}", learner.output()))?;
        differ("type", &about.dtype, learner.dtype().as_str())?;
        let known = learner.architectures();
        if let Some(other) = members.iter().map(|m| &m.record.architecture).find(|name| !known.contains(name))
        {
            let has = known.join(", ");
            return Err(Fault::foreign(format!("it has a network {other:?}, the learner builds {has}")));
        }
        let live = LiveMembers::build(&members, learner, about.task, device)
            .map_err(|e| Fault::foreign(format!("the learner's networks do not take its weights: {e}")))?;
        Ok(Ensemble::new(live, fitted).batch_rows(about.batch_rows))
    }
}
