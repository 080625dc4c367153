//! From an address to a client.
use super::failure::{Failure, Secrets};
use crate::{Error, Result};
use object_store::{
    aws::AmazonS3Builder, azure::MicrosoftAzureBuilder, gcp::GoogleCloudStorageBuilder,
    local::LocalFileSystem, memory::InMemory, path::Path, ObjectStore as Client, ObjectStoreScheme,
    RetryConfig,
};
use std::{fmt, sync::Arc, time::Duration};
use url::Url;

/// How an [`ObjectStore`](crate::store::ObjectStore) connects: options by name, and time-outs.
///
/// Names and values are those of the crate [`object_store`], such as `region`, `endpoint`, `access_key_id` and
/// `skip_signature` for S3 ([`AmazonS3ConfigKey`](object_store::aws::AmazonS3ConfigKey)), `service_account` for Google
/// Cloud Storage ([`GoogleConfigKey`](object_store::gcp::GoogleConfigKey)), `account_name` and `account_key` for Azure
/// ([`AzureConfigKey`](object_store::azure::AzureConfigKey)), and `allow_http`, `proxy_url` and others for all of them
/// ([`ClientConfigKey`](object_store::ClientConfigKey)). An option that is set here takes precedence over the
/// environment.
///
/// The form for debugging has the names of the options without their values, which may be credentials.
///
/// ```
/// use candle_ensemble::store::ObjectStoreOptions;
/// use std::time::Duration;
///
/// let options = ObjectStoreOptions::new()
///     .set("endpoint", "http://127.0.0.1:9000") // a server of one's own, such as MinIO
///     .set("allow_http", "true")
///     .set("secret_access_key", "do not show")
///     .connect_timeout(Duration::from_secs(3));
/// assert!(!format!("{options:?}").contains("do not show"));
/// ```
#[derive(Clone)]
pub struct ObjectStoreOptions {
    options: Vec<(String, String)>,
    timeout: Option<Duration>,
    connect_timeout: Option<Duration>,
}

/// The defaults: what the environment says, and else an answer within 60 seconds and a connection within 10.
const TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// In place of the client's limit of a whole answer, which is too short for large objects.
const WITHOUT_LIMIT: Duration = Duration::from_secs(365 * 24 * 3600);

impl Default for ObjectStoreOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ObjectStoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.options.iter().map(|(name, _)| name).collect();
        f.debug_struct("ObjectStoreOptions")
            .field("options", &names)
            .field("timeout", &self.timeout)
            .field("connect_timeout", &self.connect_timeout)
            .finish()
    }
}

impl ObjectStoreOptions {
    /// The options of the environment.
    #[must_use]
    pub fn new() -> Self {
        Self { options: vec![], timeout: None, connect_timeout: None }
    }

    /// Sets an option.
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.push((name.into(), value.into()));
        self
    }

    /// Sets how long to wait for an answer to a request, and for more of an answer that has begun. The default is 60
    /// seconds. A part of a large member must be uploaded within this time.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets how long to wait for a connection. The default is 10 seconds.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// All options in the order in which they are set: defaults, environment, options by name, time-outs.
    fn all(&self, scheme: &ObjectStoreScheme) -> Result<Vec<Set>> {
        let millis = |time: Duration| format!("{}ms", time.as_millis());
        let ours = |name: &str, value: String| Set { name: name.into(), value, required: true };
        let defaults =
            [("timeout", WITHOUT_LIMIT), ("read_timeout", TIMEOUT), ("connect_timeout", CONNECT_TIMEOUT)];
        let mut all: Vec<_> = defaults.map(|(name, time)| ours(name, millis(time))).into();
        all.extend(of_environment(scheme));
        all.extend(self.options.iter().map(|(name, value)| ours(&name.to_ascii_lowercase(), value.clone())));
        for (name, what, time) in [
            ("read_timeout", "the time-out of a request", self.timeout),
            ("connect_timeout", "the time-out of a connection", self.connect_timeout),
        ] {
            match time {
                Some(time) if time < Duration::from_millis(1) => {
                    return Err(Error::invalid(what, "at least a millisecond", format!("{time:?}")));
                }
                Some(time) => all.push(ours(name, millis(time))),
                None => {}
            }
        }
        Ok(all)
    }
}

