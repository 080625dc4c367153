//! Manifests: which build the members in a store belong to.
use crate::{
    codec,
    files::{envelope, header::FormatError},
    plan::Plan,
    Result,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

const KIND: &str = "plan";

/// The build that a store holds the members of: a plan with the fingerprint of its data, the learner that
/// trains it, and the networks that the learner builds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest<'a> {
    /// The plan.
    pub plan: Cow<'a, Plan>,
    /// The learner's [tag](crate::train::Learner::tag).
    pub learner: Cow<'a, str>,
    /// The distinct networks, as one text each: architecture, number of variables, and a hash of their names,
    /// types and shapes.
    pub networks: Cow<'a, [String]>,
}

impl<'a> Manifest<'a> {
    /// The manifest of `plan`, trained by a learner with this tag on these networks.
    #[must_use]
    pub fn new(plan: &'a Plan, learner: &'a str, networks: &'a [String]) -> Self {
        Self { plan: Cow::Borrowed(plan), learner: learner.into(), networks: networks.into() }
    }

    /// The manifest as bytes, with format and hash. The same manifest gives the same bytes.
    ///
    /// # Errors
    /// When it cannot be serialized.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        Ok(envelope::wrap(KIND, &codec::encode(self)?))
    }

    /// Reads what [`Manifest::to_bytes`] returns. Bytes of any origin are safe to read.
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged) when the bytes have changed since they were written,
    /// [`Error::Foreign`](crate::Error::Foreign) when they are something else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Manifest<'static>> {
        read(bytes).map_err(|error| error.of("the manifest"))
    }

    /// How `self` differs from the manifest that a store has already; `None` where they are equal.
    pub(crate) fn differs(&self, stored: &Manifest<'_>) -> Option<String> {
        let (plan, other) = (&self.plan, &stored.plan);
        let mut differences = vec![];
        if plan.data != other.data {
            let [a, b] = [&other.data, &plan.data].map(|print| print.to_string()[..12].to_string());
            differences.push(format!("another data set (fingerprint {a}…, not {b}…)"));
        }
        if let Some(how) = plans_differ(plan, other) {
            differences.push(format!("another plan ({how})"));
        }
        if self.learner != stored.learner {
            differences.push(format!("another trainer ({:?}, not {:?})", stored.learner, self.learner));
        }
        if self.networks != stored.networks {
            let pairs = stored.networks.iter().zip(&*self.networks);
            let how = match pairs.into_iter().find(|(a, b)| a != b) {
                Some((a, b)) => format!("{a}, not {b}"),
                None => format!("{} in all, not {}", stored.networks.len(), self.networks.len()),
            };
            differences.push(format!("another network ({how})"));
        }
        (!differences.is_empty()).then(|| format!("it was made for {}", differences.join(", ")))
    }
}

pub(crate) fn read(bytes: &[u8]) -> Result<Manifest<'static>, FormatError> {
    codec::decode(envelope::unwrap(KIND, bytes)?).map_err(FormatError::Foreign)
}

