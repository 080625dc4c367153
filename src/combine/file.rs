//! Fitted rules as files.
use crate::{
    codec,
    combine::FittedCombiner,
    files::{self, header::FormatError, read_tensors, tensors::TensorFile},
    store::read_file,
    Error, Result,
};
use candle_core::{Device, Tensor};
use serde::{de::DeserializeOwned, Deserialize, Serialize};
use std::{io, path::Path};

const KIND: &str = "rule";

#[derive(Serialize, Deserialize)]
struct About {
    rule: String,
}

/// Writes a fitted rule to `path`, whole or not at all: what it learned without the members, for predictions that
/// come from elsewhere. (An [`Ensemble`](crate::Ensemble) saves its rule with its members.)
///
/// ```
/// use candle_ensemble::combine::{load_rule, save_rule, Weighted};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("weights.rule");
/// let weights = Weighted::new(&[3., 1.])?;
/// save_rule(&path, &weights)?;
/// assert_eq!(load_rule::<Weighted>(&path)?, weights);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Io`] when it cannot be written; [`Error::Invalid`] when bincode cannot read it back (an untagged or
/// flattened field).
pub fn save_rule<H: FittedCombiner + Serialize + DeserializeOwned>(
    path: impl AsRef<Path>,
    fitted: &H,
) -> Result<()> {
    let rule = encode(fitted)?;
    let about = serde_json::to_string(&About { rule: fitted.name() })
        .map_err(|e| Error::invalid("the rule's name", "serializable", e))?;
    let length = rule.len();
    let rule = Tensor::from_vec(rule, length, &Device::Cpu)?;
    let layout = TensorFile::new(KIND, &about, [(KIND.to_string(), rule)])?;
    files::write_with(path.as_ref(), |file| layout.write(file))
}

/// Reads what [`save_rule`] wrote. A file of any origin is safe to hand in.
///
/// # Errors
/// [`Error::Io`] when it cannot be read; [`Error::Damaged`] when it is not what was written; [`Error::Foreign`] when it
/// is something else or another rule than `H`.
pub fn load_rule<H: FittedCombiner + DeserializeOwned>(path: impl AsRef<Path>) -> Result<H> {
    let path = path.as_ref();
    let found = read_file(path, |bytes| {
        let mut content = read_tensors(KIND, bytes)?;
        let about: About = serde_json::from_str(&content.description)
            .map_err(|e| FormatError::foreign(format!("what it says of itself: {e}")))?;
        let rule = content.tensors.remove(KIND).and_then(|t| t.to_vec1::<u8>().ok());
        decode(&about.rule, &rule.ok_or_else(|| FormatError::foreign("it has no rule".to_string()))?)
    })?;
    found.ok_or_else(|| files::failed(path, io::Error::from(io::ErrorKind::NotFound)))
}

/// A rule's bytes, if they give a rule that gives the same bytes.
pub(crate) fn encode<H: Serialize + DeserializeOwned>(fitted: &H) -> Result<Vec<u8>> {
    let bytes = codec::encode(fitted)?;
    let back = codec::decode::<H>(&bytes).and_then(|back| codec::encode(&back).map_err(|e| e.to_string()));
    match back {
        Ok(again) if again == bytes => Ok(bytes),
        why => {
            let why = why.map_or_else(|e| e, |_| "it comes back different".into());
            let must = "one that bincode reads back (no untagged or flattened fields)";
            Err(Error::invalid("the rule", must, why))
        }
    }
}

/// The rule called `name`, if that is what an `H` calls itself.
pub(crate) fn decode<H: FittedCombiner + DeserializeOwned>(
    name: &str,
    bytes: &[u8],
) -> Result<H, FormatError> {
    let fitted = codec::decode::<H>(bytes);
    match fitted.as_ref().map(FittedCombiner::name) {
        Ok(own) if own == name => fitted.map_err(FormatError::Foreign),
        Ok(own) => Err(FormatError::foreign(format!("its rule is {name:?}, not {own:?}"))),
        Err(why) => {
            Err(FormatError::foreign(format!("its rule is {name:?}, which is not the one asked for: {why}")))
        }
    }
}
