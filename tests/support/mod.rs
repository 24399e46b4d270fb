//! What several tests share.

#![expect(clippy::allow_attributes, reason = "which parts are used differs from test to test")]
#![allow(dead_code, reason = "no test uses all parts")]

pub mod stub_api;
