//! Cron fields and windows.

use failback::{
    api::Window,
    core::schedule::{
        cron::Cron,
        window::{Opening, look, told},
    },
};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::json;

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn window(body: serde_json::Value) -> Window {
    serde_json::from_value(body).unwrap()
}

#[test]
fn cron_names_times() {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let rows = [
        // A Sunday noon in March; 22:00 of the next Saturday, in winter time.
        ("0 22 * * SAT", "2026-03-01T11:00:00Z", Some("2026-03-07T21:00:00Z")),
        ("*/15 * * * *", "2026-03-01T11:00:00Z", Some("2026-03-01T11:15:00Z")),
        ("0 0 1 JAN *", "2026-03-01T11:00:00Z", Some("2026-12-31T23:00:00Z")),
        // Either of both days, where both are restricted.
        ("0 12 13 * FRI", "2026-03-01T11:00:00Z", Some("2026-03-06T11:00:00Z")),
        ("0 12 29 2 *", "2026-03-01T11:00:00Z", Some("2028-02-29T11:00:00Z")),
        ("30 2 * * 7", "2026-03-28T12:00:00Z", Some("2026-03-29T01:30:00Z")),
        ("0 12 30 2 *", "2026-03-01T11:00:00Z", None),
        ("10-20/5,40 8 * * 1-5", "2026-03-02T07:16:00Z", Some("2026-03-02T07:20:00Z")),
    ];
    for (cron, after, next) in rows {
        assert_eq!(Cron::parse(cron).unwrap().next(time(after), &zone), next.map(time), "{cron}");
    }
    for wrong in ["", "* * * *", "60 * * * *", "* * 0 * *", "* * * * FOO", "5-1 * * * *", "*/0 * * * *", "* * * 13 *"] {
        assert!(Cron::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_window_opens_and_closes() {
    let once =
        window(json!({ "start": "2026-03-01T20:00:00Z", "end": "2026-03-02T02:00:00Z", "timeZone": "Asia/Tokyo" }));
    assert_eq!(look(&once, time("2026-03-01T12:00:00Z")), Ok(Opening::Opens(time("2026-03-01T20:00:00Z"))));
    assert_eq!(look(&once, time("2026-03-01T20:00:00Z")), Ok(Opening::Open(time("2026-03-02T02:00:00Z"))));
    assert_eq!(look(&once, time("2026-03-02T02:00:00Z")), Ok(Opening::Past));
    assert_eq!(told(&once, time("2026-03-01T20:00:00Z")), "Mon 2026-03-02 05:00 JST");

    let nightly = window(json!({ "cron": "0 22 * * *", "durationMinutes": 360, "timeZone": "Europe/Berlin" }));
    assert_eq!(look(&nightly, time("2026-03-01T20:59:00Z")), Ok(Opening::Opens(time("2026-03-01T21:00:00Z"))));
    assert_eq!(look(&nightly, time("2026-03-02T02:59:00Z")), Ok(Opening::Open(time("2026-03-02T03:00:00Z"))));
    assert_eq!(look(&nightly, time("2026-03-02T03:00:00Z")), Ok(Opening::Opens(time("2026-03-02T21:00:00Z"))));
    // The night in which the clock goes forward: six hours all the same.
    assert_eq!(look(&nightly, time("2026-03-29T02:00:00Z")), Ok(Opening::Open(time("2026-03-29T03:00:00Z"))));
}

#[test]
fn a_window_that_never_opens_is_told_with_its_field() {
    let now = time("2026-03-01T12:00:00Z");
    let rows = [
        (json!({ "start": "2026-03-02T00:00:00Z", "end": "2026-03-01T00:00:00Z" }), "spec.window.end"),
        (json!({ "cron": "0 0 30 2 *", "durationMinutes": 60 }), "spec.window.cron"),
        (json!({ "cron": "0 25 * * *", "durationMinutes": 60 }), "spec.window.cron"),
        (json!({ "cron": "0 0 * * *", "durationMinutes": 60, "timeZone": "Europe/Nowhere" }), "spec.window.timeZone"),
        (json!({}), "spec.window:"),
    ];
    for (body, field) in rows {
        let said = look(&window(body), now).unwrap_err();
        assert!(said.starts_with(field), "{said}");
    }
}
