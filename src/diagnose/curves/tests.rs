//! Curves from every format, with numbers known by hand.
use super::*;
use crate::weights::Weights;
use proptest::prelude::*;

fn read(file: &str, text: &str) -> ReadCurves {
    Curves::from_bytes(file, text.as_bytes()).unwrap()
}

fn refused(text: &str) -> String {
    Curves::from_bytes("a.csv", text.as_bytes()).unwrap_err().to_string()
}

/// Whether two series are the same, NaN being equal to NaN.
fn same(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b || a.is_nan() && b.is_nan())
}

#[track_caller]
fn check_run(run: &Curve, train: &[f64], valid: &[f64], train_metric: &[f64], valid_metric: &[f64]) {
    assert!(same(&run.train_loss, train), "{run:?}");
    assert!(same(&run.valid_loss, valid), "{run:?}");
    assert!(same(&run.train_metric, train_metric), "{run:?}");
    assert!(same(&run.valid_metric, valid_metric), "{run:?}");
}

fn noted(read: &ReadCurves, text: &str) -> bool {
    read.notes.iter().any(|note| note.contains(text))
}

const NAN: f64 = f64::NAN;

#[test]
fn labelled_curves_are_read_without_their_settings() {
    let text = r#"{"task":"regression","metric":"rmse","runs":[
        {"train_loss":[4,1,null],"valid_loss":[9,4,1],"train_metric":[2,1,null],"valid_metric":[3,2,1]},
        {"train_loss":[5,2,1],"valid_loss":[9,4,2],"train_metric":[2,1,1],"valid_metric":[3,2,1]}],
        "train_rows":80,"valid_rows":20,"settings":{"metric":"accuracy","train_rows":7}}"#;
    let read = read("c.json", text);
    assert_eq!(read.curves.runs.len(), 2);
    check_run(&read.curves.runs[0], &[4., 1., NAN], &[9., 4., 1.], &[2., 1., NAN], &[3., 2., 1.]);
    assert_eq!(read.curves.metric, Some(CurveMetric::Rmse));
    assert_eq!((read.curves.train_rows, read.curves.valid_rows), (Some(80), Some(20)));
    assert_eq!(read.curves.to_string(), "2 runs, 3 epochs, rmse, 80 training rows, 20 validation rows");
}

#[test]
fn the_history_of_keras_is_read_alone_or_with_what_holds_it() {
    let lists = r#"{"loss": [0.9, NaN], "acc": [0.25, 0.5], "val_loss": [1.5, Infinity], "val_acc": [0.125, 0.75],
                    "lr": [0.01, 0.01]}"#;
    let whole =
        format!(r#"{{"history": {lists}, "epoch": [0, 1], "params": {{"epochs": 2, "samples": 60}}}}"#);
    for (text, rows) in [(lists, None), (&whole, Some(60))] {
        let read = read("h.json", text);
        check_run(&read.curves.runs[0], &[0.9, NAN], &[1.5, NAN], &[0.25, 0.5], &[0.125, 0.75]);
        assert_eq!(read.curves.metric, Some(CurveMetric::Accuracy));
        assert_eq!(read.curves.train_rows, rows);
    }
    assert!(noted(&read("h.json", lists), "not used: \"lr\""));
}

