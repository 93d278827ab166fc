//! Server-side apply: who owns which field, and what an apply changes.
//!
//! Rules: <https://kubernetes.io/docs/reference/using-api/server-side-apply/>, and the algorithms of
//! `sigs.k8s.io/structured-merge-diff` where the documentation leaves the details open.

pub(crate) mod fieldset;
pub(crate) mod managed;
pub(crate) mod ownership;
pub(crate) mod typed;
pub(crate) mod walk;
