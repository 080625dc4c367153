//! Requests to an object storage, each repeated until it succeeds or until there is no use in another attempt.
use super::failure::{may_pass, Failure, Secrets};
use crate::{Error, Result};
use bytes::Bytes;
use futures_util::{stream, StreamExt, TryStreamExt};
use object_store::{
    path::Path,
    retry::{RetryContext, RetryFailure, RetryPolicy},
    MultipartUpload, ObjectStore as Client, ObjectStoreExt, PutMode, PutMultipartOptions, PutPayload,
};
use std::{future::Future, pin::Pin, sync::Arc, time::Duration};
use tokio::runtime::{Builder, Runtime};

/// How many parts of one object are under way at a time.
const PARTS_AT_A_TIME: usize = 4;

/// The threads that carry out the requests.
#[derive(Debug)]
pub(super) struct Engine(Option<Runtime>);

impl Engine {
    pub(super) fn new() -> Result<Self> {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).thread_name("object-store").enable_all().build();
        let must = "able to start threads for its requests";
        runtime.map(|runtime| Self(Some(runtime))).map_err(|e| Error::invalid("the object store", must, e))
    }

    /// Waits for `future`. The caller may be a thread of another runtime, which could not enter this one.
    /// `None` where the future did not end.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (send, receive) = std::sync::mpsc::sync_channel(1);
        self.0.as_ref()?.spawn(async move { send.send(future.await) });
        receive.recv().ok()
    }
}

impl Drop for Engine {
    /// A runtime cannot be waited for where it may be dropped: on a thread of another runtime.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// How much is done for one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Effort {
    pub(super) retries: usize,
    pub(super) first_wait: Duration,
    pub(super) longest_wait: Duration,
    pub(super) part_size: usize,
}

impl Default for Effort {
    fn default() -> Self {
        Self {
            retries: 8,
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(10),
            part_size: 8 << 20,
        }
    }
}

impl Effort {
    pub(super) fn check(&self) -> Result<()> {
        let (least, most) = (5 << 20, 5 << 30);
        if !(least..=most).contains(&(self.part_size as u64)) {
            let must = "from 5 MiB to 5 GiB, in bytes";
            return Err(Error::invalid("the size of the parts of an object", must, self.part_size));
        }
        Ok(())
    }

    /// How long to wait after failed attempt `attempt`, from 1: a time that doubles up to the longest, less a part of
    /// up to a half. The part is a hash of the object and the process, so that processes do not come back at once.
    fn wait(&self, object: &str, attempt: usize) -> Duration {
        let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX).min(30);
        let whole = self.first_wait.saturating_mul(1 << doublings).min(self.longest_wait);
        let host = std::env::var_os("HOSTNAME").unwrap_or_default();
        let mut hasher = blake3::Hasher::new();
        hasher.update(object.as_bytes()).update(host.as_encoded_bytes());
        hasher.update(&std::process::id().to_le_bytes()).update(&attempt.to_le_bytes());
        whole.mul_f64(1. - 0.5 * f64::from(hasher.finalize().as_bytes()[0]) / 256.)
    }
}

/// An object: its path for the client, and its address for people.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) path: Path,
    pub(super) address: String,
}

/// The client, and how much is done for one request.
#[derive(Clone)]
pub(super) struct Requests {
    pub(super) client: Arc<dyn Client>,
    pub(super) effort: Effort,
    pub(super) secrets: Arc<Secrets>,
}

impl Requests {
    /// The content of an object; `None` where there is none.
    pub(super) async fn read(self, object: Object) -> Result<Option<Bytes>> {
        let mut attempts = Attempts::new(&self, &object, "reading");
        loop {
            match self.content(&object.path).await {
                Ok(content) => return Ok(content),
                Err(failure) => attempts.failed(failure).await?,
            }
        }
    }

