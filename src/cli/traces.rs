//! Whether traces are made, as far as this build can.

use tracing_subscriber::{Layer, Registry};

use super::Failed;
use crate::config::TraceFlags;

/// Traces, or none.
pub(super) struct Traces {
    #[cfg(feature = "otlp")]
    sent: Option<crate::observability::traces::Traces>,
}

impl Traces {
    #[cfg(feature = "otlp")]
    pub(super) fn of(flags: &TraceFlags, instance: &str) -> Result<Self, Failed> {
        let url = flags.url().map_err(Failed::because)?;
        let sent =
            url.map(|url| crate::observability::traces::Traces::new(&url, &flags.service, instance)).transpose()?;
        Ok(Self { sent })
    }

    #[cfg(not(feature = "otlp"))]
    pub(super) fn of(flags: &TraceFlags, _instance: &str) -> Result<Self, Failed> {
        match flags.url().map_err(Failed::because)? {
            None => Ok(Self {}),
            Some(_) => Err(Failed::because("an OTLP endpoint is set, and this build makes no traces (feature otlp)")),
        }
    }

    pub(super) fn layer(&self) -> Option<Box<dyn Layer<Registry> + Send + Sync>> {
        #[cfg(feature = "otlp")]
        return self.sent.as_ref().map(crate::observability::traces::Traces::layer);
        #[cfg(not(feature = "otlp"))]
        None
    }

    pub(super) async fn flush(self) {
        #[cfg(feature = "otlp")]
        if let Some(sent) = self.sent {
            sent.flush().await;
        }
    }
}
