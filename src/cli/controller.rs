//! `failback controller`

use std::{sync::Arc, time::Duration};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Failed, clock::WallClock, connect::Adapters, traces::Traces};
use crate::{
    api::crds,
    config::ControllerFlags,
    kube_io::{
        identity::ServiceAccounts,
        lease::{Elector, Timing},
        write::in_time,
    },
    observability::{health::Health, logging, metrics::Metrics},
    ports::{Leadership, SharedClock},
    probe::NetworkProber,
    reconcile::{Controllers, Settings, run as run_controllers},
};

/// Name of the lease.
const LEASE: &str = "failback-controller";
/// How long what is in flight may take to end after a signal. With the lease's release (5 s), the last scrape (2 s) and
/// the last traces (4 s) it stays below the least `terminationGracePeriodSeconds` that the chart takes, 35.
const GRACE: Duration = Duration::from_secs(20);

pub(super) async fn run(flags: ControllerFlags) -> Result<(), Failed> {
    let instance = flags.instance_name();
    let traces = Traces::of(&flags.traces, &instance)?;
    logging::init(flags.log_format, &flags.log, traces.layer())?;
    let done = serve(flags, instance).await;
    traces.flush().await;
    done
}

async fn serve(flags: ControllerFlags, instance: String) -> Result<(), Failed> {
    let clock: SharedClock = match flags.clock {
        Some(clock) => Arc::new(clock),
        None => Arc::new(WallClock),
    };
    let metrics = Arc::new(Metrics::new());
    let health = Health::new(Arc::clone(&metrics));
    let listener = tokio::net::TcpListener::bind(flags.listen)
        .await
        .map_err(|error| Failed::because(format!("--listen {}: {error}", flags.listen)))?;
    let stop = CancellationToken::new();
    let served = tokio::spawn(health.clone().serve(listener, stop.clone().cancelled_owned()));
    let signal = tokio::spawn({
        let stop = stop.clone();
        async move {
            stop_signal().await;
            tracing::info!("stopping");
            stop.cancel();
        }
    });
    let done = lead(&flags, &instance, clock, &metrics, &health, &stop).await;
    stop.cancel();
    signal.abort();
    if tokio::time::timeout(Duration::from_secs(2), served).await.is_err() {
        tracing::debug!("the health server did not end in time");
    }
    done
}

/// Waits for the definitions and the lease, then runs the controllers until told to stop or the lease is lost.
async fn lead(
    flags: &ControllerFlags,
    instance: &str,
    clock: SharedClock,
    metrics: &Arc<Metrics>,
    health: &Health,
    stop: &CancellationToken,
) -> Result<(), Failed> {
    let client = client(flags).await?;
    let elector = {
        let timing = Timing::lasting(Duration::from_secs(flags.lease_seconds.into()));
        Elector::new(client.clone(), &flags.lease_namespace, LEASE, instance, Arc::new(WallClock), timing)
    };
    let prepared = stop.run_until_cancelled(async {
        wait_for_definitions(&client, health).await;
        tracing::info!(instance, lease = LEASE, namespace = %flags.lease_namespace, "waiting for the lease");
        elector.acquire().await;
    });
    if prepared.await.is_none() {
        // It may have been won just then.
        elector.release().await;
        return Ok(());
    }
    tracing::info!(instance, "leading");
    metrics.set_leader(true);
    health.leading();
    let connect = {
        let namespaces = Arc::new(ServiceAccounts::new(client.clone()));
        Adapters::new(flags.azure.clone(), namespaces, Arc::clone(&clock), metrics.clone())?
    };
    let running = CancellationToken::new();
    let controllers = Controllers {
        client,
        settings: Settings {
            namespaces: watched(&flags.watch_namespaces),
            concurrency: flags.concurrency,
            instance: instance.to_owned(),
        },
        connect: Arc::new(connect),
        prober: Arc::new(NetworkProber { allow_loopback: flags.allow_loopback_probes }),
        clock,
        leadership: Arc::clone(&elector) as Arc<dyn Leadership>,
        tally: metrics.clone(),
        on_ready: {
            let health = health.clone();
            Box::new(move || health.watches_ready())
        },
    };
    let mut task = tokio::spawn(run_controllers(controllers, running.clone()));
    let hold = elector.hold();
    tokio::pin!(hold);
    let mut lost = tokio::select! {
        () = &mut hold => true,
        () = stop.cancelled() => false,
        ended = &mut task => {
            let why = ended.map_or_else(|error| error.to_string(), |()| "a watch ended, see above".to_owned());
            return Err(Failed::because(format!("the controllers ended: {why}")));
        }
    };
    running.cancel();
    let drained = drained(task);
    tokio::pin!(drained);
    // Nobody else shall lead while a call of ours is open: the lease is renewed until nothing is in flight.
    tokio::select! {
        () = &mut drained => {}
        () = &mut hold, if !lost => {
            lost = true;
            drained.await;
        }
    }
    metrics.set_leader(false);
    if lost {
        return Err(Failed::because("the lease was lost; this process ends, so that it makes no further call"));
    }
    elector.release().await;
    Ok(())
}

