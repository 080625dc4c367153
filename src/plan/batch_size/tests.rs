use super::*;

#[test]
fn sizes_follow_the_epochs() {
    let sizes = |size: BatchSize, rows| (0..6).map(|epoch| size.rows_at(epoch, rows)).collect::<Vec<_>>();
    assert_eq!(sizes(BatchSize::Fixed(8), 20), [8; 6]);
    assert_eq!(sizes(BatchSize::Fixed(8), 5), [5; 6]);
    assert_eq!(sizes(BatchSize::Full, 20), [20; 6]);
    assert_eq!(sizes(BatchSize::Online, 20), [1; 6]);
    assert_eq!(sizes(BatchSize::Steps(vec![(0, 4), (2, 8), (3, 2)]), 20), [4, 4, 8, 2, 2, 2]);
    assert_eq!(sizes(BatchSize::Doubling { from: 3, every: 2, max: 7 }, 20), [3, 3, 6, 6, 7, 7]);
    let huge = BatchSize::Doubling { from: 3, every: 1, max: usize::MAX };
    assert_eq!(huge.rows_at(usize::MAX, 1000), 1000);
}

#[test]
fn changes_are_where_sizes_differ() {
    assert_eq!(BatchSize::Steps(vec![(0, 4), (2, 8), (9, 2)]).changes(9), [0, 2]);
    let size = BatchSize::Doubling { from: 1, every: 3, max: 64 };
    assert_eq!(size.changes(8), [0, 3, 6]);
    assert_eq!(BatchSize::Full.changes(100), [0]);
}

#[test]
fn texts_and_settings_make_the_sizes_that_they_describe() {
    for size in [
        BatchSize::Fixed(7),
        BatchSize::Full,
        BatchSize::Online,
        BatchSize::Steps(vec![(0, 32), (10, 64), (20, 128)]),
        BatchSize::Doubling { from: 16, every: 5, max: 256 },
    ] {
        assert_eq!(BatchSize::parse(&size.text()).unwrap(), size);
        let settings = Settings::new().with("batch_size", size.clone());
        assert_eq!(BatchSize::setting(&settings).unwrap(), Some(size));
    }
    assert_eq!(BatchSize::setting(&Settings::new()).unwrap(), None);
    assert!(BatchSize::setting(&Settings::new().with("batch_size", 0.5)).is_err());
}

#[test]
fn bad_sizes_are_named() {
    let doubling = |from, every, max| BatchSize::Doubling { from, every, max };
    for (size, name) in [
        (BatchSize::Fixed(0), "batch_size must be at least 1 row"),
        (BatchSize::Steps(vec![]), "BatchSize::Steps"),
        (BatchSize::Steps(vec![(1, 8)]), "the first for epoch 0"),
        (BatchSize::Steps(vec![(0, 8), (0, 9)]), "increasing epochs"),
        (BatchSize::Steps(vec![(0, 8), (3, 0)]), "from epoch 3 on"),
        (doubling(0, 1, 8), "Doubling::from"),
        (doubling(8, 0, 8), "Doubling::every"),
        (doubling(8, 1, 7), "Doubling::max must be at least 8, the first size, but is 7"),
    ] {
        let e = size.check().unwrap_err().to_string();
        assert!(e.contains(name), "{e}");
    }
    for (text, part) in [
        ("ful", "did you mean full?"),
        ("-3", "the batch size must be one of"),
        ("0", "at least 1 row"),
        ("steps:32,64:10,20", "the number of sizes of steps must be 3"),
    ] {
        let e = BatchSize::parse(text).unwrap_err().to_string();
        assert!(e.contains(part), "{e}");
    }
}
