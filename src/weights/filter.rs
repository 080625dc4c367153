//! Which variables of a network a regularizer, a constraint or noise applies to.
use crate::{
    registry::ArgumentValue,
    weights::{compatibility::is_statistic, members::has_entries},
    Error, Result,
};
use candle_core::Var;
use glob::Pattern;
use serde::{Deserialize, Serialize};
use std::{collections::HashSet, fmt, str::FromStr};

/// What separates patterns in text.
const SEPARATOR: char = '|';
/// What a pattern of variables that are left out begins with.
const EXCLUDES: char = '!';
/// The most names that an error lists.
const LISTED: usize = 5;

/// The variables that something applies to: a weight penalty, a constraint, or noise.
///
/// | Filter | In text | Variables |
/// |---|---|---|
/// | [`Kernels`](Self::Kernels) | `kernels` | of rank 2 or more: linear layers, convolutions, embeddings; no fast weights |
/// | [`Biases`](Self::Biases) | `biases` | of rank 0 or 1: biases, scales and shifts of normalization |
/// | [`All`](Self::All) | `all` | both |
/// | [`Names`](Self::Names) | `hidden.*` | whose names match a pattern |
///
/// No filter selects a running statistic of batch normalization (a variable called `….running_mean` or
/// `….running_var`), or a variable of an integer type: neither is trained.
///
/// In a pattern, `*` stands for any text, points included, `?` for any character, and `[abc]` for one of
/// several characters, as in file names. The whole name has to match. A pattern that begins with `!` leaves
/// out the variables that it matches, in whatever place of the list it stands. Where all patterns do, the
/// others apply to the kernels: `!head.*` is every kernel that is not of the head. In text, `|` separates
/// patterns.
///
/// [`Kernels`](Self::Kernels) is the default and what most authors mean by weight decay or max-norm: biases
/// and scales have few numbers, and a penalty on them costs fit without keeping the function smooth. An
/// embedding is a kernel by its rank; leave it out by its name where it should not be.
///
/// # Networks that hold several members
/// Variables with a part of their name called `members` have an entry for each member along dimension 0, which does not count:
/// `members.weight` is a kernel if it has rank 3 or more, such as the heads `(M, out, in)`. Every other such variable is none,
/// whatever its rank: the fast weights `members.r` and `members.s` and the `members.bias` of BatchEnsemble and TabM. So weight
/// decay acts on the weights that the members share, as for BatchEnsemble (Wen, Tran and Ba 2020, arXiv:2002.06715). The
/// authors' code of TabM decays its adapters too: `*|!*bias` is that rule.
///
/// ```
/// use candle_ensemble::weights::WeightFilter;
///
/// let kernels = WeightFilter::Kernels;
/// assert!(kernels.matches("hidden.weight", &[500, 2]) && !kernels.matches("hidden.bias", &[500]));
///
/// // Four members with fast weights, and with heads of their own.
/// assert!(!kernels.matches("hidden.members.r", &[4, 500]) && kernels.matches("head.members.weight", &[4, 1, 500]));
///
/// let body: WeightFilter = "*.weight|!head.*".parse()?;
/// assert_eq!(body, WeightFilter::names(["*.weight", "!head.*"]));
/// assert!(body.matches("hidden.weight", &[500, 2]) && !body.matches("head.weight", &[1, 500]));
///
/// let e = WeightFilter::names(["hiden.*"]).check_some(["head.weight", "hidden.weight"]).unwrap_err();
/// assert_eq!(
///     e.to_string(),
///     "a pattern of WeightFilter::Names must be one that matches a trained variable, such as hidden.weight or \
///      head.weight, but is hiden.*"
/// );
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum WeightFilter {
    /// Variables of rank 2 or more.
    #[default]
    Kernels,
    /// Variables of rank 0 or 1.
    Biases,
    /// All variables that are trained.
    All,
    /// Variables whose names match at least one of the patterns that do not begin with `!`, and none of those
    /// that do.
    Names(Vec<String>),
}

impl WeightFilter {
    /// [`WeightFilter::Names`] with these patterns.
    pub fn names<P: Into<String>>(patterns: impl IntoIterator<Item = P>) -> Self {
        Self::Names(patterns.into_iter().map(Into::into).collect())
    }

