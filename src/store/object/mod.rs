//! Members in object storage.
mod connect;
mod failure;
mod requests;

pub use connect::ObjectStoreOptions;

use crate::{
    files::{header::FormatError, TensorFile},
    store::{
        blobs,
        layout::{self, Files},
        Blobs, Checkpoint, Manifest, Store,
    },
    Error, Member, Result,
};
use bytes::Bytes;
use connect::connect;
use failure::Secrets;
use object_store::{path::Path, ObjectStore as Client};
use requests::{Effort, Engine, Object, Requests};
use std::{fmt, future::Future, sync::Arc, time::Duration};

/// Keeps the members of one plan in object storage: Amazon S3 and what speaks its protocol, Google Cloud Storage, Azure.
///
/// Layout, names and bytes are those of a [`DirectoryStore`](crate::store::DirectoryStore), so each can be copied to the
/// other:
///
/// ```text
/// s3://bucket/prefix/plan.bin              the manifest
/// s3://bucket/prefix/KEY.safetensors       a member
/// s3://bucket/prefix/KEY.checkpoint        the state of an unfinished run
/// ```
///
/// Use it where processes on several machines train one plan and share no file system. On one machine a directory is
/// faster.
///
/// - **Whole objects.** An object appears when all of it has arrived. A member that is larger than
///   [`part_size`](Self::part_size) is uploaded in parts, which are removed if the upload fails. If the process ends
///   during an upload, its parts stay invisible in the bucket; let a lifecycle rule remove them (AWS:
///   `AbortIncompleteMultipartUpload`).
/// - **Checked objects.** Each contains a BLAKE3 hash of its bytes, which is checked on every read. An object that is
///   changed or foreign is an error that names it; the others stay valid.
/// - **One plan.** The first build writes the manifest only if there is none (`If-None-Match: *`), so that of several
///   processes one writes it and the others compare. A storage that cannot do that is refused: servers that answer so
///   when the manifest is written, and servers that ignore the condition, which the first build finds out. Amazon S3,
///   Google Cloud Storage, Azure, Cloudflare R2 and MinIO can.
/// - **Repeated requests.** A request that fails for a reason that may pass (no connection, a connection that is cut, no
///   answer in time, a server that is overloaded) is repeated up to 8 times ([`retries`](Self::retries)), after waits that
///   double from 0.1 to 10 seconds ([`backoff`](Self::backoff)). They are shortened by up to a half, by a hash
///   of the object and the process, so that many processes do not come back at once. After that, or at once where nothing
///   can pass (no permission, no bucket), the error is [`Error::ObjectStorage`]: the object, what was tried, how often, and
///   why. A build that ends with it resumes like any other.
/// - **Credentials** come from the environment, as the crate [`object_store`] reads it (`AWS_ACCESS_KEY_ID`,
///   `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT`, web identities, roles of instances;
///   `GOOGLE_APPLICATION_CREDENTIALS`; `AZURE_STORAGE_ACCOUNT_NAME`, …), or are set as
///   [options](ObjectStoreOptions). They are in no error, no event of `tracing` and no form for debugging.
///
/// The calls wait for their requests, which two threads of the store carry out; clones share them. Any number of
/// threads can call, also those of an asynchronous runtime, which the call blocks. A member is in memory once more while it
/// is written or read.
///
/// Connections are encrypted by `rustls` with `ring`. A program that uses another provider of cryptography installs it as the
/// default of the process before it makes the first store.
///
/// ```
/// # use candle_core::{Device, Tensor};
/// # use candle_ensemble::{data::TensorDataset, store::ObjectStore, strategy::*, train::Trainer, Session};
/// # let x = Tensor::arange(0f32, 20., &Device::Cpu)?.reshape((10, 2))?;
/// # let data = TensorDataset::regression(x.clone(), &x.sum(1)?)?;
/// # let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(2);
/// let store = ObjectStore::from_url("memory:///members")?; // or s3://bucket/members
/// let session = Session::new(&trainer, &data).store(&store);
/// session.fit(&MultiRun::new(3), 42)?; // if interrupted, it resumes when it is run again
/// let again = session.fit(&MultiRun::new(3), 42)?; // nothing is left to train
/// assert_eq!(again.members().len(), 3);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// A server of one's own:
///
/// ```no_run
/// use candle_ensemble::store::{ObjectStore, ObjectStoreOptions};
///
/// // AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are in the environment.
/// let options = ObjectStoreOptions::new().set("endpoint", "http://127.0.0.1:9000").set("allow_http", "true");
/// let store = ObjectStore::from_url_with("s3://bucket/members", &options)?.retries(3);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone)]
pub struct ObjectStore {
    requests: Requests,
    engine: Arc<Engine>,
    prefix: Path,
    address: String,
}

