//! A server of the S3 protocol over a folder, in this process or in one of its own that can be killed.
use s3s::{auth::SimpleAuth, dto::*, service::S3ServiceBuilder, S3Request, S3Response, S3Result, S3};
use s3s_fs::FileSystem;
use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

pub const ACCESS_KEY: &str = "ACCESS-KEY-5d1f0b";
pub const SECRET_KEY: &str = "SECRET-KEY-9c27ae";
pub const BUCKET: &str = "bucket";

/// How the server treats the condition `If-None-Match: *` of a put.
#[derive(Clone, Copy, PartialEq)]
pub enum Conditions {
    /// As S3 does: of several puts of one new object at the same time, one succeeds.
    Kept,
    /// As older servers do: every put succeeds.
    Ignored,
}

/// The served files, and what `s3s-fs` lacks: between its check of the condition and the new file there is room for
/// another put, so that several can succeed.
struct Files {
    files: FileSystem,
    conditions: Conditions,
    one_at_a_time: tokio::sync::Mutex<()>,
}

/// Hands requests on to the served files.
macro_rules! handed_on {
    ($($name:ident: $input:ident => $output:ident),* $(,)?) => {
        #[async_trait::async_trait]
        impl S3 for Files {
            async fn put_object(&self, mut request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
                if self.conditions == Conditions::Ignored {
                    request.input.if_none_match = None;
                }
                let _one = match request.input.if_none_match {
                    Some(_) => Some(self.one_at_a_time.lock().await),
                    None => None,
                };
                self.files.put_object(request).await
            }

            $(async fn $name(&self, request: S3Request<$input>) -> S3Result<S3Response<$output>> {
                self.files.$name(request).await
            })*
        }
    };
}

handed_on! {
    get_object: GetObjectInput => GetObjectOutput,
    head_object: HeadObjectInput => HeadObjectOutput,
    delete_object: DeleteObjectInput => DeleteObjectOutput,
    delete_objects: DeleteObjectsInput => DeleteObjectsOutput,
    list_objects_v2: ListObjectsV2Input => ListObjectsV2Output,
    create_multipart_upload: CreateMultipartUploadInput => CreateMultipartUploadOutput,
    upload_part: UploadPartInput => UploadPartOutput,
    complete_multipart_upload: CompleteMultipartUploadInput => CompleteMultipartUploadOutput,
    abort_multipart_upload: AbortMultipartUploadInput => AbortMultipartUploadOutput,
}

/// Serves a folder for as long as the process runs.
fn serve_folder(root: &Path, listener: TcpListener, conditions: Conditions) {
    let files = FileSystem::new(root).unwrap();
    let mut builder = S3ServiceBuilder::new(Files { files, conditions, one_at_a_time: Default::default() });
    builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
    let service = builder.build();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async move {
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let service = service.clone();
            tokio::spawn(async move {
                let executor = hyper_util::rt::TokioExecutor::new();
                let server = hyper_util::server::conn::auto::Builder::new(executor);
                let _ = server.serve_connection(hyper_util::rt::TokioIo::new(socket), service).await;
            });
        }
    });
}

/// A folder, and the server of it on a thread of this process. The thread ends with the process.
pub struct Server {
    pub root: tempfile::TempDir,
    pub address: SocketAddr,
}

impl Server {
    pub fn start() -> Self {
        Self::with(Conditions::Kept)
    }

    pub fn with(conditions: Conditions) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join(BUCKET)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let path = root.path().to_owned();
        thread::spawn(move || serve_folder(&path, listener, conditions));
        Self { root, address }
    }

    /// The folder of the objects under a prefix.
    pub fn folder(&self, prefix: &str) -> PathBuf {
        self.root.path().join(BUCKET).join(prefix)
    }

    /// The names of what lies beside the bucket: temporary files, and parts of uploads that are under way.
    pub fn leftovers(&self) -> Vec<String> {
        let names =
            fs::read_dir(self.root.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> =
            names.filter(|name| name.contains("upload") || name.contains(".tmp.")).collect();
        names.sort();
        names
    }
}

/// A server in a process of its own, which can be killed and started again at the same address.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
}

impl Process {
    pub fn start(root: &Path, address: Option<SocketAddr>) -> Self {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let address = address.unwrap_or_else(free);
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["server::serve", "--exact", "--ignored", "--nocapture"]).stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.env("S3_ROOT", root).env("S3_ADDRESS", address.to_string()).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < until, "the server does not start");
            thread::sleep(Duration::from_millis(5));
        }
        Self { child, address }
    }

    /// Ends the server at once, with whatever it was doing.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program of [`Process`]. It ends when its parent does.
#[test]
#[ignore = "the server that other tests start"]
fn serve() {
    let (Ok(root), Ok(address)) = (std::env::var("S3_ROOT"), std::env::var("S3_ADDRESS")) else { return };
    thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    // The socket of a server that was killed may not be free yet.
    let listener = std::iter::repeat_with(|| TcpListener::bind(&address))
        .find_map(|bound| bound.inspect_err(|_| thread::sleep(Duration::from_millis(5))).ok());
    serve_folder(Path::new(&root), listener.unwrap(), Conditions::Kept);
}
