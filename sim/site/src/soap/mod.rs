//! vCenter.
use crate::{site::Site, wire::{Answer, Request}, world::World};
#[derive(Default)] pub(crate) struct Sessions;
pub(crate) fn is_soap(_r: &Request) -> bool { false }
pub(crate) fn method(_r: &Request) -> Option<String> { None }
pub(crate) async fn answer(_s: &Site, _r: &Request) -> Answer { Answer::empty(500) }
pub(crate) fn fault_answer(_f: &str, _m: &str) -> Answer { Answer::empty(500) }
pub(crate) fn mutation(_w: &World, _r: &Request, _m: &str) -> Option<(Option<String>, serde_json::Value)> { None }
