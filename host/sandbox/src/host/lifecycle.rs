//! `walker:guest/lifecycle`: how a run tells why it is about to die.
//!
//! Believes the guest's words for what they are: a message shown to its own author.

use super::contract::walker::guest::lifecycle;
use crate::failure::readable;
use crate::state::{Panic, State};

impl lifecycle::Host for State {
    fn panicked(&mut self, message: String, file: String, line: u32) -> wasmtime::Result<()> {
        self.charges.bytes((message.len() + file.len()) as u64)?;
        self.said.panic = Some(Panic { message: readable(&message), file: readable(&file), line });
        Ok(())
    }
}
