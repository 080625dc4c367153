//! Sets of rows, compressed.
use crate::Rows;
use base64::{prelude::BASE64_STANDARD, Engine};
use roaring::RoaringBitmap;
use serde::{
    de::{self, SeqAccess, Visitor},
    Deserialize, Deserializer, Serialize, Serializer,
};
use std::{fmt, ops::Range};

/// What a bitmap begins with where it is written as text. Ranges begin with a digit.
const BITMAP: &str = "roaring:";
/// Rows that are looked at together when a set is made.
const PART: usize = 1 << 14;
/// The most ranges that are written as such.
const MOST_RANGES: usize = 32;

/// A set of row numbers as a compressed bitmap: the rows that a member has seen, for example.
///
/// It is a roaring bitmap, which keeps each block of 65,536 rows as a list, as bits or as ranges, whichever is smallest. So
/// it takes at most about one bit for each row of the data, and a few bytes where the rows are ranges: 80 % of 10⁸ rows,
/// drawn at random, take 12.5 MB instead of 320 MB as a list of numbers. Union and difference work on whole blocks.
///
/// Rows are always in increasing order. In JSON a set is a text: its ranges where there are few (`"0-41,43"`), and else the
/// bitmap in base64. A list of sorted numbers is read too. The same set gives the same text.
///
/// ```
/// use candle_ensemble::data::RowBitmap;
///
/// let seen: RowBitmap = [3, 0, 1, 3].into_iter().collect();
/// assert_eq!(seen, [0, 1, 3]);
/// assert!(seen.contains(3) && !seen.contains(2));
/// assert_eq!(seen.complement(6), [2, 4, 5]);
/// assert_eq!(seen.union(&RowBitmap::range(4..6)).to_string(), "0-1,3-5");
/// ```
///
/// Source: Lemire, Ssi-Yan-Kai and Kaser 2016, doi:10.1002/spe.2402.
#[derive(Clone, Default, PartialEq)]
pub struct RowBitmap(RoaringBitmap);

impl Eq for RowBitmap {}

impl RowBitmap {
    /// A set without rows.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The rows of a range.
    #[must_use]
    pub fn range(rows: Range<u32>) -> Self {
        let mut set = RoaringBitmap::new();
        set.insert_range(rows);
        Self(set)
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len() as usize
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this row is one of them.
    #[must_use]
    pub fn contains(&self, row: u32) -> bool {
        self.0.contains(row)
    }

    /// The largest row, if there is one.
    #[must_use]
    pub fn last(&self) -> Option<u32> {
        self.0.max()
    }

    /// The rows in increasing order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter()
    }

    /// The rows as a list, 4 bytes each.
    #[must_use]
    pub fn to_vec(&self) -> Rows {
        self.0.iter().collect()
    }

    /// The rows that are in this set or in the other one.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self(&self.0 | &other.0)
    }

    /// The rows that are in this set and in the other one.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self(&self.0 & &other.0)
    }

    /// The rows that are in this set and not in the other one.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        Self(&self.0 - &other.0)
    }

    /// The rows below `rows` that are not in this set.
    #[must_use]
    pub fn complement(&self, rows: usize) -> Self {
        let mut all = RoaringBitmap::new();
        if let Some(last) = rows.checked_sub(1) {
            all.insert_range(0..=u32::try_from(last).unwrap_or(u32::MAX));
        }
        Self(all - &self.0)
    }

    /// How many rows below `rows` are not in this set. Faster than to make them.
    #[must_use]
    pub fn complement_len(&self, rows: usize) -> usize {
        let below = match rows.checked_sub(1) {
            Some(last) => self.0.range_cardinality(0..=u32::try_from(last).unwrap_or(u32::MAX)),
            None => 0,
        };
        rows.saturating_sub(below as usize)
    }

    /// How many bytes it takes in a file.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.serialized_size()
    }

    /// The rows that are in any of these sets.
    pub(crate) fn union_of<'a>(sets: impl IntoIterator<Item = &'a Self>) -> Self {
        sets.into_iter().fold(Self::new(), |mut all, set| {
            all.0 |= &set.0;
            all
        })
    }

    /// The ranges of rows, each with its last row; `None` where there are more than `most`.
    fn ranges(&self, most: usize) -> Option<Vec<(u32, u32)>> {
        let (mut ranges, mut rest) = (Vec::<(u32, u32)>::new(), self.0.iter());
        while let Some(range) = rest.next_range() {
            let (first, last) = range.into_inner();
            match ranges.last_mut() {
                // A range ends with its block of rows.
                Some(before) if before.1 + 1 == first => before.1 = last,
                _ => ranges.push((first, last)),
            }
            if ranges.len() > most {
                return None;
            }
        }
        Some(ranges)
    }

    /// The bitmap in the portable format of roaring bitmaps. Equal sets give equal bytes.
    fn to_bytes(&self) -> Vec<u8> {
        let mut set = self.0.clone();
        // How a block is kept depends on how the set came to be.
        set.remove_run_compression();
        set.optimize();
        let mut bytes = Vec::with_capacity(set.serialized_size());
        // Writing to memory cannot fail.
        let _ = set.serialize_into(&mut bytes);
        bytes
    }

    /// Reads what [`Self::to_bytes`] returns. Bytes of any origin are safe to read.
    fn from_bytes(mut bytes: &[u8]) -> Result<Self, String> {
        let set = RoaringBitmap::deserialize_from(&mut bytes).map_err(|e| format!("the rows: {e}"))?;
        match bytes.len() {
            0 => Ok(Self(set)),
            left => Err(format!("the rows: {left} bytes are left over")),
        }
    }

    /// Reads the text of a set.
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(bytes) = text.strip_prefix(BITMAP) {
            return Self::from_bytes(&BASE64_STANDARD.decode(bytes).map_err(|e| format!("the rows: {e}"))?);
        }
        let number = |text: &str| text.parse::<u32>().map_err(|e| format!("the rows: {text:?}: {e}"));
        let (mut set, mut next) = (RoaringBitmap::new(), Some(0));
        for part in text.split(',').filter(|_| !text.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if next.is_none_or(|next| first < next) || last < first {
                return Err("the rows are not sorted".into());
            }
            set.insert_range(first..=last);
            next = last.checked_add(1);
        }
        Ok(Self(set))
    }
}

