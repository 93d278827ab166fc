//! The service content: what a client reads before it logs in.

use super::inventory::{Inventory, ROOT, folder};
use super::value::{MoRef, Val};

/// API versions that the vCenter speaks, newest first, for `vimServiceVersions.xml`.
const PRIOR: &[&str] = &[
    "8.0.1.0", "8.0.0.1", "7.0.3.0", "7.0.2.0", "7.0.1.0", "7.0.0.0", "6.7.3", "6.7.2", "6.7.1", "6.7", "6.5", "6.0",
    "5.5", "5.1", "5.0",
];

/// `about.apiVersion` of a version: four parts.
fn api_version(version: &str) -> String {
    let parts = version.split('.').count();
    format!("{version}{}", ".0".repeat(4usize.saturating_sub(parts)))
}

/// `/sdk/vimServiceVersions.xml`, readable without a session.
pub(crate) fn versions(version: &str) -> String {
    let prior: String = PRIOR.iter().map(|version| format!("   <version>{version}</version>\n")).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<namespaces version=\"1.0\">\n <namespace>\n  <name>urn:vim25</name>\n  <version>{}</version>\n  <priorVersions>\n{prior}  </priorVersions>\n </namespace>\n</namespaces>\n",
        api_version(version)
    )
}

/// `ServiceContent`.
pub(crate) fn content(inventory: &Inventory<'_>) -> Val {
    let vcenter = inventory.vcenter;
    let about = Val::Data(
        "AboutInfo",
        vec![
            ("name", Val::text("VMware vCenter Server")),
            ("fullName", Val::Text(format!("VMware vCenter Server {} build-22617221", vcenter.version))),
            ("vendor", Val::text("VMware, Inc.")),
            ("version", Val::text(vcenter.version.clone())),
            ("build", Val::text("22617221")),
            ("localeVersion", Val::text("INTL")),
            ("localeBuild", Val::text("000")),
            ("osType", Val::text("linux-x64")),
            ("productLineId", Val::text("vpx")),
            ("apiType", Val::text("VirtualCenter")),
            ("apiVersion", Val::Text(api_version(&vcenter.version))),
            ("instanceUuid", Val::text(vcenter.instance_uuid.clone())),
            ("licenseProductName", Val::text("VMware VirtualCenter Server")),
            ("licenseProductVersion", Val::text("8.0")),
        ],
    );
    let service = |kind: &str, id: &str| Val::Ref(MoRef::new(kind, id));
    Val::Data(
        "ServiceContent",
        vec![
            ("rootFolder", Val::Ref(folder(ROOT))),
            ("propertyCollector", service("PropertyCollector", "propertyCollector")),
            ("viewManager", service("ViewManager", "ViewManager")),
            ("about", about),
            ("sessionManager", service("SessionManager", "SessionManager")),
            ("taskManager", service("TaskManager", "TaskManager")),
            ("searchIndex", service("SearchIndex", "SearchIndex")),
        ],
    )
}
