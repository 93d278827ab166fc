//! A self-signed certificate for the site, and its thumbprint.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};

/// A certificate that the site made for itself.
#[derive(Debug, Clone)]
pub struct SelfSigned {
    /// What `Site::serve_tls` takes.
    pub config: Arc<rustls::ServerConfig>,
    /// SHA-256 of the certificate, upper case with colons, as vSphere clients show it.
    pub thumbprint: String,
    /// The certificate in PEM, for a client's CA bundle.
    pub pem: String,
}

/// Why no certificate could be made.
#[derive(Debug, thiserror::Error)]
#[error("no self-signed certificate: {0}")]
pub struct TlsError(String);

impl SelfSigned {
    /// A certificate for these names and addresses, with `localhost`, `127.0.0.1` and `::1` beside them.
    pub fn new(names: &[&str]) -> Result<SelfSigned, TlsError> {
        let fail = |error: &dyn std::fmt::Display| TlsError(error.to_string());
        let mut subjects: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        for own in ["localhost", "127.0.0.1", "::1"] {
            if !subjects.iter().any(|subject| subject == own) {
                subjects.push(own.to_owned());
            }
        }
        let mut params = CertificateParams::new(subjects.clone()).map_err(|error| fail(&error))?;
        let common = subjects
            .iter()
            .find(|subject| subject.parse::<IpAddr>().is_err())
            .cloned()
            .unwrap_or_else(|| "localhost".to_owned());
        params.distinguished_name.push(DnType::CommonName, common);
        let key = KeyPair::generate().map_err(|error| fail(&error))?;
        let certificate = params.self_signed(&key).map_err(|error| fail(&error))?;
        let der = certificate.der().clone();
        let thumbprint = Sha256::digest(&der).iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":");
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| fail(&error))?
            .with_no_client_auth()
            .with_single_cert(vec![der], private)
            .map_err(|error| fail(&error))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(SelfSigned { config: Arc::new(config), thumbprint, pem: certificate.pem() })
    }
}
