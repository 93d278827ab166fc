//! What is read of a vCenter's words, without a wire: for fuzzing, which calls these with any bytes.

use http::{HeaderMap, StatusCode};

use super::{
    address::Address,
    certificate,
    collector::{Batch, Update},
    error::VimError,
    known::{Known, Touched},
    properties,
    session::ServiceContent,
    soap::{self, Call},
    tls::{Trust, client_config},
    xml::MoRef,
};
use crate::ports::VCenterChange;

/// An answer to each call that has one worth reading; how many machines, hosts and datastores are known after that.
pub fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> usize {
    let failed = |error: VimError| drop(error.into_failure("vcenter.example.com"));
    let ask = |method, status| {
        let call = Call::new(method, &MoRef::new("ServiceInstance", "ServiceInstance"), String::new());
        soap::read_answer(&call, status, headers, body).map_err(failed).ok()
    };
    soap::read_versions(status, headers, body).unwrap_or_else(failed);
    drop(soap::session_cookie(headers));
    drop(ask("Login", StatusCode::INTERNAL_SERVER_ERROR));
    drop(ask("RetrieveServiceContent", status).and_then(|answer| ServiceContent::read(answer.child("returnval")?)));
    let (mut known, mut touched) = (Known::default(), Touched::default());
    let mut take_in = |update| known.apply(update, &mut touched);
    let page = ask("RetrievePropertiesEx", status).and_then(|answer| answer.children.into_iter().next());
    let objects = page.and_then(|page| properties::objects(page).ok());
    objects.into_iter().flatten().map(Update::Enter).for_each(&mut take_in);
    let batch = ask("WaitForUpdatesEx", status).and_then(|answer| Batch::read(answer).ok());
    batch.into_iter().flat_map(|batch| batch.updates).for_each(&mut take_in);
    drop(known.tell(&touched));
    match known.all() {
        VCenterChange::All { vms, hosts, datastores } => vms.len() + hosts.len() + datastores.len(),
        VCenterChange::Changed { .. } | VCenterChange::Gone(_) | VCenterChange::Alive => 0,
    }
}

/// What a server presents and a person pastes: a certificate, a CA bundle, a thumbprint, an address.
pub fn trust(bytes: &[u8]) {
    certificate::expiry(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        drop(client_config(&Trust::Ca(text.to_owned())));
        drop(client_config(&Trust::Thumbprint(text.to_owned())));
        drop(Address::parse(text).map(|address| address.versions()));
    }
}
