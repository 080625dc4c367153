//! Faults between client and server, and a server that is killed.
use crate::{
    assert_complete, build,
    common::Tally,
    files, large, options,
    proxy::{Fault, Proxy},
    server::{Process, Server, BUCKET},
    store, text, train, with_options, EPOCHS, RUNS,
};
use candle_ensemble::{
    exec::Sequential,
    observe::{Event, Flow, Observer},
    store::{Blobs, Store},
};
use std::{
    fs, thread,
    time::{Duration, Instant},
};

/// A proxied server.
fn proxied() -> (Server, Proxy) {
    let server = Server::start();
    let proxy = Proxy::start(server.address);
    (server, proxy)
}

/// Each object of a build meets the fault on its way there; the build ends with the bytes of a directory.
#[test]
fn a_build_survives_faults_of_every_put() {
    let faults = [
        Fault::CutDuring(0.),
        Fault::CutDuring(0.7),
        Fault::CutAfter,
        Fault::Answer(503, "SlowDown"),
        Fault::Answer(500, "InternalError"),
        Fault::Answer(429, "TooManyRequests"),
    ];
    for fault in faults {
        let (server, proxy) = proxied();
        let s3 = store(proxy.address, "a");
        // Manifest, members and checkpoints.
        for part in ["plan.bin", "safetensors", "checkpoint"] {
            proxy.inject("PUT", part, fault, 2);
            proxy.inject("GET", part, fault, 1);
            proxy.inject("HEAD", part, fault, 1);
        }
        train(&s3).unwrap();
        assert!(proxy.clear() >= 8, "{fault:?}");
        assert_complete(&server.folder("a"), &s3);
        assert_eq!(server.leftovers(), [""; 0], "{fault:?}");
    }
}

/// An answer that is lost is the one fault after which the object is there.
#[test]
fn a_new_object_whose_answer_was_lost_counts_as_its_own() {
    let (_server, proxy) = proxied();
    let s3 = store(proxy.address, "a");
    for fault in [Fault::CutAfter, Fault::CutDuring(0.5), Fault::Answer(503, "SlowDown")] {
        proxy.inject("PUT", "lease", fault, 1);
        assert!(s3.write_new("lease", b"mine").unwrap(), "{fault:?}");
        assert_eq!(proxy.clear(), 1);
        // That of another writer does not, also if the answer is lost.
        proxy.inject("PUT", "lease", fault, 1);
        assert!(!s3.write_new("lease", b"other").unwrap(), "{fault:?}");
        assert_eq!(proxy.clear(), 1);
        assert_eq!(s3.read("lease").unwrap().unwrap(), b"mine");
        s3.remove("lease").unwrap();
    }
    // Where another writer is at work, S3 answers 409: nothing is known yet.
    proxy.inject("PUT", "lease", Fault::Answer(409, "ConditionalRequestConflict"), 2);
    assert!(s3.write_new("lease", b"mine").unwrap());
    assert_eq!(proxy.clear(), 2);
    assert!(!s3.write_new("lease", b"mine").unwrap());
}

/// The build fails when a request fails too often, and resumes.
#[test]
fn a_build_that_failed_resumes_to_the_same_bytes() {
    let (server, proxy) = proxied();
    let s3 = store(proxy.address, "a").retries(2);
    // After a run has failed, the other runs are still tried.
    for (part, action, tries) in
        [("plan.bin", "creating", 1), ("checkpoint", "writing", RUNS), ("safetensors", "writing", RUNS)]
    {
        proxy.inject("PUT", part, Fault::Answer(503, "SlowDown"), usize::MAX);
        let e = text(&train(&s3).unwrap_err());
        assert_eq!(proxy.clear(), 3 * tries);
        let why = "failed in 3 attempts: the server answered 503 Service Unavailable (SlowDown: Injected.)";
        assert!(e.contains("s3://bucket/a/") && e.contains(part), "{e}");
        assert!(e.ends_with(&format!(": {action} {why}")), "{e}");
    }
    // What does not pass is not repeated.
    proxy.inject("PUT", "safetensors", Fault::Answer(403, "AccessDenied"), usize::MAX);
    let e = text(&train(&s3).unwrap_err());
    assert_eq!(proxy.clear(), RUNS);
    assert!(
        e.ends_with("writing failed: the server answered 403 Forbidden (AccessDenied: Injected.)"),
        "{e}"
    );
    proxy.inject("PUT", "safetensors", Fault::CutDuring(0.5), usize::MAX);
    let e = text(&train(&s3).unwrap_err());
    assert!(e.contains("writing failed in 3 attempts: the connection was cut ("), "{e}");
    proxy.clear();
    assert!(files(&server.folder("a")).keys().all(|name| !name.ends_with("safetensors")));
    let epochs = Tally::new();
    build(&s3, &Sequential, &epochs).unwrap();
    assert_eq!(epochs.started(), RUNS);
    assert_complete(&server.folder("a"), &s3);
}

