//! Values of flags.
#![allow(dead_code)] // no program needs all of it
use candle_ensemble::{Error, Result};
use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

/// A whole number, at least 1.
pub fn count<T: FromStr + PartialOrd + From<u8>>(text: &str) -> Result<T, String> {
    text.parse().ok().filter(|n| *n >= T::from(1)).ok_or_else(|| "must be a whole number, at least 1".into())
}

pub fn whole(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "must be a whole number, at least 0".into())
}

pub fn number(
    must: &'static str,
    holds: fn(f64) -> bool,
) -> impl Fn(&str) -> Result<f64, String> + Clone + Send + Sync {
    move |text| {
        let number = text.parse().ok().filter(|x: &f64| x.is_finite() && holds(*x));
        number.ok_or_else(|| format!("must be a number {must}"))
    }
}

pub fn chart(text: &str) -> Result<PathBuf, String> {
    let end = Path::new(text).extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
    match ["svg", "png"].contains(&&*end) {
        true => Ok(text.into()),
        false => Err("must be a file that ends in .svg or .png".into()),
    }
}

pub fn page(text: &str) -> Result<PathBuf, String> {
    let end = Path::new(text).extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
    match ["html", "htm"].contains(&&*end) {
        true => Ok(text.into()),
        false => Err("must be a file that ends in .html".into()),
    }
}

/// Checks that the folders of the output files exist, before networks are trained.
pub fn check_folders<'a>(files: impl IntoIterator<Item = (&'a str, Option<&'a Path>)>) -> Result<()> {
    for (name, path) in files {
        let folder = path.and_then(Path::parent).filter(|p| !p.as_os_str().is_empty());
        if let (Some(path), Some(false)) = (path, folder.map(Path::is_dir)) {
            return Err(Error::invalid(name, "in a folder that exists", path.display()));
        }
    }
    Ok(())
}
