//! `failback crds`

use std::{io::Write, path::PathBuf};

use clap::Args;

use super::Failed;
use crate::api::crds_yaml;

/// Flags.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// Write one file per definition into this directory instead of printing them.
    #[arg(long)]
    dir: Option<PathBuf>,
}

pub(super) fn run(flags: &Flags) -> Result<(), Failed> {
    for (name, yaml) in crds_yaml()? {
        match &flags.dir {
            Some(dir) => std::fs::write(dir.join(name), yaml)?,
            // Whoever reads may have read enough.
            None => match write!(std::io::stdout(), "---\n{yaml}") {
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
                written => written?,
            },
        }
    }
    Ok(())
}
