//! Averages of networks: soups of fine-tuned networks, and SWAG.
mod greedy_soup;
mod learned_soup;
mod soup;
mod swag;
mod uniform_soup;

pub use greedy_soup::GreedySoup;
pub use learned_soup::{Granularity, LearnedSoup};
pub use soup::Soup;
pub use swag::Swag;
pub use uniform_soup::uniform_soup;