    /// Whether the filter selects a floating-point variable of this name and these dimensions. A pattern that
    /// is none matches nothing; see [`check`](Self::check).
    #[must_use]
    pub fn matches(&self, name: &str, dims: &[usize]) -> bool {
        if is_statistic(name) {
            return false;
        }
        let is_kernel = is_kernel(name, dims.len());
        match self {
            Self::Kernels => is_kernel,
            Self::Biases => !is_kernel,
            Self::All => true,
            Self::Names(patterns) => {
                let hit = |pattern: &str| Pattern::new(pattern).is_ok_and(|pattern| pattern.matches(name));
                let (excluded, included): (Vec<&str>, Vec<&str>) =
                    patterns.iter().map(String::as_str).partition(|pattern| pattern.starts_with(EXCLUDES));
                let base = if included.is_empty() { is_kernel } else { included.into_iter().any(hit) };
                base && !excluded.into_iter().any(|pattern| hit(&pattern[EXCLUDES.len_utf8()..]))
            }
        }
    }

    /// The floating-point variables that the filter selects, in their order. A variable with several names
    /// occurs once, under the first of them that is selected.
    pub(crate) fn select<'a>(&self, vars: &'a [(String, Var)]) -> Vec<&'a (String, Var)> {
        let mut seen = HashSet::new();
        let is_selected =
            |(name, var): &&(String, Var)| var.dtype().is_float() && self.matches(name, var.dims());
        vars.iter().filter(is_selected).filter(|(_, var)| seen.insert(var.id())).collect()
    }

    /// Checks that every pattern is one.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the pattern and what is wrong with it, or when there are no patterns.
    pub fn check(&self) -> Result<()> {
        let Self::Names(patterns) = self else { return Ok(()) };
        if patterns.is_empty() {
            return Err(Error::invalid("the patterns of WeightFilter::Names", "at least one", "none"));
        }
        for text in patterns {
            let pattern = text.strip_prefix(EXCLUDES).unwrap_or(text);
            if pattern.is_empty() {
                return Err(Error::invalid(PATTERN, "some text", "empty"));
            }
            if let Err(e) = Pattern::new(pattern) {
                let got = format!("{text} ({} at character {})", e.msg, e.pos + 1);
                return Err(Error::invalid(PATTERN, "a glob pattern such as hidden.*", got));
            }
        }
        Ok(())
    }

    /// Checks that every pattern matches a name, so that a mistyped one is not ignored. `names` are those of
    /// the network's variables.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names a pattern that matches none, with the names that are nearest to it; and
    /// as [`check`](Self::check).
    pub fn check_some<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<()> {
        self.check()?;
        let Self::Names(patterns) = self else { return Ok(()) };
        let names: Vec<&str> = names.into_iter().filter(|name| !is_statistic(name)).collect();
        for text in patterns {
            let pattern = text.strip_prefix(EXCLUDES).unwrap_or(text);
            if names.iter().any(|name| Pattern::new(pattern).is_ok_and(|glob| glob.matches(name))) {
                continue;
            }
            let mut near: Vec<_> = names.iter().map(|name| (edits(pattern, name), *name)).collect();
            near.sort_unstable();
            let near: Vec<&str> = near.into_iter().map(|(_, name)| name).take(LISTED).collect();
            let such_as = match near.split_last() {
                None => String::new(),
                Some((only, [])) => format!(", such as {only}"),
                Some((last, others)) => format!(", such as {} or {last}", others.join(", ")),
            };
            return Err(Error::invalid(
                PATTERN,
                format!("one that matches a trained variable{such_as}"),
                text,
            ));
        }
        Ok(())
    }
}

/// The last part of the name of the weight of a layer.
const WEIGHT: &str = "weight";

/// Whether a variable of this rank is the kernel of a layer. A variable of several members has a dimension more.
fn is_kernel(name: &str, rank: usize) -> bool {
    match has_entries(name) {
        false => rank >= 2,
        true => rank >= 3 && name.rsplit('.').next() == Some(WEIGHT),
    }
}

const PATTERN: &str = "a pattern of WeightFilter::Names";

/// The fewest insertions, deletions and replacements of characters after which the pattern matches the name.
/// Only the wildcards `*` and `?` count as such; the other characters stand for themselves.
fn edits(pattern: &str, name: &str) -> usize {
    let name: Vec<char> = name.chars().collect();
    let mut last: Vec<usize> = (0..=name.len()).collect();
    for p in pattern.chars() {
        let mut row = Vec::with_capacity(last.len());
        row.push(if p == '*' { last[0] } else { last[0] + 1 });
        for (j, c) in name.iter().enumerate() {
            row.push(match p {
                '*' => last[j + 1].min(row[j]),
                _ => (last[j] + usize::from(p != '?' && p != *c)).min(last[j + 1] + 1).min(row[j] + 1),
            });
        }
        last = row;
    }
    last[name.len()]
}

