//! The failback binary.
fn main() {}
