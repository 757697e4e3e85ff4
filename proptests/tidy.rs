//! The tree itself: what may import what, where things live, and what has no place in it.
//!
//! Each rule lists all that breaks it, with the line and what to do.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// The modules of `src/` in the order in which they build on one another: a file imports only from
/// its own module and from those before it. Rows are those of the design; within a row, one line is
/// one order:
///
/// * an event names media types, so `image` comes before `event`;
/// * the log lies in the database, and projections fold the log;
/// * a segment is sealed, so `seal` comes before `segment`;
/// * the demonstration runs on the loopback server, which is a store like others and knows no vault.
const ROWS: [&[&str]; 9] = [
    &["id", "clock", "units", "crash", "mutant"],
    &["image", "event", "note"],
    &["db", "log", "images", "projection"],
    &["resolve", "lines", "search", "seal", "segment", "remote"],
    &["sync", "upload"],
    &["vault", "folder", "socket"],
    &["loopback", "serving", "hub", "web", "config", "demo", "sim"],
    &["cli"],
    &["main"],
];

/// Crates that only one module knows, by how paths into them begin.
const HOMES: [(&str, &str); 13] = [
    ("automerge::", "src/note"),
    ("fjall::", "src/db"),
    ("xxhash_rust::", "src/db"),
    ("pulldown_cmark::", "src/note/markdown"),
    ("aws_sdk_s3::", "src/remote/s3"),
    ("aws_config::", "src/remote/s3"),
    ("chacha20poly1305::", "src/seal"),
    ("ed25519_dalek::", "src/seal"),
    ("s3s::", "src/loopback"),
    ("maud::", "src/web"),
    ("ammonia::", "src/web"),
    ("clap::", "src/cli"),
    ("indicatif::", "src/cli"),
];

/// What the top level holds, besides what git ignores.
const TOP: [&str; 19] = [
    ".ci",
    ".git",
    ".gitignore",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "SECURITY.md",
    "benches",
    "clippy.toml",
    "deny.toml",
    "docs",
    "fixtures",
    "proptests",
    "rustfmt.toml",
    "src",
    "target",
];

const LONGEST: usize = 500;

/// A text file of the tree.
struct Text {
    /// From the root, with `/`.
    path: String,
    text: String,
}

impl Text {
    /// Its lines, numbered from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Whether it belongs to a module of `src/`, given as `src/name`.
    fn is_in(&self, module: &str) -> bool {
        let rest = self.path.strip_prefix(module);
        rest.is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust files under a folder of the tree, by path.
fn rust(folder: &str) -> Vec<Text> {
    let walk = walkdir::WalkDir::new(root().join(folder)).sort_by_file_name();
    // A crate of its own, with what it builds: its targets only pass on to `proptests/crashers/`.
    let apart = root().join("proptests/fuzz");
    let entries = walk.into_iter().filter_entry(move |entry| entry.path() != apart);
    let paths = entries.map(|entry| entry.unwrap().into_path());
    paths.filter(|path| path.extension().is_some_and(|end| end == "rs")).map(read).collect()
}

fn read(path: PathBuf) -> Text {
    let relative = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
    Text { path: relative, text: fs::read_to_string(path).unwrap() }
}

/// Every text file that is ours.
fn everything() -> Vec<Text> {
    let mut texts = rust("src");
    texts.extend(rust("proptests"));
    let others = ["README.md", "CHANGELOG.md", "SECURITY.md", "Cargo.toml", "deny.toml", ".ci/run"];
    let beside = ["proptests/README.md", "proptests/stores.sh"];
    let others = others.iter().chain(&beside).map(|name| root().join(name));
    let scripts = fs::read_dir(root().join("proptests/stores")).unwrap();
    let scripts = scripts.map(|entry| entry.unwrap().path());
    let scripts = scripts.filter(|path| path.extension().is_some_and(|end| end != "rs"));
    texts.extend(others.filter(|path| path.exists()).chain(scripts).map(read));
    texts
}

#[track_caller]
fn holds(rule: &str, broken: &[String]) {
    let list = broken.iter().fold(String::new(), |mut list, line| {
        let _ = write!(list, "\n  {line}");
        list
    });
    assert!(broken.is_empty(), "\n\n{rule}\n{list}\n");
}

/// The text without comments, and without what stands in string literals; lines stay lines.
fn code(text: &str) -> String {
    let mut code = String::new();
    for line in text.lines() {
        let mut quoted = false;
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '/' if !quoted && chars.peek() == Some(&'/') => break,
                '\\' if quoted => drop(chars.next()),
                // A quote as a character is no beginning of a string.
                '\'' if !quoted && chars.peek() == Some(&'"') => drop(chars.next()),
                '"' => quoted = !quoted,
                c if !quoted => code.push(c),
                _ => {}
            }
        }
        code.push('\n');
    }
    code
}

