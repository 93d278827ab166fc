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

/// How a window stands now, and from its next change on.
fn ahead(window: &Window, now: Timestamp) -> impl Iterator<Item = Opening> {
    let first = look(window, now).ok();
    let next = match &first {
        Some(Opening::Open(at) | Opening::Opens(at)) => look(window, *at).ok(),
        Some(Opening::Past) | None => None,
    };
    first.into_iter().chain(next)
}

/// When a window opens next, also where it is open now; `None` where it does not open again.
pub fn opens_next(window: &Window, now: Timestamp) -> Option<Timestamp> {
    ahead(window, now).find_map(|opening| if let Opening::Opens(at) = opening { Some(at) } else { None })
}

/// When the window closes that is open or opens next.
pub fn closes_next(window: &Window, now: Timestamp) -> Option<Timestamp> {
    ahead(window, now).find_map(|opening| if let Opening::Open(at) = opening { Some(at) } else { None })
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