impl fmt::Debug for ObjectStore {
    /// Without the client, which has the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Requests { effort, .. } = &self.requests;
        f.debug_struct("ObjectStore").field("address", &self.address).field("effort", effort).finish()
    }
}

impl ObjectStore {
    /// The store at an address, with the options of the environment: `s3://bucket/prefix`, `gs://bucket/prefix`,
    /// `az://container/prefix`, `file:///folder` or `memory:///prefix` (a new, empty one each time, which its clones share).
    /// It makes no request yet.
    ///
    /// # Errors
    /// When the address is none of these or contains credentials, or when an option of the environment is not valid.
    pub fn from_url(address: &str) -> Result<Self> {
        Self::from_url_with(address, &ObjectStoreOptions::new())
    }

    /// The store at an address, with options.
    ///
    /// # Errors
    /// As [`from_url`](Self::from_url), and when an option is not known or not valid.
    pub fn from_url_with(address: &str, options: &ObjectStoreOptions) -> Result<Self> {
        let connected = connect(address, options)?;
        Self::with(connected.client, connected.prefix, connected.address, connected.secrets)
    }

    /// The store under `prefix` of a client of the crate [`object_store`], which may be one of the user's own. Errors name
    /// the client by its `Display` form.
    ///
    /// The store repeats requests, so build the client with a `RetryConfig` of 0 retries. A client that repeats requests
    /// by itself can miss that a blob which it finds is its own.
    ///
    /// ```
    /// use candle_ensemble::store::{Blobs, ObjectStore};
    /// use std::sync::Arc;
    ///
    /// let store = ObjectStore::new(Arc::new(object_store::memory::InMemory::new()), "a/b")?;
    /// assert!(store.write_new("note", b"first")?);
    /// assert!(!store.write_new("note", b"second")?);
    /// assert_eq!(store.read("note")?.unwrap(), b"first");
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the prefix is not a path in object storage, or no threads can be started.
    pub fn new(client: Arc<dyn Client>, prefix: &str) -> Result<Self> {
        let must = "names between single slashes";
        let path =
            Path::parse(prefix).map_err(|e| Error::invalid("the prefix of an object store", must, e))?;
        let address = match path.as_ref() {
            "" => client.to_string(),
            path => format!("{client}/{path}"),
        };
        Self::with(client, path, address, Secrets::default())
    }

    fn with(client: Arc<dyn Client>, prefix: Path, address: String, secrets: Secrets) -> Result<Self> {
        let requests = Requests { client, effort: Effort::default(), secrets: secrets.into() };
        Ok(Self { requests, engine: Engine::new()?.into(), prefix, address })
    }

    /// Sets how often a request is repeated that failed for a reason that may pass; the default is 8 times.
    #[must_use]
    pub fn retries(mut self, retries: usize) -> Self {
        self.requests.effort.retries = retries;
        self
    }

