//! Serves a scenario on a port: `cargo run -p sim-site --example serve_site -- examples/scenarios/one-machine.yaml 127.0.0.1:8443 60 [tls]`.

use std::error::Error;

use sim_site::{Options, Scenario, SelfSigned, Site};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let text = match arguments.get(1) {
        Some(path) => std::fs::read_to_string(path)?,
        None => String::new(),
    };
    let listen = arguments.get(2).map_or("127.0.0.1:0", String::as_str);
    let speed: f64 = arguments.get(3).and_then(|speed| speed.parse().ok()).unwrap_or(1.0);
    let site = Site::new(Scenario::from_yaml(&text)?, Options::at_speed(speed))?;
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("{}", listener.local_addr()?);
    let shutdown = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    if arguments.get(4).is_some_and(|word| word == "tls") {
        let tls = SelfSigned::new(&[])?;
        println!("SHA-256 thumbprint {}", tls.thumbprint);
        site.serve_tls(listener, tls.config, shutdown).await?;
    } else {
        site.serve(listener, shutdown).await?;
    }
    Ok(())
}
