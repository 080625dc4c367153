use super::*;

type Made = (usize, f64, Option<f64>, Vec<f64>);

fn registry() -> Registry<Made> {
    let box_entry = Entry::new("box", "Box", "A box", |arguments| {
        let numbers = arguments.optional("numbers")?.unwrap_or_default();
        Ok((arguments.get("size")?, arguments.get("share")?, arguments.optional("lambda")?, numbers))
    });
    const BOX: &[Argument] = &[
        Argument::new("size", "3", "Its size"),
        Argument::new("share", "0.5", "Its share"),
        Argument::optional("lambda", "Its penalty"),
        Argument::optional("numbers", "Its numbers"),
    ];
    let crate_entry = Entry::new("crate", "Crate", "A crate", |arguments| {
        let unit = arguments.choice("unit", &[("row", 1), ("group", 2)])?.unwrap_or_default();
        Ok((unit, arguments.get("weight")?, None, vec![]))
    });
    const CRATE: &[Argument] = &[Argument::required("weight", "Its weight"), Argument::optional("unit", "")];
    Registry::new(
        "container",
        vec![
            box_entry.with_arguments(BOX).with_aliases(&["carton"]),
            crate_entry
                .with_arguments(CRATE)
                .with_tasks(Tasks::Classification)
                .with_shorthands(&[("light-crate", "0.5")]),
        ],
    )
}

#[test]
fn arguments_come_by_position_and_by_name() {
    let made = |text| registry().parse(text).unwrap();
    assert_eq!(made("box"), (3, 0.5, None, vec![]));
    assert_eq!(made("carton:7"), (7, 0.5, None, vec![]));
    assert_eq!(made("box:7:0.25"), (7, 0.25, None, vec![]));
    assert_eq!(made("box:share=0.25:7"), (7, 0.25, None, vec![]));
    assert_eq!(made("box:lambda=1e-3:numbers=1,-2"), (3, 0.5, Some(1e-3), vec![1., -2.]));
    assert_eq!(made("crate:2:unit=group"), (2, 2., None, vec![]));
    assert_eq!(made("light-crate"), (0, 0.5, None, vec![]));
    assert_eq!(made("light-crate:unit=group"), (2, 0.5, None, vec![]));
}

#[test]
fn a_value_with_arguments_of_its_own_takes_the_parts_that_follow() {
    const NESTED: &[Argument] = &[Argument::new("count", "1", ""), Argument::required("inner", "").nested()];
    let nested = Entry::new("nested", "", "", |arguments| {
        Ok((arguments.get::<usize>("count")?, arguments.get::<String>("inner")?))
    });
    let nested = Registry::new("thing", vec![nested.with_arguments(NESTED)]);
    let made = |text| nested.parse(text).unwrap();
    assert_eq!(made("nested:inner=crate:2:0.5:count=7"), (7, "crate:2:0.5".into()));
    assert_eq!(made("nested:2:inner=crate"), (2, "crate".into()));
    assert!(nested.parse("nested:2:crate:0.5").is_err());
}

#[test]
fn a_value_may_take_the_rest_of_a_text() {
    const REST: &[Argument] = &[Argument::new("inner", "tin", "").rest(), Argument::optional("share", "")];
    let rest = Entry::new("rest", "", "", |arguments| {
        Ok((arguments.get::<String>("inner")?, arguments.optional::<f64>("share")?))
    });
    let rest = Registry::new("thing", vec![rest.with_arguments(REST)]);
    let made = |text| rest.parse(text).unwrap();
    assert_eq!(made("rest"), ("tin".into(), None));
    assert_eq!(made("rest:crate:2:share=0.5:7"), ("crate:2:share=0.5:7".into(), None));
    assert_eq!(made("rest:share=0.5:crate:2:size=1"), ("crate:2:size=1".into(), Some(0.5)));
    assert_eq!(made("rest:inner=crate:2:size=1"), ("crate:2:size=1".into(), None));
    assert!(rest.parse("rest:size=1").is_err());
}

#[test]
fn settings_stand_behind_the_text_and_before_the_defaults() {
    let settings = [("size", "8".to_string()), ("lambda", "2".into()), ("other", "x".into())];
    let made = |text| registry().parse_with(text, &settings).unwrap();
    assert_eq!(made("box"), (8, 0.5, Some(2.), vec![]));
    assert_eq!(made("box:9"), (9, 0.5, Some(2.), vec![]));
}

#[test]
fn lists_of_numbers_do_not_end_at_a_comma() {
    assert_eq!(split_list("a:1,2, .5,b,c:x=-1,-2"), ["a:1,2,.5", "b", "c:x=-1,-2"]);
    let made = registry().parse_list("box:numbers=1,2,crate:1").unwrap();
    assert_eq!(made, [(3, 0.5, None, vec![1., 2.]), (0, 1., None, vec![])]);
}

#[test]
fn errors_name_the_entry_the_argument_and_the_value() {
    let error = |text| registry().parse(text).unwrap_err().to_string();
    assert_eq!(error("bx"), "the container must be one of box, crate, but is bx; did you mean box?");
    assert_eq!(
        error("ligt-crate"),
        "the container must be one of box, crate, but is ligt-crate; did you mean light-crate?"
    );
    assert_eq!(error("tin"), "the container must be one of box, crate, but is tin");
    assert_eq!(error(""), "the container must be one of box, crate, but is empty");
    assert_eq!(error("box:x"), "the argument size of box must be a whole number, but is x");
    assert_eq!(error("box:-1"), "the argument size of box must be a whole number, but is -1");
    assert_eq!(error("box:share="), "the argument share of box must be a number, but is empty");
    assert_eq!(
        error("box:lamda=1"),
        "an argument of box must be one of size, share, lambda, numbers, but is lamda; did you mean lambda?"
    );
    assert_eq!(error("box:1:size=2"), "the argument size of box must be given once, but is given twice");
    assert_eq!(error("crate:1:group:3"), "the number of arguments of crate must be at most 2, but is 3");
    assert_eq!(error("crate"), "the argument weight of crate must be given (Its weight), but is missing");
    assert_eq!(
        error("crate:1:unit=rows"),
        "the argument unit of crate must be one of row, group, but is rows"
    );
    let must = "a list, separated by commas, each a number";
    let expected = format!("the argument numbers of box must be {must}, but is 1,b");
    assert_eq!(error("box:numbers=1,b"), expected);
}

#[test]
fn help_and_markdown_show_every_entry() {
    let help = "box    A box (also carton; size=3; share=0.5; [lambda=…]; [numbers=…])\n\
                crate  A crate (light-crate for crate:0.5; for classes; weight=…; [unit=…])\n";
    assert_eq!(registry().help(), help);
    let markdown = registry().markdown();
    assert!(markdown.starts_with("| Name | Item | Tasks | What it does | Arguments |\n"));
    assert!(markdown.contains("| `crate`, `light-crate` (`crate:0.5`) | [`Crate`] | classes | A crate |"));
    assert!(markdown.contains("| `box`, `carton` | [`Box`] | both | A box | `size=3`, `share=0.5`, "));
}
