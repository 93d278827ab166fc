//! Azure: credentials, the ARM pipeline, site recovery and compute.
