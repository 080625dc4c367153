//! The documentation names every entry of every registry.
use candle_ensemble::{
    combine, evaluate, merge, metrics, nn::many::EfficientEnsemble, plan::Collect, registry::Registry,
    strategy,
};

/// The module documentation of a source file.
fn docs(source: &str) -> String {
    source
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .map(|line| format!("{}\n", line.trim_start()))
        .collect()
}

fn names<T>(registry: &Registry<T>) -> Vec<&'static str> {
    registry.names()
}

#[test]
fn module_docs_have_the_tables_of_the_registries() {
    for (file, source, table) in [
        ("strategy", include_str!("../../src/strategy/mod.rs"), strategy::registry().markdown()),
        ("combine", include_str!("../../src/combine/mod.rs"), combine::registry().markdown()),
        ("merge", include_str!("../../src/merge/mod.rs"), merge::registry().markdown()),
        ("metrics", include_str!("../../src/metrics/mod.rs"), metrics::registry().markdown()),
        ("nn/many", include_str!("../../src/nn/many/mod.rs"), EfficientEnsemble::registry().markdown()),
    ] {
        let as_comment: String = table.lines().map(|line| format!("//! {line}\n")).collect();
        assert!(docs(source).contains(&table), "src/{file}/mod.rs must have this table:\n{as_comment}");
    }
}

#[test]
fn the_readme_names_every_entry() {
    let readme = include_str!("../../README.md");
    let all = [
        names(strategy::registry()),
        names(Collect::registry()),
        names(combine::registry()),
        names(evaluate::combinations()),
        names(merge::registry()),
        names(metrics::registry()),
        names(EfficientEnsemble::registry()),
    ];
    for name in all.concat() {
        assert!(readme.contains(&format!("`{name}`")), "README.md, \"What there is\", must name `{name}`");
    }
}

#[test]
fn names_and_aliases_are_unique_and_in_kebab_case() {
    fn check<T>(registry: &Registry<T>) {
        let mut seen = vec![];
        for entry in registry.entries() {
            assert!(!entry.summary().is_empty() && !entry.summary().ends_with('.'), "{}", entry.name());
            let shorthands: Vec<_> = entry.shorthands().iter().map(|(name, _)| *name).collect();
            for name in [&[entry.name()], entry.aliases(), shorthands.as_slice()].concat() {
                let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                assert!(
                    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(kebab),
                    "{name}"
                );
                assert!(!seen.contains(&name), "{name}");
                seen.push(name);
            }
            for (name, arguments) in entry.shorthands() {
                let full = format!("{}:{arguments}", entry.name());
                assert!(registry.parse(name).is_ok() && registry.parse(&full).is_ok(), "{name}");
            }
        }
    }
    check(strategy::registry());
    check(Collect::registry());
    check(combine::registry());
    check(merge::registry());
    check(metrics::registry());
    check(EfficientEnsemble::registry());
}