/// As in text: `kernels`, `biases`, `all`, or patterns that `|` separates.
impl fmt::Display for WeightFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernels => f.write_str("kernels"),
            Self::Biases => f.write_str("biases"),
            Self::All => f.write_str("all"),
            Self::Names(patterns) => f.write_str(&patterns.join(&SEPARATOR.to_string())),
        }
    }
}

impl FromStr for WeightFilter {
    type Err = Error;

    /// Reads a filter as [`Display`](fmt::Display) writes it.
    fn from_str(text: &str) -> Result<Self> {
        let filter = match text.trim() {
            "kernels" => Self::Kernels,
            "biases" => Self::Biases,
            "all" => Self::All,
            text => Self::names(text.split(SEPARATOR).map(str::trim)),
        };
        filter.check()?;
        Ok(filter)
    }
}

impl ArgumentValue for WeightFilter {
    fn must_be() -> String {
        format!("kernels, biases, all, or glob patterns of names, separated by {SEPARATOR}")
    }

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use proptest::prelude::*;

    /// A network with a convolution, batch normalization, a hidden layer and a head.
    const NETWORK: [(&str, &[usize]); 9] = [
        ("conv.bias", &[8]),
        ("conv.weight", &[8, 1, 3, 3]),
        ("head.bias", &[10]),
        ("head.weight", &[10, 32]),
        ("hidden.weight", &[32, 8]),
        ("norm.bias", &[8]),
        ("norm.running_mean", &[8]),
        ("norm.running_var", &[8]),
        ("norm.weight", &[8]),
    ];

