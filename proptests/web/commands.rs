//! The commands that serve pages, run as a person runs them.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    process::{Child, Stdio},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use super::JSON;
use crate::{machine::Machine, page::Session};

/// A command that serves pages until it is interrupted, and what it printed first.
struct Serving(Child, Value);

impl Serving {
    fn start(machine: &Machine, arguments: &[&str]) -> Self {
        let mut command = machine.command("vault");
        let command = command.arg("--json").args(arguments).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said = serde_json::from_str(&line).unwrap();
        Self(child, said)
    }

    /// Ends it as Ctrl-C does, and gives its exit code.
    fn interrupt(mut self) -> Option<i32> {
        let id = self.0.id().to_string();
        assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        self.0.wait().unwrap().code()
    }
}

#[test]
fn the_page_is_opened_without_its_address_on_a_command_line() {
    let mut machine = Machine::with_vault();
    let seen = machine.path("seen").display().to_string();
    // What a desktop opens files with: it keeps what it was given.
    machine.script(
        "xdg-open",
        &format!("echo \"$@\" > {seen}.args\ncat \"$1\" > {seen}.new\nmv {seen}.new {seen}"),
    );
    let path = format!("{}:/usr/bin:/bin", machine.path("").display());
    machine.set("PATH", &path);
    let serving = Serving::start(&machine, &["web", "--port", "0", "--open"]);
    let url = serving.1["url"].as_str().unwrap().to_owned();
    let session = Session::open(&url);
    // A page that listens does not keep it from ending.
    let mut heard = session.listen();
    let door = machine.vault("vault").join("open.html");
    assert_eq!(fs::metadata(&door).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(&door).unwrap().contains(&url));
    assert_eq!(session.post("notes", JSON, b"").status, 303);
    // The log is read from its beginning when the page is served, and that may still be told of as "sync".
    assert_eq!(heard.find(|event| event != "sync").as_deref(), Some("notes"));
    assert_eq!(serving.interrupt(), Some(0));
    assert_eq!(heard.find(|event| event == "none"), None);
    assert!(!door.exists());
    // The browser was started before that; it may have got to its file late.
    if let Ok(arguments) = fs::read_to_string(format!("{seen}.args")) {
        assert!(arguments.contains("open.html") && !arguments.contains("token"), "{arguments}");
    }
    let list = machine.run(&["--json", "list"]).json();
    assert_eq!(list.as_array().unwrap().len(), 1);
    machine.run(&["verify"]).ok();
}

#[test]
fn the_page_is_served_where_no_browser_can_be_started() {
    let mut machine = Machine::with_vault();
    let nothing = machine.path("").display().to_string();
    machine.set("PATH", &nothing);
    let mut serving = Serving::start(&machine, &["web", "--port", "0", "--open"]);
    let mut told = String::new();
    BufReader::new(serving.0.stderr.take().unwrap()).read_line(&mut told).unwrap();
    assert!(told.starts_with("note: could not start the browser with `xdg-open`: "), "{told}");
    assert!(told.ends_with(": open the address yourself\n"), "{told}");
    assert_eq!(Session::open(serving.1["url"].as_str().unwrap()).get("list").status, 200);
    assert!(!machine.vault("vault").join("open.html").exists());
    assert_eq!(serving.interrupt(), Some(0));
}

/// It opens them by what the vault knows of them.
#[test]
fn the_page_keeps_the_vault_in_step_with_its_remotes() {
    let machine = Machine::with_vault();
    machine.run(&["remote", "add", "origin", "dir:meeting"]).ok();
    machine.run_with("vault", &["new", "-"], b"# A\n").ok();
    assert!(!machine.path("meeting/log").exists());
    let serving = Serving::start(&machine, &["web", "--port", "0"]);
    while !machine.path("meeting/log").exists() {
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(serving.interrupt(), Some(0));
    machine.run(&["sync"]).ok();
}

#[test]
fn a_port_that_is_taken_is_said() {
    let machine = Machine::with_vault();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ran = machine.run(&["web", "--port", &port]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains(&format!("port {port} of 127.0.0.1 can't be had")),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("--port"), "{}", ran.stderr);
}

/// Both devices of the demonstration have a page, and hear of each other by way of the store.
#[test]
fn the_demonstration_leaves_two_devices_to_be_looked_at() {
    let machine = Machine::new();
    let serving = Serving::start(&machine, &["demo", "--web"]);
    let page = |name: &str| Session::open(serving.1["pages"][name].as_str().unwrap());
    let (laptop, phone) = (page("laptop"), page("phone"));
    assert_ne!(laptop.address, phone.address);
    let list = laptop.get("list").text();
    let links = list.split("href=\"note/").skip(1).map(|rest| &rest[..32]);
    let note = links.into_iter().next().unwrap().to_owned();
    let text = laptop.get(&format!("note/{note}?edit=true")).text();
    let heads = text.split("data-heads=\"").nth(1).unwrap().split('"').next().unwrap();
    let draft = json!({ "heads": heads, "text": "# Written in the browser\n" });
    let mut heard = phone.listen();
    laptop.post(&format!("note/{note}/edit"), JSON, draft.to_string().as_bytes()).json();
    // It looks every few seconds; to be asked is to look at once.
    while !phone.get("list").text().contains("Written in the browser") {
        phone.post("sync/now", JSON, b"");
        heard.next().unwrap();
    }
    assert!(phone.get("images/grid").text().contains("uploaded"));
    assert_eq!(serving.interrupt(), Some(0));
}
