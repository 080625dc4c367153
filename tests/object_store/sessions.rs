//! Builds without faults: alone, of several processes, and from within an asynchronous runtime.
use crate::{
    assert_complete, build, files, large, load, options,
    server::{Conditions, Server},
    store, text, train, with_options, work, EXPECTED, RUNS,
};
use candle_ensemble::{
    exec::{Sequential, Shard, Worker},
    observe::Silent,
    store::{Blobs, DirectoryStore, ObjectStore, Store},
};
use std::{fs, sync::Arc, thread, time::Duration};

#[test]
fn objects_are_the_files_of_a_directory_store() {
    let server = Server::start();
    let s3 = store(server.address, "deep/er");
    assert!(s3.manifest().unwrap().is_none());
    train(&s3).unwrap();
    assert_complete(&server.folder("deep/er"), &s3);
    assert_eq!(s3.manifest().unwrap().unwrap().plan.runs.len(), RUNS);
    // Another client, and a build that has nothing left to do.
    let again = store(server.address, "deep/er");
    train(&again).unwrap();
    assert_complete(&server.folder("deep/er"), &again);
    assert_eq!(server.leftovers(), [""; 0]);
}

#[test]
fn every_kind_of_client_keeps_the_same_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("members");
    let local = ObjectStore::from_url(&format!("file://{}", path.display())).unwrap();
    train(&local).unwrap();
    assert_complete(&path, &local);
    let memory = ObjectStore::from_url("memory:///a").unwrap();
    train(&memory.clone()).unwrap();
    for (name, bytes) in &*EXPECTED {
        assert!(memory.read(name).unwrap().unwrap() == *bytes, "{name}");
    }
    assert_eq!(memory.list("").unwrap(), EXPECTED.keys().cloned().collect::<Vec<_>>());
}

#[test]
fn a_store_of_another_plan_is_refused() {
    let server = Server::start();
    let s3 = store(server.address, "a");
    train(&s3).unwrap();
    let mut other = s3.manifest().unwrap().unwrap();
    other.learner = "another".into();
    let e = text(&s3.open(&other).unwrap_err());
    assert!(
        e.starts_with("the store s3://bucket/a does not belong here: it was made for another trainer"),
        "{e}"
    );
}

#[test]
fn blobs_of_several_writers_have_one_first() {
    let server = Server::start();
    let s3 = store(server.address, "a");
    let local = tempfile::tempdir().unwrap();
    let local = ObjectStore::from_url(&format!("file://{}", local.path().join("b").display())).unwrap();
    for store in [&s3 as &dyn Blobs, &ObjectStore::from_url("memory:///").unwrap(), &local] {
        assert_eq!(store.list("").unwrap(), [""; 0]);
        assert_eq!(store.read("a.lease").unwrap(), None);
        store.write("a.lease", b"1").unwrap();
        store.write("a.lease", b"").unwrap();
        assert_eq!(store.read("a.lease").unwrap().unwrap(), b"");
        let first = thread::scope(|scope| {
            let put = |k: u8| scope.spawn(move || store.write_new("b", &[k]).unwrap());
            let all: Vec<_> = (0..8).map(put).collect();
            all.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(first.iter().filter(|first| **first).count(), 1);
        let winner = first.iter().position(|first| *first).unwrap() as u8;
        assert_eq!(store.read("b").unwrap().unwrap(), [winner]);
        assert!(!store.write_new("b", &[winner]).unwrap(), "equal bytes of another writer are not its own");
        assert_eq!(
            (store.list("").unwrap().len(), store.list("a").unwrap()),
            (2, vec!["a.lease".to_string()])
        );
        store.remove("b").unwrap();
        store.remove("b").unwrap();
        assert!(!store.exists("b").unwrap() && store.exists("a.lease").unwrap());
        for name in ["", ".a", "../a", "a/b", "a\\b", &"x".repeat(221)] {
            assert!(store.read(name).is_err() && store.write_new(name, b"").is_err(), "{name:?}");
        }
    }
    // Objects in folders below are not blobs of the store.
    store(server.address, "a/below").write("c", b"").unwrap();
    assert_eq!(s3.list("").unwrap(), ["a.lease"]);
    assert_eq!(s3.locate("c"), "s3://bucket/a/c");
    assert_eq!(ObjectStore::from_url("memory:///").unwrap().locate("c"), "memory:///c");
}

/// Two processes, each with a client of its own, and one that trains everything meanwhile.
#[test]
fn processes_share_one_build() {
    let server = Server::start();
    thread::scope(|scope| {
        for index in 0..3 {
            let s3 = store(server.address, "a");
            scope.spawn(move || match index {
                2 => train(&s3).unwrap(),
                index => build(&s3, &Shard::new(index, 2, &Sequential).unwrap(), &Silent).unwrap(),
            });
        }
    });
    assert_complete(&server.folder("a"), &store(server.address, "a"));
}

#[test]
fn two_writers_of_one_member_leave_a_whole_one() {
    let server = Server::start();
    let s3 = store(server.address, "a").part_size(5 << 20);
    let member = large();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| s3.put(member.clone()).unwrap());
        }
    });
    assert!(files(&server.folder("a"))["large.safetensors"] == member.to_bytes().unwrap());
    assert!(s3.get("large").unwrap().unwrap().to_bytes().unwrap() == member.to_bytes().unwrap());
    assert_eq!(server.leftovers(), [""; 0]);
}

