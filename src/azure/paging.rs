//! Lists, page by page.

use std::collections::HashSet;

use serde_json::Value;
use url::Url;

use crate::{
    azure::pipeline::Arm,
    core::failure::{Failure, FailureClass, Remote, codes},
};

/// More pages than any vault has: 1,000 pages of 100 items.
const MOST_PAGES: usize = 1000;
/// All pages of a list together. An item takes some 10 KB, one with 60 disks 100.
const LARGEST_LIST: usize = 64 << 20;
/// Entries of a list: what is kept of even the shortest takes its place.
const MOST_ENTRIES: usize = 50_000;

/// What the reader of a page wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The following page, if there is one.
    More,
    /// Nothing more.
    Enough,
}

/// Reads a list and hands over each page's entries. A list that cannot be read to its end is a failure, never a
/// shorter list: what is missing would look absent.
pub(crate) async fn pages(
    arm: &Arm,
    first: Url,
    mut each: impl FnMut(Vec<Value>) -> Next + Send,
) -> Result<(), Failure> {
    let (mut url, mut seen) = (first, HashSet::new());
    let (mut bytes, mut count) = (0, 0);
    for _ in 0..MOST_PAGES {
        let (mut body, size) = arm.read_sized(&url).await?;
        let Some(Value::Array(entries)) = body.get_mut("value").map(Value::take) else {
            return Err(unsound(&url, "has no `value`"));
        };
        let next = body.get("nextLink").and_then(Value::as_str).map(str::trim).unwrap_or_default();
        (bytes, count) = (bytes + size, count + entries.len());
        if bytes > LARGEST_LIST || count > MOST_ENTRIES {
            return Err(unsound(&url, "has more than 64 MiB or 50,000 entries"));
        }
        if each(entries) == Next::Enough || next.is_empty() {
            return Ok(());
        }
        let next = follow(arm, &url, next)?;
        seen.insert(std::mem::replace(&mut url, next));
        if seen.contains(&url) {
            return Err(unsound(&url, "continues at a page that it came from"));
        }
    }
    Err(unsound(&url, "does not end"))
}

/// The bearer token goes where the link leads: only to ARM itself.
fn follow(arm: &Arm, from: &Url, link: &str) -> Result<Url, Failure> {
    let next = from.join(link).map_err(|_| unsound(from, "continues at something that is not a URL"))?;
    if !arm.endpoints.may_follow(&next) {
        let host = next.host_str().unwrap_or("nowhere");
        return Err(unsound(from, &format!("continues at {host}, which is not part of this cloud")));
    }
    Ok(next)
}

fn unsound(url: &Url, why: &str) -> Failure {
    let list = url.path().rsplit('/').next().unwrap_or_default();
    Failure::new(Remote::Arm, FailureClass::Invalid, format!("the list {list} {why}"))
        .with_code(codes::UNREADABLE_ANSWER)
}
