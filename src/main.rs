//! The failback binary: the controller, and everything around it.

use std::process::ExitCode;

fn main() -> ExitCode {
    // kube and reqwest bring rustls without a provider; it must be chosen before the first connection.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("failback: another TLS provider was installed already");
        return ExitCode::FAILURE;
    }
    failback::cli::main()
}
