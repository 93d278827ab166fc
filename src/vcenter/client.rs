//! The [`VirtualCenter`] port over vim25.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{
    address::Address,
    error::VimError,
    inventory::{End, Follower},
    properties,
    rows::Row,
    session::{Live, Session},
    soap::Wire,
    tls::Trust,
    xml::MoRef,
};
use crate::{
    core::observed::{VCenterAbout, VirtualMachine},
    ports::{CallMeter, Failure, FailureClass, Remote, Secret, SharedClock, VCenterChange, VirtualCenter},
};

/// Where a vCenter is, who we are there, and how its certificate is judged.
#[derive(Clone, Debug)]
pub struct VCenterConfig {
    /// `host`, `host:port`, or a URL; `http://` for a simulator on this very machine only.
    pub server: String,
    /// User name, with its domain.
    pub user: String,
    /// Password.
    pub password: Secret,
    /// Whom to trust.
    pub trust: Trust,
}

/// One vCenter through one session. Nothing is sent before the first call.
///
/// When the credentials or the trust change, close this client and make another: one client logs in with one set of
/// credentials, and after a refusal only every 3 minutes.
pub struct VCenterClient {
    session: Session,
    clock: SharedClock,
}

impl VCenterClient {
    /// A client that has not connected yet. Fails when the address, the bundle or the thumbprint makes no sense.
    pub fn new(config: VCenterConfig, clock: SharedClock, meter: Arc<dyn CallMeter>) -> Result<Self, Failure> {
        let wire = Address::parse(&config.server).and_then(|address| Wire::new(address, &config.trust, meter));
        let wire =
            wire.map_err(|why| Failure::new(Remote::VCenter, FailureClass::Invalid, format!("vCenter: {why}")))?;
        let session = Session::new(wire, config.user, config.password, Arc::clone(&clock));
        Ok(Self { session, clock })
    }

    fn failure(&self, error: VimError) -> Failure {
        error.into_failure(self.session.server())
    }

    /// What vCenter is was read at the login; the call shows that it still answers to us.
    async fn read_about(&self, live: &Live) -> Result<VCenterAbout, VimError> {
        self.session.keep_alive(live).await?;
        Ok(live.content.about.clone())
    }

    async fn read_vm(&self, live: &Live, reference: &MoRef) -> Result<Option<VirtualMachine>, VimError> {
        let spec = properties::spec_of_objects(std::slice::from_ref(reference));
        let mut found = None;
        let read = properties::retrieve(&self.session, live, &spec, |object| {
            if object.reference == *reference {
                found = Some(VirtualMachine::complete(&object));
            }
        });
        match read.await {
            // Neither there nor gone: nothing follows from that.
            Ok(()) if found.is_none() => Err(VimError::Unreadable(format!("it says nothing of {}", reference.id))),
            Ok(()) => Ok(found),
            Err(error) if error.says_gone(reference) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl fmt::Debug for VCenterClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VCenterClient").field("server", &self.session.server()).finish_non_exhaustive()
    }
}

#[async_trait]
impl VirtualCenter for VCenterClient {
    async fn about(&self) -> Result<VCenterAbout, Failure> {
        let read = async {
            let live = self.session.live().await?;
            match self.read_about(&live).await {
                Err(error) if error.session_lost() => self.read_about(&*self.session.renew(&live).await?).await,
                other => other,
            }
        };
        read.await.map_err(|e| self.failure(e))
    }

    async fn follow(&self, changes: mpsc::Sender<VCenterChange>) -> Failure {
        let follower = Follower { session: &self.session, clock: &self.clock, changes };
        match follower.run().await {
            End::Failed(error) => self.failure(error),
            End::Unheard => {
                Failure::new(Remote::VCenter, FailureClass::Transient, "nobody listens to the inventory any more")
            }
        }
    }

    async fn vm(&self, moref: &str) -> Result<Option<VirtualMachine>, Failure> {
        let reference = MoRef::new("VirtualMachine", moref);
        let read = async {
            let live = self.session.live().await?;
            match self.read_vm(&live, &reference).await {
                Err(error) if error.session_lost() => {
                    self.read_vm(&*self.session.renew(&live).await?, &reference).await
                }
                other => other,
            }
        };
        read.await.map_err(|e| self.failure(e))
    }

    async fn close(&self) {
        self.session.close().await;
    }
}
