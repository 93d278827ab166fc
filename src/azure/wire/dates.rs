//! Dates in the notations that were recorded (protocol reference §2.2).

use jiff::{Timestamp, civil::DateTime, fmt::strtime, tz::TimeZone};

/// A date, or `None` for the empty text, for something else, and for the dates that mean "never":
/// `0001-01-01T00:00:00`, `1753-01-01T01:01:01Z`, `9999-12-31T23:59:59.9999999`. Texts without an offset are UTC.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let at = text.parse::<Timestamp>().ok().or_else(|| utc(civil(text)?))?;
    // Site recovery is younger than 1971 and no machine is protected beyond 9998.
    let year = at.to_zoned(TimeZone::UTC).year();
    (1971..9999).contains(&year).then_some(at)
}

fn utc(local: DateTime) -> Option<Timestamp> {
    local.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

fn civil(text: &str) -> Option<DateTime> {
    let iso = || text.parse::<DateTime>().ok();
    // "2023-Aug-26 03:42:14.151668" and "8/26/2023 3:42:27 AM"
    let written = || {
        ["%Y-%b-%d %H:%M:%S%.f", "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %H:%M:%S"]
            .into_iter()
            .find_map(|notation| strtime::parse(notation, text).ok()?.to_datetime().ok())
    };
    iso().or_else(written)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::parse;

    #[test]
    fn recorded_notations_are_read() {
        for (text, expected) in [
            ("2023-08-26T04:22:13.1215306Z", "2023-08-26T04:22:13.1215306Z"),
            ("2023-08-18T08:29:59.372555+00:00", "2023-08-18T08:29:59.372555Z"),
            ("2021-04-06T11:50:15Z", "2021-04-06T11:50:15Z"),
            ("2021-04-06T11:51:37", "2021-04-06T11:51:37Z"),
            ("2023-Aug-26 03:42:14.151668", "2023-08-26T03:42:14.151668Z"),
            ("2023-Aug-26 03:26:50", "2023-08-26T03:26:50Z"),
            ("8/26/2023 3:42:27 AM", "2023-08-26T03:42:27Z"),
            ("12/6/2023 11:05:07 PM", "2023-12-06T23:05:07Z"),
            ("08/26/2023 15:42:27", "2023-08-26T15:42:27Z"),
            (" 2021-04-06T11:50:15Z ", "2021-04-06T11:50:15Z"),
        ] {
            assert_eq!(parse(text), Some(expected.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn never_is_none() {
        for text in [
            "",
            " ",
            "0001-01-01T00:00:00",
            "0001-01-01T00:00:00Z",
            "1601-01-01T00:00:00Z",
            "1753-01-01T01:01:01Z",
            "1753-01-01T01:01:01.000Z",
            "9999-12-31T23:59:59.9999999",
            "9999-12-31T23:59:59.9999999Z",
            "None",
            "soon",
            "1557d73f-6244-491e-8f0b-d300f752240b",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            parse(&text);
        }

        #[test]
        fn nothing_like_a_date_makes_it_panic(
            text in "[-+0-9]{1,9}[-/][0-9A-Za-z]{1,4}[-/][0-9]{1,9}[T ][0-9:.]{0,30}[ZAPM+ -]{0,4}"
        ) {
            parse(&text);
        }
    }
}
