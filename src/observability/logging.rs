//! Logs: lines for people, or one JSON object a line. Nothing secret ever reaches them, since secrets have no Debug.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, layer::SubscriberExt, util::SubscriberInitExt};

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

/// Sends logs to standard error, and spans to `traces` if there is such a layer.
///
/// # Errors
/// When the filter is malformed, or another subscriber is there.
pub fn init(
    format: LogFormat,
    filter: &str,
    traces: Option<Box<dyn Layer<Registry> + Send + Sync>>,
) -> Result<(), LoggingError> {
    let env = EnvFilter::try_new(filter).map_err(|_| LoggingError::Filter(filter.to_owned()))?;
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(traces).with(lines.with_filter(env));
    subscriber.try_init().map_err(|_| LoggingError::Taken)
}