#[test]
fn answers_that_come_too_late_are_asked_for_again() {
    let (server, proxy) = proxied();
    let time = Duration::from_millis(150);
    let s3 = with_options(options(proxy.address).timeout(time), "a").retries(1);
    for (method, part) in [("PUT", "plan.bin"), ("PUT", "safetensors"), ("GET", "list-type")] {
        proxy.inject(method, part, Fault::Late(time * 3), 1);
    }
    train(&s3).unwrap();
    assert_eq!(proxy.clear(), 3);
    assert_complete(&server.folder("a"), &s3);
    proxy.inject("GET", "plan.bin", Fault::Late(time * 3), usize::MAX);
    let started = Instant::now();
    let e = text(&s3.manifest().unwrap_err());
    assert!(started.elapsed() < time * 4, "{:?}", started.elapsed());
    assert!(
        e.starts_with("s3://bucket/a/plan.bin: reading failed in 2 attempts: there was no answer in time ("),
        "{e}"
    );
}

#[test]
fn large_members_are_uploaded_in_parts_that_leave_nothing_behind() {
    let (server, proxy) = proxied();
    let s3 = store(proxy.address, "a").part_size(5 << 20).retries(3);
    let (member, path) = (large(), server.folder("a").join("large.safetensors"));
    let expected = member.to_bytes().unwrap();
    let sent = |what: &str| proxy.requests().iter().filter(|line| line.contains(what)).count();
    for (number, (method, part, fault)) in [
        ("PUT", "nothing", Fault::CutAfter),
        ("PUT", "partNumber=2", Fault::Answer(503, "SlowDown")),
        ("PUT", "partNumber=1", Fault::CutDuring(0.6)),
        ("PUT", "partNumber=3", Fault::CutAfter),
        ("POST", "uploads", Fault::CutAfter),
        ("POST", "uploadId", Fault::CutAfter),
        ("POST", "uploadId", Fault::Answer(500, "InternalError")),
    ]
    .into_iter()
    .enumerate()
    {
        let before = sent("partNumber");
        proxy.inject(method, part, fault, 1);
        s3.put(member.clone()).unwrap();
        assert_eq!(proxy.clear(), usize::from(number > 0), "{part}: {fault:?}");
        assert!(fs::read(&path).unwrap() == expected, "{part}: {fault:?}");
        assert!(sent("partNumber") >= before + 3);
        assert!(s3.get("large").unwrap().unwrap().to_bytes().unwrap() == expected);
        fs::remove_file(&path).unwrap();
        // Of an upload whose very beginning was not answered the client has no name, so it cannot remove it; it is empty.
        let leftovers = server.leftovers();
        let begun = leftovers.iter().filter(|name| name.starts_with(".upload-")).count();
        assert_eq!(begun, usize::from(part == "uploads"), "{part}: {leftovers:?}");
        assert!(leftovers.is_empty() || part == "uploads", "{leftovers:?}");
        assert!(leftovers.iter().all(|name| !name.contains("part-")), "{leftovers:?}");
        leftovers.iter().for_each(|name| fs::remove_file(server.root.path().join(name)).unwrap());
    }
    // An upload that fails for good.
    for (method, part, attempts) in [("PUT", "partNumber=2", 4), ("POST", "uploadId", 4)] {
        proxy.inject(method, part, Fault::Answer(503, "SlowDown"), usize::MAX);
        let e = text(&s3.put(member.clone()).unwrap_err());
        assert_eq!(proxy.clear(), attempts);
        let why =
            "writing failed in 4 attempts: the server answered 503 Service Unavailable (SlowDown: Injected.)";
        assert_eq!(e, format!("s3://bucket/a/large.safetensors: {why}"));
        assert!(!s3.contains("large").unwrap() && !path.exists());
        assert_eq!(server.leftovers(), [""; 0]);
    }
}