#[test]
fn several_histories_are_several_runs() {
    let one = r#"{"loss": [3, 2], "val_loss": [4, 3]}"#;
    let two = r#"{"loss": [2, 1], "val_loss": [5, 4]}"#;
    for text in [
        format!("[{one}, {two}]"),
        format!(r#"{{"fold_1": {one}, "fold_2": {two}}}"#),
        format!("{one}\n{two}\n"),
        format!(r#"[{{"history": {one}}}, {{"history": {two}}}]"#),
        format!(r#"{{"runs": [{one}, {two}]}}"#),
    ] {
        let read = read("h.json", &text);
        assert_eq!(read.curves.runs.len(), 2, "{text}");
        check_run(&read.curves.runs[1], &[2., 1.], &[5., 4.], &[], &[]);
    }
    let nested = r#"{"train": {"loss": [3, 2]}, "val": {"loss": [4, 3]}}"#;
    check_run(&read("h.json", nested).curves.runs[0], &[3., 2.], &[4., 3.], &[], &[]);
    let pandas = r#"{"loss": {"0": 3, "1": 2}, "val_loss": {"0": 4, "1": null}}"#;
    check_run(&read("h.json", pandas).curves.runs[0], &[3., 2.], &[4., NAN], &[], &[]);
}

#[test]
fn keras_validates_every_few_epochs() {
    let read = read("h.json", r#"{"loss": [5, 4, 3, 2, 1], "val_loss": [7, 6]}"#);
    check_run(&read.curves.runs[0], &[5., 4., 3., 2., 1.], &[NAN, 7., NAN, 6., NAN], &[], &[]);
    assert!(noted(&read, "\"val_loss\" has 2 of 5 values: one every 2 epochs"));
}

#[test]
fn the_csv_logger_of_keras_is_read() {
    let text = "epoch;accuracy;loss;val_accuracy;val_loss\r\n0;0.5;0.9;NA;NA\r\n1;0.75;nan;0.25;1.5\r\n";
    let read = read("log.csv", text);
    check_run(&read.curves.runs[0], &[0.9, NAN], &[NAN, 1.5], &[0.5, 0.75], &[NAN, 0.25]);
}

#[test]
fn epochs_that_start_again_go_on_or_are_another_run() {
    // The loss goes on: 0.5 is nearer to 0.6 than to 2.
    let read1 = read("log.csv", "epoch,loss\n0,2\n1,1\n2,0.6\n0,0.5\n1,0.4\n");
    assert_eq!(read1.curves.runs.len(), 1);
    assert_eq!(read1.curves.runs[0].train_loss, [2., 1., 0.6, 0.5, 0.4]);
    assert!(noted(&read1, "the epochs start again in line 5 and the loss goes on"));
    // It starts again, below a repeated header; a third part goes on.
    let text = "epoch,loss\n0,2\n1,1\n2,0.6\nepoch,loss\n0,1.9\n1,0.8\n0,0.7\n1,0.6\n0,2.1\n";
    let read2 = read("log.csv", text);
    let losses: Vec<_> = read2.curves.runs.iter().map(|run| run.train_loss.clone()).collect();
    assert_eq!(losses, [vec![2., 1., 0.6], vec![1.9, 0.8, 0.7, 0.6], vec![2.1]]);
    assert!(noted(&read2, "the epochs start again in line 6, and so does the loss: another run"));
    // A continued run that is followed by a new one.
    let read3 = read("log.csv", "epoch,loss\n0,2\n1,1\n0,0.9\n1,0.8\n0,1.95\n1,1\n");
    let losses: Vec<_> = read3.curves.runs.iter().map(|run| run.train_loss.clone()).collect();
    assert_eq!(losses, [vec![2., 1., 0.9, 0.8], vec![1.95, 1.]]);
    // Without epochs, the header alone tells.
    let read4 = read("log.csv", "loss\n2\n1\nloss\n2\n1.5\nloss\n1.4\n");
    let losses: Vec<_> = read4.curves.runs.iter().map(|run| run.train_loss.clone()).collect();
    assert_eq!(losses, [vec![2., 1.], vec![2., 1.5, 1.4]]);
}

#[test]
fn a_resumed_training_replaces_its_epochs() {
    let read = read("log.csv", "epoch,loss\n0,4\n1,3\n2,2\n3,nan\n2,2.5\n3,2\n4,1\n");
    assert_eq!(read.curves.runs.len(), 1);
    assert_eq!(read.curves.runs[0].train_loss, [4., 3., 2.5, 2., 1.]);
    assert!(noted(&read, "the epochs of line 6 and below replace earlier ones"));
}

#[test]
fn the_metrics_of_lightning_have_rows_for_training_and_validation() {
    let text = "epoch,lr-Adam,step,train_loss_epoch,train_loss_step,val_acc,val_f1,val_loss\n\
                0,0.01,0,,,,,\n\
                0,,9,,0.8,,,\n\
                0,,19,,,0.5,0.4,1.0\n\
                0,,19,0.9,,,,\n\
                1,,29,,0.4,,,\n\
                1,,39,,,0.75,0.6,0.7\n\
                1,,39,0.5,,,,\n";
    let with_means = read("metrics.csv", text);
    check_run(&with_means.curves.runs[0], &[0.9, 0.5], &[1., 0.7], &[], &[0.5, 0.75]);
    assert!(noted(&with_means, "the training loss is \"train_loss_epoch\""));
    assert!(noted(&with_means, "not used: \"lr-Adam\", \"train_loss_step\", \"val_f1\""));

    let text =
        "epoch,step,train_loss,val_loss\n0,9,3,\n0,19,1,\n0,19,,5\n1,29,1,\n1,39,0,\n1,39,,4\n2,49,0.25,\n";
    let steps = read("metrics.csv", text);
    check_run(&steps.curves.runs[0], &[2., 0.5, 0.25], &[5., 4., NAN], &[], &[]);
    assert!(noted(&steps, "several values of one epoch are averaged"));
}

#[test]
fn steps_without_epochs_end_with_a_validation() {
    let read = read("log.csv", "step,train/loss,valid/loss\n1,4,\n2,2,\n2,,5\n3,1,\n4,3,4\n5,7,\n");
    check_run(&read.curves.runs[0], &[3., 2., 7.], &[5., 4., NAN], &[], &[]);
    assert!(noted(&read, "training steps are averaged up to each validation"));
}

#[test]
fn plain_tables_hold_runs_in_a_column() {
    let text =
        "seed\tEpoch\tTrain Loss\tValidation Loss\n7\t1\t2\t3\n7\t2\t1\t2.5\n3\t1\t2.5\t3\n3\t2\t1.5\t2\n";
    let read = read("a.tsv", text);
    assert_eq!(read.curves.runs.len(), 2);
    check_run(&read.curves.runs[0], &[2., 1.], &[3., 2.5], &[], &[]);
    check_run(&read.curves.runs[1], &[2.5, 1.5], &[3., 2.], &[], &[]);
}

#[test]
fn decimal_commas_quotes_marks_and_utf16_are_read() {
    let text = "\"Epoch\";\"train_loss\";\"valid_loss\"\r\n1;0,5;\"0,75\"\r\n2;0,25;1\r\n";
    let units: Vec<u16> = text.encode_utf16().collect();
    let utf16 = [b"\xff\xfe".to_vec(), units.iter().flat_map(|unit| unit.to_le_bytes()).collect()].concat();
    let big = [b"\xfe\xff".to_vec(), units.iter().flat_map(|unit| unit.to_be_bytes()).collect()].concat();
    let marked = [b"\xef\xbb\xbf", text.as_bytes()].concat();
    for bytes in [text.as_bytes().to_vec(), marked, utf16, big, text.replace("\r\n", "\r").into_bytes()] {
        let read = Curves::from_bytes("a.csv", &bytes).unwrap();
        check_run(&read.curves.runs[0], &[0.5, 0.25], &[0.75, 1.], &[], &[]);
    }
}

#[test]
fn percentages_and_error_rates_become_accuracies() {
    let percent = read("a.csv", "epoch,loss,acc,val_acc\n0,2,50,25\n1,1,87.5,75\n");
    check_run(&percent.curves.runs[0], &[2., 1.], &[], &[0.5, 0.875], &[0.25, 0.75]);
    assert!(noted(&percent, "taken as a percentage and divided by 100"));
    let signs = read("a.csv", "epoch,loss,acc\n0,2,50%\n1,1,87.5%\n");
    assert_eq!(signs.curves.runs[0].train_metric, [0.5, 0.875]);
    let errors = read("a.csv", "epoch,train_loss,train_error_rate\n0,2,0.25\n1,1,0.125\n");
    assert_eq!(errors.curves.runs[0].train_metric, [0.75, 0.875]);
    let wrong = read("a.csv", "epoch,loss,acc\n0,2,-1\n1,1,5000\n");
    assert!(wrong.curves.runs[0].train_metric.is_empty());
    assert!(noted(&wrong, "the metric lies from -1 to 5000"));
    // The error that both kinds of rows have is the loss, so that the two can be compared.
    let squared = read("a.csv", "epoch,loss,mse,val_mse\n0,2,4,9\n1,1,1,4\n");
    check_run(&squared.curves.runs[0], &[4., 1.], &[9., 4.], &[2., 1.], &[3., 2.]);
    assert_eq!(squared.curves.metric, Some(CurveMetric::Rmse));
}

#[test]
fn a_metric_without_a_name_or_a_loss_is_guessed() {
    let named = read("a.csv", "epoch,train_loss,train_metric\n0,2,0.5\n1,1,0.75\n");
    assert_eq!(named.curves.metric, Some(CurveMetric::Accuracy));
    assert!(noted(&named, "by its values it is taken as accuracy"));
    let alone = read("a.csv", "epoch,acc,val_acc\n0,0.5,0.25\n1,0.75,0.5\n");
    check_run(&alone.curves.runs[0], &[0.5, 0.25], &[0.75, 0.5], &[0.5, 0.75], &[0.25, 0.5]);
    assert!(noted(&alone, "there is no loss: the share of errors stands in for it"));
}

#[test]
fn rows_can_be_out_of_order_or_missing() {
    let mixed = read("a.csv", "epoch,loss,val_loss\n2,3,6\n0,5,8\n1,4,7\n5,2,5\n");
    check_run(&mixed.curves.runs[0], &[5., 4., 3., 2.], &[8., 7., 6., 5.], &[], &[]);
    assert!(noted(&mixed, "out of order"));
    assert!(noted(&mixed, "missing in the file: epochs 3 to 4"));
    let every = read("a.csv", "epoch,loss\n0,5\n10,4\n20,3\n");
    assert!(noted(&every, "only every 10 epochs are in the file"));
    // Training and validation in rows of their own.
    let text = "phase,epoch,loss,acc\ntrain,0,3,0.5\ntrain,1,2,0.75\nval,0,4,0.25\nval,1,3,0.5\n";
    let long = read("a.csv", text);
    check_run(&long.curves.runs[0], &[3., 2.], &[4., 3.], &[0.5, 0.75], &[0.25, 0.5]);
    assert!(!noted(&long, "out of order"));
    assert!(refused("phase,epoch,loss\nblue,0,3\n")
        .contains("column \"phase\" in line 2 of a.csv must be train or valid, but is \"blue\""));
}

#[test]
fn series_of_tensorboard_are_put_together() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, rows: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("Wall time,Step,Value\n{rows}")).unwrap();
        path
    };
    let paths = [
        write("run-a_train-tag-epoch_loss.csv", "1.5e9,0,2\n1.5e9,1,1\n"),
        write("run-a_train-tag-epoch_accuracy.csv", "1.5e9,0,0.25\n1.5e9,1,0.5\n"),
        write("run-a_validation-tag-epoch_loss.csv", "1.5e9,0,3\n1.5e9,1,2.5\n"),
        write("run-b_validation-tag-epoch_loss.csv", "1.5e9,0,4\n1.5e9,1,3.5\n"),
        write("run-b_train-tag-epoch_loss.csv", "1.5e9,0,2.5\n1.5e9,1,NaN\n"),
    ];
    for read in [Curves::read_all(&paths).unwrap(), Curves::read_each(&paths).unwrap().remove(0)] {
        assert_eq!((read.curves.runs.len(), read.files.len()), (2, 5));
        check_run(&read.curves.runs[0], &[2., 1.], &[3., 2.5], &[0.25, 0.5], &[]);
        check_run(&read.curves.runs[1], &[2.5, NAN], &[4., 3.5], &[], &[]);
    }
    // PyTorch's writer has the split in the tag, and often more steps of training.
    let paths = [
        write("run-.-tag-Loss_train.csv", "1,1,4\n1,2,2\n1,3,1\n1,4,1\n"),
        write("run-.-tag-Loss_valid.csv", "1,2,5\n1,4,4\n"),
    ];
    check_run(&Curves::read_all(&paths).unwrap().curves.runs[0], &[3., 1.], &[5., 4.], &[], &[]);
    let error = Curves::read(write("download.csv", "1,1,4\n")).unwrap_err().to_string();
    assert!(
        error.contains("named after the series it holds") && error.ends_with("but is \"download\""),
        "{error}"
    );
}

#[test]
fn several_files_are_runs_of_one_network_or_networks() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let paths = [
        write("a.csv", "loss,val_loss\n2,3\n1,2\n"),
        write("b.json", r#"{"loss": [3, 2], "val_loss": [4, 3]}"#),
    ];
    let all = Curves::read_all(&paths).unwrap();
    assert_eq!(all.curves.runs.len(), 2);
    assert!(
        all.notes.iter().all(|note| note.contains("a.csv: ") || note.contains("b.json: ")),
        "{:?}",
        all.notes
    );
    let each = Curves::read_each(&paths).unwrap();
    assert_eq!(each.iter().map(|read| read.curves.runs.len()).collect::<Vec<_>>(), [1, 1]);
    let other = write("c.csv", "loss,val_rmse\n2,3\n1,2\n");
    let accuracy = write("d.csv", "loss,val_acc\n2,0.5\n1,0.75\n");
    let error = Curves::read_all([other, accuracy]).unwrap_err().to_string();
    assert!(error.contains("d.csv must be rmse, as in") && error.ends_with("but is accuracy"), "{error}");
    assert!(matches!(Curves::read(folder.path().join("none.csv")), Err(Error::Io { .. })));
}

#[test]
fn records_of_epochs_are_read_as_they_are_stored() {
    let record = |epoch, loss, valid| EpochRecord {
        epoch,
        train_loss: loss,
        train_metric: 1. - loss / 4.,
        valid_loss: valid,
        ..EpochRecord::default()
    };
    let run = vec![record(0, 2., Some(3.)), record(1, f64::INFINITY, Some(2.5))];
    let one = Curves::from_bytes("r.json", &serde_json::to_vec(&run).unwrap()).unwrap();
    check_run(&one.curves.runs[0], &[2., NAN], &[3., 2.5], &[0.5, NAN], &[]);
    assert_eq!(one.curves.runs[0].valid_loss, Curve::of_records(&run).valid_loss);
    let two =
        Curves::from_bytes("r.json", &serde_json::to_vec(&[run.clone(), run.clone()]).unwrap()).unwrap();
    assert_eq!(two.curves.runs.len(), 2);
    check_run(&Curve::of_records(&run), &[2., NAN], &[3., 2.5], &[0.5, NAN], &[]);
    // Rows with a column of runs, and the log of Hugging Face's trainer.
    let rows =
        r#"[{"run":"a","epoch":0,"loss":2},{"run":"b","epoch":0,"loss":3},{"run":"a","epoch":1,"loss":1}]"#;
    let losses: Vec<_> = read("r.json", rows).curves.runs.into_iter().map(|run| run.train_loss).collect();
    assert_eq!(losses, [vec![2., 1.], vec![3.]]);
    let log = r#"{"log_history":[{"epoch":0.5,"loss":3,"step":1},{"epoch":1.0,"loss":1,"step":2},
        {"epoch":1.0,"eval_loss":4},{"epoch":1.5,"loss":1},{"epoch":2.0,"loss":0},{"epoch":2.0,"eval_loss":3}]}"#;
    check_run(&read("trainer_state.json", log).curves.runs[0], &[2., 0.5], &[4., 3.], &[], &[]);
}

