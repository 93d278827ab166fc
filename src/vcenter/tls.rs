//! Whom to trust: the system's authorities, a given CA bundle, or one certificate by its SHA-256 thumbprint.
//!
//! There is no way to trust everyone. Even with a thumbprint the handshake's signatures are verified, so the other side
//! must own the key of that very certificate.

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};

use super::certificate::{self, Thumbprint};

/// How the certificate of a vCenter is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// By the authorities that the machine trusts.
    System,
    /// By these authorities alone, PEM.
    Ca(String),
    /// By the SHA-256 thumbprint of vCenter's own certificate; its name and validity do not matter then.
    Thumbprint(String),
}

/// Why a certificate was not accepted, with what a person needs to decide whether to trust it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) why: String,
    pub(super) thumbprint: String,
    pub(super) expires: Option<Timestamp>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. Its SHA-256 thumbprint is {}, ", self.why, self.thumbprint)?;
        match self.expires {
            Some(at) => write!(f, "it expires {at}"),
            None => f.write_str("its expiry cannot be read"),
        }
    }
}

impl std::error::Error for Refusal {}

/// A rustls configuration that judges by `trust`. HTTP/1.1 alone is offered, as VMware's own clients do.
pub(super) fn client_config(trust: &Trust) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let rule = match trust {
        Trust::System => Rule::chain(system_roots()?, "the system's authorities", &provider)?,
        Trust::Ca(pem) => Rule::chain(bundle(pem)?, "the given CA bundle", &provider)?,
        Trust::Thumbprint(text) => Rule::Pinned(certificate::read(text)?),
    };
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Judge { rule, provider }))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        return Err("this machine trusts no certificate authority at all; give a CA bundle or a thumbprint".into());
    }
    Ok(roots)
}

fn bundle(pem: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|e| format!("the CA bundle is not PEM: {e}"))?;
        roots.add(certificate).map_err(|e| format!("the CA bundle holds something else than certificates: {e}"))?;
    }
    if roots.is_empty() { Err("the CA bundle holds no certificate".into()) } else { Ok(roots) }
}

#[derive(Debug)]
enum Rule {
    Chain { verifier: Arc<WebPkiServerVerifier>, whose: &'static str },
    Pinned(Thumbprint),
}

impl Rule {
    fn chain(roots: RootCertStore, whose: &'static str, provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|e| e.to_string())?;
        Ok(Self::Chain { verifier, whose })
    }
}

/// Judges by a rule and says what was wrong in a form that can be shown.
#[derive(Debug)]
struct Judge {
    rule: Rule,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let why = match &self.rule {
            Rule::Pinned(wanted) if certificate::thumbprint(leaf) == *wanted => {
                return Ok(ServerCertVerified::assertion());
            }
            Rule::Pinned(wanted) => format!("it is not the one with the thumbprint {}", certificate::show(wanted)),
            Rule::Chain { verifier, whose } => {
                match verifier.verify_server_cert(leaf, intermediates, name, ocsp, now) {
                    Ok(verified) => return Ok(verified),
                    Err(error) => explain(&error, whose),
                }
            }
        };
        let thumbprint = certificate::show(&certificate::thumbprint(leaf));
        let refusal = Refusal { why, thumbprint, expires: certificate::expiry(leaf) };
        Err(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal)))))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn explain(error: &rustls::Error, whose: &str) -> String {
    if let rustls::Error::InvalidCertificate(reason) = error {
        // Every vCenter's own authority has the same name (`CN=CA,DC=vsphere,DC=local`), so a bundle of another one shows
        // as a bad signature.
        if matches!(reason, CertificateError::UnknownIssuer | CertificateError::BadSignature) {
            return format!("none of {whose} vouches for it");
        }
        if matches!(reason, CertificateError::Expired | CertificateError::ExpiredContext { .. }) {
            return "it has expired".into();
        }
        if matches!(reason, CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) {
            return format!("it is not made out to the name under which vCenter was called ({reason})");
        }
    }
    error.to_string()
}

/// The refusal behind an error of the HTTP stack.
pub(super) fn refusal<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Refusal> {
    let found = rustls_error(error)?;
    let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) = found else { return None };
    inner.downcast_ref()
}

/// Whether the other side answered with something else than TLS.
pub(super) fn is_no_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(rustls_error(error), Some(rustls::Error::InvalidMessage(_)))
}

/// An `io::Error` hides the error it wraps from `source()`, hence the second look.
fn rustls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let found = error.downcast_ref().or_else(|| wrapped.and_then(|wrapped| rustls_error(wrapped)));
        if found.is_some() {
            return found;
        }
        next = error.source();
    }
    None
}