/// The top-level modules that a file of `src/` names, each with the line where it does.
fn imports(path: &str, text: &str) -> BTreeSet<(usize, String)> {
    let inner = path.strip_prefix("src/").unwrap().strip_suffix(".rs").unwrap();
    let depth = inner.strip_suffix("/mod").unwrap_or(inner).split('/').count();
    let code = code(text);
    // As many steps up as lead from this file to the crate's root.
    let up = format!("{}::", vec!["super"; depth].join("::"));
    let mut found = BTreeSet::new();
    for start in ["crate::", "everleaf::", &up] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            for (offset, name) in heads(&code[at + start.len()..]) {
                let line = code[..at + start.len() + offset].matches('\n').count() + 1;
                found.insert((line, name.to_owned()));
            }
        }
    }
    found
}

/// The first names of the paths with which `rest` begins: one, or those of a group.
fn heads(rest: &str) -> Vec<(usize, &str)> {
    let name = |at: usize| {
        let end = rest[at..].find(|c: char| !c.is_alphanumeric() && c != '_');
        &rest[at..at + end.unwrap_or(rest.len() - at)]
    };
    let Some(group) = rest.strip_prefix('{') else { return vec![(0, name(0))] };
    let (mut names, mut depth, mut expects) = (Vec::new(), 1, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            ',' if depth == 1 => expects = true,
            c if expects && !c.is_whitespace() => {
                names.push((at + 1, name(at + 1)));
                expects = false;
            }
            _ => {}
        }
    }
    names
}

fn place(module: &str) -> Option<usize> {
    ROWS.iter().copied().flatten().position(|name| *name == module)
}

#[test]
fn a_file_imports_only_what_stands_before_it() {
    let mut broken = Vec::new();
    for Text { path, text } in rust("src") {
        let own = path.split('/').nth(1).unwrap().trim_end_matches(".rs").to_owned();
        // The tour names everything; `main` is one expression over it.
        if own == "lib" {
            continue;
        }
        let Some(here) = place(&own) else {
            broken.push(format!("{path}: `{own}` has no place; give it one in ROWS"));
            continue;
        };
        for (line, module) in imports(&path, &text) {
            let Some(there) = place(&module) else { continue };
            if there > here {
                broken.push(format!("{path}:{line} uses `{module}`, which builds on `{own}`"));
            }
        }
    }
    let rows: Vec<String> = ROWS.iter().map(|row| row.join(" ")).collect();
    let rule = format!(
        "A file of src/ imports only from its own module and those before it:\n  {}\n\
         Move what is shared up, or pass it in as a value.",
        rows.join(" · ")
    );
    holds(&rule, &broken);
}

#[test]
fn imports_are_read_in_all_their_forms() {
    let text = r#"
        use crate::{
            clock::{self, Clock},
            db::{Draft, Read as _}, // crate::web
            id::NoteId,
        };
        use super::{Vault, lock};
        use super::super::upload::State;
        pub use self::open::Options;
        fn f() -> crate::log::New { "crate::hub"; other_crate::folder() }
    "#;
    let names = |path| imports(path, text).into_iter().map(|(_, name)| name).collect::<Vec<_>>();
    assert_eq!(names("src/vault/notes.rs"), ["clock", "db", "id", "upload", "log"]);
    assert_eq!(names("src/vault/mod.rs"), ["clock", "db", "id", "Vault", "lock", "super", "log"]);
    let lines: Vec<usize> = imports("src/vault/a.rs", text).into_iter().map(|(n, _)| n).collect();
    assert_eq!(lines, [3, 4, 5, 8, 10]);
}