#[test]
fn members_give_the_longest_curve_of_each_run() {
    let member = |run, epochs: usize, refit| {
        let loss = |epoch| (run as f64 + 4.) / (epoch as f64 + 1.);
        let curve = (0..epochs).map(|epoch| EpochRecord {
            epoch,
            train_loss: loss(epoch),
            train_metric: 1. - loss(epoch) / 10.,
            ..EpochRecord::default()
        });
        let text = r#"{"run":0,"index":0,"slot":0,"architecture":"","settings":{},"features":null,"seen":[],
                       "curve":[],"key":""}"#;
        let mut record: crate::store::Record = serde_json::from_str(text).unwrap();
        (record.run, record.refit, record.curve) = (run, refit, curve.collect());
        Member { weights: Weights::default(), record }
    };
    let members = [member(1, 2, false), member(0, 1, false), member(0, 3, false), member(2, 4, true)];
    let curves = Curves::of_members(&members);
    let losses: Vec<_> = curves.runs.iter().map(|run| run.train_loss.clone()).collect();
    assert_eq!(losses, [vec![4., 2., 4. / 3.], vec![5., 2.5]]);
    assert_eq!(curves.metric, Some(CurveMetric::Accuracy));
    assert_eq!(curves.to_string(), "2 runs, 2 to 3 epochs, accuracy, no validation");
    assert_eq!(Curves::of_members(&members[3..]).runs.len(), 1);
    assert!(Curves::of_members(&[]).check().is_err());
}

