//! Checkpoints, as safetensors files.
use super::run;
use candle_core::{Device, Tensor};

#[test]
fn infinities_of_a_mask_stay_when_written_in_half_precision() {
    let args = [
        "--method",
        "uniform",
        "--dtype",
        "f16",
        "a.safetensors",
        "a.safetensors",
        "--out",
        "$OUT/out.safetensors",
    ];
    let ran = run("merge", "pass_merge_inf_mask", &args);
    ran.success();
    let merged =
        candle_core::safetensors::load(ran.out.path().join("out.safetensors"), &Device::Cpu).unwrap();
    let mask: &Tensor = &merged["mask"];
    let mask = mask.to_dtype(candle_core::DType::F32).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(mask, [[0., f32::NEG_INFINITY], [0., 0.]]);
}