/// Kills the server at an event, and starts it again on a thread after a while.
struct Killing<'a> {
    root: &'a std::path::Path,
    server: std::sync::Mutex<Option<Process>>,
    epochs: std::sync::atomic::AtomicUsize,
    pause: Duration,
}

impl Observer for Killing<'_> {
    fn notify(&self, event: &Event<'_>) -> Flow {
        let count = || self.epochs.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        if matches!(event, Event::EpochEnded { .. }) && count() % 4 == 1 {
            let mut server = self.server.lock().unwrap();
            let killed = server.take().unwrap();
            let address = killed.address;
            killed.kill();
            thread::sleep(self.pause);
            *server = Some(Process::start(self.root, Some(address)));
        }
        Flow::Continue
    }
}

/// The server is killed while a thread writes large members to it and a build is under way, and started again.
#[test]
fn a_server_that_is_killed_and_started_again_loses_nothing() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join(BUCKET)).unwrap();
    let process = Process::start(root.path(), None);
    let address = process.address;
    let patient = |prefix: &str| {
        store(address, prefix)
            .retries(60)
            .backoff(Duration::from_millis(5), Duration::from_millis(200))
            .part_size(5 << 20)
    };
    let killing = Killing {
        root: root.path(),
        server: Some(process).into(),
        epochs: Default::default(),
        pause: Duration::from_millis(100),
    };
    let member = large();
    let expected = member.to_bytes().unwrap();
    let written = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let s3 = patient("large");
            let mut puts = 0;
            while !written.load(std::sync::atomic::Ordering::SeqCst) {
                s3.put(member.clone()).unwrap();
                // Whole at any moment.
                assert!(s3.get("large").unwrap().unwrap().to_bytes().unwrap() == expected);
                puts += 1;
            }
            puts
        });
        build(&patient("a"), &Sequential, &killing).unwrap();
        written.store(true, std::sync::atomic::Ordering::SeqCst);
        assert!(writer.join().unwrap() > 0);
    });
    assert_eq!(killing.epochs.into_inner(), RUNS * EPOCHS, "no epoch was trained twice");
    assert_complete(&root.path().join(BUCKET).join("a"), &patient("a"));
    let names = files(&root.path().join(BUCKET).join("large")).into_keys().collect::<Vec<_>>();
    assert_eq!(names, ["large.safetensors"]);
}

/// Where the server does not come back, the build fails, and resumes when it does.
#[test]
fn a_build_whose_server_was_killed_resumes() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join(BUCKET)).unwrap();
    let mut address = None;
    for stop in [0, 3, 5] {
        let process = Process::start(root.path(), address);
        address = Some(process.address);
        let s3 = store(process.address, "a").retries(2);
        let process = std::sync::Mutex::new(Some(process));
        let left = std::sync::atomic::AtomicUsize::new(stop);
        let killing = |event: &Event<'_>| {
            let at = || left.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) == 0;
            if matches!(event, Event::EpochEnded { .. }) && at() {
                process.lock().unwrap().take().unwrap().kill();
            }
            Flow::Continue
        };
        let e = text(&build(&s3, &Sequential, &Watch(killing)).unwrap_err());
        let why = format!("failed in 3 attempts: there is no connection ({}: ", address.unwrap());
        assert!(e.contains("s3://bucket/a/") && e.contains(&why), "{e}");
    }
    let process = Process::start(root.path(), address);
    let s3 = store(process.address, "a");
    train(&s3).unwrap();
    assert_complete(&root.path().join(BUCKET).join("a"), &s3);
}

struct Watch<F>(F);

impl<F: Fn(&Event<'_>) -> Flow + Sync> Observer for Watch<F> {
    fn notify(&self, event: &Event<'_>) -> Flow {
        self.0(event)
    }
}