    async fn content(&self, path: &Path) -> Result<Option<Bytes>, Failure> {
        let found = match self.client.get(path).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            found => found.map_err(|e| self.failure(&e))?,
        };
        found.bytes().await.map(Some).map_err(|e| self.failure(&e))
    }

    /// Whether there is an object.
    pub(super) async fn exists(self, object: Object) -> Result<bool> {
        let mut attempts = Attempts::new(&self, &object, "looking for it");
        loop {
            match self.client.head(&object.path).await {
                Ok(_) => return Ok(true),
                Err(object_store::Error::NotFound { .. }) => return Ok(false),
                Err(e) => attempts.failed(self.failure(&e)).await?,
            }
        }
    }

    /// Puts an object in place of an earlier one: in one request, or in parts if it is large.
    pub(super) async fn write(self, object: Object, bytes: Bytes) -> Result<()> {
        let mut attempts = Attempts::new(&self, &object, "writing");
        loop {
            let written = match bytes.len() <= self.effort.part_size {
                true => self.put(&object.path, bytes.clone(), PutMode::Overwrite).await,
                false => self.put_in_parts(&object, &bytes).await,
            };
            match written {
                Ok(()) => return Ok(()),
                Err(Unwritten::Failed(failure)) => attempts.failed(failure).await?,
                Err(Unwritten::There) => attempts.failed(Failure::passing(CONFLICT)).await?,
                Err(Unwritten::PartFailed(failure)) => return Err(attempts.gave_up_on_part(failure)),
            }
        }
    }

    /// Puts an object if there is none. Returns whether it did.
    pub(super) async fn create(self, object: Object, bytes: Bytes) -> Result<bool> {
        let mut attempts = Attempts::new(&self, &object, "creating");
        // After an attempt whose outcome is not known, an object with these bytes is the one of that attempt.
        let mut unsure = false;
        loop {
            let failure = match self.put(&object.path, bytes.clone(), PutMode::Create).await {
                Ok(()) => return Ok(true),
                Err(Unwritten::There) => match self.content(&object.path).await {
                    Ok(Some(there)) => return Ok(unsure && there == bytes),
                    // Removed meanwhile, or about to be written by another, which may fail.
                    Ok(None) => Failure::passing(CONFLICT),
                    Err(failure) => failure,
                },
                Err(Unwritten::Failed(failure) | Unwritten::PartFailed(failure)) => {
                    unsure |= failure.passing;
                    failure
                }
            };
            attempts.failed(failure.explained()).await?;
        }
    }

    async fn put(&self, path: &Path, bytes: Bytes, mode: PutMode) -> Result<(), Unwritten> {
        match self.client.put_opts(path, PutPayload::from_bytes(bytes), mode.into()).await {
            Ok(_) => Ok(()),
            Err(object_store::Error::AlreadyExists { .. }) => Err(Unwritten::There),
            Err(e @ object_store::Error::NotImplemented { .. }) => {
                let failure = self.failure(&e);
                Err(Unwritten::Failed(Failure { status: Some(501), ..failure }))
            }
            Err(e) => Err(Unwritten::Failed(self.failure(&e))),
        }
    }

    /// Uploads an object in parts. It appears when all are there; after a failure none of them stays.
    async fn put_in_parts(&self, object: &Object, bytes: &Bytes) -> Result<(), Unwritten> {
        let again = Arc::new(AgainByPart { effort: self.effort, object: object.address.clone() });
        let options = PutMultipartOptions::default().with_retry_policy(again);
        let failed = |e: object_store::Error| Unwritten::Failed(self.failure(&e));
        let mut upload = self.client.put_multipart_opts(&object.path, options).await.map_err(failed)?;
        let done = match self.put_parts(&mut *upload, bytes).await {
            Ok(()) => upload.complete().await.map(drop).map_err(failed),
            Err(failure) => Err(Unwritten::PartFailed(failure)),
        };
        if done.is_err()
            && let Err(e) = upload.abort().await
        {
            let why = self.failure(&e).why;
            tracing::debug!(object = object.address, why, "the parts of an upload stay");
        }
        done
    }

    async fn put_parts(&self, upload: &mut dyn MultipartUpload, bytes: &Bytes) -> Result<(), Failure> {
        let size = self.effort.part_size;
        let part = |from: usize| bytes.slice(from..bytes.len().min(from + size));
        let parts: Vec<_> =
            (0..bytes.len()).step_by(size).map(|from| upload.put_part(part(from).into())).collect();
        let all = stream::iter(parts).buffer_unordered(PARTS_AT_A_TIME).try_collect::<Vec<()>>();
        all.await.map(drop).map_err(|e| self.failure(&e))
    }

    /// Removes an object, if it is there.
    pub(super) async fn remove(self, object: Object) -> Result<()> {
        let mut attempts = Attempts::new(&self, &object, "removing");
        loop {
            match self.client.delete(&object.path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => return Ok(()),
                Err(e) => attempts.failed(self.failure(&e)).await?,
            }
        }
    }

    /// The names of the objects directly in a folder.
    pub(super) async fn list(self, folder: Object) -> Result<Vec<String>> {
        let mut attempts = Attempts::new(&self, &folder, "listing");
        loop {
            match self.client.list_with_delimiter(Some(&folder.path)).await {
                Ok(found) => {
                    let names = found.objects.iter().filter_map(|object| object.location.filename());
                    return Ok(names.map(Into::into).collect());
                }
                Err(object_store::Error::NotFound { .. }) => return Ok(vec![]),
                Err(e) => attempts.failed(self.failure(&e)).await?,
            }
        }
    }

    fn failure(&self, error: &object_store::Error) -> Failure {
        Failure::of(error, &self.secrets)
    }
}

