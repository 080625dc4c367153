//! Setups as files and as strategies.
use super::{cases, config, settings};
use crate::{
    codec::{decode, encode},
    nn::many::TabM,
    plan::{Collect, Horizontal, Settings, Snapshot},
    remedy::{propose, remedies, Change, Setup},
    strategy::{Bagging, Efficient, EnsembleBuilder, KFold, MultiRun, RandomSubspace},
    Seed,
};
use serde_json::json;

fn full() -> Setup {
    Setup {
        settings: settings([("schedule", "cosine")])
            .with("learning_rate", 0.01)
            .with("epochs", 60)
            .with("batch_norm", true),
        strategy: Some("bootstrap:10".into()),
        combination: Some("mean".into()),
        validation: Some(0.15),
    }
}

#[test]
fn json_has_plain_values_and_only_what_is_set() {
    let json = json!({
        "settings": {"batch_norm": true, "epochs": 60, "learning_rate": 0.01, "schedule": "cosine"},
        "strategy": "bootstrap:10",
        "combination": "mean",
        "validation": 0.15
    });
    assert_eq!(serde_json::to_value(full()).unwrap(), json);
    assert_eq!(serde_json::from_value::<Setup>(json).unwrap(), full());
    assert_eq!(serde_json::to_value(Setup::default()).unwrap(), json!({"settings": {}}));
    assert_eq!(serde_json::from_str::<Setup>("{}").unwrap(), Setup::default());
    // A real number stays one.
    let whole = Setup { settings: Settings::new().with("weight_decay", 1.), ..Setup::default() };
    let text = serde_json::to_string(&whole).unwrap();
    assert_eq!(
        (text.as_str(), serde_json::from_str(&text).unwrap()),
        (r#"{"settings":{"weight_decay":1.0}}"#, whole)
    );
}

#[test]
fn every_form_is_read_back() {
    let by_hand = Change { by_hand: Some("more rows".into()), validation: Some(0.3), ..Change::default() };
    let of_setup = Change { settings: full().settings, strategy: full().strategy, ..Change::default() };
    for change in [Change::default(), by_hand, of_setup] {
        assert_eq!(serde_json::from_value::<Change>(serde_json::to_value(&change).unwrap()).unwrap(), change);
        assert_eq!(decode::<Change>(&encode(&change).unwrap()).unwrap(), change);
    }
    for setup in [Setup::default(), full()] {
        assert_eq!(decode::<Setup>(&encode(&setup).unwrap()).unwrap(), setup);
    }
    for proposal in propose(&remedies(), &super::findings(), &cases()[2].start()) {
        let text = serde_json::to_string(&proposal).unwrap();
        assert_eq!(serde_json::from_str::<crate::remedy::Proposal>(&text).unwrap(), proposal);
    }
}

#[test]
fn a_file_is_read_back_and_errors_name_it_and_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("setup.json");
    full().write(&path).unwrap();
    assert_eq!(Setup::read(&path).unwrap(), full());
    let error = |text: &str| {
        std::fs::write(&path, text).unwrap();
        Setup::read(&path).unwrap_err().to_string().replace(&path.display().to_string(), "FILE")
    };
    assert_eq!(
        error(r#"{"setings": {}}"#),
        "a key of a setup in FILE must be one of settings, strategy, combination, validation, but is \"setings\""
    );
    assert_eq!(
        error(r#"{"settings": {"hidden": [64, 32]}}"#),
        "the setting \"hidden\" in FILE must be a number, a text, true or false, but is [64,32]"
    );
    assert_eq!(error(r#"{"settings": 3}"#), "settings in FILE must be an object, { … }, but is 3");
    assert_eq!(
        error(r#"{"validation": "0.1"}"#),
        "\"validation\" in FILE must be a number between 0 and 1, but is \"0.1\""
    );
    assert_eq!(
        error(r#"{"strategy": 5}"#),
        "\"strategy\" in FILE must be a text, such as bootstrap:10, but is 5"
    );
    assert!(error("{").starts_with("FILE must be JSON, but is not: EOF"), "{}", error("{"));
    assert!(Setup::read(folder.path().join("none.json")).unwrap_err().to_string().contains("none.json"));
    let infinite = Setup { settings: Settings::new().with("clip", f64::INFINITY), ..Setup::default() };
    let e = infinite.write(&path).unwrap_err().to_string();
    assert!(e.contains("the setting \"clip\" must be finite, but is inf"), "{e}");
}

#[test]
fn a_check_names_what_is_wrong() {
    let error = |setup: Setup| setup.check(&config()).unwrap_err().to_string();
    assert!(full().check(&config()).is_ok());
    assert!(error(Setup { strategy: Some("bagged:3".into()), ..full() })
        .starts_with("the strategy must be one of"));
    assert!(error(Setup { combination: Some("men".into()), ..full() }).ends_with("did you mean mean?"));
    let share = error(Setup { validation: Some(1.5), ..full() });
    assert_eq!(share, "the validation share must be between 0 and 1, but is 1.5");
    let epochs = Setup { settings: settings([("epochs", "many")]), ..full() };
    assert_eq!(error(epochs), "the setting \"epochs\" must be a whole number, zero or more, but is \"many\"");
    let cycles = Setup { strategy: Some("snapshot:61".into()), ..full() };
    assert_eq!(error(cycles), "cycles must be from 1 to 60, the epochs of a run, but is 61");
}

#[test]
fn a_strategy_gives_the_settings_to_each_run() {
    let data = cases()[0].data();
    let plan = |builder: &dyn EnsembleBuilder| builder.plan(&data, &["model".into()], Seed::from(5)).unwrap();
    let given = Settings::new().with("epochs", 7);
    let same = |strategy: Option<&str>, validation: Option<f64>, builder: &dyn EnsembleBuilder| {
        let strategy = strategy.map(Into::into);
        let setup = Setup { settings: given.clone(), strategy, validation, ..Setup::default() };
        let mut expected = plan(builder);
        for run in &mut expected.runs {
            run.settings = given.clone().with_all(run.settings.iter());
        }
        assert_eq!(plan(&*setup.strategy().unwrap()), expected, "{strategy:?}", strategy = setup.strategy);
    };
    same(None, None, &MultiRun::new(1));
    same(None, Some(0.2), &MultiRun::new(1).validation(0.2));
    same(Some("bootstrap:3"), Some(0.2), &Bagging::new(3).validation(0.2));
    same(Some("bootstrap:3:validation=0.1"), Some(0.2), &Bagging::new(3).validation(0.1));
    same(Some("snapshot:3"), Some(0.2), &MultiRun::new(1).collect(Snapshot::new(3)).validation(0.2));
    same(Some("horizontal:3"), None, &Horizontal::last(3));
    // The number of inputs is the strategy's to say.
    same(Some("random-subspace:2"), None, &RandomSubspace::new(2, 0.5));
    // The method of many members in one network is the strategy's, too.
    let tab_m = || Efficient::new(TabM::new(4));
    same(Some("efficient:tab-m:4"), Some(0.2), &tab_m().within(MultiRun::new(1).validation(0.2)));
    let snapshots = KFold::new(3).collect(Snapshot::new(3));
    same(Some("k-fold:3+efficient:tab-m:4+snapshot:3"), None, &tab_m().within(snapshots));
    let collects = |text: &str| Setup { strategy: Some(text.into()), ..Setup::default() }.collect().unwrap();
    assert_eq!(collects("k-fold:3+efficient:tab-m:4+snapshot:3"), Snapshot::new(3).into());
    assert_eq!(collects("k-fold:3+efficient:tab-m:4"), Collect::default());
}
