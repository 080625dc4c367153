use super::{
    singles::{DOT, DOT_OPACITY},
    *,
};
use crate::chart::{
    picture::FINENESS,
    testing::{count, fault, height, inspect, texts},
};
use std::fs;

fn line(name: &str, means: impl IntoIterator<Item = f64>, half: f64) -> Line {
    let points =
        (1..).zip(means).map(|(size, mean)| Point { size, mean, low: mean - half, high: mean + half });
    Line { name: name.into(), points: points.collect() }
}

fn chart(lines: Vec<Line>) -> SizeChart {
    let singles = vec![0.90, 0.91, 0.905, 0.905, 0.905];
    SizeChart { title: "Title".into(), metric: "accuracy (higher is better)".into(), singles, lines }
}

fn many(number: usize) -> SizeChart {
    chart(
        (0..number).map(|i| line(&format!("line {i}"), [0.9, 0.91, 0.9 + 0.001 * i as f64], 0.01)).collect(),
    )
}

/// The number of polylines of a width that have more points than those of the legend.
fn polylines(svg: &str, width: u32) -> usize {
    let wide = format!(r#"stroke-width="{}""#, width * FINENESS);
    let points = |l: &&str| l.matches(',').count() > 2;
    svg.lines().filter(|l| l.starts_with("<polyline") && l.contains(&wide)).filter(points).count()
}

#[test]
fn one_panel_has_the_names_escaped_a_polyline_and_a_band_a_line_and_a_dot_a_network() {
    let c = SizeChart {
        title: "M > 1 & \"more\"".into(),
        ..chart(vec![line("bagging <b>&amp;", [0.90, 0.92, 0.93], 0.01)])
    };
    let svg = inspect(&c);
    assert!(svg.contains("bagging &lt;b&gt;&amp;amp;\n"));
    assert!(svg.contains("M &gt; 1 &amp; &quot;more&quot;\n") && !svg.contains("<b>"));
    assert!(svg.contains("aria-label=\"M &gt; 1 &amp; &quot;more&quot;\""));
    assert!(svg.contains("accuracy (higher is better)") && svg.contains("font-family=\"sans-serif\""));
    assert_eq!(polylines(&svg, 2), 1);
    let dots = format!("r=\"{}\" opacity=\"{DOT_OPACITY}\"", (DOT * 4.0).round());
    assert_eq!(count(&svg, &["<circle", &dots]), 5 + 3);
    let band = format!("opacity=\"{BAND_OPACITY}\"");
    assert_eq!((count(&svg, &["<polygon", &band]), count(&svg, &["<rect", &band])), (1, 1));
}

#[test]
fn up_to_two_lines_share_a_panel_and_differ_in_marker_and_dashes() {
    let svg = inspect(&many(2));
    let band = format!("opacity=\"{BAND_OPACITY}\"");
    assert_eq!(count(&svg, &["<polygon", &band]), 2);
    assert_eq!(polylines(&svg, 2), 1, "the other is in dashes");
    let bare = inspect(&chart((0..3).map(|i| line(&format!("{i}"), [0.9, 0.91, 0.92], 0.0)).collect()));
    assert!(!bare.contains("the other lines"), "three without bands share one too");
    assert_eq!(count(&bare, &["<polygon", "#009E73"]), 3 + 1, "markers of the third");
    assert_eq!(height(&svg), 543);
}

#[test]
fn more_lines_get_a_panel_each_with_the_others_behind() {
    for number in [3, 4, 6, 40] {
        let svg = inspect(&many(number));
        assert_eq!(polylines(&svg, 2), number);
        // The others, and the corner of each panel; the legend has one pale line.
        let pale = count(&svg, &["<polyline", "#CDCDCD"]);
        assert_eq!(pale, number * (number - 1) + 1);
        let texts = texts(&svg);
        for i in 0..number {
            assert_eq!(texts.iter().filter(|t| **t == format!("line {i}")).count(), 1);
        }
        // Sizes are written below the lowest panel of each column.
        let columns = [3, 2, 3, 4][[3, 4, 6, 40].iter().position(|n| *n == number).unwrap()];
        assert_eq!(texts.iter().filter(|t| **t == "3").count(), columns);
        assert!(svg.contains("single networks, mean ± sd\n"));
        let band = format!("opacity=\"{BAND_OPACITY}\"");
        assert_eq!(count(&svg, &["<polygon", &band]), number);
        assert_eq!(count(&svg, &["<rect", &band]), number + 2, "bands of singles, and two in the legend");
    }
}

/// The sizes of lines may differ: at each size the range is that of the lines that have it.
#[test]
fn more_than_forty_lines_have_their_range_behind() {
    let mut c = many(41);
    c.lines[7].points.pop();
    let svg = inspect(&c);
    assert_eq!(count(&svg, &["<polyline", "#CDCDCD"]), 0);
    assert_eq!(count(&svg, &["<polygon", "#CDCDCD"]), 41);
    assert!(svg.contains("the range of all lines"));
    let at = |size: usize, value: f64| (size as f64, value);
    let lines = vec![line("a", [1.0, 2.0, 9.0], 0.0), line("b", [3.0, 1.0], 0.0)];
    let range = panels::range(&chart(lines), &at);
    assert_eq!(range, [(1.0, 3.0), (2.0, 2.0), (3.0, 9.0), (3.0, 9.0), (2.0, 1.0), (1.0, 1.0)]);
}

#[test]
fn an_existing_file_is_replaced_and_a_failure_leaves_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chart.svg");
    fs::write(&path, "old").unwrap();
    let mut c = chart(vec![line("a", [f64::NAN], 0.0)]);
    c.save(&path).unwrap_err();
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    c.lines = vec![line("a", [0.9], 0.0)];
    c.save(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), c.svg().unwrap());
}

