//! What fuzzing and the regression corpus do with bytes of any origin: hand them in as they are, and again with
//! the hash put right, which is as far as a random change would never come. Answers are successes or errors;
//! what was read can be used and written again, and comes back the same.
use candle_core::{Device, Tensor};
use candle_ensemble::{
    combine::{
        stack::{AffineModel, FittedStack},
        FittedCombiner, Mean,
    },
    merge::{FileMerge, LinearMerge, Method, Ties},
    store::Manifest,
    train::Trainer,
    weights::StateDict,
    Ensemble, Member,
};
use serde::{de::DeserializeOwned, Serialize};

/// A file with `payload`, as manifests are sealed.
pub fn sealed(kind: &str, payload: &[u8]) -> Vec<u8> {
    let format = if kind == "plan" { 3 } else { 2 };
    let title = format!("candle-ensemble, format {format}, {kind}\n");
    let hash = blake3::Hasher::new().update(title.as_bytes()).update(payload).finalize().to_hex();
    [format!("{title}{hash}\n").as_bytes(), payload].concat()
}

/// How the header of a safetensors file of ours begins, up to the hash.
pub fn opening(kind: &str) -> String {
    format!("{{\"__metadata__\":{{\"candle-ensemble, format 2, {kind}\":\"")
}

/// `file` with the right hash in its place, if it has the place.
pub fn rehashed(kind: &str, mut file: Vec<u8>) -> Option<Vec<u8>> {
    let at = 8 + opening(kind).len();
    if file.get(8..at)? != opening(kind).as_bytes() || file.len() < at + 64 {
        return None;
    }
    file[at..at + 64].fill(b'0');
    let hash = blake3::hash(&file).to_hex();
    file[at..at + 64].copy_from_slice(hash.as_bytes());
    Some(file)
}

pub fn manifest(data: &[u8]) {
    let payload = data.splitn(3, |b| *b == b'\n').nth(2).filter(|_| data.starts_with(b"candle-ensemble, "));
    for bytes in [data.to_vec(), sealed("plan", payload.unwrap_or(data))] {
        if let Ok(manifest) = Manifest::from_bytes(&bytes) {
            let written = manifest.to_bytes().unwrap();
            assert_eq!(Manifest::from_bytes(&written).unwrap().to_bytes().unwrap(), written);
        }
    }
}

pub fn member(data: &[u8]) {
    for bytes in [Some(data.to_vec()), rehashed("member", data.to_vec())].into_iter().flatten() {
        if let Ok(member) = Member::from_bytes(&bytes) {
            let written = member.to_bytes().unwrap();
            assert_eq!(Member::from_bytes(&written).unwrap().to_bytes().unwrap(), written);
        }
    }
}

pub fn ensemble(data: &[u8]) {
    for bytes in [Some(data.to_vec()), rehashed("ensemble", data.to_vec())].into_iter().flatten() {
        used::<Mean>(&bytes);
        used::<FittedStack<AffineModel>>(&bytes);
    }
}

fn used<H: FittedCombiner + Serialize + DeserializeOwned>(bytes: &[u8]) {
    let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb));
    let load = |bytes: &[u8]| Ensemble::<_, H>::from_bytes(bytes, &trainer, &Device::Cpu);
    if let Ok(ensemble) = load(bytes) {
        let x = Tensor::new(&[[0f32, 1.], [-2., 3.], [0.5, 0.]], &Device::Cpu).unwrap();
        let _ = (ensemble.predict(&x), ensemble.predict_proba(&x), ensemble.member_predictions(&x));
        let written = ensemble.to_bytes().unwrap();
        assert_eq!(load(&written).unwrap().to_bytes().unwrap(), written);
    }
}

/// Bytes as a network on disk, and as the index of a sharded one whose shard is good.
pub fn merge(data: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("a"), data).unwrap();
    std::fs::write(path("a.json"), data).unwrap();
    std::fs::write(path("shard"), SHARD).unwrap();
    for input in ["a", "a.json"] {
        let _ = StateDict::open(path(input)).and_then(|tensors| tensors.to_weights());
        let twice = || FileMerge::new([path(input), path(input)]).threads(1);
        let all: [(FileMerge<'_>, &dyn Method); 2] =
            [(twice(), &LinearMerge::uniform()), (twice().base(path(input)), &Ties::new(0.5))];
        for (merge, method) in all {
            let Ok(written) = merge.write(method, path("out")) else { continue };
            let out = std::fs::read(path("out")).unwrap();
            assert_eq!(written.bytes, out.len() as u64);
            // What was written is a network again, and the mean of it alone is the same file.
            FileMerge::new([path("out")]).threads(1).write(&LinearMerge::uniform(), path("again")).unwrap();
            assert_eq!(std::fs::read(path("again")).unwrap(), out);
        }
    }
}

/// Two tensors.
pub const SHARD: &[u8] = b"\x78\0\0\0\0\0\0\0{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"n\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[8,9]}}               \0\0\x80\x3f\0\0\0\0\x07";