/// Rows in any order; those in increasing order are fastest.
impl FromIterator<u32> for RowBitmap {
    fn from_iter<I: IntoIterator<Item = u32>>(rows: I) -> Self {
        let (mut set, mut rows) = (RoaringBitmap::new(), rows.into_iter());
        loop {
            let mut part: Rows = rows.by_ref().take(PART).collect();
            let Some(first) = part.first() else { break };
            let follows = set.max().is_none_or(|last| last < *first);
            if follows && part.is_sorted() {
                part.dedup();
                // The rows that it refuses are none: it would stop at the first that is not larger.
                let _ = set.append(part);
            } else {
                set.extend(part);
            }
        }
        set.optimize();
        Self(set)
    }
}

impl<'a> FromIterator<&'a u32> for RowBitmap {
    fn from_iter<I: IntoIterator<Item = &'a u32>>(rows: I) -> Self {
        rows.into_iter().copied().collect()
    }
}

impl From<Rows> for RowBitmap {
    fn from(rows: Rows) -> Self {
        rows.into_iter().collect()
    }
}

impl From<&[u32]> for RowBitmap {
    fn from(rows: &[u32]) -> Self {
        rows.iter().collect()
    }
}

impl PartialEq<[u32]> for RowBitmap {
    fn eq(&self, other: &[u32]) -> bool {
        self.len() == other.len() && self.0.iter().eq(other.iter().copied())
    }
}

impl<const N: usize> PartialEq<[u32; N]> for RowBitmap {
    fn eq(&self, other: &[u32; N]) -> bool {
        *self == other[..]
    }
}

impl PartialEq<Rows> for RowBitmap {
    fn eq(&self, other: &Rows) -> bool {
        *self == other[..]
    }
}

/// The ranges of rows: `0-41,43`.
impl fmt::Display for RowBitmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (first, last)) in self.ranges(usize::MAX).unwrap_or_default().into_iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for RowBitmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ranges(MOST_RANGES) {
            Some(_) => write!(f, "RowBitmap({self})"),
            None => write!(f, "RowBitmap({} rows)", self.len()),
        }
    }
}

impl Serialize for RowBitmap {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match (s.is_human_readable(), self.ranges(MOST_RANGES)) {
            (false, _) => s.serialize_bytes(&self.to_bytes()),
            (true, Some(_)) => s.collect_str(self),
            (true, None) => s.serialize_str(&format!("{BITMAP}{}", BASE64_STANDARD.encode(self.to_bytes()))),
        }
    }
}

