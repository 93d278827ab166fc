//! `failback crds`

use std::path::PathBuf;

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
            None => print!("---\n{yaml}"),
        }
    }
    Ok(())
}
