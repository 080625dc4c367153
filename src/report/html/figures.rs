//! The charts of a page.
use crate::{evaluate::StudyReport, Result};
use maud::{html, Markup};

impl StudyReport {
    pub(super) fn cost_figures(&self) -> Result<Markup> {
        Ok(html! {})
    }

    pub(super) fn size_figure(&self) -> Result<Option<Markup>> {
        Ok(None)
    }

    pub(super) fn learning_figure(&self) -> Result<Option<Markup>> {
        Ok(None)
    }

    pub(super) fn confusion_figures(&self) -> Result<Option<Markup>> {
        Ok(None)
    }

    pub(super) fn weight_figure(&self) -> Result<Option<Markup>> {
        Ok(None)
    }
}
