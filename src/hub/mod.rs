//! The protocol-neutral heart.

pub mod address;
