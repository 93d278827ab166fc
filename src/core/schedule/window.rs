//! Whether a plan's window is open, and when that changes.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::cron::Cron;
use crate::api::Window;

/// How a window stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Open until then.
    Open(Timestamp),
    /// Closed; it opens then.
    Opens(Timestamp),
    /// It was open, and never will be again.
    Past,
}

/// How a window stands now.
///
/// # Errors
/// Field, value and remedy, for a window that never opens at any time.
pub fn look(window: &Window, now: Timestamp) -> Result<Opening, String> {
    let zone = TimeZone::get(&window.time_zone).map_err(|_| {
        format!("spec.window.timeZone: \"{}\" is not known; use a name such as Europe/Berlin.", window.time_zone)
    })?;
    match (&window.start, &window.end, &window.cron, window.duration_minutes) {
        (Some(start), Some(end), None, None) => once(start.0, end.0, now),
        (None, None, Some(cron), Some(minutes)) => {
            let wrong = |why: String| format!("spec.window.cron: \"{cron}\" cannot be read: {why}.");
            again(&Cron::parse(cron).map_err(wrong)?, cron, SignedDuration::from_mins(minutes.into()), &zone, now)
        }
        _ => Err("spec.window: give start and end, or cron and durationMinutes.".to_owned()),
    }
}

/// When a window opens next, also where it is open now; `None` where it does not open again.
pub fn opens_next(window: &Window, now: Timestamp) -> Option<Timestamp> {
    match look(window, now).ok()? {
        Opening::Opens(at) => Some(at),
        Opening::Past => None,
        Opening::Open(closes) => match look(window, closes).ok()? {
            Opening::Opens(at) => Some(at),
            Opening::Open(_) | Opening::Past => None,
        },
    }
}

/// A time as people of the window's zone write it.
pub fn told(window: &Window, at: Timestamp) -> String {
    let zone = TimeZone::get(&window.time_zone).unwrap_or(TimeZone::UTC);
    at.to_zoned(zone).strftime("%a %Y-%m-%d %H:%M %Z").to_string()
}

fn once(start: Timestamp, end: Timestamp, now: Timestamp) -> Result<Opening, String> {
    if end <= start {
        return Err(format!("spec.window.end: {end:.0} is not after spec.window.start {start:.0}: it never opens."));
    }
    Ok(if now < start {
        Opening::Opens(start)
    } else if now < end {
        Opening::Open(end)
    } else {
        Opening::Past
    })
}

fn again(cron: &Cron, text: &str, length: SignedDuration, zone: &TimeZone, now: Timestamp) -> Result<Opening, String> {
    if let Some(closes) = cron.open_until(now, length, zone) {
        return Ok(Opening::Open(closes));
    }
    let never = || format!("spec.window.cron: \"{text}\" names no day that exists: it never opens.");
    cron.next(now, zone).map(Opening::Opens).ok_or_else(never)
}
