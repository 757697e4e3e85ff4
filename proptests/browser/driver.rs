//! A real browser, by way of chromedriver and the `WebDriver` protocol, which is JSON over HTTP.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::page::send;

/// What says that there has to be a browser.
const REQUIRED: &str = "EVERLEAF_BROWSER";
/// How long the browser tries before it says that something did not happen, in milliseconds.
const PATIENCE: u64 = 90_000;

/// Each takes hundreds of megabytes: one at a time.
static ONE: Mutex<()> = Mutex::new(());

/// A browser with one window and a profile of its own.
pub(crate) struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    // Removed after the browser ended.
    profile: tempfile::TempDir,
    _one: MutexGuard<'static, ()>,
}

fn command(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let all = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    all.into_iter().find(|path| path.is_file())
}

impl Browser {
    /// Starts one; without one to start, says that the test is left out, unless there has to be one.
    pub(crate) fn start() -> Option<Self> {
        let chromium = command(&["chromium", "chromium-browser", "google-chrome"]);
        let (Some(chromium), Some(driver)) = (chromium, command(&["chromedriver"])) else {
            let required = std::env::var(REQUIRED).is_ok_and(|value| value == "required");
            assert!(
                !required,
                "{REQUIRED} asks for a browser: install chromium and chromium-driver"
            );
            eprintln!("left out: there is no chromium with its chromedriver");
            return None;
        };
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let profile = tempfile::tempdir().unwrap();
        let mut driver = Command::new(driver)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let started =
            lines.map_while(Result::ok).find(|line| line.contains("started successfully"));
        let port = started.as_deref().and_then(|line| line.rsplit(' ').next());
        let port = port.unwrap().trim_end_matches('.').parse().unwrap();
        let mut browser = Self {
            driver,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            session: String::new(),
            profile,
            _one: one,
        };
        let profile = format!("--user-data-dir={}", browser.profile.path().display());
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-background-timer-throttling",
            "--disable-renderer-backgrounding",
            "--force-color-profile=srgb",
            "--hide-scrollbars",
            "--lang=en",
            &profile,
        ];
        let options = json!({ "binary": chromium, "args": arguments });
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "script": PATIENCE, "pageLoad": PATIENCE },
            "unhandledPromptBehavior": "accept",
        } } });
        let begun = browser.ask("POST", "/session", &wanted);
        browser.session = format!("/session/{}", begun["sessionId"].as_str().unwrap());
        Some(browser)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let host = self.address.to_string();
        let headers = [("Host", host.as_str()), ("Content-Type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = send(self.address, method, path, &headers, body.as_bytes());
        let value: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer.status, 200, "{method} {path} {body}\n{}", value["value"]["message"]);
        value["value"].clone()
    }

    fn post(&self, what: &str, body: &Value) -> Value {
        self.ask("POST", &format!("{}/{what}", self.session), body)
    }

    fn get(&self, what: &str) -> Value {
        self.ask("GET", &format!("{}/{what}", self.session), &Value::Null)
    }

    pub(crate) fn open(&self, url: &str) {
        self.post("url", &json!({ "url": url }));
    }

    /// Runs a script, which gives a value.
    pub(crate) fn run(&self, script: &str, arguments: &Value) -> Value {
        self.post("execute/sync", &json!({ "script": script, "args": arguments }))
    }

    /// Waits until a JavaScript expression holds.
    #[track_caller]
    pub(crate) fn until(&self, expression: &str) {
        let script = format!(
            "const done = arguments[arguments.length - 1];
             const look = () => {{
               let holds = false;
               try {{ holds = Boolean({expression}); }} catch (error) {{ holds = false; }}
               if (holds) done(true); else setTimeout(look, 30);
             }};
             look();"
        );
        let path = format!("{}/execute/async", self.session);
        let host = self.address.to_string();
        let headers = [("Host", host.as_str()), ("Content-Type", "application/json")];
        let body = json!({ "script": script, "args": [] }).to_string();
        let begun = Instant::now();
        // Where the page gives way to another, it is asked again.
        loop {
            let answer = send(self.address, "POST", &path, &headers, body.as_bytes());
            if answer.status == 200 {
                return;
            }
            if begun.elapsed() < Duration::from_millis(PATIENCE) {
                continue;
            }
            self.picture("failed");
            let page = self.run("return document.body.innerText", &json!([]));
            panic!("{expression}\nnever held: {}\n{page}", answer.text());
        }
    }

    fn element(&self, selector: &str) -> String {
        let found = self.post("element", &json!({ "using": "css selector", "value": selector }));
        let (_, id) = found.as_object().unwrap().iter().next().unwrap();
        id.as_str().unwrap().to_owned()
    }

    pub(crate) fn click(&self, selector: &str) {
        let element = self.element(selector);
        self.post(&format!("element/{element}/click"), &json!({}));
    }

    /// Types, as a person at a keyboard; into a choice of files, a path.
    pub(crate) fn type_into(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        self.post(&format!("element/{element}/value"), &json!({ "text": text }));
    }

    /// Presses keys wherever the focus is.
    pub(crate) fn press(&self, keys: &[char]) {
        let actions = keys.iter().flat_map(|key| {
            ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() }))
        });
        let actions: Vec<Value> = actions.collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": actions });
        self.post("actions", &json!({ "actions": [keyboard] }));
    }

    /// Presses a key while another is held down.
    pub(crate) fn hold(&self, held: char, key: char) {
        let down = |key: char| json!({ "type": "keyDown", "value": key.to_string() });
        let up = |key: char| json!({ "type": "keyUp", "value": key.to_string() });
        let actions = [down(held), down(key), up(key), up(held)];
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": actions });
        self.post("actions", &json!({ "actions": [keyboard] }));
    }

    /// The window that is looked at.
    pub(crate) fn window(&self) -> Value {
        self.get("window")
    }

    /// Opens another window, and looks at it.
    pub(crate) fn new_window(&self) -> Value {
        let window = self.post("window/new", &json!({ "type": "window" }))["handle"].clone();
        self.look_at(&window);
        window
    }

    pub(crate) fn look_at(&self, window: &Value) {
        self.post("window", &json!({ "handle": window }));
        // As if a person had clicked on it.
        self.protocol("Page.bringToFront", &json!({}));
    }

    /// Sets the width and height of what is seen, and whether it is a phone's.
    pub(crate) fn resize(&self, width: u32, height: u32, phone: bool) {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone,
        });
        self.protocol("Emulation.setDeviceMetricsOverride", &size);
    }

    pub(crate) fn dark(&self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.protocol("Emulation.setEmulatedMedia", &features);
    }

    fn protocol(&self, command: &str, parameters: &Value) {
        self.post("goog/cdp/execute", &json!({ "cmd": command, "params": parameters }));
    }

    /// Writes what is seen to `target/screenshots/`.
    pub(crate) fn picture(&self, name: &str) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
        fs::create_dir_all(&folder).unwrap();
        let encoded = self.get("screenshot");
        fs::write(folder.join(format!("{name}.png")), base64(encoded.as_str().unwrap())).unwrap();
    }

    /// What the browser complained of: errors, and what a policy did not allow.
    ///
    /// htmx calls it an error, in two lines, where a request gives way to a newer one. That is left out; what
    /// could not be sent has a line of its own (`htmx:sendError`).
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.post("se/log", &json!({ "type": "browser" }));
        let severe = log.as_array().unwrap().iter().filter(|entry| entry["level"] == "SEVERE");
        let messages = severe.map(|entry| entry["message"].as_str().unwrap().to_owned());
        let gave_way = ["\"htmx:afterRequest, ", "\"htmx:sendAbort, "];
        messages.filter(|message| !gave_way.iter().any(|line| message.contains(line))).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let host = self.address.to_string();
            send(self.address, "DELETE", &self.session, &[("Host", &host)], b"");
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// The bytes of a text in base 64.
pub(crate) fn base64(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|c| *c != b'=').map(value).collect();
    let group = |four: &[u8]| {
        let bits = four.iter().fold(0_u32, |bits, digit| bits << 6 | u32::from(*digit));
        let bits = bits << (6 * (4 - four.len()));
        bits.to_be_bytes()[1..four.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}
