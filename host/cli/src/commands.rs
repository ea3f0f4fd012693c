//! One file for each thing that can be done.

pub(crate) mod build;
pub(crate) mod cancel;
pub(crate) mod get;
pub(crate) mod key;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod logs;
pub(crate) mod ls;
pub(crate) mod new;
pub(crate) mod push;
pub(crate) mod retry;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod tenant;
pub(crate) mod user;
pub(crate) mod whoami;
