//! Looking up the names of hosts: none is found, and how long a name is, which is the guest's to choose, costs fuel.
//!
//! Knows nothing of networks; all else is as wasmtime does it.

use wasmtime::Error;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{self, HostResolveAddressStream, ResolveAddressStream};
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddress, Network};
use wasmtime_wasi::p2::{DynPollable, SocketError, SocketResult};

use super::no_sockets;
use crate::state::State;

impl ip_name_lookup::Host for State {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> SocketResult<Resource<ResolveAddressStream>> {
        self.charges.bytes(name.len() as u64).map_err(SocketError::trap)?;
        no_sockets(self).resolve_addresses(network, name)
    }
}

impl HostResolveAddressStream for State {
    fn resolve_next_address(&mut self, found: Resource<ResolveAddressStream>) -> SocketResult<Option<IpAddress>> {
        no_sockets(self).resolve_next_address(found)
    }

    fn subscribe(&mut self, found: Resource<ResolveAddressStream>) -> wasmtime::Result<Resource<DynPollable>> {
        HostResolveAddressStream::subscribe(&mut no_sockets(self), found)
    }

    fn drop(&mut self, found: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        HostResolveAddressStream::drop(&mut no_sockets(self), found)
    }
}

impl network::Host for State {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        no_sockets(self).convert_error_code(error)
    }

    fn network_error_code(&mut self, error: Resource<Error>) -> wasmtime::Result<Option<ErrorCode>> {
        no_sockets(self).network_error_code(error)
    }
}

impl network::HostNetwork for State {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut no_sockets(self), network)
    }
}