#[test]
fn what_a_crate_does_stays_behind_one_module() {
    let mut broken = Vec::new();
    for file in rust("src") {
        for (start, home) in HOMES {
            let known = file.is_in(home) || file.path == "src/main.rs";
            for (line, _) in code(&file.text).lines().enumerate().filter(|(_, line)| {
                line.match_indices(start).any(|(at, _)| {
                    !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
                })
            }) {
                if !known {
                    let (path, line) = (&file.path, line + 1);
                    broken.push(format!("{path}:{line} names {start}, which only {home} knows"));
                }
            }
        }
    }
    holds("A crate is known to one module, so that it can be understood and replaced.", &broken);
}

#[test]
fn only_the_vault_appends() {
    let mut broken = Vec::new();
    for file in rust("src") {
        if file.is_in("src/vault") || file.is_in("src/log") {
            continue;
        }
        for (line, text) in code(&file.text).lines().enumerate() {
            if text.contains(".append(") || text.contains("Log::open") {
                broken.push(format!("{}:{} appends to a log", file.path, line + 1));
            }
        }
    }
    holds(
        "The vault is the only appender: return a decision, and let it record what came of it.",
        &broken,
    );
}

/// Whoever embeds the library has other ways to do what it asks for.
#[test]
fn the_library_speaks_of_no_command() {
    let mut broken = Vec::new();
    for file in rust("src") {
        let own = ["cli", "config", "demo", "hub", "main", "sim", "web"];
        if own.iter().any(|module| file.is_in(&format!("src/{module}"))) {
            continue;
        }
        for (line, text) in file.lines() {
            let is_said = !text.trim_start().starts_with("//");
            if is_said && ["`everleaf ", "EVERLEAF_", " --"].iter().any(|of| text.contains(of)) {
                broken.push(format!("{}:{line} names a command or an option of one", file.path));
            }
        }
    }
    holds("Hints are neutral; `src/cli/hint.rs` says them in the words of the command.", &broken);
}

/// What a library needs is there without features, but for what they name.
#[test]
fn no_feature_stands_before_what_a_library_needs() {
    let mut broken = Vec::new();
    for file in
        rust("src").iter().filter(|file| file.is_in("src/vault") || file.is_in("src/folder"))
    {
        let lines: Vec<&str> = file.text.lines().collect();
        for (line, pair) in lines.windows(2).enumerate() {
            let [attribute, item] = pair else { continue };
            let item = item.trim_start();
            let is_public = item.starts_with("pub ") || item.starts_with("mod ");
            if attribute.trim_start().starts_with("#[cfg(feature") && is_public {
                broken.push(format!("{}:{} hides `{item}`", file.path, line + 1));
            }
        }
    }
    holds(
        "No feature hides a part of the vault: what uses it has to build without `web`.",
        &broken,
    );
}

#[test]
fn the_top_level_holds_what_it_should() {
    let names = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name());
    let broken: Vec<String> = names
        .map(|name| name.into_string().unwrap())
        .filter(|name| !TOP.contains(&name.as_str()))
        .map(|name| format!("{name} is none of them"))
        .collect();
    holds(&format!("The top level holds {} and nothing else.", TOP.join(" ")), &broken);
}

#[test]
fn every_file_of_tests_is_run() {
    let files = rust("proptests");
    let names = |parent: &str, module: &str| {
        let line = format!("mod {module};");
        let named = |file: &&Text| file.path == format!("{parent}.rs");
        files.iter().find(named).is_some_and(|file| file.lines().any(|(_, text)| text == line))
    };
    let mut broken = Vec::new();
    for file in files.iter().filter(|file| file.path != "proptests/main.rs") {
        let (folder, name) = file.path.trim_end_matches(".rs").rsplit_once('/').unwrap();
        let parent = if folder == "proptests" { "proptests/main" } else { folder };
        if !names(parent, name) {
            broken.push(format!("{}: write `mod {name};` into {parent}.rs", file.path));
        }
    }
    holds("A file of tests that no other one names is never run.", &broken);
}

