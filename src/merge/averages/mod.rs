//! Averages of several networks' weights.
pub(crate) mod soup;
mod swag;

pub use soup::{uniform_soup, Granularity, GreedySoup, LearnedSoup, Soup};
pub use swag::Swag;
