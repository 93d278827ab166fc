//! The status of a MasterTarget, as golden files.

use std::{fmt::Write as _, sync::Arc};

use failback::{
    api::{CheckResult, MasterTargetSpec, MasterTargetStatus, Reference},
    core::{
        decide::target::{Surroundings, TargetInput, decide, find},
        observed::{
            Component, ConfigurationServer, Fabric, Fact, Generation, Health, HealthError, OnPremisesVm, OsFamily,
            ReprotectTarget, RetentionVolume, VirtualDisk, VirtualMachine,
        },
        roster::Load,
        target::{self, Finding},
    },
};
use jiff::Timestamp;

use crate::support::{at, fabric, site_at};

pub fn spec_of(appliance: Option<&str>, server: Option<&str>) -> MasterTargetSpec {
    MasterTargetSpec {
        vault_ref: Reference { name: "vault".to_owned() },
        appliance: appliance.map(ToOwned::to_owned),
        master_target_server: server.map(ToOwned::to_owned),
        vcenter_ref: None,
        vm_name: None,
        max_disks: 60,
    }
}

pub fn classic() -> Fabric {
    let target = ReprotectTarget {
        id: "mt-id".to_owned(),
        name: "mt01".to_owned(),
        health: Health::Normal,
        heartbeat: Some(at(-2)),
        version: "9.50.1.0".to_owned(),
        datastores: vec!["datastore1".to_owned()],
        os: Some(OsFamily::Linux),
        ip_addresses: vec!["10.20.0.30".to_owned()],
        retention: Some(vec![RetentionVolume {
            name: "/mnt/retention".to_owned(),
            capacity_bytes: Some(100 << 30),
            free_bytes: Some(90 << 30),
        }]),
        ..ReprotectTarget::default()
    };
    let server = ConfigurationServer { name: "cs01".to_owned(), version: "9.50.1.0".to_owned(), ..Default::default() };
    Fabric {
        name: "classic".to_owned(),
        generation: Some(Generation::Classic),
        targets: vec![target],
        configuration_server: Some(server),
        ..Fabric::default()
    }
}

/// Everything that a decision is made from, and a healthy world to begin with.
struct World {
    spec: MasterTargetSpec,
    before: MasterTargetStatus,
    fabrics: Fact<Vec<Fabric>>,
    around: Fact<Surroundings>,
    load: Load,
    now: Timestamp,
}

impl World {
    fn of(spec: MasterTargetSpec, fabric: Fabric) -> Self {
        let site = site_at(at(0));
        let disk =
            VirtualDisk { controller: Some("VirtualLsiLogicSASController".to_owned()), ..VirtualDisk::default() };
        let vm = VirtualMachine { disks: vec![disk], ..site.targets[0].machine().unwrap().clone() };
        let around = Surroundings {
            vm: OnPremisesVm::Found(Box::new(vm)),
            host: site.hosts.into_iter().next(),
            datastores: site.datastores,
        };
        Self {
            spec,
            before: MasterTargetStatus::default(),
            fabrics: Fact::seen(vec![fabric], at(0)),
            around: Fact::seen(around, at(0)),
            load: Load { attached: 12, planned: 3, machines: 5 },
            now: at(0),
        }
    }

    fn appliance() -> Self {
        Self::of(spec_of(Some("appliance01"), None), fabric())
    }

    fn master_target() -> Self {
        Self::of(spec_of(None, Some("MT01")), classic())
    }

    fn target(&mut self) -> &mut ReprotectTarget {
        let Fact::Seen { value, .. } = &mut self.fabrics else { panic!("no fabrics") };
        &mut value[0].targets[0]
    }

    fn around(&mut self) -> &mut Surroundings {
        let Fact::Seen { value, .. } = &mut self.around else { panic!("nothing around") };
        value
    }

    fn vm(&mut self) -> &mut VirtualMachine {
        let OnPremisesVm::Found(vm) = &mut self.around().vm else { panic!("no VM") };
        vm
    }

    fn decide(&self) -> MasterTargetStatus {
        decide(&TargetInput {
            spec: &self.spec,
            before: &self.before,
            generation: Some(1),
            found: &self.fabrics.map(|fabrics| find(&self.spec, fabrics)),
            surroundings: &self.around,
            load: self.load,
            now: self.now,
        })
    }

    /// The status after a change of the healthy world.
    fn with(mut self, change: impl FnOnce(&mut Self)) -> MasterTargetStatus {
        change(&mut self);
        self.decide()
    }
}

