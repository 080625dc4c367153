//! Checkpoints, as safetensors files.
use super::{run, run_in, Ran};
use candle_core::{DType, Device, Tensor};
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

const CPU: Device = Device::Cpu;

/// Merges the files of a case by their mean, with more arguments.
fn uniform(name: &str, files: &[&str], more: &[&str]) -> Ran {
    run("merge", name, &[&["--method", "uniform", "--out", "$OUT/out.safetensors"], files, more].concat())
}

/// The tensors that were written.
fn merged(ran: &Ran) -> HashMap<String, Tensor> {
    ran.success();
    candle_core::safetensors::load(ran.out.path().join("out.safetensors"), &CPU).unwrap()
}

fn doubles(tensor: &Tensor) -> Vec<f64> {
    assert_eq!(tensor.dtype(), DType::F64);
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The only tensor that was written.
fn only(ran: &Ran) -> Tensor {
    let tensors = merged(ran);
    assert_eq!(tensors.len(), 1);
    tensors.into_values().next().unwrap()
}

const A: &str = "a.safetensors";
const B: &str = "b.safetensors";

#[test]
fn infinities_of_a_mask_stay_when_written_in_half_precision() {
    let ran = uniform("pass_merge_inf_mask", &[A, A], &["--dtype", "f16"]);
    let mask = only(&ran).to_dtype(DType::F32).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(mask, [[0., f32::NEG_INFINITY], [0., 0.]]);
}

#[test]
fn tensors_that_are_not_aligned_are_read() {
    let merged = merged(&uniform("pass_merge_unaligned", &[A, A], &[]));
    let w = merged["w"].to_dtype(DType::F64).unwrap().flatten_all().unwrap();
    assert_eq!(w.to_vec1::<f64>().unwrap(), (0..12).map(f64::from).collect::<Vec<_>>());
}

#[test]
fn large_and_exact_numbers_of_f64_are_kept() {
    assert_eq!(doubles(&only(&uniform("merge_f64_1e300", &[A, A], &[]))), [1e300, 1.]);
    let own = candle_core::safetensors::load(super::case("merge_f64_same").join(A), &CPU).unwrap();
    let own = doubles(own.values().next().unwrap());
    assert_eq!(own[1], 10000000000.25);
    for files in [&[A, A][..], &[A, A, A]] {
        assert_eq!(doubles(&only(&uniform("merge_f64_same", files, &[]))), own);
    }
}

#[test]
fn a_mean_of_f32_is_written_in_f64_without_rounding() {
    let ran = uniform("merge_dtype_f64_of_f32", &[A, B], &["--dtype", "f64"]);
    assert_eq!(doubles(&only(&ran)), [1. + 2f64.powi(-24)]);
}

#[test]
fn networks_of_two_dtypes_are_merged_into_the_dtype_that_is_given() {
    let ran = uniform("merge_mixed_dtype", &[A, B], &["--dtype", "f32"]);
    assert_eq!(only(&ran).to_vec1::<f32>().unwrap(), [2.]);
    let ran = uniform("merge_mixed_dtype", &[A, B], &[]);
    assert!(
        ran.error().contains("(set the type of the result with --dtype to merge both)"),
        "{}",
        ran.stderr
    );
}

#[test]
fn files_of_other_kinds_are_named() {
    let ran = uniform("merge_lfs_pointer", &[A, A], &[]);
    assert!(ran.error().contains("a Git LFS pointer, not the file itself"), "{}", ran.stderr);
    let ran = uniform("merge_torch_bin", &["a.bin", "a.bin"], &[]);
    assert!(
        ran.error().contains("a PyTorch file (.bin, .pt, .pth: a zip archive with a pickle)"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_tied_output_layer_is_merged_when_it_is_declared() {
    let (tied, untied) = ("tied.safetensors", "untied.safetensors");
    for files in [[tied, untied], [untied, tied]] {
        let error = uniform("merge_tied_lm_head", &files, &[]).error().to_string();
        assert!(
            error.contains("lm_head.weight") && error.contains("--tied lm_head.weight=embed.weight"),
            "{error}"
        );
        let ran = uniform("merge_tied_lm_head", &files, &["--tied", "lm_head.weight=embed.weight"]);
        let merged = merged(&ran);
        assert_eq!(merged.len(), 2);
        let [tied, untied] = [tied, untied].map(|name| {
            candle_core::safetensors::load(super::case("merge_tied_lm_head").join(name), &CPU).unwrap()
        });
        let mean = ((&untied["lm_head.weight"] + &tied["embed.weight"]).unwrap() / 2.).unwrap();
        let off = (&merged["lm_head.weight"] - mean).unwrap().abs().unwrap().max_all().unwrap();
        assert_eq!(off.to_dtype(DType::F32).unwrap().to_scalar::<f32>().unwrap(), 0.);
    }
    let ran = uniform("merge_tied_lm_head", &[tied, untied], &["--tied", "head=embed.weight"]);
    assert!(ran.error().contains("the tied tensor head"), "{}", ran.stderr);
}

#[test]
fn quantized_weights_are_not_copied_beside_averaged_scales() {
    let ran = uniform("merge_uint8_quantised", &[A, B], &[]);
    let error = ran.error();
    assert!(
        error.contains("the u8 tensor w.weight of b.safetensors differs from that of a.safetensors"),
        "{error}"
    );
    assert!(error.contains("--copy-integers"), "{error}");
    let first = candle_core::safetensors::load(super::case("merge_uint8_quantised").join(A), &CPU).unwrap();
    let copied = merged(&uniform("merge_uint8_quantised", &[A, B], &["--copy-integers"]));
    let bytes = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<u8>().unwrap();
    assert_eq!(bytes(&copied["w.weight"]), bytes(&first["w.weight"]));
}

/// Files in a folder of their own.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn save(&self, name: &str, tensors: &[(&str, Tensor)]) {
        let all: HashMap<_, _> = tensors.iter().map(|(name, t)| ((*name).to_string(), t.clone())).collect();
        candle_core::safetensors::save(&all, self.path(name)).unwrap();
    }

    /// Merges the files by their mean, with more arguments.
    fn uniform(&self, args: &[&str]) -> Ran {
        let fixed = ["--method", "uniform", "--out", "$OUT/out.safetensors"];
        run_in("merge", self.0.path(), &[&fixed, args].concat())
    }
}

/// A matrix of numbers between −1 and 1 that look random, the same for the same seed.
fn matrix(seed: u32, rows: usize, columns: usize) -> Tensor {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.
    };
    (0..100).for_each(|_| _ = next());
    let numbers: Vec<f32> = (0..rows * columns).map(|_| next()).collect();
    Tensor::from_vec(numbers, (rows, columns), &CPU).unwrap()
}

fn ones(n: usize) -> Tensor {
    Tensor::ones(n, DType::F32, &CPU).unwrap()
}

#[test]
fn networks_that_were_trained_apart_are_merged_with_a_warning() {
    let folder = Folder::new();
    let base = matrix(1, 64, 32);
    let tuned = (&base + (matrix(2, 64, 32) * 0.1).unwrap()).unwrap();
    // The scales of a normalization layer are the same in all; they prove nothing.
    for (name, w) in [("base", base), ("tuned", tuned), ("apart", matrix(3, 64, 32))] {
        folder.save(&format!("{name}.safetensors"), &[("w.weight", w), ("norm.weight", ones(4096))]);
    }
    let apart = folder.uniform(&["base.safetensors", "tuned.safetensors", "apart.safetensors"]);
    apart.success();
    let warnings: Vec<&str> = apart.stderr.lines().collect();
    assert!(
        warnings.len() == 1
            && warnings[0]
                .starts_with("warning: the weight matrices of apart.safetensors and base.safetensors"),
        "{warnings:?}"
    );
    assert!(warnings[0].contains("trained apart"), "{warnings:?}");
    let related = folder.uniform(&["base.safetensors", "tuned.safetensors"]);
    related.success();
    assert_eq!(related.stderr, "");
    // Another network's base.
    let args = ["--method", "task-arithmetic", "tuned.safetensors", "--base", "apart.safetensors"];
    let ran = run_in("merge", folder.0.path(), &[&args[..], &["--out", "$OUT/out.safetensors"]].concat());
    ran.success();
    assert!(ran.stderr.contains("of tuned.safetensors and apart.safetensors"), "{}", ran.stderr);
}

#[test]
fn low_rank_adapters_are_merged_with_a_warning() {
    let folder = Folder::new();
    for (name, seed) in [("a", 1), ("b", 1)] {
        folder.save(
            &format!("{name}.safetensors"),
            &[("q.lora_A.weight", matrix(seed, 4, 64)), ("q.lora_B.weight", matrix(seed + 1, 64, 4))],
        );
    }
    let ran = folder.uniform(&[A, B]);
    ran.success();
    assert!(
        ran.stderr.contains("warning: q.lora_A.weight is a factor of a low-rank adapter"),
        "{}",
        ran.stderr
    );
}

/// Writes a NumPy archive of two arrays: `inputs`, f32 of two columns, and `targets`, i64.
fn write_npz(path: &Path, inputs: &[[f32; 2]], targets: Option<&[i64]>) {
    use std::io::Write;
    let mut zip = zip::ZipWriter::new(fs::File::create(path).unwrap());
    let mut entry = |name: &str, descr: &str, shape: String, bytes: Vec<u8>| {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(b"\x93NUMPY\x01\x00").unwrap();
        zip.write_all(&(header.len() as u16).to_le_bytes()).unwrap();
        zip.write_all(header.as_bytes()).unwrap();
        zip.write_all(&bytes).unwrap();
    };
    let rows = inputs.len();
    entry(
        "inputs.npy",
        "<f4",
        format!("({rows}, 2)"),
        inputs.iter().flatten().flat_map(|x| x.to_le_bytes()).collect(),
    );
    if let Some(targets) = targets {
        let bytes = targets.iter().flat_map(|x| x.to_le_bytes()).collect();
        entry("targets.npy", "<i8", format!("({rows},)"), bytes);
    }
    zip.finish().unwrap();
}

/// Two networks that compute |x| with their hidden units in another order. Their mean computes 0: both units of
/// the mean get the mean of x and −x.
#[test]
fn a_check_on_data_says_what_the_merged_network_is_worth() {
    let folder = Folder::new();
    let network = |first: [[f32; 2]; 2]| {
        let output = Tensor::new(&[[1f32, 1.], [0., 0.]], &CPU).unwrap();
        let bias = Tensor::new(&[0f32, 1.], &CPU).unwrap();
        [("0.weight", Tensor::new(&first, &CPU).unwrap()), ("2.weight", output), ("2.bias", bias)]
    };
    folder.save(A, &network([[1., 0.], [-1., 0.]]));
    folder.save(B, &network([[-1., 0.], [1., 0.]]));
    // Class 0 where |x| > 1, the bias of class 1.
    let targets = [0, 0, 1, 1];
    write_npz(&folder.path("data.npz"), &[[3., 9.], [-3., 7.], [0.25, 0.], [-0.25, 2.]], Some(&targets));
    let ran = folder.uniform(&[A, B, "--check", "data.npz"]);
    let out = ran.success();
    // The logits of both networks are |x| and 1, those of the mean 0 and 1.
    let of = |gap: f64| (1. + gap.exp()).ln();
    let network = (2. * of(-2.) + 2. * of(-0.75)) / 4.;
    let mean = (2. * of(1.) + 2. * of(-1.)) / 4.;
    for line in [
        format!("a.safetensors: log-loss {network:.4}, accuracy 1.0000"),
        format!("b.safetensors: log-loss {network:.4}, accuracy 1.0000"),
        format!("their ensemble: log-loss {network:.4}, accuracy 1.0000"),
        format!("merged: log-loss {mean:.4}, accuracy 0.5000"),
        format!("mean loss of the networks: {:+.4}", mean - network),
    ] {
        assert!(out.contains(&line), "{line}: {out}");
    }
    assert!(ran.stderr.contains("warning: the merged network is worse"), "{}", ran.stderr);
    // Without targets: how far the merged network is from the ensemble. |x| against 0.
    write_npz(&folder.path("data.npz"), &[[3., 9.], [-1., 7.]], None);
    let ran = folder.uniform(&[A, B, "--check", "data.npz"]);
    assert!(ran.success().contains("merged: squared distance from their ensemble 2.5000"), "{}", ran.stdout);
    // With the function tanh x both compute 0.
    let ran = folder.uniform(&[A, B, "--check", "data.npz", "--activation", "tanh"]);
    assert!(ran.success().contains("merged: squared distance from their ensemble 0.0000"), "{}", ran.stdout);
}

#[test]
fn a_check_that_cannot_be_made_is_an_error_before_anything_is_written() {
    let folder = Folder::new();
    folder.save(A, &[("conv.weight", Tensor::zeros((2, 1, 3, 3), DType::F32, &CPU).unwrap())]);
    folder.save(B, &[("0.weight", matrix(1, 3, 2)), ("1.weight", matrix(1, 3, 3)), ("2.scale", ones(3))]);
    write_npz(&folder.path("data.npz"), &[[3., 9.]], None);
    for (args, why) in [
        ([A, "--check", "data.npz"], "multilayer perceptrons"),
        ([B, "--check", "data.npz"], "it has a tensor 2.scale"),
        ([A, "--check", "absent.npz"], "absent.npz"),
        ([A, "--check", A], "not a NumPy archive"),
    ] {
        let ran = folder.uniform(&args);
        assert!(ran.error().contains(why), "{why}: {}", ran.stderr);
    }
}

#[test]
fn a_wrapper_in_front_of_all_names_is_said() {
    let folder = Folder::new();
    folder.save(A, &[("0.weight", matrix(1, 3, 2)), ("1.weight", matrix(2, 3, 3))]);
    folder.save(B, &[("module.0.weight", matrix(1, 3, 2)), ("module.1.weight", matrix(2, 3, 3))]);
    for files in [[A, B], [B, A]] {
        let ran = folder.uniform(&files);
        let what = "b.safetensors: all its names begin with module. and are the same otherwise";
        assert!(ran.error().contains(what), "{}", ran.stderr);
    }
}

/// A safetensors file of one tensor of a dtype that candle does not write.
fn save_raw(path: &Path, dtype: &str, bytes: &[u8]) {
    let size = bytes.len();
    let header = format!(r#"{{"mask":{{"dtype":"{dtype}","shape":[{size}],"data_offsets":[0,{size}]}}}}"#);
    fs::write(path, [&(header.len() as u64).to_le_bytes(), header.as_bytes(), bytes].concat()).unwrap();
}

#[test]
fn masks_must_agree_and_packed_numbers_are_refused() {
    let folder = Folder::new();
    save_raw(&folder.path(A), "BOOL", &[1, 0, 1, 0]);
    save_raw(&folder.path(B), "BOOL", &[1, 1, 1, 0]);
    folder.uniform(&[A, A]).success();
    let ran = folder.uniform(&[A, B]);
    assert!(
        ran.error().contains(
            "the bool tensor mask of b.safetensors differs from that of a.safetensors at element 1"
        ),
        "{}",
        ran.stderr
    );
    // The base counts, too: its mask would be the one that is copied.
    let args = ["--method", "task-arithmetic", A, "--base", B, "--out", "$OUT/out.safetensors"];
    let ran = run_in("merge", folder.0.path(), &args);
    assert!(ran.error().contains("the bool tensor mask of b.safetensors differs"), "{}", ran.stderr);
    save_raw(&folder.path(B), "F8_E4M3", &[1, 1, 1, 0]);
    assert!(folder.uniform(&[B, B]).error().contains("f8_e4m3 [4] in mask"));
}

#[test]
fn counters_and_equal_positions_are_copied() {
    let folder = Folder::new();
    for (name, count) in [(A, 3u32), (B, 9)] {
        let positions = Tensor::arange(0u32, 8, &CPU).unwrap();
        let w = (ones(2) * f64::from(count)).unwrap();
        let count = Tensor::new(count, &CPU).unwrap();
        folder.save(name, &[("position_ids", positions), ("num_batches_tracked", count), ("w", w)]);
    }
    let merged = merged(&folder.uniform(&[A, B]));
    assert_eq!(merged["num_batches_tracked"].to_scalar::<u32>().unwrap(), 3);
    assert_eq!(merged["w"].to_vec1::<f32>().unwrap(), [6., 6.]);
}

#[cfg(unix)]
#[test]
fn an_output_that_is_no_file_is_refused() {
    let folder = Folder::new();
    folder.save(A, &[("w", ones(2))]);
    let socket = folder.path("socket");
    let _open = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for (out, why) in
        [("socket", "a file cannot replace"), (".", "it is a folder"), ("no/where", "No such file")]
    {
        let ran = run_in("merge", folder.0.path(), &["--method", "uniform", A, "--out", out]);
        assert!(
            ran.error().contains(why) && !ran.stderr.contains(".candle-ensemble"),
            "{out}: {}",
            ran.stderr
        );
    }
}

#[test]
fn a_folder_of_another_format_is_said() {
    let folder = Folder::new();
    fs::create_dir(folder.path("model")).unwrap();
    fs::write(folder.path("model/pytorch_model.bin"), b"PK").unwrap();
    let ran = folder.uniform(&["model"]);
    assert!(ran.error().contains("pytorch_model.bin is not safetensors"), "{}", ran.stderr);
    fs::write(folder.path(B), b"\x02\0\0\0\0\0\0\0{}").unwrap();
    assert!(folder
        .uniform(&[B])
        .error()
        .contains("the number of tensors in b.safetensors must be at least 1"));
}
