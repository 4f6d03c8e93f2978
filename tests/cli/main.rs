//! The `hearth` program as an operator meets it: what it says, where, and with which exit status.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod chat;
mod config;
mod dns;
mod house;
mod init;
mod safety;
mod sending;
mod serving;
mod tmux;
mod usage;
mod users;
