//! The rule between the rooms, and a few limits, held by reading the source.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Which rooms a room may name. Those without a row (`cli`, `config`, …) put the others together and may name any.
const RULE: [(&str, &[&str]); 10] = [
    ("api", &[]),
    ("core", &["api"]),
    ("ports", &["api", "core"]),
    ("azure", &["core", "ports"]),
    ("vcenter", &["core", "ports"]),
    ("probe", &["api", "core", "ports"]),
    ("inventory", &["core", "ports"]),
    ("kube_io", &["api", "core", "ports"]),
    ("reconcile", &["api", "core", "inventory", "kube_io", "ports"]),
    ("observability", &["api", "core", "ports", "config", "reconcile"]),
];
/// The rooms that put the others together.
const FREE: [&str; 4] = ["cli", "config", "demo", "rehearsal"];

/// What would let the core see more than its input.
const IMPURE: [&str; 9] = [
    "std::env",
    "std::fs",
    "std::net",
    "std::thread",
    "SystemTime",
    "Instant",
    "tokio",
    "Timestamp::now",
    "Zoned::now",
];

const MOST_LINES: usize = 450;

/// A source file without comments and string literals, and without its test modules' files.
struct Source {
    path: PathBuf,
    lines: Vec<String>,
}

impl Source {
    /// The room that the file belongs to; `None` for the crate's roots.
    fn room(&self) -> Option<String> {
        let inside = self.path.strip_prefix("src").unwrap();
        let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
        let room = first.strip_suffix(".rs").unwrap_or(first).to_owned();
        (!["main", "lib"].contains(&room.as_str())).then_some(room)
    }

    /// How many modules lie above an item of this file.
    fn depth(&self) -> usize {
        let inside = self.path.strip_prefix("src").unwrap();
        inside.components().count() - usize::from(inside.ends_with("mod.rs"))
    }

