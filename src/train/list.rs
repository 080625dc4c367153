//! What lists of regularizers, constraints and noises share.

/// A newtype over a list of a kind of technique that has a registry and a text: it is read from text and written as text,
/// made from one element or collected from several, and used as a slice.
macro_rules! list_of {
    ($(#[$doc:meta])* $list:ident, $item:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $list(Vec<$item>);

        impl $list {
            /// Reads a list of texts, separated by commas; `none` is the empty list.
            ///
            /// # Errors
            /// When a name or an argument is unknown, or a value is out of range.
            pub fn parse(text: &str) -> Result<Self> {
                match text.trim() {
                    "none" => Ok(Self::default()),
                    list => Ok(Self($item::registry().parse_list(list)?)),
                }
            }

            /// Checks that every parameter is in its range.
            ///
            /// # Errors
            /// [`Error::Invalid`](crate::Error::Invalid) that names the parameter.
            pub fn check(&self) -> Result<()> {
                self.iter().try_for_each($item::check)
            }
        }

        impl std::ops::Deref for $list {
            type Target = [$item];

            fn deref(&self) -> &[$item] {
                &self.0
            }
        }

        impl<I: Into<$item>> From<I> for $list {
            fn from(item: I) -> Self {
                Self(vec![item.into()])
            }
        }

        impl<I: Into<$item>> FromIterator<I> for $list {
            fn from_iter<A: IntoIterator<Item = I>>(items: A) -> Self {
                Self(items.into_iter().map(Into::into).collect())
            }
        }

        /// As [`parse`](Self::parse) reads it.
        impl std::fmt::Display for $list {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                if self.is_empty() {
                    return f.write_str("none");
                }
                let texts: Vec<_> = self.iter().map(ToString::to_string).collect();
                f.write_str(&texts.join(","))
            }
        }
    };
}
pub(crate) use list_of;
