//! Setups and changes as Rust code.
use crate::{
    plan::{BatchSize, Settings, Value},
    remedy::{Change, Setup, Start},
    train::{EarlyStopping, Loss, Optimizer, TrainConfig},
    Result,
};
use serde_json::Value as Json;

/// The longest line.
const WIDTH: usize = 100;

impl Setup {
    /// The setup as Rust code: a trainer, made of one called `trainer` whose configuration is `trainer`, and
    /// a strategy.
    ///
    /// ```
    /// use candle_ensemble::{plan::Settings, remedy::Setup, train::TrainConfig};
    ///
    /// let mut setup = Setup::default();
    /// setup.settings = Settings::new().with("learning_rate", 0.01).with("width", 64);
    /// setup.strategy = Some("bootstrap:5".into());
    /// let code = "let trainer = trainer.optimizer(Adam::new(0.01));\n\
    ///             let strategy = Bagging::new(5).settings([Settings::new().with(\"width\", 64)]);\n";
    /// assert_eq!(setup.code(&TrainConfig::default())?, code);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// When a setting of the setup cannot be read.
    pub fn code(&self, trainer: &TrainConfig) -> Result<String> {
        let combination = self.combination.as_deref();
        code(self, trainer, &self.settings, true, combination)
    }
}

/// The code of what changes; none for what has to be done by hand alone.
pub(super) fn of_change(change: &Change, start: &Start<'_>) -> Result<String> {
    let setup = change.apply(start.setup);
    let of_strategy = change.strategy.is_some() || change.validation.is_some();
    code(&setup, start.trainer, &change.settings, of_strategy, change.combination.as_deref())
}

/// The code of these settings, of the strategy if `strategy` is set or a setting needs it, and of the
/// combination.
fn code(
    setup: &Setup,
    trainer: &TrainConfig,
    settings: &Settings,
    strategy: bool,
    combination: Option<&str>,
) -> Result<String> {
    let config = setup.config(trainer)?;
    let mut setters: Vec<String> = vec![];
    for (name, value) in settings.iter() {
        if let Some(setter) = setter(name, value, &config).filter(|setter| !setters.contains(setter)) {
            setters.push(setter);
        }
    }
    let mut out = String::new();
    if !setters.is_empty() {
        out += &chain("let trainer = trainer", &setters);
    }
    // What the trainer has no setter for is given to each run.
    let is_of_run = |(name, value): &(&str, &Value)| setter(name, value, &config).is_none();
    if strategy || settings.iter().any(|setting| is_of_run(&setting)) {
        let of_run: Vec<_> = setup.settings.iter().filter(is_of_run).collect();
        out += &strategy_code(setup, &of_run);
    }
    if let Some(text) = combination {
        out += &format!("let combination = combinations().parse({text:?})?;\n");
    }
    Ok(out)
}

/// The setter of a trainer. `None` for a setting that a trainer has none for.
fn setter(name: &str, value: &Value, config: &TrainConfig) -> Option<String> {
    let text = match value {
        Value::Text(text) => format!("{text:?}"),
        other => format!("{:?}", other.to_string()),
    };
    let parsed = |setter: &str, kind: &str| Some(format!("{setter}({kind}::parse({text})?)"));
    let of_registry = |setter: &str, kind: &str| Some(format!("{setter}({kind}::registry().parse({text})?)"));
    match name {
        "epochs" => Some(format!("epochs({})", config.epochs)),
        "batch_size" => match config.batch_size {
            BatchSize::Fixed(rows) => Some(format!("batch_size({rows}usize)")),
            _ => parsed("batch_size", "BatchSize"),
        },
        "optimizer" | "learning_rate" | "weight_decay" | "momentum" => {
            Some(format!("optimizer({})", optimizer(&config.optimizer)))
        }
        "loss" if matches!(config.loss?, Loss::Pinball { .. }) => of_registry("loss", "Loss"),
        "loss" | "label_smoothing" => Some(format!("loss(Loss::{:?})", config.loss?)),
        "clip" => Some(format!("clip(Clip::{:?})", config.clip)),
        "early_stopping" => match config.early_stopping.as_ref()? {
            rule if *rule == (EarlyStopping { patience: rule.patience, ..EarlyStopping::default() }) => {
                let patience = rule.patience;
                Some(format!(
                    "early_stopping(EarlyStopping {{ patience: {patience}, ..EarlyStopping::default() }})"
                ))
            }
            _ => of_registry("early_stopping", "EarlyStopping"),
        },
        "accumulate" => Some(format!("accumulate({})", config.accumulate)),
        "augment" => parsed("augment", "BatchTransforms"),
        "adversarial" => of_registry("adversarial", "Adversarial"),
        "averaging" => of_registry("averaging", "Averaging"),
        "plateau" => of_registry("reduce_on_plateau", "ReduceOnPlateau"),
        "loss_scale" => of_registry("loss_scale", "LossScale"),
        "class_weights" => parsed("class_weights", "ClassWeights"),
        "constraint" => parsed("constraint", "Constraints"),
        "distillation" => of_registry("distillation", "Distillation"),
        "freeze" => parsed("freeze", "Freeze"),
        "init" => parsed("init", "InitScheme"),
        "joint_loss" => of_registry("joint_loss", "JointLoss"),
        "input_scaling" => parsed("input_scaling", "Scaling"),
        "target_scaling" => parsed("target_scaling", "Scaling"),
        "noise" => parsed("noise", "Noises"),
        "regularizer" => parsed("regularizer", "Regularizers"),
        "schedule" => parsed("schedule", "LrSchedule"),
        _ => None,
    }
}

