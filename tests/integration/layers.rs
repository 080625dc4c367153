//! Modules import from the floors below them, and never up or in a circle. The floors are those of ARCHITECTURE.md.
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Position of each top-level module in the order of ARCHITECTURE.md, from the lowest floor up and from left to right.
fn order(architecture: &str) -> BTreeMap<String, usize> {
    let rows = architecture.lines().filter(|line| {
        let first = line.trim_start_matches("| ").split(' ').next().unwrap_or_default();
        line.starts_with("| ") && first.parse::<usize>().is_ok()
    });
    let modules = rows.flat_map(|row| {
        let cell = row.split('|').nth(2).unwrap_or_default();
        cell.split('`').skip(1).step_by(2).map(str::to_string).collect::<Vec<_>>()
    });
    modules.enumerate().map(|(position, module)| (module, position)).collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut all = vec![];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(sources(&path)),
            false if path.extension().is_some_and(|e| e == "rs") => all.push(path),
            false => {}
        }
    }
    all.sort();
    all
}

/// The code without comments, and without what stands in quotation marks.
fn code(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(c) = rest.chars().next() {
        let end =
            |from: usize, what: &str| rest[from..].find(what).map_or(rest.len(), |at| from + at + what.len());
        let raw = |hashes: &str| rest.starts_with(&format!("r{hashes}\""));
        let skip = if rest.starts_with("//") {
            end(0, "\n")
        } else if rest.starts_with("/*") {
            end(2, "*/")
        } else if raw("") {
            end(2, "\"")
        } else if raw("#") {
            end(3, "\"#")
        } else if c == '"' {
            let mut at = 1;
            let bytes = rest.as_bytes();
            while at < bytes.len() && bytes[at] != b'"' {
                at += if bytes[at] == b'\\' { 2 } else { 1 };
            }
            (at + 1).min(rest.len())
        } else if rest.starts_with("'\"'") {
            3
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        out.push(' ');
        rest = &rest[skip..];
    }
    out
}

/// The first name of every path in a use tree: `{a::b, c::{d, e}}` gives a and c.
fn first_names(tree: &str) -> Vec<String> {
    let tree = tree.trim_start();
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(inner) = tree.strip_prefix('{') else { return vec![name(tree)] };
    let (mut names, mut depth, mut start) = (vec![], 0, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(name(inner[start..at].trim_start()));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(name(inner[start..at].trim_start()));
                start = at + 1;
            }
            _ => {}
        }
    }
    names.retain(|n| !n.is_empty());
    names
}

/// The first name of every path that begins with `crate::`.
fn imports(code: &str) -> Vec<String> {
    let starts_a_word = |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || "_$".contains(c));
    let paths = code.match_indices("crate::").filter(|(at, _)| starts_a_word(*at));
    paths.flat_map(|(at, found)| first_names(&code[at + found.len()..])).collect()
}

/// The module that each name of the crate's root comes from.
fn root_names(lib: &str) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for line in code(lib).split(';') {
        let Some((_, path)) = line.split_once("pub use ") else { continue };
        let Some((module, items)) = path.trim().split_once("::") else { continue };
        for item in first_names(items) {
            names.insert(item, module.to_string());
        }
    }
    names
}

/// What is wrong with a module's imports.
fn faults(
    order: &BTreeMap<String, usize>,
    module: &str,
    roots: &BTreeMap<String, String>,
    code: &str,
) -> Vec<String> {
    let mut faults = vec![];
    for name in imports(code) {
        let target = roots.get(&name).unwrap_or(&name).clone();
        match (order.get(module), order.get(&target)) {
            (Some(own), Some(other)) if other <= own => {}
            (Some(_), Some(_)) => {
                faults.push(format!("{module} imports {name} from {target}, which is above it"))
            }
            (None, _) => faults.push(format!("{module} has no floor in ARCHITECTURE.md")),
            (_, None) => {
                faults.push(format!("{module} imports {name}, which has no floor in ARCHITECTURE.md"))
            }
        }
    }
    faults
}

#[test]
fn modules_import_from_the_floors_below_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let order = order(&read(&root.join("ARCHITECTURE.md")));
    let src = root.join("src");
    let roots = root_names(&read(&src.join("lib.rs")));
    let (mut all, mut seen) = (vec![], std::collections::BTreeSet::new());
    for path in sources(&src) {
        let inside = path.strip_prefix(&src).unwrap();
        let first = inside.components().next().unwrap().as_os_str().to_string_lossy();
        let module = first.trim_end_matches(".rs");
        // The root declares the modules and what is used from outside.
        if module == "lib" || module == "prelude" {
            continue;
        }
        seen.insert(module.to_string());
        let found = faults(&order, module, &roots, &code(&read(&path)));
        all.extend(found.into_iter().map(|fault| format!("{}: {fault}", inside.display())));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
    let listed: std::collections::BTreeSet<_> = order.into_keys().collect();
    assert_eq!(seen, listed, "the modules of src, and those of ARCHITECTURE.md");
}

#[test]
fn an_import_that_goes_up_is_found_wherever_it_stands() {
    let order = BTreeMap::from([("low".to_string(), 0), ("middle".to_string(), 1), ("high".to_string(), 2)]);
    let roots = root_names("pub use low::{Error, Result}; pub use high::Session;");
    let of = |text: &str| faults(&order, "middle", &roots, &code(text)).len();
    assert_eq!(of("use crate::{low::{a, b}, Error};\n// use crate::high::c;\nlet x = \"crate::high\";"), 0);
    assert_eq!(of("use crate::{low::a, high::{b, c}, Result};"), 1);
    assert_eq!(of("fn f() { crate::high::g() }"), 1);
    assert_eq!(of("use crate::{\n    Session, // the root's name for high::Session\n};"), 1);
    assert_eq!(of("let quoted = r#\"crate::high\"#; let c = '\"'; crate::high::g(); let d = '\"';"), 1);
    assert_eq!(of("use crate::unknown::x;"), 1);
}
