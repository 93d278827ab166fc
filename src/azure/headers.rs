//! The headers that ARM speaks through.

use std::time::Duration;

use http::HeaderMap;
use jiff::{Timestamp, fmt::rfc2822};

use crate::azure::{ids::last_segment, quote::identifier};

/// Longest pause that is believed; a longer one is asked for again.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Correlates our request with Azure's logs; echoed by the service.
pub(crate) const CLIENT_REQUEST_ID: &str = "x-ms-client-request-id";

/// How long the other side wants to be left alone: `x-ms-retry-after-ms`, `retry-after-ms`, or `Retry-After` in
/// seconds or as an HTTP date (relative to the answer's own `Date`, so that our clock does not matter).
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let millis = ["x-ms-retry-after-ms", "retry-after-ms"]
        .into_iter()
        .find_map(|name| text(headers, name)?.parse::<u64>().ok())
        .map(Duration::from_millis);
    millis.or_else(|| retry_after_header(headers, now)).map(|pause| pause.min(LONGEST_PAUSE))
}

fn retry_after_header(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = text(headers, "retry-after")?;
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let until = http_date(value)?;
    let now = text(headers, "date").and_then(http_date).unwrap_or(now);
    Some(Duration::try_from(until.duration_since(now)).unwrap_or(Duration::ZERO))
}

fn http_date(value: &str) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(value).ok()
}

/// The request id to quote in a support case. Site recovery puts the id of a job into `x-ms-request-id`; that is not
/// one.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<String> {
    ["x-ms-correlation-request-id", "x-ms-request-id", "request-id"]
        .into_iter()
        .filter_map(|name| text(headers, name))
        .find(|value| !value.contains('/'))
        .and_then(identifier)
}

/// The job that a mutating call started (protocol reference §4): operation id = job id = the last segment of
/// `x-ms-request-id`, which holds the job's ARM id; also the last path segment of the two operation URLs, of which
/// some operations send only `Location`. Their signed queries are never kept.
pub(crate) fn job_id(headers: &HeaderMap) -> Option<String> {
    let from_request_id = || after(text(headers, "x-ms-request-id")?, "/replicationjobs/");
    let from_operation = || {
        let url = text(headers, "azure-asyncoperation")?;
        after(url, "/replicationoperationstatus/").or_else(|| after(url, "/replicationjobs/"))
    };
    let from_location = || {
        let url = text(headers, "location")?;
        after(url, "/operationresults/").or_else(|| after(url, "/replicationjobs/"))
    };
    from_request_id().or_else(from_operation).or_else(from_location)
}

fn after(url: &str, marker: &str) -> Option<String> {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let at = path.to_ascii_lowercase().rfind(marker)?;
    let id = last_segment(path.get(at + marker.len()..)?)?;
    let sound = id.len() <= 128 && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    sound.then(|| id.to_owned())
}

/// Calls left in the subscription's bucket, as ARM counts them.
pub(crate) fn remaining(headers: &HeaderMap, name: &str) -> Option<f64> {
    text(headers, name)?.parse::<f64>().ok().filter(|left| left.is_finite() && *left >= 0.0)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn pause(pairs: &[(&'static str, &str)]) -> Option<Duration> {
        retry_after(&headers(pairs), "2023-08-26T04:32:54Z".parse().unwrap())
    }

    #[test]
    fn a_pause_is_read_in_all_its_forms() {
        assert_eq!(pause(&[("retry-after", "30")]), Some(Duration::from_secs(30)));
        assert_eq!(pause(&[("retry-after", "1.5")]), Some(Duration::from_millis(1500)));
        assert_eq!(pause(&[("x-ms-retry-after-ms", "250"), ("retry-after", "9")]), Some(Duration::from_millis(250)));
        assert_eq!(pause(&[("retry-after", "Sat, 26 Aug 2023 04:33:54 GMT")]), Some(Duration::from_secs(60)));
        let dated = [("date", "Sat, 26 Aug 2023 04:33:50 GMT"), ("retry-after", "Sat, 26 Aug 2023 04:33:54 GMT")];
        assert_eq!(pause(&dated), Some(Duration::from_secs(4)));
        assert_eq!(pause(&[("retry-after", "Sat, 26 Aug 2000 04:33:54 GMT")]), Some(Duration::ZERO));
        assert_eq!(pause(&[("retry-after", "999999999")]), Some(LONGEST_PAUSE));
        for odd in ["soon", "", "-5", "NaN", "inf"] {
            assert_eq!(pause(&[("retry-after", odd)]), None, "{odd:?}");
        }
    }

    #[test]
    fn a_job_is_named_by_any_of_three_headers() {
        let job = Some("b293fada-ec32-41e4-ba0f-ba01d5cf31e0".to_owned());
        let id = "b293fada-ec32-41e4-ba0f-ba01d5cf31e0";
        let v = "/Subscriptions/s/resourceGroups/g/providers/Microsoft.RecoveryServices/vaults/v";
        let request_id = format!("{v}/replicationJobs/{id}");
        let operation = format!("https://m{v}/replicationOperationStatus/{id}?api-version=1&t=T&c=C/x&s=S&h=H");
        let location = format!("https://m{v}/replicationProtectedItems/i/operationresults/{id}?api-version=1&t=T");
        assert_eq!(job_id(&headers(&[("x-ms-request-id", &request_id)])), job);
        let plain = ("x-ms-request-id", "0f3b2c9e-1111-2222-3333-444455556666");
        assert_eq!(job_id(&headers(&[plain, ("azure-asyncoperation", &operation)])), job);
        assert_eq!(job_id(&headers(&[plain, ("location", &location)])), job);
        assert_eq!(job_id(&headers(&[plain])), None);
        assert_eq!(job_id(&headers(&[("x-ms-request-id", "/x/replicationJobs/None")])), None);
        assert_eq!(job_id(&headers(&[("location", "https://m/x/operationresults/a%20b?x")])), None);
    }

    #[test]
    fn the_request_id_is_never_a_jobs() {
        let with_job = [("x-ms-request-id", "/s/replicationJobs/1"), ("x-ms-correlation-request-id", "c-1")];
        assert_eq!(request_id(&headers(&with_job)), Some("c-1".to_owned()));
        assert_eq!(request_id(&headers(&[("x-ms-request-id", "/s/replicationJobs/1")])), None);
        assert_eq!(request_id(&headers(&[("x-ms-request-id", "r-1")])), Some("r-1".to_owned()));
    }
}
