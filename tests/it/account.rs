//! The account's whole life.

mod activity;
mod devices;
mod email;
mod leave;
mod notices;
mod password;
mod reauthenticate;
mod reset;
mod verify;
