//! Hears what other hosts announce, and announces.

use futures::{StreamExt, stream};
use tokio_postgres::{AsyncMessage, NoTls};

use super::session::named;
use super::{Error, Session, Store};

impl Store {
    /// Listens on channels until the connection ends; `hear` gets each announcement's channel and payload.
    /// `ready` is called once listening, when everything known from before may be out of date.
    pub(crate) async fn listen(
        &self,
        channels: &[&str],
        ready: impl FnOnce(),
        mut hear: impl FnMut(&str, &str),
    ) -> Result<(), Error> {
        let config = named(&self.config, &format!("listens to {}", channels.join(" and ")));
        let (client, mut connection) = config.connect(NoTls).await?;
        let mut messages = stream::poll_fn(move |context| connection.poll_message(context)).boxed();
        let listen = channels.iter().map(|channel| format!("listen {channel}")).collect::<Vec<_>>().join("; ");
        let start = client.batch_execute(&listen);
        tokio::pin!(start);
        let mut ready = Some(ready);
        loop {
            tokio::select! {
                started = &mut start, if ready.is_some() => {
                    started?;
                    if let Some(ready) = ready.take() {
                        ready();
                    }
                }
                message = messages.next() => match message {
                    Some(Ok(AsyncMessage::Notification(heard))) => hear(heard.channel(), heard.payload()),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error.into()),
                    None => return Ok(()),
                }
            }
        }
    }

    /// Announces something on a connection kept for it. Nothing durable: whoever misses it finds out by polling.
    pub(crate) async fn announce(
        &self,
        session: &mut Option<Session>,
        channel: &str,
        payload: &str,
    ) -> Result<(), Error> {
        let session = match session {
            Some(session) => session,
            None => {
                let new = self.session("announcements").await?;
                new.batch_execute("set synchronous_commit = off").await?;
                session.insert(new)
            }
        };
        session.execute("select pg_notify($1, $2)", &[&channel, &payload]).await?;
        Ok(())
    }
}
