//! The real kubectl against the embedded API server, where it is installed.

use std::{path::PathBuf, process::Command, time::Duration};

use failback::api::DesiredPhase;

use crate::{process::Kubeconfig, stage::Stage};

fn kubectl(kubeconfig: &PathBuf, args: &[&str]) -> Option<(bool, String)> {
    let output = Command::new("kubectl").arg("--kubeconfig").arg(kubeconfig).args(args).output().ok()?;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Some((output.status.success(), text))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_with_kubectl_brings_the_machine_home() {
    let stage = Stage::up_to(DesiredPhase::Assessed, 1200.0).await;
    let kubeconfig = Kubeconfig::of(stage.rehearsal.api_address.port(), &stage.rehearsal.kubeconfig());
    let run = {
        let kubeconfig = kubeconfig.path().to_owned();
        move |args: &[&str]| {
            let args: Vec<String> = args.iter().map(ToString::to_string).collect();
            let kubeconfig = kubeconfig.clone();
            tokio::task::spawn_blocking(move || {
                let args: Vec<&str> = args.iter().map(String::as_str).collect();
                kubectl(&kubeconfig, &args)
            })
        }
    };
    if run(&["version", "--client"]).await.unwrap().is_none() {
        eprintln!("SKIPPED: kubectl is not installed");
        stage.end().await;
        return;
    }
    let ok = async |args: &[&str]| -> String {
        let (success, text) = run(args).await.unwrap().unwrap();
        assert!(success, "kubectl {args:?}: {text}");
        text
    };

    stage.plan_ready(Duration::from_secs(20)).await;
    let table = ok(&["get", "fbp,rpi,mt"]).await;
    for word in ["DESIRED", "PHASE", "DONE", "MACHINE", "LOCATION", "VAULT", "KIND", "FailedOver", "Azure", "1/1"] {
        assert!(table.contains(word), "{word} in:\n{table}");
    }
    let plan = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/one-machine/plan.yaml");
    let applied = ok(&["apply", "--server-side", "--force-conflicts", "-f", plan]).await;
    assert!(applied.contains("failbackplan.failback.dev/web"), "{applied}");
    ok(&["wait", "--for=condition=Committed", "fbp/web", "--timeout=60s"]).await;
    ok(&["wait", "--for=condition=Ready", "fbp/web", "--timeout=60s"]).await;
    let described = ok(&["describe", "rpi", "web-01"]).await;
    for word in ["OperationSubmitted", "PointOfNoReturn", "StepSucceeded", "Protected"] {
        assert!(described.contains(word), "{word} in:\n{described}");
    }
    let explained = ok(&["explain", "fbp.spec.desiredPhase"]).await;
    assert!(explained.contains("How far to go"), "{explained}");
    let watched = run(&["get", "rpi", "-w", "--request-timeout=1s"]).await.unwrap().unwrap();
    assert!(watched.1.contains("web-01"), "{}", watched.1);
    ok(&["delete", "fbp/web", "rpi/web-01", "--timeout=20s"]).await;
    assert_eq!(stage.verbs().len(), 4, "deleting changed nothing in Azure");
    stage.end().await;
}
