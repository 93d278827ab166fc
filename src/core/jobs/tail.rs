//! The end of a log, fit for an event.

/// Lines kept.
const LINES: usize = 10;
/// Bytes kept: an event has room for a kilobyte.
const BYTES: usize = 700;

/// Words after which a value is not shown.
const SECRET: [&str; 8] = ["password", "passwd", "secret", "token", "apikey", "api_key", "sig", "authorization"];

/// The last lines of a log: without control characters, and without what looks like a secret. A script that prints one
/// should not; an event is read by more people than a log.
pub fn tail(log: &str) -> String {
    let lines: Vec<String> = log.lines().map(clean).filter(|line| !line.trim().is_empty()).collect();
    let kept = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join("\n");
    let mut from = kept.len().saturating_sub(BYTES);
    while !kept.is_char_boundary(from) {
        from += 1;
    }
    let end = kept.get(from..).unwrap_or_default();
    if from == 0 { end.to_owned() } else { format!("…{end}") }
}

fn clean(line: &str) -> String {
    let plain: String = line.chars().map(|c| if c == '\t' { ' ' } else { c }).filter(|c| !c.is_control()).collect();
    let mut hide_next = false;
    let words: Vec<String> = plain
        .split(' ')
        .map(|word| {
            let hidden = std::mem::replace(&mut hide_next, false) && !word.is_empty();
            let lower = word.to_ascii_lowercase();
            if hidden {
                // `Authorization: Bearer …` has its secret one word later.
                hide_next = lower == "bearer" || lower == "basic";
                return if hide_next { word.to_owned() } else { "***".to_owned() };
            }
            hide_next = lower == "bearer" || names_secret(&lower).is_some_and(|rest| rest.is_empty());
            masked(word, &lower)
        })
        .collect();
    words.join(" ")
}

/// What stands behind `password=`, `"token":` and the like; empty when the value is the next word.
fn names_secret(word: &str) -> Option<&str> {
    let (key, rest) = word.split_once(['=', ':'])?;
    let key = key.rsplit(['?', '&', '{', ',']).next().unwrap_or(key).trim_matches(['"', '\'', '-', '{']);
    SECRET.iter().any(|secret| key.ends_with(secret)).then_some(rest.trim_matches(['"', '\'']))
}

fn masked(word: &str, lower: &str) -> String {
    // Signed URLs carry their signature in the query; `eyJ` is how `{"` begins in Base64, and so a JSON web token.
    if let Some(query) = word.find("://").and_then(|at| word.get(at..)?.find('?').map(|query| at + query)) {
        return format!("{}?…", word.get(..query).unwrap_or_default());
    }
    if let Some(at) = word.find("eyJ").filter(|at| word.len() - at >= 30) {
        return format!("{}***", word.get(..at).unwrap_or_default());
    }
    match (names_secret(lower), word.find(['=', ':'])) {
        (Some(rest), Some(at)) if !rest.is_empty() => format!("{}***", word.get(..=at).unwrap_or_default()),
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::tail;

    #[test]
    fn the_last_lines_are_kept() {
        let log: String = (1..=30).map(|line| format!("line {line}\r\n\n")).collect();
        let kept = tail(&log);
        assert!(kept.starts_with("line 21\n") && kept.ends_with("\nline 30"), "{kept}");
        let long = tail(&"ü".repeat(2000));
        assert!(long.len() <= 704 && long.starts_with('…'), "{}", long.len());
        assert_eq!(tail("\u{1b}[31mred\u{1b}[0m\tend\u{7}"), "[31mred[0m end");
        assert_eq!(tail(""), "");
    }

    #[test]
    fn what_looks_like_a_secret_is_not() {
        let log = "user=anna password=hunter2 ok\nAuthorization: Bearer abc.def\n{\"token\":\"x1\"} --secret: s3\n\
                   https://h/p?sig=AAA get\njwt eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.e30.x";
        assert_eq!(
            tail(log),
            "user=anna password=*** ok\nAuthorization: Bearer ***\n{\"token\":*** --secret: ***\nhttps://h/p?… get\njwt ***"
        );
    }
}