#[test]
fn a_changed_object_is_named_and_the_others_stay_valid() {
    let server = Server::start();
    let s3 = store(server.address, "a");
    train(&s3).unwrap();
    for (name, bytes) in &*EXPECTED {
        let path = server.folder("a").join(name);
        let mut changed = bytes.clone();
        changed[bytes.len() - 2] ^= 1;
        for content in [&changed[..], &bytes[..bytes.len() - 1]] {
            fs::write(&path, content).unwrap();
            let e = text(&load(&s3).unwrap_err());
            let why = "is damaged: its content is not what was written: the hash differs";
            assert_eq!(e, format!("s3://bucket/a/{name} {why}"));
        }
        let whole = EXPECTED.keys().filter(|other| *other != name && other.ends_with("safetensors"));
        whole.for_each(|other| {
            assert!(s3.get(other.strip_suffix(".safetensors").unwrap()).unwrap().is_some())
        });
        // Once it is removed, it is made again.
        fs::remove_file(&path).unwrap();
        train(&s3).unwrap();
        assert_complete(&server.folder("a"), &s3);
    }
}

#[test]
fn it_works_within_a_runtime_of_the_program() {
    let server = Server::start();
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap().block_on(async {
        train(&store(server.address, "a")).unwrap();
    });
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let s3 = Arc::new(store(server.address, "b"));
    builder.enable_all().build().unwrap().block_on(async {
        let clone = s3.clone();
        tokio::spawn(async move { train(&*clone).unwrap() }).await.unwrap();
        assert!(load(&*s3).is_ok());
        drop(s3);
    });
    for prefix in ["a", "b"] {
        assert_complete(&server.folder(prefix), &store(server.address, prefix));
    }
}

#[test]
fn storages_without_put_if_absent_are_refused() {
    let server = Server::with(Conditions::Ignored);
    for _ in 0..2 {
        let e = text(&train(&store(server.address, "a")).unwrap_err());
        assert_eq!(
            e,
            "the object storage s3://bucket/a must be able to put an object only if it is absent (If-None-Match: *), but is \
             one that replaced s3://bucket/a/plan.bin"
        );
    }
    let e = text(
        &train(&with_options(options(server.address).set("conditional_put", "disabled"), "a")).unwrap_err(),
    );
    assert!(e.starts_with("s3://bucket/a/plan.bin: creating failed: "), "{e}");
    assert!(
        e.ends_with("the storage must be able to put an object only if it is absent (If-None-Match: *)"),
        "{e}"
    );
    assert_eq!(files(&server.folder("a")).len(), 0);
}

#[test]
fn parts_have_sizes_that_storages_take() {
    let memory = ObjectStore::from_url("memory:///a").unwrap();
    let e = text(&memory.part_size(1 << 20).write("a", b"").unwrap_err());
    assert_eq!(e, "the size of the parts of an object must be from 5 MiB to 5 GiB, in bytes, but is 1048576");
    let e = text(&ObjectStore::new(Arc::new(object_store::memory::InMemory::new()), "a//b").unwrap_err());
    assert!(
        e.starts_with("the prefix of an object store must be names between single slashes, but is"),
        "{e}"
    );
    let folder = tempfile::tempdir().unwrap();
    let local = object_store::local::LocalFileSystem::new_with_prefix(folder.path()).unwrap();
    let local = ObjectStore::new(Arc::new(local), "c").unwrap();
    train(&local).unwrap();
    assert_complete(&folder.path().join("c"), &local);
    assert!(DirectoryStore::new(folder.path().join("c")).unwrap().manifest().unwrap().is_some());
}

/// Workers with clients of their own take the runs by leases, of which nothing is left in the end.
#[test]
fn workers_take_runs_from_the_store() {
    let server = Server::start();
    thread::scope(|scope| {
        for name in ["a", "b", "c"] {
            let s3 = store(server.address, "a");
            scope.spawn(move || {
                let worker = Worker::new().name(name).expiry(Duration::from_secs(5));
                work(&s3, &worker).unwrap();
            });
        }
    });
    assert_complete(&server.folder("a"), &store(server.address, "a"));
}
