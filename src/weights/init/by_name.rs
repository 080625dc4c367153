//! Schemes for variables by patterns of their names.
use crate::{weights::init::InitScheme, Error, Result};
use glob::Pattern;

impl InitScheme {
    /// [`InitScheme::ByName`] with these patterns and their schemes, the first one first, and `other` for all
    /// other variables.
    ///
    /// ```
    /// use candle_ensemble::{train::Trainer, weights::InitScheme};
    ///
    /// // He's range on the hidden layers, Glorot's on the output layer.
    /// let init = InitScheme::by_name([("out.*", InitScheme::GlorotUniform)], InitScheme::he_uniform());
    /// let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb.pp("out"))).init(init);
    /// ```
    #[must_use]
    pub fn by_name<P: Into<String>>(rules: impl IntoIterator<Item = (P, Self)>, other: Self) -> Self {
        let rules = rules.into_iter().map(|(pattern, scheme)| (pattern.into(), scheme)).collect();
        Self::ByName { rules, other: Box::new(other) }
    }

    /// The patterns of [`InitScheme::ByName`] that match none of `names`, such as misspelt ones. Empty for
    /// every other scheme.
    ///
    /// # Errors
    /// When a pattern is not one.
    ///
    /// ```
    /// use candle_ensemble::weights::InitScheme;
    ///
    /// let init = InitScheme::by_name([("oput.*", InitScheme::Torch)], InitScheme::GlorotUniform);
    /// assert_eq!(init.unmatched_patterns(&["in.weight", "out.weight"])?, ["oput.*"]);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    pub fn unmatched_patterns(&self, names: &[impl AsRef<str>]) -> Result<Vec<String>> {
        let Self::ByName { rules, other } = self else { return Ok(vec![]) };
        let mut unmatched = vec![];
        for (text, scheme) in rules {
            let pattern = pattern(text)?;
            if !names.iter().any(|name| pattern.matches(name.as_ref())) {
                unmatched.push(text.clone());
            }
            unmatched.extend(scheme.unmatched_patterns(names)?);
        }
        unmatched.extend(other.unmatched_patterns(names)?);
        Ok(unmatched)
    }
}

/// The scheme of the variable called `name`.
pub(super) fn scheme<'s>(
    rules: &'s [(String, InitScheme)],
    other: &'s InitScheme,
    name: &str,
) -> Result<&'s InitScheme> {
    for (text, scheme) in rules {
        if pattern(text)?.matches(name) {
            return Ok(scheme);
        }
    }
    Ok(other)
}

pub(super) fn check(rules: &[(String, InitScheme)], other: &InitScheme) -> Result<()> {
    for (text, scheme) in rules {
        pattern(text)?;
        scheme.check()?;
    }
    other.check()
}

fn pattern(text: &str) -> Result<Pattern> {
    Pattern::new(text).map_err(|e| {
        let got = format!("{text:?}: {} at character {}", e.msg, e.pos);
        Error::invalid("a pattern of InitScheme::ByName", "a glob such as \"out.*\"", got)
    })
}
