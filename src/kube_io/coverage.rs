//! How far the watches see: which kind was listed where, and where that is refused.
//!
//! A namespace whose machines cannot be listed must not have its plans judged: the plans would find no machine in danger.
//! So nothing of a namespace is worked on before all kinds were listed there, and a namespace that is refused holds up
//! nobody but itself.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::ports::Tally;

/// Where a watch looks: one namespace, or all.
pub type Scope = Option<String>;

#[derive(Clone, Copy, Debug, Default)]
struct Sight {
    /// Everything that is there was seen once; the store follows from then on.
    listed: bool,
    /// The API server refuses to list or to follow.
    refused: bool,
    /// The last try failed, for whatever reason.
    failing: bool,
}

type Sights = BTreeMap<(&'static str, Scope), Sight>;

/// All watches of the process, by kind and place. Clones share it.
#[derive(Clone)]
pub struct Coverage {
    sights: Arc<Mutex<Sights>>,
    changed: watch::Sender<()>,
    tally: Arc<dyn Tally>,
}

impl Coverage {
    /// Nothing is watched yet.
    pub fn new(tally: Arc<dyn Tally>) -> Self {
        Self { sights: Arc::default(), changed: watch::Sender::new(()), tally }
    }

    /// A watch that has yet to list.
    pub(super) fn expect(&self, kind: &'static str, scope: &Scope) {
        self.sights().insert((kind, scope.clone()), Sight::default());
        self.tell(kind);
    }

    /// Everything of the kind was listed there, or an event came.
    pub(super) fn seen(&self, kind: &'static str, scope: &Scope, listed: bool) {
        let changed = {
            let mut sights = self.sights();
            let sight = sights.entry((kind, scope.clone())).or_default();
            let changed = sight.failing || (listed && !sight.listed);
            *sight = Sight { listed: sight.listed || listed, refused: false, failing: false };
            changed
        };
        if changed {
            self.tell(kind);
        }
    }

    /// The watch failed. True for news: it had worked, or it fails in another way than before.
    pub(super) fn failed(&self, kind: &'static str, scope: &Scope, refused: bool) -> bool {
        let news = {
            let mut sights = self.sights();
            let sight = sights.entry((kind, scope.clone())).or_default();
            let news = !sight.failing || sight.refused != refused;
            (sight.failing, sight.refused) = (true, refused);
            news
        };
        if news {
            self.tell(kind);
        }
        news
    }

    fn tell(&self, kind: &'static str) {
        let failing = self.sights().iter().filter(|((of, _), sight)| *of == kind && sight.failing).count();
        self.tally.watches_failing(kind, i64::try_from(failing).unwrap_or(i64::MAX));
        self.changed.send_replace(());
    }

    fn sights(&self) -> MutexGuard<'_, Sights> {
        self.sights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether everything that concerns this namespace was listed.
    pub fn covers(&self, namespace: &str) -> bool {
        let sights = self.sights();
        let mut here = sights.iter().filter(|((_, scope), _)| scope.as_deref().is_none_or(|scope| scope == namespace));
        here.all(|(_, sight)| sight.listed)
    }

    /// Whether every watch has listed or is refused, and there is at least one place of which everything was listed.
    fn settled(&self) -> bool {
        let sights = self.sights();
        let mut places = BTreeMap::<&Scope, bool>::new();
        for ((_, scope), sight) in sights.iter() {
            *places.entry(scope).or_insert(true) &= sight.listed;
        }
        sights.values().all(|sight| sight.listed || sight.refused) && places.values().any(|complete| *complete)
    }

    /// Waits until as much was listed as can be.
    pub async fn wait_until_settled(&self) {
        let mut changed = self.changed.subscribe();
        while !self.settled() {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::NoMeter;

    fn coverage(places: &[Scope]) -> Coverage {
        let coverage = Coverage::new(Arc::new(NoMeter));
        for place in places {
            for kind in ["Plan", "Item"] {
                coverage.expect(kind, place);
            }
        }
        coverage
    }

    #[test]
    fn a_namespace_is_covered_once_every_kind_was_listed_there() {
        let (a, b) = (Some("a".to_owned()), Some("b".to_owned()));
        let coverage = coverage(&[a.clone(), b.clone()]);
        coverage.seen("Plan", &a, true);
        assert!(!coverage.covers("a") && !coverage.settled());
        coverage.seen("Item", &a, true);
        assert!(coverage.covers("a") && !coverage.covers("b"));
        assert!(!coverage.settled(), "b may yet be listed");
        assert!(coverage.failed("Plan", &b, false), "no answer is no refusal");
        coverage.seen("Item", &b, true);
        assert!(!coverage.settled());
        assert!(coverage.failed("Plan", &b, true) && !coverage.failed("Plan", &b, true));
        assert!(coverage.settled() && !coverage.covers("b"), "b harms itself alone");
        coverage.seen("Plan", &b, true);
        assert!(coverage.covers("b"));
        coverage.failed("Plan", &b, true);
        assert!(coverage.covers("b"), "what was listed once is followed again");
    }

    #[test]
    fn who_may_see_nothing_is_not_ready() {
        let coverage = coverage(&[None]);
        coverage.failed("Plan", &None, true);
        coverage.failed("Item", &None, true);
        assert!(!coverage.settled());
        coverage.seen("Plan", &None, true);
        coverage.seen("Item", &None, true);
        assert!(coverage.settled() && coverage.covers("anything"));
    }
}