impl<'de> Deserialize<'de> for RowBitmap {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = RowBitmap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a set of rows")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<RowBitmap, E> {
                RowBitmap::parse(text).map_err(E::custom)
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<RowBitmap, E> {
                RowBitmap::from_bytes(bytes).map_err(E::custom)
            }
            /// The form of before there were bitmaps.
            fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<RowBitmap, A::Error> {
                let mut set = RoaringBitmap::new();
                while let Some(row) = rows.next_element()? {
                    if set.max().is_some_and(|last| last >= row) {
                        return Err(de::Error::custom("the rows are not sorted"));
                    }
                    set.insert(row);
                }
                set.optimize();
                Ok(RowBitmap(set))
            }
        }
        match d.is_human_readable() {
            true => d.deserialize_any(Read),
            false => d.deserialize_bytes(Read),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn json(set: &RowBitmap) -> String {
        serde_json::to_string(set).unwrap()
    }

    #[test]
    fn few_ranges_are_read_by_people_and_many_are_short() {
        let set = RowBitmap::range(0..70_000).union(&RowBitmap::from(vec![70_001, 70_003]));
        assert_eq!(json(&set), r#""0-69999,70001,70003""#);
        assert_eq!(json(&RowBitmap::new()), r#""""#);
        let odd: RowBitmap = (0..1_000_000).filter(|row| row % 3 > 0).collect();
        let text = json(&odd);
        assert!(text.starts_with(r#""roaring:"#) && text.len() < 16 * 8192 * 4 / 3 + 500, "{}", text.len());
        assert_eq!(serde_json::from_str::<RowBitmap>(&text).unwrap(), odd);
    }

    #[test]
    fn sorted_lists_of_numbers_are_read() {
        let read = serde_json::from_str::<RowBitmap>;
        assert_eq!(read("[0, 5, 70000]").unwrap(), [0, 5, 70_000]);
        for bad in ["[3,2]", "[2,2]", r#""3,2""#, r#""3-2""#, r#""2,2""#, r#""0-4,4""#, r#""4294967295,0""#] {
            assert!(read(bad).unwrap_err().to_string().contains("not sorted"), "{bad}");
        }
        for bad in [
            r#""a""#,
            r#""1-""#,
            r#""1,""#,
            r#""4294967296""#,
            r#""roaring:""#,
            r#""roaring:AAA=""#,
            "7",
            "[-1]",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(read(r#""0-4294967295""#).unwrap().len(), 1 << 32);
    }

    #[test]
    fn a_wrong_bitmap_is_an_error_and_not_a_large_allocation() {
        let bytes = (0..200_000).step_by(3).collect::<RowBitmap>().to_bytes();
        for end in 0..bytes.len().min(200) {
            assert!(RowBitmap::from_bytes(&bytes[..end]).is_err(), "{end}");
        }
        assert!(RowBitmap::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
        for i in 0..64 {
            for value in [0, 1, 0x7f, 0xff] {
                let mut wrong = bytes.clone();
                wrong[i] = value;
                // Sorted, if it can be read at all.
                let read = RowBitmap::from_bytes(&wrong);
                assert!(read.is_err() || read.unwrap().iter().is_sorted_by(|a, b| a < b), "{i} {value}");
            }
        }
    }

    proptest! {
        /// Against the sets of the standard library.
        #[test]
        fn operations_are_those_of_sets(
            a in proptest::collection::vec(0u32..300, 0..200),
            b in proptest::collection::vec(prop_oneof![0u32..300, 65_500u32..65_600, Just(u32::MAX)], 0..100),
            rows in 0usize..70_000,
        ) {
            let of = |rows: &[u32]| rows.iter().copied().collect::<BTreeSet<u32>>();
            let (x, y, sx, sy) = (RowBitmap::from(&a[..]), RowBitmap::from(&b[..]), of(&a), of(&b));
            let list = |set: &BTreeSet<u32>| set.iter().copied().collect::<Rows>();
            prop_assert_eq!(x.to_vec(), list(&sx));
            prop_assert_eq!(x.union(&y).to_vec(), list(&(&sx | &sy)));
            prop_assert_eq!(x.intersection(&y).to_vec(), list(&(&sx & &sy)));
            prop_assert_eq!(x.difference(&y).to_vec(), list(&(&sx - &sy)));
            prop_assert_eq!(&RowBitmap::union_of([&x, &y, &x]), &y.union(&x));
            let unseen: Rows = (0..rows as u32).filter(|row| !sy.contains(row)).collect();
            prop_assert_eq!(y.complement_len(rows), unseen.len());
            prop_assert_eq!(y.complement(rows), unseen);
            prop_assert_eq!((y.len(), y.is_empty(), y.last()), (sy.len(), sy.is_empty(), sy.last().copied()));
            prop_assert!((0..310).all(|row| x.contains(row) == sx.contains(&row)));
            prop_assert!(x == list(&sx) && (x == y) == (sx == sy));
        }

        /// However the set came to be, the bytes are the same.
        #[test]
        fn sets_are_read_back_equal_and_equal_sets_give_equal_bytes(
            rows in proptest::collection::btree_set(prop_oneof![0u32..5_000, 60_000u32..140_000], 0..3_000),
            (from, to) in (0u32..100_000, 0u32..100_000),
        ) {
            let sorted = rows.iter().copied().collect::<RowBitmap>().union(&RowBitmap::range(from..to));
            let mut reversed = RowBitmap(rows.iter().rev().copied().collect());
            reversed = (from..to).collect::<RowBitmap>().union(&reversed);
            prop_assert_eq!(&sorted, &reversed);
            prop_assert_eq!(json(&sorted), json(&reversed));
            prop_assert_eq!(&serde_json::from_str::<RowBitmap>(&json(&sorted)).unwrap(), &sorted);
            prop_assert_eq!(RowBitmap::parse(&sorted.to_string()).unwrap(), sorted.clone());
            let bytes = codec::encode(&sorted).unwrap();
            prop_assert_eq!(&bytes, &codec::encode(&reversed).unwrap());
            prop_assert_eq!(codec::decode::<RowBitmap>(&bytes).unwrap(), sorted);
        }
    }
}