/// An option with its value.
struct Set {
    name: String,
    value: String,
    /// Whether a name that the client does not know is an error, as it is unless it comes from the environment.
    required: bool,
}

/// What the environment sets for a scheme, as the clients read it.
fn of_environment(scheme: &ObjectStoreScheme) -> Vec<Set> {
    let (prefix, others): (_, &[(&str, &str)]) = match scheme {
        ObjectStoreScheme::AmazonS3 => ("AWS_", &[]),
        ObjectStoreScheme::GoogleCloudStorage => ("GOOGLE_", &[("SERVICE_ACCOUNT", "service_account")]),
        ObjectStoreScheme::MicrosoftAzure => ("AZURE_", &[("IDENTITY_ENDPOINT", "msi_endpoint")]),
        _ => return vec![],
    };
    let named = |name: &str| match others.iter().find(|(variable, _)| *variable == name) {
        Some((_, option)) => Some((*option).to_string()),
        None => name.starts_with(prefix).then(|| name.to_ascii_lowercase()),
    };
    let variables = std::env::vars_os().filter_map(|(name, value)| {
        let (name, value) = (named(name.to_str()?)?, value.into_string().ok()?);
        Some(Set { name, value, required: false })
    });
    let mut all: Vec<_> = variables.collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// A client, and where in it the objects are.
pub(super) struct Connected {
    pub(super) client: Arc<dyn Client>,
    pub(super) prefix: Path,
    /// The address without credentials.
    pub(super) address: String,
    pub(super) secrets: Secrets,
}

/// The client for an address. It makes no request yet.
pub(super) fn connect(address: &str, options: &ObjectStoreOptions) -> Result<Connected> {
    let url = checked(address)?;
    let shown = match url.as_str().trim_end_matches('/') {
        scheme if scheme.ends_with(':') => format!("{scheme}//"),
        address => address.to_string(),
    };
    let (scheme, prefix) = ObjectStoreScheme::parse(&url).map_err(|_| unknown(&shown))?;
    let all = options.all(&scheme)?;
    let mut secrets = Secrets::default();
    all.iter().for_each(|set| secrets.add(&set.name, &set.value));
    /// A client with these options. The store repeats requests itself, and counts.
    macro_rules! built {
        ($builder:ty) => {{
            let never = RetryConfig { max_retries: 0, ..RetryConfig::default() };
            let mut builder = <$builder>::new().with_url(url.as_str()).with_retry(never);
            for Set { name, value, required } in &all {
                builder = match name.parse() {
                    Ok(key) => builder.with_config(key, value),
                    Err(_) if *required => return Err(unknown_option(name, &shown)),
                    Err(_) => builder,
                };
            }
            provide_cryptography();
            let client = builder.build().map_err(|e| Error::ObjectStorage {
                object: shown.clone(),
                action: "connecting".into(),
                attempts: 1,
                why: Failure::of(&e, &secrets).why,
            })?;
            Arc::new(client) as Arc<dyn Client>
        }};
    }
    let client = match scheme {
        ObjectStoreScheme::AmazonS3 => built!(AmazonS3Builder),
        ObjectStoreScheme::GoogleCloudStorage => built!(GoogleCloudStorageBuilder),
        ObjectStoreScheme::MicrosoftAzure => built!(MicrosoftAzureBuilder),
        _ if !options.options.is_empty() => {
            let name = options.options.first().map_or("", |(name, _)| name);
            return Err(unknown_option(name, &shown));
        }
        ObjectStoreScheme::Local => Arc::new(LocalFileSystem::new()),
        ObjectStoreScheme::Memory => Arc::new(InMemory::new()),
        _ => return Err(unknown(&shown)),
    };
    Ok(Connected { client, prefix, address: shown, secrets })
}

/// The address as a URL, without anything that may be a credential. Errors do not repeat it.
fn checked(address: &str) -> Result<Url> {
    let what = "the address of an object store";
    let url = Url::parse(address).map_err(|e| Error::invalid(what, "a URL such as s3://bucket/prefix", e))?;
    let parts = [
        ("a password", url.password().is_some()),
        ("a query", url.query().is_some()),
        ("a fragment", url.fragment().is_some()),
    ];
    match parts.iter().find(|(_, there)| *there) {
        Some((part, _)) => {
            let must = "without credentials, which are read from the environment or set as options";
            Err(Error::invalid(what, must, format!("one with {part}")))
        }
        None => Ok(url),
    }
}

fn unknown(address: &str) -> Error {
    let must = "one of s3://, gs://, az://, file:// or memory:// with a bucket and a prefix";
    Error::invalid("the address of an object store", must, address)
}

fn unknown_option(name: &str, address: &str) -> Error {
    let must = format!("one that the crate object_store has for {address}");
    Error::invalid("an option of an object store", must, format!("{name:?}"))
}

/// Gives the process a provider of cryptography for TLS, unless the program has chosen one: the client ends the process
/// where there is none.
fn provide_cryptography() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error means that another thread was faster.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(address: &str, options: &ObjectStoreOptions) -> String {
        connect(address, options).err().unwrap().to_string()
    }

    #[test]
    fn addresses_lead_to_clients_and_prefixes() {
        let options = ObjectStoreOptions::new();
        for (address, client, prefix) in [
            ("s3://bucket/deep/er/", "AmazonS3(bucket)", "deep/er"),
            ("s3a://bucket", "AmazonS3(bucket)", ""),
            ("gs://bucket/a", "GoogleCloudStorage(bucket)", "a"),
            ("memory:///a/b", "InMemory", "a/b"),
            ("file:///tmp/a", "LocalFileSystem(file:///)", "tmp/a"),
        ] {
            let connected = connect(address, &options).unwrap();
            assert_eq!((connected.client.to_string(), connected.prefix.as_ref()), (client.into(), prefix));
            assert_eq!(connected.address, address.trim_end_matches('/'));
        }
        let azure =
            ObjectStoreOptions::new().set("account_name", "me").set("account_key", "c2VjcmV0LWtleQ==");
        let connected = connect("az://container/a", &azure).unwrap();
        assert_eq!(connected.prefix.as_ref(), "a");
        assert_eq!(connected.secrets.removed_from("c2VjcmV0LWtleQ=="), "…");
    }

    #[test]
    fn addresses_and_options_that_are_none_are_refused_without_their_secrets() {
        let options = ObjectStoreOptions::new();
        for (address, why) in [
            ("s3://key:s3cr3t@bucket/a", "one with a password"),
            ("https://a.blob.core.windows.net/c?sig=s3cr3t", "one with a query"),
            ("members", "relative URL without a base"),
            ("ftp://host/s3cr", "must be one of s3://, gs://, az://, file:// or memory://"),
            ("https://example.com/a", "must be one of s3://"),
        ] {
            let e = error(address, &options);
            assert!(e.contains(why) && !e.contains("s3cr3t"), "{e}");
        }
        let typo = ObjectStoreOptions::new().set("secret_acces_key", "s3cr3t-s3cr3t");
        for address in ["s3://bucket/a", "gs://bucket/a", "memory:///a"] {
            let e = error(address, &typo);
            let ends = format!("has for {address}, but is \"secret_acces_key\"");
            assert!(e.ends_with(&ends) && !e.contains("s3cr3t"), "{e}");
        }
        let e = error("s3://bucket/a", &options.clone().timeout(Duration::ZERO));
        assert_eq!(e, "the time-out of a request must be at least a millisecond, but is 0ns");
        let key = r#"{"private_key": "s3cr3t-s3cr3t", "#;
        let e = error("gs://bucket/a", &options.set("service_account_key", key));
        assert!(e.starts_with("gs://bucket/a: connecting failed: ") && !e.contains("s3cr3t"), "{e}");
    }
}
