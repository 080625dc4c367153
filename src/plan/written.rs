//! Runs as they are written. Plans of before there were sequences have the same form, so that their files stay readable and
//! members keep their keys: the sequence of a run is written as one more of its settings.
use crate::{
    plan::{Collect, RunSpec, Settings},
    resample::PlannedRows,
    sequence::Sequence,
    Seed,
};
use serde::{de::Error as _, Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;

/// The setting that a sequence is written as. No other setting has a space in its name.
const SEQUENCE: &str = "run of sequence";

#[derive(Serialize, Deserialize)]
#[serde(rename = "RunSpec")]
struct Written<'a> {
    id: usize,
    architecture: Cow<'a, str>,
    slot: usize,
    seed: Seed,
    train: Cow<'a, PlannedRows>,
    valid: Cow<'a, PlannedRows>,
    excluded: Cow<'a, PlannedRows>,
    refit: bool,
    features: Cow<'a, Option<Vec<u32>>>,
    collect: Collect,
    settings: Cow<'a, Settings>,
}

impl Serialize for RunSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let settings = match &self.sequence {
            None => Cow::Borrowed(&self.settings),
            Some(sequence) => Cow::Owned(self.settings.clone().with(SEQUENCE, &*sequence.to_text())),
        };
        let written = Written {
            id: self.id,
            architecture: Cow::Borrowed(&self.architecture),
            slot: self.slot,
            seed: self.seed,
            train: Cow::Borrowed(&self.train),
            valid: Cow::Borrowed(&self.valid),
            excluded: Cow::Borrowed(&self.excluded),
            refit: self.refit,
            features: Cow::Borrowed(&self.features),
            collect: self.collect,
            settings,
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RunSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let sequence = written.settings.text(SEQUENCE).map_err(D::Error::custom)?;
        let sequence = sequence.map(Sequence::from_text).transpose().map_err(D::Error::custom)?;
        let settings = match &sequence {
            None => written.settings.into_owned(),
            Some(_) => {
                let others = written.settings.iter().filter(|(name, _)| *name != SEQUENCE);
                Settings::new().with_all(others)
            }
        };
        Ok(Self {
            id: written.id,
            architecture: written.architecture.into_owned(),
            slot: written.slot,
            seed: written.seed,
            train: written.train.into_owned(),
            valid: written.valid.into_owned(),
            excluded: written.excluded.into_owned(),
            refit: written.refit,
            features: written.features.into_owned(),
            collect: written.collect,
            settings,
            sequence,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{codec, sequence::AdaBoostRule, sequence::Rule};

    /// A run as it was written before there were sequences.
    #[derive(Serialize)]
    #[serde(rename = "RunSpec")]
    struct Before {
        id: usize,
        architecture: String,
        slot: usize,
        seed: Seed,
        train: PlannedRows,
        valid: PlannedRows,
        excluded: PlannedRows,
        refit: bool,
        features: Option<Vec<u32>>,
        collect: Collect,
        settings: Settings,
    }

    fn run() -> RunSpec {
        let mut run = RunSpec::new(3, "mlp", Seed::from(7), vec![0, 1, 5]);
        (run.valid, run.features) = (vec![2].into(), Some(vec![1, 0]));
        run.settings = Settings::new().with("epochs", 20);
        run
    }

    #[test]
    fn a_run_that_depends_on_no_other_is_written_as_before() {
        let run = run();
        let RunSpec { id, slot, seed, refit, collect, .. } = run;
        let RunSpec { architecture, train, valid, excluded, features, settings, .. } = run.clone();
        let before = Before {
            id,
            architecture,
            slot,
            seed,
            train,
            valid,
            excluded,
            refit,
            features,
            collect,
            settings,
        };
        assert_eq!(codec::encode(&run).unwrap(), codec::encode(&before).unwrap());
        assert_eq!(serde_json::to_string(&run).unwrap(), serde_json::to_string(&before).unwrap());
    }

    #[test]
    fn sequences_are_read_back() {
        let rule = Rule::new(AdaBoostRule::default());
        let run = RunSpec { sequence: Some(Sequence { number: 0, first: 2, rounds: 4, rule }), ..run() };
        let bytes = codec::encode(&run).unwrap();
        assert_eq!(codec::decode::<RunSpec>(&bytes).unwrap(), run);
        let json = serde_json::to_string(&run).unwrap();
        let back: RunSpec = serde_json::from_str(&json).unwrap();
        assert_eq!((&back, back.round()), (&run, 1));
        assert!(json.contains("adaboost learning-rate=1"), "{json}");
        let wrong = json.replace("0 2 4 adaboost", "0 two 4 adaboost");
        let e = serde_json::from_str::<RunSpec>(&wrong).unwrap_err().to_string();
        assert!(e.contains("the sequence of a run must be three numbers and a rule"), "{e}");
    }
}