const CONFLICT: &str = "another writer was writing it at the same time";

impl Failure {
    /// With the hint what the storage lacks, for an answer that says that it cannot put an object only if it is absent.
    fn explained(self) -> Self {
        if self.status != Some(501) {
            return self;
        }
        let needs = "the storage must be able to put an object only if it is absent (If-None-Match: *)";
        Self { why: format!("{}; {needs}", self.why), ..self }
    }
}

/// Why an object was not written.
enum Unwritten {
    /// There is one already, or another is being written.
    There,
    Failed(Failure),
    /// A part failed in all its attempts.
    PartFailed(Failure),
}

/// The attempts of one request.
struct Attempts<'a> {
    effort: Effort,
    object: &'a Object,
    action: &'static str,
    made: usize,
}

impl<'a> Attempts<'a> {
    fn new(requests: &Requests, object: &'a Object, action: &'static str) -> Self {
        Self { effort: requests.effort, object, action, made: 0 }
    }

    /// Waits after a failed attempt, or returns the error if it was the last.
    async fn failed(&mut self, failure: Failure) -> Result<()> {
        self.made += 1;
        if !failure.passing || self.made > self.effort.retries {
            return Err(self.error(failure));
        }
        let wait = self.effort.wait(&self.object.address, self.made);
        let (object, why) = (&*self.object.address, &*failure.why);
        tracing::debug!(
            object,
            action = self.action,
            attempts = self.made,
            why,
            ?wait,
            "a request is repeated"
        );
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// The error about a part that failed in as many attempts as an object has.
    fn gave_up_on_part(&mut self, failure: Failure) -> Error {
        self.made = if failure.passing { self.effort.retries + 1 } else { 1 };
        self.error(failure)
    }

    fn error(&self, failure: Failure) -> Error {
        Error::ObjectStorage {
            object: self.object.address.clone(),
            action: self.action.into(),
            attempts: self.made,
            why: failure.why,
        }
    }
}

/// Repeats a failed part of an upload.
#[derive(Debug)]
struct AgainByPart {
    effort: Effort,
    object: String,
}

impl RetryPolicy for AgainByPart {
    fn retry<'s, 'f>(&'s self, context: RetryContext) -> Pin<Box<dyn Future<Output = bool> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            let passing = match context.failure {
                RetryFailure::Status(status) => may_pass(status.as_u16()),
                _ => true,
            };
            let again = passing && context.attempt <= self.effort.retries;
            if again {
                tokio::time::sleep(self.effort.wait(&self.object, context.attempt)).await;
            }
            again
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_differ_between_objects() {
        let effort = Effort::default();
        let waits = |object: &str| (1..=12).map(|k| effort.wait(object, k)).collect::<Vec<_>>();
        for (k, wait) in waits("s3://a/b").into_iter().enumerate() {
            let whole = Duration::from_millis(100 << k).min(Duration::from_secs(10));
            assert!(wait <= whole && wait >= whole / 2, "{k}: {wait:?} of {whole:?}");
        }
        assert_eq!(waits("s3://a/b"), waits("s3://a/b"));
        assert_ne!(waits("s3://a/b"), waits("s3://a/c"));
        assert_eq!(effort.wait("a", usize::MAX).max(effort.longest_wait), effort.longest_wait);
    }
}
