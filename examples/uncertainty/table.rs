//! Tables.
use candle_ensemble::statistics::Interval;
use comfy_table::{presets::ASCII_MARKDOWN, CellAlignment, Table};

/// A table whose columns are aligned to the right, except for the first one.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header).add_rows(rows);
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

/// A share with its confidence interval.
pub fn share(share: Interval) -> String {
    format!("{:.3} [{:.3}, {:.3}]", share.estimate, share.low, share.high)
}
