//! ARM resource ids. They compare without regard to case, and come back from the service in more than one case.

/// An ARM id that was checked to be nothing but a path: safe to be put into a URL.
#[derive(Clone, Debug)]
pub(crate) struct ArmId(Vec<String>);

impl ArmId {
    /// Reads `/subscriptions/{s}/…`. Rejects relative segments, empty names and anything with a query.
    pub(crate) fn parse(id: &str) -> Option<Self> {
        let path = id.strip_prefix('/')?;
        let segments: Vec<String> = path.trim_end_matches('/').split('/').map(str::to_owned).collect();
        let sound = |s: &String| is_name(s);
        let rooted = segments.first().is_some_and(|first| first.eq_ignore_ascii_case("subscriptions"));
        (rooted && segments.len() >= 2 && segments.iter().all(sound)).then_some(Self(segments))
    }

    /// Its path segments.
    pub(crate) fn segments(&self) -> &[String] {
        &self.0
    }

    /// Whether this lies below (or is) `other`.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        self.0.len() >= other.0.len() && self.0.iter().zip(&other.0).all(|(a, b)| a.eq_ignore_ascii_case(b))
    }

    /// Whether the id has this resource type at its end, such as `replicationProtectedItems`, followed by a name.
    pub(crate) fn is_of_type(&self, kind: &str) -> bool {
        let at = self.0.len().checked_sub(2);
        at.and_then(|at| self.0.get(at)).is_some_and(|segment| segment.eq_ignore_ascii_case(kind))
    }
}

/// Whether this can be one name in a path.
pub(crate) fn is_name(segment: &str) -> bool {
    !segment.is_empty()
        && segment.len() <= 512
        && segment != "."
        && segment != ".."
        && !segment.contains(['/', '\\', '?', '#'])
        && !segment.chars().any(char::is_control)
}

/// The last segment of an id; `None` for an empty name and for the service's `None`, which means "no object"
/// (recorded: `…/replicationJobs/None`, `…/virtualMachines/`).
pub(crate) fn last_segment(id: &str) -> Option<&str> {
    let name = id.rsplit('/').next().unwrap_or(id).trim();
    (!name.is_empty() && !name.eq_ignore_ascii_case("none")).then_some(name)
}

/// The part of `id` before `/{kind}/`, without regard to case.
pub(crate) fn before_type<'a>(id: &'a str, kind: &str) -> Option<&'a str> {
    let needle = format!("/{}/", kind.to_ascii_lowercase());
    // ASCII lower-casing keeps byte positions.
    let at = id.to_ascii_lowercase().find(&needle)?;
    id.get(..at)
}

/// `name_uuid` of a discovered machine, as the last segment of its OffAzure id
/// (recorded: `vcenter65_5013a427-875d-d00f-8488-ae04c6780453`): the vCenter's name and the VM's instance UUID.
pub(crate) fn discovered_machine(id: &str) -> Option<(String, String)> {
    let (vcenter, uuid) = last_segment(id)?.rsplit_once('_')?;
    let uuid = uuid::Uuid::try_parse(uuid).ok()?;
    (!vcenter.is_empty()).then(|| (vcenter.to_owned(), uuid.hyphenated().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_are_ids() {
        assert!(ArmId::parse("/Subscriptions/S/resourceGroups/g").is_some());
        for bad in [
            "",
            "/",
            "/subscriptions",
            "subscriptions/a",
            "/subscriptions/a/../b",
            "/subscriptions/a?x=1",
            "/subscriptions//b",
            "/other/a",
            "https://evil/subscriptions/a",
            "/subscriptions/a\r\nb",
        ] {
            assert!(ArmId::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn ids_compare_without_case() {
        let vault = ArmId::parse("/subscriptions/s/resourceGroups/G/providers/P/vaults/v").unwrap();
        let item = ArmId::parse("/Subscriptions/s/resourcegroups/g/providers/p/vaults/V/x/replicationProtectedItems/i");
        let item = item.unwrap();
        assert!(item.is_within(&vault));
        assert!(!vault.is_within(&item));
        assert!(item.is_of_type("replicationprotecteditems"));
    }

    #[test]
    fn names_are_taken_from_ids() {
        assert_eq!(last_segment("/a/replicationJobs/None"), None);
        assert_eq!(last_segment("/a/virtualMachines/"), None);
        assert_eq!(last_segment("/a/vcenters/vcenter65"), Some("vcenter65"));
        assert_eq!(before_type("/x/Fabrics/f/Containers/c/i", "containers"), Some("/x/Fabrics/f"));
        assert_eq!(
            discovered_machine("/s/machines/vc_home_5013A427-875d-d00f-8488-ae04c6780453"),
            Some(("vc_home".to_owned(), "5013a427-875d-d00f-8488-ae04c6780453".to_owned()))
        );
        assert_eq!(discovered_machine("/s/machines/just-a-name"), None);
    }
}
