//! The tensors in a pickle of PyTorch: what would be called to build them, as data.
use super::TorchFile;
use crate::files::{
    pickle::{Node, Value},
    stored::StoredTensor,
    tensors::readable,
};
use candle_core::DType;
use safetensors::Dtype;

/// The class of a storage of bytes.
const BYTES: &str = "UntypedStorage";

impl TorchFile {
    /// The tensor that a value stands for; none for another value.
    pub(super) fn tensor(&self, value: Value) -> Option<Result<StoredTensor, String>> {
        let (mut callable, mut args) = self.pickle.call(value)?;
        // Parameters and classes derived from tensors have their tensor inside.
        for _ in 0..2 {
            match callable {
                ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                    (callable, args) = self.pickle.call(*args.first()?)?;
                }
                ("torch._tensor", "_rebuild_from_type_v2") => {
                    callable = self.pickle.global(*args.first()?)?;
                    args = self.pickle.sequence(*args.get(2)?)?;
                }
                _ => break,
            }
        }
        match callable {
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3") => {
                Some(self.rebuild(args).unwrap_or_else(|| Err("is not described as PyTorch does it".into())))
            }
            ("torch._utils", name) if name.starts_with("_rebuild") => {
                let fault = format!("is of a kind that is not read ({name}): a dense tensor is needed");
                let stored = name.trim_start_matches("_rebuild_").into();
                Some(Ok(StoredTensor {
                    dtype: None,
                    stored,
                    shape: vec![],
                    strides: None,
                    bytes: 0..0,
                    fault: Some(fault),
                }))
            }
            _ => None,
        }
    }

    /// The tensor of these arguments: storage, offset, size, stride. None where they are of other types.
    fn rebuild(&self, args: &[Value]) -> Option<Result<StoredTensor, String>> {
        let [storage, offset, size, stride, ..] = args else { return None };
        let Node::Persistent(id) = self.pickle.node(*storage)? else { return None };
        let [_, class, name, _, length, view @ ..] = self.pickle.sequence(*id)? else { return None };
        if view.iter().any(|view| *view != Value::None) {
            return Some(Err("is a part of a storage in a form that PyTorch 0.4 left".into()));
        }
        let (_, class) = self.pickle.global(*class)?;
        let (name, length) = (self.pickle.text(*name)?, number(*length)?);
        let numbers = |values: &Value| -> Option<Vec<usize>> {
            self.pickle.sequence(*values)?.iter().map(|value| number(*value)).collect()
        };
        let (shape, strides) = (numbers(size)?, numbers(stride)?);
        if shape.len() != strides.len() {
            return None;
        }
        // Types that have no class of storages are named beside the tensor, whose storage is one of bytes.
        let of_bytes = args.get(6).and_then(|dtype| self.pickle.global(*dtype)).map(|(_, dtype)| dtype);
        let class = of_bytes.filter(|_| class == BYTES).unwrap_or(class);
        Some(self.stored((class, of_bytes.is_some()), name, length, number(*offset)?, (shape, strides)))
    }

    fn stored(
        &self,
        (class, of_bytes): (&str, bool),
        storage: &str,
        length: usize,
        offset: usize,
        (shape, strides): (Vec<usize>, Vec<usize>),
    ) -> Result<StoredTensor, String> {
        let Some((stored, width, dtype)) = element(class) else {
            let fault = Some(format!("is of the type {class}, which is not known here"));
            return Ok(StoredTensor {
                dtype: None,
                stored: class.into(),
                shape,
                strides: None,
                bytes: 0..0,
                fault,
            });
        };
        let length = if of_bytes { length / width } else { length };
        let bytes =
            self.storages.get(storage).ok_or_else(|| format!("has no data {storage:?} in the file"))?;
        // Every product is checked, because the numbers may be of any size.
        let count = shape.iter().try_fold(1usize, |count, dim| count.checked_mul(*dim));
        let last = shape.iter().zip(&strides).try_fold(offset, |last, (dim, stride)| {
            last.checked_add(dim.saturating_sub(1).checked_mul(*stride)?)
        });
        let (Some(count), Some(last)) = (count, last) else {
            return Err("is too large for this machine".into());
        };
        let end = if count == 0 { offset } else { last.saturating_add(1) };
        let fits = |elements: usize| elements.checked_mul(width).is_some_and(|bytes_| bytes_ <= bytes.len());
        if end > length || !fits(length) {
            return Err("lies beyond the end of its data".into());
        }
        let repeats =
            "repeats elements of its data (an expanded tensor); call contiguous() before it is saved";
        let fault = (count > length).then(|| repeats.into());
        let offset = if count == 0 { 0 } else { offset };
        let end = if count == 0 { 0 } else { end };
        Ok(StoredTensor {
            dtype,
            stored: stored.into(),
            strides: Some(strides).filter(|strides| !is_contiguous(&shape, strides)),
            shape,
            bytes: bytes.start + offset * width..bytes.start + end * width,
            fault,
        })
    }
}

fn number(value: Value) -> Option<usize> {
    match value {
        Value::Int(value) => usize::try_from(value).ok(),
        _ => None,
    }
}

/// Whether the elements lie in row-major order without gaps.
fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1usize;
    for (dim, stride) in shape.iter().zip(strides).rev() {
        if *dim > 1 && *stride != expected {
            return false;
        }
        expected = expected.saturating_mul((*dim).max(1));
    }
    true
}

/// The name, the size in bytes, and candle's type of the elements of a storage of this class, or of a tensor of this type.
pub(super) fn element(class: &str) -> Option<(&'static str, usize, Option<DType>)> {
    Some(match class {
        "FloatStorage" => ("f32", 4, Some(DType::F32)),
        "DoubleStorage" => ("f64", 8, Some(DType::F64)),
        "HalfStorage" => ("f16", 2, Some(DType::F16)),
        "BFloat16Storage" => ("bf16", 2, Some(DType::BF16)),
        "ByteStorage" => ("u8", 1, Some(DType::U8)),
        "BoolStorage" => ("bool", 1, Some(DType::U8)),
        "ShortStorage" => ("i16", 2, Some(DType::I16)),
        "IntStorage" => ("i32", 4, Some(DType::I32)),
        "LongStorage" => ("i64", 8, Some(DType::I64)),
        "CharStorage" => ("i8", 1, None),
        "float8_e4m3fn" => ("f8_e4m3", 1, readable(Dtype::F8_E4M3)),
        "float8_e5m2" => ("f8_e5m2", 1, None),
        "uint16" => ("u16", 2, None),
        "uint32" => ("u32", 4, Some(DType::U32)),
        "uint64" => ("u64", 8, None),
        BYTES => ("bytes", 1, None),
        "ComplexFloatStorage" => ("c64", 8, None),
        "ComplexDoubleStorage" => ("c128", 16, None),
        _ => return None,
    })
}