#[test]
fn no_file_is_too_long_to_be_read() {
    let broken: Vec<String> = rust("src")
        .iter()
        .chain(&rust("proptests"))
        .map(|file| (&file.path, file.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST)
        .map(|(path, lines)| format!("{path} has {lines} lines"))
        .collect();
    holds(
        &format!("No file has more than {LONGEST} lines: split it where its subject changes."),
        &broken,
    );
}

#[test]
fn only_the_command_prints() {
    let mut broken = Vec::new();
    for file in rust("src").iter().filter(|f| !f.is_in("src/cli") && !f.is_in("src/main")) {
        for (line, text) in code(&file.text).lines().enumerate() {
            if ["print!(", "println!(", "dbg!("].iter().any(|print| text.contains(print)) {
                broken.push(format!("{}:{}: {}", file.path, line + 1, text.trim()));
            }
        }
    }
    holds("The library is silent: return it, or say it with tracing.", &broken);
}

#[test]
fn nothing_is_put_off_and_nothing_names_one_machine() {
    // Written apart, since this file is read too.
    let later = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let machine = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];
    let mut broken = Vec::new();
    for file in everything() {
        for (line, text) in file.lines() {
            let mut words = text.split(|c: char| !c.is_alphanumeric());
            if let Some(word) = words.find(|word| later.contains(word)) {
                broken.push(format!("{}:{line} says {word}", file.path));
            }
            if let Some(path) = machine.iter().find(|path| text.contains(*path)) {
                broken.push(format!("{}:{line} names {path}", file.path));
            }
        }
    }
    holds("What is in the tree is done, and works on any machine.", &broken);
}

/// The rows of README's table of promises: their numbers, and the tests that they name.
fn promises(readme: &str) -> Vec<(usize, Vec<String>)> {
    let rows = readme.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let number = cells.next()?.trim().parse().ok()?;
        let tests = cells.nth(1)?.trim_end_matches(" |").split(", ");
        Some((number, tests.map(|test| test.trim_matches('`').to_owned()).collect()))
    });
    rows.collect()
}

/// What is wrong with the name of a test, if anything.
fn missing(files: &[Text], test: &str) -> Option<String> {
    let Some((module, name)) = test.rsplit_once("::") else {
        return Some(format!("`{test}` is no `module::test`"));
    };
    let path = format!("proptests/{}.rs", module.replace("::", "/"));
    let declared = format!("fn {name}(");
    let file = files.iter().find(|file| file.path == path);
    let there = file.is_some_and(|file| file.text.contains(&declared));
    (!there).then(|| format!("there is no `fn {name}` in {path}"))
}

#[test]
fn every_attack_has_its_tests() {
    let security = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let files = rust("proptests");
    let named: Vec<&str> =
        security.split('`').skip(1).step_by(2).filter(|name| name.contains("::")).collect();
    assert!(named.len() > 20, "{named:?}");
    let broken: Vec<String> = named.iter().filter_map(|test| missing(&files, test)).collect();
    holds("SECURITY.md names the tests of every attack as they are called.", &broken);
}

#[test]
fn every_promise_has_its_tests() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let promises = promises(&readme);
    let files = rust("proptests");
    let mut broken = Vec::new();
    for (number, tests) in &promises {
        let missing = tests.iter().filter_map(|test| missing(&files, test));
        broken.extend(missing.map(|problem| format!("promise {number}: {problem}")));
    }
    let numbers: Vec<usize> = promises.iter().map(|(number, _)| *number).collect();
    if numbers != (1..=12).collect::<Vec<_>>() {
        broken.push(format!("README.md lists promises {numbers:?}, and should list 1 to 12"));
    }
    holds("README.md names the tests of every promise as they are called.", &broken);
}
