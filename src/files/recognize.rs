//! What a file is that is not a safetensors file, by the bytes that it begins with.

/// What these bytes are, in words that complete "it is …"; none for bytes that may be a safetensors file or
/// that are not recognized.
pub(crate) fn recognize(bytes: &[u8]) -> Option<&'static str> {
    let magic = |magic: &[u8]| bytes.starts_with(magic);
    let contains = |part: &[u8]| bytes[..bytes.len().min(1 << 16)].windows(part.len()).any(|w| w == part);
    // The first byte of a safetensors file's header.
    if bytes.get(8) == Some(&b'{') && bytes.get(4..8) == Some(&[0; 4]) {
        return None;
    }
    let archive = match bytes {
        [] => "empty",
        [b'P', b'K', 3, 4, ..] if contains(b"data.pkl") => {
            "a PyTorch file (.bin, .pt, .pth: a zip archive with a pickle), not safetensors"
        }
        [b'P', b'K', 3, 4, ..] if contains(b".npy") => "a NumPy archive (.npz), not safetensors",
        [b'P', b'K', 3, 4, ..] => "a zip archive, not safetensors",
        [0x80, 2..=5, ..] => "a PyTorch file (.bin, .pt, .pth: a Python pickle), not safetensors",
        _ if magic(b"\x89HDF\r\n\x1a\n") => "an HDF5 file (.h5, as Keras writes it), not safetensors",
        _ if magic(b"GGUF") || magic(b"tjgg") || magic(b"lmgg") || magic(b"fmgg") => {
            "a GGUF or GGML file (of llama.cpp), not safetensors"
        }
        _ if magic(b"\x93NUMPY") => "a NumPy array (.npy), not safetensors",
        [0x1f, 0x8b, ..] => "compressed by gzip; uncompress it first",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "compressed by zstd; uncompress it first",
        _ if magic(b"\xfd7zXZ\0") => "compressed by xz; uncompress it first",
        _ if bytes.get(257..262) == Some(b"ustar") => "a tar archive, not safetensors",
        _ if bytes.iter().all(|byte| *byte == 0) => "nothing but zeros",
        _ => return text(bytes),
    };
    Some(archive)
}

/// What these bytes are if they are text.
fn text(bytes: &[u8]) -> Option<&'static str> {
    let start = &bytes[..bytes.len().min(512)];
    let is_text = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~' | 0x80..);
    // A character may be cut at the end.
    let unicode = std::str::from_utf8(start).map_or_else(|e| e.valid_up_to() + 4 > start.len(), |_| true);
    if !unicode || !start.iter().all(is_text) {
        return None;
    }
    let start =
        String::from_utf8_lossy(start).trim_start_matches(['\u{feff}', ' ', '\n', '\r', '\t']).to_lowercase();
    Some(match start.as_str() {
        start if start.starts_with("version https://git-lfs") => {
            "a Git LFS pointer, not the file itself; fetch that with git lfs pull"
        }
        start if start.starts_with("<!doctype html") || start.starts_with("<html") => {
            "an HTML page, perhaps of a download that failed, not safetensors"
        }
        start if start.starts_with('<') => "an XML text, perhaps of a download that failed, not safetensors",
        start if start.starts_with(['{', '[']) => {
            let index = bytes.windows(12).take(LONGEST_INDEX).any(|part| part == b"\"weight_map\"");
            match index {
                true => {
                    "the index of a sharded checkpoint, which says in which files the tensors are; its name must \
                     end in .json"
                }
                false => "a JSON text, not safetensors",
            }
        }
        _ => "a text, not safetensors",
    })
}

/// How many bytes of a JSON text are searched for the list of shards.
const LONGEST_INDEX: usize = 1 << 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_other_kinds_are_recognized() {
        let mut tar = vec![b'w'; 600];
        tar[257..262].copy_from_slice(b"ustar");
        let cases: &[(&[u8], &str)] = &[
            (b"", "empty"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 9\n", "Git LFS pointer"),
            (b"PK\x03\x04\x00\x00archive/data.pkl", "PyTorch file"),
            (b"PK\x03\x04\x00\x00weights.npy", "NumPy archive"),
            (b"PK\x03\x04\x00\x00word/document.xml", "a zip archive, not"),
            (b"\x80\x02}q\x00(X\x06\x00\x00\x00weightq\x01", "pickle"),
            (b"\x89HDF\r\n\x1a\n\x00\x00", "HDF5"),
            (b"GGUF\x03\x00\x00\x00\x01\x00\x00\x00", "GGUF"),
            (b"\x93NUMPY\x01\x00v\x00{'descr'", "NumPy array"),
            (b"\x1f\x8b\x08\x00\x00", "gzip"),
            (b"\x28\xb5\x2f\xfd\x04", "zstd"),
            (&tar, "tar archive"),
            (&[0; 900], "zeros"),
            (b"\n <!DOCTYPE html><html>", "HTML"),
            (b"<?xml version=\"1.0\"?><Error>AccessDenied</Error>", "XML"),
            (b"{\"metadata\": {}, \"weight_map\": {\"a\": \"b\"}}", "index of a sharded checkpoint"),
            (b"\xef\xbb\xbf{\"a\": 1}", "JSON"),
            ("Entry not found – 404".as_bytes(), "a text"),
        ];
        for (bytes, what) in cases {
            let found = recognize(bytes).unwrap_or_else(|| panic!("{what}"));
            assert!(found.contains(what), "{found}: {what}");
        }
    }

    #[test]
    fn safetensors_files_and_random_bytes_are_not_taken_for_others() {
        // A header of 640 bytes begins like a pickle.
        let mut header = 640u64.to_le_bytes().to_vec();
        header.extend_from_slice(b"{\"a\":");
        for bytes in [&header[..], &[7, 0, 0, 0, 0, 0, 0, 0, b'{'], &[200, 1, 9, 4, 5, 77, 0, 1, 3]] {
            assert_eq!(recognize(bytes), None);
        }
    }
}
