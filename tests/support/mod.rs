//! What several tests share.

#![expect(clippy::allow_attributes, reason = "which parts are used differs from test to test")]
#![allow(dead_code, unreachable_pub, reason = "no test uses all parts, and each test is a crate of its own")]

pub mod stub_api;
