//! What the tests of all charts check.
use crate::{chart::Chart, Error};
use std::fs;

/// The chart's SVG text, after checks that every chart passes: it is well-formed and the same each time, and
/// there is a PNG file too.
pub(crate) fn inspect(chart: &dyn BoxedChart) -> String {
    let svg = chart.text();
    assert_eq!(svg, chart.text(), "the same bytes");
    check_xml(&svg);
    assert!(svg.starts_with("<svg width=\"900\" height=\"") && svg.trim_end().ends_with("</svg>"));
    assert!(svg.contains("viewBox=\"0 0 3600 ") && svg.contains("class=\"background\""));
    assert!(!svg.contains("NaN") && !svg.contains("inf\"") && !svg.contains('\u{0}'));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chart.PNG");
    chart.write(&path);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no temporary file is left");
    let png = fs::read(path).unwrap();
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    assert_eq!(png[16..20], 1800u32.to_be_bytes());
    assert_eq!(png[20..24], (2 * height(&svg)).to_be_bytes());
    assert_eq!(&png[png.len() - 8..png.len() - 4], b"IEND");
    assert!(png.len() > 4000, "{} bytes: an empty picture", png.len());
    svg
}

/// [`Chart::save`] needs a sized type.
pub(crate) trait BoxedChart {
    fn text(&self) -> String;
    fn write(&self, path: &std::path::Path);
}

impl<C: Chart> BoxedChart for C {
    fn text(&self) -> String {
        self.svg().unwrap()
    }

    fn write(&self, path: &std::path::Path) {
        self.save(path).unwrap();
    }
}

pub(crate) fn height(svg: &str) -> u32 {
    svg.split("height=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
}

/// The number of elements that contain all of `parts`.
pub(crate) fn count(svg: &str, parts: &[&str]) -> usize {
    svg.lines().filter(|l| parts.iter().all(|p| l.contains(p))).count()
}

/// The texts, in order, as they are written in the SVG.
pub(crate) fn texts(svg: &str) -> Vec<&str> {
    let texts = svg.split("<text ").skip(1);
    texts.map(|t| t.split_once(">\n").unwrap().1.split_once("\n</text>").unwrap().0).collect()
}

/// The fault that the check names. Nothing is written.
pub(crate) fn fault(chart: &impl Chart) -> String {
    let folder = tempfile::tempdir().unwrap();
    let e = chart.save(folder.path().join("chart.svg")).unwrap_err();
    assert!(matches!(e, Error::Invalid { .. }), "{e}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    assert_eq!(chart.check().unwrap_err().to_string(), e.to_string());
    assert_eq!(chart.svg().unwrap_err().to_string(), e.to_string());
    e.to_string()
}

/// Checks that a text is well-formed XML, as far as these files use it: tags are closed in order, attributes
/// are quoted and their names differ, and characters that have a meaning are escaped.
fn check_xml(text: &str) {
    let mut open = vec![];
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        check_text(&rest[..start]);
        let tag = &rest[start + 1..];
        let end = tag.find('>').expect("a tag ends");
        let (tag, after) = (&tag[..end], &tag[end + 1..]);
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
            continue;
        }
        let (tag, closed) = tag.strip_suffix('/').map_or((tag, false), |t| (t, true));
        let (name, mut attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        assert!(!name.is_empty() && name.chars().all(|c| c.is_ascii_alphabetic()), "{tag}");
        let mut names = vec![];
        while !attributes.trim().is_empty() {
            let (key, value) = attributes.trim().split_once("=\"").expect("attributes are quoted");
            let (value, after) = value.split_once('"').expect("quotes are closed");
            assert!(!names.contains(&key), "{key} twice in {tag}");
            names.push(key);
            check_text(value);
            attributes = after;
        }
        if !closed {
            open.push(name);
        }
    }
    check_text(rest);
    assert!(open.is_empty() && rest.trim().is_empty());
}

fn check_text(text: &str) {
    assert!(!text.contains(['>', '\u{FFFE}', '\u{FFFF}']));
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
    for part in text.split('&').skip(1) {
        let entity = part.split_once(';').expect("an entity ends").0;
        assert!(["lt", "gt", "amp", "quot", "apos"].contains(&entity), "{entity}");
    }
}

#[test]
#[should_panic(expected = "left")]
fn the_check_finds_tags_that_are_not_closed() {
    check_xml("<svg a=\"1\"><g></svg>");
}

#[test]
#[should_panic(expected = "an entity ends")]
fn the_check_finds_what_is_not_escaped() {
    check_xml("<svg><text>a & b</text></svg>");
}
