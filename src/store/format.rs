//! A member as bytes: one safetensors buffer, its record in the header, readable by any tool.
use crate::{
    member::{Record, Weights},
    Error, Member, Result,
};
use candle_core::Device;
use std::collections::HashMap;

/// The one metadata entry. safetensors writes several in random order.
const ENTRY: &str = "candle-ensemble member, format 1";

impl Member {
    /// The member as one safetensors buffer. The same member gives the same bytes.
    ///
    /// # Errors
    /// When a tensor has a type that safetensors lacks.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let record = serde_json::to_string(&self.record)
            .map_err(|e| Error::invalid("the member's record", "serializable", e))?;
        let metadata = HashMap::from([(ENTRY.to_string(), record)]);
        safetensors::serialize(&self.weights, Some(metadata)).map_err(|e| candle_core::Error::from(e).into())
    }

    /// The inverse of [`Member::to_bytes`].
    ///
    /// # Errors
    /// When the bytes are no safetensors buffer, or none of ours.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let foreign = |why: String| Error::Foreign { what: "the member".into(), why };
        let (_, header) =
            safetensors::SafeTensors::read_metadata(bytes).map_err(|e| foreign(e.to_string()))?;
        let record = header
            .metadata()
            .as_ref()
            .and_then(|entries| entries.get(ENTRY))
            .ok_or_else(|| foreign(format!("its header has no entry {ENTRY:?}")))?;
        let record: Record = serde_json::from_str(record).map_err(|e| foreign(format!("its record: {e}")))?;
        let weights: Weights =
            candle_core::safetensors::load_buffer(bytes, &Device::Cpu)?.into_iter().collect();
        Ok(Self { weights, record })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{build::Settings, member::EpochRecord};
    use candle_core::Tensor;

    fn member() -> Member {
        let tensor = |v: &[f32]| Tensor::new(v, &Device::Cpu).unwrap();
        let curve = vec![EpochRecord {
            epoch: 0,
            learning_rate: 0.1 + 0.2,
            train_loss: 1. / 3.,
            train_metric: 0.5,
            valid_loss: None,
            valid_metric: Some(f64::MIN_POSITIVE),
        }];
        let record = Record {
            run: 3,
            index: 0,
            slot: 2,
            architecture: "mlp".into(),
            settings: Settings::new().with("width", 8).with("dropout", 0.1),
            features: Some(vec![0, 2]),
            seen: vec![1, 5, 9],
            curve,
            key: "k".into(),
        };
        let weights = ["b", "a", "c"].map(|name| (name.to_string(), tensor(&[1., -0.5]))).into();
        Member { weights, record }
    }

    #[test]
    fn bytes_come_back_equal_and_are_always_the_same() {
        let bytes = member().to_bytes().unwrap();
        assert_eq!(bytes, member().to_bytes().unwrap());
        let back = Member::from_bytes(&bytes).unwrap();
        assert_eq!(back.record, member().record);
        assert_eq!(back.to_bytes().unwrap(), bytes);
    }

    #[test]
    fn truncated_and_foreign_bytes_are_refused() {
        let bytes = member().to_bytes().unwrap();
        for end in [0, 7, 8, 40, bytes.len() - 1] {
            assert!(Member::from_bytes(&bytes[..end]).is_err(), "{end}");
        }
        let other = safetensors::serialize(&member().weights, None).unwrap();
        assert!(Member::from_bytes(&other).unwrap_err().to_string().contains("no entry"));
    }
}