/// The constructor of an optimizer, and the setters of the parameters that are not at their defaults.
fn optimizer(optimizer: &Optimizer) -> String {
    let rate = optimizer.learning_rate();
    let Some((name, fields)) = fields(optimizer) else { return format!("{optimizer:?}") };
    let usual = Optimizer::registry().parse(&name.to_lowercase()).ok();
    let usual = usual.as_ref().and_then(fields_of).unwrap_or_default();
    let differs = |field: &str| fields.get(field) != usual.get(field);
    let mut out = format!("{name}::new({rate:?})");
    if differs("beta1") || differs("beta2") {
        let beta = |name: &str| fields.get(name).map(Json::to_string).unwrap_or_default();
        out += &format!(".betas({}, {})", beta("beta1"), beta("beta2"));
    }
    for (field, value) in fields.iter().filter(|(field, _)| differs(field)) {
        match (field.as_str(), value) {
            ("learning_rate" | "beta1" | "beta2", _) => {}
            ("velocity", Json::String(variant)) => out += &format!(".velocity(Velocity::{variant})"),
            (field, value) => out += &format!(".{field}({value})"),
        }
    }
    out
}

type Fields = serde_json::Map<String, Json>;

/// The name of an optimizer's type, and its parameters by name.
fn fields(optimizer: &Optimizer) -> Option<(String, Fields)> {
    let Ok(Json::Object(tagged)) = serde_json::to_value(optimizer) else { return None };
    match tagged.into_iter().next()? {
        (name, Json::Object(fields)) => Some((name, fields)),
        _ => None,
    }
}

fn fields_of(optimizer: &Optimizer) -> Option<Fields> {
    fields(optimizer).map(|(_, fields)| fields)
}

fn strategy_code(setup: &Setup, of_run: &[(&str, &Value)]) -> String {
    let settings = of_run.iter().fold("Settings::new()".to_string(), |all, (name, value)| {
        let value = match value {
            Value::Real(x) => format!("{x:?}"),
            other => other.to_string(),
        };
        format!("{all}.with({name:?}, {value})")
    });
    let Some((constructor, mut setters)) = constructor(&setup.runs_and_collect()) else {
        // Any strategy with any arguments.
        let strategy = setup.strategy.as_deref().unwrap_or_default();
        let mut fields = vec![format!("strategy: Some({strategy:?}.into())")];
        if !of_run.is_empty() {
            fields.push(format!("settings: {settings}"));
        }
        fields.extend(setup.validation.map(|share| format!("validation: Some({share:?})")));
        let fields = fields.join(",\n    ");
        return format!(
            "let setup = Setup {{\n    {fields},\n    ..Setup::default()\n}};\nlet strategy = setup.strategy()?;\n"
        );
    };
    if let Some(share) = setup.validation {
        setters.push(format!("validation({share:?})"));
    }
    if !of_run.is_empty() {
        setters.push(format!("settings([{settings}])"));
    }
    chain(&format!("let strategy = {constructor}"), &setters)
}

/// The constructor of a strategy whose text has one number at most, and the setter of its rule for collecting
/// members.
fn constructor(text: &str) -> Option<(String, Vec<String>)> {
    let (runs, collect) = match text.split_once('+') {
        Some((runs, collect)) => (runs, Some(collect)),
        None => (text, None),
    };
    let one_number = |text: &str| -> Option<(String, usize)> {
        let (name, number) = text.split_once(':')?;
        Some((name.trim().into(), number.trim().parse().ok()?))
    };
    let (name, number) = one_number(runs)?;
    let constructor = match name.as_str() {
        "multi-run" => "MultiRun",
        "bootstrap" | "bagging" => "Bagging",
        "k-fold" => "KFold",
        _ => return None,
    };
    let mut setters = vec![];
    if let Some(collect) = collect {
        let (rule, number) = one_number(collect)?;
        setters.push(match rule.as_str() {
            "snapshot" => format!("collect(Snapshot::new({number}))"),
            "horizontal" => format!("collect(Horizontal::last({number}))"),
            _ => return None,
        });
    }
    Some((format!("{constructor}::new({number})"), setters))
}

/// A statement of calls in a row, on one line if it fits.
fn chain(first: &str, calls: &[String]) -> String {
    let line = calls.iter().fold(first.to_string(), |line, call| format!("{line}.{call}")) + ";\n";
    match line.chars().count() <= WIDTH || calls.len() < 2 {
        true => line,
        false => calls.iter().fold(first.to_string(), |line, call| format!("{line}\n    .{call}")) + ";\n",
    }
}
