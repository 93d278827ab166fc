//! Serves the API on loopback until it is interrupted:
//!
//! ```sh
//! cargo run -p sim-apiserver --example serve -- /tmp/kubeconfig [STATE_FILE [PORT]]
//! kubectl --kubeconfig /tmp/kubeconfig get ns
//! ```

use sim_apiserver::{ApiServer, Options};

type Error = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let kubeconfig = arguments.next().ok_or("usage: serve KUBECONFIG [STATE_FILE [PORT]]")?;
    let state_file = arguments.next().filter(|path| !path.is_empty()).map(Into::into);
    let port: u16 = arguments.next().unwrap_or_default().parse().unwrap_or(0);
    let server = ApiServer::new(Options { state_file, ..Options::default() })?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let addr = listener.local_addr()?;
    std::fs::write(&kubeconfig, ApiServer::kubeconfig(addr))?;
    println!("serving http://{addr}, KUBECONFIG={kubeconfig}");
    let interrupted = async {
        // Without a signal handler there is nothing to wait for but the end.
        tokio::signal::ctrl_c().await.ok();
    };
    server.serve(listener, interrupted).await?;
    Ok(server.save()?)
}
