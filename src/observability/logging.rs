//! Logs: lines for people, or one JSON object a line. Nothing secret ever reaches them, since secrets have no Debug.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter is not one.
    #[error("the log filter \"{0}\" is not understood; an example is info,failback=debug")]
    Filter(String),
    /// A subscriber of somebody else is there.
    #[error("another log subscriber is there")]
    Taken,
}

/// Sends logs to standard error.
///
/// # Errors
/// When the filter is malformed, or another subscriber is there.
pub fn init(format: LogFormat, filter: &str) -> Result<(), LoggingError> {
    let env = EnvFilter::try_new(filter).map_err(|_| LoggingError::Filter(filter.to_owned()))?;
    let lines = tracing_subscriber::fmt().with_env_filter(env).with_writer(std::io::stderr);
    let done = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    done.map_err(|_| LoggingError::Taken)
}