#[test]
fn odd_cells_and_rows_are_noted_and_never_decide() {
    let text = "# by hand\nepoch,loss,val_loss\n0,5,6\n1,oops,5\n2,3\n3,2,4,9\n4,1,3\n\n,,\n";
    let read1 = read("a.csv", text);
    check_run(&read1.curves.runs[0], &[5., NAN, 3., 2., 1.], &[6., 5., NAN, 4., 3.], &[], &[]);
    assert!(noted(&read1, "\"oops\" in column \"loss\" of line 4"), "{:?}", read1.notes);
    assert!(noted(&read1, "more or fewer fields than the header's 3: 5, 6"), "{:?}", read1.notes);
    let texts = read("a.csv", "epoch,loss\nEpoch 1/9,2\nEpoch 2/9,1\nmean,1.5\n");
    assert_eq!(texts.curves.runs[0].train_loss, [2., 1.]);
    assert!(noted(&texts, "\"mean\" in column \"epoch\" of line 4, which is left out"));
    let savetxt = read("a.csv", "# epoch,loss\n0.0,2\n1.0,1\n");
    assert_eq!(savetxt.curves.runs[0].train_loss, [2., 1.]);
    let pandas = read("a.csv", ",loss,val_loss\n0,2,3\n1,1,2\n");
    assert_eq!(pandas.curves.runs[0].valid_loss, [3., 2.]);
    let test_rows = read("a.csv", "epoch,loss,test_loss\n0,2,3\n");
    assert!(noted(&test_rows, "the test rows are taken as the validation rows"));
}