/// Waits for what is in flight, and ends it when it takes too long: nothing of it is left afterwards.
async fn drained(mut task: JoinHandle<()>) {
    if tokio::time::timeout(GRACE, &mut task).await.is_err() {
        tracing::warn!("what was in flight did not end in time; the journal knows it");
        task.abort();
        if let Err(error) = task.await {
            tracing::debug!(%error, "the controllers were ended");
        }
    }
}

/// Each namespace once: two watches of one would tell everything twice.
fn watched(namespaces: &[String]) -> Vec<String> {
    let mut namespaces = namespaces.to_vec();
    namespaces.sort();
    namespaces.dedup();
    namespaces
}

async fn client(flags: &ControllerFlags) -> Result<Client, Failed> {
    let mut config = match &flags.kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path)?;
            kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?
        }
        None => kube::Config::infer().await?,
    };
    // Its own retries go on for minutes; our passes come back by themselves.
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(10));
    // A connection that is half open never answers. Watches may be silent for as long as they last, 200 s.
    config.read_timeout = Some(Duration::from_secs(230));
    Ok(Client::try_from(config)?)
}

/// Not ready, with a log line that says what to apply, instead of a crash loop.
async fn wait_for_definitions(client: &Client, health: &Health) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let wanted: Vec<String> = crds().into_iter().filter_map(|crd| crd.metadata.name).collect();
    loop {
        let mut missing = Vec::new();
        let mut unreadable = None;
        for name in &wanted {
            match in_time(api.get_opt(name)).await {
                Ok(Some(_)) => {}
                Ok(None) => missing.push(name.as_str()),
                // Without the right to read definitions the watches tell the same, later.
                Err(kube::Error::Api(status)) if status.code == 403 => {}
                Err(error) => unreadable = Some(error),
            }
        }
        match (missing.is_empty(), unreadable) {
            (true, None) => {
                health.definitions_ready();
                return;
            }
            (_, Some(error)) => tracing::warn!(%error, "the API server cannot be reached"),
            (false, None) => tracing::warn!(
                missing = missing.join(", "),
                "CustomResourceDefinitions are missing: apply the files of crds/, or the output of `failback crds`"
            ),
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

/// Ends on Ctrl-C, or SIGTERM.
#[cfg(unix)]
pub(super) async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Err(error) => {
            tracing::warn!(%error, "SIGTERM cannot be heard; Ctrl-C can");
            if tokio::signal::ctrl_c().await.is_err() {
                futures::future::pending::<()>().await;
            }
        }
    }
}

/// Ctrl-C: the plugin of kubectl is built where no other signal is known.
#[cfg(not(unix))]
pub(super) async fn stop_signal() {
    if tokio::signal::ctrl_c().await.is_err() {
        futures::future::pending::<()>().await;
    }
}
