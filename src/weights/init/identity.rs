//! The identity as a weight.

/// The elements of a weight with these dimensions, of which there are at least two: `gain` on the diagonal of
/// the first two, in the middle of the others.
pub(super) fn weight(dims: &[usize], gain: f64) -> Vec<f64> {
    let mut values = vec![0.; dims.iter().product()];
    let [outputs, inputs, kernel @ ..] = dims else { return values };
    let middle = kernel.iter().fold(0, |index, size| index * size + size / 2);
    let size: usize = kernel.iter().product();
    for channel in 0..*outputs.min(inputs) {
        if let Some(value) = values.get_mut((channel * inputs + channel) * size + middle) {
            *value = gain;
        }
    }
    values
}