#[test]
fn what_is_no_curve_is_refused_in_plain_words() {
    for (text, error) in [
        ("", "a.csv must be learning curves as text (CSV or JSON), but is empty"),
        ("epoch,loss\n", "a.csv must be a table with rows that have their epoch, but is without rows"),
        ("epoch,loss\n0,\n", "a.csv must be a table with a loss, but is without any value of one"),
        ("1,2\n3,4\n", "the first line of a.csv must be a header with the names of the columns"),
        ("a,b\n3,4\n", "the columns of a.csv must be named so that one is the loss"),
        ("epoch,loss\n0,a\n1,b\n2,3\n", "column \"loss\" of a.csv must be a column of numbers, but is \"a\""),
        ("epoch,loss\n0,1,2\n1,2,3\n", "line 2 of a.csv must be 2 fields, as the header has, but is 3"),
        (
            "epoch,loss\nx,1\n",
            "a.csv must be a table with rows that have their epoch, but is \"x\" in column \"epoch\"",
        ),
        (
            "{\"loss\": [1, 2",
            "a.csv must be JSON as a whole, but is damaged: EOF while parsing a list at line 1",
        ),
        (
            "{\"loss\": [1, \"x\"]}",
            "a.csv must be learning curves: lists of losses by name, or a list of epochs",
        ),
        ("{\"loss\": [1], \"val_loss\": [\"x\"]}", "\"val_loss\" of a.csv must be a list of numbers"),
        ("{\"runs\": []}", "\"runs\" of a.csv must be a list with at least one run"),
        ("{\"a\": 1}", "a.csv must be learning curves"),
        ("[]", "a.csv must be learning curves"),
        ("<html>", "a.csv must be learning curves as text (CSV or JSON), but is a web page"),
        ("PK\u{3}\u{4}", "a.csv must be learning curves as text (CSV or JSON), but is a zip archive"),
        ("a\0b", "a.csv must be learning curves as text (CSV or JSON), but is binary"),
    ] {
        let got = refused(text);
        assert!(got.starts_with(error), "{text:?}: {got}");
    }
}