    /// Sets how long to wait before a request is repeated: `first` after the first attempt, twice as long after each
    /// other one, and `longest` at most. The default is from 0.1 to 10 seconds.
    #[must_use]
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        (self.requests.effort.first_wait, self.requests.effort.longest_wait) = (first, longest);
        self
    }

    /// Sets the size of parts in bytes, from 5 MiB to 5 GiB; the default is 8 MiB. Larger objects are uploaded in parts, up
    /// to four at a time. S3 takes up to 10,000 parts of an object.
    #[must_use]
    pub fn part_size(mut self, bytes: usize) -> Self {
        self.requests.effort.part_size = bytes;
        self
    }

    /// The address of the store, without credentials.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The manifest of the first build; `None` before it.
    ///
    /// # Errors
    /// When the manifest cannot be read or is damaged.
    pub fn manifest(&self) -> Result<Option<Manifest<'static>>> {
        layout::manifest(self)
    }

    fn object(&self, name: &str) -> Result<Object> {
        blobs::check_name(name)?;
        Ok(Object { path: self.prefix.clone().join(name), address: self.locate(name) })
    }

    /// The outcome of requests about the object `name`.
    fn ask<T: Send + 'static, F: Future<Output = Result<T>> + Send + 'static>(
        &self,
        object: Object,
        request: impl FnOnce(Requests, Object) -> F,
    ) -> Result<T> {
        self.requests.effort.check()?;
        let address = object.address.clone();
        self.engine.wait(request(self.requests.clone(), object)).unwrap_or_else(|| {
            let why = "the client of the object storage panicked".into();
            Err(Error::ObjectStorage { object: address, action: "a request".into(), attempts: 1, why })
        })
    }

    fn write_bytes(&self, name: &str, bytes: Bytes) -> Result<()> {
        self.ask(self.object(name)?, |requests, object| requests.write(object, bytes))
    }

    /// Finds out whether the storage, which has just written the manifest, would write it again.
    fn check_conditions(&self, manifest: &[u8]) -> Result<()> {
        if !self.write_new(layout::MANIFEST, manifest)? {
            return Ok(());
        }
        // So that the next build does not take it for one that was written in due form.
        self.remove(layout::MANIFEST)?;
        let must = "able to put an object only if it is absent (If-None-Match: *)";
        let got = format!("one that replaced {}", self.locate(layout::MANIFEST));
        Err(Error::invalid(format!("the object storage {}", self.address), must, got))
    }
}

impl Store for ObjectStore {
    fn open(&self, manifest: &Manifest<'_>) -> Result<()> {
        match layout::open(self, manifest)? {
            true => self.check_conditions(&manifest.to_bytes()?),
            false => Ok(()),
        }
    }

    fn put(&self, member: Member) -> Result<()> {
        layout::put(self, &member)
    }

    fn get(&self, key: &str) -> Result<Option<Member>> {
        layout::get(self, key)
    }

    fn contains(&self, key: &str) -> Result<bool> {
        layout::contains(self, key)
    }

    fn put_checkpoint(&self, key: &str, checkpoint: &Checkpoint) -> Result<()> {
        layout::put_checkpoint(self, key, checkpoint)
    }

    fn checkpoint(&self, key: &str) -> Result<Option<Checkpoint>> {
        layout::checkpoint(self, key)
    }

    fn drop_checkpoint(&self, key: &str) -> Result<()> {
        layout::drop_checkpoint(self, key)
    }

    fn blobs(&self) -> Option<&dyn Blobs> {
        Some(self)
    }
}

impl Files for ObjectStore {
    fn place(&self) -> String {
        self.address.clone()
    }

    fn read_with<T>(
        &self,
        name: &str,
        read: impl FnOnce(&[u8]) -> Result<T, FormatError>,
    ) -> Result<Option<T>> {
        let bytes = self.ask(self.object(name)?, Requests::read)?;
        bytes.map(|bytes| read(&bytes)).transpose().map_err(|error| error.of(self.locate(name)))
    }

    fn write_tensors(&self, name: &str, file: &TensorFile) -> Result<()> {
        self.write_bytes(name, file.to_bytes()?.into())
    }
}

/// Each blob is an object.
///
/// If the storage has stored a new blob but its answer was lost, the repeated request finds the blob there; then
/// [`write_new`](Blobs::write_new) compares, and a blob with equal bytes counts as its own. So blobs that only one of several
/// processes may write contain something that only this process writes, such as its name.
impl Blobs for ObjectStore {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.ask(self.object(name)?, Requests::read)?.map(Into::into))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.write_bytes(name, Bytes::copy_from_slice(bytes))
    }

    fn write_new(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        let bytes = Bytes::copy_from_slice(bytes);
        self.ask(self.object(name)?, |requests, object| requests.create(object, bytes))
    }

    fn exists(&self, name: &str) -> Result<bool> {
        self.ask(self.object(name)?, Requests::exists)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let folder = Object { path: self.prefix.clone(), address: self.address.clone() };
        let mut names = self.ask(folder, Requests::list)?;
        names.retain(|name| name.starts_with(prefix) && blobs::check_name(name).is_ok());
        names.sort_unstable();
        Ok(names)
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.ask(self.object(name)?, Requests::remove)
    }

    fn locate(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }
}
