//! Averages of several networks' weights.
pub(crate) mod soup;
mod swag;

pub use soup::{uniform_soup, GreedySoup, LearnedSoup, Sharing, Soup};
pub use swag::Swag;