#[test]
fn curves_are_checked() {
    let run = Curve { train_loss: vec![1., 2.], valid_loss: vec![1.], ..Curve::default() };
    let error = Curves::new(vec![run]).check().unwrap_err().to_string();
    assert_eq!(error, "valid_loss of run 1 must be empty or of 2 values, one for each epoch, but is of 1");
    assert!(Curves::new(vec![Curve::default()]).check().is_err());
    assert!(Curves::default().to_csv().is_err());
}

/// A loss or a metric, which may be missing.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![8 => 0f64..1., 1 => Just(NAN), 1 => Just(0.1 + 0.2)]
}

fn curves() -> impl Strategy<Value = Curves> {
    let series = |epochs: usize| prop_oneof![3 => prop::collection::vec(value(), epochs), 1 => Just(vec![])];
    let run = (1usize..6).prop_flat_map(move |epochs| {
        (prop::collection::vec(value(), epochs), series(epochs), series(epochs), series(epochs)).prop_map(
            |(train_loss, valid_loss, train_metric, valid_metric)| Curve {
                train_loss,
                valid_loss,
                train_metric,
                valid_metric,
            },
        )
    });
    (prop::collection::vec(run, 1..4), 0usize..2).prop_map(|(runs, metric)| {
        let metrics = runs
            .iter()
            .any(|run| [&run.train_metric, &run.valid_metric].iter().any(|m| m.iter().any(|x| !x.is_nan())));
        let metric = [CurveMetric::Accuracy, CurveMetric::Rmse].get(metric).copied().filter(|_| metrics);
        Curves::new(runs).with_metric(metric)
    })
}

