//! Tests of the site and the crate through Rocket's local client, the public API and
//! the binary.

mod support;

mod account;
mod alike;
mod architecture;
mod asvs;
mod backup;
mod bad_input;
mod binary;
mod commands;
mod config;
mod cookie;
mod database;
mod docs;
mod docs_match_code;
mod embedding;
mod errors;
mod examples;
mod fail2ban;
mod fake_smtp;
mod fields;
mod generated;
mod hashing;
mod headers;
mod hosted;
mod instances;
mod kept;
mod left_over;
mod life;
mod login;
mod logout;
mod mail;
mod mail_servers;
mod mail_templates;
mod migrations;
mod neighbours;
mod outage;
mod outcomes;
mod passwords;
mod past_holes;
mod postfix;
mod postgres;
mod properties;
mod refusals;
mod register;
mod return_to;
mod routes;
mod same_origin;
#[path = "../servers/mod.rs"]
mod servers;
mod session;
mod smtp;
mod state;
mod throttle;
mod twice;
