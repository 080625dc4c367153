//! 1040 pictures of letters, drawn as the digits are: `letters.py` made them with free fonts.
#![allow(dead_code)] // no program needs all of it
use candle_core::{Device, Tensor};
use candle_ensemble::{data::TensorDataset, Error, Result};

/// The classes: a letter's number is its place here.
const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The letters with the classes 0 to 51, A to Z and then a to z. Their 64 pixels, from −1 to 1, have the shape `row`.
pub fn letters(row: &[usize]) -> Result<TensorDataset> {
    let (mut pixels, mut labels) = (vec![], vec![]);
    // Each line is a letter and its counts of ink, 0 to 16.
    for line in include_str!("letters.txt").lines() {
        let mut of_line = line.chars();
        let letter = of_line.next().and_then(|letter| LETTERS.find(letter));
        labels.push(letter.ok_or_else(|| Error::invalid("the letter", "one of A to z", line))? as u32);
        for count in of_line {
            let count = count.to_digit(17).ok_or_else(|| Error::invalid("the ink", "0 to g", count))?;
            pixels.push(count as f32 / 8. - 1.);
        }
    }
    let images = Tensor::from_vec(pixels, [&[labels.len()], row].concat(), &Device::Cpu)?;
    TensorDataset::classification(images, &Tensor::new(labels, &Device::Cpu)?)
}

/// The letter with this number.
pub fn letter(class: u32) -> char {
    LETTERS.chars().nth(class as usize).unwrap_or('?')
}
