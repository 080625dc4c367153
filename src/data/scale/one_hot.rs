//! One column for each category.
use crate::{
    data::{
        dataset::move_view,
        scale::table::{columns, Table},
    },
    Error, Result,
};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// The categories of each column, in increasing order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct FittedOneHot {
    categories: Vec<Vec<f64>>,
    ignore_unknown: bool,
}

impl FittedOneHot {
    pub(super) fn fit(x: &Tensor, ignore_unknown: bool) -> Result<Self> {
        let categories = |mut column: Vec<f64>| {
            column.sort_by(f64::total_cmp);
            // −0 and 0 are one category.
            column.dedup_by(|a, b| a == b);
            column
        };
        Ok(Self { categories: columns(x)?.into_iter().map(categories).collect(), ignore_unknown })
    }

    pub(super) fn columns(&self) -> usize {
        self.categories.len()
    }

    pub(super) fn output_columns(&self) -> usize {
        self.categories.iter().map(Vec::len).sum()
    }

    /// 1 in the column of the category and 0 in the others.
    pub(super) fn transform(&self, x: &Tensor) -> Result<Tensor> {
        let table = Table::of(x)?;
        if table.columns != self.columns() {
            let must = format!("that of the scaler, {}", self.columns());
            return Err(Error::invalid("the number of columns", must, table.columns));
        }
        let width = self.output_columns();
        let mut ones = vec![0f32; table.rows * width];
        let (mut cell, mut start, mut unknown) = (0, 0, None);
        table.each(|column, x| {
            if column == 0 {
                start = cell / table.columns * width;
            }
            cell += 1;
            let known = self.categories.get(column).map_or(&[][..], Vec::as_slice);
            match known.binary_search_by(|of| of.partial_cmp(&x).unwrap_or(std::cmp::Ordering::Less)) {
                Ok(place) => {
                    if let Some(one) = ones.get_mut(start + place) {
                        *one = 1.;
                    }
                }
                Err(_) => unknown = unknown.or(Some((cell - 1, x))),
            }
            start += known.len();
        })?;
        if let (Some((cell, x)), false) = (unknown, self.ignore_unknown) {
            let (row, column) = (cell / table.columns, cell % table.columns);
            let must = "a category of the rows that the encoding was fitted on";
            return Err(Error::invalid(format!("row {row}, column {column}"), must, x));
        }
        let encoded = Tensor::from_vec(ones, (table.rows, width), &Device::Cpu)?.to_dtype(x.dtype())?;
        Ok(move_view(&encoded, x.device())?)
    }

    /// Checks that the categories of each column are numbers in increasing order.
    pub(super) fn check(&self) -> Result<()> {
        let fine =
            |of: &Vec<f64>| of.iter().all(|x| x.is_finite()) && of.windows(2).all(|pair| pair[0] < pair[1]);
        match self.categories.iter().all(fine) {
            true => Ok(()),
            false => Err(Error::invalid("the categories of a column", "in increasing order", "others")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_category_has_a_column_and_unknown_ones_are_errors_or_zeros() {
        let x = Tensor::new(&[[3f32, 0.], [1., -0.], [3., 5.]], &Device::Cpu).unwrap();
        let fresh = Tensor::new(&[[3f32, 5.], [2., 0.]], &Device::Cpu).unwrap();
        let strict = FittedOneHot::fit(&x, false).unwrap();
        assert_eq!((strict.columns(), strict.output_columns()), (2, 4));
        let expected = [[0., 1., 1., 0.], [1., 0., 1., 0.], [0., 1., 0., 1.]];
        assert_eq!(strict.transform(&x).unwrap().to_vec2::<f32>().unwrap(), expected);
        let e = strict.transform(&fresh).unwrap_err().to_string();
        assert_eq!(
            e,
            "row 1, column 0 must be a category of the rows that the encoding was fitted on, but is 2"
        );
        let lenient = FittedOneHot::fit(&x, true).unwrap();
        let expected = [[0., 1., 0., 1.], [0., 0., 1., 0.]];
        assert_eq!(lenient.transform(&fresh).unwrap().to_vec2::<f32>().unwrap(), expected);
    }
}