    fn at(&self, line: usize) -> String {
        format!("{}:{}", self.path.display(), line + 1)
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    files.sort();
    assert!(files.len() > 30, "{} files: not the whole source", files.len());
    files
        .into_iter()
        .map(|file| Source {
            lines: without_text(&fs::read_to_string(&file).unwrap()).lines().map(str::to_owned).collect(),
            path: file.strip_prefix(root).unwrap().to_owned(),
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

/// Blanks comments and the contents of strings; lines stay where they are.
fn without_text(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(next) = rest.chars().next() {
        let raw = rest.strip_prefix('r').map(|hashes| hashes.len() - hashes.trim_start_matches('#').len());
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(hashes) = raw.filter(|hashes| rest[1 + hashes..].starts_with('"') && !ends_in_word(&out)) {
            let end = format!("\"{}", "#".repeat(hashes));
            let body = 2 + hashes;
            rest[body..].find(&end).map_or(rest.len(), |at| body + at + end.len())
        } else if next == '"' {
            string_end(rest)
        } else {
            0
        };
        if skipped == 0 {
            // A quote as a char literal would open a string.
            let literal = ["'\"'", "'\\\"'"].into_iter().find(|literal| rest.starts_with(literal));
            let taken = literal.map_or(next.len_utf8(), str::len);
            out.push_str(if literal.is_some() { "' '" } else { &rest[..taken] });
            rest = &rest[taken..];
        } else {
            out.extend(rest[..skipped].chars().filter(|c| *c == '\n'));
            rest = &rest[skipped..];
        }
    }
    out
}

fn ends_in_word(text: &str) -> bool {
    text.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_')
}

fn string_end(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    rest.len()
}

/// The first names of a path that begins at the crate's root: one, or those of a `{…}` tree.
fn first_names(tree: &str) -> Vec<String> {
    let name =
        |text: &str| text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(inner) = tree.trim_start().strip_prefix('{') else { return vec![name(tree)] };
    let (mut names, mut depth, mut part) = (Vec::new(), 0, String::new());
    for c in inner.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(name(&std::mem::take(&mut part))),
            _ if depth == 0 => part.push(c),
            _ => {}
        }
    }
    names.push(name(&part));
    names.retain(|name| !name.is_empty());
    names
}

/// Every room that a file names, with the line: through `crate::`, or through as many `super::` as lead to the root.
fn named_rooms(source: &Source) -> Vec<(usize, String)> {
    let text = source.lines.join("\n");
    let climb = "super::".repeat(source.depth());
    let mut found = Vec::new();
    for root in ["crate::", climb.as_str()].into_iter().filter(|root| !root.is_empty()) {
        for (at, _) in
            text.match_indices(root).filter(|(at, _)| !ends_in_word(&text[..*at]) && !text[..*at].ends_with(':'))
        {
            let line = text[..at].matches('\n').count();
            found.extend(first_names(&text[at + root.len()..]).into_iter().map(|room| (line, room)));
        }
    }
    found
}

fn report(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn rooms_name_only_what_they_may() {
    let sources = sources();
    let rooms: BTreeSet<String> = sources.iter().filter_map(Source::room).collect();
    let mut violations = Vec::new();
    for room in rooms.iter().filter(|room| !RULE.iter().any(|row| row.0 == **room) && !FREE.contains(&room.as_str())) {
        violations.push(format!("src/{room}: the rule does not say what this room may name"));
    }
    let mut edges = 0;
    for source in &sources {
        let Some(room) = source.room() else { continue };
        let Some((_, allowed)) = RULE.iter().find(|row| row.0 == room) else { continue };
        for (line, named) in
            named_rooms(source).into_iter().filter(|(_, named)| rooms.contains(named) && *named != room)
        {
            edges += 1;
            if !allowed.contains(&named.as_str()) {
                violations.push(format!("{}: {room} may not name {named}", source.at(line)));
            }
        }
    }
    assert!(edges > 20, "{edges} edges: the source was not understood");
    report(&violations);
}

/// Metrics implement a trait of the reconcilers, and know nothing else of them.
#[test]
fn observability_knows_of_the_reconcilers_only_what_they_count() {
    let mut violations = Vec::new();
    for source in sources().iter().filter(|source| source.room().as_deref() == Some("observability")) {
        let text = source.lines.join("\n");
        for (at, found) in text.match_indices("reconcile::") {
            let names = first_names(&text[at + found.len()..]);
            if names.iter().any(|name| name != "Tally") {
                violations.push(format!("{}: {names:?}", source.at(text[..at].matches('\n').count())));
            }
        }
    }
    report(&violations);
}

#[test]
fn the_core_and_the_api_see_nothing_but_their_input() {
    let mut violations = Vec::new();
    for source in sources().iter().filter(|s| ["api", "core"].contains(&s.room().unwrap_or_default().as_str())) {
        for (line, text) in source.lines.iter().enumerate() {
            for word in IMPURE.iter().filter(|word| text.contains(**word)) {
                violations.push(format!("{}: {word}", source.at(line)));
            }
        }
    }
    report(&violations);
}

/// One place makes mutating calls, so that one place holds the rules for them.
#[test]
fn only_act_submits() {
    let callers: Vec<String> = sources()
        .iter()
        .flat_map(|source| {
            let calls = source.lines.iter().enumerate().filter(|(_, text)| text.contains(".submit("));
            calls.map(|(line, _)| source.at(line)).collect::<Vec<_>>()
        })
        .filter(|at| !at.contains("tests.rs:"))
        .collect();
    assert_eq!(callers.len(), 1, "{callers:?}");
    assert!(callers[0].starts_with("src/reconcile/act.rs:"), "{callers:?}");
}

#[test]
fn files_stay_short() {
    let mut violations = Vec::new();
    for source in sources() {
        let most = if source.path.ends_with("main.rs") { 60 } else { MOST_LINES };
        if source.lines.len() > most {
            violations.push(format!("{}: {} lines, at most {most}", source.path.display(), source.lines.len()));
        }
    }
    report(&violations);
}

#[test]
fn the_reader_of_the_source_can_read() {
    let text =
        "use crate::{api::{A, B}, core::x}; // crate::cli\nlet s = \"crate::cli\"; let q = '\"'; crate::ports::P;\n";
    let source = |path: &str| Source {
        path: PathBuf::from(path),
        lines: without_text(text).lines().map(str::to_owned).collect(),
    };
    let named: Vec<_> = named_rooms(&source("src/x/y.rs"));
    let expected = [(0, "api"), (0, "core"), (1, "ports")].map(|(line, room)| (line, room.to_owned()));
    assert_eq!(named, expected);
    let climbing = Source { lines: vec!["use super::super::azure::A;".to_owned()], ..source("src/core/decide.rs") };
    assert_eq!(named_rooms(&climbing), [(0, "azure".to_owned())]);
    assert_eq!((source("src/core/mod.rs").depth(), source("src/ports.rs").depth()), (1, 1));
    assert_eq!(without_text("r#\"a \"crate::cli\" b\"#;x"), ";x");
}
