//! Many connections that come to nothing.

use std::net::SocketAddr;
use std::time::Duration;

use futures::{StreamExt, stream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::scene;
use crate::wire::{Wire, head};

/// So many are wanted, and so many must be had.
const WANTED: usize = 10_000;
const ENOUGH: usize = 4_000;
/// One address has some 28,000 ports.
const SOURCES: usize = 4;

/// Connects and sends half a head.
async fn half_open(address: SocketAddr, number: usize) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 2 + (number % SOURCES) as u8], 0)))?;
    let mut stream = socket.connect(address).await?;
    stream.write_all(b"POST /walker/sample HTTP/1.1\r\nhost: x\r\nx-half: ").await?;
    Ok(stream)
}

#[tokio::test]
async fn ten_thousand_half_open_connections_are_no_reason_not_to_answer() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    // They stay for as long as the test looks at them.
    let host = scene::host_with("head_timeout = '10m'").await;
    let client = &host.client;
    let address: SocketAddr = host.url.strip_prefix("http://").unwrap().parse().unwrap();
    let open = stream::iter(0..WANTED).map(|number| half_open(address, number)).buffered(100);
    let open: Vec<TcpStream> =
        open.take_while(|opened| std::future::ready(opened.is_ok())).map(Result::unwrap).collect().await;
    scene::say(&format!("{} half-open connections", open.len()));
    assert!(open.len() >= ENOUGH, "{} half-open connections; is ulimit -n low?", open.len());
    // The host really has them: every one of its sockets is a file.
    let files = format!("/proc/{}/fd", host.pid().as_raw_nonzero());
    while std::fs::read_dir(&files).unwrap().count() < open.len() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for _ in 0..20 {
        scene::still_serves(client).await;
        // On a connection of its own, too.
        let mut wire = Wire::to(&host).await;
        wire.send([head(client, "GET /readyz", ""), b"\r\n".to_vec()].concat()).await;
        assert_eq!(wire.answer().await.status, 200);
    }
    // A stop does not wait for them.
    host.stop().await;
}

#[tokio::test]
async fn beyond_the_bound_connections_wait_and_half_open_ones_make_room() {
    let expected = vec!["connections are open"];
    let host = scene::host_that_may_say("max_connections = 50\nhead_timeout = '2s'", expected).await;
    let client = &host.client;
    let address: SocketAddr = host.url.strip_prefix("http://").unwrap().parse().unwrap();
    let open: Vec<TcpStream> =
        stream::iter(0..200).map(|number| half_open(address, number)).buffered(50).map(Result::unwrap).collect().await;
    // Behind all of them.
    let mut wire = Wire::to(&host).await;
    wire.send([head(client, "GET /readyz", ""), b"\r\n".to_vec()].concat()).await;
    assert_eq!(wire.answer().await.status, 200);
    drop(open);
    scene::still_serves(client).await;
    assert!(host.log().iter().any(|line| line.contains("connections are open")), "an operator is told");
    host.stop().await;
}
