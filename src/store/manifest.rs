//! What a store is for.
use crate::{
    codec,
    files::{
        envelope::{seal, unseal},
        header::Fault,
    },
    plan::Plan,
    Result,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

const KIND: &str = "plan";

/// What a store holds the members of: a plan, which names its data set, the learner that carries it out, and the
/// networks that it builds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest<'a> {
    /// The plan.
    pub plan: Cow<'a, Plan>,
    /// The learner's [tag](crate::train::Learner::tag).
    pub learner: Cow<'a, str>,
    /// The networks, each in a line: architecture, number of variables, a hash of their names, types and shapes.
    pub networks: Cow<'a, [String]>,
}

impl<'a> Manifest<'a> {
    /// Of `plan`, carried out on these networks by a learner of this tag.
    #[must_use]
    pub fn new(plan: &'a Plan, learner: &'a str, networks: &'a [String]) -> Self {
        Self { plan: Cow::Borrowed(plan), learner: learner.into(), networks: networks.into() }
    }

    /// As bytes, with a format and a hash. The same manifest gives the same bytes.
    ///
    /// # Errors
    /// When it cannot be serialized.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        Ok(seal(KIND, &codec::encode(self)?))
    }

    /// The inverse of [`Manifest::to_bytes`]. Bytes of any origin are safe to hand in.
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged) when the bytes are not what was written,
    /// [`Error::Foreign`](crate::Error::Foreign) when they are something else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Manifest<'static>> {
        read(bytes).map_err(|fault| fault.of("the manifest"))
    }

    /// In what `self` differs from the manifest that is there already; `None` where in nothing.
    pub(crate) fn differs(&self, there: &Manifest<'_>) -> Option<String> {
        let (plan, other) = (&self.plan, &there.plan);
        let mut differences = vec![];
        if plan.data != other.data {
            let [a, b] = [&other.data, &plan.data].map(|print| print.to_string()[..12].to_string());
            differences.push(format!("another data set (fingerprint {a}…, not {b}…)"));
        }
        if let Some(how) = plans_differ(plan, other) {
            differences.push(format!("another plan ({how})"));
        }
        if self.learner != there.learner {
            differences.push(format!("another trainer ({:?}, not {:?})", there.learner, self.learner));
        }
        if self.networks != there.networks {
            let pairs = there.networks.iter().zip(&*self.networks);
            let how = match pairs.into_iter().find(|(a, b)| a != b) {
                Some((a, b)) => format!("{a}, not {b}"),
                None => format!("{} in all, not {}", there.networks.len(), self.networks.len()),
            };
            differences.push(format!("another network ({how})"));
        }
        (!differences.is_empty()).then(|| format!("it was made for {}", differences.join(", ")))
    }
}

pub(crate) fn read(bytes: &[u8]) -> Result<Manifest<'static>, Fault> {
    codec::decode(unseal(KIND, bytes)?).map_err(Fault::Foreign)
}

/// In what the plans differ, data sets apart.
fn plans_differ(plan: &Plan, there: &Plan) -> Option<String> {
    if plan.runs.len() != there.runs.len() {
        return Some(format!("{} runs, not {}", there.runs.len(), plan.runs.len()));
    }
    let differing = plan.runs.iter().zip(&there.runs).find(|(a, b)| a != b);
    if let Some((a, b)) = differing {
        let parts = [
            ("number", a.id != b.id),
            ("architecture", a.architecture != b.architecture),
            ("slot", a.slot != b.slot),
            ("seed", a.seed != b.seed),
            ("training rows", a.train != b.train),
            ("validation rows", a.valid != b.valid),
            ("part at inference", a.refit != b.refit),
            ("members taken", a.collect != b.collect),
            ("settings", a.settings != b.settings),
        ];
        let names: Vec<_> = parts.iter().filter(|(_, differ)| *differ).map(|(name, _)| *name).collect();
        return Some(format!("run {} differs in {}", a.id, names.join(", ")));
    }
    (plan.reserved != there.reserved).then(|| "other rows are reserved".into())
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
            reserved: vec![7],
            data: Fingerprint::of(b"data"),
            seed: Seed::from(1),
        }
    }

    #[test]
    fn bytes_come_back_equal_and_every_change_is_noticed() {
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
        let lie = seal(KIND, &[&[253], &u64::MAX.to_le_bytes()[..]].concat());
        assert!(matches!(Manifest::from_bytes(&lie), Err(Error::Foreign { .. })));
    }

    #[test]
    fn differences_are_told() {
        let there = plan();
        let there = Manifest::new(&there, "Adam", &[]);
        let says = |change: &dyn Fn(&mut Plan), learner: &str| {
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
        let data = says(&|p| p.data = Fingerprint::of(b"other"), "Adam");
        assert!(data.starts_with("it was made for another data set (fingerprint "), "{data}");
        assert_eq!(says(&|_| (), "SGD"), r#"it was made for another trainer ("Adam", not "SGD")"#);
        assert_eq!(says(&|p| drop(p.runs.pop()), "Adam"), "it was made for another plan (2 runs, not 1)");
        let seed = says(
            &|p| {
                p.runs[1].seed = Seed::from(9);
                p.runs[1].train.pop();
            },
            "Adam",
        );
        assert_eq!(seed, "it was made for another plan (run 1 differs in seed, training rows)");
        assert!(says(&|p| p.reserved.clear(), "Adam").contains("other rows are reserved"));
        let all = says(
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
