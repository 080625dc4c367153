//! Variables with one entry for each member of a network that holds several.

/// The part of a name that says so.
pub(crate) const MEMBERS: &str = "members";

/// Whether the variable of this name has one entry for each member along dimension 0: one of the parts of the name
/// between dots is `members`.
pub(crate) fn has_entries(name: &str) -> bool {
    name.split('.').any(|part| part == MEMBERS)
}

/// Whether the variable of this name is a bias.
pub(crate) fn is_bias(name: &str) -> bool {
    name.rsplit('.').next() == Some("bias")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_by_their_parts() {
        for name in ["members.r", "0.members.bias", "a.members.b.weight"] {
            assert!(has_entries(name), "{name}");
        }
        for name in ["r", "0.member.bias", "a.members_of.weight", ""] {
            assert!(!has_entries(name), "{name}");
        }
        assert!(is_bias("0.members.bias") && is_bias("bias") && !is_bias("bias.weight"));
    }
}