proptest! {
    #[test]
    fn curves_are_read_back_from_json_and_csv(curves in curves()) {
        // Metrics without a finite value say nothing of their kind.
        prop_assume!(curves.metric.is_some() || curves.runs.iter().all(|r| r.train_metric.is_empty() && r.valid_metric.is_empty()));
        prop_assume!(curves.runs.iter().any(|run| run.train_loss.iter().any(|x| !x.is_nan())));
        let json = Curves::from_bytes("a", &serde_json::to_vec(&curves.clone().with_rows(9, None)).unwrap()).unwrap();
        let csv = Curves::from_bytes("a", curves.to_csv().unwrap().as_bytes()).unwrap();
        prop_assert_eq!(json.curves.train_rows, Some(9));
        for back in [json.curves, csv.curves] {
            prop_assert_eq!(back.metric, curves.metric);
            prop_assert_eq!(back.runs.len(), curves.runs.len());
            for (a, b) in back.runs.iter().zip(&curves.runs) {
                for ((name, a), (_, b)) in a.series().into_iter().zip(b.series()) {
                    prop_assert!(same(a, b), "{}: {:?} {:?}", name, a, b);
                }
            }
        }
    }

    #[test]
    fn no_bytes_panic(text in "[ \\t\\r\\n,;#{}\\[\\]:\"0-9.naNepochlsvt_-]{0,80}") {
        let _ = Curves::from_bytes("a", text.as_bytes());
        let _ = Curves::from_bytes("a", format!("epoch,loss,val_loss\n{text}").as_bytes());
        let _ = Curves::from_bytes("a", format!("{{\"loss\":[1,2],{text}}}").as_bytes());
    }
}
