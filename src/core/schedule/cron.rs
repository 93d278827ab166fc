//! The times that five cron fields name.
//!
//! A parser of our own: the subset is small, and the crates for it bring a clock or a calendar besides jiff's.

use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, Time},
    tz::TimeZone,
};

const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
/// 29 February can be eight years away.
const FARTHEST_DAYS: usize = 366 * 8 + 2;

/// Five fields, each as the values that it allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    minutes: Vec<i8>,
    hours: Vec<i8>,
    days: Vec<i8>,
    months: Vec<i8>,
    weekdays: Vec<i8>,
    /// Whether a day need only be in one of the two lists: both are restricted.
    either_day: bool,
}

impl Cron {
    /// Reads `minute hour day month weekday`.
    ///
    /// # Errors
    /// A sentence that names the field that cannot be read.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            let count = fields.len();
            return Err(format!("it has {count} fields; five are wanted: minute, hour, day, month, day of the week"));
        };
        let mut weekdays = values("day of the week", weekday, (0, 7), &DAYS, 0)?;
        if weekdays.contains(&7) && !weekdays.contains(&0) {
            weekdays.push(0);
        }
        Ok(Self {
            minutes: values("minute", minute, (0, 59), &[], 0)?,
            hours: values("hour", hour, (0, 23), &[], 0)?,
            days: values("day", day, (1, 31), &[], 0)?,
            months: values("month", month, (1, 12), &MONTHS, 1)?,
            weekdays,
            either_day: !day.starts_with('*') && !weekday.starts_with('*'),
        })
    }

    /// The first time after `after` that it names. `None` when there is none, such as for 30 February.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let begin = after.to_zoned(zone.clone()).date();
        // A time that the clock skips comes later than it says: the day before may still have one to come.
        let mut date = begin.yesterday().unwrap_or(begin);
        for _ in 0..FARTHEST_DAYS {
            if self.names_day(date)
                && let Some(found) = self.times(date, zone).filter(|time| *time > after).min()
            {
                return Some(found);
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    fn names_day(&self, date: Date) -> bool {
        let day = self.days.contains(&date.day());
        let weekday = self.weekdays.contains(&date.weekday().to_sunday_zero_offset());
        self.months.contains(&date.month()) && if self.either_day { day || weekday } else { day && weekday }
    }

    fn times<'a>(&'a self, date: Date, zone: &'a TimeZone) -> impl Iterator<Item = Timestamp> + 'a {
        let of_hour = move |hour: &'a i8| self.minutes.iter().map(move |minute| (*hour, *minute));
        self.hours.iter().flat_map(of_hour).filter_map(move |(hour, minute)| {
            let time = Time::new(hour, minute, 0, 0).ok()?;
            zone.to_ambiguous_zoned(date.to_datetime(time)).compatible().ok().map(|zoned| zoned.timestamp())
        })
    }

    /// Until when it is open, when each time that it names opens it for `length`. `None` while it is closed.
    pub fn open_until(&self, now: Timestamp, length: SignedDuration, zone: &TimeZone) -> Option<Timestamp> {
        let earliest = now - length;
        let last_date = earliest.to_zoned(zone.clone()).date().yesterday().ok()?;
        let mut date = now.to_zoned(zone.clone()).date();
        // The newest opening that has begun closes last, also where openings overlap.
        while date >= last_date {
            if self.names_day(date)
                && let Some(opened) = self.times(date, zone).filter(|time| *time <= now && *time > earliest).max()
            {
                return Some(opened + length);
            }
            date = date.yesterday().ok()?;
        }
        None
    }
}

/// The values of one field, in order.
fn values(what: &str, field: &str, (least, most): (i8, i8), names: &[&str], first_name: i8) -> Result<Vec<i8>, String> {
    let unreadable = |part: &str| format!("\"{part}\" is no {what}: {least} to {most} are wanted");
    let number = |part: &str| {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(part));
        let value = match named.and_then(|index| i8::try_from(index).ok()) {
            Some(index) => index + first_name,
            None => part.parse::<i8>().map_err(|_| unreadable(part))?,
        };
        if (least..=most).contains(&value) { Ok(value) } else { Err(unreadable(part)) }
    };
    let mut found = Vec::new();
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => {
                (range, step.parse::<usize>().ok().filter(|step| *step > 0).ok_or_else(|| unreadable(part))?)
            }
            None => (part, 1),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (least, most),
            Some((from, to)) => (number(from)?, number(to)?),
            // `5/15` goes on from 5, as in every cron.
            None => (number(range)?, if step > 1 { most } else { number(range)? }),
        };
        if from > to {
            return Err(format!("\"{part}\" ends before it begins"));
        }
        found.extend((from..=to).step_by(step));
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}
