//! The blobs, as tables: the first rows are for training, the others for testing.
use candle_core::{DType, Device, Tensor};
use candle_ensemble::{
    data::{Split, TensorDataset},
    Error, Result,
};
use std::{fs, path::Path};

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/protocols");

/// 1100 rows, of which 100 train.
pub fn small(folder: Option<&Path>) -> Result<(TensorDataset, TensorDataset)> {
    split(csv(&folder.unwrap_or(Path::new(HERE)).join("blobs_1100.csv"))?, 100)
}

/// 55,000 rows, of which 5000 train. The numbers of the table are also beside this file in a smaller format.
pub fn large(folder: Option<&Path>) -> Result<(TensorDataset, TensorDataset)> {
    let all = match folder {
        Some(folder) => csv(&folder.join("blobs_55000.csv"))?,
        None => {
            let path = Path::new(HERE).join("blobs_55000.safetensors");
            let bytes = fs::read(&path).map_err(|source| Error::Io { path, source })?;
            let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)?;
            let get = |name: &str| {
                tensors.get(name).ok_or_else(|| {
                    Error::invalid("blobs_55000.safetensors", format!("with {name}"), "without")
                })
            };
            TensorDataset::classification(get("x")?, &get("y")?.to_dtype(DType::U32)?)?
        }
    };
    split(all, 5000)
}

fn split(all: TensorDataset, train: usize) -> Result<(TensorDataset, TensorDataset)> {
    let rows = all.labels().map_or(0, <[u32]>::len);
    let split = Split::first(rows, train)?;
    Ok((all.subset(&split.train)?, all.subset(&split.test)?))
}

fn csv(path: &Path) -> Result<TensorDataset> {
    let unreadable = |e: csv::Error| match e.into_kind() {
        csv::ErrorKind::Io(source) => Error::Io { path: path.into(), source },
        other => Error::invalid(path.display().to_string(), "a table x0,x1,y", format!("{other:?}")),
    };
    let (mut inputs, mut classes) = (vec![], vec![]);
    for row in csv::Reader::from_path(path).map_err(unreadable)?.into_deserialize() {
        let (x0, x1, y): (f32, f32, u32) = row.map_err(unreadable)?;
        inputs.extend([x0, x1]);
        classes.push(y);
    }
    let inputs = Tensor::from_vec(inputs, (classes.len(), 2), &Device::Cpu)?;
    TensorDataset::classification(inputs, &Tensor::new(classes, &Device::Cpu)?)
}
