use std::sync::Arc;

use failback::{
    core::failure::codes,
    ports::{FailureClass, NoMeter, VirtualCenter as _},
    vcenter::{Trust, VCenterClient, VCenterConfig},
};
use sha2::{Digest as _, Sha256};

use crate::{
    Faster, client,
    scripted::{Scripted, World, self_signed},
};

fn thumbprint(der: &[u8]) -> String {
    Sha256::digest(der).iter().map(|b| format!("{b:02X}")).collect::<Vec<_>>().join(":")
}

async fn secure() -> (Scripted, String, String) {
    let (acceptor, pem, der) = self_signed();
    let world = World::default();
    let server = Scripted::start(Some(acceptor), move |seen| world.answer(seen)).await;
    (server, pem, thumbprint(&der))
}

fn port(server: &Scripted) -> &str {
    server.address.rsplit(':').next().unwrap()
}

#[tokio::test]
async fn a_certificate_is_trusted_by_its_thumbprint() {
    let (server, _, thumbprint) = secure().await;
    // Under whatever name: the thumbprint says it all.
    client(&server.address, Trust::Thumbprint(thumbprint.clone()), 1).about().await.unwrap();
    let spelled = format!("sha256 Fingerprint={}", thumbprint.to_lowercase());
    client(&server.address, Trust::Thumbprint(spelled), 1).about().await.unwrap();
}

#[tokio::test]
async fn or_by_a_ca_bundle_if_the_name_is_right() {
    let (server, pem, thumbprint) = secure().await;
    client(&format!("localhost:{}", port(&server)), Trust::Ca(pem.clone()), 1).about().await.unwrap();
    let failure = client(&server.address, Trust::Ca(pem), 1).about().await.unwrap_err();
    assert_eq!(failure.code.as_deref(), Some(codes::CERTIFICATE_UNTRUSTED));
    assert!(failure.message.contains("not made out to the name"), "{failure}");
    assert!(failure.message.contains(&thumbprint), "{failure}");
}

#[tokio::test]
async fn a_refusal_shows_the_actual_thumbprint_and_expiry() {
    let (server, _, thumbprint) = secure().await;
    let (_, other_pem, other) = self_signed();
    let wrong = self::thumbprint(&other);
    for (trust, why) in [
        (Trust::Thumbprint(wrong.clone()), format!("not the one with the thumbprint {wrong}")),
        (Trust::Ca(other_pem), "none of the given CA bundle vouches for it".to_owned()),
        (Trust::System, "none of the system's authorities vouches for it".to_owned()),
    ] {
        let failure = client(&format!("localhost:{}", port(&server)), trust, 1).about().await.unwrap_err();
        assert_eq!(
            (failure.class, failure.code.as_deref()),
            (FailureClass::Invalid, Some(codes::CERTIFICATE_UNTRUSTED)),
            "{failure}"
        );
        for part in [why.as_str(), thumbprint.as_str(), "it expires 2031-05-06T00:00:00Z"] {
            assert!(failure.message.contains(part), "{part}: {failure}");
        }
    }
    assert_eq!(server.count("GET"), 0, "nothing is said before the certificate is trusted");
}

#[tokio::test]
async fn a_server_without_tls_is_no_matter_of_trust() {
    let world = World::default();
    let server = Scripted::start(None, move |seen| world.answer(seen)).await;
    let failure = client(&server.address, Trust::System, 1).about().await.unwrap_err();
    assert_eq!((failure.class, failure.code.as_deref()), (FailureClass::Invalid, Some(codes::UNREADABLE_ANSWER)));
    assert!(failure.message.contains("no TLS is spoken there"), "{failure}");
}

#[test]
fn what_makes_no_sense_is_refused_before_any_call() {
    for (server, trust, why) in [
        ("vc.example.com", Trust::Ca(String::new()), "holds no certificate"),
        ("vc.example.com", Trust::Ca("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n".into()), "not PEM"),
        ("vc.example.com", Trust::Thumbprint("AB:CD".into()), "64 hexadecimal digits"),
        ("http://vc.example.com", Trust::System, "plain text"),
    ] {
        let config = VCenterConfig {
            server: server.into(),
            user: "u".into(),
            password: failback::ports::Secret::new("p"),
            trust,
        };
        let failure = VCenterClient::new(config, Arc::new(Faster(1)), Arc::new(NoMeter)).unwrap_err();
        assert_eq!(failure.class, FailureClass::Invalid);
        assert!(failure.message.contains(why), "{failure}");
    }
}
