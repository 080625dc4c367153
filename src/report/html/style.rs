//! The style sheet of a page.

/// The style sheet: light and dark colours, narrow screens, and paper.
///
/// Text has a contrast of at least 4.5:1 in all of them. Charts are drawn in dark ink on white; in dark mode a filter
/// inverts their lightness and keeps their hues.
pub(super) const STYLE: &str = "
:root {
  color-scheme: light dark;
  --ground: #ffffff; --panel: #f5f7f9; --ink: #1b1f24; --quiet: #535c66; --line: #cfd6dd; --link: #0a53ad;
  --best: #7a4a00; --chart: #ffffff;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --ground: #0f1216; --panel: #181c22; --ink: #e5e9ee; --quiet: #a4adb8; --line: #363e48; --link: #82b9ff;
    --best: #f2c265; --chart: #141414;
  }
  figure svg { filter: invert(0.92) hue-rotate(180deg); }
}
*, *::before, *::after { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; scroll-behavior: smooth; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body {
  margin: 0 auto; max-width: 82rem; padding: 1.5rem 1.25rem 3rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif;
  overflow-wrap: break-word;
}
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 0.5rem; }
h2 { font-size: 1.3rem; line-height: 1.3; margin: 2.75rem 0 0.75rem; }
h3 { font-size: 1.08rem; line-height: 1.35; margin: 2rem 0 0.6rem; }
h1, h2, h3 { text-wrap: balance; }
p, li, dd { max-width: 46rem; }
p { margin: 0.6rem 0; }
a { color: var(--link); }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
.lead { font-size: 1.1rem; }
nav ul { list-style: none; margin: 1rem 0 0; padding: 0; display: flex; flex-wrap: wrap; gap: 0.35rem 1.1rem; }
nav a { display: inline-block; padding: 0.25rem 0; }
footer { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 0.75rem; }
ul.note { padding-left: 1.2rem; }
footer, figcaption, .note { color: var(--quiet); font-size: 0.92rem; }
.verdict { border-left: 0.3rem solid var(--link); background: var(--panel); padding: 0.5rem 1.1rem; max-width: 52rem; }
.finding { border-left: 0.2rem solid var(--line); padding: 0 0 0 1rem; margin: 1.25rem 0; max-width: 52rem; }
.finding > p:first-child { margin-top: 0; }
.finding small { white-space: normal; color: var(--quiet); }
pre { margin: 0; padding: 0.6rem 0.8rem; font-size: 0.85rem; line-height: 1.45; background: var(--panel); }
.facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 0.3rem 1.5rem; margin: 0.75rem 0; }
.facts dt { color: var(--quiet); }
.facts dd { margin: 0; }
.terms dt { font-weight: 600; margin-top: 0.8rem; }
.terms dd { margin: 0; }
/* Relative, so that hidden text within it does not widen the page. */
.scroll { position: relative; overflow-x: auto; max-width: 100%; border: 1px solid var(--line); border-radius: 6px; margin: 0.75rem 0; }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-size: 0.84rem; line-height: 1.35; }
caption { text-align: left; padding: 0.6rem 0.42rem; font-size: 0.92rem; color: var(--quiet); }
caption > span { display: block; max-width: 46rem; position: sticky; left: 0.42rem; }
th, td { padding: 0.35rem 0.42rem; border-top: 1px solid var(--line); vertical-align: top; text-align: left; }
th { font-weight: 600; }
thead th { background: var(--panel); vertical-align: bottom; }
tbody th[scope=row] { font-weight: 400; min-width: 10rem; max-width: 24rem; }
td { white-space: nowrap; font-variant-numeric: tabular-nums; }
td.number, th.number { text-align: right; }
small { white-space: nowrap; }
tr > :first-child { position: sticky; left: 0; background: var(--ground); z-index: 1; }
thead tr > :first-child, .group > :first-child { background: var(--panel); }
.group > th { border-top-color: var(--quiet); }
.group span { position: sticky; left: 0.42rem; display: inline-block; }
th small, td small { color: var(--quiet); font-size: 0.95em; font-weight: 400; }
.best { color: var(--best); font-weight: 700; }
.refused { color: var(--quiet); font-style: italic; }
figure { margin: 1.25rem 0; max-width: 58rem; break-inside: avoid; }
figure .scroll { background: var(--chart); margin: 0 0 0.4rem; }
figure svg { display: block; min-width: 36rem; margin: 0 auto; }
figcaption { max-width: 46rem; }
.hidden {
  position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap;
}
@media (max-width: 40rem) {
  body { padding: 1rem 1rem 2rem; }
  h1 { font-size: 1.45rem; }
  .facts { grid-template-columns: minmax(0, 2fr) minmax(0, 3fr); gap: 0.3rem 1rem; }
  tbody th[scope=row] { min-width: 7rem; max-width: 9.5rem; }
  .group span, caption > span { max-width: calc(100vw - 4rem); }
}
@media print {
  :root { color-scheme: light; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  .scroll { overflow: visible; border: 0; border-radius: 0; }
  table { font-size: 7.5pt; }
  th, td { padding: 0.15rem 0.3rem; }
  td, thead th { white-space: normal; }
  tbody th[scope=row] { min-width: 0; max-width: none; }
  tr > :first-child, .group span, caption > span { position: static; }
  tr, figure, .verdict, dt, pre { break-inside: avoid; }
  pre { white-space: pre-wrap; }
  h2, h3, caption, dt, .group { break-after: avoid; }
  figure svg { min-width: 0; }
}
";

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// The colours of the first block of variables after `start`.
    fn colors(start: &str) -> BTreeMap<&str, [f64; 3]> {
        let block = STYLE.split_once(start).unwrap().1.split_once('}').unwrap().0;
        let entries = block.split(';').filter_map(|entry| entry.trim().split_once(": #"));
        entries
            .map(|(name, hex)| {
                let channel =
                    |i: usize| f64::from(u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()) / 255.;
                (name, [channel(0), channel(1), channel(2)])
            })
            .collect()
    }

    /// The contrast of the Web Content Accessibility Guidelines 2.2.
    fn contrast(a: [f64; 3], b: [f64; 3]) -> f64 {
        let linear = |x: f64| if x <= 0.04045 { x / 12.92 } else { ((x + 0.055) / 1.055).powf(2.4) };
        let luminance = |[r, g, b]: [f64; 3]| 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_has_enough_contrast() {
        assert!((contrast([0.; 3], [1.; 3]) - 21.).abs() < 1e-12);
        for start in [":root {\n  color-scheme", "dark) {\n  :root {"] {
            let colors = colors(start);
            for text in ["--ink", "--quiet", "--link", "--best"] {
                for ground in ["--ground", "--panel"] {
                    let ratio = contrast(colors[text], colors[ground]);
                    assert!(ratio >= 4.5, "{text} on {ground} after {start:?}: {ratio:.2}");
                }
            }
        }
    }

    #[test]
    fn braces_are_balanced() {
        let depth = STYLE.chars().fold(0_i32, |depth, c| {
            assert!(depth >= 0);
            depth + i32::from(c == '{') - i32::from(c == '}')
        });
        assert_eq!(depth, 0);
    }
}
