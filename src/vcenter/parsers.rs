//! What is read of a vCenter's words, without a wire: for fuzzing, which calls these with any bytes.

use http::{HeaderMap, StatusCode};

use super::{
    address::Address,
    certificate,
    collector::{Batch, Update},
    known::{Known, Touched},
    properties::{self, Object},
    session::ServiceContent,
    soap::{self, Call},
    tls::{Trust, client_config},
    xml::{Element, MoRef},
};
use crate::ports::VCenterChange;

/// An answer to each call that has one worth reading; how many machines, hosts and datastores are known after that.
pub fn read(body: &[u8]) -> usize {
    let ask = |method, status| {
        let call = Call::new(method, &MoRef::new("ServiceInstance", "ServiceInstance"), String::new());
        soap::read_answer(&call, status, &HeaderMap::new(), body)
    };
    let (mut known, mut touched) = (Known::default(), Touched::default());
    let mut take_in = |update| known.apply(update, &mut touched);
    for (method, status) in [
        ("RetrievePropertiesEx", StatusCode::OK),
        ("WaitForUpdatesEx", StatusCode::OK),
        ("RetrieveServiceContent", StatusCode::OK),
        ("Login", StatusCode::INTERNAL_SERVER_ERROR),
    ] {
        match ask(method, status) {
            Ok(answer) => {
                drop(answer.child("returnval").and_then(ServiceContent::read));
                objects(&answer).map(Update::Enter).for_each(&mut take_in);
                Batch::read(answer).updates.into_iter().for_each(&mut take_in);
            }
            Err(error) => drop(error.into_failure("vcenter.example.com")),
        }
    }
    drop(known.tell(&touched));
    match known.all() {
        VCenterChange::All { vms, hosts, datastores } => vms.len() + hosts.len() + datastores.len(),
        VCenterChange::Changed { .. } | VCenterChange::Gone(_) | VCenterChange::Alive => 0,
    }
}

fn objects(answer: &Element) -> impl Iterator<Item = Object> {
    answer.child("returnval").cloned().into_iter().flat_map(properties::objects)
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
