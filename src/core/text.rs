//! Texts of others in little space.

/// The longest beginning of a text that takes at most so many bytes of a status, as JSON writes it.
pub fn cut(text: &str, most: usize) -> String {
    let mut left = most;
    let fits = |letter: &char| {
        let bytes = match letter {
            '"' | '\\' => 2,
            control if control.is_ascii_control() => 6,
            other => other.len_utf8(),
        };
        left.checked_sub(bytes).map(|rest| left = rest).is_some()
    };
    text.chars().take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn what_is_left_fits_and_is_whole() {
        assert_eq!((cut("abc", 3), cut("abcd", 3), cut("", 3)), ("abc".to_owned(), "abc".to_owned(), String::new()));
        assert_eq!(cut("größer", 3), "gr", "no letter is split");
        for text in ["\u{1}\n\"\\é漢😀".repeat(40), "\"".repeat(300)] {
            for most in 0..120 {
                let json = serde_json::to_string(&cut(&text, most)).unwrap();
                assert!(json.len() <= most + 2, "{most}: {json}");
            }
        }
    }
}
