//! Files of fitted combiners.
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

/// The kind of file in the header, and the name of its only tensor. Part of the format.
const KIND: &str = "combiner";

#[derive(Serialize, Deserialize)]
struct About {
    /// The combiner's name. The field's name is part of the format.
    rule: String,
}

/// Writes a fitted combiner to `path`: what it learned, without the members. Use it for predictions that come
/// from elsewhere; an [`Ensemble`](crate::Ensemble) saves its combiner together with its members.
///
/// The file is replaced in one step: after a failure `path` holds what it held before.
///
/// ```
/// use candle_ensemble::combine::{load_combiner, save_combiner, Weighted};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("weights.combiner");
/// let weights = Weighted::new(&[3., 1.])?;
/// save_combiner(&path, &weights)?;
/// assert_eq!(load_combiner::<Weighted>(&path)?, weights);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Io`] when the file cannot be written; [`Error::Invalid`] when the combiner's serde form cannot be
/// read back (an untagged or flattened field).
pub fn save_combiner<H: FittedCombiner + Serialize + DeserializeOwned>(
    path: impl AsRef<Path>,
    fitted: &H,
) -> Result<()> {
    let bytes = encode(fitted)?;
    let about = serde_json::to_string(&About { rule: fitted.name() })
        .map_err(|e| Error::invalid("the combiner's name", "serializable", e))?;
    let length = bytes.len();
    let bytes = Tensor::from_vec(bytes, length, &Device::Cpu)?;
    let layout = TensorFile::new(KIND, &about, [(KIND.to_string(), bytes)])?;
    files::write_with(path.as_ref(), |file| layout.write(file))
}

/// Reads what [`save_combiner`] wrote. A file of any origin can be read safely: its content is checked before
/// it is used ([`FittedCombiner::check`]).
///
/// # Errors
/// [`Error::Io`] when the file cannot be read; [`Error::Damaged`] when its content was changed or cut short;
/// [`Error::Foreign`] when it is another kind of file, holds another combiner than `H`, or holds values that
/// do not agree with each other.
pub fn load_combiner<H: FittedCombiner + DeserializeOwned>(path: impl AsRef<Path>) -> Result<H> {
    let path = path.as_ref();
    let found = read_file(path, |bytes| {
        let mut content = read_tensors(KIND, bytes)?;
        let about: About = serde_json::from_str(&content.description)
            .map_err(|e| FormatError::foreign(format!("its description cannot be read: {e}")))?;
        let bytes = content.tensors.remove(KIND).and_then(|t| t.to_vec1::<u8>().ok());
        decode(&about.rule, &bytes.ok_or_else(|| FormatError::foreign("it has no combiner"))?)
    })?;
    found.ok_or_else(|| files::failed(path, io::Error::from(io::ErrorKind::NotFound)))
}

/// The bytes of a fitted combiner, when decoding and encoding them again gives the same bytes.
pub(crate) fn encode<H: Serialize + DeserializeOwned>(fitted: &H) -> Result<Vec<u8>> {
    let bytes = codec::encode(fitted)?;
    let decoded = codec::decode::<H>(&bytes).and_then(|back| codec::encode(&back).map_err(|e| e.to_string()));
    match decoded {
        Ok(again) if again == bytes => Ok(bytes),
        other => {
            let why = other.map_or_else(|e| e, |_| "one that comes back different".into());
            let must = "one that bincode reads back (no untagged or flattened fields)";
            Err(Error::invalid("the combiner", must, why))
        }
    }
}

/// The fitted combiner called `name`, when `H` has that name and its fields agree with each other.
pub(crate) fn decode<H: FittedCombiner + DeserializeOwned>(
    name: &str,
    bytes: &[u8],
) -> Result<H, FormatError> {
    let other = |why| format!("its combiner is {name:?}, which is not the one asked for: {why}");
    let fitted = codec::decode::<H>(bytes).map_err(|why| FormatError::foreign(other(why)))?;
    fitted.check().map_err(|e| FormatError::foreign(format!("its combiner {name:?} is not valid: {e}")))?;
    match fitted.name() {
        own if own == name => Ok(fitted),
        own => Err(FormatError::foreign(format!("its combiner is {name:?}, not {own:?}"))),
    }
}

#[cfg(all(test, feature = "learned"))]
mod tests {
    use super::*;
    use crate::{
        combine::{Fit, FittedOn, FittedPerClass, Weighted},
        data::Task,
        HeldOut, Seed,
    };

    fn error<H: FittedCombiner + DeserializeOwned + std::fmt::Debug>(
        name: &str,
        fields: &impl Serialize,
    ) -> String {
        let bytes = codec::encode(fields).unwrap();
        decode::<H>(name, &bytes).unwrap_err().of("the file").to_string()
    }

    #[test]
    fn fields_that_do_not_agree_are_errors() {
        let names = |count: usize| (0..count).map(|s| format!("member {s}")).collect::<Vec<_>>();
        let weighted = |names: Vec<String>, weights: &[f64]| {
            error::<Weighted>("mine", &("mine", names, weights.to_vec(), None::<Fit>, None::<FittedOn>))
        };
        assert!(weighted(names(1), &[0.5, 0.5]).contains("number of names must be 2"));
        assert!(weighted(names(0), &[]).contains("number of slots must be at least 1"));
        assert!(weighted(names(2), &[0.5, f64::NAN]).contains("weight of member 1 must be finite"));
        let fit = Fit { objective: 0., iterations: 1, gap: None };
        let rows = vec![vec![0.5, 0.5], vec![1.]];
        let on = |slots| {
            let task = Task::Regression { outputs: 2 };
            FittedOn::new(&HeldOut::none(task, names(slots), vec![1.; slots], 0, Seed::from(0)).unwrap())
        };
        let per_class =
            |names, rows: &Vec<_>, on| error::<FittedPerClass>("per-class", &(names, rows, &fit, on));
        let short = per_class(names(2), &rows, on(2));
        assert!(short.contains("number of names must be 1"), "{short}");
        let other = per_class(names(2), &rows, on(3));
        assert!(other.contains("number of slots must be 2, as in the fit, but is 3"), "{other}");
        let narrow = per_class(names(2), &rows[..1].to_vec(), on(2));
        assert!(
            narrow.contains("number of classes or outputs must be 2, as in the fit, but is 1"),
            "{narrow}"
        );
    }
}
