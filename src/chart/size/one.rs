//! All lines in one panel.
use super::{
    singles::{counted, draw_dots, symbol},
    size_ticks, sizes, Line, SizeChart, SIZE_AXIS,
};
use crate::chart::{
    frame::{Frame, BELOW},
    legend::{Entry, Legend},
    picture::{Drawn, Picture},
    scale::Scale,
    style::{color, dashes, mark, BAND_OPACITY, EDGE, MARK, WIDTH},
};

pub(super) fn draw(chart: &SizeChart) -> Drawn<Picture> {
    let (values, largest) = (chart.values()?, chart.largest());
    let marked = 750.0 / largest as f64 >= 12.0;
    let legend = legend(chart, marked)?;
    let (top, bottom) = (legend.bottom, legend.bottom + 400.0);
    let margin = if chart.singles.is_empty() { 0.02 } else { 0.06 };
    let across = (EDGE, WIDTH - EDGE);
    let scale = sizes(largest, margin, 0.02);
    let mut frame = Frame::new(across, (top, bottom), scale, Scale::Linear(values))?;
    frame.x_ticks = size_ticks(largest, 20);

    let mut picture = Picture::new(WIDTH, bottom + BELOW);
    picture.title(&chart.title)?;
    legend.draw(&mut picture);
    frame.draw(&mut picture);
    frame.name_axes(&mut picture, SIZE_AXIS, &chart.metric)?;
    draw_dots(&mut picture, &frame, frame.x_at(1.0) - 27.0, values, &chart.singles);
    let at = |size: usize, value: f64| frame.at(size as f64, value);
    for (i, line) in chart.lines.iter().enumerate() {
        line.draw_band(&mut picture, &at, color(i));
    }
    // The first line is drawn last, on top.
    for (i, line) in chart.lines.iter().enumerate().rev() {
        picture.dashed(line.path(|p| at(p.size, p.mean)), dashes(i), 2.0, color(i));
        if marked {
            line.draw_marks(&mut picture, &at, mark(i), color(i));
        }
    }
    Ok(picture)
}

fn legend(chart: &SizeChart, marked: bool) -> Drawn<Legend<'_>> {
    let of_line = |(i, line): (usize, &Line)| {
        let banded = line.banded();
        Entry::new(&line.name, move |picture, (x, y)| {
            if banded {
                picture.rectangle((x - 13.0, y - 5.5), (x + 13.0, y + 5.5), color(i), BAND_OPACITY);
            }
            picture.dashed(vec![(x - 13.0, y), (x + 13.0, y)], dashes(i), 2.0, color(i));
            if marked {
                picture.mark(mark(i), (x, y), MARK, color(i), 1.0);
            }
        })
    };
    let mut entries: Vec<Entry<'_>> = chart.lines.iter().enumerate().map(of_line).collect();
    if !chart.singles.is_empty() {
        entries.push(Entry::new(counted("single networks", &chart.singles, chart.values()?), symbol));
    }
    Legend::new(entries)
}
