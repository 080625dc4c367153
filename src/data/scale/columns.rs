//! A scaling for each group of columns.
use crate::{
    data::{
        dataset::move_view,
        scale::{FittedScaling, Scaling},
    },
    Error, Result,
};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// Fitted scalings of groups of columns, and the columns that stay as they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct FittedColumns {
    /// The number of columns.
    width: usize,
    /// The columns in the order of the result, in groups; `None` for columns that stay as they are.
    groups: Vec<(Vec<u32>, Option<FittedScaling>)>,
}

impl FittedColumns {
    /// The groups in the order of their first columns. Columns of no group stay as they are, one by one.
    pub(super) fn fit(x: &Tensor, of: &[(Vec<usize>, Scaling)]) -> Result<Self> {
        let [_, width] = *x.dims() else {
            return Err(Error::invalid(
                "inputs with a scaling for each column",
                "of shape (N, D)",
                format!("{:?}", x.dims()),
            ));
        };
        let mut taken = vec![false; width];
        for column in of.iter().flat_map(|(columns, _)| columns) {
            match taken.get_mut(*column) {
                None => {
                    let must = format!("below {width}, the number of columns");
                    return Err(Error::invalid("a column of Scaling::Columns", must, column));
                }
                Some(true) => {
                    return Err(Error::invalid("a column of Scaling::Columns", "named once", column))
                }
                Some(free) => *free = true,
            }
        }
        let mut groups = vec![];
        for (columns, scaling) in of.iter().filter(|(columns, _)| !columns.is_empty()) {
            let columns: Vec<u32> = columns.iter().map(|column| *column as u32).collect();
            let fitted = scaling.fit(&select(x, &columns)?)?;
            groups.push((columns, Some(fitted)));
        }
        let free = taken.iter().enumerate().filter(|(_, taken)| !**taken);
        groups.extend(free.map(|(column, _)| (vec![column as u32], None)));
        groups.sort_by_key(|(columns, _)| columns.iter().min().copied());
        Ok(Self { width, groups })
    }

    pub(super) fn columns(&self) -> usize {
        self.width
    }

    pub(super) fn output_columns(&self) -> usize {
        self.groups
            .iter()
            .map(|(columns, of)| of.as_ref().map_or(columns.len(), FittedScaling::output_columns))
            .sum()
    }

    pub(super) fn has_inverse(&self) -> bool {
        self.groups.iter().all(|(_, of)| of.as_ref().is_none_or(FittedScaling::has_inverse))
    }

    /// The groups side by side. Where every group keeps its number of columns, each column stays in its place.
    pub(super) fn transform(&self, x: &Tensor) -> Result<Tensor> {
        self.check_width(x)?;
        let part = |(columns, of): &(Vec<u32>, Option<FittedScaling>)| {
            let x = select(x, columns)?;
            of.as_ref().map_or(Ok(x.clone()), |of| of.transform(&x))
        };
        let parts = self.groups.iter().map(part).collect::<Result<Vec<_>>>()?;
        let joined = Tensor::cat(&parts, 1)?;
        match self.output_columns() == self.width {
            true => Ok(joined.index_select(&self.places(x.device())?, 1)?),
            false => Ok(joined),
        }
    }

    pub(super) fn inverse(&self, z: &Tensor) -> Result<Tensor> {
        self.check_width(z)?;
        let part = |(columns, of): &(Vec<u32>, Option<FittedScaling>)| {
            let z = select(z, columns)?;
            of.as_ref().map_or(Ok(z.clone()), |of| of.inverse(&z))
        };
        let parts = self.groups.iter().map(part).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&parts, 1)?.index_select(&self.places(z.device())?, 1)?)
    }

    /// The place of each column among the columns of the groups.
    fn places(&self, device: &Device) -> Result<Tensor> {
        let mut places = vec![0u32; self.width];
        for (place, column) in self.groups.iter().flat_map(|(columns, _)| columns).enumerate() {
            if let Some(at) = places.get_mut(*column as usize) {
                *at = place as u32;
            }
        }
        Ok(Tensor::new(places, device)?)
    }

    fn check_width(&self, x: &Tensor) -> Result<()> {
        match *x.dims() {
            [_, width] if width == self.width => Ok(()),
            _ => {
                let must = format!("of shape (N, {})", self.width);
                Err(Error::invalid("a table", must, format!("{:?}", x.dims())))
            }
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let mut columns: Vec<u32> = self.groups.iter().flat_map(|(columns, _)| columns.clone()).collect();
        columns.sort_unstable();
        if !columns.into_iter().map(|column| column as usize).eq(0..self.width) {
            return Err(Error::invalid("the columns of a scaling", "each named once", "others"));
        }
        self.groups.iter().filter_map(|(_, of)| of.as_ref()).try_for_each(FittedScaling::check)
    }
}

fn select(x: &Tensor, columns: &[u32]) -> Result<Tensor> {
    let columns = move_view(&Tensor::new(columns, &Device::Cpu)?, x.device())?;
    Ok(x.index_select(&columns, 1)?)
}