#[cfg(unix)]
#[test]
fn a_chart_has_the_permissions_of_any_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (path, plain) = (folder.path().join("chart.svg"), folder.path().join("plain"));
    chart(vec![line("a", [0.9], 0.0)]).save(&path).unwrap();
    fs::write(&plain, "").unwrap();
    let mode = |p| fs::metadata(p).unwrap().permissions().mode();
    assert_eq!(mode(&path), mode(&plain));
}

#[test]
fn invalid_charts_are_errors_that_name_the_fault() {
    let good = chart(vec![line("a", [0.9, 0.91], 0.01)]);
    assert_eq!(fault(&chart(vec![])), "the number of lines of the chart must be 1 to 200, but is 0");
    assert!(fault(&many(201)).ends_with("must be 1 to 200, but is 201"));
    assert!(fault(&chart(vec![line("b", [], 0.0)])).contains("points of line \"b\" must be at least 1"));
    let with = |change: fn(&mut SizeChart)| {
        let mut c = good.clone();
        change(&mut c);
        fault(&c)
    };
    assert!(with(|c| c.lines[0].points[1].mean = f64::NAN).contains("mean of line \"a\" at size 2"));
    assert!(with(|c| c.lines[0].points[0].high = f64::INFINITY).contains("high of line"));
    assert!(with(|c| c.lines[0].points[0].low = -1e301).contains("low of line"));
    assert!(with(|c| c.lines[0].points[0].low = 1.0).contains("at most high"));
    assert!(with(|c| c.lines[0].points[0].size = 0).contains("at least 1"));
    assert!(with(|c| c.lines[0].points[1].size = 1).contains("at least 2 here"));
    assert!(with(|c| c.singles.push(f64::NAN)).contains("single network"));
}

#[test]
fn a_file_name_without_a_known_extension_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let good = chart(vec![line("a", [0.9], 0.0)]);
    for name in ["chart.gif", "chart"] {
        let e = good.save(folder.path().join(name)).unwrap_err().to_string();
        assert!(e.starts_with("the chart's file name must be one that ends in .svg or .png"), "{e}");
        assert!(e.ends_with(name));
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn a_file_that_cannot_be_written_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("no such folder").join("chart.png");
    fs::create_dir(folder.path().join("taken.svg")).unwrap();
    let c = chart(vec![line("a", [0.9], 0.0)]);
    for path in [missing, folder.path().join("taken.svg")] {
        match c.save(&path).unwrap_err() {
            Error::Io { path: named, .. } => assert_eq!(named, path),
            e => panic!("{e}"),
        }
    }
}

#[test]
fn unusual_charts_are_drawn() {
    let flat = chart(vec![line("flat", [0.9; 5], 0.0)]);
    let one = chart(vec![line("one", [0.9], 0.01)]);
    let mut late = one.clone();
    late.lines[0].points[0].size = 7;
    let mut vast = one.clone();
    vast.lines[0].points[0].size = usize::MAX;
    let long = chart(vec![line("long", (0..1000).map(|i| 0.9 + 0.01 * f64::from(i % 7)), 0.02)]);
    let mut names = chart(vec![line(&"name ".repeat(5000), [0.9, 0.91], 0.01), line("", [0.9], 0.0)]);
    names.title = "t".repeat(100_000);
    names.metric = "\u{0}中文\n".repeat(400);
    let far = SizeChart { singles: vec![1e300, -1e300, 0.9, 0.9, 0.9], ..one.clone() };
    let mut far_panels = many(4);
    far_panels.singles = far.singles.clone();
    let crowd = SizeChart { singles: vec![0.9; 5000], ..flat.clone() };
    let huge = chart(vec![line("huge", [1e300, -1e300, 5e-324], 0.0)]);
    let zero = SizeChart { singles: vec![], ..chart(vec![line("zero", [0.0, -0.0], 0.0)]) };
    let mut tiny_panels = chart(vec![line("tiny", [1e-9], 0.0); 5]);
    tiny_panels.singles = vec![];
    for c in [flat, one, late, vast, long, names, far, far_panels, crowd, huge, zero, tiny_panels] {
        inspect(&c);
    }
}

#[test]
fn singles_off_the_scale_are_counted() {
    let c =
        SizeChart { singles: vec![0.9, 0.89, 0.9, 0.9, 0.1], ..chart(vec![line("a", [0.9, 0.92], 0.01)]) };
    assert!(c.svg().unwrap().contains("single networks (1 off the scale)"));
    let panels = SizeChart { singles: c.singles.clone(), ..many(4) };
    assert!(panels.svg().unwrap().contains("single networks, mean ± sd (1 off the scale)"));
    assert!(!chart(c.lines).svg().unwrap().contains("off the scale"));
}
