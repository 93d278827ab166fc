//! Recorded exchanges for the tests of this room. They come from public sources and stay outside the repository: a
//! directory named by `FAILBACK_ASR_DATA`. Without it these tests say that they were skipped.

use std::{fs, path::PathBuf};

use serde_json::Value;

fn directory() -> Option<PathBuf> {
    let directory = std::env::var_os("FAILBACK_ASR_DATA").map(PathBuf::from);
    if directory.is_none() {
        eprintln!("SKIPPED: FAILBACK_ASR_DATA does not name the directory of recorded exchanges");
    }
    directory
}

/// All JSON files of a folder, by name. `None`, with a word about it, when there is no data.
pub(crate) fn folder(name: &str) -> Option<Vec<(String, Value)>> {
    let mut files: Vec<_> = fs::read_dir(directory()?.join(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).unwrap();
            (name, serde_json::from_str(&text).unwrap())
        })
        .collect();
    files.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(!files.is_empty(), "{name} is empty");
    Some(files)
}

/// One exchange of the modernized recording, by its number.
pub(crate) fn recorded(number: &str) -> Option<Value> {
    folder("recorded")?.into_iter().find(|(name, _)| name.starts_with(number)).map(|(_, exchange)| exchange)
}

/// The request bodies of the classic recording.
pub(crate) fn classic_requests() -> Option<Value> {
    folder("recorded-classic")?.into_iter().find(|(name, _)| name == "requests.json").map(|(_, body)| body)
}
