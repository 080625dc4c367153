//! The parts that pages are made of: sections, tables and figures.
use super::style::STYLE;
use crate::{chart::Chart, Result};
use maud::{html, Markup, PreEscaped, DOCTYPE};

/// A section of a page: a heading and what stands below it.
pub(crate) struct Part {
    /// The identifier of the heading, unique on the page, of letters, digits and hyphens.
    pub(crate) id: String,
    /// The text of the heading.
    pub(crate) heading: String,
    /// What stands below it, without headings.
    pub(crate) body: Markup,
    /// The sections within this one.
    pub(crate) parts: Vec<Part>,
}

impl Part {
    /// A section without sections of its own. `place` is unique to the study on the page, `name` within the study.
    pub(crate) fn new(place: &str, name: &str, heading: impl Into<String>, body: Markup) -> Self {
        Self { id: format!("{place}{name}"), heading: heading.into(), body, parts: vec![] }
    }
}

/// A whole page, which refers to nothing outside itself.
pub(crate) fn page(title: &str, lead: &str, parts: &[Part]) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // The browser itself sees to it that nothing is loaded.
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:";
                meta name="color-scheme" content="light dark";
                meta name="generator" content=(concat!("candle-ensemble ", env!("CARGO_PKG_VERSION")));
                // Without this, browsers ask the server for an icon.
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (title) }
                    @if !lead.is_empty() { p.lead { (lead) } }
                    (contents("Contents", parts))
                }
                main { @for part in parts { (section(part)) } }
                footer { p { "Made with candle-ensemble " (env!("CARGO_PKG_VERSION")) "." } }
            }
        }
    };
    // Other control characters are not allowed in HTML, whatever name they come from.
    let allowed = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    page.into_string().chars().map(|c| if allowed(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

/// Links to the sections.
fn contents(name: &str, parts: &[Part]) -> Markup {
    html! {
        nav aria-label=(name) {
            ul { @for part in parts { li { a href={ "#" (part.id) } { (part.heading) } } } }
        }
    }
}

fn section(part: &Part) -> Markup {
    html! {
        section aria-labelledby=(part.id) {
            h2 id=(part.id) { (part.heading) }
            (part.body)
            @if !part.parts.is_empty() { (contents(&part.heading, &part.parts)) }
            @for inner in &part.parts {
                section aria-labelledby=(inner.id) {
                    h3 id=(inner.id) { (inner.heading) }
                    (inner.body)
                }
            }
        }
    }
}

/// A table whose first column names the rows, and whose rows may be grouped.
pub(crate) struct Table {
    /// The identifier of the caption, unique on the page.
    pub(crate) id: String,
    pub(crate) caption: String,
    /// The heading of the first column, and then those of the other ones.
    pub(crate) columns: Vec<Column>,
    pub(crate) groups: Vec<Group>,
}

/// A column of a table.
pub(crate) struct Column {
    pub(crate) heading: String,
    /// Whether the column has numbers, which are set to the right.
    pub(crate) number: bool,
}

impl Column {
    pub(crate) fn text(heading: impl Into<String>) -> Self {
        Self { heading: heading.into(), number: false }
    }

    pub(crate) fn number(heading: impl Into<String>) -> Self {
        Self { heading: heading.into(), number: true }
    }
}

/// Rows of a table, with a heading above them.
pub(crate) struct Group {
    pub(crate) heading: Option<Markup>,
    pub(crate) rows: Vec<Row>,
}

/// A row of a table.
pub(crate) struct Row {
    pub(crate) name: Markup,
    pub(crate) cells: Vec<Cell>,
}

/// One or more cells of a row.
pub(crate) enum Cell {
    /// The content of one cell.
    One(Markup),
    /// Text over this number of columns.
    Over(usize, Markup),
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::One(html! { (text) })
    }
}

impl Table {
    /// The table in a box of its own that scrolls sideways, also with the keyboard.
    pub(crate) fn markup(&self) -> Markup {
        let class = |number: bool| if number { "number" } else { "text" };
        html! {
            div.scroll role="region" aria-labelledby=(self.id) tabindex="0" {
                table {
                    caption { span id=(self.id) { (self.caption) } }
                    thead {
                        tr {
                            @for column in &self.columns {
                                th.(class(column.number)) scope="col" { (column.heading) }
                            }
                        }
                    }
                    @for group in &self.groups {
                        tbody {
                            @if let Some(heading) = &group.heading {
                                tr.group {
                                    th scope="rowgroup" colspan=(self.columns.len()) { span { (heading) } }
                                }
                            }
                            @for row in &group.rows { (self.row(row)) }
                        }
                    }
                }
            }
        }
    }

    fn row(&self, row: &Row) -> Markup {
        let mut column = 1;
        html! {
            tr {
                th scope="row" { (row.name) }
                @for cell in &row.cells {
                    @match cell {
                        Cell::One(content) => {
                            @let number = self.columns.get(column).is_some_and(|column| column.number);
                            td.(if number { "number" } else { "text" }) { (content) }
                            ({ column += 1; "" })
                        }
                        Cell::Over(columns, content) => {
                            td.text.refused colspan=(columns) { (content) }
                            ({ column += columns; "" })
                        }
                    }
                }
            }
        }
    }
}

/// A chart with a caption. `svg` is a whole SVG element, which says in words what it shows.
fn figure(svg: &str, caption: &Markup) -> Markup {
    html! {
        figure {
            div.scroll tabindex="0" role="group" aria-label="Chart" { (PreEscaped(svg)) }
            figcaption { (caption) }
        }
    }
}

/// A figure for each chart.
pub(crate) fn figures<'c, C: Chart + 'c>(
    charts: impl IntoIterator<Item = &'c C>,
    caption: &Markup,
) -> Result<Markup> {
    let all =
        charts.into_iter().map(|chart| Ok(figure(&chart.svg()?, caption))).collect::<Result<Vec<_>>>()?;
    Ok(html! { @for one in all { (one) } })
}

/// Terms and what is to be said of them. `class` is `facts` for short ones and `terms` for whole sentences.
pub(crate) fn list(class: &str, entries: impl IntoIterator<Item = (String, String)>) -> Markup {
    html! {
        dl.(class) { @for (term, text) in entries { dt { (term) } dd { (text) } } }
    }
}

/// Text that only screen readers read.
pub(crate) fn hidden(text: &str) -> Markup {
    html! { span.hidden { (text) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_within_sections_have_headings_of_the_third_level_and_links() {
        let inner = |place: &str| vec![Part::new(place, "a", "A & B", html! { p { "text" } })];
        let outer = |place: &str| Part { parts: inner(place), ..Part::new(place, "study", place, html! {}) };
        let page = page("Two studies", "", &[outer("one-"), outer("two-")]);
        for place in ["one-", "two-"] {
            assert!(page.contains(&format!("<h2 id=\"{place}study\">{place}</h2>")));
            assert!(page.contains(&format!("<h3 id=\"{place}a\">A &amp; B</h3>")));
            for link in ["study", "a"] {
                assert_eq!(page.matches(&format!("href=\"#{place}{link}\"")).count(), 1);
            }
        }
        assert_eq!(page.matches("<h1>").count(), 1);
        assert!(!page.contains("class=\"lead\""));
    }
}
