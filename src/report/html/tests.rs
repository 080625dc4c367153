//! Pages, read back by an HTML parser.
use crate::{
    evaluate::{Cost, EnsembleReport, Failure, FittedOnRows, SingleReport, Spread, StudyReport},
    report::testing::{ensemble, interval, one_network, refused, study, summary, GAIN},
};
use html5ever::{parse_document, tendril::TendrilSink};
use markup5ever_rcdom::{Handle, NodeData, RcDom};
use std::collections::{BTreeMap, BTreeSet};

/// A page as elements in the order of the document.
struct Parsed {
    /// A node that is dropped takes its children with it.
    _document: Handle,
    elements: Vec<Element>,
}

struct Element {
    name: String,
    attributes: BTreeMap<String, String>,
    handle: Handle,
}

impl Element {
    fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    fn text(&self) -> String {
        text(&self.handle)
    }

    /// The elements below this one.
    fn all(&self, name: &str) -> Vec<Element> {
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
    fn of(page: &str) -> Self {
        let dom = parse_document(RcDom::default(), Default::default()).one(page);
        assert!(dom.errors.borrow().is_empty(), "{:?}", dom.errors.borrow());
        let mut elements = vec![];
        collect(&dom.document, &mut elements);
        Self { _document: dom.document, elements }
    }

    fn all(&self, name: &str) -> Vec<&Element> {
        self.elements.iter().filter(|e| e.name == name).collect()
    }

    fn class(&self, class: &str) -> &Element {
        self.elements.iter().find(|e| e.attribute("class") == class).unwrap()
    }

    /// The table whose caption has this identifier.
    fn table(&self, id: &str) -> &Element {
        let captioned = |t: &&&Element| t.all("span").iter().any(|span| span.attribute("id") == id);
        self.all("table").iter().find(captioned).unwrap()
    }
}

/// Makes the page, and checks what holds for every page.
fn page(report: &StudyReport, title: &str, settings: &[(String, String)]) -> Parsed {
    let page = report.html(title, "What the data is.", settings).unwrap();
    assert_eq!(page, report.clone().html(title, "What the data is.", settings).unwrap());
    assert!(page.starts_with("<!DOCTYPE html>"));
    let parsed = Parsed::of(&page);
    assert_eq!(parsed.all("html")[0].attribute("lang"), "en");
    assert!(parsed
        .all("meta")
        .iter()
        .any(|m| m.attribute("content") == "width=device-width, initial-scale=1"));
    assert_eq!(parsed.all("h1").len(), 1);
    loads_nothing(&page, &parsed);
    references_are_whole(&parsed);
    is_accessible(&parsed);
    tables_are_whole(&parsed);
    let rows =
        parsed.table("results-table").all("th").into_iter().filter(|th| th.attribute("scope") == "row");
    assert_eq!(rows.count(), 1 + report.ensembles.len());
    parsed
}

/// Nothing on the page makes a browser load anything or run a program.
fn loads_nothing(page: &str, parsed: &Parsed) {
    const HTML: [&str; 39] = [
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

/// The text of the verdict.
fn verdict(report: &StudyReport) -> String {
    page(report, "Title", &[]).class("verdict").text()
}

fn contains_all(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{text} does not say {part}");
    }
}

#[test]
fn a_page_shows_the_whole_study() {
    let weighted = EnsembleReport {
        weights: Some(vec![0.25, 0.75, -0.125]),
        fitted_on: Some(FittedOnRows { source: "out-of-bag".into(), rows: 190 }),
        ..ensemble("bagging:10", "stack-linear", &[0.91, 0.93, 0.91, 0.93], interval(-0.01, 0.05))
    };
    let report = study(vec![
        ensemble("bagging:10", "mean", &[0.92, 0.94, 0.92, 0.94], GAIN),
        weighted,
        refused("bagging:10", "average-weights"),
    ]);
    let settings = [("learning rate".to_string(), "0.001".to_string())];
    let page = page(&report, "Digits", &settings);
    assert_eq!(page.all("title")[0].text(), "Digits");
    let figures: Vec<String> = page.all("svg").iter().map(|svg| svg.text()).collect();
    assert_eq!(figures.len(), 7, "two costs, sizes, learning, two confusions, weights");
    contains_all(
        &figures.concat(),
        &["forward passes", "training epochs of all networks", "bagging:10, mean", "stack-linear"],
    );
    let headings: Vec<String> = page.all("h2").iter().map(|h| h.text()).collect();
    assert_eq!(headings.first().unwrap(), "Result");
    assert_eq!(headings.last().unwrap(), "How to read this page");
    contains_all(
        &headings.join("|"),
        &["All results", "Cost", "Number of members", "Learning curve", "Confusion"],
    );
    contains_all(&headings.join("|"), &["Weights", "Spread", "Members", "Settings"]);
    let results = page.table("results-table").text();
    contains_all(
        &results,
        &[
            "accuracy ↑",
            "nll ↓",
            "★ 0.9300 ± 0.0115",
            "+0.0300 (+0.0100 … +0.0500)",
            "−0.0100",
            "190 out-of-bag",
            "refused: loss barrier 0.31",
            "40 reserved",
            "bagging:10 (10 members)",
            "(one network)",
        ],
    );
    // The two rows share the best nll.
    assert_eq!(results.matches('★').count() - 1, 3, "one is in the caption");
    contains_all(
        &page.table("cost-table").text(),
        &["50 (10\u{a0}×)", "2.5 s (5\u{a0}×)", "10 ms", "4.0 MB (10\u{a0}×)"],
    );
    contains_all(&page.table("weights-table").text(), &["bagging:10 with stack-linear0.2500.750−0.125"]);
    contains_all(&page.table("members-table").text(), &["0.8800"]);
    let all = page.all("main")[0].text();
    contains_all(
        &all,
        &["learning rate", "0.001", "Out-of-bag", "Reserved", "Student's t interval", "Loss barrier"],
    );
    // One sentence for all merges that are refused in every training.
    contains_all(&all, &["Refused: the loss of the one network on the reserved rows is higher"]);
    assert!(!all.contains("no result in"));
    assert!(!all.contains("Out-of-fold") && !all.contains("Holm"));
}

#[test]
fn a_gain_is_claimed_only_where_the_interval_shows_it() {
    let best = |difference| ensemble("a", "mean", &[0.92, 0.94], difference);
    let other = || ensemble("a", "median", &[0.91, 0.92], interval(-0.01, 0.03));
    let one_row = verdict(&study(vec![best(GAIN)]));
    contains_all(
        &one_row,
        &[
            "a with mean has the best accuracy: 0.9300, against 0.9000 for a single network.",
            "The difference is +0.0300 (95\u{a0}% interval +0.0100 to +0.0500).",
            "so a gain was shown",
            "10\u{a0}× the epochs of one network",
            "10 forward passes",
        ],
    );
    let several = verdict(&study(vec![best(GAIN), other()]));
    contains_all(
        &several,
        &["this row on its own shows a gain", "not corrected for the choice of the best of 2 rows"],
    );
    let nothing = verdict(&study(vec![best(interval(-0.01, 0.07)), other()]));
    contains_all(&nothing, &["The interval contains 0, so no gain over a single network was shown."]);
    let worse = verdict(&study(vec![best(interval(-0.07, -0.01))]));
    contains_all(&worse, &["so even the best combination is worse"]);
    let unknown = verdict(&study(vec![EnsembleReport { difference: None, ..best(GAIN) }]));
    contains_all(&unknown, &["There is no interval"]);
    for text in [nothing, worse, unknown] {
        assert!(!text.contains("gain was shown.") || text.contains("no gain"), "{text}");
        assert!(!text.contains("cheapest"), "{text}");
    }
}

#[test]
fn after_holm_s_correction_only_what_survives_is_a_gain() {
    let with_p = |p_holm| EnsembleReport {
        p_value: Some(0.004),
        p_holm,
        ..ensemble("a", "mean", &[0.92, 0.94], GAIN)
    };
    let survives = study(vec![with_p(Some(0.012)), with_p(Some(1.))]);
    contains_all(
        &verdict(&survives),
        &["The gain is significant after Holm's correction for 2 rows (p = 0.012)."],
    );
    let page = page(&survives, "Title", &[]);
    contains_all(&page.table("results-table").text(), &["pp (Holm)", "0.0040.012"]);
    contains_all(&page.class("terms").text(), &["p (Holm)"]);
    let fails = verdict(&study(vec![with_p(Some(0.05))]));
    contains_all(
        &fails,
        &["the gain is not significant after Holm's correction for 1 row (p = 0.050)", "no gain over"],
    );
    assert!(verdict(&study(vec![with_p(Some(f64::NAN))])).contains("no gain over"));
}

#[test]
fn where_lower_is_better_a_fall_is_the_gain() {
    let of = |combine: &str, nll: &[f64], difference| EnsembleReport {
        metrics: [("nll".to_string(), summary(nll))].into(),
        ..ensemble("a", combine, &[0.9, 0.9], difference)
    };
    let report = StudyReport {
        metric: "nll".into(),
        higher_is_better: false,
        metrics: vec!["nll".into()],
        ..study(vec![
            of("high", &[0.5, 0.5], interval(0.05, 0.15)),
            of("low", &[0.3, 0.3], interval(-0.15, -0.05)),
        ])
    };
    contains_all(&verdict(&report), &["a with low has the best nll: 0.3000", "−0.1000", "shows a gain"]);
}

/// The interval by hand: n = 4, mean −0.0005, sd sqrt(5e-6 / 3), t(0.975, 3) = 3.182446.
#[test]
fn the_cheapest_row_that_is_not_significantly_worse_is_found() {
    let best = ensemble("a", "mean", &[0.940, 0.942, 0.941, 0.943], GAIN);
    let close = ensemble("b", "swa", &[0.938, 0.942, 0.940, 0.944], GAIN);
    let clearly_worse = ensemble("c", "swa", &[0.930, 0.932, 0.931, 0.933], GAIN);
    let cheap = |networks, e: EnsembleReport| EnsembleReport {
        cost: Cost { prediction_networks: networks, ..e.cost },
        ..e
    };
    let report = study(vec![best.clone(), cheap(3., close.clone()), cheap(1., clearly_worse.clone())]);
    contains_all(&verdict(&report), &[
        "The cheapest row that is not significantly worse than the best one is b with swa: 3 forward passes",
        "−0.0005 (95\u{a0}% interval −0.0026 to +0.0016)",
        "no proof that the two are equal",
    ]);
    assert!(!verdict(&study(vec![best.clone(), cheap(1., clearly_worse)])).contains("cheapest"));
    assert!(!verdict(&study(vec![best, close])).contains("cheapest"), "it costs as much");
}

/// The interval by hand: differences of the splits −0.01, 0.01 and −0.02, with the standard error
/// 0.0152753 sqrt(1/3 + 50/200) and t(0.975, 2) = 4.302653.
#[test]
fn over_splits_the_cheapest_row_is_judged_by_the_corrected_interval() {
    let over_splits = |combine: &str, accuracy: &[f64]| {
        let mut e = ensemble("a", combine, accuracy, GAIN);
        e.repeats.iter_mut().enumerate().for_each(|(i, r)| (r.split, r.repeat) = (i, 0));
        e
    };
    let best = over_splits("mean", &[0.94, 0.94, 0.96]);
    let cheap = one_network(over_splits("swa", &[0.93, 0.95, 0.94]));
    let report = StudyReport { splits: 3, repeats: 1, ..study(vec![best, cheap]) };
    contains_all(
        &verdict(&report),
        &["a with swa: 1 forward pass", "−0.0067 (95\u{a0}% interval −0.0569 to +0.0435)"],
    );
    let page = page(&report, "Title", &[]);
    contains_all(&page.class("terms").text(), &["Nadeau and Bengio 2003"]);
    contains_all(
        &page.class("facts").text(),
        &["200 in the first split", "1 of each strategy for each split"],
    );
}

#[test]
fn one_network_in_place_of_several_has_a_sentence_of_its_own() {
    let best = ensemble("a", "mean", &[0.94, 0.95], GAIN);
    let one = |difference| one_network(ensemble("a", "swa", &[0.91, 0.92], difference));
    let text = verdict(&study(vec![best.clone(), one(interval(-0.01, 0.04))]));
    contains_all(&text, &["a with swa is the best: 0.9150", "which shows no gain"]);
    let text = verdict(&study(vec![best.clone(), one(interval(-0.04, -0.01))]));
    contains_all(&text, &["which is worse than a single network"]);
    let text = verdict(&study(vec![best.clone(), refused("a", "average-weights")]));
    contains_all(&text, &["None of the rows that make one network of the members gave a result."]);
    let text = verdict(&study(vec![one_network(best.clone())]));
    contains_all(&text, &["The result is one network"]);
    assert!(!verdict(&study(vec![best])).contains("one network of the members"));
}

#[test]
fn names_are_text_and_never_markup() {
    let odd = "<b onload=\"x()\">&amp; 'q' \u{202e}Ж 中 🦀</b><script>";
    let mut report = study(vec![
        ensemble(odd, odd, &[0.92, 0.94], GAIN),
        ensemble("nul\u{0}", "bell\u{7}", &[0.91, 0.94], GAIN),
        EnsembleReport { failed: vec![Failure { barrier: None, why: odd.into() }; 2], ..refused(odd, "<i>") },
        EnsembleReport {
            failed: vec![Failure { barrier: None, why: odd.into() }],
            ..ensemble(odd, "partly", &[0.9], GAIN)
        },
    ]);
    report.ensembles[0].fitted_on = Some(FittedOnRows { source: odd.into(), rows: 1 });
    report.ensembles[0].weights = Some(vec![1.]);
    report.strategies[0].strategy = odd.into();
    report.metric = odd.into();
    report.metrics[0] = odd.into();
    for e in &mut report.ensembles {
        if let Some(of) = e.metrics.remove("accuracy") {
            e.metrics.insert(odd.into(), of);
        }
    }
    let settings = [(odd.to_string(), odd.to_string())];
    let html = report.html(odd, odd, &settings).unwrap();
    assert!(!html.contains("<b ") && !html.contains("<script") && !html.contains("<i>"));
    let page = page(&report, odd, &settings);
    assert_eq!(page.all("h1")[0].text(), odd);
    let results = page.table("results-table").text();
    contains_all(&results, &[odd, "<i>", "nul\u{fffd}", "bell\u{fffd}"]);
    contains_all(&page.all("main")[0].text(), &["no result in 1 of 1 training. Reason: <b"]);
}

#[test]
fn unusual_studies_have_pages() {
    let empty = StudyReport {
        metrics: vec![],
        repeats: 1,
        strategies: vec![],
        single: SingleReport {
            metrics: BTreeMap::new(),
            spread: Spread::default(),
            cost: Cost::default(),
            learning_curve: vec![],
            confusion: None,
            reliability: vec![],
            repeats: vec![],
        },
        ..study(vec![])
    };
    contains_all(&verdict(&empty), &["No combination gave a result"]);
    let all_refused = study(vec![refused("a", "swa"); 3]);
    contains_all(&verdict(&all_refused), &["No combination gave a result"]);
    let many = (0..60).map(|i| {
        let (strategy, combine) = (format!("strategy {}", i % 6), format!("combination {i}"));
        ensemble(&strategy, &combine, &[0.9 + f64::from(i) / 1000., 0.92], GAIN)
    });
    let page = page(&study(many.collect()), "Many", &[]);
    let groups =
        page.table("results-table").all("tr").into_iter().filter(|tr| tr.attribute("class") == "group");
    assert_eq!(groups.count(), 6);
    let one_training = StudyReport {
        repeats: 1,
        budget_epochs: Some(100),
        ..study(vec![EnsembleReport { size_curve: vec![], ..ensemble("a", "b", &[0.92], GAIN) }])
    };
    let text = self::page(&one_training, "Title", &[]).all("main")[0].text();
    contains_all(&text, &["bootstrap over the test rows", "100 epochs for each strategy in all"]);
}
