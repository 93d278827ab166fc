//! Quoting what the other side said: one line, short, and without anything that opens a door.

/// Longest quotation in a failure's message, in characters.
const LONGEST: usize = 600;

/// Characters quoted of an answer that is not what the API speaks.
const GLIMPSE: usize = 120;

/// A text of the other side, fit for a condition, an event or a log line.
///
/// White space and control characters become single spaces; the query of a URL (signed operation URLs carry their
/// signature there), bearer tokens and JSON web tokens are cut out.
pub(crate) fn quote(text: &str) -> String {
    shorten(&clean(text), LONGEST)
}

/// The beginning of an answer that could not be read.
pub(crate) fn glimpse(body: &[u8]) -> String {
    // Cleaning never lengthens a text much; a few kilobytes are plenty for 120 characters.
    let head = body.get(..4096).unwrap_or(body);
    shorten(&clean(&String::from_utf8_lossy(head)), GLIMPSE)
}

/// A header value or identifier of the other side: printable ASCII, at most 200 characters.
pub(crate) fn identifier(text: &str) -> Option<String> {
    let kept: String = text.chars().filter(char::is_ascii_graphic).take(200).collect();
    (!kept.is_empty()).then_some(kept)
}

fn clean(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if c.is_control() || c.is_whitespace() { ' ' } else { c }).collect();
    let mut out = String::with_capacity(spaced.len());
    let mut after_bearer = false;
    for word in spaced.split(' ').filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        if after_bearer {
            out.push_str("***");
        } else {
            push_word(&mut out, word);
        }
        after_bearer = word.trim_end_matches(':').eq_ignore_ascii_case("bearer");
    }
    out
}

/// A word, without the query of a URL in it and without a JSON web token (`eyJ` is how `{"` begins in Base64).
fn push_word(out: &mut String, word: &str) {
    if let Some(at) = word.find("eyJ")
        && word.len() - at >= 30
    {
        out.push_str(word.get(..at).unwrap_or_default());
        out.push_str("***");
        return;
    }
    let scheme = word.find("://");
    match scheme.and_then(|at| word.get(at..).and_then(|rest| rest.find('?')).map(|query| at + query)) {
        Some(query) => {
            out.push_str(word.get(..query).unwrap_or_default());
            out.push_str("?…");
        }
        None => out.push_str(word),
    }
}

fn shorten(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default().trim_end()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{glimpse, identifier, quote};

    #[test]
    fn a_quotation_is_one_line_without_secrets() {
        assert_eq!(quote("Another \"x\" is\trunning.\r\n\r\nWait."), "Another \"x\" is running. Wait.");
        assert_eq!(
            quote("see (https://host/a/b?api-version=1&s=SIGNATURE) and Bearer abc.def"),
            "see (https://host/a/b?… and Bearer ***"
        );
        assert_eq!(quote("token='eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.e30.x'"), "token='***");
        assert_eq!(quote("is it?"), "is it?");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let long = "ä".repeat(5000);
        assert_eq!(glimpse(long.as_bytes()).chars().count(), 121);
        assert_eq!(quote(&long).chars().count(), 601);
        assert_eq!(glimpse(b"<html>\n<b>502</b>"), "<html> <b>502</b>");
    }

    #[test]
    fn identifiers_are_printable_and_bounded() {
        assert_eq!(identifier("  a\u{7}b c "), Some("abc".to_owned()));
        assert_eq!(identifier("\r\n"), None);
        assert_eq!(identifier(&"x".repeat(900)).map(|id| id.len()), Some(200));
    }
}