/// How the plans differ, apart from their data sets.
fn plans_differ(plan: &Plan, stored: &Plan) -> Option<String> {
    if plan.runs.len() != stored.runs.len() {
        return Some(format!("{} runs, not {}", stored.runs.len(), plan.runs.len()));
    }
    let differing = plan.runs.iter().zip(&stored.runs).find(|(a, b)| a != b);
    if let Some((a, b)) = differing {
        let parts = [
            ("number", a.id != b.id),
            ("architecture", a.architecture != b.architecture),
            ("slot", a.slot != b.slot),
            ("seed", a.seed != b.seed),
            ("training rows", a.train != b.train),
            ("validation rows", a.valid != b.valid),
            ("excluded rows", a.excluded != b.excluded),
            ("features", a.features != b.features),
            ("refit", a.refit != b.refit),
            ("when members are collected", a.collect != b.collect),
            ("settings", a.settings != b.settings),
            ("sequence", a.sequence != b.sequence),
        ];
        let names: Vec<_> = parts.iter().filter(|(_, differ)| *differ).map(|(name, _)| *name).collect();
        return Some(format!("run {} differs in {}", a.id, names.join(", ")));
    }
    (plan.reserved != stored.reserved).then(|| "other rows are reserved".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::Fingerprint,
        plan::{RunSpec, Settings},
        Error, Seed,
    };

    fn plan() -> Plan {
        let run = |id: usize| {
            let rows = vec![0, 300, 70_000, 300];
            let settings = Settings::new().with("width", 8);
            RunSpec { settings, ..RunSpec::new(id, "model", Seed::from(id as u64), rows) }
        };
        Plan {
            runs: vec![run(0), run(1)],
            reserved: vec![7].into(),
            data: Fingerprint::of(b"data"),
            seed: Seed::from(1),
        }
    }

    #[test]
    fn bytes_are_read_back_equal_and_every_change_is_noticed() {
        let plan = plan();
        let networks = ["small".to_string(), "large".to_string()];
        let manifest = Manifest::new(&plan, "Adam", &networks);
        let bytes = manifest.to_bytes().unwrap();
        assert_eq!(Manifest::from_bytes(&bytes).unwrap(), manifest);
        assert_eq!(manifest.differs(&Manifest::from_bytes(&bytes).unwrap()), None);
        for i in 0..bytes.len() {
            assert!(Manifest::from_bytes(&bytes[..i]).is_err(), "{i}");
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[i] ^= 1 << bit;
                assert!(Manifest::from_bytes(&flipped).is_err(), "{i}");
            }
        }
        let wrong_length = envelope::wrap(KIND, &[&[253], &u64::MAX.to_le_bytes()[..]].concat());
        assert!(matches!(Manifest::from_bytes(&wrong_length), Err(Error::Foreign { .. })));
    }

    #[test]
    fn errors_name_what_differs() {
        let there = plan();
        let there = Manifest::new(&there, "Adam", &[]);
        let difference = |change: &dyn Fn(&mut Plan), learner: &str| {
            let mut plan = plan();
            change(&mut plan);
            Manifest::new(&plan, learner, &[]).differs(&there).unwrap()
        };
        let same = plan();
        let networks = |names: &[&str], others: &[&str]| {
            let [a, b] = [names, others].map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
            Manifest::new(&same, "Adam", &a).differs(&Manifest::new(&same, "Adam", &b))
        };
        assert_eq!(networks(&["a", "b"], &["a", "b"]), None);
        assert_eq!(networks(&["a", "b"], &["a", "c"]).unwrap(), "it was made for another network (c, not b)");
        assert!(networks(&["a", "b"], &["a"]).unwrap().contains("another network (1 in all, not 2)"));
        let data = difference(&|p| p.data = Fingerprint::of(b"other"), "Adam");
        assert!(data.starts_with("it was made for another data set (fingerprint "), "{data}");
        assert_eq!(difference(&|_| (), "SGD"), r#"it was made for another trainer ("Adam", not "SGD")"#);
        assert_eq!(
            difference(&|p| drop(p.runs.pop()), "Adam"),
            "it was made for another plan (2 runs, not 1)"
        );
        let seed = difference(
            &|p| {
                p.runs[1].seed = Seed::from(9);
                p.runs[1].train = vec![0, 300, 70_000].into();
            },
            "Adam",
        );
        assert_eq!(seed, "it was made for another plan (run 1 differs in seed, training rows)");
        assert!(difference(&|p| p.reserved = vec![].into(), "Adam").contains("other rows are reserved"));
        let all = difference(
            &|p| {
                p.data = Fingerprint::of(b"other");
                p.runs.clear();
            },
            "SGD",
        );
        assert!(["data set", "plan", "trainer"]
            .iter()
            .all(|what| all.contains(&format!("another {what} ("))));
    }
}
