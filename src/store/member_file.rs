//! Members as files: one safetensors buffer with the record in its header, which any safetensors reader
//! opens.
use crate::{
    files::{
        header::FormatError,
        tensors::{self, TensorFile},
    },
    Error, Member, Result,
};

const KIND: &str = "member";

impl Member {
    /// The member as one safetensors buffer, with its record and a hash of all of it in the header. The same
    /// member gives the same bytes.
    ///
    /// # Errors
    /// When a tensor has a type that safetensors lacks.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.to_file()?.to_bytes()
    }

    pub(crate) fn to_file(&self) -> Result<TensorFile> {
        let record = serde_json::to_string(&self.record)
            .map_err(|e| Error::invalid("the member's record", "serializable", e))?;
        TensorFile::new(KIND, &record, self.weights.clone())
    }

    /// Reads what [`Member::to_bytes`] returns. Bytes of any origin are safe to read.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the bytes have changed since they were written, [`Error::Foreign`] when they
    /// are something else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        read(bytes).map_err(|error| error.of("the member"))
    }
}

pub(crate) fn read(bytes: &[u8]) -> Result<Member, FormatError> {
    let content = tensors::read(KIND, bytes)?;
    let record = serde_json::from_str(&content.description)
        .map_err(|e| FormatError::foreign(format!("its record: {e}")))?;
    Ok(Member { weights: content.tensors, record })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::{FittedScalings, Scaling},
        plan::Settings,
        store::{EpochRecord, Record},
    };
    use candle_core::{DType, Device, Tensor};
    use safetensors::SafeTensors;

    fn member() -> Member {
        let tensor = |v: &[f32]| Tensor::new(v, &Device::Cpu).unwrap();
        let curve = vec![EpochRecord {
            epoch: 0,
            learning_rate: 0.1 + 0.2,
            train_loss: 1. / 3.,
            train_metric: 0.5,
            valid_loss: None,
            valid_metric: Some(f64::MIN_POSITIVE),
            monitors: None,
        }];
        let record = Record {
            run: 3,
            index: 0,
            slot: 2,
            refit: false,
            architecture: "mlp \"wide\"\n".into(),
            settings: Settings::new().with("width", 8).with("dropout", 0.1),
            features: Some(vec![0, 2]),
            scaling: Default::default(),
            seen: vec![1, 5, 9].into(),
            in_network: None,
            seen_unknown: false,
            round: None,
            curve,
            key: "k".into(),
        };
        let weights = ["b", "a \"c\"", "ü"].map(|name| (name.to_string(), tensor(&[1., -0.5]))).into();
        Member { weights, record }
    }

    #[test]
    fn bytes_are_read_back_equal_and_are_always_the_same() {
        let bytes = member().to_bytes().unwrap();
        assert_eq!(bytes, member().to_bytes().unwrap());
        let back = Member::from_bytes(&bytes).unwrap();
        assert_eq!(back.record, member().record);
        assert_eq!(back.to_bytes().unwrap(), bytes);
    }

    /// Members of before there were scalings have no such field.
    #[test]
    fn scalings_are_read_back_and_may_be_missing() {
        let plain = serde_json::to_string(&member().record).unwrap();
        assert!(!plain.contains("scaling"));
        let x = Tensor::new(&[[0.1f64, 1. / 3.], [2., 5.], [0.7, -3.]], &Device::Cpu).unwrap();
        let fit = |text: &str| Scaling::parse(text).unwrap().fit(&x).unwrap();
        let mut member = member();
        for (inputs, targets) in [("power", "standardize"), ("0=one-hot;1=robust", "quantile")] {
            member.record.scaling = FittedScalings { inputs: Some(fit(inputs)), targets: Some(fit(targets)) };
            let back = Member::from_bytes(&member.to_bytes().unwrap()).unwrap();
            assert_eq!(back.record, member.record);
        }
    }

    #[test]
    fn every_type_and_shape_is_read_back_to_the_bit() {
        let mut member = member();
        let x =
            Tensor::new(&[[0.1f64, -0.0, f64::NAN], [f64::INFINITY, 3., 2.5e-310]], &Device::Cpu).unwrap();
        for dtype in [DType::F64, DType::F32, DType::BF16, DType::F16, DType::F8E4M3] {
            member.weights.insert(format!("{dtype:?}"), x.to_dtype(dtype).unwrap());
        }
        for dtype in [DType::I64, DType::I32, DType::I16, DType::U32, DType::U8] {
            let x = Tensor::new(&[3f64, 0., 100.], &Device::Cpu).unwrap();
            member.weights.insert(format!("{dtype:?}"), x.to_dtype(dtype).unwrap());
        }
        member.weights.insert("scalar".into(), Tensor::new(1.5f32, &Device::Cpu).unwrap());
        member.weights.insert("none".into(), Tensor::zeros((3, 0, 2), DType::F32, &Device::Cpu).unwrap());
        member.weights.insert("transposed".into(), x.t().unwrap());
        let bytes = member.to_bytes().unwrap();
        let back = Member::from_bytes(&bytes).unwrap();
        assert_eq!(back.to_bytes().unwrap(), bytes);
        for (name, tensor) in &member.weights {
            assert_eq!(
                (tensor.dims(), tensor.dtype()),
                (back.weights[name].dims(), back.weights[name].dtype())
            );
        }
        let transposed = back.weights["transposed"].to_vec2::<f64>().unwrap();
        assert_eq!(transposed[0][0].to_bits(), 0.1f64.to_bits());
        assert_eq!(transposed[2][1].to_bits(), 2.5e-310f64.to_bits());
        assert!(transposed[2][0].is_nan());
    }

    #[test]
    fn the_reader_of_safetensors_opens_it() {
        let bytes = member().to_bytes().unwrap();
        let read = SafeTensors::deserialize(&bytes).unwrap();
        let mut names = read.names();
        names.sort_unstable();
        assert_eq!(names, ["a \"c\"", "b", "ü"]);
        let (length, header) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(length % 8, 0, "tensors are aligned");
        let about = &header.metadata().as_ref().unwrap()["candle-ensemble, format 2, member"];
        let record: Record = serde_json::from_str(about.split_once(' ').unwrap().1).unwrap();
        assert_eq!(record, member().record);
        assert_eq!(candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap().len(), 3);
    }

    #[test]
    fn nan_and_infinity_are_read_back() {
        let mut member = member();
        member.record.curve[0].valid_loss = Some(f64::NAN);
        member.record.curve[0].train_metric = f64::NEG_INFINITY;
        member.record.settings = Settings::new().with("limit", f64::INFINITY);
        let back = Member::from_bytes(&member.to_bytes().unwrap()).unwrap();
        assert!(back.record.curve[0].valid_loss.unwrap().is_nan());
        assert_eq!(back.record.curve[0].train_metric, f64::NEG_INFINITY);
        assert_eq!(back.record.settings, member.record.settings);
    }

    #[test]
    fn each_flipped_bit_and_each_truncation_is_noticed() {
        let bytes = member().to_bytes().unwrap();
        for i in 0..bytes.len() {
            assert!(Member::from_bytes(&bytes[..i]).is_err(), "{i}");
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[i] ^= 1 << bit;
                assert!(Member::from_bytes(&flipped).is_err(), "byte {i}, bit {bit}");
            }
        }
        assert!(Member::from_bytes(&[&bytes[..], b" "].concat()).is_err());
    }

    #[test]
    fn foreign_and_damaged_bytes_give_different_errors() {
        let why = |bytes: &[u8]| Member::from_bytes(bytes).unwrap_err().to_string();
        let bytes = member().to_bytes().unwrap();
        assert!(why(&bytes[..bytes.len() - 1]).starts_with("the member is damaged: its content is not"));
        let other = safetensors::serialize(&member().weights, None).unwrap();
        assert!(why(&other).contains("does not begin like a member"));
        let mut newer = bytes.clone();
        let format = bytes.windows(8).position(|w| w == b"format 2").unwrap() + 7;
        newer[format] = b'3';
        assert!(why(&newer).contains(r#"it is of format "3", but this version reads 2"#));
        let ensemble = TensorFile::new("ensemble", "", []).unwrap().to_bytes().unwrap();
        assert!(why(&ensemble).contains(r#"it holds a "ensemble", not a "member""#));
    }

    #[test]
    fn unsorted_rows_are_refused() {
        for seen in ["[3,2]", "[2,2]", r#""3,2""#, r#""1-2,2""#] {
            let bytes = with_seen(seen).to_bytes().unwrap();
            let e = Member::from_bytes(&bytes).unwrap_err().to_string();
            assert!(e.contains("its record: the rows are not sorted"), "{e}");
        }
    }

    /// Members of before there were compressed sets of rows list them.
    #[test]
    fn lists_of_rows_are_read() {
        let listed = Member::from_bytes(&with_seen("[1,5,9]").to_bytes().unwrap()).unwrap();
        assert_eq!(listed.record, member().record);
        assert_eq!(listed.to_bytes().unwrap(), member().to_bytes().unwrap());
    }

    /// The member with this as the rows that it has seen.
    fn with_seen(seen: &str) -> TensorFile {
        let record = serde_json::to_string(&member().record).unwrap();
        let other = record.replace(r#""seen":"1,5,9""#, &format!(r#""seen":{seen}"#));
        assert_ne!(other, record);
        TensorFile::new(KIND, &other, member().weights).unwrap()
    }

    #[test]
    fn tensors_that_cannot_be_stored_are_named() {
        let mut named = member();
        named.weights.insert("__metadata__".into(), named.weights["b"].clone());
        assert!(named.to_bytes().unwrap_err().to_string().contains("a tensor's name"));
    }
}
