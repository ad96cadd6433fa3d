//! A browser that is driven for real: Chromium without a window, over the WebDriver protocol (W3C WebDriver 2).
//!
//! Chromium and its driver come from the system's packages and are installed when they are missing and that is allowed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::servers::skip;

/// How long something may take to appear on a page.
const PATIENCE: Duration = Duration::from_secs(30);

/// The key of an element's id in WebDriver's JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Keys as WebDriver writes them.
pub const ENTER: &str = "\u{e007}";
pub const TAB: &str = "\u{e004}";
pub const CONTROL: &str = "\u{e009}";

/// One browser window.
pub struct Browser {
    driver: Child,
    address: String,
    session: String,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends its browser with the session.
        let _ = http(&self.address, "DELETE", &format!("/session/{}", self.session), &[], "");
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// An answer of a server.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    /// A header's value, empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// One HTTP request on a connection of its own.
pub fn http(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer, String> {
    let mut stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(2 * PATIENCE)).map_err(|error| error.to_string())?;
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    let mut head = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line).map_err(|error| error.to_string())?;
        match line.trim_end() {
            "" => break,
            text => head.push(text.to_string()),
        }
    }
    let status = head.first().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let headers: Vec<(String, String)> = head
        .iter()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_string()))
        .collect();
    let length =
        headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok());
    let mut body = Vec::new();
    match length {
        Some(length) => {
            body.resize(length, 0);
            reader.read_exact(&mut body).map_err(|error| error.to_string())?;
        }
        None => drop(reader.read_to_end(&mut body).map_err(|error| error.to_string())?),
    }
    Ok(Answer {
        status: status.ok_or("no status")?,
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

/// Whether a program can be started.
fn there(program: &str) -> bool {
    let started = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    started.is_ok_and(|status| status.success())
}

/// Installs Chromium where that is possible; the reason where it is not.
fn install() -> Result<(), String> {
    if there("chromedriver") && there("chromium") {
        return Ok(());
    }
    for step in [&["update", "-qq"][..], &["install", "-y", "-qq", "chromium", "chromium-driver"]] {
        let mut apt = Command::new("apt-get");
        // Two tests may come here at once: the second waits for the first.
        apt.args(["-o", "DPkg::Lock::Timeout=600"]).args(step).env("DEBIAN_FRONTEND", "noninteractive");
        let output = apt.stdin(Stdio::null()).output().map_err(|error| format!("apt-get: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("apt-get: {}", said.lines().last().unwrap_or("failed")));
        }
    }
    Ok(())
}

impl Browser {
    /// A new window; `None`, said out loud, where there is no Chromium and none can be installed.
    pub fn start() -> Option<Browser> {
        if let Err(why) = install() {
            skip("Chromium", &why);
            return None;
        }
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(driver.stdout.take().unwrap());
        let address = loop {
            let mut line = String::new();
            assert_ne!(said.read_line(&mut line).unwrap(), 0, "chromedriver does not start");
            if let Some((_, port)) =
                line.trim_end().trim_end_matches('.').rsplit_once("successfully on port ")
            {
                break format!("127.0.0.1:{port}");
            }
        };
        // Nobody reads on, and a full pipe would stop the driver.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let mut browser = Browser { driver, address, session: String::new() };
        let session = browser.order("POST", "/session", wanted);
        browser.session = session["sessionId"].as_str().unwrap().to_string();
        Some(browser)
    }

    fn order(&self, method: &str, path: &str, body: Value) -> Value {
        self.try_order(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    fn try_order(&self, method: &str, path: &str, body: Value) -> Result<Value, String> {
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let headers = [("Content-Type", "application/json")];
        let answer = http(&self.address, method, path, &headers, &body)?;
        let value: Value =
            serde_json::from_str(&answer.body).map_err(|error| format!("{error}: {}", answer.body))?;
        match answer.status {
            200 => Ok(value["value"].clone()),
            _ => Err(format!("{}: {}", value["value"]["error"], value["value"]["message"])),
        }
    }

    fn post(&self, what: &str, body: Value) -> Value {
        self.order("POST", &format!("/session/{}/{what}", self.session), body)
    }

    /// Makes the window as wide as a phone or a desk's screen, light or dark.
    pub fn look(&self, width: u32, dark: bool) {
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500});
        self.post("goog/cdp/execute", json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": size}));
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.post("goog/cdp/execute", json!({"cmd": "Emulation.setEmulatedMedia", "params": media}));
    }

    /// Opens an address, and waits for its parts.
    pub fn open(&self, url: &str) {
        self.post("url", json!({"url": url}));
        self.settle();
    }

    /// Waits until nothing is being loaded.
    pub fn settle(&self) {
        self.until(
            "the parts are loaded",
            "return document.readyState === 'complete' && !document.querySelector('.wait')",
        );
    }

    /// The address of the page.
    pub fn url(&self) -> String {
        self.order("GET", &format!("/session/{}/url", self.session), Value::Null)
            .as_str()
            .unwrap()
            .to_string()
    }

    /// What a script returns.
    pub fn script(&self, script: &str) -> Value {
        self.post("execute/sync", json!({"script": script, "args": []}))
    }

    /// Waits until a script returns true.
    #[track_caller]
    pub fn until(&self, what: &str, script: &str) {
        let started = Instant::now();
        let body = json!({"script": script, "args": []});
        loop {
            // While one page makes room for the next, there is nothing to ask.
            let path = format!("/session/{}/execute/sync", self.session);
            if self.try_order("POST", &path, body.clone()) == Ok(Value::Bool(true)) {
                return;
            }
            if started.elapsed() > PATIENCE {
                let text = self.script("return document.body.innerText");
                panic!(
                    "it does not become true that {what}, at {}:\n{}",
                    self.url(),
                    text.as_str().unwrap_or_default()
                );
            }
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// The element of a selector, once it is there and can be seen.
    #[track_caller]
    fn find(&self, css: &str) -> String {
        let shown = format!(
            "const one = document.querySelector({}); return !!one && one.getClientRects().length > 0",
            json!(css)
        );
        self.until(&format!("`{css}` can be seen"), &shown);
        let found = self.post("element", json!({"using": "css selector", "value": css}));
        found[ELEMENT].as_str().unwrap().to_string()
    }

    /// Clicks on an element.
    #[track_caller]
    pub fn click(&self, css: &str) {
        let element = self.find(css);
        self.post(&format!("element/{element}/click"), json!({}));
    }

    /// Types into an element.
    #[track_caller]
    pub fn type_into(&self, css: &str, text: &str) {
        let element = self.find(css);
        self.post(&format!("element/{element}/value"), json!({"text": text}));
    }

    /// Chooses the option with this value.
    #[track_caller]
    pub fn choose(&self, css: &str, value: &str) {
        self.find(css);
        let option = format!("{css} option[value={}]", json!(value));
        let found = self.post("element", json!({"using": "css selector", "value": option}));
        self.post(&format!("element/{}/click", found[ELEMENT].as_str().unwrap()), json!({}));
    }

    /// The text of an element as it is shown.
    #[track_caller]
    pub fn text(&self, css: &str) -> String {
        let element = self.find(css);
        let path = format!("/session/{}/element/{element}/text", self.session);
        self.order("GET", &path, Value::Null).as_str().unwrap().to_string()
    }

    /// Whether something like it is on the page.
    pub fn has(&self, css: &str) -> bool {
        self.script(&format!("return !!document.querySelector({})", json!(css))) == Value::Bool(true)
    }

    /// Points at the middle of an element.
    #[track_caller]
    pub fn point_at(&self, css: &str) {
        let element = self.find(css);
        let to = json!({"type": "pointerMove", "duration": 0, "x": 0, "y": 0, "origin": {ELEMENT: element}});
        self.post("actions", json!({"actions": [{"type": "pointer", "id": "mouse", "actions": [to]}]}));
    }

    /// What the browser complained about since it was last asked: errors of scripts, and what the page's policy forbids.
    /// That a server has answered with an error is no complaint: the page tells it.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.post("se/log", json!({"type": "browser"}));
        let entries = log.as_array().cloned().unwrap_or_default();
        let told = entries.into_iter().filter(|entry| entry["source"] != "network");
        told.map(|entry| entry["message"].as_str().unwrap_or_default().to_string()).collect()
    }

    /// The page must fit the window's width, and nothing may have gone wrong on it. Keeps a picture where
    /// `LAGUNA_SCREENSHOTS` names a folder.
    #[track_caller]
    pub fn looks_well(&self, name: &str) {
        let root = "const root = document.documentElement;";
        let over = self.script(&format!("{root} return root.scrollWidth - root.clientWidth"));
        if let Some(folder) = std::env::var_os("LAGUNA_SCREENSHOTS") {
            let picture = self.order("GET", &format!("/session/{}/screenshot", self.session), Value::Null);
            let bytes = base64(picture.as_str().unwrap());
            std::fs::write(Path::new(&folder).join(format!("{name}.png")), bytes).unwrap();
        }
        assert_eq!(over, 0, "{name} is wider than its window, at {}", self.url());
        assert_eq!(self.complaints(), Vec::<String>::new(), "{name}");
    }
}

/// Bytes of a text in base64 (RFC 4648, section 4).
fn base64(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut bits, mut count, mut bytes) = (0u32, 0, Vec::new());
    for six in text.bytes().filter_map(value) {
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}
