//! A legend in rows below the title.
use crate::chart::{
    picture::{Anchor, At, Drawn, Picture, SPARE},
    style::{EDGE, NAME, TOP, WIDTH},
};
use std::fmt;

/// The width of a symbol.
const SYMBOL: f64 = 34.0;
const GAP: f64 = 22.0;
const ROW: f64 = 23.0;

/// Draws a symbol around a position.
type Symbol<'a> = Box<dyn Fn(&mut Picture, At) + 'a>;

/// A symbol and what it stands for.
pub(crate) struct Entry<'a> {
    text: String,
    symbol: Symbol<'a>,
}

impl fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Entry").field(&self.text).finish()
    }
}

impl<'a> Entry<'a> {
    pub(crate) fn new(text: impl Into<String>, symbol: impl Fn(&mut Picture, At) + 'a) -> Self {
        Self { text: text.into(), symbol: Box::new(symbol) }
    }
}

/// Entries with their places.
#[derive(Debug)]
pub(crate) struct Legend<'a> {
    entries: Vec<(Entry<'a>, At)>,
    /// Where the content below the legend begins.
    pub(crate) bottom: f64,
}

impl<'a> Legend<'a> {
    /// Places the entries from left to right in as many rows as they need.
    pub(crate) fn new(entries: Vec<Entry<'a>>) -> Drawn<Self> {
        let (mut x, mut y) = (EDGE, TOP + ROW / 2.0);
        let mut placed = vec![];
        for mut entry in entries {
            entry.text = NAME.fit(&entry.text, 400.0)?;
            let width = SYMBOL + SPARE * NAME.width(&entry.text)? + GAP;
            if x > EDGE && x + width > WIDTH {
                (x, y) = (EDGE, y + ROW);
            }
            placed.push((entry, (x, y)));
            x += width;
        }
        let bottom = if placed.is_empty() { TOP + 6.0 } else { y + ROW / 2.0 + 10.0 };
        Ok(Self { entries: placed, bottom })
    }

    /// Places the entries below each other.
    pub(crate) fn column(entries: Vec<Entry<'a>>, left: f64, top: f64, row: f64) -> Drawn<Self> {
        let mut placed = vec![];
        for (i, mut entry) in entries.into_iter().enumerate() {
            entry.text = NAME.fit(&entry.text, (WIDTH - EDGE - left - SYMBOL) / SPARE)?;
            placed.push((entry, (left, top + i as f64 * row)));
        }
        let bottom = top + placed.len() as f64 * row;
        Ok(Self { entries: placed, bottom })
    }

    pub(crate) fn draw(self, picture: &mut Picture) {
        for (entry, (x, y)) in self.entries {
            (entry.symbol)(picture, (x + SYMBOL / 2.0 - 4.0, y));
            picture.text(entry.text, (x + SYMBOL, y), NAME, Anchor::Left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_go_on_in_the_next_row() {
        let entries = |names: &[&str]| names.iter().map(|n| Entry::new(*n, |_, _| {})).collect();
        let places = |legend: &Legend<'_>| legend.entries.iter().map(|e| e.1).collect::<Vec<_>>();
        let short = Legend::new(entries(&["a", "b"])).unwrap();
        let [a, b] = places(&short)[..] else { panic!() };
        assert!(a.1 == b.1 && a.0 == EDGE && b.0 > a.0 + SYMBOL + GAP);
        let names = ["a name that takes much room in its row "; 4].map(|n| n.repeat(20));
        let long = Legend::new(entries(&names.each_ref().map(String::as_str))).unwrap();
        assert_eq!(places(&long)[2], (EDGE, a.1 + 2.0 * ROW));
        assert_eq!(long.bottom, short.bottom + 3.0 * ROW);
        assert_eq!(Legend::new(vec![]).unwrap().bottom, TOP + 6.0);
    }
}