/// Everything that is not as it should be, and `Ready`.
fn troubles(title: &str, status: &MasterTargetStatus) -> String {
    let mut text = format!("{title}\n");
    for condition in
        status.conditions.iter().filter(|c| c.type_ == "Ready" || c.type_ == "Stalled" || c.status != "True")
    {
        writeln!(text, "  {}={} {}: {}", condition.type_, condition.status, condition.reason, condition.message)
            .unwrap();
    }
    for check in status.checks.iter().filter(|check| check.result != CheckResult::Passed) {
        writeln!(text, "  {} {:?}", check.name, check.result).unwrap();
    }
    text
}

#[test]
fn healthy_ones() {
    insta::assert_yaml_snapshot!("healthy_appliance", World::appliance().decide());
    insta::assert_yaml_snapshot!("healthy_master_target", World::master_target().decide());
}

#[test]
fn troubles_of_an_appliance() {
    let stories: Vec<(&str, MasterTargetStatus)> = vec![
        (
            "unhealthy",
            World::appliance().with(|world| {
                world.target().health = Health::Critical;
                world.target().health_errors = vec![HealthError {
                    code: "95226".to_owned(),
                    message: "The agent does not answer.".to_owned(),
                    action: "Restart its service.".to_owned(),
                    ..HealthError::default()
                }];
            }),
        ),
        (
            "another part unhealthy",
            World::appliance().with(|world| {
                world.target().components = vec![Component {
                    kind: "proxy server",
                    name: "appliance01".to_owned(),
                    health: Health::Warning,
                    health_errors: Vec::new(),
                    heartbeat: Some(at(-1)),
                }];
            }),
        ),
        ("silent", World::appliance().with(|world| world.now = at(15))),
        ("never heard of", World::appliance().with(|world| world.target().heartbeat = None)),
        ("a snapshot", World::appliance().with(|world| world.vm().snapshots = Some(1))),
        ("snapshots unreadable", World::appliance().with(|world| world.vm().snapshots = None)),
        ("full", World::appliance().with(|world| world.load.attached = 60)),
        ("no datastores", World::appliance().with(|world| world.target().datastores.clear())),
        (
            "its host has lost the datastore",
            World::appliance().with(|world| {
                Arc::make_mut(&mut world.around().datastores[0]).mounts = Some(Vec::new());
            }),
        ),
        ("VM not found", World::appliance().with(|world| world.around().vm = OnPremisesVm::NotFound)),
        (
            "clones",
            World::appliance().with(|world| {
                world.around().vm = OnPremisesVm::Ambiguous(vec!["a (vm-1)".to_owned(), "b (vm-2)".to_owned()]);
            }),
        ),
        (
            "vCenter away",
            World::appliance().with(|world| {
                world.around = Fact::unknown("vCenter's inventory cannot be read: timeout.");
            }),
        ),
        ("vault away", World::appliance().with(|world| world.fabrics = Fact::unknown("The vault cannot be read."))),
    ];
    let told: Vec<_> = stories.iter().map(|(title, status)| troubles(title, status)).collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn troubles_of_a_master_target() {
    let volume = |name: &str, free: Option<u64>| RetentionVolume {
        name: name.to_owned(),
        capacity_bytes: Some(1 << 30),
        free_bytes: free,
    };
    let stories: Vec<(&str, MasterTargetStatus)> = vec![
        (
            "PVSCSI",
            World::master_target().with(|world| {
                world.vm().disks[0].controller = Some("ParaVirtualSCSIController".to_owned());
            }),
        ),
        ("no EnableUUID", World::master_target().with(|world| world.vm().disk_enable_uuid = Some(false))),
        ("devices unreadable", World::master_target().with(|world| world.vm().disks[0].controller = None)),
        ("newer than its server", World::master_target().with(|world| world.target().version = "9.51.0.0".to_owned())),
        (
            "retention on the OS volume",
            World::master_target().with(|world| {
                world.target().retention = Some(vec![volume("C:\\", Some(1 << 30))]);
            }),
        ),
        (
            "retention full",
            World::master_target().with(|world| {
                world.target().retention = Some(vec![volume("C", Some(1 << 30)), volume("R", Some(0))]);
            }),
        ),
        ("retention not told", World::master_target().with(|world| world.target().retention = None)),
    ];
    let told: Vec<_> = stories.iter().map(|(title, status)| troubles(title, status)).collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn what_does_not_exist_is_named_with_what_does() {
    let stories = [
        ("a typo", spec_of(Some("aplliance01"), None), vec![fabric()]),
        ("nothing like it", spec_of(None, Some("nowhere")), vec![classic()]),
        ("the wrong field", spec_of(Some("mt01"), None), vec![fabric(), classic()]),
        ("a vault of another generation", spec_of(Some("appliance01"), None), vec![classic()]),
        ("no fabric at all", spec_of(Some("appliance01"), None), vec![]),
        (
            "two of one name",
            spec_of(Some("appliance01"), None),
            vec![fabric(), Fabric { id: "other".into(), ..fabric() }],
        ),
        ("both fields", spec_of(Some("appliance01"), Some("mt01")), vec![fabric()]),
    ];
    let mut told = String::new();
    for (title, spec, fabrics) in stories {
        let missing = find(&spec, &fabrics).unwrap_err();
        writeln!(told, "{title}\n  {}: {}", missing.reason, missing.message).unwrap();
        let mut world = World::of(spec, fabric());
        world.fabrics = Fact::seen(fabrics, at(0));
        let status = world.decide();
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
        assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", missing.reason));
        assert!(status.conditions.iter().any(|condition| condition.type_ == "Stalled"), "{title}");
        assert_eq!(status.id, None, "{title}");
    }
    insta::assert_snapshot!(told);
}

#[test]
fn a_steady_world_changes_nothing_although_its_clock_and_its_free_space_move() {
    for mut world in [World::appliance(), World::master_target()] {
        world.before = world.decide();
        world.now = at(5);
        world.target().heartbeat = Some(at(4));
        Arc::make_mut(&mut world.around().datastores[0]).free_bytes = Some((1 << 42) - (1 << 30));
        if let Some(volume) = world.target().retention.iter_mut().flatten().next() {
            volume.free_bytes = Some((90 << 30) - 1);
        }
        assert_eq!(world.decide(), world.before);
        // 1 % of its 8 TiB, and more than that.
        Arc::make_mut(&mut world.around().datastores[0]).free_bytes = Some((1 << 42) - (1 << 37));
        assert_eq!(world.decide().datastores[0].free_bytes, Some((1 << 42) - (1 << 37)));
    }
}

#[test]
fn what_was_seen_stays_while_the_other_side_cannot_be_read_and_goes_with_what_it_described() {
    let mut world = World::appliance();
    world.before = world.decide();
    let fabrics = world.fabrics.clone();
    world.fabrics = Fact::unknown("The vault cannot be read.");
    let away = world.decide();
    assert_eq!((&away.id, &away.vm, &away.datastores), (&world.before.id, &world.before.vm, &world.before.datastores));
    assert!(away.checks.iter().all(|check| check.result == CheckResult::Unknown));

    world.fabrics = fabrics;
    world.around = Fact::unknown("vCenter cannot be read.");
    let half = world.decide();
    assert_eq!((&half.vm, &half.datastores), (&world.before.vm, &world.before.datastores));

    world.spec.appliance = Some("another".to_owned());
    let gone = world.decide();
    assert_eq!((gone.id, gone.vm, gone.datastores), (None, None, Vec::new()));
}

#[test]
fn disks_on_its_vm_that_nobody_declared_take_slots_and_its_own_do_not() {
    let in_folder = |folder: &str| VirtualDisk {
        controller: Some("VirtualLsiLogicSASController".to_owned()),
        folder: Some(folder.to_owned()),
        ..VirtualDisk::default()
    };
    let with = |attached: u32, folders: &[&str]| {
        let status = World::appliance().with(|world| {
            world.load.attached = attached;
            world.vm().disks = folders.iter().map(|folder| in_folder(folder)).collect();
        });
        let said = status.conditions.iter().find(|condition| condition.type_ == "CapacityAvailable").unwrap().clone();
        (status.disks.unwrap(), said.message)
    };
    let (disks, said) = with(2, &["mt", "mt", "a", "a", "b"]);
    assert_eq!((disks.text.as_str(), disks.attached, disks.undeclared), ("3/60", 2, 1));
    assert_eq!(
        said,
        "3 of 60 disks are taken on \"appliance01\", 1 of them by machines that nobody declared, and 1 more fits."
    );
    let (disks, _) = with(12, &["mt", "a", "b"]);
    assert_eq!((disks.text.as_str(), disks.undeclared), ("12/60", 0), "shown ones are those that are known");
}

#[test]
fn planned_disks_come_on_top_of_undeclared_ones() {
    let disks = ["mt", "a", "b"].map(|folder| VirtualDisk { folder: Some(folder.to_owned()), ..Default::default() });
    let mut target = site_at(at(0)).targets.remove(0);
    let Fact::Seen { value: OnPremisesVm::Found(vm), .. } = &mut target.vm else { panic!("no VM") };
    vm.disks = disks.to_vec();
    target.disks_planned = 57;
    assert!(matches!(target::slots(&target, 1), Finding::Ok(_)), "{:?}", target::slots(&target, 1));
    assert!(matches!(target::slots(&target, 2), Finding::Bad { .. }));
    // Its own disk, attached by now, is one of the two that are shown.
    target.disks_own = 1;
    assert!(matches!(target::slots(&target, 2), Finding::Ok(_)));
}