    fn selected(text: &str) -> Vec<&'static str> {
        let filter: WeightFilter = text.parse().unwrap();
        NETWORK.iter().filter(|(name, dims)| filter.matches(name, dims)).map(|(name, _)| *name).collect()
    }

    #[test]
    fn kernels_are_of_rank_2_and_no_statistic_is_selected() {
        assert_eq!(WeightFilter::default(), WeightFilter::Kernels);
        assert_eq!(selected("kernels"), ["conv.weight", "head.weight", "hidden.weight"]);
        assert_eq!(selected("biases"), ["conv.bias", "head.bias", "norm.bias", "norm.weight"]);
        assert_eq!(selected("all").len(), 7);
        assert_eq!(selected("*"), selected("all"));
        assert_eq!(selected("norm.*"), ["norm.bias", "norm.weight"]);
    }

    /// Four members with a shared weight, fast weights, biases, scales, and heads of their own; and a name that is another.
    #[test]
    fn fast_weights_are_no_kernels() {
        let vars: [(&str, &[usize], bool); 9] = [
            ("0.weight", &[8, 3], true),
            ("0.members.r", &[4, 3], false),
            ("0.members.s", &[4, 8], false),
            ("0.members.bias", &[4, 8], false),
            ("conv.members.r", &[4, 3, 1, 1], false),
            ("norm.members.weight", &[4, 8], false),
            ("head.members.weight", &[4, 2, 8], true),
            ("conv.members.weight", &[4, 8, 3, 3, 3], true),
            ("my_members.weight", &[8, 3], true),
        ];
        for (name, dims, is_kernel) in vars {
            assert_eq!(WeightFilter::Kernels.matches(name, dims), is_kernel, "{name}");
            assert_eq!(WeightFilter::Biases.matches(name, dims), !is_kernel, "{name}");
            assert!(WeightFilter::All.matches(name, dims));
            assert_eq!(
                WeightFilter::names(["!head.*"]).matches(name, dims),
                is_kernel && !name.starts_with("head")
            );
        }
        // The rule of the authors' code of TabM.
        let all_but_biases: WeightFilter = "*|!*bias".parse().unwrap();
        let decayed = |name| all_but_biases.matches(name, &[4, 8]);
        assert!(decayed("0.members.r") && decayed("0.weight") && !decayed("0.members.bias"));
    }

    #[test]
    fn patterns_match_whole_names_and_exclusions_win() {
        assert_eq!(selected("h*.weight"), ["head.weight", "hidden.weight"]);
        assert_eq!(selected("h*.weight|!head.*"), ["hidden.weight"]);
        assert_eq!(selected("!head.*|h*.weight"), ["hidden.weight"]);
        assert_eq!(selected("!head.*"), ["conv.weight", "hidden.weight"]);
        assert_eq!(selected("*|!*.weight"), ["conv.bias", "head.bias", "norm.bias"]);
        assert_eq!(selected("????.bias"), ["conv.bias", "head.bias", "norm.bias"]);
        assert_eq!(selected("[ch]*.bias"), ["conv.bias", "head.bias"]);
        assert!(selected("head").is_empty());
    }

    #[test]
    fn variables_are_selected_once_and_only_if_they_are_floats() -> Result<()> {
        let var = |dtype| Var::zeros((2, 2), dtype, &Device::Cpu);
        let (shared, count) = (var(DType::F32)?, var(DType::U32)?);
        let vars: Vec<_> = [("a", &shared), ("b", &count), ("c", &var(DType::BF16)?), ("d", &shared)]
            .map(|(name, var)| (name.to_string(), var.clone()))
            .into();
        let names = |filter: WeightFilter| -> Vec<_> {
            filter.select(&vars).into_iter().map(|(name, _)| name.clone()).collect()
        };
        assert_eq!(names(WeightFilter::Kernels), ["a", "c"]);
        assert_eq!(names(WeightFilter::names(["d"])), ["d"]);
        Ok(())
    }

    #[test]
    fn bad_patterns_are_named() {
        let error = |filter: WeightFilter| filter.check().unwrap_err().to_string();
        assert_eq!(
            error(WeightFilter::names(["ok", "!a[b"])),
            "a pattern of WeightFilter::Names must be a glob pattern such as hidden.*, but is !a[b (invalid \
             range pattern at character 2)"
        );
        assert!(error(WeightFilter::names(["a", "!"])).ends_with("must be some text, but is empty"));
        assert!(error(WeightFilter::Names(vec![])).contains("at least one"));
        assert!(WeightFilter::names(["a[b"]).check_some(["a"]).is_err());
        assert!(!WeightFilter::names(["a[b"]).matches("a[b", &[1, 1]));
        assert!("".parse::<WeightFilter>().is_err() && WeightFilter::read("a[b").is_none());
    }

    #[test]
    fn a_pattern_that_matches_nothing_is_an_error_with_the_nearest_names() {
        let names = || NETWORK.iter().map(|(name, _)| *name);
        for text in ["kernels", "*.weight|!head.*", "!conv.*"] {
            assert!(text.parse::<WeightFilter>().unwrap().check_some(names()).is_ok());
        }
        let error =
            |text: &str| text.parse::<WeightFilter>().unwrap().check_some(names()).unwrap_err().to_string();
        let e = error("*.weight|!haed.*");
        let must = "one that matches a trained variable, such as head.bias, head.weight, hidden.weight, ";
        assert!(e.contains(must) && e.ends_with("but is !haed.*"), "{e}");
        assert!(error("conv.wieght").contains("such as conv.weight, "));
        // Only a statistic matches.
        assert!(error("*.running_var").contains("a trained variable"));
        assert!(WeightFilter::names(["a"])
            .check_some([])
            .unwrap_err()
            .to_string()
            .contains("variable, but is a"));
    }

    #[test]
    fn edits_count_what_is_between_a_pattern_and_a_name() {
        for (pattern, name, expected) in [
            ("kitten", "sitting", 3),
            ("", "abc", 3),
            ("abc", "", 3),
            ("*", "abc", 0),
            ("hiden.*", "hidden.weight", 1),
            ("h?d", "had", 0),
            ("*.wieght", "a.weight", 2),
        ] {
            assert_eq!(edits(pattern, name), expected, "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn a_filter_is_read_as_it_is_written(patterns in prop::collection::vec("!?[a-z.*?]{1,8}", 1..4)) {
            let names = WeightFilter::names(&patterns);
            // The words stand for themselves.
            prop_assume!(names.check().is_ok() && !["kernels", "biases", "all"].contains(&&*names.to_string()));
            for filter in [WeightFilter::Kernels, WeightFilter::Biases, WeightFilter::All, names] {
                prop_assert_eq!(&filter.to_string().parse::<WeightFilter>().unwrap(), &filter);
            }
        }

        #[test]
        fn a_pattern_matches_exactly_where_no_edit_is_needed(pattern in "[ab*?]{0,5}", name in "[ab]{0,5}") {
            // Three or more stars in a row, or two beside other characters, are no pattern.
            if let Ok(glob) = Pattern::new(&pattern) {
                prop_assert_eq!(glob.matches(&name), edits(&pattern, &name) == 0);
            }
        }
    }
}
