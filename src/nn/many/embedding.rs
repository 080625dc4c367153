//! Tables of vectors, one for each member.
use crate::{
    nn::{
        many::{convert::At, rows::Rows, variables::Start},
        Embedding,
    },
    Error,
};
use candle_core::{DType, Module, Result, Tensor};
use candle_nn::Init;
use std::any::Any;

/// A table of each member, `(M, things, size)`.
#[derive(Debug)]
pub(super) struct SeparateEmbedding {
    rows: Rows,
    tables: Tensor,
}

impl SeparateEmbedding {
    /// What stands for a layer, if it is an embedding of ours or of candle's.
    pub(super) fn of(layer: &dyn Any, at: &At<'_>) -> Result<Option<Self>> {
        let ours = layer.downcast_ref::<Embedding>().map(Embedding::embeddings);
        let theirs = || layer.downcast_ref::<candle_nn::Embedding>().map(candle_nn::Embedding::embeddings);
        let Some(table) = ours.or_else(theirs) else { return Ok(None) };
        let start = Start::Each(at.init_of(table).unwrap_or(Init::Randn { mean: 0., stdev: 1. }));
        let tables = at.variable("weight", table.dims(), start, table.dtype())?;
        Ok(Some(Self { rows: Rows { members: at.members(), shared: at.is_first }, tables }))
    }
}

impl Module for SeparateEmbedding {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (members, things, size) = self.tables.dims3()?;
        let each = self.rows.of_each(x.dim(0)?)?;
        let others = x.dims().get(1..).unwrap_or_default();
        let number = x.to_dtype(DType::I64)?.contiguous()?;
        let numbers = number.flatten_all()?.to_vec1::<i64>()?;
        if let Some(bad) = numbers.iter().find(|number| !(0..things as i64).contains(*number)) {
            let must = format!("from 0 to less than {things}");
            return Err(Error::invalid("a number that an embedding looks up", must, bad).into());
        }
        let own = if self.rows.shared { 1 } else { members };
        let starts = Tensor::arange(0i64, members as i64, x.device())?.affine(things as f64, 0.)?;
        let rows = number.reshape((own, x.elem_count() / own.max(1)))?;
        let rows = rows.broadcast_add(&starts.reshape((members, 1))?)?;
        let all = Embedding::new(self.tables.reshape((members * things, size))?, size);
        all.forward(&rows)?.reshape([&[members * each], others, &[size]].concat())
    }
}
