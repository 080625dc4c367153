//! Credentials are in no error, no event and no form for debugging.
use crate::{
    options,
    proxy::{Fault, Proxy},
    server::{Server, ACCESS_KEY, SECRET_KEY},
    store, text, train, with_options,
};
use candle_ensemble::store::{Blobs, ObjectStore};
use std::{
    fmt::{Debug, Write},
    sync::{Arc, Mutex},
    time::Duration,
};
use tracing::{field::Field, span, Event, Metadata, Subscriber};

/// Checks a text for credentials, and for what is made of them.
pub fn assert_none(text: &str) {
    for secret in [ACCESS_KEY, SECRET_KEY, "WRONG-", "AWS4-HMAC", "Signature=", "Credential="] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
}

/// Collects what is traced, as text.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<String>>);

impl Subscriber for Collector {
    /// The server of the tests runs in this process too.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        !metadata.target().starts_with("s3s")
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        span.record(&mut |field: &Field, value: &dyn Debug| self.add(field, value));
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut |field: &Field, value: &dyn Debug| self.add(field, value));
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut |field: &Field, value: &dyn Debug| self.add(field, value));
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

impl Collector {
    fn add(&self, field: &Field, value: &dyn Debug) {
        writeln!(self.0.lock().unwrap(), "{field}: {value:?}").unwrap();
    }
}

#[test]
fn credentials_are_shown_nowhere() {
    let server = Server::start();
    let proxy = Proxy::start(server.address);
    let good = store(proxy.address, "a").retries(1);
    let wrong = |name: &str| with_options(options(proxy.address).set(name, "WRONG-6e0d"), "a").retries(1);
    let s3 = good.clone();
    let mut errors = vec![];
    // Bad credentials: the server's answer has the key and what was to be signed.
    for store in [wrong("access_key_id"), wrong("secret_access_key")] {
        errors.push(train(&store).unwrap_err());
        errors.push(store.write_new("a", b"").unwrap_err());
        errors.push(store.list("").unwrap_err());
        assert_none(&format!("{store:?} {store:#?}"));
    }
    for fault in
        [Fault::CutDuring(0.5), Fault::CutAfter, Fault::Answer(503, "SlowDown"), Fault::Answer(400, "Bad")]
    {
        for method in ["PUT", "GET", "HEAD", "DELETE", "POST"] {
            proxy.inject(method, "", fault, usize::MAX);
        }
        errors.push(train(&s3).unwrap_err());
        errors.push(s3.read("b").unwrap_err());
        errors.push(s3.exists("b").unwrap_err());
        errors.push(s3.write("b", b"").unwrap_err());
        errors.push(s3.list("").unwrap_err());
        errors.push(s3.remove("b").unwrap_err());
        proxy.clear();
    }
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    errors.push(train(&store(nowhere, "a").retries(1)).unwrap_err());
    // No bucket.
    proxy.inject("PUT", "plan.bin", Fault::Answer(404, "NoSuchBucket"), 1);
    errors.push(train(&s3).unwrap_err());
    assert_eq!(proxy.clear(), 1);
    let options = options(proxy.address).connect_timeout(Duration::from_secs(1));
    // An option that is not valid.
    let bad = options.clone().set("allow_http", "perhaps");
    errors.push(ObjectStore::from_url_with("s3://bucket/a", &bad).unwrap_err());
    assert_eq!(errors.len(), 6 + 24 + 3);
    for error in &errors {
        let shown = text(error);
        assert!(shown.contains("s3://"), "{shown}");
    }
    let first = text(&errors[0]);
    assert!(
        first.starts_with("s3://bucket/a/plan.bin: looking for it failed: the server answered 403 Forbidden"),
        "{first}"
    );
    assert_none(&format!("{options:?} {options:#?} {good:?} {good:#?}"));
}

/// What the client and the store trace, at every level.
#[test]
fn credentials_are_traced_nowhere() {
    let collector = Collector::default();
    // For the whole process, because the requests are made by threads of the store.
    tracing::subscriber::set_global_default(collector.clone()).unwrap();
    let server = Server::start();
    let proxy = Proxy::start(server.address);
    for fault in [Fault::CutDuring(0.5), Fault::CutAfter, Fault::Answer(503, "SlowDown")] {
        proxy.inject("PUT", "", fault, 2);
        proxy.inject("HEAD", "", fault, 1);
    }
    train(&store(proxy.address, "a")).unwrap();
    assert_eq!(proxy.clear(), 9);
    let traced = collector.0.lock().unwrap().clone();
    assert!(
        traced.contains("a request is repeated") && traced.contains("s3://bucket/a/plan.bin"),
        "{traced}"
    );
    assert_none(&traced);
}
