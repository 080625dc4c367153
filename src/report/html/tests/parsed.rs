//! A page, read back by an HTML parser, and what holds for every page.
use html5ever::{parse_document, tendril::TendrilSink};
use markup5ever_rcdom::{Handle, NodeData, RcDom};
use std::collections::{BTreeMap, BTreeSet};

/// A page as elements in the order of the document.
pub(crate) struct Parsed {
    /// A node that is dropped takes its children with it.
    _document: Handle,
    pub(crate) elements: Vec<Element>,
}

pub(crate) struct Element {
    pub(crate) name: String,
    attributes: BTreeMap<String, String>,
    handle: Handle,
}

impl Element {
    pub(crate) fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    pub(crate) fn text(&self) -> String {
        text(&self.handle)
    }

    /// The elements below this one.
    pub(crate) fn all(&self, name: &str) -> Vec<Element> {
        let mut elements = vec![];
        self.handle.children.borrow().iter().for_each(|child| collect(child, &mut elements));
        elements.retain(|e| e.name == name);
        elements
    }
}

fn collect(node: &Handle, elements: &mut Vec<Element>) {
    if let NodeData::Element { name, attrs, .. } = &node.data {
        let attributes =
            attrs.borrow().iter().map(|a| (a.name.local.to_string(), a.value.to_string())).collect();
        elements.push(Element { name: name.local.to_string(), attributes, handle: node.clone() });
    }
    node.children.borrow().iter().for_each(|child| collect(child, elements));
}

fn text(node: &Handle) -> String {
    match &node.data {
        NodeData::Text { contents } => contents.borrow().to_string(),
        _ => node.children.borrow().iter().map(text).collect(),
    }
}

impl Parsed {
    /// Reads a page, and checks what holds for every page.
    pub(crate) fn checked(page: &str) -> Self {
        assert!(page.starts_with("<!DOCTYPE html>"));
        let parsed = Self::of(page);
        assert_eq!(parsed.all("html")[0].attribute("lang"), "en");
        assert!(parsed
            .all("meta")
            .iter()
            .any(|m| m.attribute("content") == "width=device-width, initial-scale=1"));
        assert_eq!(parsed.all("h1").len(), 1);
        loads_nothing(page, &parsed);
        references_are_whole(&parsed);
        is_accessible(&parsed);
        tables_are_whole(&parsed);
        parsed
    }

    pub(crate) fn of(page: &str) -> Self {
        let dom = parse_document(RcDom::default(), Default::default()).one(page);
        assert!(dom.errors.borrow().is_empty(), "{:?}", dom.errors.borrow());
        let mut elements = vec![];
        collect(&dom.document, &mut elements);
        Self { _document: dom.document, elements }
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&Element> {
        self.elements.iter().filter(|e| e.name == name).collect()
    }

    pub(crate) fn class(&self, class: &str) -> &Element {
        self.elements.iter().find(|e| e.attribute("class") == class).unwrap()
    }

    /// The table whose caption has this identifier.
    pub(crate) fn table(&self, id: &str) -> &Element {
        let captioned = |t: &&&Element| t.all("span").iter().any(|span| span.attribute("id") == id);
        self.all("table").iter().find(captioned).unwrap()
    }
}

/// Nothing on the page makes a browser load anything or run a program.
fn loads_nothing(page: &str, parsed: &Parsed) {
    const HTML: [&str; 41] = [
        "html",
        "head",
        "meta",
        "link",
        "title",
        "style",
        "body",
        "header",
        "h1",
        "h2",
        "h3",
        "p",
        "nav",
        "ul",
        "li",
        "a",
        "main",
        "section",
        "footer",
        "div",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "span",
        "small",
        "strong",
        "dl",
        "dt",
        "dd",
        "figure",
        "figcaption",
        "svg",
        "g",
        "text",
        "tspan",
        "pre",
        "code",
    ];
    const SHAPES: [&str; 12] = [
        "path",
        "rect",
        "circle",
        "ellipse",
        "line",
        "polyline",
        "polygon",
        "desc",
        "defs",
        "clipPath",
        "linearGradient",
        "stop",
    ];
    for e in &parsed.elements {
        assert!(HTML.contains(&&*e.name) || SHAPES.contains(&&*e.name), "<{}>", e.name);
        for (name, value) in &e.attributes {
            assert!(!name.starts_with("on"), "{name}");
            // The name of a namespace looks like an address, but nobody follows it.
            if name.starts_with("xmlns") || name == "xlink" {
                continue;
            }
            assert!(!value.contains("http:") && !value.contains("https:"), "{name}={value}");
            assert!(!value.contains("//") && !value.contains("url("), "{name}={value}");
            if ["href", "src", "srcset", "data", "action", "poster"].contains(&&**name) {
                assert!(value.starts_with('#') || value == "data:,", "{name}={value}");
            }
        }
    }
    let style = parsed.all("style")[0].text();
    assert!(!style.contains("url(") && !style.contains("@import") && !style.contains("//"));
    assert!(page.contains("default-src 'none'"));
}

/// Identifiers are unique, and what refers to one finds it.
fn references_are_whole(parsed: &Parsed) {
    let mut ids = BTreeSet::new();
    for e in &parsed.elements {
        if let Some(id) = e.attributes.get("id") {
            assert!(!id.is_empty() && !id.contains(char::is_whitespace), "{id:?}");
            assert!(ids.insert(id.clone()), "{id} is there twice");
        }
    }
    for e in &parsed.elements {
        let by = e.attributes.get("aria-labelledby").cloned();
        let link = e.attributes.get("href").and_then(|to| to.strip_prefix('#')).map(String::from);
        for id in by.into_iter().chain(link) {
            assert!(ids.contains(&id), "no {id}");
        }
    }
    let sections = parsed.all("h2").len();
    assert_eq!(parsed.all("nav")[0].all("a").len(), sections);
}

/// Headings skip no level; charts, tables and boxes that scroll have names.
fn is_accessible(parsed: &Parsed) {
    let mut level = 0;
    for e in &parsed.elements {
        if let Some(next) = e.name.strip_prefix('h').and_then(|n| n.parse::<usize>().ok()) {
            assert!(next <= level + 1, "h{next} after h{level}");
            level = next;
            assert!(!e.text().trim().is_empty());
        }
        let named = !e.attribute("aria-label").is_empty() || !e.attribute("aria-labelledby").is_empty();
        match &*e.name {
            "svg" => assert!(named && e.attribute("role") == "img" && !e.attribute("viewBox").is_empty()),
            "table" => assert_eq!(e.all("caption").len(), 1),
            "th" => assert!(["col", "row", "rowgroup"].contains(&e.attribute("scope"))),
            "div" if e.attribute("class") == "scroll" => assert!(named && e.attribute("tabindex") == "0"),
            _ => {}
        }
    }
    assert!(parsed.all("figure").iter().all(|f| f.all("svg").len() == 1 && f.all("figcaption").len() == 1));
}

/// Every row of a table has all columns.
fn tables_are_whole(parsed: &Parsed) {
    for table in parsed.all("table") {
        let columns = table.all("thead")[0].all("th").len();
        for row in table.all("tr") {
            let cells = row.all("th").into_iter().chain(row.all("td"));
            let wide = cells.map(|cell| cell.attribute("colspan").parse().unwrap_or(1_usize));
            assert_eq!(wide.sum::<usize>(), columns, "{}", row.text());
        }
    }
}

pub(crate) fn contains_all(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{text} does not say {part}");
    }
}
